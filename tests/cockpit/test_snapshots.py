"""Snapshots and the geometry of views."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from cockpit_work import open_work, write_files
from dicom_xrays import save_dicom

from raygrad._errors import InputError
from raygrad.cli._geometry import describe_header
from raygrad.formats import read_xray_geometry


@pytest.fixture
def work(tmp_path):
    write_files(tmp_path)
    made = open_work(tmp_path)
    yield made
    made.session.close()


def test_the_difference_of_two_snapshots_is_the_motion_between_them(work):
    first = work.do("take_snapshot", name="first")
    work.do("step", view=0, axis="right", amount=3.0)
    work.do("step", view=0, axis="down", amount=4.0)
    found = work.do("compare_snapshots", first=first, second=None)
    assert found == {"mtre": [pytest.approx(5.0, abs=1e-3)] * 2, "mm": pytest.approx(5.0, abs=1e-3), "degrees": 0.0}
    second = work.do("take_snapshot")
    work.do("step", view=1, axis="roll", amount=7.0)
    turned = work.do("compare_snapshots", first=second, second=None)
    assert turned["degrees"] == pytest.approx(7.0, abs=1e-3)
    assert turned["mm"] == pytest.approx(0.0, abs=1e-3)
    assert work.do("compare_snapshots", first=second, second=second)["mtre"] == [0.0, 0.0]


def test_going_back_is_exact_and_can_be_undone(work):
    number = work.do("take_snapshot", name="here")
    there = work.session.placement
    work.do("step", view=0, axis="yaw", amount=5.0)
    away = work.session.placement
    work.do("restore_snapshot", number=number)
    assert work.session.placement is there
    assert work.do("undo") == "Back to here"
    assert work.session.placement is away


def test_snapshots_are_renamed_and_deleted(work):
    number = work.do("take_snapshot")
    assert work.session.state()["snapshots"][0]["similarity"] == [pytest.approx(1.0, abs=1e-3)] * 2
    work.do("rename_snapshot", number=number, name=" at last ")
    assert work.session.state()["snapshots"][0]["name"] == "at last"
    with pytest.raises(InputError):
        work.do("rename_snapshot", number=number, name=" ")
    work.do("delete_snapshot", number=number)
    assert work.session.state()["snapshots"] == []
    with pytest.raises(InputError, match="not there any more"):
        work.do("restore_snapshot", number=number)


def test_a_snapshot_outlives_a_view(work):
    number = work.do("take_snapshot")
    pose = work.session.placement.pose(1)
    work.do("step", view=0, axis="right", amount=30.0)
    work.do("close_xray", view=0)
    work.do("restore_snapshot", number=number)
    torch.testing.assert_close(work.session.placement.pose(0).matrix, pose.matrix)


def test_other_numbers_are_taken_and_undone(work):
    session = work.session
    work.do("change_geometry", view=1, values={"sdd": 1200, "x0": -3.5, "mirrored": True})
    now = session.placement.intrinsics[1]
    assert (now.sdd, now.x0, now.reverse_x_axis) == (1200.0, -3.5, False)
    table = work.do("geometry_table", view=1)
    origins = {row["name"]: row["origin"] for row in table["used"]}
    assert origins["sdd"] == origins["x0"] == "typed or found here"
    assert origins["delx"] == "as it was opened"
    assert table["mirrored"]
    work.do("undo")
    assert session.placement.intrinsics[1] == session.start.intrinsics[1]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"sdd": -5.0}, "positive"),
        ({"delx": 0}, "positive"),
        ({"sdd": 200.0}, "in front of the patient"),
        ({"x0": 1e9}, "up to"),
        ({"x0": float("nan")}, "number of mm"),
        ({"sdd": None}, "number of mm"),
        ({"sdd": "1000"}, "number of mm"),
        ({"dely": True}, "number of mm"),
        ({"mirrored": 1}, "true or false"),
        ({"height": 5}, "Expected sdd"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(work, values, sentence):
    before = work.session.placement
    with pytest.raises(InputError, match=sentence):
        work.do("change_geometry", view=0, values=values)
    assert work.session.placement is before


def test_a_header_s_table_is_that_of_the_command(work, tmp_path):
    save_dicom(tmp_path / "x.dcm", np.zeros((40, 48), np.uint16), "XA", PositionerPrimaryAngle=30)
    header = read_xray_geometry(tmp_path / "x.dcm")
    work.session.xrays = (replace(work.session.xrays[0], header=header), work.session.xrays[1])
    table = work.do("geometry_table", view=0)
    lines = describe_header(header)
    assert len(table["header"]) == len(lines) - 1
    for cells, line in zip([table["columns"], *table["header"]], lines, strict=True):
        assert [*filter(None, cells)] == [*filter(None, (part.strip() for part in line.split("  ")))]
