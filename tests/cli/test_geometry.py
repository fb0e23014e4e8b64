"""X-rays in DICOM on the command line: written with their geometry, shown, and registered without options."""

import numpy as np
import pydicom
import pytest
import torch
from cli_cases import save_lopsided_ct
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import read
from raygrad.formats import read_xray_geometry

CAMERA = ["--sdd", "600", "--height", "24", "--width", "32", "--delx", "3", "--dely", "4"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return save_lopsided_ct(tmp_path_factory.mktemp("ct") / "ct.nii.gz", spacing=(4.0, 5.0, 6.0))


@pytest.mark.parametrize("orientation", ["AP", "PA", "none"])
def test_drr_writes_dicom_that_renders_again(ct, tmp_path, orientation):
    output = tmp_path / "xray.dcm"
    turn = "10,5,0" if orientation != "none" else "10,95,0"
    far = "0,400,0" if orientation != "PA" else "0,-400,0"
    far = far if orientation != "none" else "0,0,-400"
    view = ["--rotation", turn, "--translation", far, "--orientation", orientation, "--x0", 7, "--y0", -5]
    done = run("drr", ct, "-o", output, *CAMERA, *view)
    assert done.exit_code == 0, done.output
    assert "warning" not in done.output
    geometry = read_xray_geometry(output)
    with torch.no_grad():
        image = geometry.view().make_drr(read(ct))(geometry.pose)[0, 0].numpy()
    assert image.max() > 1
    stored = pydicom.dcmread(output)
    scale = float(stored.DerivationDescription.split("exp(-")[1].split()[0])
    # Intensities are rounded: the darkest ones to one of 150.
    np.testing.assert_allclose(-np.log(stored.pixel_array / 60_000) / scale, image, atol=2e-3 * image.max())


def test_drr_says_what_dicom_cannot_hold(ct, tmp_path):
    done = run("drr", ct, "-o", tmp_path / "xray.dcm", *CAMERA, "--rotation", "0,0,7", "--translation", "3,400,4")
    assert done.exit_code == 0, done.output
    assert done.output.count("warning: The header of an XA cannot say") == 2
