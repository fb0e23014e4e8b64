"""RT Image: what a treatment machine's imager took, by IEC 61217 (PS3.3, C.8.8.2).

IEC's fixed axes are, seen by one who faces the gantry: x to the right, y to the gantry, z up. The gantry turns about y,
clockwise as one faces it, with the source above at 0; the couch about z.
"""

import numpy as np

from raygrad.formats._dicom_geometry import camera
from raygrad.formats._dicom_geometry.detector import DISTANCE_MM, PIXEL, detector_distance, pixel_size
from raygrad.formats._dicom_geometry.geometry import XRayGeometry
from raygrad.formats._dicom_geometry.header import UNLINKED_MM, Header
from raygrad.formats._dicom_geometry.patient import SUPINE, about, patient_position, patient_to_table
from raygrad.geometry import UnknownGeometry

ROTATION_DEG, NO_VIEW_DEG = 3.0, 60.0
USUAL_SID, USUAL_SAD = 1500.0, 1000.0
PRINCIPAL_MM, CENTRED_MM = 2.0, 10.0
LEAST_SLANT = 0.5  # cosine: an image plane that is steeper to the beam is none

_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_TO_TABLE = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From the couch's axes, x to the left of one who lies supine, head first, y to the head, z up, to left, down, head."""
_WHOLE_TURN = ("TableTopPitchAngle", "TableTopRollAngle", "TableTopEccentricAngle")


def read_rt_image(header: Header) -> XRayGeometry:
    """The geometry of an RT Image."""
    sdd, sdd_mm, has_sdd = detector_distance(header, USUAL_SID, DISTANCE_MM)
    pixel, relative, has_pixel = pixel_size(header, PIXEL)
    sad = _isocentre_distance(header, sdd)
    has_view, rotation_deg, to_world = _gantry_to_world(header)
    receptor_deg = header.number("XRayImageReceptorAngle") or 0.0
    if "XRayImageReceptorAngle" in header.elements:
        header.found("receptor's angle", receptor_deg, "degrees", "XRayImageReceptorAngle")
    directions, corner, principal_mm = _image_plane(header, about(2, receptor_deg), pixel, sad - sdd)
    source = np.array([0.0, 0.0, sad])
    (right, down, normal), sdd, principal = foot_on_plane(source, directions, corner, pixel)
    right, down, normal = (to_world @ direction for direction in (right, down, normal))
    beam = to_world @ np.array([0.0, 0.0, -1.0])
    header.leave("collimator's angle", "degrees", ["BeamLimitingDeviceAngle"], "turns the field, not the image")
    header.leave("isocentre in the patient", "mm", ["IsocenterPosition"], "of the plan's CT (LPS), which is not given")
    header.unlinked("isocentre")
    return camera.assemble(
        header,
        (right, down, normal),
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


def foot_on_plane(
    source: np.ndarray, directions: tuple[np.ndarray, np.ndarray], corner: np.ndarray, pixel: tuple[float, float]
) -> tuple[camera.Directions, float, tuple[float, float]]:
    """Right, down and normal, the source's distance, and columns and rows to its foot, of pixels on a plane.

    Args:
        directions: where columns and rows increase.
        corner: of the image, its outer one.
    """
    right, down = directions
    normal = np.cross(right, down)
    if normal @ (corner - source) < 0:  # as seen against the beam
        normal = -normal
    sdd = float(normal @ (corner - source))
    foot = source - corner
    return (right, down, normal), sdd, (float(foot @ right) / pixel[0], float(foot @ down) / pixel[1])


def _isocentre_distance(header: Header, sdd: float) -> float:
    """RadiationMachineSAD; or else by the receptor's z, which is that less the distance to it (C.8.8.2, note 2)."""
    sad, shift = header.length("RadiationMachineSAD"), header.numbers("XRayImageReceptorTranslation", 3)
    if sad is not None and sad < sdd:
        header.found("source to isocentre", sad, "mm", "RadiationMachineSAD", 1.0)
        if shift is not None and abs(shift[2] - (sad - sdd)) > 1:
            header.warn(
                f"XRayImageReceptorTranslation has the receptor at {shift[2]:g} mm, and the distances at {sad - sdd:g} "
                "mm, which are used."
            )
        return sad
    if sad is None and shift is not None and header.plane.sdd is not None and -sdd < shift[2] < 0:
        header.assumed("source to isocentre", sdd + shift[2], "mm", 5.0, "the detector's distance and the receptor's z")
        return sdd + shift[2]
    sad = min(USUAL_SAD, 2 / 3 * sdd)
    header.assumed("source to isocentre", sad, "mm", 50.0)
    header.warn(f"The header does not say the distance from source to isocentre: {sad:g} mm is assumed.")
    return sad


def _gantry_to_world(header: Header) -> tuple[bool, float, np.ndarray]:
    """Whether there is a gantry angle, how sure rotation is, and the map from the gantry's axes to RAS+."""
    gantry = header.number("GantryAngle")
    if gantry is None:
        header.assumed("gantry's angle", 0.0, "degrees", NO_VIEW_DEG)
        header.warn("The header does not say the gantry's angle: 0 is assumed.")
    else:
        header.found("gantry's angle", gantry, "degrees", "GantryAngle", ROTATION_DEG)
    if abs(header.number("GantryPitchAngle") or 0.0) > 0.01:
        header.leave("gantry's pitch", "degrees", ["GantryPitchAngle"], "not used")
        header.warn("GantryPitchAngle is not 0, and is not used.")
    to_world = fixed_to_world(header) @ about(1, gantry or 0.0)
    return gantry is not None, ROTATION_DEG if gantry is not None else NO_VIEW_DEG, to_world


def fixed_to_world(header: Header) -> np.ndarray:
    """From IEC 61217's fixed axes to RAS+, by how the couch is turned and how the patient lies on it.

    The couch turns about z, on it the table top about its own z (eccentric), then about x (pitch), then about y (roll):
    PS3.3, C.8.8.14.12.
    """
    couch = header.number("PatientSupportAngle") or 0.0
    if "PatientSupportAngle" in header.elements:
        header.found("couch's angle", couch, "degrees", "PatientSupportAngle")
    pitch, roll, eccentric = (header.number(keyword) or 0.0 for keyword in _WHOLE_TURN)
    for keyword, value in zip(_WHOLE_TURN, (pitch, roll, eccentric), strict=True):
        if value:
            header.found("table top's angle", value, "degrees", keyword)
    position = patient_position(header)
    if position is None:
        header.warn("The header does not say how the patient lay: supine, head first is assumed.")
    couch_to_fixed = about(2, couch + eccentric) @ about(0, pitch) @ about(1, roll)
    return _TO_RAS @ patient_to_table(position or SUPINE).T @ _TO_TABLE @ couch_to_fixed.T


def _axes(header: Header) -> tuple[np.ndarray, np.ndarray]:
    """Where columns and rows increase among the receptor's axes; RTImageOrientation (PS3.3, C.8.8.2.7)."""
    found, flat = header.numbers("RTImageOrientation", 6), header.text("RTImagePlane") != "NON_NORMAL"
    if found is None or not _are_axes(found, flat):
        header.leave("image's orientation", "", ["RTImageOrientation"], "no two directions of the image plane")
        header.assumed("image's orientation", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), "", None, "as from the source")
        if not flat:
            header.warn(
                "The image plane is not square to the beam (RTImagePlane), and how is not said: it is taken to be."
            )
        return np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
    header.found("image's orientation", found, "", "RTImageOrientation")
    right, down = np.array(found[:3]), np.array(found[3:])
    if flat:
        right[2] = down[2] = 0.0
    return camera.unit(right), camera.unit(down)


def _are_axes(found: tuple[float, ...], flat: bool) -> bool:
    """Whether these are unit vectors, square to each other, in the receptor's plane or at least not along the beam."""
    right, down = np.array(found[:3]), np.array(found[3:])
    lengths = [float(np.linalg.norm(axis[:2] if flat else axis)) for axis in (right, down)]
    square = abs(float(right @ down)) < 1e-2 and all(abs(length - 1) < 1e-2 for length in lengths)
    return square and (flat or abs(float(np.cross(right, down)[2])) > LEAST_SLANT)


def _image_plane(
    header: Header, turn: np.ndarray, pixel: tuple[float, float], height: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, float]:
    """Directions of columns and rows and the image's outer corner in the gantry's axes, and its deviation in mm.

    The receptor's own origin is shifted in these, and its axes are turned. RTImagePosition is the first pixel's centre,
    of a plane that is not square to the beam before that was turned about the receptor's origin (PS3.3, C.8.8.2.7).

    Args:
        turn: of the receptor.
        height: z of the receptor.
    """
    right, down = _axes(header)
    position = header.numbers("RTImagePosition", 2)
    shift = header.numbers("XRayImageReceptorTranslation", 3)
    half = 0.5 * (pixel[0] * right + pixel[1] * down)
    if position is None:
        centred = header.columns / 2, header.rows / 2
        header.assumed("principal point (column, row)", centred, "pixels", None, "the middle of the image")
        header.leave("receptor's translation", "mm", ["XRayImageReceptorTranslation"], "not enough without the rest")
        first, shift, deviation = half - centred[0] * pixel[0] * right - centred[1] * pixel[1] * down, None, CENTRED_MM
    else:
        header.found("centre of the first pixel", position, "mm", "RTImagePosition", PRINCIPAL_MM)
        first = np.array([*position, 0.0])
        if header.text("RTImagePlane") == "NON_NORMAL":
            first = position[0] * right - position[1] * down
        deviation = CENTRED_MM
        if shift is not None:
            deviation, note = PRINCIPAL_MM, "x and y are used"
            header.found("receptor's translation", shift, "mm", "XRayImageReceptorTranslation", note=note)
        else:
            header.assumed("receptor's translation", (0.0, 0.0, 0.0), "mm", CENTRED_MM)
    origin = np.array([*(shift or (0.0, 0.0))[:2], height])
    return (turn @ right, turn @ down), origin + turn @ (first - half), deviation
