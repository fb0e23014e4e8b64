"""X-ray images from files: their pixels as line integrals, and what their headers say of the X-ray system."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import UserError
from raygrad._optional import require
from raygrad.data import quiet
from raygrad.registration import to_line_integrals

VALUES = ("line-integrals", "intensity", "inverted-intensity", "display")
"""What the numbers of a file can be, see `as_line_integrals`."""

# Formats whose pixel spacing is in mm; the resolution of a PNG or TIFF is that of some screen or printer.
_FORMATS_IN_MM = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")

# DICOM tags (PS3.6)
_SOURCE_TO_DETECTOR, _SOURCE_TO_PATIENT = "0018|1110", "0018|1111"
_IMAGER_PIXEL_SPACING, _PIXEL_SPACING = "0018|1164", "0028|0030"
_BITS_STORED, _INTERCEPT, _SLOPE = "0028|0101", "0028|1052", "0028|1053"
_PHOTOMETRIC, _RELATIONSHIP, _SIGN = "0028|0004", "0028|1040", "0028|1041"


@dataclass(frozen=True)
class XRay:
    """One X-ray image as its file has it.

    Attributes:
        path: the file.
        pixels: what the file holds, float32 (row, column), with DICOM's rescaling applied.
        spacing: width and height of a pixel on the detector in mm, None if the file does not say.
        sdd: source-to-detector distance in mm, None if the file does not say.
        source_to_patient: distance in mm, None if the file does not say.
        values: one of `VALUES` if the file says what its numbers are, else None.
        bone_is_low: of grey levels, that bone has the low ones (DICOM's MONOCHROME1, or the logarithm of intensity).
        full_scale: the greatest number that the file could hold, None for floating-point numbers.
    """

    path: Path
    pixels: Float[Tensor, "height width"]
    spacing: tuple[float, float] | None = None
    sdd: float | None = None
    source_to_patient: float | None = None
    values: str | None = None
    bone_is_low: bool = False
    full_scale: float | None = None


def read_xray(path: Path) -> XRay:
    """Read a PNG, TIFF, NIfTI, NRRD, MetaImage or DICOM file that holds one grey image.

    Of a DICOM radiograph these are read as well (PS3.3, C.8.7.1, C.8.11.3, C.8.19.6): ImagerPixelSpacing, or else
    PixelSpacing, DistanceSourceToDetector, DistanceSourceToPatient, PhotometricInterpretation,
    PixelIntensityRelationship and its sign.

    Raises:
        UserError: no such file, not a single grey image, or numbers that are not finite.
        ImportError: SimpleITK is not installed.
    """
    image, array = open_image(path)
    xray = describe_image(path, torch.from_numpy(_single_grey_image(path, array, image)), image, array.dtype)
    if not xray.pixels.isfinite().all():
        raise UserError(
            f"'{path}' has pixels that are not finite (NaN or infinite). Give them a number, and hide them with --mask."
        )
    return xray


def open_image(path: Path) -> tuple[Any, np.ndarray]:
    """The SimpleITK image of a file, and its numbers with rows and columns as last axes.

    Raises:
        UserError: no such file, or one that cannot be read.
        ImportError: SimpleITK is not installed.
    """
    if not path.is_file():
        raise UserError(f"There is no X-ray '{path}'.")
    sitk = require("SimpleITK", "reading X-rays", extra="cli")
    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:  # SimpleITK's only kind
        raise UserError(
            f"Cannot read '{path}': it is damaged or not a PNG, TIFF, NIfTI, NRRD, MetaImage or DICOM file."
        ) from error
    return image, sitk.GetArrayFromImage(image)


def describe_image(path: Path, pixels: Float[Tensor, "height width"], image: Any, dtype: np.dtype) -> XRay:
    """The pixels of an image, whose file has numbers of this type, with what its header says of them."""
    if image.HasMetaDataKey(_PHOTOMETRIC):
        return _with_dicom_tags(path, pixels, image)
    in_mm = path.name.lower().endswith(_FORMATS_IN_MM)
    delx, dely = image.GetSpacing()[:2]
    full_scale = float(np.iinfo(dtype).max) if dtype.kind in "iu" else None
    return XRay(path, pixels, spacing=(delx, dely) if in_mm else None, full_scale=full_scale)


def read_mask(path: Path, shape: tuple[int, int]) -> Float[Tensor, "height width"]:
    """Read the weights of an X-ray's pixels: 0 is left out, the greatest value counts in full.

    Raises:
        UserError: as for `read_xray`, another size than the X-ray's, a negative weight, or only zeros.
    """
    weights = read_xray(path).pixels
    if tuple(weights.shape) != shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (weights.shape, shape)]
        raise UserError(f"The mask '{path}' has {sizes[0]} pixels, but its X-ray {sizes[1]}.")
    if weights.min() < 0:
        raise UserError(f"The mask '{path}' has negative values; 0 leaves a pixel out, 1 (or the maximum) keeps it.")
    if weights.max() == 0:
        raise UserError(f"The mask '{path}' is 0 everywhere, so no pixel is left to compare.")
    return weights / weights.max() if weights.max() > 1 else weights


def as_line_integrals(xray: XRay, values: str | None = None) -> Float[Tensor, "height width"]:
    """The X-ray as line integrals (up to scale and offset, which registration does not feel): bone is bright.

    Args:
        xray: the image.
        values: what its numbers are:
            "line-integrals", attenuation x mm, as `raygrad drr` writes them to TIFF and NIfTI;
            "intensity", what reaches the detector, so that bone is dark: -log(I / I0) is taken;
            "inverted-intensity", the same turned over, so that bone is bright;
            "display", grey levels made to be looked at, bone bright (or MONOCHROME1): taken as line integrals.
            By default what the file says, else "line-integrals".

    Raises:
        UserError: other values, or an image of one value only.
    """
    kind = values or xray.values or "line-integrals"
    if kind not in VALUES:
        raise UserError(f"--values is one of {', '.join(VALUES)}, not '{kind}'.")
    pixels = xray.pixels
    if pixels.min() == pixels.max():
        raise UserError(f"'{xray.path}' has the same value ({pixels.max():g}) everywhere.")
    if kind == "display":
        return pixels.max() - pixels if xray.bone_is_low else pixels
    if kind == "line-integrals":
        return pixels
    top = pixels.max() if xray.full_scale is None else xray.full_scale
    return to_line_integrals(pixels if kind == "intensity" else top - pixels)


def _single_grey_image(path: Path, array: np.ndarray, image: Any) -> np.ndarray:
    """The image (row, column) in float32, without axes of length 1."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        colours = array[..., :3] if array.shape[-1] in (3, 4) else array[..., :1]
        if array.dtype.kind == "c" or not (colours == colours[..., :1]).all():
            raise UserError(f"'{path}' is a colour image; an X-ray has one grey value per pixel.")
        array = array[..., 0]
    frames = array.shape[:-2]
    if array.ndim < 2 or np.prod(frames) != 1:
        raise UserError(
            f"'{path}' has {' x '.join(map(str, array.shape[::-1]))} pixels; an X-ray is one image with two axes."
        )
    return np.ascontiguousarray(array.reshape(array.shape[-2:]), dtype=np.float32)


def _with_dicom_tags(path: Path, pixels: Tensor, image: Any) -> XRay:
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
    return XRay(
        path,
        pixels,
        spacing=None if between is None else (between[1], between[0]),  # DICOM: between rows, then between columns
        sdd=distance(_SOURCE_TO_DETECTOR),
        source_to_patient=distance(_SOURCE_TO_PATIENT),
        values=_values_of_dicom(relationship, sign),
        bone_is_low=sign == "1" if relationship == "LOG" else monochrome1,
        full_scale=greatest,
    )


def _values_of_dicom(relationship: str, sign: str) -> str | None:
    """What PixelIntensityRelationship and its sign (1: the more X-rays, the greater the value) say of the numbers."""
    if relationship == "LIN":
        return "inverted-intensity" if sign == "-1" else "intensity"
    return "line-integrals" if relationship == "LOG" and sign == "-1" else "display"
