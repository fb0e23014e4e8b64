"""`raygrad export`: poses in the world of the CT's own file."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from found_views import AFFINE, found_view
from typer.testing import CliRunner

from raygrad._export_kinds import KINDS, choose, suffixes
from raygrad.cli import app
from raygrad.data import Volume, read, write_volume
from raygrad.formats import (
    GEOMETRIES,
    Frames,
    InputError,
    read_file_to_world,
    read_geometry,
    read_outcome,
    read_poses,
    write_poses,
)


@pytest.fixture
def folder(tmp_path):
    write_volume(Volume(torch.zeros(8, 9, 10, dtype=torch.int16), AFFINE), tmp_path / "ct.nii.gz")
    subject = read(tmp_path / "ct.nii.gz")
    views = [found_view("x.png")]
    write_poses(tmp_path / "pose.json", views, file_to_world=subject.file_to_world)
    write_poses(tmp_path / "old.json", views)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_a_point_of_the_file_is_seen_where_it_was(folder):
    result = run(folder / "pose.json", "--to", folder / "out.csv", "--to", folder / "again.json")
    assert result.exit_code == 0, result.output
    assert "out.csv: 1 view(s), the world's origin is that of the CT's file" in result.output
    centred, in_file = read_geometry(folder / "pose.json"), read_geometry(folder / "out.csv")
    voxels = torch.tensor([[0.0, 0, 0, 1], [3, 4, 5, 1], [7, 0, 9, 1]], dtype=torch.float64)
    of_file = torch.from_numpy(AFFINE) @ voxels.T
    moved = torch.from_numpy(read_file_to_world(folder / "pose.json")) @ of_file
    assert moved[:3].abs().max() < 20  # about the centre
    torch.testing.assert_close(in_file.world_to_pixel @ of_file, centred.world_to_pixel @ moved, atol=0.1, rtol=1e-5)
    assert read_geometry(folder / "again.json") == centred


def test_a_pose_file_keeps_all_that_it_had(folder):
    outcome = {"status": "converged", "score": 0.9}
    to_world = read_file_to_world(folder / "pose.json")
    write_poses(folder / "found.json", read_poses(folder / "pose.json"), outcome, to_world)
    assert run(folder / "found.json", "--to", folder / "again.json").exit_code == 0
    assert (folder / "again.json").read_text() == (folder / "found.json").read_text()
    assert read_outcome(folder / "again.json") == outcome
    options = ("--ct", folder / "ct.nii.gz")  # an older file, which does not say where the origin was
    assert run(folder / "old.json", "--to", folder / "new.json", *options).exit_code == 0
    np.testing.assert_allclose(read_file_to_world(folder / "new.json"), to_world)


def test_numbers_are_those_of_the_file_in_double_precision(folder):
    """1e-9 mm far from the origin, where single precision knows 6e-5."""
    (view,) = read_poses(folder / "pose.json")
    assert run(folder / "pose.json", "--to", folder / "out.csv").exit_code == 0
    with (folder / "out.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    world_to_file = np.linalg.inv(read_file_to_world(folder / "pose.json"))
    camera = view.make_drr(read(folder / "ct.nii.gz")).detector.camera_to_world(view.pose).matrix[0].numpy()
    expected = (world_to_file @ camera)[:3]
    found = [[float(line[f"camera_to_world_{row}{column}"]) for column in range(4)] for row in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_where_the_file_is_comes_from_the_ct_if_the_poses_do_not_say(folder):
    assert read_file_to_world(folder / "old.json") is None
    refused = run(folder / "old.json", "--to", folder / "out.csv")
    assert refused.exit_code == 2
    assert "give --ct, or --centred" in refused.output
    assert not (folder / "out.csv").exists()
    assert run(folder / "old.json", "--to", folder / "out.csv", "--ct", folder / "ct.nii.gz").exit_code == 0
    assert run(folder / "pose.json", "--to", folder / "same.csv").exit_code == 0
    first, second = (read_geometry(folder / name).camera_to_world for name in ("out.csv", "same.csv"))
    torch.testing.assert_close(first, second)
    assert run(folder / "old.json", "--to", folder / "centred.csv", "--centred").exit_code == 0
    torch.testing.assert_close(
        read_geometry(folder / "centred.csv").camera_to_world, read_geometry(folder / "old.json").camera_to_world
    )


def test_other_names_are_refused_before_anything_is_written(folder):
    result = run(folder / "pose.json", "--to", folder / "out.csv", "--to", folder / "out.exe")
    assert result.exit_code == 2
    assert f"Expected a file name that ends in {', '.join(suffixes())}. Got" in result.output
    assert set(suffixes()) > {".json", ".csv", ".xml", ".tfm", ".h5", ".mrb", ".dcm"}
    assert not (folder / "out.csv").exists()


def test_the_kinds_are_those_of_the_formats_and_of_the_help():
    written = {format.name: format.written_suffixes for format in GEOMETRIES if format.write is not None}
    assert {kind.name: kind.suffixes for kind in KINDS if kind.geometry} == written
    assert {kind.name for kind in KINDS if kind.centred and kind.geometry} == {
        f.name for f in GEOMETRIES if f.centred and f.write
    }
    said = " ".join(run("--help").output.replace("│", " ").split())
    for kind in KINDS:
        assert f"{' '.join(kind.suffixes)}: {kind.typed}" in said


def test_the_page_lists_every_kind():
    text = (Path(__file__).parents[2] / "docs/files.md").read_text(encoding="utf-8")
    table = text[text.index("| `--to` | kind |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[1:3]] for row in table]
    assert [(tuple(names), kind[0]) for names, kind in rows] == [(kind.suffixes, kind.typed) for kind in KINDS]


def test_each_file_has_a_kind_of_its_own():
    names = [
        "r.dcm",
        "r.dcm:structured-report",
        "C:\\a\\r.DCM:Spatial Registration",
        "C:\\a\\v.csv",
        "m.txt:ASTRA's cone_vec",
    ]
    chosen = choose(names, None)
    assert [str(path) for path, _ in chosen] == ["r.dcm", "r.dcm", "C:\\a\\r.DCM", "C:\\a\\v.csv", "m.txt"]
    expected = ["overlay", "structured report", "spatial registration", "a table of views", "ASTRA's cone_vec"]
    assert [kind.name for _, kind in chosen] == expected
    both = choose(["a.dcm", "r.dcm:structured-report"], "spatial registration")
    assert [kind.name for _, kind in both] == ["spatial registration", "structured report"]
    for wrong, kind, message in (
        ("r.dcm:report", None, "Expected as kind one of raygrads-json, .*structured-report. Got 'report'"),
        ("r.csv", "spatial registration", r"ends in \.dcm, for spatial registration. Got 'r.csv'"),
        ("r.csv:overlay", None, r"ends in \.dcm, for overlay"),
        ("m.txt", None, "kind as one of xmalabs-mayacam-2.0, .*say --to m.txt:xmalabs-mayacam-2.0"),
    ):
        with pytest.raises(InputError, match=message):
            choose([wrong], kind)


def test_the_kind_is_asked_for_where_names_do_not_tell(folder):
    refused = run(folder / "pose.json", "--to", folder / "out.txt")
    assert refused.exit_code == 2
    assert "Expected kind as one of" in refused.output
    assert run(folder / "pose.json", "--to", folder / "out.txt", "--kind", "projection matrices as text").exit_code == 0
    assert run(folder / "pose.json", "--to", folder / "out.csv").exit_code == 0
    expected = read_geometry(folder / "out.csv")
    found = read_geometry(folder / "out.txt", Frames(expected.image_shape, (2.0, 2.0))).world_to_pixel
    torch.testing.assert_close(found / found[:, 2:, 3:], expected.world_to_pixel / expected.world_to_pixel[:, 2:, 3:])


@pytest.mark.parametrize("suffix", [".tfm", ".h5"])
def test_a_transform_takes_the_patient_to_the_camera(folder, suffix):
    """By points: the source to the origin, the middle of the detector to (x0, y0, sdd)."""
    assert run(folder / "pose.json", "--to", folder / f"camera{suffix}", "--to", folder / "out.csv").exit_code == 0
    transform = sitk.ReadTransform(str(folder / f"camera{suffix}"))
    with (folder / "out.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    source, target = (ends[0, 0].tolist() for ends in read_geometry(folder / "out.csv").rays())
    for point, seen in ((source, (0, 0, 0)), (target, None)):
        found = transform.TransformPoint((-point[0], -point[1], point[2]))
        x, y, z = -found[0], -found[1], found[2]  # LPS to RAS
        if seen is None:  # the first pixel's centre, half a pixel in from the corner
            side = 1 if line["reverse_x_axis"] == "true" else -1
            seen = (5.0 + side * 29.0, 19.0, 1020.0)
        assert (x, y, z) == pytest.approx(seen, abs=1e-3)


def test_a_transform_has_one_view(folder):
    views = read_poses(folder / "pose.json") * 2
    write_poses(folder / "two.json", views, file_to_world=np.eye(4))
    refused = run(folder / "two.json", "--to", folder / "camera.tfm")
    assert refused.exit_code == 2
    assert "A transform has one view" in refused.output
