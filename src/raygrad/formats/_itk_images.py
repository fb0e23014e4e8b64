"""NIfTI, NRRD and MetaImage files, and other pictures that SimpleITK reads."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad._optional import require
from raygrad._simpleitk import ITK_ERRORS, name_for_itk, quiet, write_simpleitk
from raygrad._text_headers import check_gzip, check_text_header
from raygrad.formats._images import IMAGES, Directions, ImageFormat, Lengths, Pixels, full_scale_of


def _itk_reader_of(path: Path) -> str:
    """The name of the class of ITK that reads a file, by its content; empty if there is none."""
    sitk = require("SimpleITK", "reading X-rays", extra="cli")
    with quiet():
        return sitk.ImageFileReader.GetImageIOFromFileName(name_for_itk(path))


def read_itk(path: Path, name: Path | None = None) -> tuple[np.ndarray, Any]:
    """What a file holds (..., row, column), with a last axis of samples if there are several, and its SimpleITK image.

    Args:
        path: the file.
        name: of another file that it is a copy of, for messages.

    Raises:
        InputError: the file is damaged, or holds no real numbers.
        ImportError: SimpleITK is not installed.
    """
    sitk = require("SimpleITK", "reading X-rays", extra="cli")
    try:
        check_text_header(path)
        check_gzip(path)
    except InputError as error:
        raise InputError(f"Cannot read '{name or path}'. {error}") from error
    try:
        with quiet():
            image = sitk.ReadImage(name_for_itk(path))
    except ITK_ERRORS as error:
        known, reason = ", ".join(map(str, IMAGES)), str(error).strip().splitlines()[-1]
        raise InputError(
            f"Cannot read '{name or path}': it is damaged, or of none of these formats: {known} ({reason})."
        ) from error
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind not in "biuf":
        raise InputError(f"Expected real numbers. Got '{name or path}', which has {array.dtype}.")
    return array, image


def _pixels(path: Path) -> tuple[Pixels, Any]:
    array, image = read_itk(path)
    alpha = None
    if image.GetNumberOfComponentsPerPixel() > 1:
        array, alpha = grey_and_alpha(array, path)
    numbers = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    mask = None if alpha is None else torch.from_numpy(alpha)
    return Pixels(numbers, full_scale=full_scale_of(array.dtype), mask=mask), image


def grey_and_alpha(array: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The grey values of pixels with several samples (..., sample), and weights of 0 to 1 if some are transparent.

    Raises:
        InputError: they are coloured.
    """
    samples = array.shape[-1]
    colours = array[..., :3] if samples in (3, 4) else array[..., :1]
    if samples > 4 or not (colours == colours[..., :1]).all():
        raise InputError(f"Expected one grey value per pixel. Got '{path}', which is a colour image.")
    alpha = array[..., -1]
    if samples in (1, 3) or alpha.dtype.kind not in "iu" or alpha.min() == alpha.max():
        return array[..., 0], None
    return array[..., 0], alpha.astype(np.float32) / np.iinfo(alpha.dtype).max


def _placed(image: Any) -> tuple[Lengths, Directions | None]:
    """Where the first pixel's centre is, and which way columns and rows go, if not along the first two axes."""
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:2, :2]
    u, v = image.GetOrigin()[:2]
    (along_u, rows_u), (along_v, rows_v) = direction.tolist()
    plain = np.allclose(direction, np.eye(2))
    return (u, v), None if plain else ((along_u, along_v), (rows_u, rows_v))


def _read_in_mm(path: Path) -> Pixels:
    found, image = _pixels(path)
    delx, dely = image.GetSpacing()[:2]
    origin, directions = _placed(image)
    return replace(found, spacing=(delx, dely), origin=origin, directions=directions)


def read_picture(path: Path) -> Pixels:
    """The pixels alone: the resolution in the file is that of some screen or printer."""
    return _pixels(path)[0]


def write_itk(path: Path, images: np.ndarray, spacing: Lengths, origin: Lengths | None) -> None:
    """Write an image or a stack with SimpleITK."""
    sitk = require("SimpleITK", "writing images", extra="cli")
    picture = sitk.GetImageFromArray(images)
    picture.SetSpacing([*spacing, 1.0][: images.ndim])
    if origin is not None:
        picture.SetOrigin([*origin, 0.0][: images.ndim])
    write_simpleitk(picture, path)


def _write_with_three_axes(path: Path, images: np.ndarray, spacing: Lengths, origin: Lengths | None) -> None:
    write_itk(path, images if images.ndim == 3 else images[None], spacing, origin)  # viewers of NIfTI expect three


def _is_read_by(reader: str) -> Callable[[Path], bool]:
    return lambda path: _itk_reader_of(path) == reader


NIFTI = IMAGES.add(
    ImageFormat(
        "NIfTI",
        (".nii.gz", ".nii"),
        _is_read_by("NiftiImageIO"),
        _read_in_mm,
        _write_with_three_axes,
        (".nii.gz", ".nii"),
    )
)
NRRD = IMAGES.add(
    ImageFormat("NRRD", (".nrrd", ".nhdr"), _is_read_by("NrrdImageIO"), _read_in_mm, write_itk, (".nrrd",))
)
META_IMAGE = IMAGES.add(
    ImageFormat("MetaImage", (".mha", ".mhd"), _is_read_by("MetaImageIO"), _read_in_mm, write_itk, (".mha",))
)
OTHER_PICTURE = IMAGES.add(
    ImageFormat(
        "another picture that SimpleITK reads",
        (),
        lambda path: _itk_reader_of(path) not in ("", "GDCMImageIO", "TIFFImageIO", "PNGImageIO"),  # others' files
        read_picture,
    )
)
