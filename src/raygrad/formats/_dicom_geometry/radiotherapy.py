"""RT Image: what a treatment machine's imager took, by IEC 61217 (PS3.3, C.8.8.2).

IEC's fixed axes are, seen by one who faces the gantry: x to the right, y to the gantry, z up. The gantry turns about y,
clockwise as one faces it, with the source above at 0; the couch about z.
"""

import math

import numpy as np

from raygrad.formats._dicom_geometry import camera
from raygrad.formats._dicom_geometry.detector import DISTANCE_MM, PIXEL, detector_distance, pixel_size
from raygrad.formats._dicom_geometry.geometry import XRayGeometry
from raygrad.formats._dicom_geometry.header import UNLINKED_MM, Header
from raygrad.geometry import UnknownGeometry

ROTATION_DEG, NO_VIEW_DEG = 3.0, 60.0
USUAL_SID, USUAL_SAD = 1500.0, 1000.0
PRINCIPAL_MM, CENTRED_MM = 2.0, 10.0

_TO_RAS = {  # the couch's x, y and z in the patient's RAS+
    "HFS": np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    "HFP": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "FFS": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "FFP": np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
}


def read_rt_image(header: Header) -> XRayGeometry:
    """The geometry of an RT Image."""
    sdd, sdd_mm, has_sdd = detector_distance(header, USUAL_SID, DISTANCE_MM)
    pixel, relative, has_pixel = pixel_size(header, PIXEL)
    sad = header.length("RadiationMachineSAD")
    if sad is not None and sad < sdd:
        header.found("source to isocentre", sad, "mm", "RadiationMachineSAD", 1.0)
    else:
        sad = min(USUAL_SAD, 2 / 3 * sdd)
        header.assumed("source to isocentre", sad, "mm", 50.0)
        header.warn(f"The header does not say the distance from source to isocentre: {sad:g} mm is assumed.")
    if header.text("RTImagePlane") == "NON_NORMAL":
        header.warn("The image plane is not square to the beam (RTImagePlane): it is taken to be.")

    has_view, rotation_deg, to_world = _gantry_to_world(header)
    receptor_deg = header.number("XRayImageReceptorAngle") or 0.0
    if "XRayImageReceptorAngle" in header.elements:
        header.found("receptor's angle", receptor_deg, "degrees", "XRayImageReceptorAngle")
    turn = _about_z(receptor_deg)
    rows = _axes(header)
    right, down = (to_world @ turn @ np.array([*axis, 0.0]) for axis in rows)
    beam = to_world @ np.array([0.0, 0.0, -1.0])
    principal, principal_mm = _principal_point(header, rows, turn, pixel)
    header.leave("collimator's angle", "degrees", ["BeamLimitingDeviceAngle"], "turns the field, not the image")
    header.leave("isocentre in the patient", "mm", ["IsocenterPosition"], "of the plan's CT (LPS), which is not given")
    header.unlinked("isocentre")
    return camera.assemble(
        header,
        (right, down, beam),
        -sad * beam,
        sdd,
        pixel,
        principal,
        (rotation_deg,) * 3,
        camera.along_world(UNLINKED_MM, 5.0, beam),
        UnknownGeometry(sdd_mm=sdd_mm, x0_mm=principal_mm, y0_mm=principal_mm, pixel_size=relative),
        has_view=has_view,
        has_sdd=has_sdd,
        has_pixel_size=has_pixel,
        kind="RT Image",
    )


def _about_z(degrees: float) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _gantry_to_world(header: Header) -> tuple[bool, float, np.ndarray]:
    """Whether there is a gantry angle, how sure rotation is, and the map from the gantry's axes to RAS+."""
    gantry = header.number("GantryAngle")
    couch = header.number("PatientSupportAngle") or 0.0
    position = header.text("PatientPosition")
    if gantry is None:
        header.assumed("gantry's angle", 0.0, "degrees", NO_VIEW_DEG)
        header.warn("The header does not say the gantry's angle: 0 is assumed.")
    else:
        header.found("gantry's angle", gantry, "degrees", "GantryAngle", ROTATION_DEG)
    if "PatientSupportAngle" in header.elements:
        header.found("couch's angle", couch, "degrees", "PatientSupportAngle")
    for keyword in ("GantryPitchAngle", "TableTopPitchAngle", "TableTopRollAngle", "TableTopEccentricAngle"):
        if abs(header.number(keyword) or 0.0) > 0.01:
            header.leave("further angle", "degrees", [keyword], "not used")
            header.warn(f"{keyword} is not 0, and is not used.")
    if position in _TO_RAS:
        header.found("patient's position", position, "", "PatientPosition")
    else:
        header.leave("patient's position", "", ["PatientPosition"], "none that is known")
        header.warn("The header does not say how the patient lay: supine, head first is assumed.")
        position = "HFS"
    angle = math.radians(gantry or 0.0)
    cosine, sine = math.cos(angle), math.sin(angle)
    gantry_to_fixed = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    to_world = _TO_RAS[position] @ _about_z(-couch) @ gantry_to_fixed
    return gantry is not None, ROTATION_DEG if gantry is not None else NO_VIEW_DEG, to_world


def _axes(header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Where columns and rows increase on the receptor, x and y; RTImageOrientation (PS3.3, C.8.8.2.3)."""
    found = header.numbers("RTImageOrientation", 6)
    if found is None or not _are_axes(found):
        header.leave("image's orientation", "", ["RTImageOrientation"], "no two directions of the image plane")
        header.assumed("image's orientation", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "", None, "as from the source")
        return np.array([1.0, 0.0]), np.array([0.0, -1.0])
    header.found("image's orientation", found, "", "RTImageOrientation")
    return camera.unit(np.array(found[:2])), camera.unit(np.array(found[3:5]))


def _are_axes(found: tuple[float, ...]) -> bool:
    """Whether these are unit vectors in the receptor's plane, square to each other."""
    lengths = math.hypot(found[0], found[1]), math.hypot(found[3], found[4])
    square = abs(sum(one * other for one, other in zip(found[:3], found[3:], strict=True))) < 1e-2
    return square and all(abs(length - 1) < 1e-2 for length in lengths)


def _principal_point(
    header: Header, rows: tuple[np.ndarray, np.ndarray], turn: np.ndarray, pixel: tuple[float, float]
) -> tuple[tuple[float, float], float]:
    """Columns and rows from the image's corner to where the beam's axis meets it, and the deviation in mm."""
    position = header.numbers("RTImagePosition", 2)
    shift = header.numbers("XRayImageReceptorTranslation", 3)
    if position is None:
        centred = header.columns / 2, header.rows / 2
        header.assumed("principal point (column, row)", centred, "pixels", None, "the middle of the image")
        header.leave("receptor's translation", "mm", ["XRayImageReceptorTranslation"], "not enough without the rest")
        return centred, CENTRED_MM
    header.found("centre of the first pixel", position, "mm", "RTImagePosition", PRINCIPAL_MM)
    if shift is not None:
        header.found("receptor's translation", shift, "mm", "XRayImageReceptorTranslation", note="x and y are used")
    else:
        header.assumed("receptor's translation", (0.0, 0.0, 0.0), "mm", CENTRED_MM)
    # The axis is at the gantry's x = y = 0; the receptor's own origin is shifted, its axes are turned.
    axis = (turn.T @ -np.array([*(shift or (0.0, 0.0))[:2], 0.0]))[:2] - np.array(position)
    column, row = (float(axis @ along) for along in rows)
    return (column / pixel[0] + 0.5, row / pixel[1] + 0.5), PRINCIPAL_MM if shift is not None else CENTRED_MM
