"""The images and the geometry of a header agree on how large pixels are and how far the detector is."""

import warnings

import numpy as np
import pytest
from dicom_views import POINTS, drawn
from dicom_xrays import save_dicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xray_headers import field_of_view, on_plane

from raygrad._errors import InputError
from raygrad.formats import line_integrals, read_xray, read_xray_geometry

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
PAIRS = st.sampled_from([[0.0, 0.0], [0.25, 0.5], [0.2, 0.2], [0.31, 0.3]])
LENGTHS = st.sampled_from([0.0, 900.0, 1200.0])
HEADERS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("ImagerPixelSpacing", "ImagePlanePixelSpacing", "NominalScannedPixelSpacing", "PixelSpacing"), PAIRS
    )
    | dict.fromkeys(("DistanceSourceToDetector", "RTImageSID"), LENGTHS)
    | {
        "PixelSpacingCalibrationType": st.sampled_from(["GEOMETRY", "FIDUCIAL"]),
        "EstimatedRadiographicMagnificationFactor": st.sampled_from([0.0, 1.5]),
    },
)
MACROS = st.fixed_dictionaries(
    {},
    optional={
        "FramePixelDataPropertiesSequence": PAIRS.map(lambda pair: [{"ImagerPixelSpacing": pair}]),
        "PixelMeasuresSequence": PAIRS.map(lambda pair: [{"PixelSpacing": pair}]),
        "XRayGeometrySequence": LENGTHS.map(lambda length: [{"DistanceSourceToDetector": length}]),
    },
)


def both(path):
    """Spacing and distance by the image, and by the geometry; None where either says that it does not know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xray, geometry = read_xray(path), read_xray_geometry(path)
    camera = geometry.intrinsics
    spacing = (camera.delx, camera.dely) if geometry.has_pixel_size else None
    return (xray.spacing, xray.sdd), (spacing, camera.sdd if geometry.has_sdd else None)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["XA", "RF", "enhanced XA", "CR", "DX", "SC", "RTIMAGE"]),
    HEADERS,
    st.dictionaries(
        st.sampled_from(["PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"]),
        MACROS.map(lambda macros: [macros] if macros else []),
    ),
)
def test_images_and_geometry_agree_on_lengths(tmp_path, kind, header, groups):
    path = save_dicom(tmp_path / "a.dcm", PIXELS, kind, **header, **groups)
    of_image, of_geometry = both(path)
    assert of_image == of_geometry


@pytest.mark.parametrize(
    ("kind", "header", "deviation", "said"),
    [
        ("XA", {"PixelSpacing": [0.2, 0.2]}, 0.3, "if that was in the patient, give delx"),
        (
            "CR",
            {
                "PixelSpacing": [0.2, 0.2],
                "PixelSpacingCalibrationType": "GEOMETRY",
                "EstimatedRadiographicMagnificationFactor": 1.5,
            },
            0.1,
            "how it is magnified",
        ),
        ("SC", {"NominalScannedPixelSpacing": [0.2, 0.2]}, 0.005, None),
    ],
)
def test_how_sure_pixels_are_that_are_not_measured_at_the_detector(tmp_path, kind, header, deviation, said):
    path = save_dicom(tmp_path / "a.dcm", PIXELS, kind, **header)
    found = read_xray_geometry(path)
    assert found.has_pixel_size
    assert found.unknowns.pixel_size == deviation
    assert said is None or any(said in sentence for sentence in found.warnings)


def test_pixels_on_an_image_plane_are_as_far_as_that(tmp_path):
    header = {"RTImageSID": 1500, "DistanceSourceToDetector": 1400}
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "RTIMAGE", ImagePlanePixelSpacing=[0.5, 0.4], **header)
    assert both(path) == (((0.4, 0.5), 1500),) * 2
    # Without them they are the detector's own.
    path = save_dicom(tmp_path / "b.dcm", PIXELS, "RTIMAGE", ImagerPixelSpacing=[0.5, 0.4], **header)
    assert both(path) == (((0.4, 0.5), 1400),) * 2


def test_an_image_that_does_not_fit_on_the_detector_is_taken_for_its_middle(tmp_path):
    """As of images that were made anew with other pixels, under their old headers."""
    header = {"ImagerPixelSpacing": [2.0, 2.0], "DetectorElementSpacing": [2.0, 2.0], "FieldOfViewOrigin": [0, 1]}
    fits = header | {"DetectorActiveDimensions": [6.0, 10.0]}
    found = read_xray_geometry(save_dicom(tmp_path / "a.dcm", PIXELS, "XA", **fits))
    assert (found.intrinsics.x0, found.intrinsics.y0) == pytest.approx((1.0, 0.0))  # columns run as from the detector
    for size in ([6.0, 8.0], [3.0, 10.0]):
        path = save_dicom(tmp_path / "b.dcm", PIXELS, "XA", **header | {"DetectorActiveDimensions": size})
        found = read_xray_geometry(path)
        assert (found.intrinsics.x0, found.intrinsics.y0) == (0.0, 0.0)
        assert any("beyond the detector" in sentence for sentence in found.warnings)


def test_what_rescaling_adds_to_an_intensity_is_no_light(tmp_path):
    """PixelIntensityRelationship is of what is stored: PS3.3, C.8.11.3.1.2."""
    stored = np.array([[40_000, 20_000], [400, 1_000]], np.uint16)
    said = {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1}
    plain = read_xray(save_dicom(tmp_path / "a.dcm", stored, bits=16, **said))
    moved = save_dicom(tmp_path / "b.dcm", stored, bits=16, RescaleSlope=0.01, RescaleIntercept=-5, **said)
    np.testing.assert_allclose(line_integrals(read_xray(moved)), line_integrals(plain), atol=1e-5)


def test_colours_of_a_palette_are_no_grey_levels(tmp_path):
    path = save_dicom(tmp_path / "a.dcm", PIXELS, "SC", PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(InputError, match=r"a\.dcm', whose numbers are those of a palette"):
        read_xray(path)


SIDES = {
    "AP": ([0, 1, 0], [1, 0, 0]),
    "PA": ([0, -1, 0], [1, 0, 0]),
    "LL": ([1, 0, 0], [0, 1, 0]),
    "RL": ([-1, 0, 0], [0, -1, 0]),
}
"""Beams, and where columns increase, in LPS."""


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(SIDES)),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.integers(5, 40), st.integers(5, 40)),
)
def test_points_fall_on_the_stored_pixels_of_a_radiograph(
    tmp_path, side, quarters, mirrored, rotation, flip, origin, shape
):
    """However the image was cut out, turned and mirrored on its way from the detector, and lies by its letters."""
    pitch, detector, sdd = np.array([0.3, 0.2]), np.array([80, 90]), 1800.0
    stored = field_of_view(detector, origin, shape, rotation, flip)
    steps = np.stack([stored[1, 0] - stored[0, 0], stored[0, 1] - stored[0, 0]], 1)
    row, column = np.linalg.solve(steps, detector / 2 - 0.5 - stored[0, 0]) + 0.5  # of the detector's middle
    beam, right = (np.array(axis, float) for axis in SIDES[side])
    down = np.array([0.0, 0.0, -1.0])
    for _ in range(quarters):
        right, down = -down, right
    right = -right if mirrored else right
    letters = ["".join("LPH"[k] if v > 0 else "RAF"[k] for k, v in enumerate(axis) if v) for axis in (right, down)]
    spacing = pitch if rotation % 180 == 0 else pitch[::-1]
    header = {
        "ViewPosition": side,
        "PatientOrientation": letters,
        "DistanceSourceToDetector": sdd,
        "ImagerPixelSpacing": spacing.tolist(),
        "DetectorElementSpacing": pitch.tolist(),
        "DetectorActiveDimensions": (pitch * detector).tolist(),
        "FieldOfViewOrigin": list(map(float, origin)),
        "FieldOfViewRotation": rotation,
        "FieldOfViewHorizontalFlip": "YES" if flip else "NO",
    }
    geometry = read_xray_geometry(save_dicom(tmp_path / "a.dcm", np.zeros(shape, np.uint16), "DX", **header))
    source = -(sdd - 200) * beam  # the patient's middle is taken to be that far before the detector
    shadow = on_plane(POINTS, source, source + sdd * beam, right, down) / spacing[::-1] + [column, row]
    np.testing.assert_allclose(drawn(geometry), shadow, atol=1e-6)
