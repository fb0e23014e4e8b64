"""Geometry from the headers of X-rays: points of the patient fall where the machine of the standard draws them."""

import math

import numpy as np
import pytest
import torch
from dicom_views import LPS_TO_RAS, POINTS, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from real_files import real_data
from xray_headers import DX, ENHANCED_XA, RT_IMAGE, XA, c_arm, field_of_view, on_plane, save_header, turned

from raygrad.formats import XRAY_VENDORS, InputError, read_xray_geometry
from raygrad.pose import make_reorient

ARM = {"DistanceSourceToDetector": 1200.0, "DistanceSourceToPatient": 750.0, "ImagerPixelSpacing": [0.5, 0.4]}
few = settings(max_examples=25, deadline=None, derandomize=True)
angles = st.floats(-180, 180), st.floats(-85, 85)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("headers")


def expected(primary, secondary, rows=40, columns=60, points=POINTS, middle=None, arm=ARM):
    """The same by the C-arm of `xray_headers`, for an image that is seen from the detector, head up."""
    parts = c_arm(primary, secondary, arm["DistanceSourceToPatient"], arm["DistanceSourceToDetector"])
    shadow = on_plane(points, *parts) / np.array(arm["ImagerPixelSpacing"])[::-1]
    return shadow + np.array([columns / 2, rows / 2] if middle is None else middle)


def save_arm(folder, primary=0.0, secondary=0.0, **more):
    more = {"PositionerPrimaryAngle": primary, "PositionerSecondaryAngle": secondary} | ARM | more
    return save_header(folder / "a.dcm", **more)


def numbers(geometry):
    return {number.keyword: number for number in geometry.provenance if number.keyword}


# --- XA


def test_at_0_0_the_patients_right_is_on_the_left_and_the_head_up(tmp_path):
    geometry = read_xray_geometry(save_arm(tmp_path))
    right, head, front = drawn(geometry, np.array([[-20.0, 0, 0], [0, 0, 20.0], [0.0, -100, 0]]))
    assert right[0] < 30 < 60
    assert head[1] < 20
    np.testing.assert_allclose(front, [30, 20])
    camera = geometry.pose.matrix[0] @ make_reorient("AP").double()
    np.testing.assert_allclose(camera[:3, 3], [0, -750, 0], atol=1e-9)  # below the patient's back
    np.testing.assert_allclose(camera[:3, 2], [0, 1, 0], atol=1e-12)


@given(*angles)
@few
def test_angles_are_about_the_patient_and_say_where_the_detector_is(folder, primary, secondary):
    geometry = read_xray_geometry(save_arm(folder, primary, secondary))
    np.testing.assert_allclose(drawn(geometry), expected(primary, secondary), atol=1e-6)
    assert geometry.has_view
    assert geometry.has_sdd
    assert geometry.has_pixel_size
    assert geometry.kind == "XA"


@given(
    *angles,
    st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.integers(5, 40), st.integers(5, 40)),
    st.sampled_from([1, 2]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_field_of_view_moves_the_principal_point(folder, primary, secondary, rotation, flip, origin, shape, binning):
    pitch = np.array([0.3, 0.2])
    detector = np.array([80, 90]) * binning
    rows, columns = shape
    stored = field_of_view(detector // binning, origin, shape, rotation, flip)
    spacing = pitch * binning if rotation % 180 == 0 else pitch[::-1] * binning
    # Where the detector's middle is among the stored pixels, by the physical pixels that these are: (row, column) is
    # stored[0, 0] + down * i + right * j, of whole steps along one axis each.
    step = [stored[1, 0] - stored[0, 0], stored[0, 1] - stored[0, 0]]
    i, j = np.linalg.solve(np.stack(step, 1), detector / binning / 2 - 0.5 - stored[0, 0])
    elements = {
        "ImagerPixelSpacing": spacing.tolist(),
        "DetectorElementSpacing": pitch.tolist(),
        "DetectorActiveDimensions": (pitch * detector).tolist(),
        "FieldOfViewOrigin": [place * binning for place in origin],
        "FieldOfViewRotation": rotation,
        "FieldOfViewHorizontalFlip": "YES" if flip else "NO",
    }
    geometry = read_xray_geometry(save_arm(folder, primary, secondary, rows=rows, columns=columns, **elements))
    arm = ARM | {"ImagerPixelSpacing": spacing}
    np.testing.assert_allclose(
        drawn(geometry), expected(primary, secondary, middle=[j + 0.5, i + 0.5], arm=arm), atol=1e-5
    )
    assert not any("middle" in warning for warning in geometry.warnings)


@given(st.floats(-80, 80), st.floats(-40, 40), st.integers(0, 3), st.booleans())
@few
def test_patient_orientation_tells_of_turned_and_mirrored_images(folder, primary, secondary, quarters, mirrored):
    _, _, right, down = c_arm(primary, secondary, 750.0, 1200.0)
    for _ in range(quarters):
        right, down = -down, right
    if mirrored:
        right = -right
    letters = [_letters(right), _letters(down)]
    geometry = read_xray_geometry(save_arm(folder, primary, secondary, PatientOrientation=letters))
    source, middle, _, _ = c_arm(primary, secondary, 750.0, 1200.0)
    found = on_plane(POINTS, source, middle, right, down) / [0.4, 0.5] + [30, 20]
    np.testing.assert_allclose(drawn(geometry), found, atol=1e-6)


def test_letters_along_the_beam_are_not_the_images(tmp_path):
    geometry = read_xray_geometry(save_arm(tmp_path, 95.0, 0.0, PatientOrientation=["L", "F"]))  # always written so
    np.testing.assert_allclose(drawn(geometry), expected(95.0, 0.0), atol=1e-6)
    assert any("along the beam" in warning for warning in geometry.warnings)


def _letters(lps):
    pairs = sorted(((abs(value), pair[int(value < 0)]) for value, pair in zip(lps, ("LR", "PA", "HF"), strict=True)))
    return "".join(letter for size, letter in reversed(pairs) if size > 0.3)


@given(st.floats(-10, 10), st.floats(-10, 10))
@few
def test_a_tilted_detector_is_met_at_a_slant(folder, row_deg, column_deg):
    geometry = read_xray_geometry(
        save_arm(folder, 30.0, 10.0, DetectorPrimaryAngle=row_deg, DetectorSecondaryAngle=column_deg)
    )
    source, middle, across, along = c_arm(30.0, 10.0, 750.0, 1200.0)
    beam = (middle - source) / 1200.0
    camera = (geometry.pose.matrix[0] @ make_reorient("AP").double()).numpy()
    normal, down = camera[:3, 2] * LPS_TO_RAS, -camera[:3, 1] * LPS_TO_RAS
    right = camera[:3, 0] * LPS_TO_RAS * (-1 if geometry.intrinsics.reverse_x_axis else 1)
    # The beam leans to higher columns by the primary tilt, to lower rows by the secondary one.
    np.testing.assert_allclose((beam @ right) / (beam @ normal), math.tan(math.radians(row_deg)), atol=1e-9)
    np.testing.assert_allclose((beam @ down) / (beam @ normal), -math.tan(math.radians(column_deg)), atol=1e-9)
    shadow = on_plane(POINTS, source, middle, right, down) / [0.4, 0.5] + [30, 20]
    np.testing.assert_allclose(drawn(geometry), shadow, atol=1e-6)


@pytest.mark.parametrize(
    ("increments", "primary"),
    [([2.0], 36.0), ([0.0, 1.5, 2.5, 7.0], 37.0), ([5.0, 6.0], 30.0)],
    ids=["one average step", "an offset a frame", "neither"],
)
def test_increments_of_both_kinds(tmp_path, increments, primary):
    path = save_arm(
        tmp_path, 30.0, 10.0, NumberOfFrames=4, PositionerMotion="DYNAMIC", PositionerPrimaryAngleIncrement=increments
    )
    np.testing.assert_allclose(drawn(read_xray_geometry(path)), expected(30.0, 10.0), atol=1e-6)
    last = read_xray_geometry(path, 4)
    np.testing.assert_allclose(drawn(last), expected(primary, 10.0), atol=1e-6)
    assert any("not used" in warning for warning in last.warnings) == (len(increments) == 2)
    with pytest.raises(InputError, match="Expected a frame of 1 to 4"):
        read_xray_geometry(path, 5)


def test_the_patient_moves_with_the_table(tmp_path):
    moves = {"TableLongitudinalIncrement": [0.0, 5.0], "TableLateralIncrement": [0.0, -7.0]}  # left; along to the feet
    path = save_arm(tmp_path, 20.0, -5.0, NumberOfFrames=2, TableMotion="DYNAMIC", **moves)
    after = expected(20.0, -5.0, points=POINTS + np.array([5.0, 0.0, -7.0]))
    np.testing.assert_allclose(drawn(read_xray_geometry(path, 2)), after, atol=1e-6)
    path = save_arm(tmp_path, 20.0, -5.0, NumberOfFrames=2, TableMotion="STATIC", **moves)
    still = read_xray_geometry(path, 2)
    np.testing.assert_allclose(drawn(still), expected(20.0, -5.0), atol=1e-6)
    assert any("did not move" in warning for warning in still.warnings)


def test_spacing_in_the_patient_is_not_the_detectors(tmp_path):
    geometry = read_xray_geometry(save_arm(tmp_path, PixelSpacing=[0.31, 0.25], PixelSpacingCalibrationType="GEOMETRY"))
    assert (geometry.intrinsics.delx, geometry.intrinsics.dely) == (0.4, 0.5)
    assert numbers(geometry)["PixelSpacing"].used is False
    path = save_header(tmp_path / "b.dcm", PixelSpacing=[0.31, 0.25], PixelSpacingCalibrationType="GEOMETRY")
    alone = read_xray_geometry(path)
    assert not alone.has_pixel_size
    assert alone.intrinsics.delx == 5.0
    assert alone.unknowns.pixel_size == 0.5
    assert any("pixels' size" in warning for warning in alone.warnings)


def test_zeros_and_nonsense_are_said_and_never_used(tmp_path):
    zeros = {"DistanceSourceToDetector": 0, "DistanceSourceToPatient": 0, "ImagerPixelSpacing": [0, 0]}
    geometry = read_xray_geometry(save_arm(tmp_path, **zeros))
    assert not geometry.has_sdd
    assert not geometry.has_pixel_size
    assert geometry.intrinsics.sdd == 1000.0
    assert geometry.unknowns.sdd_mm == 150.0
    assert sum("taken as not known" in warning for warning in geometry.warnings) == 3
    assert max(geometry.pose_mm) > 75
    beyond = read_xray_geometry(save_arm(tmp_path, DistanceSourceToPatient=1300))
    assert any("beyond the detector" in warning for warning in beyond.warnings)
    magnified = save_header(
        tmp_path / "m.dcm", EstimatedRadiographicMagnificationFactor=1.25, **{"DistanceSourceToDetector": 1000.0}
    )
    assert next(n for n in read_xray_geometry(magnified).provenance if n.name == "magnification").value == 1.25


def test_letters_for_a_number_are_no_number(tmp_path):
    path = save_arm(tmp_path, DistanceSourceToDetector=1234.0)
    path.write_bytes(path.read_bytes().replace(b"1234.0", b"1.2.34"))
    with pytest.warns(UserWarning, match="cannot be read: DistanceSourceToDetector"):
        geometry = read_xray_geometry(path)
    assert not geometry.has_sdd
    assert geometry.has_pixel_size


LENGTHS = [
    "DistanceSourceToDetector",
    "DistanceSourceToPatient",
    "RTImageSID",
    "RadiationMachineSAD",
    "IntensifierSize",
]
ANGLES = [
    "PositionerPrimaryAngle",
    "DetectorPrimaryAngle",
    "DetectorSecondaryAngle",
    "GantryAngle",
    "FieldOfViewRotation",
]
PAIRS = ["ImagerPixelSpacing", "PixelSpacing", "DetectorElementSpacing", "ImagePlanePixelSpacing", "FieldOfViewOrigin"]
anything = st.sampled_from([0.0, -1.0, 1e-6, 1.0, 90.0, 500.0, 1e9])


@given(
    st.sampled_from([XA, ENHANCED_XA, RT_IMAGE, DX]),
    st.dictionaries(st.sampled_from(LENGTHS + ANGLES), anything),
    st.dictionaries(st.sampled_from(PAIRS), st.tuples(anything, anything)),
    st.lists(anything, min_size=6, max_size=6),
)
@few
def test_whatever_is_written_the_geometry_is_one(folder, sop, numbers, pairs, orientation):
    path = save_header(folder / "any.dcm", sop, RTImageOrientation=orientation, **numbers, **pairs)
    geometry = read_xray_geometry(path)
    assert geometry.pose.matrix.isfinite().all()
    rotation = geometry.pose.matrix[0, :3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
    assert min(*geometry.pose_deg, *geometry.pose_mm) > 0
    assert np.isfinite(geometry.intrinsics.lengths).all()


def test_an_image_intensifier_is_known_less_well(tmp_path):
    flat, curved = (read_xray_geometry(save_arm(tmp_path, **more)) for more in ({}, {"IntensifierSize": 300}))
    assert curved.unknowns.pixel_size > flat.unknowns.pixel_size
    assert curved.unknowns.sdd_mm > flat.unknowns.sdd_mm
    assert any("intensifier" in warning for warning in curved.warnings)


def test_every_number_says_where_it_is_from(tmp_path):
    geometry = read_xray_geometry(
        save_arm(tmp_path, 30.0, 10.0, PatientPosition="HFS", ImageType=[*list("AB"), "BIPLANE B"])
    )
    found = numbers(geometry)
    assert found["DistanceSourceToDetector"].tag == "(0018,1110)"
    assert found["DistanceSourceToDetector"].value == 1200
    assert found["PatientPosition"].used is False
    assert found["PositionerPrimaryAngle"].deviation == 8
    assert geometry.plane == "B"
    assert any("Nothing links" in warning for warning in geometry.warnings)
    assert {number.source for number in geometry.provenance} == {"read", "assumed", "unknown"}
    nothing = read_xray_geometry(save_header(tmp_path / "b.dcm"))
    assert not nothing.has_view
    assert min(nothing.pose_deg) == 60


def test_vendors_private_elements_come_first(tmp_path, monkeypatch):
    monkeypatch.setattr("raygrad.formats._dicom_geometry.header.XRAY_VENDORS", vendors := [])
    vendors.append(lambda dataset: {"DistanceSourceToDetector": 1111.0} if dataset.Rows == 40 else {})
    geometry = read_xray_geometry(save_arm(tmp_path))
    assert geometry.intrinsics.sdd == 1111.0
    assert "vendor" in numbers(geometry)["DistanceSourceToDetector"].note
    assert isinstance(XRAY_VENDORS, list)


# --- enhanced XA


@given(*angles, st.floats(-30, 30))
@few
def test_enhanced_groups_and_the_isocentres_angles(folder, primary, secondary, detector_deg):
    shared = {"FramePixelDataPropertiesSequence": [{"ImagerPixelSpacing": [0.5, 0.4]}]}
    geometries = [{"DistanceSourceToDetector": 1200.0, "DistanceSourceToIsocenter": 750.0}]
    isocentre = [
        {
            "PositionerIsocenterPrimaryAngle": primary,
            "PositionerIsocenterSecondaryAngle": secondary,
            "PositionerIsocenterDetectorRotationAngle": detector_deg,
        }
    ]
    frames = [
        {"XRayGeometrySequence": [{"DistanceSourceToDetector": 900.0}]},
        {"XRayGeometrySequence": geometries, "IsocenterReferenceSystemSequence": isocentre},
    ]
    groups = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": frames}
    path = save_header(folder / "e.dcm", ENHANCED_XA, NumberOfFrames=2, **groups)
    geometry = read_xray_geometry(path, 2)
    source, middle, across, along = c_arm(primary, secondary, 750.0, 1200.0)
    across, along = (turned(axis, source - middle, detector_deg) for axis in (across, along))
    found = on_plane(POINTS, source, middle, across, along) / [0.4, 0.5] + [30, 20]
    np.testing.assert_allclose(drawn(geometry), found, atol=1e-4)  # angles are single precision in the file
    assert read_xray_geometry(path).intrinsics.sdd == 900.0
    assert geometry.kind == "enhanced XA"


def test_angles_about_the_patient_come_before_those_about_the_room(tmp_path):
    groups = [
        {
            "PositionerPositionSequence": [{"PositionerPrimaryAngle": 30, "PositionerSecondaryAngle": 10}],
            "IsocenterReferenceSystemSequence": [{"PositionerIsocenterPrimaryAngle": -150.0}],
        }
    ]
    geometry = read_xray_geometry(
        save_header(
            tmp_path / "e.dcm", ENHANCED_XA, SharedFunctionalGroupsSequence=groups, PlaneIdentification="PLANE A", **ARM
        )
    )
    np.testing.assert_allclose(drawn(geometry), expected(30.0, 10.0), atol=1e-6)
    assert geometry.plane == "A"


# --- RT Image


@given(
    st.floats(0, 360),
    st.floats(0, 360),
    st.floats(-30, 30),
    st.sampled_from(["HFS", "HFP", "FFS", "FFP"]),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
@few
def test_rt_images_follow_iec_61217(folder, gantry, couch, receptor, position, shift):
    elements = {
        "GantryAngle": gantry,
        "PatientSupportAngle": couch,
        "XRayImageReceptorAngle": receptor,
        "PatientPosition": position,
        "RTImageSID": 1500.0,
        "RadiationMachineSAD": 1000.0,
        "ImagePlanePixelSpacing": [0.5, 0.4],
        "RTImageOrientation": [1, 0, 0, 0, -1, 0],
        "RTImagePosition": [-11.8, 9.75],
        "XRayImageReceptorTranslation": [*shift, -500.0],
    }
    geometry = read_xray_geometry(save_header(folder / "rt.dcm", RT_IMAGE, **elements))
    # The patient on the couch, x to the right of one who faces the gantry, y to it, z up; then the couch turns about z,
    # counter-clockwise as seen from above.
    head = 1.0 if position[:2] == "HF" else -1.0
    face = 1.0 if position[2] == "S" else -1.0
    fixed = POINTS @ np.array([[head * face, 0, 0], [0, 0, -face], [0, head, 0]])
    fixed = turned(fixed, [0, 0, 1], couch)
    # The gantry turns clockwise as seen by one who faces it, which is by the right-hand rule about y, to it.
    source, middle, x, y = turned([[0, 0, 1000], [0, 0, -500], [1, 0, 0], [0, 1, 0]], [0, 1, 0], gantry)
    assert turned([0, 0, 1], [0, 1, 0], 90)[0] > 0.99  # the source goes to the right
    middle = middle + shift[0] * x + shift[1] * y
    across, along = (turned(axis, [0, 0, 1], 0) for axis in (x, y))
    across, along = (
        turned(axis, source - (middle - shift[0] * x - shift[1] * y), receptor) for axis in (across, along)
    )
    shadow = on_plane(fixed, source, middle, across, -along)
    first_pixel = np.array([-11.8, -9.75])
    np.testing.assert_allclose(drawn(geometry), (shadow - first_pixel) / [0.4, 0.5] + 0.5, atol=1e-5)
    assert geometry.kind == "RT Image"
    assert geometry.has_view


def test_an_rt_image_without_numbers(tmp_path):
    geometry = read_xray_geometry(save_header(tmp_path / "rt.dcm", RT_IMAGE))
    assert not (geometry.has_view)
    assert not (geometry.has_sdd)
    assert not (geometry.has_pixel_size)
    assert any("how the patient lay" in warning for warning in geometry.warnings)


# --- radiographs


@pytest.mark.parametrize(
    ("position", "orientation", "source", "left", "front"),
    [
        ("AP", None, [0, 1, 0], "right", None),
        ("PA", None, [0, -1, 0], "right", None),
        ("PA", ["R", "F"], [0, -1, 0], "left", None),
        ("LL", None, [1, 0, 0], None, "left"),
        ("RL", None, [-1, 0, 0], None, "right"),
        ("LL", ["A", "F"], [1, 0, 0], None, "right"),
        ("LL", ["L", "F"], [1, 0, 0], None, "left"),  # excludes the view: said, not used
    ],
)
def test_view_positions(tmp_path, position, orientation, source, left, front):
    elements = {"ViewPosition": position, "DistanceSourceToDetector": 1800.0, "ImagerPixelSpacing": [0.5, 0.4]}
    if orientation:
        elements["PatientOrientation"] = orientation
    geometry = read_xray_geometry(save_header(tmp_path / "dx.dcm", DX, **elements))
    camera = geometry.pose.matrix[0] @ make_reorient("AP").double()
    np.testing.assert_allclose(camera[:3, 3], 1600 * np.array(source, float), atol=1e-9)
    of_left, of_front, of_head = drawn(geometry, np.array([[10.0, 0, 0], [0, -10.0, 0], [0, 0, 10.0]]))
    assert of_head[1] < 20
    for expected_side, point in ((left, of_left), (front, of_front)):
        assert expected_side is None or (point[0] < 30) == (expected_side == "left")
    assert geometry.has_view
    assert any("exclude each other" in warning for warning in geometry.warnings) == (
        orientation == ["L", "F"] and position == "LL"
    )


def test_a_radiograph_that_says_no_side(tmp_path):
    path = save_header(tmp_path / "dx.dcm", DX, PatientOrientation=["L", "F"], PixelSpacing=[0.2, 0.2])
    geometry = read_xray_geometry(path)
    assert not geometry.has_view
    assert min(geometry.pose_deg) == 60
    assert geometry.has_pixel_size
    assert geometry.unknowns.pixel_size == 0.1
    with pytest.raises(InputError, match="rows and columns"):
        read_xray_geometry(save_header(tmp_path / "none.dcm", DX, rows=0))


# --- real files


@pytest.mark.parametrize(
    ("name", "kind", "says", "sdd", "spacing"),
    [  # says: a side, the distance, the pixels' size
        ("XA1_JPLL", "XA", (False, False, False), 1000.0, 300 / 1024),
        ("HasFragmentSequence", "XA", (True, False, False), 1000.0, 300 / 512),
        ("RI6XDosiGap", "RT Image", (True, True, True), 1500.03301807881, 0.392),
        ("RG1_J2KI", "radiograph", (True, True, False), 1996.0, 400 / 1841),
        ("dx_fuji", "radiograph", (False, True, True), 1000.0, 1.201199999999),
        ("CR-ModalitySequenceLUT", "radiograph", (False, False, True), 1500.0, 0.15),
    ],
)
def test_real_headers(name, kind, says, sdd, spacing):
    geometry = read_xray_geometry(real_data("xray_dicom") / f"{name}.dcm")
    assert (geometry.kind, geometry.has_view, geometry.has_sdd, geometry.has_pixel_size) == (kind, *says)
    assert (geometry.intrinsics.sdd, geometry.intrinsics.delx) == (sdd, spacing)
    if name == "HasFragmentSequence":  # 32 degrees RAO, 2 cranial: the detector is on the patient's right
        beam = (geometry.pose.matrix[0] @ make_reorient("AP").double())[:3, 2].numpy()
        angles = math.degrees(math.atan2(beam[0], beam[1])), math.degrees(math.asin(beam[2]))
        np.testing.assert_allclose(angles, (32, 2))
    if name == "RI6XDosiGap":  # gantry at 0: the source is in front of the patient
        source = (geometry.pose.matrix[0] @ make_reorient("AP").double())[:3, 3].numpy()
        np.testing.assert_allclose(source, [0, 1000, 0], atol=0.3)
