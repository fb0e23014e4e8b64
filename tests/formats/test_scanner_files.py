"""Files of scanners and trackers: points of the world on the pixels where the maker's own formula has them."""

import math

import numpy as np
import pytest
import torch
from camera_formulas import POINTS, assert_pixels, pixels_of, project, project_cone_vectors, random_pinhole, turn
from PIL import Image
from real_files import real_data

from raygrad.formats import Frames, has_centred_world, read_geometry, read_xtekct, write_geometry
from raygrad.geometry import cone_vectors_of
from raygrad.geometry.trajectories import circular

FRAMES = Frames((6, 9), (4.0, 4.0))
SQUARE = {"sdd": 1200.0, "sid": 800.0, "height": 6, "width": 9, "delx": 4.0, "x0": 6.0, "y0": -4.5}


def rows(numbers):
    return "\n".join(",".join(map(str, row)) for row in numbers)


def mayacam(camera, rotation, translation, extra=""):
    parts = (f"image size\n9,6\n\ncamera matrix\n{rows(camera)}", f"rotation\n{rows(rotation)}")
    return "\n\n".join([*parts, f"translation\n{rows(translation[:, None])}"]) + "\n" + extra


def test_cameras_of_xmalab(tmp_path):
    pinhole = random_pinhole(np.random.default_rng(4))
    (tmp_path / "cam1.txt").write_text(mayacam(*pinhole, extra="\nundistortion\n0\n0\n0\n0\n0\n0\n0\n0\n"))
    views = read_geometry(tmp_path / "cam1.txt", Frames((6, 9), (0.3, 0.4)))
    assert_pixels(pixels_of(views)[0], project(*pinhole))
    write_geometry(tmp_path / "cam2.txt", views, kind="XMALab's MayaCam 2.0")
    again = read_geometry(tmp_path / "cam2.txt", Frames((6, 9), (0.3, 0.4)))
    torch.testing.assert_close(cone_vectors_of(again), cone_vectors_of(views), atol=1e-3, rtol=0)


MAYACAM_DAMAGES = {
    "distorted": (lambda text: text + "\nundistortion\n0.1\n0\n", "distorted image"),
    "no rotation": (lambda text: text.replace("rotation", "turn"), "'rotation' and 3 x 3 numbers"),
    "mirrored": (lambda text: text.replace("camera matrix\n", "camera matrix\n-"), "Expected K"),
}


@pytest.mark.parametrize("damage", MAYACAM_DAMAGES)
def test_damaged_cameras_of_xmalab_are_refused_with_the_reason(tmp_path, damage):
    change, reason = MAYACAM_DAMAGES[damage]
    (tmp_path / "a.txt").write_text(change(mayacam(*random_pinhole(np.random.default_rng(4)))))
    with pytest.raises(ValueError, match=reason):
        read_geometry(tmp_path / "a.txt", FRAMES)


CALIBRATION = "JT_INTCALIB\n1198\n3.5\n-2\n0.4\n"
POSES = [(4.5, -17, -1083, 8, 5, -2), (-28, -18, -1085, -84, 0.5, -9)]


def jts(poses):
    lines = (",".join(f"{number:16.7g}" for number in pose) for pose in poses)
    return "\n".join(["JT_EULER_312", "x_tran, y_tran, z_tran, z_rot, x_rot, y_rot", *lines]) + "\n"


def test_poses_of_jointtrack(tmp_path):
    (tmp_path / "calibration.txt").write_text(CALIBRATION)
    (tmp_path / "fem.jts").write_text(jts(POSES))
    views = read_geometry(tmp_path / "fem.jts", Frames((6, 9)))
    expected = []
    for x, y, z, about_z, about_x, about_y in POSES:
        turns = [turn(axis, math.radians(a)) for axis, a in (("z", about_z), ("x", about_x), ("y", about_y))]
        px, py, pz = turns[0] @ turns[1] @ turns[2] @ POINTS.T + np.array([[x], [y], [z]])
        right, up = px / -pz * 1198 + 3.5, py / -pz * 1198 - 2  # mm from the middle of the image
        expected.append(np.stack([right / 0.4 + 4, 2.5 - up / 0.4], axis=-1))
    assert_pixels(pixels_of(views), expected)
    tabs = jts(POSES).replace(",", ",\t").replace("JT_EULER_312", "JTA_EULER_KINEMATICS").replace("\n", ",\n")
    (tmp_path / "fem.jtak").write_text(tabs.replace("KINEMATICS,", "KINEMATICS"))
    assert_pixels(pixels_of(read_geometry(tmp_path / "fem.jtak", Frames((6, 9)))), expected)
    (tmp_path / "again").mkdir()
    write_geometry(tmp_path / "again/fem.jts", views)
    write_geometry(tmp_path / "again/tib.jts", views[:1])  # of the same calibration
    again = read_geometry(tmp_path / "again/fem.jts", Frames((6, 9)))
    assert_pixels(pixels_of(again), pixels_of(views), atol=5e-3)
    with pytest.raises(ValueError, match=r"Expected views of the calibration .* Got \(1200"):
        write_geometry(tmp_path / "again/other.jts", circular(2, **SQUARE))


def test_damaged_poses_of_jointtrack_are_refused_with_the_reason(tmp_path):
    path = tmp_path / "fem.jts"
    path.write_text(jts(POSES))
    for calibration, frames, reason in (
        (CALIBRATION, None, "size of the images"),
        (None, FRAMES, r"one calibration .* Got none"),
        ("JT_INTCALIB\n1198\n0\n0\n", FRAMES, r"size of a pixel in mm\. Got"),
    ):
        (tmp_path / "calibration.txt").unlink(missing_ok=True)
        if calibration is not None:
            (tmp_path / "calibration.txt").write_text(calibration)
        with pytest.raises(ValueError, match=reason):
            read_geometry(path, frames)
    (tmp_path / "calibration.txt").write_text(CALIBRATION)
    path.write_text(jts(POSES) + "NOT OPTIMIZED\n")
    with pytest.raises(ValueError, match=r"frame 3\. Got 'NOT OPTIMIZED'"):
        read_geometry(path, FRAMES)
    (tmp_path / "other.txt").write_text(CALIBRATION)
    with pytest.raises(ValueError, match=r"Got 'calibration.txt', 'other.txt'"):
        read_geometry(path, FRAMES)
    rectangles = circular(2, **SQUARE | {"dely": 3.0})
    with pytest.raises(ValueError, match="square pixels"):
        write_geometry(tmp_path / "new.jts", rectangles)


def points_of_stl(path):
    raw = path.read_bytes()
    count = int.from_bytes(raw[80:84], "little")
    if 84 + 50 * count == len(raw):
        kind = np.dtype([("normal", "<3f4"), ("corners", "<9f4"), ("attribute", "<u2")])
        return np.frombuffer(raw[84:], dtype=kind)["corners"].reshape(-1, 3).astype(float)
    lines = raw.decode(errors="ignore").splitlines()
    return np.array([line.split()[1:4] for line in lines if line.strip().startswith("vertex")], float)


@pytest.mark.parametrize("part", ["fem", "tib"])
@pytest.mark.parametrize("knee", ["knee_a", "knee_b"])
def test_implants_lie_on_their_labels_in_real_fluoroscopy(knee, part):
    folder = real_data("fluoroscopy") / knee
    views = read_geometry(folder / f"{part}.jts", Frames((1024, 1024)))
    labels = sorted((folder / "labels").glob(f"*_{part}.tif"))
    frames = sorted(file.stem for file in folder.glob("*.tif"))
    assert len(views) == len(frames)
    assert labels
    (surface,) = folder.glob(f"*_{part}.stl")
    points = points_of_stl(surface)
    for label in labels:
        image = np.asarray(Image.open(label)) > 0
        number = frames.index(label.stem.removesuffix(f"_label_{part}"))
        u, v, w = views.world_to_pixel[number].numpy() @ np.c_[points, np.ones(len(points))].T
        columns, rows = np.rint([u / w, v / w]).astype(int)
        near = torch.nn.functional.max_pool2d(torch.from_numpy(image).float()[None], 5, stride=1, padding=2)[0]
        assert near[rows, columns].mean() > 0.999  # within two pixels
        down, across = np.nonzero(image)
        found = [columns.min(), columns.max(), rows.min(), rows.max()]
        np.testing.assert_allclose(found, [across.min(), across.max(), down.min(), down.max()], atol=3)


XTEKCT = {
    "SrcToObject": 76.5,
    "SrcToDetector": 1127.0,
    "DetectorPixelsX": 9,
    "DetectorPixelsY": 6,
    "DetectorPixelSizeX": 4.0,
    "DetectorPixelSizeY": 3.0,
    "DetectorOffsetX": 1.5,
    "DetectorOffsetY": -0.5,
    "Projections": 4,
    "InitialAngle": 3.0,
    "AngularStep": 90.5,
    "WhiteLevel": 60000.0,
}


def xtekct(**changes):
    lines = (f"{name}={value}" for name, value in (XTEKCT | changes).items())
    return "\n".join(["[XTekCT]", "Name=steel", *lines, "[Xrays]", "XraykV=160"]) + "\n"


@pytest.mark.parametrize("form", ["straight", "new", "old"])
def test_scans_of_nikon(tmp_path, form):
    roll, tilt, axis_x = 0.0, 0.0, 0.0
    changes = {}
    if form == "new":
        changes, roll, tilt, axis_x = {"ObjectRoll": 2.0, "ObjectTilt": 3.0, "ObjectOffsetX": 0.7}, 2.0, -3.0, -0.7
    if form == "old":  # mm on the detector, at the upper and the lower edge of 18 mm
        changes = {"CentreOfRotationTop": 2.0, "CentreOfRotationBottom": 1.0}
        roll, axis_x = -math.degrees(math.atan2(1.0, 18.0)), -1.5 * 76.5 / 1127
    (tmp_path / "a.xtekct").write_text(xtekct(**changes))
    views = read_geometry(tmp_path / "a.xtekct", Frames((6, 9)))
    assert len(views) == 4
    axis = turn("x", math.radians(tilt)) @ turn("y", math.radians(roll)) @ [0, 0, 1]
    x_axis = np.cross([0, 1, 0], axis)
    x_axis /= np.linalg.norm(x_axis)
    object_to_laboratory = np.stack([x_axis, np.cross(axis, x_axis), axis], axis=1)
    laboratory = np.array([0, -76.5, 0, -1.5, 1127 - 76.5, -0.5, -4, 0, 0, 0, 0, -3], dtype=float)
    expected = []
    for number in range(4):
        # The object turns by -angle about its axis, and stands where the axis is.
        angle = math.radians(3.0 + 90.5 * number - 180)
        on_table = object_to_laboratory @ turn("z", -angle) @ (POINTS / 10).T
        expected.append(project_cone_vectors(laboratory[None], (on_table.T + np.array([axis_x, 0, 0])))[0])
    u, v, w = (views.world_to_pixel.numpy() @ np.c_[POINTS / 10, np.ones(7)].T).transpose(1, 0, 2)
    assert_pixels(np.stack([u / w, v / w], -1), expected)
    assert has_centred_world(tmp_path / "a.xtekct")
    said = read_xtekct(str(tmp_path / "a.xtekct"))
    assert (said["WhiteLevel"], said["Name"], said["XraykV"]) == (60000.0, "steel", 160.0)


def test_damaged_scans_of_nikon_are_refused_with_the_reason(tmp_path):
    for text, reason in (
        (xtekct(SrcToObject="far"), "SrcToObject as a number. Got 'far'"),
        (xtekct(SrcToObject=2000.0), "distances, sizes and counts"),
        (xtekct().replace("AngularStep", "Step"), "AngularStep as a number. Got None"),
    ):
        (tmp_path / "a.xtekct").write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_geometry(tmp_path / "a.xtekct")
    (tmp_path / "a.txt").write_text("nothing")
    with pytest.raises(ValueError, match="begins with"):
        read_xtekct(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError):
        read_xtekct(tmp_path / "none.xtekct")


def test_a_real_scan_of_nikon():
    path = real_data("conebeam") / "radiogram.xtekct"
    views = read_geometry(path, Frames((2000, 1500)))
    assert len(views) == 3142
    assert views.detector.sdd == pytest.approx(1127.464, abs=1e-3)
    assert (views.detector.delx, views.detector.dely) == pytest.approx((0.2, 0.2))
    source = views.source
    torch.testing.assert_close(source.norm(dim=-1), torch.full((3142,), 76.7512), atol=1e-3, rtol=0)
    steps = torch.rad2deg(torch.atan2(source[:, 1], source[:, 0])).diff().remainder(360)
    torch.testing.assert_close(steps, torch.full((3141,), 0.114577), atol=1e-3, rtol=0)
    assert read_xtekct(path)["WhiteLevel"] == 60000
