"""X-rays written as DICOM: valid, and a point of the patient falls on the stored pixel once they are read again."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raygrad.formats import InputError, View, read_xray_geometry, write_image, write_xray
from raygrad.geometry import Detector, Intrinsics
from raygrad.pose import RigidTransform, convert, make_reorient

POINTS = torch.from_numpy(np.random.default_rng(1).uniform(-60, 60, (1, 20, 3)))
CAMERA = Intrinsics(1020.0, 6, 8, 2.0, 1.5, x0=3.0, y0=-4.0)
IMAGE = 3 * torch.rand(6, 8, generator=torch.Generator().manual_seed(0))


def pose_of(*angles, xyz=(0.0, 800.0, 0.0)):
    numbers = torch.tensor([angles], dtype=torch.float64), torch.tensor([xyz], dtype=torch.float64)
    return convert(*numbers, parameterization="euler_angles", convention="ZXY", degrees=True)


def drawn(view, points):
    detector = Detector.of(view.intrinsics, make_reorient(view.orientation))
    return detector.camera_to_pixel(detector.camera_to_world(view.pose).inverse()(points))[0].numpy()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("written") / "xray.dcm"


@given(
    st.tuples(st.floats(-180, 180), st.floats(-80, 80), st.sampled_from([-90.0, 0.0, 90.0, 180.0])),
    st.tuples(st.floats(-40, 40), st.floats(700, 900), st.floats(-40, 40)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.booleans(),
    st.sampled_from(["AP", None]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_point_falls_on_the_same_pixel_again(path, angles, xyz, shape, offset, reverse, orientation):
    pose = pose_of(*angles, xyz=xyz)
    if orientation is None:
        pose = RigidTransform(pose.matrix @ make_reorient("AP").double())
    camera = Intrinsics(1020.0, *shape, 2.0, 1.5, *offset, reverse_x_axis=reverse)
    view = View(pose, camera, orientation)
    left_out = write_xray(path, torch.zeros(shape), view)
    assert not any("turned" in sentence for sentence in left_out)
    geometry = read_xray_geometry(path)
    # The header does not say where its isocentre is: the point of the beam next to the CT's centre, here known.
    whole = (pose.matrix[0] @ make_reorient(orientation).double()).numpy()
    isocentre = whole[:3, 3] - (whole[:3, 3] @ whole[:3, 2]) * whole[:3, 2]
    np.testing.assert_allclose(
        drawn(geometry.view(), POINTS - torch.from_numpy(isocentre)), drawn(view, POINTS), atol=1e-4
    )
    assert bool(left_out) == (np.linalg.norm(isocentre) > 0.01)
    assert geometry.has_view
    assert geometry.has_sdd
    assert geometry.unknowns.x0_mm == 2


def test_what_the_header_cannot_hold_is_said(path):
    left_out = write_xray(path, IMAGE, View(pose_of(10, 5, 7, xyz=(0.0, 800.0, 0.0)), CAMERA))
    assert len(left_out) == 1
    assert "turned by 7 degrees" in left_out[0]
    (sentence,) = write_xray(path, IMAGE, View(pose_of(0, 0, 0, xyz=(3.0, 800.0, 4.0)), CAMERA))
    assert "at 5 mm" in sentence
    assert write_xray(path, IMAGE, View(pose_of(0, 0, 0), CAMERA)) == []


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("relationship", ["LIN", "LOG"])
@pytest.mark.parametrize("angles", [(0, 0, 0), (123, -45, 90), (0, 90, 0)])
def test_dciodvfy_finds_no_error(path, relationship, angles):
    write_xray(path, IMAGE, View(pose_of(*angles), CAMERA), relationship)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert "XAImage" in lines
    assert [line for line in lines if line.startswith("Error")] == []
    assert said.returncode == 0


def test_intensities_and_line_integrals(path):
    write_xray(path, IMAGE, View(pose_of(0, 0, 0), CAMERA))
    stored = pydicom.dcmread(path)
    assert (stored.PixelIntensityRelationship, stored.PixelIntensityRelationshipSign) == ("LIN", 1)
    np.testing.assert_allclose(-np.log(stored.pixel_array / 60_000), IMAGE, atol=2e-4)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0], stored.pixel_array)
    write_xray(path, IMAGE, View(pose_of(0, 0, 0), CAMERA), "LOG")
    stored = pydicom.dcmread(path)
    assert (stored.PixelIntensityRelationship, stored.PixelIntensityRelationshipSign) == ("LOG", -1)
    np.testing.assert_allclose(stored.pixel_array * float(stored.RescaleSlope), IMAGE, atol=3e-5)


def test_great_line_integrals_are_scaled_and_the_scale_is_written(path):
    write_xray(path, 100 * IMAGE, View(pose_of(0, 0, 0), CAMERA))
    stored = pydicom.dcmread(path)
    assert stored.pixel_array.min() >= 140
    scale = 6 / (100 * IMAGE.max().item())
    assert f"exp(-{scale:.6g} line integral)" in stored.DerivationDescription


def test_dicom_is_written_with_a_view_or_not_at_all(tmp_path):
    view = View(pose_of(0, 0, 0), CAMERA)
    with pytest.raises(InputError, match="Expected the view of an image that is written as DICOM"):
        write_image(tmp_path / "a.dcm", IMAGE, (2.0, 1.5))
    write_image(tmp_path / "a.dcm", IMAGE, (2.0, 1.5), view=view)
    assert pydicom.dcmread(tmp_path / "a.dcm").Rows == 6
    for image, word in ((IMAGE[1:], "pixels"), (-IMAGE, "at least 0"), (IMAGE / 0, "finite")):
        with pytest.raises(InputError, match=word):
            write_xray(tmp_path / "b.dcm", image, view)
    with pytest.raises(InputError, match="LIN or LOG"):
        write_xray(tmp_path / "b.dcm", IMAGE, view, "DISP")
    with pytest.raises(InputError, match="between source and detector"):
        write_xray(tmp_path / "b.dcm", IMAGE, View(pose_of(0, 0, 0, xyz=(0.0, 1100.0, 0.0)), CAMERA))
    assert [file.name for file in tmp_path.iterdir()] == ["a.dcm"]
