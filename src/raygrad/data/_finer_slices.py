"""Finer slices of a CT: what thick slices are the means of, as smooth as it may be."""

import numpy as np
import torch
from jaxtyping import Float

from raygrad._memory import extremes
from raygrad.data._volume import Volume

_FINE_MM = 1.0
"""What slices are brought to where nobody says how fine: images then do not show them any more."""
_ROWS = 2**16
"""Lines across the slices that are computed at a time."""


def finer_slices(volume: Volume, parts: int | None = None) -> Volume:
    """A CT whose slices are each divided into thinner ones, so that X-rays of it do not show slices.

    A slice is the mean over its thickness. Of all thinner slices with these means, those are taken that bend least (the
    sum of squared second differences): a histospline, after L. I. Boneva, D. Kendall and I. Stefanov, "Spline
    transformations", J. R. Stat. Soc. B 33:1 (1971). Where that runs beyond the CT's least and greatest value, it is
    cut off there, and only there means change.

    Args:
        volume: the CT. Its slices are across the axis along which voxels are largest.
        parts: how many each slice becomes; by default so many that they are about 1 mm thick.

    Returns:
        Float32, on the same box; the volume itself where nothing is to be divided.

    Raises:
        ValueError: `parts` below 1.
    """
    axis = int(np.argmax(volume.spacing))
    parts = max(1, round(volume.spacing[axis] / _FINE_MM)) if parts is None else parts
    if parts < 1:
        raise ValueError(f"Expected at least 1 part of each slice. Got {parts}.")
    count = volume.spatial_shape[axis]
    if parts == 1 or count == 1:
        return volume
    to_fine = torch.from_numpy(_histospline(count, parts).T.astype(np.float32))
    coarse = volume.voxels.detach().cpu().movedim(axis, 2)
    least, greatest = (float(end) for end in extremes(volume.data))
    shape = (*coarse.shape[:2], count * parts)
    # x-fastest, as all volumes are kept: one plane of the finer slices after the other in memory.
    fine = torch.empty(shape[::-1]).permute(2, 1, 0)
    step = max(1, _ROWS // shape[0])
    for start in range(0, shape[1], step):
        lines = coarse[:, start : start + step].float()
        fine[:, start : start + step] = (lines @ to_fine).clamp_(least, greatest)
    affine = volume.affine.copy()
    affine[:3, 3] -= affine[:3, axis] * (parts - 1) / (2 * parts)
    affine[:3, axis] /= parts
    return Volume(fine.movedim(2, axis), affine)


def _histospline(count: int, parts: int) -> Float[np.ndarray, "fine coarse"]:
    """What leads from the slices to the finer ones: minimise |D f|² with means M f = c, by Lagrange's multipliers."""
    fine = count * parts
    means = np.kron(np.eye(count), np.full((1, parts), 1 / parts))
    bends = np.diff(np.eye(fine), 2, axis=0)
    system = np.block([[bends.T @ bends, means.T], [means, np.zeros((count, count))]])
    given = np.concatenate([np.zeros((fine, count)), np.eye(count)])
    return np.linalg.solve(system, given)[:fine]
