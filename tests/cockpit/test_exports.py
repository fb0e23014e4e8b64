"""What a session is written as: the same as `raygrad export` writes."""

import csv

import numpy as np
import pytest
import torch
from cockpit_work import open_work, write_files

from raygrad import _export_kinds as kinds
from raygrad._errors import InputError
from raygrad.formats import read_geometry, read_poses, read_xray


@pytest.fixture
def work(tmp_path):
    (tmp_path / "out").mkdir()
    write_files(tmp_path)
    made = open_work(tmp_path, out=tmp_path / "out")
    made.do("step", view=0, axis="yaw", amount=4.0)
    yield made
    made.session.close()


def test_every_kind_is_listed_and_those_that_can_be_had_are_written(work):
    listed = {one["kind"]: one for one in work.do("export_kinds", view=0)}
    assert list(listed) == [kind.typed for kind in kinds.KINDS]
    unavailable = {kind for kind, one in listed.items() if one["reason"] is not None}
    assert unavailable <= {"spatial-registration", "structured-report"}  # of a CT in DICOM
    for number, (kind, one) in enumerate(listed.items()):
        if one["reason"] is None:
            answer = work.do("export_file", kind=kind, name=f"x{number}{one['suffixes'][0]}", view=0)
            assert (work.folder / "out" / f"x{number}{one['suffixes'][0]}").stat().st_size, answer
    together = {one["kind"]: one["reason"] for one in work.do("export_kinds")}
    assert "one view" in together["opencvs-yaml"]
    assert together["a-table-of-views"] is None


def test_poses_are_where_the_anatomy_was_put(work):
    path = work.do("export_file", kind="raygrads-json", name="poses.json")["path"]
    for number, view in enumerate(read_poses(path)):
        torch.testing.assert_close(view.pose.matrix, work.session.placement.pose(number).matrix, atol=1e-8, rtol=0)
    table = work.do("export_file", kind="a-table-of-views", name="views.csv")["path"]
    with open(table, newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    # In the file's world the CT's middle is elsewhere by file_to_world.
    file_to_world = torch.from_numpy(np.asarray(work.session.subject.file_to_world))
    in_file, centred = read_geometry(table).camera_to_world, read_geometry(path).camera_to_world
    torch.testing.assert_close(file_to_world.to(in_file) @ in_file, centred, atol=1e-3, rtol=1e-5)


def test_a_kind_without_what_it_needs_says_so_and_leaves_nothing(work):
    with pytest.raises(InputError):
        work.do("export_file", kind="opencvs-yaml", name="x.yml")
    with pytest.raises(InputError):
        work.do("export_file", kind="rtks-xml", name="x.csv")
    with pytest.raises(InputError, match="Expected as kind"):
        work.do("export_file", kind="doom", name="x.wad")
    assert list((work.folder / "out").iterdir()) == []


def test_pictures_have_the_x_ray_s_own_pixels_the_right_way_up(work):
    for what in work.do("picture_kinds"):
        work.do("save_picture", view=0, what=what, name=what)
    xray = read_xray(work.folder / "out" / "xray.png").pixels
    assert xray.shape == (40, 48)
    found = torch.corrcoef(torch.stack([xray.flatten(), work.session.xrays[0].image.flatten()]))[0, 1]
    assert found > 0.99
    image = pytest.importorskip("matplotlib.image")
    overlay = image.imread(work.folder / "out" / "overlay.png")
    assert overlay.shape[:2] == (40, 48)
    red = torch.from_numpy(overlay[..., 0].copy())
    assert torch.corrcoef(torch.stack([red.flatten(), xray.flatten()]))[0, 1] > 0.95
    with pytest.raises(InputError, match="Expected a picture"):
        work.do("save_picture", view=0, what="selfie", name="x")


def test_no_reason_names_a_temporary_file(work):
    for one in work.do("export_kinds"):
        assert "raygrad-cockpit-" not in (one["reason"] or "")
