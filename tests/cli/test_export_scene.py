"""`raygrad export --to scene.mrb`: the CT and the X-rays in the world of the CT's own file."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from found_views import AFFINE, found_view
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import Volume, read, write_volume
from raygrad.formats import read_geometry, read_poses, write_image, write_poses, write_stack

TO_LPS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture
def folder(tmp_path):
    write_volume(Volume(torch.arange(720, dtype=torch.int16).reshape(8, 9, 10), AFFINE), tmp_path / "ct.nii.gz")
    view = found_view("x.nrrd")
    file_to_world = read(tmp_path / "ct.nii.gz").file_to_world
    write_poses(tmp_path / "pose.json", [view], file_to_world=file_to_world)
    write_poses(tmp_path / "old.json", [view])
    write_image(tmp_path / "x.nrrd", torch.full((20, 30), 1.0), (2.0, 2.0))
    write_image(tmp_path / "y.nrrd", torch.full((20, 30), 2.0), (2.0, 2.0))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def volumes(path):
    """The volumes of a scene, by name."""
    out = path.with_suffix("")
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(out)
    return {file.stem: sitk.ReadImage(str(file)) for file in out.rglob("*.nrrd")}


@pytest.mark.parametrize("poses", ["pose.json", "old.json"])
def test_ct_and_x_ray_lie_where_the_file_of_the_ct_has_them(folder, poses):
    options = ("--ct", folder / "ct.nii.gz", "--xray", folder / "x.nrrd")
    result = run(folder / poses, "--to", folder / "scene.mrb", "--to", folder / "out.csv", *options)
    assert result.exit_code == 0, result.output
    assert "scene.mrb: 1 view(s), the world's origin is that of the CT's file" in result.output
    found = volumes(folder / "scene.mrb")
    point = np.array(found["CT"].TransformIndexToPhysicalPoint((0, 0, 0))) * TO_LPS
    voxel = np.rint(np.linalg.inv(AFFINE) @ [*point, 1])[:3].astype(int)  # axes may be turned over
    np.testing.assert_allclose((AFFINE @ [*voxel, 1])[:3], point, atol=1e-4)
    assert found["CT"][0, 0, 0] == np.ravel_multi_index(voxel, (8, 9, 10))
    pixel = np.array(found["X-ray-1"].TransformIndexToPhysicalPoint((3, 7, 0))) * TO_LPS
    column, row, depth = read_geometry(folder / "out.csv").world_to_pixel[0].numpy() @ [*pixel, 1]
    assert (column / depth, row / depth, depth) == pytest.approx((3, 7, 1020), abs=1e-3)


def test_x_rays_are_told_by_their_names_and_frames(folder):
    (view,) = read_poses(folder / "pose.json")
    write_stack(folder / "run.nrrd", torch.arange(4.0)[:, None, None].expand(4, 20, 30) + 10, (2.0, 2.0))

    def values(names, *xrays):
        write_poses(folder / "two.json", [replace(view, xray=name) for name in names], file_to_world=np.eye(4))
        options = [option for xray in xrays for option in ("--xray", folder / xray)]
        result = run(folder / "two.json", "--to", folder / "two.mrb", "--ct", folder / "ct.nii.gz", *options)
        assert result.exit_code == 0, result.output
        found = volumes(folder / "two.mrb")
        return [found[f"X-ray-{number + 1}"][0, 0, 0] for number in range(len(names))]

    assert values(["x.nrrd", "y.nrrd"], "y.nrrd", "x.nrrd") == [1, 2]
    assert values([None, "other"], "y.nrrd", "x.nrrd") == [2, 1]
    assert values(["run.nrrd, frame 3", "run.nrrd, mean frame"], "run.nrrd") == [12, 11.5]
    assert values(["run.nrrd, frame 2", "y.nrrd"], "y.nrrd", "run.nrrd") == [11, 2]
    assert values([None] * 4, "run.nrrd") == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "needs the CT (--ct) and the X-ray of each view (--xray)"),
        (["--ct", "ct.nii.gz"], "needs the X-ray of each view (--xray)"),
        (["--xray", "x.nrrd"], "needs the CT (--ct)"),
        (["--ct", "ct.nii.gz", "--xray", "x.nrrd", "--xray", "y.nrrd", "--xray", "x.nrrd"], "--xray 1 times"),
        (["--ct", "ct.nii.gz", "--xray", "none.nrrd"], "no X-ray"),
        (["--ct", "none.nii.gz", "--xray", "x.nrrd"], "no file or folder"),
        (["--ct", "ct.nii.gz", "--xray", "x.nrrd", "--centred"], "leave out --centred"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(folder, monkeypatch, options, message):
    monkeypatch.chdir(folder)
    refused = run("pose.json", "--to", "out.csv", "--to", "scene.mrb", *options)
    assert refused.exit_code == 2
    assert message in refused.output
    assert not (folder / "out.csv").exists()
    assert not (folder / "scene.mrb").exists()


def test_an_x_ray_is_for_scenes(folder):
    refused = run(folder / "pose.json", "--to", folder / "out.csv", "--xray", folder / "x.nrrd")
    assert refused.exit_code == 2
    assert "--xray is for scenes, overlays and reports" in refused.output
