"""Enhanced RT Image and Enhanced Continuous RT Image: source and receptor by matrices (PS3.3, C.36.2.4.2, C.36.2.4.9).

These lead to the equipment's axes; where the patient is in them, ImageToEquipmentMappingMatrix says (10.39), or else
how the couch is turned and the patient lies, of equipment whose axes are those of IEC 61217 (C.36.12.2).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from raygrad._dicom import numbers
from raygrad.formats._dicom_geometry import camera
from raygrad.formats._dicom_geometry.detector import DISTANCE_MM, PIXEL, detector_distance, pixel_size
from raygrad.formats._dicom_geometry.geometry import XRayGeometry
from raygrad.formats._dicom_geometry.header import UNLINKED_MM, Header
from raygrad.formats._dicom_geometry.radiotherapy import (
    CENTRED_MM,
    NO_VIEW_DEG,
    PRINCIPAL_MM,
    ROTATION_DEG,
    USUAL_SAD,
    USUAL_SID,
    fixed_to_world,
    foot_on_plane,
)
from raygrad.formats._dicom_receptor import MATRIX, is_rigid
from raygrad.geometry import UnknownGeometry

_IEC_FIXED = "1.2.840.10008.1.4.3.1"
_PATIENT = "ImageToEquipmentMappingMatrix"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_OTHER_ORIGIN_MM = 100.0


def read_enhanced_rt_image(header: Header) -> XRayGeometry:
    """The geometry of a frame of an enhanced RT image."""
    sdd, sdd_mm, has_sdd = detector_distance(header, USUAL_SID, DISTANCE_MM)
    pixel, relative, has_pixel = pixel_size(header, PIXEL)
    to_world, rotation_deg, across_mm = _equipment_to_world(header)
    if header.source_and_receptor is None:
        header.leave("place of source or receptor", "", [MATRIX], "not both of them, or no rigid one")
        header.warn(
            "The header has no matrices of source and receptor: the beam is taken to run along the equipment's z."
        )
        source, receptor = np.eye(4), np.eye(4)
        source[2, 3] = min(USUAL_SAD, 2 / 3 * sdd)
        receptor[2, 3] = source[2, 3] - sdd
        rotation_deg, principal_mm = NO_VIEW_DEG, CENTRED_MM
    else:
        source, receptor = header.source_and_receptor
        for name, matrix in (("source", source), ("receptor", receptor)):
            place = float(matrix[0, 3]), float(matrix[1, 3]), float(matrix[2, 3])
            header.found(f"{name} in the equipment's axes", place, "mm", MATRIX, PRINCIPAL_MM)
        principal_mm = PRINCIPAL_MM
    right, down, middle = receptor[:3, 0], -receptor[:3, 1], receptor[:3, 3]
    if receptor[:3, 2] @ (source[:3, 3] - middle) < 0:
        header.warn("The receptor's z points away from the source: the image is taken to be as seen against the beam.")
    corner = middle - header.columns / 2 * pixel[0] * right - header.rows / 2 * pixel[1] * down
    directions, sdd, principal = foot_on_plane(source[:3, 3], (right, down), corner, pixel)
    header.assumed("image on the receptor", "the whole of it", "", principal_mm, "columns along x, rows against y")
    header.warn(
        "How pixels lie on the receptor is for the maker's conformance statement to say: over all of it, columns along "
        "x and rows against y, is assumed."
    )
    right, down, normal = (to_world @ direction for direction in directions)
    position = to_world @ source[:3, 3]
    depth = float(np.linalg.norm(position))
    header.unlinked("origin of the equipment's axes")
    return camera.assemble(
        header,
        (right, down, normal),
        position,
        sdd,
        pixel,
        principal,
        (rotation_deg,) * 3,
        camera.along_world(across_mm, 5.0, -position / max(depth, 1.0)),
        UnknownGeometry(sdd_mm=sdd_mm, x0_mm=principal_mm, y0_mm=principal_mm, pixel_size=relative),
        has_view=rotation_deg < NO_VIEW_DEG,
        has_sdd=has_sdd,
        has_pixel_size=has_pixel,
        kind="enhanced RT Image",
    )


def _equipment_to_world(header: Header) -> tuple[np.ndarray, float, float]:
    """The turn from the equipment's axes to RAS+, and how sure that and the patient's place are."""
    frame = header.text("EquipmentFrameOfReferenceUID")
    is_iec, across_mm = frame == _IEC_FIXED, UNLINKED_MM
    if is_iec:
        header.found("equipment's axes", "IEC 61217", "", "EquipmentFrameOfReferenceUID")
    else:
        header.leave("equipment's axes", "", ["EquipmentFrameOfReferenceUID"], "the maker's own")
        header.warn("The equipment's axes are not IEC 61217's, so that their origin may be anywhere.")
        across_mm = _OTHER_ORIGIN_MM
    found = [numbers(header.elements, _PATIENT), *_nested(header.elements.get("RTPatientPositionSequence"))]
    rigid = [np.array(values).reshape(4, 4) for values in found if len(values) == 16]
    rigid = [matrix for matrix in rigid if is_rigid(matrix)]
    if rigid:
        header.found(
            "patient in the equipment's axes", tuple(rigid[0][:3].ravel().tolist()), "", _PATIENT, ROTATION_DEG
        )
        return _LPS_TO_RAS @ rigid[0][:3, :3].T, ROTATION_DEG, across_mm
    if is_iec:
        return fixed_to_world(header), ROTATION_DEG, across_mm
    header.warn(f"Nor does a matrix say how the patient lies in them ({_PATIENT}): IEC 61217's axes are assumed.")
    return fixed_to_world(header), NO_VIEW_DEG, across_mm


def _nested(items: Iterable[Any] | None) -> Iterable[tuple[float, ...]]:
    """The patient's matrix in the items of RTPatientPositionSequence (C.36.2.3.2)."""
    return (numbers(item, _PATIENT) for item in items or ())
