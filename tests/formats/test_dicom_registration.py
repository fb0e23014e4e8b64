"""A camera as a DICOM Spatial Registration: valid, and its matrix takes points of the CT where the camera has them."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from dicom_files import FRAME_OF_REFERENCE, ROOT, write_enhanced, write_series
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import Volume, read, write_volume
from raygrad.formats import InputError, View, read_geometry, write_poses, write_spatial_registration
from raygrad.geometry import Detector, Intrinsics
from raygrad.pose import convert, make_reorient

POSITIONS = [(-20.0, 30.0, 400.0 + 2 * k) for k in range(4)]
POINTS = np.random.default_rng(0).uniform(-50, 50, (6, 3)) + np.array([-15, 35, 404])  # LPS
CAMERA = Intrinsics(1020.0, 20, 30, 2.0, 1.5, 5.0, -3.0)


def view_of(orientation="AP", dtype=torch.float64):
    numbers = torch.tensor([[10.0, -5, 3]], dtype=dtype), torch.tensor([[4.0, 850, -7]], dtype=dtype)
    pose = convert(*numbers, parameterization="euler_angles", convention="ZXY", degrees=True)
    return View(pose, CAMERA, orientation, "x.png")


@pytest.fixture
def ct(tmp_path):
    return write_series(tmp_path / "ct", np.zeros((4, 5, 6), np.int16), POSITIONS)


def maps(path):
    """The matrices of a registration by frame of reference, and the one that is registered to."""
    found = pydicom.dcmread(path)
    matrices = {}
    for item in found.RegistrationSequence:
        (registration,) = item.MatrixRegistrationSequence
        (step,) = registration.MatrixSequence
        assert step.FrameOfReferenceTransformationMatrixType == "RIGID"
        numbers = np.array(step.FrameOfReferenceTransformationMatrix, dtype=float)
        matrices[item.FrameOfReferenceUID] = numbers.reshape(4, 4)
    return matrices, found.FrameOfReferenceUID


@pytest.mark.parametrize("poses", ["pose.json", "old.json"])
def test_points_of_the_ct_land_on_their_pixels_and_where_the_transform_has_them(tmp_path, ct, poses):
    write_poses(tmp_path / "pose.json", [view_of()], file_to_world=read(ct).file_to_world)
    write_poses(tmp_path / "old.json", [view_of()])
    arguments = ["export", str(tmp_path / poses), "--ct", str(ct)]
    for name in ("camera.tfm", "views.csv"):
        assert CliRunner().invoke(app, [*arguments, "--to", str(tmp_path / name)]).exit_code == 0
    result = CliRunner().invoke(app, [*arguments, "--to", str(tmp_path / "reg.dcm"), "--kind", "spatial registration"])
    assert result.exit_code == 0, result.output
    assert "reg.dcm: 1 view(s), the world's origin is that of the CT's file" in result.output
    matrices, camera = maps(tmp_path / "reg.dcm")
    assert set(matrices) == {FRAME_OF_REFERENCE, camera}
    np.testing.assert_array_equal(matrices[camera], np.eye(4))
    transform = sitk.ReadTransform(str(tmp_path / "camera.tfm"))
    world_to_pixel = read_geometry(tmp_path / "views.csv").world_to_pixel[0].numpy()
    for point in POINTS:
        x, y, z = (matrices[FRAME_OF_REFERENCE] @ [*point, 1])[:3]
        np.testing.assert_allclose((x, y, z), transform.TransformPoint(point), atol=1e-3)
        column, row, depth = world_to_pixel @ [-point[0], -point[1], point[2], 1]
        assert z == pytest.approx(depth, abs=1e-3)
        # Columns and rows run along x and y; the middle of the detector is at (x0, y0) in RAS.
        across, down = 1020.0 * x / z / 2.0 + 5.0 / 2.0, 1020.0 * y / z / 1.5 - 3.0 / 1.5
        assert (column / depth, row / depth) == pytest.approx((across + 14.5, down + 9.5), abs=1e-3)


def test_it_is_in_the_study_of_the_ct(tmp_path, ct):
    write_enhanced(tmp_path / "enhanced.dcm", np.zeros((4, 5, 6), np.int16), POSITIONS)
    for source in (ct, tmp_path / "enhanced.dcm"):
        write_spatial_registration(tmp_path / "reg.dcm", view_of("PA"), source)
        found = pydicom.dcmread(tmp_path / "reg.dcm")
        assert (found.StudyInstanceUID, found.PatientName, found.Modality) == (f"{ROOT}.9", "NOBODY", "REG")
        assert found.SeriesInstanceUID != f"{ROOT}.8"
        matrices, _ = maps(tmp_path / "reg.dcm")
        assert np.linalg.det(matrices[FRAME_OF_REFERENCE]) == pytest.approx(1)


def test_pydicomrt_reads_the_same_map(tmp_path, ct):
    """Another project's reader, which also checks what the object has to have."""
    registrations = pytest.importorskip("pydicomrt.reg", reason="pydicomrt is not installed")
    write_spatial_registration(tmp_path / "reg.dcm", view_of(), ct)
    written = pydicom.dcmread(tmp_path / "reg.dcm")
    assert registrations.check_spatial_reg_iod(written) == {"result": True, "content": []}
    read_again = registrations.get_spatial_registrations(written)[written.FrameOfReferenceUID][FRAME_OF_REFERENCE]
    view = view_of()
    whole = Detector.of(view.intrinsics, make_reorient(view.orientation)).camera_to_world(view.pose)
    world = np.c_[POINTS * [-1, -1, 1], np.ones(len(POINTS))].T
    in_camera = (whole.inverse().matrix[0].numpy() @ world)[:3].T * [-1, -1, 1]
    mapped = (np.array(read_again).reshape(4, 4) @ np.c_[POINTS, np.ones(len(POINTS))].T)[:3].T
    np.testing.assert_allclose(mapped, in_camera, atol=1e-3)


@pytest.mark.subprocess
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(tmp_path, ct):
    write_spatial_registration(tmp_path / "reg.dcm", view_of(), ct)
    said = subprocess.run(["dciodvfy", str(tmp_path / "reg.dcm")], capture_output=True, text=True, check=False)
    assert "SpatialRegistration" in said.stdout + said.stderr
    assert "Error" not in said.stdout + said.stderr


def test_a_ct_without_a_frame_of_reference_is_refused(tmp_path, ct):
    write_volume(Volume(torch.zeros(3, 3, 3), np.eye(4)), tmp_path / "ct.nii.gz")
    bare = write_series(tmp_path / "bare", np.zeros((4, 5, 6), np.int16), POSITIONS, FrameOfReferenceUID="")
    for source in (tmp_path / "ct.nii.gz", bare):
        with pytest.raises(InputError, match=r"Expected a CT in DICOM.*names none"):
            write_spatial_registration(tmp_path / "reg.dcm", view_of(), source)
    with pytest.raises(InputError, match=r"ends in \.dcm"):
        write_spatial_registration(tmp_path / "reg.txt", view_of(), ct)
    assert not (tmp_path / "reg.dcm").exists()


def test_the_command_says_what_is_missing(tmp_path, ct):
    write_poses(tmp_path / "two.json", [view_of(), view_of()], file_to_world=np.eye(4))
    arguments = [
        "export",
        str(tmp_path / "two.json"),
        "--kind",
        "spatial registration",
        "--to",
        str(tmp_path / "a.dcm"),
    ]
    for options, message in (
        ([], "needs the CT (--ct)"),
        (["--ct", str(ct), "--centred"], "leave out --centred"),
        (["--ct", str(ct)], "A transform has one view"),
        (["--ct", str(ct), "--xray", "x.png"], "--xray is for scenes, overlays and reports"),
    ):
        refused = CliRunner().invoke(app, [*arguments, *options])
        assert refused.exit_code == 2
        assert message in refused.output
    assert not (tmp_path / "a.dcm").exists()
