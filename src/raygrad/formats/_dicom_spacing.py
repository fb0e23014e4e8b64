"""The size of a pixel on the detector, and the detector's distance, as DICOM headers have them."""

from typing import Any

from raygrad._dicom import number, numbers
from raygrad.formats._dicom_frames import places, text
from raygrad.formats._images import Lengths

_PROPERTIES, _GEOMETRY = "FramePixelDataPropertiesSequence", "XRayGeometrySequence"


def detector_spacing(dataset: Any, frame: int = 0) -> tuple[Lengths | None, str | None]:
    """Width and height of a pixel on the detector in mm, None if that is not known, and what is wrong, if anything is.

    ImagerPixelSpacing is at the detector, ImagePlanePixelSpacing at RTImageSID (PS3.3, C.8.8.2), which is the distance
    that `source_to_detector` gives, and NominalScannedPixelSpacing on a film. PixelSpacing may have been calibrated to
    a plane in the patient (10.7.1.3), and is the detector's only if nothing says so; of XA and RF that is a doubt, as
    they have it for calibrations alone. Zeros say nothing.

    Args:
        dataset: a header.
        frame: counted from 0.
    """
    for keyword in ("ImagerPixelSpacing", "ImagePlanePixelSpacing", "NominalScannedPixelSpacing"):
        for place in places(dataset, frame, _PROPERTIES):
            if (found := _lengths(place, keyword)) is not None:
                return found, None
    found = _lengths(dataset, "PixelSpacing")
    calibration = text(dataset, "PixelSpacingCalibrationType")
    if found is None:
        return None, None
    if calibration == "GEOMETRY" and (magnification := _positive(dataset, "EstimatedRadiographicMagnificationFactor")):
        return (found[0] * magnification, found[1] * magnification), None
    if calibration:
        return None, (
            f"its PixelSpacing of {found[0]:g} x {found[1]:g} mm is that of a plane in the patient "
            f"({calibration.lower()}), and the detector's is not in the header: give delx"
        )
    if text(dataset, "Modality") in ("XA", "RF"):
        return found, (
            f"its PixelSpacing of {found[0]:g} x {found[1]:g} mm is taken for the detector's, though fluoroscopy has "
            "one to be calibrated: if that was in the patient, give delx"
        )
    return found, None


def source_to_detector(dataset: Any, frame: int = 0) -> float | None:
    """From the source to the plane that `detector_spacing` is of, in mm."""
    if (sid := _positive(dataset, "RTImageSID")) and _lengths(dataset, "ImagePlanePixelSpacing"):
        return sid
    found = (_positive(place, "DistanceSourceToDetector") for place in places(dataset, frame, _GEOMETRY))
    return next((length for length in found if length), None) or _positive(dataset, "RTImageSID")


def source_to_patient(dataset: Any, frame: int = 0) -> float | None:
    """From the source to where the patient is thought to be, or to the isocentre, in mm."""
    keywords = ("DistanceSourceToPatient", "DistanceSourceToIsocenter", "RadiationMachineSAD")
    found = (_positive(place, keyword) for place in places(dataset, frame, _GEOMETRY) for keyword in keywords)
    return next((length for length in found if length), None)


def _lengths(place: Any, keyword: str) -> Lengths | None:
    """Width and height: DICOM has the distance between rows first, then that between columns."""
    found = numbers(place, keyword)
    return (found[1], found[0]) if len(found) == 2 and min(found) > 0 else None


def _positive(place: Any, keyword: str) -> float | None:
    found = number(place, keyword)
    return found if found is not None and found > 0 else None
