"""X-rays in DICOM on the command line: written with their geometry, shown, and registered without options."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
import torch
from cli_cases import save_lopsided_ct
from typer.testing import CliRunner
from xray_headers import DX, XA, save_header

from raygrad._errors import InputError
from raygrad.cli import app
from raygrad.cli._parsing import parse_pose
from raygrad.cli._register_headers import between_views
from raygrad.cli._register_inputs import CAMERA_OPTIONS, Starts, prepare
from raygrad.data import read
from raygrad.formats import read_xray_geometry
from raygrad.geometry import UnknownGeometry

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


# --- raygrad geometry


ARM = {
    "PositionerPrimaryAngle": 30.0,
    "PositionerSecondaryAngle": -10.0,
    "DistanceSourceToDetector": 600.0,
    "DistanceSourceToPatient": 400.0,
    "ImagerPixelSpacing": [4.0, 3.0],
}


def test_every_number_is_a_line_with_its_element(tmp_path):
    path = save_header(tmp_path / "run.dcm", NumberOfFrames=2, PositionerPrimaryAngleIncrement=[5.0], **ARM)
    done = run("geometry", path, "--frame", 2)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    cells = {line.split("  ")[0]: [cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines}
    assert cells["number"] == ["number", "value", "from", "sure to", "use", "note"]
    assert cells["source to detector"][1:] == ["600 mm", "DistanceSourceToDetector (0018,1110)", "5 mm", "used"]
    assert cells["pixel height, width"][1:4] == ["4, 3 mm", "ImagerPixelSpacing (0018,1164)", "0.5 %"]
    assert cells["primary angle's increment"][1] == "5 degrees"
    assert cells["isocentre in the CT"][1:4] == ["0, 0, 0 mm", "50 mm", "assumed"]
    assert "unknown" in cells["patient orientation of the image"]
    assert "rotation -145, 10, 0 (AP, ZXY) +- 8, 8, 8 degrees" in done.output
    assert "warning: Nothing links the X-ray to the CT" in done.output
    assert run("geometry", path, "--frame", 3).exit_code == 2


# --- raygrad register without options of the geometry


@pytest.fixture
def asked(monkeypatch):
    """What the registration is asked for, which then ends there."""
    found = {}

    def register(xrays, drrs, inits, **options):
        found.update(drrs=drrs, inits=[init.matrix[0].double().numpy() for init in inits], **options)
        raise InputError("asked")

    monkeypatch.setattr("raygrad.registration.register", register)
    return found


def save_xray(path, sop=XA, **elements):
    """A header with an image of something behind it."""
    pixels = np.arange(24 * 32, dtype="<u2") + 1000
    image = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16}
    image |= {"HighBit": 15, "PixelRepresentation": 0, "PixelData": pixels.tobytes(), "Modality": "XA"}
    image |= {"PixelIntensityRelationship": "LIN"}
    return save_header(path, sop, 24, 32, **(image | elements))


def ask(ct, folder, *arguments):
    done = run("register", ct, *arguments, "-o", folder / "found")
    assert "raygrad: asked" in done.output, done.output
    return done.output


def test_the_header_is_the_start_and_says_how_far_to_search(ct, tmp_path, asked):
    path = save_xray(tmp_path / "run.dcm", **ARM)
    said = ask(ct, tmp_path, path)
    header = read_xray_geometry(path)
    np.testing.assert_allclose(asked["inits"][0], header.pose.matrix[0], atol=1e-4)
    assert asked["ranges"].degrees == (16.0, 16.0, 16.0)
    assert asked["ranges"].mm == tuple(2 * length for length in header.pose_mm)
    assert "unknowns" not in asked
    intrinsics = asked["drrs"][0].detector.intrinsics
    assert (intrinsics.sdd, intrinsics.delx, intrinsics.dely) == (600.0, 3.0, 4.0)
    assert not intrinsics.reverse_x_axis
    assert "starts from its header, known to 8 degrees" in said
    assert "run.dcm: Nothing links the X-ray to the CT" in said


def test_what_is_typed_overrules_the_header(ct, tmp_path, asked):
    detector = {"DetectorElementSpacing": [4.0, 3.0], "DetectorActiveDimensions": [120.0, 120.0]}
    path = save_xray(tmp_path / "run.dcm", FieldOfViewOrigin=[0.0, 4.0], **detector, **ARM)
    ask(ct, tmp_path, path, "--translation", "0,390,5", "--search", "7,9", "--calibrate", "sdd_mm=3", "--sdd", 610)
    header = read_xray_geometry(path)
    rotation = header.pose.matrix[0, :3, :3].numpy()
    np.testing.assert_allclose(asked["inits"][0][:3, :3], rotation, atol=1e-6)
    np.testing.assert_allclose(asked["inits"][0][:3, 3], rotation @ [0, 390, 5], atol=1e-3)
    assert (asked["ranges"].degrees, asked["ranges"].mm, asked["unknowns"].sdd_mm) == (7, 9, 3)
    intrinsics = asked["drrs"][0].detector.intrinsics
    assert intrinsics.sdd == 610
    # The principal point is in column 16 = 120 / 3 / 2 - 4 and row 15, whichever way the camera counts columns.
    assert (intrinsics.x0, intrinsics.y0, intrinsics.reverse_x_axis) == (0, 12, False)
    ask(ct, tmp_path, path, "--rotation", "1,2,3", "--x0", 9)
    intrinsics = asked["drrs"][0].detector.intrinsics
    assert (intrinsics.x0, intrinsics.y0, intrinsics.reverse_x_axis) == (9, 12, True)
    np.testing.assert_allclose(asked["inits"][0], parse_pose("1,2,3", "0,400,0", None).matrix[0], atol=1e-5)


def test_a_typed_sdd_moves_a_start_that_had_to_be_assumed(ct, tmp_path, asked):
    angles = {"PositionerPrimaryAngle": -32, "PositionerSecondaryAngle": 2}
    path = save_xray(tmp_path / "run.dcm", **angles)
    said = ask(ct, tmp_path, path, "--sdd", 600, "--delx", 3)
    assert "how far the isocentre is" in said
    assert "distance from source to detector" not in said
    np.testing.assert_allclose(np.linalg.norm(asked["inits"][0][:3, 3]), 0.75 * 600, rtol=1e-5)
    assert asked["ranges"].degrees == (16.0, 16.0, 16.0)
    ask(ct, tmp_path, save_xray(tmp_path / "run.dcm", **ARM), "--sdd", 700)
    np.testing.assert_allclose(np.linalg.norm(asked["inits"][0][:3, 3]), 400, rtol=1e-5)


def test_a_typed_rotation_needs_no_search(ct, tmp_path, asked):
    ask(ct, tmp_path, save_xray(tmp_path / "run.dcm", **ARM), "--rotation", "1,2,3")
    assert "ranges" not in asked
    asked.clear()
    ask(ct, tmp_path, save_xray(tmp_path / "run.dcm", **ARM), "--method", "adam")
    assert "ranges" not in asked


def pair_of(folder, *, sop=XA, **elements):
    """Two files of one arm, from the front and from the side."""
    named = [{"PositionerPrimaryAngle": a, "SOPInstanceUID": f"1.2.{a}"} for a in (0, 90)]
    return [save_xray(folder / f"{own['SOPInstanceUID']}.dcm", sop, **(ARM | elements | own)) for own in named]


def test_headers_of_several_xrays_say_how_these_lie(ct, tmp_path, asked):
    paths = pair_of(tmp_path)
    said = ask(ct, tmp_path, *paths)
    for path, init in zip(paths, asked["inits"], strict=True):
        np.testing.assert_allclose(init, read_xray_geometry(path).pose.matrix[0], atol=1e-4)
    assert asked["unknowns"] == UnknownGeometry(pose_deg=2.0, pose_mm=20.0)
    assert "known to 2 degrees and 20 mm (taken one after the other: the table may have moved)" in said
    none = save_xray(tmp_path / "none.dcm", **(ARM | {"PositionerPrimaryAngle": None}))
    done = run("register", ct, paths[0], none, "-o", tmp_path / "found")
    assert "2 X-rays need as many --rotation" in done.output


def test_headers_that_name_no_file_are_not_taken_together(tmp_path):
    headers = [replace(read_xray_geometry(path), acquisition="") for path in pair_of(tmp_path)]
    assert between_views(headers)[:2] == (2.0, 20.0)
    assert between_views([replace(header, acquisition="1.2") for header in headers])[:2] == (1.0, 5.0)


@pytest.mark.parametrize("sequence", ["ReferencedImageSequence", "ReferencedOtherPlaneSequence"])
def test_planes_of_a_biplane_pair_lie_to_each_other_as_they_say(ct, tmp_path, asked, sequence):
    for a, plane, other in ((0, "A", 90), (90, "B", 0)):
        mask = {"ReferencedSOPInstanceUID": "1.2.7"}
        pair = {
            "ReferencedSOPInstanceUID": f"1.2.{other}",
            "PurposeOfReferenceCodeSequence": [{"CodeValue": "121314"}],
        }
        elements = {"ImageType": ["ORIGINAL", "PRIMARY", f"BIPLANE {plane}"], sequence: [mask, pair]}
        elements |= {"PositionerPrimaryAngle": a, "SOPInstanceUID": f"1.2.{a}"}
        save_xray(tmp_path / f"{plane}.dcm", **(ARM | elements))
    said = ask(ct, tmp_path, tmp_path / "A.dcm", tmp_path / "B.dcm")
    assert asked["unknowns"] == UnknownGeometry(pose_deg=1.0, pose_mm=5.0)
    assert "known to 1 degrees and 5 mm (taken together, by one machine)" in said
    assert "other plane's image" in run("geometry", tmp_path / "A.dcm").output


def test_radiographs_are_each_of_a_patient_placed_anew(ct, tmp_path, asked):
    views = [{"ViewPosition": v, "SOPInstanceUID": f"1.{k + 2}"} for k, v in enumerate(("AP", "LL"))]
    same = {"Modality": "DX", "DistanceSourceToDetector": 600, "ImagerPixelSpacing": [4, 3]}
    paths = [save_xray(tmp_path / f"{own['ViewPosition']}.dcm", DX, **same, **own) for own in views]
    said = ask(ct, tmp_path, *paths)
    assert "the patient was placed anew for each" in said
    assert asked["unknowns"].pose_deg == pytest.approx(np.hypot(10, 10))
    assert asked["unknowns"].pose_mm > 70


def test_headers_that_know_less_are_searched_wider(ct, tmp_path, asked):
    path = save_xray(tmp_path / "run.dcm", IntensifierSize=300, **ARM)
    ask(ct, tmp_path, path)
    assert asked["unknowns"] == UnknownGeometry(sdd_mm=20.0, pixel_size=0.05)
    ask(ct, tmp_path, path, path, "--delx", 3)
    assert asked["unknowns"] == UnknownGeometry(1.0, 5.0, sdd_mm=20.0, x0_mm=10.0, y0_mm=10.0)
    asked.clear()
    ask(ct, tmp_path, path, "--sdd", 600, "--delx", 3)
    assert "unknowns" not in asked


def test_without_a_side_in_the_header_nothing_is_searched(ct, tmp_path, asked):
    path = save_xray(tmp_path / "dx.dcm", DX, Modality="DX", DistanceSourceToDetector=600, ImagerPixelSpacing=[4, 3])
    ask(ct, tmp_path, path)
    assert "ranges" not in asked
    np.testing.assert_allclose(asked["inits"][0], parse_pose(None, None, None).matrix[0], atol=1e-5)
    path = save_xray(tmp_path / "no.dcm", **{name: value for name, value in ARM.items() if "Detector" not in name})
    done = run("register", ct, path, "-o", tmp_path / "found")
    assert "give --sdd in mm" in done.output
    done = run("register", ct, save_xray(tmp_path / "a.dcm", **ARM), "--translation", "0,390", "-o", tmp_path / "found")
    assert "--translation takes 3 numbers" in done.output


def test_an_orientation_of_the_headers_own_keeps_its_start(ct, tmp_path, asked):
    path = save_xray(tmp_path / "a.dcm", **ARM)
    ask(ct, tmp_path, path)
    start = asked["inits"][0]
    asked.clear()
    ask(ct, tmp_path, path, "--orientation", "AP")
    np.testing.assert_array_equal(asked["inits"][0], start)


def test_frames_from_different_places_are_named_by_number(ct, tmp_path):
    frames = {"NumberOfFrames": 2, "PixelData": np.arange(2 * 24 * 32, dtype="<u2").tobytes()}
    still = save_xray(tmp_path / "still.dcm", **ARM, **frames)
    turning = save_xray(tmp_path / "turning.dcm", **ARM, **frames, PositionerPrimaryAngleIncrement=[0.0, 40.0])
    camera = dict.fromkeys(CAMERA_OPTIONS)
    for path, words in ((still, ["mean"]), (turning, ["2"])):
        assert prepare([path], Starts(), camera, frames=words)[0].header is not None
    with pytest.raises(InputError, match=r"the number of a frame.*turning\.dcm.*Got 'least-dense'"):
        prepare([turning], Starts(), camera, frames=["least-dense"])
    (task,) = prepare([turning], Starts(rotation=["30,0,0"]), camera, frames=["least-dense"])
    assert task.header is None


@pytest.mark.parametrize("typed", [3.0, None])
def test_the_principal_point_stays_where_it_is_in_mm(tmp_path, typed):
    """Also where pixels are not as large as the header would have it, or it does not say how large."""
    detector = {"DetectorElementSpacing": [0.5, 0.5], "DetectorActiveDimensions": [300.0, 400.0]}
    arm = ARM | detector | {"FieldOfViewOrigin": [60.0, 80.0], "ImagerPixelSpacing": [4.0, 3.0]}
    if typed:
        del arm["ImagerPixelSpacing"]
    path = save_xray(tmp_path / "a.dcm", **arm)
    camera = dict.fromkeys(CAMERA_OPTIONS) | {"delx": typed, "dely": typed and 4.0}
    (task,) = prepare([path], Starts(), camera)
    found = task.view.intrinsics
    # 40 mm and 30 mm of the detector are cut off on the left and above, and its middle is at 200 and 150 mm.
    assert (found.x0, found.y0) == pytest.approx((16 * 3 - 160, 120 - 12 * 4))  # columns run as from the detector
