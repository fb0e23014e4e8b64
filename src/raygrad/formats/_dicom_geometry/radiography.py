"""Radiographs: DX, CR, MG and others that say at most a distance, pixels and a view position.

PS3.3, C.8.1.1, C.8.11.5: AP and PA say how the beam runs; LL and RL which side of the patient is at the detector.
Images are as from the front, and laterals as from the detector, unless PatientOrientation says otherwise.
"""

import numpy as np

from raygrad.formats._dicom_geometry import camera
from raygrad.formats._dicom_geometry.detector import (
    DISTANCE_MM,
    PIXEL,
    detector_distance,
    pixel_size,
    principal_point,
)
from raygrad.formats._dicom_geometry.geometry import XRayGeometry
from raygrad.formats._dicom_geometry.header import UNLINKED_MM, Header
from raygrad.geometry import UnknownGeometry

VIEW_DEG, NO_VIEW_DEG = 10.0, 60.0
DEPTH_MM = 75.0
USUAL_DISTANCE_MM = 1500.0
USUAL_FIELD_MM = 400.0
PATIENT_MM = 200.0
"""How far before the detector the middle of the patient is taken to be."""

_VIEWS = {  # letters of the beam, and of the columns
    "AP": ("P", "L"),
    "PA": ("A", "L"),
    "LL": ("L", "P"),
    "LLAT": ("L", "P"),
    "RL": ("R", "A"),
    "RLAT": ("R", "A"),
}


def read_radiograph(header: Header) -> XRayGeometry:
    """The geometry of a radiograph."""
    sdd, sdd_mm, has_sdd = detector_distance(header, USUAL_DISTANCE_MM, DISTANCE_MM)
    pixel, relative, has_pixel = pixel_size(header, PIXEL, USUAL_FIELD_MM)
    principal, principal_mm = principal_point(header, pixel)
    # A tube is aimed by hand and light; that of a wall stand or table is not at the detector's middle.
    principal_mm = max(principal_mm, 10.0)
    has_view, rotation_deg, (right, down, beam) = _directions(header)
    # To the table or the stand, not to an isocentre (PS3.3, C.8.11.7), which there is none of.
    header.leave("source to patient", "mm", ["DistanceSourceToPatient"], "to the side of the patient, not the middle")
    depth = sdd - PATIENT_MM if sdd > 2 * PATIENT_MM else sdd / 2
    header.assumed("source to the patient's middle", depth, "mm", DEPTH_MM)
    header.unlinked("patient's middle")
    keywords = ("PositionerPrimaryAngle", "PositionerSecondaryAngle", "ColumnAngulation")
    header.leave("tube's angle", "degrees", keywords, "about the equipment, not the patient")
    place = [f"Detector{axis}PositionToIsocenter" for axis in "XYZ"]
    place += ["DetectorIsocenterPrimaryAngle", "DetectorIsocenterSecondaryAngle", "DetectorActiveAreaTLHCPosition"]
    header.leave("detector's place", "", place, "in the equipment's axes, which the patient's are not known in")
    header.leave("patient's position", "", ["PatientPosition"], "the view position is about the patient already")
    return camera.assemble(
        header,
        (right, down, beam),
        -depth * beam,
        sdd,
        pixel,
        principal,
        (rotation_deg,) * 3,
        camera.along_world(UNLINKED_MM, DEPTH_MM, beam),
        UnknownGeometry(sdd_mm=sdd_mm, x0_mm=principal_mm, y0_mm=principal_mm, pixel_size=relative),
        has_view=has_view,
        has_sdd=has_sdd,
        has_pixel_size=has_pixel,
        kind="radiograph",
    )


def _directions(header: Header) -> tuple[bool, float, camera.Directions]:
    """Whether the header has a view position, how sure that is, and right, down and beam."""
    position = header.text("ViewPosition")
    known = position in _VIEWS
    beam, right = (np.array(camera.LETTERS[letter], float) for letter in _VIEWS[position if known else "AP"])
    down = np.array(camera.LETTERS["F"], float)
    if not known:
        header.leave("view position", "", ["ViewPosition"], "none that is known")
        header.assumed("view position", "AP", "", NO_VIEW_DEG)
        header.warn("The header does not say from which side the X-ray was taken: from the front (AP) is assumed.")
        header.leave("patient orientation of the image", "", ["PatientOrientation"], "says no beam")
        return False, NO_VIEW_DEG, (right, down, beam)
    header.found("view position", position, "", "ViewPosition", VIEW_DEG)
    said = camera.oriented(header)
    if said is not None and max(abs(float(said[0] @ beam)), abs(float(said[1] @ beam))) > 0.5:
        header.warn(f"ViewPosition {position} and PatientOrientation exclude each other: the latter is not used.")
        header.leave("patient orientation of the image", "", ["PatientOrientation"], "excluded by the view position")
        return True, VIEW_DEG, (right, down, beam)
    right, down = camera.turned_to_patient_orientation(header, right, down)
    return True, VIEW_DEG, (right, down, beam)
