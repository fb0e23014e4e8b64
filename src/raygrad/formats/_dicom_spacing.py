"""The size of a pixel on the detector, and the detector's distance, as DICOM headers have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raygrad._dicom import number, numbers
from raygrad.formats._dicom_frames import places, text
from raygrad.formats._dicom_receptor import MATRIX, distance_to_receptor, is_enhanced_rt

Lengths = tuple[float, float]
_MAGNIFICATION = "EstimatedRadiographicMagnificationFactor"


@dataclass(frozen=True)
class DetectorPlane:
    """What a header says of the plane that its pixels are measured in.

    Attributes:
        spacing: width and height of a pixel in mm, None if that is not known.
        spacing_from: the keyword of it.
        magnification: what PixelSpacing was multiplied by, None if by nothing.
        doubt: what is wrong with the spacing, as a sentence's end; None if nothing is.
        sdd: from the source to that plane in mm, None if that is not known.
        sdd_from: the keyword of it.
        in_patient: the spacing may be that of a plane in the patient.
    """

    spacing: Lengths | None = None
    spacing_from: str = ""
    magnification: float | None = None
    doubt: str | None = None
    sdd: float | None = None
    sdd_from: str = ""
    in_patient: bool = False


def detector_plane(layers: Sequence[Any]) -> DetectorPlane:
    """Of one frame, from the layers of its header, the first one's numbers before the others'. Zeros say nothing.

    ImagerPixelSpacing is at the detector, ImagePlanePixelSpacing at RTImageSID (PS3.3, C.8.8.2), which RT Images have
    before all others, and NominalScannedPixelSpacing on a film. PixelSpacing may have been calibrated to a plane in the
    patient (10.7.1.3), and is the detector's only if nothing says so; of XA and RF that is a doubt, as they have it for
    calibrations alone. Of enhanced RT images it is at the receptor (C.36.1.1.12), whose place matrices tell.
    """
    if is_enhanced_rt(layers):
        spacing, keyword = _first(layers, ("PixelSpacing",), _lengths)
        sdd = distance_to_receptor(layers)
        return DetectorPlane(spacing, keyword, sdd=sdd, sdd_from="" if sdd is None else MATRIX)
    at_image_plane, at_detector = "ImagePlanePixelSpacing", "ImagerPixelSpacing"
    is_rt = _first_word(layers, "Modality") == "RTIMAGE"
    order = (at_image_plane, at_detector) if is_rt else (at_detector, at_image_plane)
    spacing, keyword = _first(layers, (*order, "NominalScannedPixelSpacing"), _lengths)
    distances = ("DistanceSourceToDetector", "RTImageSID")
    sdd, sdd_from = _first(layers, distances[::-1] if keyword == at_image_plane else distances, _positive)
    if spacing is not None:
        return DetectorPlane(spacing, keyword, sdd=sdd, sdd_from=sdd_from)
    spacing, keyword = _first(layers, ("PixelSpacing",), _lengths)
    if spacing is None:
        return DetectorPlane(sdd=sdd, sdd_from=sdd_from)
    calibration, doubt = _first_word(layers, "PixelSpacingCalibrationType"), None
    factor = _first(layers, (_MAGNIFICATION,), _positive)[0] if calibration == "GEOMETRY" else None
    said = f"its PixelSpacing of {spacing[0]:g} x {spacing[1]:g} mm is"
    if calibration and factor is None:
        doubt = (
            f"{said} that of a plane in the patient ({calibration.lower()}), and the detector's is not in the header: "
            "give delx"
        )
        return DetectorPlane(doubt=doubt, sdd=sdd, sdd_from=sdd_from)
    if factor is not None:
        spacing = (spacing[0] * factor, spacing[1] * factor)
    elif _first_word(layers, "Modality") in ("XA", "RF"):
        doubt = (
            f"{said} taken for the detector's, though fluoroscopy has one to be calibrated: if that was in the "
            "patient, give delx"
        )
    return DetectorPlane(spacing, keyword, factor, doubt, sdd, sdd_from, in_patient=True)


def source_to_patient(dataset: Any, frame: int = 0) -> float | None:
    """From the source to where the patient is thought to be, or to the isocentre, in mm."""
    keywords = ("DistanceSourceToPatient", "DistanceSourceToIsocenter", "RadiationMachineSAD")
    found = (_positive(place, word) for place in places(dataset, frame, "XRayGeometrySequence") for word in keywords)
    return next((length for length in found if length), None)


def _first(layers: Sequence[Any], keywords: Sequence[str], read: Any) -> tuple[Any, str]:
    """The first of the keywords that says something, in the first layer where it does."""
    found = ((read(layer, keyword), keyword) for keyword in keywords for layer in layers)
    return next((one for one in found if one[0] is not None), (None, ""))


def _first_word(layers: Sequence[Any], keyword: str) -> str:
    return next((word for word in (text(layer, keyword) for layer in layers) if word), "")


def _lengths(place: Any, keyword: str) -> Lengths | None:
    """Width and height: DICOM has the distance between rows first, then that between columns."""
    found = numbers(place, keyword)
    return (found[1], found[0]) if len(found) == 2 and min(found) > 0 else None


def _positive(place: Any, keyword: str) -> float | None:
    found = number(place, keyword)
    return found if found is not None and found > 0 else None
