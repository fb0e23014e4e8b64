"""What the numbers in DICOM X-rays mean: intensities, their logarithms, or grey levels, and where bone is in these."""

from dataclasses import dataclass
from typing import Any

from raygrad._dicom import number
from raygrad._errors import InputError
from raygrad.formats._dicom_frames import places, text

# SOP classes (PS3.4, B.5)
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_FLUOROSCOPY = {_STORAGE + end for end in ("12.1", "12.1.1", "12.2", "12.2.1", "12.3")}  # XA, XRF, enhanced, biplane
_VOLUMES = {_STORAGE + end for end in ("13.1.1", "13.1.2", "13.1.3")}  # X-ray 3D and breast tomosynthesis


@dataclass(frozen=True)
class Meaning:
    """What numbers are.

    Attributes:
        values: one of `raygrad.formats.VALUES`.
        bone_is_low: of grey levels that show bone white, that these are the low ones.
        of_stored: it is said of the numbers as they are stored, before a Modality LUT.
        doubt: what in the header contradicts it, as a sentence's end; None if nothing does.
    """

    values: str
    bone_is_low: bool = False
    of_stored: bool = False
    doubt: str | None = None


def meaning_of(dataset: Any, slope: float = 1.0) -> Meaning:
    """What a header says of the numbers in its image, `slope` times what is stored.

    | images | numbers | source |
    | --- | --- | --- |
    | of any class, PixelIntensityRelationship LIN | intensities, or turned over if the sign is -1 | C.8.11.3.1.2 |
    | LOG | logarithms of intensities: line integrals if the sign is -1, else bone is low | likewise |
    | DX, MG, IO for presentation | grey levels processed for the eye, whatever the relationship was | C.8.11.1 |
    | XA, XRF, their secondary captures | grey levels, low in bone as the intensity is | C.8.7.1.1.2 |
    | all others | grey levels, bone shown white: low in MONOCHROME1, or with an INVERSE LUT | C.7.6.3.1.2 |

    The relationship is that of the stored values; XA without a sign is proportional to the intensity. Fluoroscopy shows
    bone dark, and where a system stores it as MONOCHROME1 it does so to have intensities shown with bone white.
    """
    if str(dataset.get("SOPClassUID", "")) in _VOLUMES:
        raise InputError("which is a reconstructed volume")
    if text(dataset, "PhotometricInterpretation") == "PALETTE COLOR":  # PS3.3, C.7.6.3.1.2
        raise InputError("whose numbers are those of a palette's colours")
    fluoroscopy = str(dataset.get("SOPClassUID", "")) in _FLUOROSCOPY or text(dataset, "Modality") in ("XA", "RF")
    white_is_low = "MONOCHROME1" in text(dataset, "PhotometricInterpretation") or (
        text(dataset, "PresentationLUTShape") == "INVERSE"
    )
    displayed = {low: "display" if low == white_is_low else "inverted-display" for low in (False, True)}
    said = next((p for p in places(dataset, 0, "FramePixelDataPropertiesSequence") if _relationship(p)), None)
    if said is None:
        return Meaning(displayed[fluoroscopy or white_is_low], white_is_low)
    rising = (number(said, "PixelIntensityRelationshipSign") != -1) == (slope > 0)
    if text(dataset, "PresentationIntentType") == "FOR PRESENTATION" and not fluoroscopy:
        contradiction = (
            "its PixelIntensityRelationshipSign says that it shows bone dark" if rising != white_is_low else None
        )
        return Meaning("display", white_is_low, doubt=contradiction)
    if _relationship(said) == "LIN":
        return Meaning("intensity" if rising else "inverted-intensity", white_is_low, of_stored=True)
    return Meaning(displayed[True] if rising else "line-integrals", white_is_low, of_stored=True)


def _relationship(place: Any) -> str:
    """LIN or LOG; DISP says that there is none."""
    found = text(place, "PixelIntensityRelationship")
    return found if found in ("LIN", "LOG") else ""
