"""Files of images: what a reader of one hands over, and images as they are written."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import suffix_of
from raygrad.formats._dicom_write import write_xray
from raygrad.formats._registry import Format, Formats
from raygrad.formats._views import View

_DICOM = ".dcm"
Lengths = tuple[float, float]
Directions = tuple[Lengths, Lengths]
Measures = tuple[Lengths | None, float | None, float | None]
"""A pixel's width and height, the distances from the source to the detector and to the patient, all in mm."""
Writer = Callable[[Path, np.ndarray, Lengths, Lengths | None], None]


@dataclass(frozen=True)
class Pixels:
    """What one file of images holds, and what its header says of it; None where it says nothing.

    Attributes:
        images: float32 (..., row, column), with the rescaling that the header asks for.
        spacing: width and height of a pixel on the detector in mm.
        origin: centre of the first pixel in mm, on the detector's two axes.
        directions: the way along columns and that along rows on these axes; (1, 0) and (0, 1) if None.
        sdd: source-to-detector distance in mm.
        source_to_patient: distance in mm.
        values: one of `raygrad.formats.VALUES`: what the numbers are.
        bone_is_low: of grey levels that show bone white, that these are the low ones.
        full_scale: the greatest number that the file could hold; None for floating-point numbers.
        mask: weights of the pixels, 0 where the header hides one; None if it hides none.
        of_frames: spacing, sdd and source_to_patient of every frame where these differ, and are None for all.
    """

    images: Float[Tensor, "*frames height width"]
    spacing: Lengths | None = None
    origin: Lengths | None = None
    directions: Directions | None = None
    sdd: float | None = None
    source_to_patient: float | None = None
    values: str | None = None
    bone_is_low: bool = False
    full_scale: float | None = None
    mask: Float[Tensor, "*frames height width"] | None = None
    of_frames: tuple[Measures, ...] | None = None


@dataclass(frozen=True)
class ImageFormat(Format):
    """A kind of file that holds X-ray images.

    Attributes:
        read: the pixels of a file.
        write: writes an image (row, column) or a stack (view, row, column) to a file: name, numbers, spacing and
            origin, see `Pixels`; None if such files are only read.
        written: those of the suffixes under which files are written.
        one_by_one: the views of a folder may be files of this format, one each.
        grey: what is written are grey levels for the eye, of one image, and not the numbers themselves.
        read_some: for files of many images, which take long: the pixels of those alone, in their order, whose numbers
            (from 0) a function chooses when it is told how many there are; and how many there are.
    """

    read: Callable[[Path], Pixels]
    write: Writer | None = None
    written: tuple[str, ...] = ()
    one_by_one: bool = True
    grey: bool = False
    read_some: Callable[[Path, Callable[[int], Sequence[int]]], tuple[Pixels, int]] | None = None


IMAGES: Formats[ImageFormat] = Formats("X-ray")
"""The formats of X-rays, stacks and images; `IMAGES.add(ImageFormat(...))` adds one."""


def writer_of(path: Path, stack: bool = False) -> tuple[Writer, bool] | None:
    """What writes an image, or a stack, under this name, and whether as grey levels; None if nothing does."""
    suffix = suffix_of(path, writable_suffixes(stack))
    return next(((kind.write, kind.grey) for kind in IMAGES if kind.write and suffix in kind.written), None)


def writable_suffixes(stack: bool = False) -> list[str]:
    """The suffixes under which images, or stacks, are written."""
    return [suffix for kind in IMAGES if not (stack and kind.grey) for suffix in kind.written]


def check_image_path(path: str | os.PathLike[str], has_view: bool = False) -> Path:
    """The path, if `write_image` can write there: to be called before a long computation.

    Args:
        path: of the image.
        has_view: whether it will come with its view.

    Raises:
        InputError: a suffix of no format that is written, or a folder's name.
        FileNotFoundError: there is no such folder.
    """
    path = Path(path).expanduser()
    if _is_dicom(path):
        if not has_view:
            raise InputError(f"Expected the view of an image that is written as DICOM. Got none for '{path}'.")
    elif writer_of(path) is None:
        raise InputError(
            f"Expected a file name that ends in {', '.join([*writable_suffixes(), _DICOM])}. Got '{path}'."
        )
    if path.is_dir():
        raise InputError(f"Expected the name of a file. Got '{path}', which is a folder.")
    check_parent(path)
    return path


def _is_dicom(path: Path) -> bool:
    return path.name.lower().endswith(_DICOM)


def check_parent(path: Path) -> None:
    """Raise FileNotFoundError unless the folder that a file or folder is to be in exists."""
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder '{path.parent}' to write '{path.name}' into.")


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


def write_image(
    path: str | os.PathLike[str],
    image: Float[Tensor, "height width"],
    spacing: tuple[float | int, float | int],
    window: tuple[float | int, float | int] | None = None,
    bits: int = 8,
    invert: bool = False,
    view: View | None = None,
) -> None:
    """Write one X-ray image of line integrals, the whole file or none.

    Args:
        path: .png holds grey levels; .tif, .nii.gz, .nrrd, .mha and .npy hold the line integrals as float32; .dcm is
            what `write_xray` writes.
        image: rows and columns.
        spacing: width and height of a pixel in mm; PNG and NPY do not keep it. NIfTI has the axes column, row, 1.
        window: of grey levels: the line integrals that become black and white; by default those of the image.
        bits: of grey levels: 8 or 16.
        invert: of grey levels: dark bone on a bright background.
        view: where and with what the image was taken. DICOM needs it, and has the pixels' size from it.

    Raises:
        InputError: a suffix of no format that is written, another number of bits, or DICOM without a view.
        OSError: the folder is missing or closed to us, or the disk is full.
        ImportError: SimpleITK is not installed.
    """
    path = check_image_path(path, view is not None)
    if bits not in (8, 16):
        raise InputError(f"Expected 8 or 16 bits. Got {bits}.")
    writer = writer_of(path)
    if writer is None:
        assert view is not None  # or the path would have been refused
        write_xray(path, image, view)
        return
    write, grey = writer
    numbers = image.detach().cpu().numpy()
    numbers = to_grey_levels(numbers, window, bits, invert) if grey else numbers.astype(np.float32)
    write(path, numbers, (float(spacing[0]), float(spacing[1])), None)


def full_scale_of(dtype: np.dtype) -> float | None:
    """The greatest number of an integer type."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else None
