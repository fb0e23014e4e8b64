"""`raygrad export --to overlay.dcm`: the overlay beside the poses, in the study of the X-ray."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from dicom_xrays import save_dicom
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.formats import View, write_poses
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found").mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(COLOURS, isVector=True), "found/overlay.png")
    write_poses("found/pose.json", [View(RigidTransform(torch.eye(4)), Intrinsics(1020.0, 4, 6, 2.0, 2.0), "AP", "a")])
    for name, study in (("run.dcm", "1.2.3"), ("second.dcm", "1.2.3"), ("other.dcm", "1.2.4")):
        save_dicom(tmp_path / name, np.zeros((4, 4), np.uint16), "XA", StudyInstanceUID=study, PatientID=study)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["export", "found/pose.json", *arguments])


def test_the_overlay_goes_into_the_study_of_the_x_rays(folder):
    result = run("--to", "out.dcm", "--xray", "found/overlay.png", "--xray", "run.dcm", "--xray", "second.dcm")
    assert result.exit_code == 0, result.output
    assert "out.dcm: the overlay, in the study of run.dcm" in result.output
    found = pydicom.dcmread("out.dcm")
    assert (found.StudyInstanceUID, found.PatientID) == ("1.2.3", "1.2.3")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage("out.dcm"))[0], COLOURS)


def test_without_an_x_ray_it_is_a_new_study(folder):
    result = run("--to", "out.dcm")
    assert result.exit_code == 0, result.output
    assert "in a new study" in result.output
    assert pydicom.dcmread("out.dcm").StudyInstanceUID != "1.2.3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--xray", "run.dcm", "--xray", "other.dcm"], "of one study"),
        (["--xray", "none.dcm"], "no X-ray 'none.dcm'"),
        (["--to", "none/out.dcm"], "no folder 'none'"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(folder, options, message):
    refused = run("--to", "views.csv", "--centred", "--to", "out.dcm", *options)
    assert refused.exit_code == 2
    assert message in refused.output
    assert not (folder / "views.csv").exists()
    assert not (folder / "out.dcm").exists()


def test_poses_without_an_overlay_beside_them_are_refused(folder):
    (folder / "found" / "overlay.png").unlink()
    refused = run("--to", "out.dcm")
    assert refused.exit_code == 2
    assert "overlay.png', which `raygrad register` writes" in refused.output
