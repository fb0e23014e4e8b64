"""SimpleITK images as volumes."""

from typing import Any

import numpy as np

from raygrad._optional import require
from raygrad.data._volume import Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def from_simpleitk(image: Any) -> Volume:
    """The Volume of a SimpleITK image (LPS+), in the image's axes.

    Raises:
        ValueError: it is not one 3D image of finite real numbers.
    """
    size = image.GetSize()
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(f"Expected one real number per voxel. Got {image.GetNumberOfComponentsPerPixel()} (RGB?).")
    if len(size) < 3 or any(length != 1 for length in size[3:]):
        raise ValueError(f"Expected a 3D image. Got shape {size}.")
    return Volume(without_float64(array_of(image)).reshape(size[2::-1]).T, affine_of(image))


def affine_of(image: Any) -> np.ndarray:
    """The voxel_to_world, in RAS+, of a SimpleITK image."""
    dimension = image.GetDimension()
    voxel_to_lps = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)
    voxel_to_lps[:3, :3] = (direction * image.GetSpacing())[:3, :3]
    voxel_to_lps[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ voxel_to_lps


def array_of(image: Any) -> np.ndarray:
    """The numbers (..., y, x) of a SimpleITK image; several per pixel are the last axis."""
    return require("SimpleITK", "reading images").GetArrayFromImage(image)


def without_float64(array: np.ndarray) -> np.ndarray:
    """The array, in float32 if it was in float64."""
    return array.astype(np.float32) if array.dtype == np.float64 else array
