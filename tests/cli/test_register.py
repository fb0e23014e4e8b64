"""`raygrad register`: what its options mean, what it reads and writes, and how it ends."""

import csv
import json
import math
import warnings

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from cli_cases import save_lopsided_ct
from dicom_xrays import save_dicom
from PIL import Image
from typer.testing import CliRunner

from raygrad import registration
from raygrad._errors import InputError
from raygrad.cli import app
from raygrad.cli._parsing import parse_pose
from raygrad.cli._register_inputs import CAMERA_OPTIONS, Starts, prepare
from raygrad.cli._register_physics import physics_options
from raygrad.cli._register_run import ADVICE, doubt_what_the_numbers_are
from raygrad.data import load_example_ct, make_reorient, read
from raygrad.formats import View, read_file_to_world, read_poses, write_poses
from raygrad.geometry import Intrinsics
from raygrad.pose import RigidTransform
from raygrad.registration import Iteration, RegistrationResult, Status, Uncertainty

CAMERA = Intrinsics(sdd=600.0, height=24, width=32, delx=3.0, dely=4.0)
OPTIONS = ["--sdd", "600", "--delx", "3", "--dely", "4", "--translation", "0,400,0"]
NOTHING = dict.fromkeys(CAMERA_OPTIONS)


def run(*arguments):
    return CliRunner().invoke(app, ["register", *(str(argument) for argument in arguments)])


def pose_of(*numbers):
    return parse_pose(None, None, ",".join(map(str, numbers)))


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return save_lopsided_ct(tmp_path_factory.mktemp("ct") / "ct.nii.gz", spacing=(4.0, 5.0, 6.0))


def save(path, pixels, spacing=None):
    image = sitk.GetImageFromArray(pixels)
    if spacing is not None:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def xray(ct, tmp_path):
    with torch.no_grad():
        view = View(pose_of(4, 2, -3, 5, 410, -6), CAMERA)
        image = view.make_drr(read(ct))(view.pose)[0, 0].numpy()
    return save(tmp_path / "xray.tif", image)


def test_an_xray_the_wrong_way_round_is_told(ct, xray, tmp_path):
    """Unless it was said what its numbers are. The header of this fluoroscopy says nothing, but bone is bright."""
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(xray)))
    levels = np.round(4000 * image / image.max()).astype(np.uint16)
    path, subject = save_dicom(tmp_path / "run.dcm", levels, "XA"), read(ct)
    camera = NOTHING | {"sdd": 600.0, "delx": 3.0, "dely": 4.0}
    for values, expected in ((None, ["--values display"]), ("display", []), ("inverted-display", [])):
        tasks, said = prepare([path], Starts(translation=["0,400,0"]), camera, values=values), []
        with warnings.catch_warnings():
            doubt_what_the_numbers_are(tasks, subject, said.append)
        assert len(said) == len(expected)
        assert all(advice in sentence for advice, sentence in zip(expected, said, strict=True))


@pytest.fixture
def labelmap(tmp_path):
    labels = np.zeros((20, 24, 28), dtype=np.uint8)
    labels[5:9, 8:12, 7:20] = 1
    labels[5:9, 14:18, 7:20] = 3
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([4.0, 5.0, 6.0, 1.0])), tmp_path / "labels.nii.gz")
    return tmp_path / "labels.nii.gz"


class Registrations:
    """Stands in for `raygrad.registration.register`: records what it is given, and ends as it is told."""

    def __init__(self, status=Status.CONVERGED, **fields):
        self.status, self.fields, self.poses = status, fields, None

    def __call__(self, xrays, drrs, inits, **options):
        self.xrays, self.drrs, self.inits, self.options = xrays, drrs, inits, options
        trace = []
        for number, angle in enumerate((0.0, 1.0, 2.0)):
            poses = pose_of(angle, 0, 0, 0, 0, 0).compose(inits[0])
            score = torch.tensor([0.7 + 0.1 * number])
            trace.append(Iteration(number, 0.1 * number, 0, (12, 16), poses, score))
        moved = trace[-1].pose
        poses = self.poses or tuple(init.compose(inits[0].inverse()).compose(moved) for init in inits)
        covariance = torch.diag(torch.tensor([1.0, 4.0, 25.0, *[math.radians(0.5) ** 2] * 3]))[None]
        return RegistrationResult(
            poses, torch.tensor([0.9]), (self.status,), tuple(trace), 0.25, Uncertainty(covariance, 80.0), **self.fields
        )


@pytest.fixture
def register(monkeypatch):
    stand_in = Registrations()
    monkeypatch.setattr(registration, "register", stand_in, raising=False)
    return stand_in


def test_everything_found_is_written(ct, xray, tmp_path, register):
    result = run(ct, xray, "-o", tmp_path / "new" / "found", *OPTIONS)
    assert result.exit_code == 0, result.output
    for part in ("32 x 24 pixels of 3 x 4 mm", "converged", "0.9", "pose.json"):
        assert part in result.output
    names = {"pose.json", "trace.csv", "overlay.png", "difference.png", "convergence.png", "convergence.gif"}
    assert {path.name for path in (tmp_path / "new" / "found").iterdir()} == names
    for name in names - {"pose.json", "trace.csv"}:
        with Image.open(tmp_path / "new" / "found" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10
    with open(tmp_path / "new" / "found" / "trace.csv") as file:
        assert [row["iteration"] for row in csv.DictReader(file)] == ["0", "1", "2"]

    content = json.loads((tmp_path / "new" / "found" / "pose.json").read_text())
    assert content["registration"]["status"] == "converged"
    assert content["registration"]["score"] == pytest.approx(0.9)
    deviations = content["registration"]["standard_deviations"]
    assert deviations["depth (mm)"] == pytest.approx(5.0)
    assert deviations["about y (degrees)"] == pytest.approx(0.5)
    file_to_world = read_file_to_world(tmp_path / "new" / "found" / "pose.json")
    np.testing.assert_allclose(file_to_world, read(ct).file_to_world, atol=1e-9)
    (view,) = read_poses(tmp_path / "new" / "found" / "pose.json")
    assert (view.xray, view.intrinsics) == ("xray.tif", CAMERA)
    expected = pose_of(0, 0, 0, 0, 400, 0).matrix @ pose_of(2, 0, 0, 0, 0, 0).matrix
    torch.testing.assert_close(view.pose.matrix, expected.double(), atol=1e-4, rtol=0)


def test_register_gets_the_xray_the_camera_the_start_and_the_options(ct, xray, tmp_path, register):
    mask = np.zeros((24, 32), dtype=np.uint8)
    mask[4:, 5:] = 255
    save(tmp_path / "mask.png", mask)
    arguments = ["--mask", tmp_path / "mask.png", "--method", "adam", "--renderer", "siddon", "--seed", 7]
    result = run(ct, xray, "-o", tmp_path / "a", *OPTIONS, "--x0", 5, "--y0=-6", "--no-animation", *arguments)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(register.xrays[0][0, 0], sitk.GetArrayFromImage(sitk.ReadImage(str(xray))))
    (drr,) = register.drrs
    assert drr.detector.intrinsics == Intrinsics(600.0, 24, 32, 3.0, 4.0, 5.0, -6.0)
    assert drr.renderer == "siddon"
    torch.testing.assert_close(register.inits[0].matrix, pose_of(0, 0, 0, 0, 400, 0).matrix)
    np.testing.assert_array_equal(register.options["mask"][0], mask / 255)
    assert register.options["method"] == "adam"
    assert register.options["seed"] == 7
    assert "ranges" not in register.options
    assert not (tmp_path / "a" / "convergence.gif").exists()


def test_a_parallel_beam_is_asked_for_saved_and_taken_from_a_pose_file(ct, xray, tmp_path, register):
    result = run(ct, xray, "-o", tmp_path / "a", *OPTIONS, "--parallel", "--no-animation")
    assert result.exit_code == 0, result.output
    assert "600 mm from where parallel rays begin" in result.output
    assert register.drrs[0].detector.parallel
    assert read_poses(tmp_path / "a" / "pose.json")[0].intrinsics.parallel
    result = run(ct, xray, "-o", tmp_path / "b", "--init", tmp_path / "a" / "pose.json", "--no-animation")
    assert result.exit_code == 0, result.output
    assert register.drrs[0].detector.parallel


def test_what_an_xray_hides_is_left_out_unless_refused(ct, tmp_path, register):
    """The mask is that of the picture times --mask, is said, and is drawn."""
    rows, columns = np.mgrid[:100, :120]
    bone = 30000 * np.exp(-((columns - 60) ** 2) / 400 - ((rows - 50) ** 2) / 900)
    within = np.hypot(rows - 50, columns - 60) < 45
    path = save(tmp_path / "xray.tif", np.where(within, 40000 - bone + rows, 0).astype(np.uint16))
    mask = np.full((100, 120), 255, dtype=np.uint8)
    mask[:, :60] = 0
    save(tmp_path / "mask.png", mask)
    options = [*OPTIONS, "--values", "intensity", "--no-animation"]

    result = run(ct, path, "-o", tmp_path / "a", *options, "--mask", tmp_path / "mask.png")
    assert result.exit_code == 0, result.output
    assert "left out: what lies beyond a round aperture" in result.output
    weights = register.options["mask"][0].numpy()
    assert not weights[~within | (mask == 0)].any()
    assert weights.sum() == pytest.approx(within[:, 60:].sum(), rel=0.1)
    picture = np.asarray(Image.open(tmp_path / "a" / "overlay.png").convert("RGB")).astype(int)
    assert ((picture[..., 0] > 200) & (picture[..., 1:] < 60).all(axis=-1)).sum() > 100

    result = run(ct, path, "-o", tmp_path / "b", *options, "--no-auto-mask")
    assert result.exit_code == 0, result.output
    assert "left out" not in result.output
    assert "mask" not in register.options


def test_search_has_its_ranges(ct, xray, tmp_path, register):
    assert run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation", "--search", "45,80").exit_code == 0
    assert register.options["ranges"] == registration.SearchRanges(degrees=45.0, mm=80.0)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("view", registration.ViewRanges()),
        ("sphere", registration.ViewRanges.sphere()),
        ("45/40/15,150,450-1000", registration.ViewRanges((45.0, 40.0, 15.0), 150.0, (450.0, 1000.0))),
        ("30,80,700-900.5", registration.ViewRanges(30.0, 80.0, (700.0, 900.5))),
    ],
)
def test_a_search_of_views_has_its_ranges(ct, xray, tmp_path, register, text, ranges):
    assert run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation", "--search", text).exit_code == 0
    assert register.options["ranges"] == ranges


def test_the_response_reaches_register(ct, xray, tmp_path, register):
    run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation", "--response", "transmission")
    assert register.options["response"] == "transmission"


def test_the_physics_reaches_register(ct, xray, tmp_path, register):
    asked = ["--physics", "radiography", "--estimate", "kvp, response"]
    assert run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation", *asked).exit_code == 0
    (physics,) = register.options["physics"]
    assert physics.spectrum.settings.kvp == 80
    assert register.options["estimate"] == ("kvp", "response")
    header = save_dicom(tmp_path / "run.dcm", np.full((4, 4), 9, np.uint16), "XA", KVP=96)
    for kvp, expected in ((None, 96), (70.0, 70)):
        (physics,) = physics_options("radiography", kvp, None, [header], "adam", False)["physics"]
        assert physics.spectrum.settings.kvp == expected
    run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation")
    assert register.options.keys().isdisjoint({"physics", "estimate"})


def test_what_else_is_unknown_reaches_register(ct, xray, labelmap, tmp_path, register):
    unknown = ["--structure", "spine=3,5-7", "--structure", "rib=1", "--labelmap", labelmap]
    unknown += ["--rigid", "rib, 3", "--calibrate", "sdd,x0_mm=5 pixel-size=0.02,pose_mm=2,pose_deg=1"]
    result = run(ct, xray, "-o", tmp_path / "a", *OPTIONS, "--no-animation", *unknown)
    assert result.exit_code == 0, result.output
    assert register.options["structures"] == {"spine": [3, 5, 6, 7], "rib": [1]}
    assert register.options["rigid"] == ["rib", 3]
    expected = registration.UnknownGeometry(pose_deg=1, pose_mm=2, sdd_mm=10, x0_mm=5, pixel_size=0.02)
    assert register.options["unknowns"] == expected
    assert torch.unique(register.drrs[0].mask).tolist() == [0, 1, 3]
    assert run(ct, xray, "-o", tmp_path / "b", *OPTIONS, "--no-animation").exit_code == 0
    assert register.options.keys().isdisjoint({"structures", "rigid", "unknowns", "ranges", "response"})


def test_structures_are_saved_and_where_they_went_is_said(ct, xray, labelmap, tmp_path, monkeypatch):
    rest = pose_of(2, 0, 0, 0, 0, 0).matrix @ pose_of(0, 0, 0, 0, 400, 0).matrix
    step = torch.eye(4)
    step[:3, 3] = torch.tensor([3.0, 0.0, 4.0])  # of the structure, in the world
    moved = RigidTransform(torch.linalg.inv(step) @ rest)
    found = Registrations(structures={"rib": (moved,)})
    found.poses = (RigidTransform(rest),)
    monkeypatch.setattr(registration, "register", found)
    arguments = ["--no-animation", "--structure", "rib=1", "--labelmap", labelmap]
    result = run(ct, xray, "-o", tmp_path, *OPTIONS, *arguments)
    assert result.exit_code == 0, result.output
    assert "rib: 5.00 mm and 0.00 degrees" in result.output
    saved = json.loads((tmp_path / "pose.json").read_text())["registration"]["structures"]["rib"]
    torch.testing.assert_close(torch.tensor(saved["poses"][0]), moved.matrix[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("status", ADVICE)
def test_a_pose_not_to_be_trusted_ends_with_1_and_says_what_to_do(ct, xray, tmp_path, monkeypatch, status):
    monkeypatch.setattr(registration, "register", Registrations(status), raising=False)
    result = run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation")
    assert result.exit_code == 1
    assert str(status) in result.output
    assert "--" in result.output or "X-ray from another direction" in result.output
    assert json.loads((tmp_path / "pose.json").read_text())["registration"]["status"] == str(status)


def test_calibrated_intrinsics_are_saved(ct, xray, tmp_path, monkeypatch):
    calibrated = ({"sdd": torch.tensor([612.5]), "x0": torch.tensor([1.5])},)
    monkeypatch.setattr(registration, "register", Registrations(intrinsics=calibrated), raising=False)
    result = run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation")
    assert result.exit_code == 0, result.output
    assert "xray.tif: found sdd 612.5, x0 1.5 mm" in result.output
    assert read_poses(tmp_path / "pose.json")[0].intrinsics == Intrinsics(612.5, 24, 32, 3.0, 4.0, 1.5)


def test_what_was_found_is_a_start_again(ct, xray, tmp_path, register):
    run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation", "--orientation", "pa")
    (found,) = read_poses(tmp_path / "pose.json")
    result = run(ct, xray, "-o", tmp_path / "again", "--init", tmp_path / "pose.json", "--no-animation")
    assert result.exit_code == 0, result.output
    torch.testing.assert_close(register.inits[0].matrix, found.pose.matrix)
    assert register.drrs[0].detector.intrinsics == found.intrinsics
    assert found.orientation == "PA"


def test_remarks_of_the_registration_are_passed_on(ct, xray, tmp_path, monkeypatch):
    import warnings

    class Warned(Registrations):
        def __call__(self, *arguments, **options):
            warnings.warn("It looks inverted.", UserWarning, stacklevel=1)
            return super().__call__(*arguments, **options)

    monkeypatch.setattr(registration, "register", Warned(), raising=False)
    assert "warning: It looks inverted." in run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation").output


def test_remarks_come_even_before_an_error(ct, xray, tmp_path, monkeypatch):
    import warnings

    def fail(*arguments, **options):
        warnings.warn("It looks inverted.", UserWarning, stacklevel=1)
        raise InputError("It is no X-ray.")

    monkeypatch.setattr(registration, "register", fail)
    result = run(ct, xray, "-o", tmp_path, *OPTIONS, "--no-animation")
    assert result.exit_code == 2
    assert result.output.splitlines()[-2:] == ["raygrad: warning: It looks inverted.", "raygrad: It is no X-ray."]


MISTAKES = {
    "no such X-ray": (["CT", "DIR/none.png"], "none.png"),
    "no image": (["CT", "DIR/broken.png"], "broken.png"),
    "no such CT": (["DIR/none.nii.gz", "XRAY", *OPTIONS], "none.nii.gz"),
    "distance unknown": (["CT", "XRAY", "--delx", "2"], "--sdd"),
    "pixel size unknown": (["CT", "XRAY", "--sdd", "1000"], "--delx"),
    "impossible distance": (["CT", "XRAY", "--sdd", "-1", "--delx", "2"], "--sdd"),
    "impossible size": (["CT", "XRAY", *OPTIONS, "--height", "0"], "--height"),
    "unknown response": (["CT", "XRAY", *OPTIONS, "--response", "linear"], "log, transmission, curve"),
    "kV of no system": (["CT", "XRAY", *OPTIONS, "--kvp", "75"], "--kvp goes with --physics"),
    "unknown system": (["CT", "XRAY", *OPTIONS, "--physics", "ct"], "fluoroscopy, radiography, cbct"),
    "kV beyond tables": (["CT", "XRAY", *OPTIONS, "--physics", "cbct", "--kvp", "200"], "from 40 to 150"),
    "unknown estimate": (["CT", "XRAY", *OPTIONS, "--physics", "cbct", "--estimate", "dose"], "kvp, filtration"),
    "estimate of adam": (
        ["CT", "XRAY", *OPTIONS, "--physics", "cbct", "--estimate", "kvp", "--method", "adam"],
        "--method lm",
    ),
    "response of adam": (["CT", "XRAY", *OPTIONS, "--response", "curve", "--method", "adam"], "--method lm"),
    "unknown values": (["CT", "XRAY", *OPTIONS, "--values", "photons"], "photons"),
    "unknown orientation": (["CT", "XRAY", *OPTIONS, "--orientation", "LL"], "LL"),
    "search": (["CT", "XRAY", *OPTIONS, "--search", "60"], "60,100"),
    "search nothing": (["CT", "XRAY", *OPTIONS, "--search", "0,0"], "0,0"),
    "search depth alone": (["CT", "XRAY", *OPTIONS, "--search", "45,150,450"], "(nearest, farthest)"),
    "search turned over": (["CT", "XRAY", *OPTIONS, "--search", "100/45/15,150,450-900"], "tilt up to 90"),
    "search words": (["CT", "XRAY", *OPTIONS, "--search", "everywhere"], "sphere"),
    "structure without labels": (["CT", "XRAY", *OPTIONS, "--structure", "spine"], "--structure"),
    "structure of no numbers": (["CT", "XRAY", *OPTIONS, "--structure", "spine=T1"], "spine=T1"),
    "structure upside down": (["CT", "XRAY", *OPTIONS, "--structure", "spine=9-3"], "spine=9-3"),
    "structure without labelmap": (["CT", "XRAY", *OPTIONS, "--structure", "spine=3"], "labelmap"),
    "calibrate what": (["CT", "XRAY", *OPTIONS, "--calibrate", "source"], "'source'"),
    "calibrate without a unit": (["CT", "XRAY", *OPTIONS, "--calibrate", "sdd=10"], "sdd_mm=..."),
    "calibrate how far": (["CT", "XRAY", *OPTIONS, "--calibrate", "sdd_mm=-3"], "positive standard deviation"),
    "calibrate no number": (["CT", "XRAY", *OPTIONS, "--calibrate", "sdd_mm="], "sdd_mm"),
    "calibrate half a pose": (["CT", "XRAY", *OPTIONS, "--calibrate", "pose_mm=2"], "pose_deg and pose_mm together"),
    "two X-rays, one start": (["CT", "XRAY", "XRAY", *OPTIONS], "--relative"),
    "two starts, one X-ray": (["CT", "XRAY", *OPTIONS, "--rotation", "0,0,0", "--rotation", "9,0,0"], "2 time(s)"),
    "no such pose file": (["CT", "XRAY", "--init", "DIR/none.json"], "none.json"),
    "pose twice": (["CT", "XRAY", "--init", "DIR/none.json", "--pose", "0,0,0,0,850,0"], "--init"),
    "mask of another size": (["CT", "XRAY", *OPTIONS, "--mask", "DIR/mask.png"], "5 x 4"),
    "folder is a file": (["CT", "XRAY", *OPTIONS, "-o", "XRAY"], "xray.tif"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_2(ct, xray, tmp_path, register, mistake):
    (tmp_path / "broken.png").write_bytes(b"no image")
    save(tmp_path / "mask.png", np.ones((4, 5), dtype=np.uint8))
    arguments, reason = MISTAKES[mistake]
    places = {"CT": str(ct), "XRAY": str(xray), "DIR": str(tmp_path)}
    for name, place in places.items():
        arguments = [word.replace(name, place) for word in arguments]
    if "-o" not in arguments:
        arguments += ["-o", str(tmp_path / "out")]
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.output.strip().splitlines()
    assert lines[-1].startswith("raygrad: ")
    assert reason in lines[-1]
    assert "Traceback" not in result.output
    assert not (tmp_path / "out" / "pose.json").exists()


def prepared(paths, starts=None, camera=None, **options):
    return prepare(paths, starts or Starts(), NOTHING | {"sdd": 600.0, "delx": 3.0} | (camera or {}), **options)


def test_every_xray_has_its_own_start_and_pixels(tmp_path):
    paths = [
        save(tmp_path / "a.tif", np.eye(4, 6, dtype=np.float32)),
        save(tmp_path / "b.tif", np.eye(8, dtype=np.float32)),
    ]
    starts = Starts(rotation=("0,0,0", "90,0,0"), translation=("0,700,0",))
    first, second = prepared(paths, starts)
    assert (first.view.intrinsics.height, first.view.intrinsics.width) == (4, 6)
    assert (second.view.intrinsics.height, second.view.intrinsics.width) == (8, 8)
    torch.testing.assert_close(first.view.pose.matrix, pose_of(0, 0, 0, 0, 700, 0).matrix)
    torch.testing.assert_close(second.view.pose.matrix, pose_of(90, 0, 0, 0, 700, 0).matrix)


def test_relative_keeps_the_geometry_of_the_cameras(tmp_path):
    paths = [save(tmp_path / f"{name}.tif", np.eye(8, dtype=np.float32)) for name in "ab"]
    related = [View(pose_of(10, 20, 30, 1, 800, 2), CAMERA), View(pose_of(95, 4, 3, 5, 820, 6), CAMERA)]
    write_poses(tmp_path / "rig.json", related)
    tasks = prepared(paths, Starts(pose=("-7,3,5,2,790,4",), relative=tmp_path / "rig.json"))
    reorient = RigidTransform(make_reorient("AP"))

    def second_to_first(one, other):
        return reorient.compose(other.pose).compose(reorient.compose(one.pose).inverse()).matrix

    torch.testing.assert_close(
        tasks[0].view.pose.matrix, pose_of(-7, 3, 5, 2, 790, 4).matrix.double(), atol=1e-4, rtol=0
    )
    expected = torch.linalg.solve(reorient.compose(related[0].pose).matrix, reorient.compose(related[1].pose).matrix)
    found = [reorient.compose(task.view.pose).matrix for task in tasks]
    torch.testing.assert_close(torch.linalg.solve(*found), expected.double(), atol=2e-3, rtol=0)


def test_several_pose_files_are_the_views_in_order(tmp_path):
    paths = [save(tmp_path / f"{name}.tif", np.eye(24, 32, dtype=np.float32)) for name in "abc"]
    poses = [pose_of(angle, 0, 0, 0, 800, 0) for angle in (0, 45, 90)]
    write_poses(tmp_path / "two.json", [View(pose, CAMERA) for pose in poses[:2]])
    write_poses(tmp_path / "one.json", [View(poses[2], CAMERA)])
    starts = Starts(init=(tmp_path / "two.json", tmp_path / "one.json"))
    for task, pose in zip(prepare(paths, starts, NOTHING), poses, strict=True):
        torch.testing.assert_close(task.view.pose.matrix, pose.matrix.double(), atol=1e-6, rtol=0)
        assert task.view.intrinsics == CAMERA
    with pytest.raises(InputError, match="3 pose"):
        prepare(paths[:2], starts, NOTHING)


def test_what_is_typed_comes_before_the_pose_file_and_that_before_the_header(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.eye(12, 16, dtype=np.float32)[None], spacing=(9.0, 8.0, 1.0))
    (task,) = prepare([path], Starts(), NOTHING | {"sdd": 600.0})
    assert (task.view.intrinsics.delx, task.view.intrinsics.dely) == (9.0, 8.0)
    write_poses(tmp_path / "pose.json", [View(pose_of(0, 0, 0, 0, 800, 0), CAMERA)])
    init = Starts(init=(tmp_path / "pose.json",))
    (task,) = prepare([path], init, NOTHING)  # half the pixels over the same detector
    assert task.view.intrinsics == Intrinsics(600.0, 12, 16, 6.0, 8.0)
    (task,) = prepare([path], init, NOTHING | {"sdd": 700.0, "delx": 5.0, "x0": 3.0})
    assert task.view.intrinsics == Intrinsics(700.0, 12, 16, 5.0, 5.0, 3.0)


def test_height_resamples_the_xray_over_the_same_detector(tmp_path):
    pixels = np.zeros((12, 16), dtype=np.float32)
    pixels[4:8, 8:12] = 16.0
    mask = save(tmp_path / "mask.tif", (pixels > 0).astype(np.float32))
    (task,) = prepared([save(tmp_path / "a.tif", pixels)], camera={"height": 3}, masks=[mask])
    assert task.view.intrinsics == Intrinsics(600.0, 3, 4, 12.0, 12.0)
    assert task.image.shape == (1, 1, 3, 4)
    assert task.mask.shape == (3, 4)
    assert task.image.mean() == pytest.approx(pixels.mean(), rel=0.1)
    assert task.image[0, 0].argmax() == task.mask.argmax() == 1 * 4 + 2


# The registration itself, on a small phantom


@pytest.fixture(scope="module")
def thorax():
    return load_example_ct(shape=(64, 64, 33))


@pytest.fixture
def example(thorax, monkeypatch):
    monkeypatch.setattr("raygrad.cli._loading.load_example_ct", lambda name, **options: thorax)


SMALL = Intrinsics(sdd=1020.0, height=50, width=50, delx=8.0, dely=8.0)
TRUTH = (6, 3, -4, 10, 860, -8)


def test_an_xray_finds_its_pose(example, thorax, tmp_path):
    with torch.no_grad():
        image = View(pose_of(*TRUTH), SMALL).make_drr(thorax)(pose_of(*TRUTH))[0, 0].numpy()
    path = save(tmp_path / "xray.tif", image)
    result = run("example", path, "-o", tmp_path, "--sdd", 1020, "--delx", 8)
    assert result.exit_code == 0, result.output
    (view,) = read_poses(tmp_path / "pose.json")
    to_truth = view.pose.inverse().compose(pose_of(*TRUTH)).matrix[0]
    assert (to_truth[:3, 3]).norm().item() < 1.0
    assert (to_truth[:3, :3] - torch.eye(3)).abs().max().item() < 0.01

    again = run("example", path, "-o", tmp_path / "again", "--init", tmp_path / "pose.json", "--no-animation")
    assert again.exit_code == 0, again.output
    torch.testing.assert_close(
        read_poses(tmp_path / "again" / "pose.json")[0].pose.matrix, view.pose.matrix, atol=0.2, rtol=0
    )

    negative = save(tmp_path / "negative.tif", image.max() - image)
    result = run("example", negative, "-o", tmp_path / "negative", "--sdd", 1020, "--delx", 8, "--no-animation")
    assert result.exit_code == 1, result.output
    assert "negative.tif was taken for line-integrals" in result.output
    assert result.output.count("--values intensity or inverted-display") == 1
    assert "looks inverted" not in result.output  # which says the same to those who write programs
    assert "no match" in result.output
    assert "--values" in result.output
