"""RT Images and their enhanced form: every degree of freedom of IEC 61217's machine moves a point as it does there."""

import numpy as np
import pytest
from dicom_views import POINTS, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from xray_headers import RT_IMAGE, on_plane, save_header, turned

from raygrad.formats import read_xray, read_xray_geometry

ENHANCED_RT, CONTINUOUS_RT = "481.23", "481.24"
X, Y, Z = np.eye(3)  # facing the gantry: to the right, to the gantry, up
LYING = {  # where the patient's left, back and head are
    "HFS": (X, -Z, Y),
    "HFP": (-X, Z, Y),
    "FFS": (-X, -Z, -Y),
    "FFP": (X, Z, -Y),
    "HFDR": (Z, X, Y),
    "HFDL": (-Z, -X, Y),
}
SAD, SID, PIXEL = 1000.0, 1500.0, (0.4, 0.5)
FIRST = (-11.8, 9.75)
PLAIN = {
    "GantryAngle": 0.0,
    "PatientPosition": "HFS",
    "RTImageSID": SID,
    "RadiationMachineSAD": SAD,
    "ImagePlanePixelSpacing": [0.5, 0.4],
    "RTImageOrientation": [1, 0, 0, 0, -1, 0],
    "RTImagePosition": list(FIRST),
    "XRayImageReceptorTranslation": [0.0, 0.0, SAD - SID],
}
few = settings(max_examples=15, deadline=None, derandomize=True)
angle, shift = st.floats(-40, 40), st.floats(-60, 60)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("rt") / "rt.dcm"


def on_couch(points, position="HFS", couch=0.0, eccentric=0.0, pitch=0.0, roll=0.0):
    """The patient's points in the fixed axes."""
    points = points @ np.array(LYING[position])
    return turned(turned(turned(points, Y, roll), X, pitch), Z, couch + eccentric)


def on_image(fixed, gantry=0.0, receptor=0.0, translation=(0.0, 0.0), slant=0.0, first=FIRST):
    """Columns and rows from the image's corner: the receptor turned in its plane, then slanted about its own x."""
    x, y, z = (turned(axis, Z, receptor) for axis in (X, Y, Z))
    y, z = turned(y, x, slant), turned(z, x, slant)
    middle = np.array([*translation, SAD - SID])
    source, middle = (turned(point, Y, gantry) for point in (SAD * Z, middle))
    x, y = (turned(axis, Y, gantry) for axis in (x, y))
    return (on_plane(fixed, source, middle, x, -y) - [first[0], -first[1]]) / PIXEL + 0.5


@pytest.mark.parametrize(
    ("elements", "couch", "image"),
    [
        ({"GantryAngle": 30.0}, {}, {"gantry": 30.0}),
        ({"PatientSupportAngle": 20.0}, {"couch": 20.0}, {}),
        ({"TableTopEccentricAngle": 20.0}, {"eccentric": 20.0}, {}),
        ({"TableTopPitchAngle": 4.0}, {"pitch": 4.0}, {}),
        ({"TableTopRollAngle": 4.0}, {"roll": 4.0}, {}),
        ({"PatientPosition": "HFDR"}, {"position": "HFDR"}, {}),
        ({"PatientPosition": "HFDL"}, {"position": "HFDL"}, {}),
        ({"XRayImageReceptorAngle": 15.0}, {}, {"receptor": 15.0}),
        ({"XRayImageReceptorTranslation": [30.0, -20.0, -500.0]}, {}, {"translation": (30.0, -20.0)}),
        ({"BeamLimitingDeviceAngle": 45.0}, {}, {}),
        ({"IsocenterPosition": [10.0, 20.0, 30.0]}, {}, {}),
        ({"TableTopVerticalPosition": 10.0, "TableTopLateralPosition": 5.0}, {}, {}),
        ({"RTImagePosition": [3.0, 4.0]}, {}, {"first": (3.0, 4.0)}),
        ({"RadiationMachineSAD": None}, {}, {}),  # by the receptor's z
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_each_degree_of_freedom(path, elements, couch, image):
    geometry = read_xray_geometry(save_header(path, RT_IMAGE, **PLAIN | elements))
    np.testing.assert_allclose(drawn(geometry), on_image(on_couch(POINTS, **couch), **image), atol=1e-4)
    assert not any("not used" in warning for warning in geometry.warnings)


@given(st.sampled_from(sorted(LYING)), angle, angle, angle, angle, angle, st.tuples(shift, shift), st.booleans())
@few
def test_all_of_them_together(path, position, gantry, couch, pitch, roll, receptor, translation, slanted):
    pitch, roll, slant = pitch / 10, roll / 10, 12.0 * slanted
    along = turned([Y], X, slant)[0]  # among the receptor's axes
    elements = {
        "PatientPosition": position,
        "GantryAngle": gantry,
        "PatientSupportAngle": couch,
        "TableTopPitchAngle": pitch,
        "TableTopRollAngle": roll,
        "XRayImageReceptorAngle": receptor,
        "XRayImageReceptorTranslation": [*translation, SAD - SID],
        "RTImagePlane": "NON_NORMAL" if slanted else "NORMAL",
        "RTImageOrientation": [1, 0, 0, *-along],
    }
    geometry = read_xray_geometry(save_header(path, RT_IMAGE, **PLAIN | elements))
    fixed = on_couch(POINTS, position, couch, 0.0, pitch, roll)
    found = on_image(fixed, gantry, receptor, translation, slant)
    np.testing.assert_allclose(drawn(geometry), found, atol=1e-3)
    assert geometry.has_view
    assert geometry.unknowns.x0_mm == 2


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"GantryPitchAngle": 3.0}, "GantryPitchAngle is not 0"),
        ({"XRayImageReceptorTranslation": [0, 0, -400]}, "receptor at -400 mm, and the distances at -500 mm"),
        ({"RTImagePlane": "NON_NORMAL", "RTImageOrientation": None}, "how is not said"),
        ({"RTImagePlane": "NON_NORMAL", "RTImageOrientation": [1, 0, 0, 0, 0, 1]}, "how is not said"),
    ],
)
def test_what_contradicts_or_is_missing_is_said(path, elements, said):
    geometry = read_xray_geometry(save_header(path, RT_IMAGE, **PLAIN | elements))
    assert any(said in warning for warning in geometry.warnings)
    np.testing.assert_allclose(drawn(geometry), on_image(on_couch(POINTS)), atol=1e-4)


# --- the enhanced form


def matrix(x, y, z, origin):
    whole = np.eye(4)
    whole[:3] = np.stack([x, y, z, origin], 1)
    return whole.ravel().tolist()


def enhanced(path, frames, sop=ENHANCED_RT, **elements):
    if sop == CONTINUOUS_RT:
        selected = [{"SelectedFrameNumber": 3 * k + 1} | frame for k, frame in enumerate(frames)]
        groups, count = {"SelectedFrameFunctionalGroupsSequence": selected}, 3 * len(frames)
    else:
        groups, count = {"PerFrameFunctionalGroupsSequence": frames}, len(frames)
    shared = [{"PixelMeasuresSequence": [{"PixelSpacing": [0.5, 0.4]}]}]
    groups["SharedFunctionalGroupsSequence"] = shared
    iec = {"EquipmentFrameOfReferenceUID": "1.2.840.10008.1.4.3.1", "Modality": "RTIMAGE"}
    return save_header(path, sop, NumberOfFrames=count, **groups, **iec | elements)


def macros(gantry=0.0, receptor=0.0, translation=(0.0, 0.0), patient=None):
    """Of a frame: the machine's own matrices, and the patient's if he is not to lie on the couch."""
    source = [turned(axis, Y, gantry) for axis in (X, Y, Z, SAD * Z)]
    axes = [turned(axis, Z, receptor) for axis in (X, Y, Z)] + [np.array([*translation, SAD - SID])]
    places = {"ImagingSource": source, "ImageReceptor": [turned(axis, Y, gantry) for axis in axes]}
    device = {
        f"{name}PositionSequence": [{"DevicePositionToEquipmentMappingMatrix": matrix(*place)}]
        for name, place in places.items()
    }
    found = {"RTImageFrameImagingDevicePositionSequence": [device]}
    if patient is not None:
        item = {"RTPatientPositionSequence": [{"ImageToEquipmentMappingMatrix": patient}]}
        found["RTAcquisitionPatientPositionSequence"] = [item]
    return found


MIDDLE = (-11.8, 9.75)
"""Of the first of 60 x 40 pixels, that have their middle at the receptor's origin."""


@given(st.sampled_from(sorted(LYING)), angle, angle, angle, st.tuples(shift, shift), st.booleans())
@few
def test_enhanced_rt_images_by_their_matrices(path, position, gantry, couch, receptor, translation, by_matrix):
    fixed = on_couch(POINTS, position, couch)
    axes = [turned(axis, Z, couch) for axis in LYING[position]]
    patient = matrix(*axes, (5.0, 6.0, 7.0)) if by_matrix else None
    where = {} if by_matrix else {"PatientPosition": position, "PatientSupportAngle": couch}
    frames = [macros(), macros(gantry, receptor, translation, patient)]
    geometry = read_xray_geometry(enhanced(path, frames, **where), 2)
    found = on_image(fixed, gantry, receptor, translation, first=MIDDLE)
    np.testing.assert_allclose(drawn(geometry), found, atol=1e-3)
    assert (geometry.kind, geometry.has_view, geometry.has_sdd) == ("enhanced RT Image", True, True)
    assert geometry.has_pixel_size
    assert geometry.intrinsics.sdd == pytest.approx(SID)


def test_continuous_ones_have_them_of_selected_frames(path):
    enhanced(path, [macros(), macros(30.0)], CONTINUOUS_RT, PatientPosition="HFS")
    found = on_image(on_couch(POINTS), 30.0, first=MIDDLE)
    np.testing.assert_allclose(drawn(read_xray_geometry(path, 4)), found, atol=1e-3)
    between = read_xray_geometry(path, 3)
    assert (between.has_view, between.has_sdd) == (False, False)
    assert any("no matrices of source and receptor" in warning for warning in between.warnings)


def test_what_enhanced_ones_do_not_say(path):
    geometry = read_xray_geometry(enhanced(path, [macros()], EquipmentFrameOfReferenceUID="1.2.3"))
    assert not geometry.has_view
    assert min(geometry.pose_mm) > 50
    assert any("not IEC 61217's" in warning for warning in geometry.warnings)
    stretched = macros()
    (device,) = stretched["RTImageFrameImagingDevicePositionSequence"]
    (item,) = device["ImagingSourcePositionSequence"]
    item["DevicePositionToEquipmentMappingMatrix"] = matrix(2 * X, Y, Z, SAD * Z)
    assert not read_xray_geometry(enhanced(path, [stretched])).has_sdd


def test_images_of_enhanced_ones_have_the_same_lengths(path):
    from dicom_xrays import save_dicom

    elements = {
        "SharedFunctionalGroupsSequence": [macros() | {"PixelMeasuresSequence": [{"PixelSpacing": [0.5, 0.4]}]}]
    }
    xray = read_xray(save_dicom(path, np.arange(12, dtype=np.uint16).reshape(3, 4), "enhanced RTIMAGE", **elements))
    assert xray.spacing == (0.4, 0.5)
    assert xray.sdd == pytest.approx(SID)
