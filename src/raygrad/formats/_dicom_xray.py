"""X-ray images in DICOM files, with what their headers say of the X-ray system.

Of a radiograph (PS3.3, C.8.7.1, C.8.11.3, C.8.19.6) these are read: ImagerPixelSpacing, or else PixelSpacing,
DistanceSourceToDetector, DistanceSourceToPatient, PhotometricInterpretation, PixelIntensityRelationship and its sign.
"""

from pathlib import Path

from raygrad.formats._images import IMAGES, ImageFormat, Pixels
from raygrad.formats._itk_images import itk_reader_of, origin_of, read_itk

# Tags (PS3.6)
_SOURCE_TO_DETECTOR, _SOURCE_TO_PATIENT = "0018|1110", "0018|1111"
_IMAGER_PIXEL_SPACING, _PIXEL_SPACING = "0018|1164", "0028|0030"
_BITS_STORED, _INTERCEPT, _SLOPE = "0028|0101", "0028|1052", "0028|1053"
_PHOTOMETRIC, _RELATIONSHIP, _SIGN = "0028|0004", "0028|1040", "0028|1041"


def _sniff(path: Path) -> bool:
    return itk_reader_of(path) == "GDCMImageIO"


def _read(path: Path) -> Pixels:
    image, pixels, _ = read_itk(path)

    def text(tag: str) -> str:
        return image.GetMetaData(tag).strip() if image.HasMetaDataKey(tag) else ""

    def numbers(tag: str) -> list[float]:
        try:
            return [float(part) for part in text(tag).split("\\")]
        except ValueError:
            return []

    def distance(tag: str) -> float | None:
        found = numbers(tag)
        return found[0] if found and found[0] > 0 else None

    slope, intercept = (numbers(_SLOPE) or [1.0])[0], (numbers(_INTERCEPT) or [0.0])[0]
    greatest = slope * (2.0 ** (numbers(_BITS_STORED) or [16.0])[0] - 1) + intercept
    relationship, sign, monochrome1 = text(_RELATIONSHIP), text(_SIGN), text(_PHOTOMETRIC) == "MONOCHROME1"
    if monochrome1:  # ITK turns such images over; turn them back, since the other tags are about what is stored
        pixels = greatest + intercept - pixels
    between = next((found for tag in (_IMAGER_PIXEL_SPACING, _PIXEL_SPACING) if len(found := numbers(tag)) == 2), None)
    return Pixels(
        pixels,
        spacing=None if between is None else (between[1], between[0]),  # DICOM: between rows, then between columns
        origin=None if between is None else origin_of(image),
        sdd=distance(_SOURCE_TO_DETECTOR),
        source_to_patient=distance(_SOURCE_TO_PATIENT),
        values=_values(relationship, sign),
        bone_is_low=sign == "1" if relationship == "LOG" else monochrome1,
        full_scale=greatest,
    )


def _values(relationship: str, sign: str) -> str | None:
    """What PixelIntensityRelationship and its sign (1: the more X-rays, the greater the value) say of the numbers."""
    if relationship == "LIN":
        return "inverted-intensity" if sign == "-1" else "intensity"
    return "line-integrals" if relationship == "LOG" and sign == "-1" else "display"


DICOM = IMAGES.add(ImageFormat("DICOM", (".dcm", ".ima"), _sniff, _read))
