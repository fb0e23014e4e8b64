"""`raygrad drr --physics`: files hold what the library renders, DICOM is read back, and mistakes are one sentence."""

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from cli_cases import save_lopsided_ct
from typer.testing import CliRunner

from raygrad.cli import app
from raygrad.data import read
from raygrad.drr import DRR
from raygrad.formats import line_integrals, read_xray
from raygrad.physics import Collimator, Physics, Scatter, render
from raygrad.pose import convert

OPTIONS = ["--sdd", "600", "--height", "20", "--width", "24", "--delx", "3", "--dely", "4", "--translation", "0,400,0"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return save_lopsided_ct(tmp_path_factory.mktemp("ct") / "ct.nii.gz", spacing=(2.0, 2.5, 3.0))


@pytest.fixture(scope="module")
def seen(ct):
    drr = DRR(read(ct), 600.0, 20, 3.0, 24, 4.0, renderer="joseph")
    angles, xyz = torch.zeros(1, 3), torch.tensor([[0.0, 400.0, 0.0]])
    pose = convert(angles, xyz, parameterization="euler_angles", convention="ZXY")

    def rendered(physics, quantity, noise=0):
        return render(drr, pose, physics, quantity=quantity, noise=noise)[0, 0]

    return rendered


def test_a_picture_is_what_the_library_makes(ct, seen, tmp_path):
    result = run("drr", ct, "-o", tmp_path / "x.png", *OPTIONS, "--physics", "fluoroscopy", "--kvp", 80, "--noise", 5)
    assert result.exit_code == 0, result.output
    assert "picture at 80 kV, 3 mm aluminium + 0.2 mm copper, 2 microgray" in result.output
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.png")))
    expected = seen(Physics.preset("fluoroscopy", kvp=80.0), "picture", 5)
    np.testing.assert_array_equal(pixels, np.round(255 * expected.numpy()))
    assert pixels[10, 12] < pixels[0, 0]  # bone is dark


def test_every_option_reaches_the_physics(ct, seen, tmp_path):
    options = ["--kvp", "90", "--filtration", "al=2,cu=0.3", "--dose", "5", "--detector", "gos", "--scatter", "0.5"]
    options += ["--collimator", "40,50", "--no-noise", "--values", "counts"]
    result = run("drr", ct, "-o", tmp_path / "x.tif", *OPTIONS, "--physics", "cbct", *options)
    assert result.exit_code == 0, result.output
    assert "keV at 90 kV, 2 mm aluminium + 0.3 mm copper, 5 microgray" in result.output
    physics = Physics.preset(
        "cbct", 90.0, {"al": 2.0, "cu": 0.3}, 5.0, "gos", scatter=Scatter(0.5), collimator=Collimator(40.0, 50.0)
    )
    expected = seen(physics, "counts", None)
    torch.testing.assert_close(read_xray(tmp_path / "x.tif").pixels, expected, rtol=1e-4, atol=1e-2)
    assert expected[0, 0] < 0.05 * expected[10, 18]


def test_metal_is_told_and_can_be_something_else(tmp_path):
    hu = np.full((20, 20, 20), -1000, dtype=np.int16)
    hu[4:16, 4:16, 4:16], hu[9:11, 9:11, 9:11] = 40, 3071
    nibabel.save(nibabel.Nifti1Image(hu, np.diag([3.0, 3.0, 3.0, 1.0])), tmp_path / "ct.nii.gz")
    found = {}
    for metal in ("titanium", "gold", "none"):
        options = ["--physics", "cbct", "--no-noise", "--scatter", "0", "--metal", metal]
        result = run("drr", tmp_path / "ct.nii.gz", "-o", tmp_path / "x.tif", *OPTIONS, *options)
        assert result.exit_code == 0, result.output
        assert ("3071 HU" in result.output) == (metal != "none")
        found[metal] = read_xray(tmp_path / "x.tif").pixels.max()
    assert found["none"] < found["titanium"] < found["gold"]


def test_noise_has_a_seed_and_can_be_left_out(ct, tmp_path):
    def pixels(*options):
        result = run("drr", ct, "-o", tmp_path / "x.tif", *OPTIONS, "--physics", "fluoroscopy", *options)
        assert result.exit_code == 0, result.output
        return read_xray(tmp_path / "x.tif").pixels

    usual, zero, one, none = pixels(), pixels("--noise", 0), pixels("--noise", 1), pixels("--no-noise")
    assert torch.equal(usual, zero)
    assert not torch.equal(zero, one)
    assert (one - none).abs().max() < 0.5
    assert none.diff().abs().min() < (one - none).abs().mean()


@pytest.mark.parametrize("values", [None, "line-integrals", "picture"])
@pytest.mark.parametrize("preset", ["fluoroscopy", "radiography"])
def test_dicom_is_read_back_as_line_integrals(ct, seen, tmp_path, preset, values):
    chosen = [] if values is None else ["--values", values]
    options = ["--physics", preset, "--scatter", "0", "--collimator", "70", *chosen]
    result = run("drr", ct, "-o", tmp_path / "x.dcm", *OPTIONS, *options)
    assert result.exit_code == 0, result.output
    stored = pydicom.dcmread(tmp_path / "x.dcm")
    wanted = {None: "LIN", "line-integrals": "LOG", "picture": "DISP"}[values]
    assert stored.PixelIntensityRelationship == wanted
    assert stored.KVP == (75 if preset == "fluoroscopy" else 80)
    assert next(iter(np.atleast_1d(stored.FilterMaterial))) == "ALUMINUM"
    xray = read_xray(tmp_path / "x.dcm")
    assert xray.mask is not None
    assert xray.spacing == pytest.approx((3.0, 4.0))
    inside = xray.mask > 0
    found = line_integrals(xray)[inside]
    physics = Physics.preset(preset, scatter=None, collimator=Collimator(70.0, shape="round"))
    expected = seen(physics, "line integrals")[inside]
    pair = torch.stack([found, expected])
    assert torch.corrcoef(pair)[0, 1] > (0.85 if values == "picture" else 0.9999)
    if values != "picture":
        torch.testing.assert_close(found - found.median(), expected - expected.median(), rtol=0, atol=0.02)


def test_an_image_of_intensities_registers(ct, tmp_path):
    """`raygrad register` takes the file as it is, and what its header says of its numbers."""
    camera = ["--sdd", "600", "--height", "60", "--delx", "2", "--translation", "0,400,0"]
    assert run("drr", ct, "-o", tmp_path / "x.dcm", *camera, "--physics", "radiography").exit_code == 0
    result = run("register", ct, tmp_path / "x.dcm", "-o", tmp_path / "found", "--rotation", "3,-2,2")
    assert result.exit_code in (0, 1), result.output
    assert (tmp_path / "found" / "pose.json").exists()


@pytest.mark.parametrize("values", ["picture", "line-integrals"])
def test_a_beam_beside_the_ct_is_told(ct, tmp_path, values):
    """Noise would hide it: no pixel is 0."""
    options = ["--physics", "radiography", "--values", values]
    for place, told in (("0,400,0", False), ("900,400,0", True)):
        result = run("drr", ct, "-o", tmp_path / "x.tif", *OPTIONS, *options, "--translation", place)
        assert result.exit_code == 0, result.output
        assert ("No ray meets the volume" in result.output) == told


def test_a_window_is_of_a_pngs_line_integrals(ct, seen, tmp_path):
    options = [*OPTIONS, "--physics", "cbct", "--no-noise", "--window", "1,3"]
    for name in ("x.png", "x.dcm"):
        assert run("drr", ct, "-o", tmp_path / name, *options).exit_code == 0
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "x.png")))
    expected = seen(Physics.preset("cbct"), "line integrals", None)
    np.testing.assert_allclose(pixels, 255 * ((expected - 1) / 2).clip(0, 1), atol=0.51)
    assert pydicom.dcmread(tmp_path / "x.dcm").PixelIntensityRelationship == "LIN"


@pytest.mark.parametrize("seed", ["-1", "9" * 30])
def test_a_seed_is_a_number_that_generators_take(tmp_path, seed):
    result = run("drr", tmp_path / "no.nii.gz", "-o", tmp_path / "x.png", "--physics", "cbct", "--noise", seed)
    assert result.exit_code == 2
    assert "'--noise'" in result.output


def test_finer_slices_and_no_table(ct, tmp_path):
    def pixels(*options):
        result = run("drr", ct, "-o", tmp_path / "x.tif", *OPTIONS, "--physics", "cbct", "--no-noise", *options)
        assert result.exit_code == 0, result.output
        return read_xray(tmp_path / "x.tif").pixels

    plain, finer = pixels(), pixels("--finer-slices", "--remove-table")
    assert 0.01 < (finer - plain).abs().max() < 0.5
    assert float(finer.sum() / plain.sum()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--physics", "mri"], "preset of fluoroscopy, radiography, cbct. Got 'mri'"),
        (["--physics", "cbct", "--kvp", "20"], "kvp from 40 to 150. Got 20"),
        (["--physics", "cbct", "--filtration", "kryptonite=1"], "Got 'kryptonite'"),
        (["--physics", "cbct", "--filtration", "aluminium"], "such as aluminium=3,copper=0.1, not 'aluminium'"),
        (["--physics", "cbct", "--filtration", "aluminium=-1"], "Got -1"),
        (["--physics", "cbct", "--filtration", "al=2,Aluminum=1"], "has aluminium twice: 'al=2,Aluminum=1'"),
        (["--physics", "cbct", "--detector", "film"], "cdte-counting, ideal, ideal-counting. Got 'film'"),
        (["--physics", "cbct", "--dose", "-1"], "dose_ugy in microgray, a finite number above 0"),
        (["--physics", "cbct", "--scatter", "-1"], "ratio, a finite number of at least 0"),
        (["--physics", "cbct", "--noise", "1", "--no-noise"], "leave out one of them"),
        (["--physics", "cbct", "--collimator", "1,2,3"], "a diameter or height,width in mm, not '1,2,3'"),
        (["--physics", "cbct", "--metal", "unobtainium"], "Got 'unobtainium'"),
        (["--physics", "cbct", "--values", "hu"], "picture, intensity, counts, line-integrals, not 'hu'"),
        (["--physics", "cbct", "--bone", "2"], "Leave out one"),
        (["--kvp", "75"], "--kvp goes with --physics"),
        (["--no-noise"], "--no-noise goes with --physics"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, options, said):
    """Told before the CT is looked at, which is not there."""
    result = run("drr", tmp_path / "no.nii.gz", "-o", tmp_path / "x.png", *options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert len(result.output.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
