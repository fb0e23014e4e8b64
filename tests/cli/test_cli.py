"""The command line: what it writes is what the library renders, and mistakes are one sentence."""

import subprocess
import sys

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from cli_cases import save_lopsided_ct
from typer.testing import CliRunner

import raygrad
from raygrad.cli import app
from raygrad.cli._parsing import parse_pose
from raygrad.data import read
from raygrad.drr import DRR
from raygrad.formats import write_image
from raygrad.formats._images import to_grey_levels
from raygrad.pose import convert, make_reorient

CAMERA = {"sdd": 600.0, "height": 12, "width": 16, "delx": 3.0, "dely": 4.0}
OPTIONS = ["--sdd", "600", "--height", "12", "--width", "16", "--delx", "3", "--dely", "4", "--translation", "0,400,0"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return save_lopsided_ct(tmp_path_factory.mktemp("ct") / "ct.nii.gz", spacing=(2.0, 2.5, 3.0))


@pytest.fixture
def labelmap(tmp_path):
    labels = np.zeros((20, 24, 28), dtype=np.uint8)
    labels[5:9, 8:12, 7:20] = 2
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([2.0, 2.5, 3.0, 1.0])), tmp_path / "labels.nii.gz")
    return tmp_path / "labels.nii.gz"


def render(ct, rotation=(0.0, 0.0, 0.0), subject=None, **camera):
    drr = DRR(read(ct) if subject is None else subject, **(CAMERA | camera))
    angles, xyz = torch.tensor([rotation]), torch.tensor([[0.0, 400.0, 0.0]])
    return drr(angles, xyz, parameterization="euler_angles", convention="ZXY", degrees=True)[0, 0].numpy()


@pytest.mark.parametrize("suffix", [".tif", ".nii.gz"])
def test_float_files_hold_the_line_integrals(ct, tmp_path, suffix):
    output = tmp_path / f"xray{suffix}"
    result = run("drr", ct, "-o", output, *OPTIONS, "--rotation", "-30,10,5")
    assert result.exit_code == 0, result.output
    image = sitk.ReadImage(str(output))
    pixels = sitk.GetArrayFromImage(image).reshape(12, 16)
    expected = render(ct, (-30.0, 10.0, 5.0))
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, expected, atol=1e-5 * expected.max())
    assert expected.max() > 1
    assert image.GetSpacing()[:2] == pytest.approx((3.0, 4.0), rel=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_a_parallel_beam(ct, tmp_path):
    assert run("drr", ct, "-o", tmp_path / "xray.tif", *OPTIONS, "--parallel").exit_code == 0
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "xray.tif"))).reshape(12, 16)
    expected = render(ct, parallel=True)
    np.testing.assert_allclose(pixels, expected, atol=1e-5 * expected.max())
    assert abs(expected - render(ct)).max() > 1
    refused = run("drr", ct, "-o", tmp_path / "xray.dcm", *OPTIONS, "--parallel")
    assert refused.exit_code != 0
    assert "Expected a cone beam" in refused.output
    assert not (tmp_path / "xray.dcm").exists()


@pytest.mark.parametrize(("bits", "white"), [(8, 255), (16, 65535)])
def test_png_shows_bone_bright(ct, tmp_path, bits, white):
    result = run("drr", ct, "-o", tmp_path / "xray.png", *OPTIONS, "--bits", bits)
    assert result.exit_code == 0, result.output
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "xray.png")))
    expected = render(ct)
    assert pixels.max() == white
    assert pixels.flat[expected.argmax()] == white
    np.testing.assert_allclose(pixels, expected / expected.max() * white, atol=0.51)


def test_grey_levels_follow_window_and_invert():
    image = np.array([[-1.0, 0.0], [1.0, 3.0]])
    assert to_grey_levels(image, (0.0, 2.0)).tolist() == [[0, 0], [128, 255]]
    assert to_grey_levels(image, (0.0, 2.0), invert=True).tolist() == [[255, 255], [128, 0]]
    assert to_grey_levels(np.full((2, 2), 4.0)).tolist() == [[0, 0], [0, 0]]


def test_camera_options_reach_the_renderer(ct, tmp_path):
    output = tmp_path / "xray.tif"
    run("drr", ct, "-o", output, *OPTIONS, "--x0", 5, "--y0=-7", "--renderer", "joseph", "--orientation", "pa")
    expected = render(ct, subject=read(ct, orientation="PA"), x0=5.0, y0=-7.0, renderer="joseph")
    np.testing.assert_allclose(sitk.GetArrayFromImage(sitk.ReadImage(str(output))), expected, atol=1e-4)


@pytest.mark.parametrize("orientation", ["AP", "PA", "none"])
def test_without_a_translation_the_system_looks_at_the_volume(ct, tmp_path, orientation):
    """The middle ray goes through the centre, from 850 mm before it, however the system is turned."""
    result = run(
        "drr", ct, "-o", tmp_path / "x.nii.gz", "--height", 9, "--orientation", orientation, "--rotation", "20,10,5"
    )
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output
    assert nibabel.load(tmp_path / "x.nii.gz").get_fdata()[4, 4] > 0
    pose = parse_pose("20,10,5", None, None, orientation=None if orientation == "none" else orientation)
    camera = make_reorient(None if orientation == "none" else orientation)
    source, middle = (pose.matrix[0] @ camera @ torch.tensor([0.0, 0, far, 1]) for far in (0, 850))
    assert source[:3].norm().item() == pytest.approx(850, abs=1e-3)
    assert middle[:3].abs().max() < 1e-3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--translation", "0,-400,0"],
            "No ray meets the volume, which does not lie between the detector and the source at 0, -400, 0 mm",
        ),
        (["--orientation", "PA", "--translation", "0,400,0"], "No ray meets the volume"),
        (["--translation", "500,400,0"], "No ray meets the volume"),
        (
            ["--translation", "0,400,0", "--height", "1", "--delx", "0.01", "--x0", "20"],
            "nothing but air",
        ),
    ],
)
def test_an_empty_picture_is_told(ct, tmp_path, options, reason):
    result = run("drr", ct, "-o", tmp_path / "x.tif", "--height", 4, "--sdd", 600, *options)
    assert result.exit_code == 0, result.output
    assert reason in result.output
    assert not sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "x.tif")).any()


def test_labels_leave_only_their_structures(ct, labelmap, tmp_path):
    output = tmp_path / "bone.tif"
    result = run("drr", ct, "-o", output, *OPTIONS, "--labelmap", labelmap, "--labels", 2)
    assert result.exit_code == 0, result.output
    expected = render(ct, subject=read(ct, labelmap=labelmap, labels=[2]))
    np.testing.assert_allclose(sitk.GetArrayFromImage(sitk.ReadImage(str(output))), expected, atol=1e-4)
    assert expected.sum() < 0.9 * render(ct).sum()


def test_examples_are_known_by_name(ct, tmp_path, monkeypatch):
    asked = []

    def load(name, **options):
        asked.append((name, options["labels"]))
        return read(ct)

    monkeypatch.setattr("raygrad.cli._loading.load_example_ct", load)
    assert run("drr", "example", "-o", tmp_path / "a.png", *OPTIONS).exit_code == 0
    assert run("drr", "chest", "-o", tmp_path / "b.png", *OPTIONS, "--labels", "1 2").exit_code == 0
    assert asked == [("thorax", None), ("chest", [1, 2])]


def test_poses_say_the_same_in_every_parameterization():
    angles = torch.deg2rad(torch.tensor([[20.0, -10.0, 30.0]]))
    expected = convert(angles, torch.tensor([[1.0, 2.0, 3.0]]), parameterization="euler_angles", convention="ZYX")

    def text(numbers):
        return " ".join(f"{number:.9g}" for number in numbers.flatten().tolist())

    poses = [
        parse_pose("20,-10,30", "1,2,3", None, convention="ZYX"),
        parse_pose(None, None, "20,-10,30,1,2,3", convention="ZYX"),
        parse_pose(None, None, text(expected.matrix), "matrix"),
    ]
    for name in ("quaternion", "quaternion_adjugate", "rotation_6d", "rotation_9d", "rotation_10d"):
        turn, shift = expected.convert(name)
        poses.append(parse_pose(text(turn), text(shift), None, name))
    for name in ("axis_angle", "se3_log_map"):
        turn, shift = expected.convert(name)
        poses.append(parse_pose(None, None, f"{text(torch.rad2deg(turn))} {text(shift)}", name))
    for pose in poses:
        torch.testing.assert_close(pose.matrix, expected.matrix, atol=2e-4, rtol=1e-5)


MISTAKES = {
    "no such CT": (["nowhere.nii.gz"], "nowhere.nii.gz"),
    "unknown suffix": (["CT", "-o", "DIR/xray.jpg"], ".png, .tif"),
    "no such folder": (["CT", "-o", "DIR/no/xray.png"], "no folder"),
    "output is a folder": (["CT", "-o", "DIR/folder.png"], "which is a folder"),
    "too few pose values": (["CT", "--pose", "0,0,0"], "6 numbers"),
    "too many angles": (["CT", "--rotation", "0,0,0,0"], "3 numbers"),
    "no number": (["CT", "--translation", "0,far,0"], "'0,far,0'"),
    "pose twice": (["CT", "--pose", "0,0,0,0,850,0", "--rotation", "0,0,0"], "--pose"),
    "quaternion without rotation": (["CT", "--parameterization", "quaternion"], "4 numbers"),
    "matrix without pose": (["CT", "--parameterization", "matrix"], "16 numbers"),
    "unknown parameterization": (["CT", "--parameterization", "gibbs"], "gibbs"),
    "unknown convention": (["CT", "--convention", "ABC"], "ABC"),
    "unknown orientation": (["CT", "--orientation", "LL"], "LL"),
    "unknown renderer": (["CT", "--renderer", "magic"], "magic"),
    "pose that is not finite": (["CT", "--rotation", "nan,0,0"], "finite"),
    "impossible distance": (["CT", "--sdd", "-5"], "sdd"),
    "no pixels": (["CT", "--height", "0"], "height"),
    "bits": (["CT", "--bits", "12"], "12"),
    "window": (["CT", "--window", "5,0"], "5,0"),
    "labels without labelmap": (["CT", "--labels", "1"], "--labelmap"),
    "labelmap without labels": (["CT", "--labelmap", "CT"], "--labels"),
    "labelmap of an example": (["example", "--labelmap", "CT"], "own labelmap"),
    "labels that are no numbers": (["CT", "--labels", "rib"], "rib"),
    "broken CT": (["DIR/broken.nii.gz"], "broken.nii.gz"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_2(ct, tmp_path, mistake):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    arguments, reason = MISTAKES[mistake]
    arguments = [word.replace("CT", str(ct)).replace("DIR", str(tmp_path)) for word in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(tmp_path / "xray.png")]
    result = run("drr", *arguments)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("raygrad: ")
    assert reason in result.output
    assert "Traceback" not in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "xray.png").exists()


def test_nothing_is_half_overwritten(tmp_path, monkeypatch):
    output = tmp_path / "xray.tif"
    output.write_bytes(b"yesterday's image")

    def fail_half_way(image, path, **options):
        with open(path, "wb") as file:
            file.write(b"half")
        raise RuntimeError("sitk::ERROR: disk full")

    monkeypatch.setattr(sitk, "WriteImage", fail_half_way)
    with pytest.raises(OSError, match="disk full"):
        write_image(output, torch.ones(2, 3), (1.0, 1.0))
    assert output.read_bytes() == b"yesterday's image"
    assert list(tmp_path.iterdir()) == [output]


def test_info_names_every_backend():
    result = run("info")
    assert result.exit_code == 0, result.output
    for expected in (raygrad.__version__, torch.__version__, *raygrad.kernels.available_backends(), "cache", "chest"):
        assert expected in result.output


def test_version():
    assert run("--version").output.strip() == raygrad.__version__


@pytest.mark.parametrize(
    "command", [[], *([name] for name in "demo info drr landscape register project reconstruct".split()), ["evaluate"]]
)
def test_help(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.subprocess
def test_help_needs_nothing_heavy():
    program = (
        "import sys, raygrad, raygrad.cli; "
        "print([name for name in ('torch', 'numpy', 'matplotlib', 'SimpleITK', 'nibabel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
