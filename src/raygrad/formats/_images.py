"""Writes one X-ray image as PNG, TIFF or NIfTI: the whole file, or none."""

import os
import tempfile
from pathlib import Path

import numpy as np

from raygrad._errors import UserError
from raygrad._optional import require

SUFFIXES = (".png", ".tif", ".tiff", ".nii", ".nii.gz")


def check_output(path: Path) -> str:
    """The suffix that says how `path` will be written.

    Raises:
        UserError: no such folder, or a suffix of another format.
    """
    suffix = next(
        (known for known in sorted(SUFFIXES, key=len, reverse=True) if path.name.lower().endswith(known)), None
    )
    if suffix is None:
        raise UserError(f"The output's name must end in {', '.join(SUFFIXES)}; got '{path}'.")
    if path.is_dir():
        raise UserError(f"'{path}' is a folder; give the name of a file.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder '{path.parent}' to write '{path.name}' into.")
    return suffix


def to_grey_levels(
    image: np.ndarray, window: tuple[float, float] | None = None, bits: int = 8, invert: bool = False
) -> np.ndarray:
    """Unsigned integers of 8 or 16 bits: black at the window's lower end, white at its upper end (or inverted).

    Without a window it spans the image.
    """
    low, high = window or (float(image.min()), float(image.max()))
    share = np.clip((image.astype(np.float64) - low) / ((high - low) or 1.0), 0.0, 1.0)
    if invert:
        share = 1.0 - share
    return np.round(share * (2**bits - 1)).astype({8: np.uint8, 16: np.uint16}[bits])


def save_image(
    image: np.ndarray,
    path: Path,
    spacing: tuple[float, float],
    window: tuple[float, float] | None = None,
    bits: int = 8,
    invert: bool = False,
) -> None:
    """Write an image (row, column) of line integrals.

    PNG holds grey levels (`to_grey_levels`), TIFF and NIfTI the line integrals themselves as float32. `spacing` is
    the size of a pixel along a row and along a column in mm; NIfTI keeps it, with the axes column, row, 1.

    Raises:
        UserError: the folder is missing or the suffix unknown.
        OSError: the disk is full or the folder closed to us.
    """
    suffix = check_output(path)
    sitk = require("SimpleITK", "writing images", extra="cli")
    if suffix == ".png":
        picture = sitk.GetImageFromArray(to_grey_levels(image, window, bits, invert))
    else:
        picture = sitk.GetImageFromArray(image.astype(np.float32))
    picture.SetSpacing(spacing)
    if suffix.startswith(".nii"):
        picture = sitk.JoinSeries(picture)  # viewers expect three axes
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".raygrad-") as folder:
            written = Path(folder) / f"image{suffix}"
            sitk.WriteImage(picture, str(written))
            os.replace(written, path)
    except RuntimeError as error:  # SimpleITK's only kind
        raise OSError(f"Could not write '{path}': {str(error).strip().splitlines()[-1]}") from error
