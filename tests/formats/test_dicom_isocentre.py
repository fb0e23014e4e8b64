"""Enhanced XA in the room's axes: turned tables, patients that lie otherwise, detectors that are turned and cropped."""

import numpy as np
import pytest
from dicom_views import POINTS, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from xray_headers import ENHANCED_XA, c_arm, field_of_view, on_plane, save_header, turned

from raygrad.formats import read_xray_geometry

LEFT, DOWN, HEAD = np.eye(3)  # of one who lies supine with the head at the table's head: the room's x, y and z
LYING = {  # where the patient's left, back and head are in the room
    "HFS": (LEFT, DOWN, HEAD),
    "HFP": (-LEFT, -DOWN, HEAD),
    "FFS": (-LEFT, DOWN, -HEAD),
    "FFP": (LEFT, -DOWN, -HEAD),
    "HFDR": (-DOWN, LEFT, HEAD),
    "HFDL": (DOWN, -LEFT, HEAD),
}
SOD, SID = 750.0, 1200.0
GEOMETRY = [{"DistanceSourceToDetector": SID, "DistanceSourceToIsocenter": SOD}]
few = settings(max_examples=15, deadline=None, derandomize=True)
angle = st.floats(-40, 40)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("isocentre") / "e.dcm"


def save(path, frames, shared=None, **elements):
    """An enhanced XA: a list of the macros of each frame."""
    shared = {"XRayGeometrySequence": GEOMETRY} | (shared or {})
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": frames}
    return save_header(path, ENHANCED_XA, NumberOfFrames=len(frames), **groups, **elements)


def isocentre(arm=(0.0, 0.0, 0.0), place=(0.0, 0.0, 0.0), table=(0.0, 0.0, 0.0)):
    """The isocentre's macro: the arm's and the detector's angles, the table's place and angles."""
    names = ("PositionerIsocenterPrimaryAngle", "PositionerIsocenterSecondaryAngle")
    names += ("PositionerIsocenterDetectorRotationAngle",)
    names += ("TableXPositionToIsocenter", "TableYPositionToIsocenter", "TableZPositionToIsocenter")
    names += ("TableHorizontalRotationAngle", "TableHeadTiltAngle", "TableCradleTiltAngle")
    values = map(float, (*arm, *place, *table))
    return {"IsocenterReferenceSystemSequence": [dict(zip(names, values, strict=True))]}


def on_table(points, place, table):
    """Points of the table's axes in the room: first the cradle, then the head, then the whole table is turned."""
    horizontal, head, cradle = table
    assert turned(LEFT, HEAD, -10)[1] < 0  # the left goes up
    assert turned(HEAD, LEFT, 10)[1] < 0  # the head goes up
    assert turned(HEAD, DOWN, 10)[0] > 0  # the head goes to the left
    return turned(turned(turned(points, HEAD, -cradle), LEFT, head), DOWN, horizontal) + np.array(place)


def pixels_of(room, arm, middle=(30.0, 20.0), pixel=(0.4, 0.5)):
    """Where points of the room fall, for an image as from the detector."""
    primary, secondary, detector = arm
    source, centre, across, along = c_arm(primary, secondary, SOD, SID)
    across, along = (turned(axis, source - centre, detector) for axis in (across, along))
    return on_plane(room, source, centre, across, along) / np.array(pixel) + np.array(middle)


@given(st.tuples(angle, angle, angle), st.tuples(angle, angle, angle), st.sampled_from(sorted(LYING)), st.booleans())
@few
def test_the_patient_lies_on_a_turned_table(path, arm, table, position, coded):
    said = {"PatientPosition": position}
    if coded and position[2] in "SP":
        modifier = {"S": "40199007", "P": "1240000"}[position[2]]
        first = {"H": "102540001", "F": "102541002"}[position[0]]
        said = {
            "PatientOrientationCodeSequence": [{"PatientOrientationModifierCodeSequence": [{"CodeValue": modifier}]}],
            "PatientGantryRelationshipCodeSequence": [{"CodeValue": first}],
        }
    shared = {"FramePixelDataPropertiesSequence": [{"ImagerPixelSpacing": [0.5, 0.4]}]}
    geometry = read_xray_geometry(save(path, [isocentre(arm, table=table)], shared, **said))
    room = on_table(POINTS @ np.array(LYING[position]), (0, 0, 0), table)
    np.testing.assert_allclose(drawn(geometry), pixels_of(room, arm), atol=2e-3)  # angles are single precision
    assert not any("supine" in warning for warning in geometry.warnings)


def test_the_patient_moves_with_the_tables_place_and_turn(path):
    """Of frames whose table stands elsewhere only the first one's isocentre is taken to be at the CT's centre."""
    places, tables = [(10.0, -200.0, 30.0), (4.0, -180.0, 75.0)], [(0.0, 0.0, 0.0), (20.0, 5.0, -4.0)]
    frames = [isocentre((20, 5, 0), place, table) for place, table in zip(places, tables, strict=True)]
    shared = {"FramePixelDataPropertiesSequence": [{"ImagerPixelSpacing": [0.5, 0.4]}]}
    save(path, frames, shared, PatientPosition="FFP")
    points = POINTS @ np.array(LYING["FFP"]) - np.array(places[0])  # of the table's axes, the isocentre at the origin
    for frame in (1, 2):
        room = on_table(points, places[frame - 1], tables[frame - 1])
        np.testing.assert_allclose(drawn(read_xray_geometry(path, frame)), pixels_of(room, (20, 5, 0)), atol=1e-3)


def test_the_table_tops_place_moves_the_patient(path):
    """Angles about the patient, and the table's place by the other macro: longitudinal is to the left."""
    names = ("TableTopLongitudinalPosition", "TableTopVerticalPosition", "TableTopLateralPosition")
    frames = [
        {
            "PositionerPositionSequence": [{"PositionerPrimaryAngle": 20.0, "PositionerSecondaryAngle": 5.0}],
            "TablePositionSequence": [dict(zip(names, place, strict=True))],
        }
        for place in ((3.0, 0.0, 5.0), (8.0, -7.0, -15.0))
    ]
    shared = {"FramePixelDataPropertiesSequence": [{"ImagerPixelSpacing": [0.5, 0.4]}]}
    save(path, frames, shared, PatientPosition="HFS")
    expected = pixels_of(POINTS + np.array([5.0, -7.0, -20.0]), (20, 5, 0))
    np.testing.assert_allclose(drawn(read_xray_geometry(path, 2)), expected, atol=1e-3)


def test_a_room_without_a_patient_is_warned_of(path):
    geometry = read_xray_geometry(save(path, [isocentre((10, 0, 0))], CArmPositionerTabletopRelationship="NO"))
    assert geometry.has_view
    assert geometry.pose_deg == (15.0,) * 3
    assert any("supine, head first, along the table" in warning for warning in geometry.warnings)
    assert any("not part of the C-arm's system" in warning for warning in geometry.warnings)


@given(
    st.tuples(angle, angle, angle),
    st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.integers(20, 40),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.integers(5, 10), st.integers(5, 10)),
)
@few
def test_a_turned_detectors_field_of_view_and_the_part_of_it_that_is_stored(
    path, arm, rotation, flip, origin, side, corner, shape
):
    """Which physical pixel every stored one is, is worked out by cutting and turning an array of their places."""
    pitch, detector, projection = 0.3, (80, 90), (41.25, 38.5)
    field = field_of_view(detector, origin, (side, side), rotation, flip)
    stored = field[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]]
    steps = np.stack([stored[1, 0] - stored[0, 0], stored[0, 1] - stored[0, 0]], 1)
    shared = {
        "FieldOfViewSequence": [
            {
                "FieldOfViewOrigin": list(map(float, origin)),
                "FieldOfViewRotation": rotation,
                "FieldOfViewHorizontalFlip": "YES" if flip else "NO",
                "FieldOfViewDimensionsInFloat": [side * pitch] * 2,
            }
        ],
        "FramePixelDataPropertiesSequence": [
            {"ImagerPixelSpacing": [pitch] * 2, "PixelDataAreaOriginRelativeToFOV": list(map(float, corner))}
        ],
    }
    detector_module = {
        "DetectorElementSpacing": [pitch] * 2,
        "PhysicalDetectorSize": [pitch * length for length in detector],
        "PositionOfIsocenterProjection": list(projection),
    }
    save(path, [isocentre(arm)], shared, rows=shape[0], columns=shape[1], PatientPosition="HFS", **detector_module)
    geometry = read_xray_geometry(path)
    # On the detector, seen from it: element (row, column) has its centre (column, row) * pitch from that of the first.
    on_detector = pixels_of(POINTS, arm, projection[::-1], (pitch, pitch))
    found = np.linalg.solve(steps, (on_detector[:, ::-1] - stored[0, 0]).T).T  # row and column of the stored pixels
    np.testing.assert_allclose(drawn(geometry), found[:, ::-1] + 0.5, atol=2e-3)
    assert geometry.unknowns.x0_mm == 2
    assert not any("part of the detector" in warning for warning in geometry.warnings)


def test_a_stored_part_that_is_turned_in_its_field(path):
    shared = {
        "FieldOfViewSequence": [{"FieldOfViewOrigin": [0.0, 0.0]}],
        "FramePixelDataPropertiesSequence": [
            {
                "ImagerPixelSpacing": [0.5, 0.5],
                "PixelDataAreaOriginRelativeToFOV": [4.0, 6.0],
                "PixelDataAreaRotationAngleRelativeToFOV": 30.0,
            }
        ],
    }
    detector = {"DetectorElementSpacing": [0.5, 0.5], "PositionOfIsocenterProjection": [19.5, 29.5]}
    geometry = read_xray_geometry(save(path, [isocentre()], shared, PatientPosition="HFS", **detector))
    field = pixels_of(POINTS, (0, 0, 0), (30.0, 20.0), (0.5, 0.5)) - np.array([6.0, 4.0])
    row_axis = np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])  # clockwise: to the right and down
    found = np.stack([field @ row_axis, field @ np.array([-row_axis[1], row_axis[0]])], -1)
    np.testing.assert_allclose(drawn(geometry), found, atol=1e-4)


def test_a_stored_part_of_a_field_of_unknown_size_is_taken_for_the_middle(path):
    shared = {
        "FieldOfViewSequence": [{"FieldOfViewOrigin": [0.0, 0.0], "FieldOfViewHorizontalFlip": "YES"}],
        "FramePixelDataPropertiesSequence": [
            {"ImagerPixelSpacing": [0.5, 0.5], "PixelDataAreaOriginRelativeToFOV": [4.0, 6.0]}
        ],
    }
    detector = {"DetectorElementSpacing": [0.5, 0.5], "PositionOfIsocenterProjection": [19.5, 29.5]}
    geometry = read_xray_geometry(save(path, [isocentre()], shared, PatientPosition="HFS", **detector))
    assert geometry.intrinsics.x0 == geometry.intrinsics.y0 == 0
    assert geometry.unknowns.x0_mm >= 5
    assert any("where its middle is, the header does not say" in warning for warning in geometry.warnings)
