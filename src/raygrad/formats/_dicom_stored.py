"""What is stored of an image in an XA of 16 bits, and what its header says that this is (PS3.3, C.7.6.3, C.8.7.1)."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from raygrad._errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

_AIR = 60_000
"""What is stored for a ray that meets nothing: below the greatest number of 16 bits, which would look saturated."""
_GREATEST = 65_535
_DARKEST = 6.0
"""Line integrals up to this are stored as they are; beyond, intensities would be rounded to nothing."""
WRITTEN = ("line-integrals", "intensity", "display", "inverted-display")
"""Of `VALUES`, those that are written."""


class Stored(NamedTuple):
    """Numbers of a file, before they are rounded.

    Attributes:
        numbers: (row, column), from 0 to 65535.
        relationship: PixelIntensityRelationship.
        meaning: how they follow from the image.
        rescaled: RescaleSlope and RescaleIntercept; None for none.
    """

    numbers: np.ndarray
    relationship: str
    meaning: str
    rescaled: tuple[str, str] | None = None


def as_stored(numbers: np.ndarray, values: str, relationship: str, path: Path) -> Stored:
    """What is stored of an image, see `raygrad.formats.write_xray`.

    Raises:
        InputError: as there.
    """
    if values not in WRITTEN:
        raise InputError(f"Expected values among {', '.join(WRITTEN)}. Got {values!r}.")
    if values == "line-integrals":
        _check(numbers, "line integrals", path, 0.0 if relationship == "LIN" else -np.inf)
        return _intensities_of(numbers) if relationship == "LIN" else _logarithms(numbers)
    if relationship != "LIN":
        raise InputError(f"Expected the relationship {relationship} with line integrals. Got {values!r}.")
    if values == "intensity":
        _check(numbers, "intensities", path, 0.0)
        scale = _AIR / (float(numbers.max()) or 1.0)
        return Stored(scale * numbers, "LIN", f"pixel = {scale:.6g} x signal")
    _check(numbers, "grey levels", path, 0.0, 1.0)
    # XA is MONOCHROME2 and low in bone (C.8.7.1.1.2), so a picture that shows bone white is turned over.
    levels = 1 - numbers if values == "display" else numbers
    return Stored(_GREATEST * levels, "DISP", "grey levels for the eye")


def _intensities_of(lines: np.ndarray) -> Stored:
    greatest = float(lines.max())
    scale = 1.0 if greatest <= _DARKEST else _DARKEST / greatest
    return Stored(_AIR * np.exp(-scale * lines), "LIN", f"intensity = {_AIR} exp(-{scale:.6g} line integral)")


def _logarithms(lines: np.ndarray) -> Stored:
    """Noise brings more than the open beam to a pixel now and then, and its line integral below 0."""
    least = min(0.0, float(lines.min()))
    slope, intercept = f"{(float(lines.max()) - least or 1.0) / _AIR:.9g}", f"{least:.9g}"
    stored = (lines - float(intercept)) / float(slope)
    return Stored(stored, "LOG", "line integral = rescaled value", rescaled=(slope, intercept))


def _check(numbers: np.ndarray, what: str, path: Path, least: float, most: float = np.inf) -> None:
    if np.isfinite(numbers).all() and numbers.min() >= least and numbers.max() <= most:
        return
    bounds = "" if least == -np.inf else f" of at least {least:g}"
    bounds += "" if most == np.inf else f" and at most {most:g}"
    raise InputError(f"Expected finite {what}{bounds} to write to '{path}'. Got others.")


def describe_pixels(dataset: "Dataset", stored: Stored) -> None:
    """The pixels, and what they mean."""
    if stored.rescaled is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = stored.rescaled
        dataset.RescaleType = "US"
    dataset.DerivationDescription = f"X-ray simulated from a CT: {stored.meaning}"
    dataset.PixelIntensityRelationship = stored.relationship
    if stored.relationship != "DISP":
        dataset.PixelIntensityRelationshipSign = 1 if stored.relationship == "LIN" else -1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.numbers.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = np.round(stored.numbers).clip(0, _GREATEST).astype("<u2").tobytes()
