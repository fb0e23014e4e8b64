"""Counts and pictures as DICOM, with how they were taken; read again they mean what they meant."""

import math
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch

from raygrad.formats import InputError, Technique, View, line_integrals, read_xray, write_xray
from raygrad.geometry import Intrinsics
from raygrad.physics import AntiScatterGrid, Collimator, Physics
from raygrad.pose import convert

CAMERA = Intrinsics(1020.0, 21, 31, 2.0, 1.5)
LINES = 4 * torch.rand(21, 31, generator=torch.Generator().manual_seed(0))
TAKEN = Technique(75.0, {"aluminium": 3.0, "copper": 0.1}, 1.25, True, True, True, Collimator(20.0, 40.0))


def view() -> View:
    angles, xyz = torch.zeros(1, 3), torch.tensor([[0.0, 800.0, 0.0]])
    return View(convert(angles, xyz, parameterization="euler_angles", convention="ZXY"), CAMERA)


def test_counts_come_back_as_line_integrals(tmp_path):
    counts = 5e4 * torch.exp(-LINES)
    write_xray(tmp_path / "counts.dcm", counts, view(), values="intensity")
    stored = pydicom.dcmread(tmp_path / "counts.dcm")
    assert (stored.PixelIntensityRelationship, stored.PixelIntensityRelationshipSign) == ("LIN", 1)
    assert stored.PhotometricInterpretation == "MONOCHROME2"
    xray = read_xray(tmp_path / "counts.dcm")
    assert xray.values == "intensity"
    found = line_integrals(xray)
    torch.testing.assert_close(found - found.min(), LINES - LINES.min(), rtol=0, atol=2e-3)


def test_line_integrals_below_0_of_noise_are_kept(tmp_path):
    noisy = LINES - 0.1
    assert noisy.min() < 0
    write_xray(tmp_path / "log.dcm", noisy, view(), "LOG")
    xray = read_xray(tmp_path / "log.dcm")
    assert xray.values == "line-integrals"
    torch.testing.assert_close(xray.pixels, noisy, rtol=0, atol=1e-4)


@pytest.mark.parametrize("values", ["display", "inverted-display"])
def test_pictures_show_bone_dark_as_an_xa_does_and_are_read_with_bone_bright(tmp_path, values):
    bone = LINES / 4
    write_xray(tmp_path / "picture.dcm", bone if values == "display" else 1 - bone, view(), values=values)
    stored = pydicom.dcmread(tmp_path / "picture.dcm")
    assert (stored.PixelIntensityRelationship, stored.PhotometricInterpretation) == ("DISP", "MONOCHROME2")
    assert "PixelIntensityRelationshipSign" not in stored
    np.testing.assert_allclose(1 - stored.pixel_array / 65535, bone, atol=1e-5)
    found = line_integrals(read_xray(tmp_path / "picture.dcm"))
    torch.testing.assert_close((found - found.min()) / 65535, bone - bone.min(), rtol=0, atol=1e-4)


def test_the_header_says_how_it_was_taken(tmp_path):
    write_xray(tmp_path / "a.dcm", LINES, view(), technique=TAKEN)
    stored = pydicom.dcmread(tmp_path / "a.dcm")
    assert (stored.KVP, stored.Exposure, stored.ExposureInuAs) == (75, 1, 1250)
    assert stored.FilterMaterial == ["ALUMINUM", "COPPER"]
    assert stored.FilterThicknessMinimum == stored.FilterThicknessMaximum == [3.0, 0.1]
    assert (stored.DetectorType, stored.RadiationSetting) == ("SCINTILLATOR", "SC")
    assert stored.Grid == "IN"
    write_xray(tmp_path / "b.dcm", LINES, view())
    stored = pydicom.dcmread(tmp_path / "b.dcm")
    assert stored.KVP is None
    assert "FilterMaterial" not in stored


@pytest.mark.parametrize(
    "collimator",
    [
        Collimator(20.0, 40.0),
        Collimator(20.0, 40.0, turn_deg=25.0),
        Collimator(24.0, shape="round"),
        Collimator(20.0, 40.0, shape="round"),
        Collimator(24.0, 40.0, shape="octagon"),
    ],
)
def test_the_collimator_hides_what_it_covers(tmp_path, collimator):
    write_xray(tmp_path / "a.dcm", LINES, view(), technique=Technique(collimator=collimator))
    mask = read_xray(tmp_path / "a.dcm").mask
    field = collimator.field((21, 31), pixel_mm=(1.5, 2.0), like=LINES)[0, 0]
    assert mask is not None
    assert (mask[field < 0.3] == 0).all()
    # Whole pixels within it are seen, but for those that a corner's rounding takes.
    assert mask[field > 0.999].mean() > (0.999 if collimator.shape == "rectangle" and not collimator.turn_deg else 0.8)


def test_exposure_follows_from_the_dose_at_the_detector():
    physics = Physics.preset("radiography", kvp=80, dose=2.0).replaced(grid=AntiScatterGrid())
    near, far = (Technique.of(physics, sdd, 80.0, {"aluminium": 3.0}) for sdd in (1000.0, 2000.0))
    assert near.mas == pytest.approx(2.0 / float(physics.spectrum.air_kerma()))
    assert far.mas == pytest.approx(4 * near.mas)
    assert (far.scintillator, far.grid, far.collimator) == (True, True, None)
    assert Technique.of(Physics.preset("radiography", detector="selenium"), 1000.0).scintillator is False


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize("values", ["intensity", "display", "inverted-display"])
@pytest.mark.parametrize(("shape", "grid"), [("rectangle", False), ("round", True), ("octagon", None)])
def test_dciodvfy_finds_no_error(tmp_path, values, shape, grid):
    technique = replace(TAKEN, grid=grid, collimator=Collimator(24.0, shape=shape))
    write_xray(tmp_path / "a.dcm", LINES / 4, view(), values=values, technique=technique)
    said = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error") or "Unrecognized" in line] == []
    assert said.returncode == 0


@pytest.mark.parametrize(
    ("image", "values", "relationship", "said"),
    [
        (-LINES, "intensity", "LIN", "finite intensities of at least 0 to write"),
        (LINES * math.nan, "intensity", "LIN", "finite intensities"),
        (LINES, "display", "LIN", "grey levels of at least 0 and at most 1"),
        (LINES / 4, "display", "LOG", "LOG with line integrals. Got 'display'"),
        (LINES, "counts", "LIN", "line-integrals, intensity, display, inverted-display. Got 'counts'"),
        (-LINES, "line-integrals", "LIN", "finite line integrals of at least 0"),
    ],
)
def test_refused(tmp_path, image, values, relationship, said):
    with pytest.raises(InputError, match=said):
        write_xray(tmp_path / "a.dcm", image, view(), relationship, values=values)
    assert not list(tmp_path.iterdir())
