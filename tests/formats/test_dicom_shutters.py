"""Shutters and collimators of DICOM headers: exactly which pixels they leave."""

import numpy as np
import pytest
import torch
from dicom_xrays import save_dicom

from raygrad.cli._register_inputs import CAMERA_OPTIONS, Starts, prepare
from raygrad.formats import read_stack, read_xray

ROWS, COLUMNS = 12, 16
PIXELS = np.arange(ROWS * COLUMNS, dtype=np.uint16).reshape(ROWS, COLUMNS)
ROW, COLUMN = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]  # as DICOM counts them

RECTANGLE = {"LeftVerticalEdge": 3, "RightVerticalEdge": 14, "UpperHorizontalEdge": 2, "LowerHorizontalEdge": 9}
IN_RECTANGLE = (COLUMN >= 3) & (COLUMN <= 14) & (ROW >= 2) & (ROW <= 9)
CIRCLE, IN_CIRCLE = ([6, 8], 4), (ROW - 6) ** 2 + (COLUMN - 8) ** 2 <= 16
TRIANGLE, IN_TRIANGLE = [2, 2, 2, 10, 10, 2], (ROW >= 2) & (COLUMN >= 2) & (ROW + COLUMN <= 12)


def shutter(shapes, kind="Shutter"):
    header = {f"{kind}Shape": shapes}
    if "RECTANGULAR" in shapes:
        header |= {f"{kind}{edge}": value for edge, value in RECTANGLE.items()}
    if "CIRCULAR" in shapes:
        header[f"CenterOfCircular{kind}"], header[f"RadiusOfCircular{kind}"] = CIRCLE
    if "POLYGONAL" in shapes:
        header[f"VerticesOfThePolygonal{kind}"] = TRIANGLE
    return header


def mask_of(path):
    mask = read_xray(path, 1).mask
    return None if mask is None else mask.numpy()


@pytest.mark.parametrize("kind", ["Shutter", "Collimator"])
@pytest.mark.parametrize(
    ("shapes", "seen"),
    [
        (["RECTANGULAR"], IN_RECTANGLE),
        (["CIRCULAR"], IN_CIRCLE),
        (["POLYGONAL"], IN_TRIANGLE),
        (["RECTANGULAR", "CIRCULAR", "POLYGONAL"], IN_RECTANGLE & IN_CIRCLE & IN_TRIANGLE),
    ],
)
def test_shapes_leave_exactly_their_pixels(tmp_path, kind, shapes, seen):
    found = mask_of(save_dicom(tmp_path / "a.dcm", PIXELS, "XA", **shutter(shapes, kind)))
    np.testing.assert_array_equal(found, seen)
    assert found.dtype == np.float32


def test_concave_polygons_whichever_way_round(tmp_path):
    vertices = np.array([[1, 1], [1, 16], [12, 16], [12, 12], [4, 12], [4, 5], [12, 5], [12, 1]])  # an arch
    seen = (ROW <= 4) | (COLUMN <= 5) | (COLUMN >= 12)
    for order in (vertices, vertices[::-1], np.roll(vertices, 3, axis=0)):
        header = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": order.ravel().tolist()}
        np.testing.assert_array_equal(mask_of(save_dicom(tmp_path / "a.dcm", PIXELS, **header)), seen)


def test_circles_are_round_in_mm(tmp_path):
    header = shutter(["CIRCULAR"]) | {"ImagerPixelSpacing": [0.4, 0.2]}  # twice as high as wide
    found = mask_of(save_dicom(tmp_path / "a.dcm", PIXELS, "XA", **header))
    np.testing.assert_array_equal(found, (2 * (ROW - 6)) ** 2 + (COLUMN - 8) ** 2 <= 16)


def test_shutter_and_collimator_together(tmp_path):
    header = shutter(["RECTANGULAR"]) | shutter(["CIRCULAR"], "Collimator")
    np.testing.assert_array_equal(mask_of(save_dicom(tmp_path / "a.dcm", PIXELS, **header)), IN_RECTANGLE & IN_CIRCLE)


def test_every_frame_has_its_own(tmp_path):
    per_frame = [
        {"FrameDisplayShutterSequence": [shutter(["RECTANGULAR"])]},
        {"CollimatorShapeSequence": [shutter(["CIRCULAR"], "Collimator")]},
        {},
    ]
    run = np.stack([PIXELS] * 3)
    path = save_dicom(tmp_path / "a.dcm", run, "enhanced XA", PerFrameFunctionalGroupsSequence=per_frame)
    np.testing.assert_array_equal(read_xray(path, 1).mask, IN_RECTANGLE)
    np.testing.assert_array_equal(read_xray(path, 2).mask, IN_CIRCLE)
    assert read_xray(path, 3).mask is None
    np.testing.assert_array_equal(read_xray(path, "mean").mask, IN_RECTANGLE & IN_CIRCLE)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"ShutterShape": "RECTANGULAR"},  # with no edge
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [6, 8], "RadiusOfCircularShutter": 0},
        shutter(["RECTANGULAR"])
        | dict.fromkeys(("ShutterLeftVerticalEdge", "ShutterUpperHorizontalEdge"), 1)
        | {"ShutterRightVerticalEdge": COLUMNS, "ShutterLowerHorizontalEdge": ROWS},
    ],
)
def test_what_hides_nothing_is_no_mask(tmp_path, header):
    assert mask_of(save_dicom(tmp_path / "a.dcm", PIXELS, **header)) is None


def test_edges_that_are_no_pixels_are_left_out_and_told(tmp_path):
    header = {"CollimatorShape": "RECTANGULAR", "CollimatorLeftVerticalEdge": -184, "CollimatorRightVerticalEdge": 0}
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "CR", **header)
    with pytest.warns(UserWarning, match=r"a\.dcm': its shutter or collimator would hide all but"):
        assert mask_of(path) is None


def test_stacks_keep_what_is_hidden(tmp_path):
    run = save_dicom(tmp_path / "run.dcm", np.stack([PIXELS] * 3), "XA", **shutter(["CIRCULAR"]))
    (tmp_path / "views").mkdir()
    for number in (1, 2):
        save_dicom(tmp_path / "views" / f"{number}.dcm", PIXELS, "XA", **shutter(["CIRCULAR"]))
    alone = mask_of(tmp_path / "views" / "1.dcm")
    for path, frames in ((run, 3), (tmp_path / "views", 2)):
        stack = read_stack(path)
        assert stack.mask is not None
        assert len(stack.mask) == frames
        for mask in stack.mask:
            np.testing.assert_array_equal(mask, alone)


def test_the_command_multiplies_masks(tmp_path):
    header = {"DistanceSourceToDetector": 1000, "ImagerPixelSpacing": [0.5, 0.5]}
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "XA", **shutter(["RECTANGULAR"]), **header)
    weights = np.linspace(0.25, 1, COLUMNS, dtype=np.float32) * np.ones((ROWS, 1), dtype=np.float32)
    np.save(tmp_path / "mask.npy", weights)
    camera = dict.fromkeys(CAMERA_OPTIONS)
    (task,) = prepare([path], Starts(), camera)
    np.testing.assert_array_equal(task.mask, IN_RECTANGLE)
    (task,) = prepare([path], Starts(), camera, masks=[tmp_path / "mask.npy"])
    torch.testing.assert_close(task.mask, torch.from_numpy(weights * IN_RECTANGLE))
