"""Grids of voxels: their affine map as a matrix that can be inverted, and the corners of their box."""

import numpy as np
from torch import Tensor


def as_affine(affine: Tensor | np.ndarray) -> np.ndarray:
    """The 4 x 4 matrix in float64.

    Raises:
        ValueError: it is no such matrix, not finite, or cannot be inverted.
    """
    if isinstance(affine, Tensor):
        affine = affine.detach().cpu().numpy()
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise ValueError(f"Expected a 4x4 affine. Got shape {matrix.shape}.")
    if not np.isfinite(matrix).all() or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise ValueError(f"Expected a finite affine whose last row is (0, 0, 0, 1). Got\n{matrix}")
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if lengths.min() == 0 or abs(np.linalg.det(matrix[:3, :3] / lengths)) < 1e-6:
        raise ValueError(f"Expected an invertible affine. Got\n{matrix}")
    return matrix


def corners_of(shape: tuple[int, int, int], margin: float = 0.0) -> np.ndarray:
    """The eight corners (8, 3), in voxel coordinates, of the box about all voxel centres."""
    ends = [(-margin, size - 1 + margin) for size in shape]
    return np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
