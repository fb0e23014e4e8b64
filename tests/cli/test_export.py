"""`raygrad export`: poses in the world of the CT's own file."""

import csv

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from found_views import AFFINE, found_view
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import Volume, read, write_volume
from raygrad.formats import Frames, read_file_to_world, read_geometry, read_poses, write_poses


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
    assert "Expected a file name that ends in" in result.output
    assert not (folder / "out.csv").exists()


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
