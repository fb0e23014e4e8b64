"""Images on another grid."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from raygrad._optional import require
from raygrad.data._volume import Volume

Grid = tuple[tuple[int, int, int], np.ndarray]


def grid_with_spacing(volume: Volume, spacing: float | int | Sequence[float | int]) -> Grid:
    """Shape and affine of the grid of that spacing (mm) that has the volume's axes and isocentre and fits into it.

    As many voxels as fit, at least one, as torchio.Resample counts them; an axis of a single voxel stays as it is.

    Raises:
        ValueError: the spacing is not one or three positive lengths.
    """
    wanted = np.array([spacing] * 3 if isinstance(spacing, (int, float)) else spacing, dtype=np.float64)
    if wanted.shape != (3,) or not (np.isfinite(wanted).all() and (wanted > 0).all()):
        raise ValueError(f"Expected a spacing of one or three positive lengths in mm. Got {spacing!r}.")
    shape, have = np.array(volume.spatial_shape), np.array(volume.spacing)
    wanted = np.where(shape == 1, have, wanted)
    x, y, z = (max(1, math.floor(size * a / b + 1e-6)) for size, a, b in zip(shape.tolist(), have, wanted, strict=True))
    affine = volume.affine.copy()
    affine[:3, :3] *= wanted / have
    affine[:3, 3] = volume.get_center() - affine[:3, :3] @ ((np.array([x, y, z]) - 1) / 2)
    return (x, y, z), affine


def resample(
    volume: Volume, shape: tuple[int, int, int], affine: np.ndarray, nearest: bool = False, outside: float | int = 0
) -> Volume:
    """The volume's values at the voxel centres of a grid of this shape and affine: trilinear, or the nearest's.

    The outer half of the border voxels has the border's value; beyond it is `outside`. SimpleITK computes it in voxel
    coordinates, so any invertible affine will do. The result is on the CPU, x-fastest, of the volume's type.

    Raises:
        ImportError: SimpleITK is not installed.
    """
    sitk = require("SimpleITK", "resampling")
    array = volume.voxels.detach().cpu()
    half = array.dtype in (torch.float16, torch.bfloat16)
    image = sitk.GetImageFromArray((array.float() if half else array).permute(2, 1, 0).contiguous().numpy())
    grid_to_voxel = np.linalg.inv(volume.affine) @ affine
    transform = sitk.AffineTransform(grid_to_voxel[:3, :3].ravel().tolist(), grid_to_voxel[:3, 3].tolist())

    resampler = sitk.ResampleImageFilter()
    resampler.SetSize(shape)
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear)
    resampler.SetDefaultPixelValue(outside)
    resampled = torch.from_numpy(sitk.GetArrayFromImage(resampler.Execute(image)))
    return Volume(resampled.to(array.dtype).permute(2, 1, 0), affine)
