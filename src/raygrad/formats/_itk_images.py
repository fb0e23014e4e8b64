"""PNG, TIFF, NIfTI, NRRD and MetaImage files, and other pictures that SimpleITK reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._optional import require
from raygrad._simpleitk import quiet, write_simpleitk
from raygrad.formats._images import IMAGES, ImageFormat, Lengths, Pixels, full_scale_of


def itk_reader_of(path: Path) -> str:
    """The name of the class of ITK that reads a file, by its content; empty if there is none."""
    sitk = require("SimpleITK", "reading X-rays", extra="cli")
    with quiet():
        return sitk.ImageFileReader.GetImageIOFromFileName(str(path))


def read_itk(path: Path) -> tuple[Any, Float[Tensor, "*frames height width"], np.dtype]:
    """The SimpleITK image of a file, its grey values in float32, and the type that they had.

    Raises:
        InputError: the file is damaged, or has colours.
        ImportError: SimpleITK is not installed.
    """
    sitk = require("SimpleITK", "reading X-rays", extra="cli")
    try:
        with quiet():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:  # SimpleITK's only kind
        known = ", ".join(map(str, IMAGES))
        raise InputError(f"Cannot read '{path}': it is damaged, or of none of these formats: {known}.") from error
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        colours = array[..., :3] if array.shape[-1] in (3, 4) else array[..., :1]
        if array.dtype.kind == "c" or not (colours == colours[..., :1]).all():
            raise InputError(f"Expected one grey value per pixel. Got '{path}', which is a colour image.")
        array = array[..., 0]
    return image, torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)), array.dtype


def origin_of(image: Any) -> Lengths | None:
    """Where the first pixel's centre is, if columns and rows follow the first two axes."""
    direction = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:2, :2]
    u, v = image.GetOrigin()[:2]
    return (u, v) if np.allclose(direction, np.eye(2)) else None


def _read_in_mm(path: Path) -> Pixels:
    image, pixels, dtype = read_itk(path)
    delx, dely = image.GetSpacing()[:2]
    return Pixels(pixels, (delx, dely), origin_of(image), full_scale=full_scale_of(dtype))


def _read_picture(path: Path) -> Pixels:
    """The resolution in the file is that of some screen or printer."""
    _, pixels, dtype = read_itk(path)
    return Pixels(pixels, full_scale=full_scale_of(dtype))


def _write(path: Path, images: np.ndarray, spacing: Lengths, origin: Lengths | None) -> None:
    sitk = require("SimpleITK", "writing images", extra="cli")
    picture = sitk.GetImageFromArray(images)
    picture.SetSpacing([*spacing, 1.0][: images.ndim])
    if origin is not None:
        picture.SetOrigin([*origin, 0.0][: images.ndim])
    write_simpleitk(picture, path)


def _write_with_three_axes(path: Path, images: np.ndarray, spacing: Lengths, origin: Lengths | None) -> None:
    _write(path, images if images.ndim == 3 else images[None], spacing, origin)  # viewers of NIfTI expect three


def _is_read_by(reader: str) -> Callable[[Path], bool]:
    return lambda path: itk_reader_of(path) == reader


PNG = IMAGES.add(ImageFormat("PNG", (".png",), _is_read_by("PNGImageIO"), _read_picture, _write, (".png",), grey=True))
TIFF = IMAGES.add(
    ImageFormat("TIFF", (".tif", ".tiff"), _is_read_by("TIFFImageIO"), _read_picture, _write, (".tif", ".tiff"))
)
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
NRRD = IMAGES.add(ImageFormat("NRRD", (".nrrd", ".nhdr"), _is_read_by("NrrdImageIO"), _read_in_mm, _write, (".nrrd",)))
META_IMAGE = IMAGES.add(
    ImageFormat("MetaImage", (".mha", ".mhd"), _is_read_by("MetaImageIO"), _read_in_mm, _write, (".mha",))
)
OTHER_PICTURE = IMAGES.add(
    ImageFormat(
        "another picture that SimpleITK reads",
        (),
        lambda path: itk_reader_of(path) not in ("", "GDCMImageIO"),  # the latter is DICOM's
        _read_picture,
    )
)
