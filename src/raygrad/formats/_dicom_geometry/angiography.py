"""XA and RF, and their enhanced forms: C-arms (PS3.3, C.8.7.4, C.8.7.5, C.8.19.6).

Positioner angles say where the detector is, about the *patient*: at 0, 0 in front of the chest, at primary +90 (LAO) on
the patient's left, at secondary +90 (CRA) above the head. The image is as from the detector, head up. The header has no
link to a CT: where the isocentre is in the patient is unknown.
"""

import math

import numpy as np

from raygrad.formats._dicom_geometry import camera
from raygrad.formats._dicom_geometry.detector import (
    CENTRED_MM,
    DISTANCE_MM,
    INTENSIFIER_DISTANCE_MM,
    INTENSIFIER_PIXEL,
    PIXEL,
    USUAL_DISTANCE_MM,
    detector_distance,
    has_intensifier,
    pixel_size,
    principal_point,
    turned_with_field,
)
from raygrad.formats._dicom_geometry.geometry import XRayGeometry
from raygrad.formats._dicom_geometry.header import UNLINKED_MM, Header
from raygrad.formats._dicom_geometry.pair import plane_of
from raygrad.formats._dicom_geometry.patient import patient_position
from raygrad.formats._dicom_geometry.table import ANGLES, increment, room_to_patient, table_shift
from raygrad.geometry import UnknownGeometry

# The angles themselves are good to a degree; how the patient lies on the table, against the CT, is not.
ROTATION_DEG, TURNED_TABLE_DEG, NO_VIEW_DEG = 8.0, 15.0, 60.0
STEEPEST_DEG = 60.0
ISOCENTRE_MM, ASSUMED_ISOCENTRE_MM = 10.0, 75.0
ISOCENTRE_SHARE = 0.75
"""Where the isocentre is between source and detector, where the header does not say it."""
_IN_ROOM = ("PositionerIsocenterPrimaryAngle", "PositionerIsocenterSecondaryAngle")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def read_angiography(header: Header, enhanced: bool) -> XRayGeometry:
    """The geometry of a frame of an XA or RF image."""
    intensifier = has_intensifier(header)
    distance_mm, relative = (INTENSIFIER_DISTANCE_MM, INTENSIFIER_PIXEL) if intensifier else (DISTANCE_MM, PIXEL)
    sdd, sdd_mm, has_sdd = detector_distance(header, USUAL_DISTANCE_MM, distance_mm)
    pixel, pixel_relative, has_pixel = pixel_size(header, relative)
    principal, principal_mm = principal_point(header, pixel)
    if intensifier:
        principal_mm = max(principal_mm, 2 * CENTRED_MM)
    isocentre, depth_mm = _isocentre_distance(header, sdd)

    has_view, rotation_deg, (right, down, beam) = _directions(header, enhanced)
    right, down = turned_with_field(header, right, down)
    right, down = camera.turned_to_patient_orientation(header, right, down)
    shift, moved_mm = table_shift(header)
    source = -isocentre * beam - shift
    left, lower, head = (float(value) for value in 0.0 - shift)
    header.unlinked("isocentre", (left, lower, head))
    sdd, principal, (right, down, normal) = _tilt(header, (right, down, beam), sdd, pixel, principal)
    _leave_what_is_not_known(header)
    pose_mm = camera.along_world(math.hypot(UNLINKED_MM, moved_mm), depth_mm, beam)
    return camera.assemble(
        header,
        (right, down, normal),
        source,
        sdd,
        pixel,
        principal,
        (rotation_deg,) * 3,
        pose_mm,
        UnknownGeometry(sdd_mm=sdd_mm, x0_mm=principal_mm, y0_mm=principal_mm, pixel_size=pixel_relative),
        has_view=has_view,
        has_sdd=has_sdd,
        has_pixel_size=has_pixel,
        kind="enhanced XA" if enhanced else "XA",
        plane=plane_of(header),
    )


def carm_directions(primary_deg: float, secondary_deg: float, detector_deg: float = 0.0) -> camera.Directions:
    """Right, down and beam of a C-arm, in RAS+ of a patient who lies as the angles are about.

    PS3.3, C.8.19.6.13.1.2, with PS3.17, Z.2: a point of the positioner's axes X (columns), Y (to the source) and Z (up
    the rows) is at (R2 R1)^T R3^T of it in X to the left, Y to the back and Z to the head.

    Args:
        detector_deg: turn of the detector about the beam.
    """
    a1, a2, a3 = (math.radians(angle) for angle in (primary_deg, secondary_deg, detector_deg))
    r1 = np.array([[math.cos(a1), math.sin(a1), 0], [-math.sin(a1), math.cos(a1), 0], [0, 0, 1]])
    r2 = np.array([[1, 0, 0], [0, math.cos(a2), -math.sin(a2)], [0, math.sin(a2), math.cos(a2)]])
    r3 = np.array([[math.cos(a3), 0, -math.sin(a3)], [0, 1, 0], [math.sin(a3), 0, math.cos(a3)]])
    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    to_world = lps_to_ras @ (r2 @ r1).T @ r3.T
    return to_world[:, 0], -to_world[:, 2], -to_world[:, 1]


def _directions(header: Header, enhanced: bool) -> tuple[bool, float, camera.Directions]:
    """Whether the header has angles, how sure they are, and the directions they give."""
    angles = []
    for name in ("primary", "secondary"):
        keyword = f"Positioner{name.capitalize()}Angle"
        first = header.number(keyword)
        step = 0.0 if enhanced else increment(header, f"{name} angle's increment", f"{keyword}Increment", "degrees")
        if first is not None:
            note = "detector to the patient's left" if name == "primary" else "detector to the head"
            header.found(f"{name} angle", first, "degrees", keyword, ROTATION_DEG, note)
        angles.append(None if first is None else first + step)
    primary, secondary = angles
    detector = header.number("PositionerIsocenterDetectorRotationAngle") or 0.0
    if detector:
        header.found("detector's rotation", detector, "degrees", "PositionerIsocenterDetectorRotationAngle")
    if primary is None and header.number(_IN_ROOM[0]) is not None:
        return _directions_in_room(header, detector)
    header.leave("angle about the room", "degrees", _IN_ROOM, "those about the patient are used")
    header.leave("table's angle", "degrees", ANGLES, "angles are about the patient")
    patient_position(header, unused="the angles are about the patient already")
    if primary is None:
        header.assumed("primary, secondary angle", (0.0, 0.0), "degrees", NO_VIEW_DEG, "detector in front")
        header.warn("The header does not say where the C-arm was: the detector is taken to be in front of the patient.")
        return False, NO_VIEW_DEG, carm_directions(0.0, 0.0, detector)
    if secondary is None:
        header.assumed("secondary angle", 0.0, "degrees", TURNED_TABLE_DEG)
    return True, ROTATION_DEG, carm_directions(primary, secondary or 0.0, detector)


def _directions_in_room(header: Header, detector_deg: float) -> tuple[bool, float, camera.Directions]:
    """Those of angles about the room, by how the table is turned in it and how the patient lies on that."""
    primary, secondary = (header.number(name) or 0.0 for name in _IN_ROOM)
    for name, value, said in zip(_IN_ROOM, (primary, secondary), ("primary angle", "secondary angle"), strict=True):
        header.found(said, value, "degrees", name, ROTATION_DEG, "about the room")
    to_patient, known = room_to_patient(header)
    if not known:
        header.warn("Angles are about the room: the patient is taken to lie supine, head first, along the table.")
    apart = header.text("CArmPositionerTabletopRelationship") == "NO"
    if apart:
        header.warn(
            "The table is not part of the C-arm's system (CArmPositionerTabletopRelationship): it may be turned."
        )
    right, down, beam = (
        to_patient @ _RAS_TO_LPS @ direction for direction in carm_directions(primary, secondary, detector_deg)
    )
    return True, TURNED_TABLE_DEG if apart else ROTATION_DEG, (right, down, beam)


def _isocentre_distance(header: Header, sdd: float) -> tuple[float, float]:
    """Distance from the source to the isocentre, and its deviation."""
    for keyword in ("DistanceSourceToIsocenter", "DistanceSourceToPatient"):
        found = header.length(keyword)
        if found is not None and found < sdd:
            header.found("source to isocentre", found, "mm", keyword, ISOCENTRE_MM)
            return found, ISOCENTRE_MM
        if found is not None:
            header.warn(f"{keyword} is {found:g} mm, beyond the detector at {sdd:g} mm: not used.")
            header.leave("source to isocentre", "mm", [keyword], "beyond the detector")
    magnification = header.number("EstimatedRadiographicMagnificationFactor")
    if magnification is not None and magnification > 1:
        keyword = "EstimatedRadiographicMagnificationFactor"
        header.found("magnification", magnification, "", keyword, note="gives source to isocentre")
        return sdd / magnification, 2 * ISOCENTRE_MM
    header.assumed("source to isocentre", ISOCENTRE_SHARE * sdd, "mm", ASSUMED_ISOCENTRE_MM, "3/4 of the way")
    header.warn("The header does not say how far the isocentre is from the source: 3/4 of the way is assumed.")
    return ISOCENTRE_SHARE * sdd, ASSUMED_ISOCENTRE_MM


def _tilt(
    header: Header,
    directions: camera.Directions,
    sdd: float,
    pixel: tuple[float, float],
    principal: tuple[float, float],
) -> tuple[float, tuple[float, float], camera.Directions]:
    """Distance, foot of the source and directions of a detector that its centre's ray meets at a slant."""
    row_deg, column_deg = (header.number(f"Detector{name}Angle") or 0.0 for name in ("Primary", "Secondary"))
    for name, value in (("Primary", row_deg), ("Secondary", column_deg)):
        if value:
            header.found(f"detector's {name.lower()} tilt", value, "degrees", f"Detector{name}Angle")
    if max(abs(row_deg), abs(column_deg)) > STEEPEST_DEG:
        header.warn("The detector would be tilted so far that the beam misses it: its tilt is not used.")
        return sdd, principal, directions
    if not (row_deg or column_deg):
        return sdd, principal, directions
    across, along = math.tan(math.radians(row_deg)), -math.tan(math.radians(column_deg))
    square = sdd / math.sqrt(1 + across**2 + along**2)
    foot = principal[0] - across * square / pixel[0], principal[1] - along * square / pixel[1]
    return square, foot, camera.tilted(directions, row_deg, column_deg)


def _leave_what_is_not_known(header: Header) -> None:
    """Elements that would move the image if it were settled how: listed, and warned of where they say something."""
    detector = [f"Detector{axis}PositionToIsocenter" for axis in "XYZ"]
    detector += ["DetectorIsocenterPrimaryAngle", "DetectorIsocenterSecondaryAngle"]
    for name, keywords in (("detector's place", detector), ("column's angle", ["ColumnAngulationPatient"])):
        header.leave(name, "", keywords, "not used")
        for keyword in keywords:
            if any(header.numbers(keyword) or ()):
                header.warn(f"{keyword} is not 0, and is not used.")
