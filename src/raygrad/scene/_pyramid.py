"""Coarse volumes, made when they are asked for: for coarse pixels a march through them costs a fraction."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from raygrad.march import Prepared

VOXELS_PER_PIXEL = 2
"""A volume is reduced while so many of its voxels still fit into a pixel, as it is seen at the isocentre."""


def reduce_body(body: Prepared, factors: tuple[int, ...]) -> Prepared:
    """Average blocks of `factors` voxels; what a block lacks at the far faces counts as empty.

    Line integrals of the result are those of the body, blurred by a block. Values may be those of several materials.
    """
    # Pooling is quick where the last axis is the contiguous one, and files have x contiguous.
    flipped = body.values.stride(-3) == 1
    voxels, blocks = (body.values.transpose(-3, -1), factors[::-1]) if flipped else (body.values, factors)
    channels, several = (voxels, True) if voxels.ndim == 4 else (voxels[None], False)
    means = functional.avg_pool3d(channels[None], blocks, ceil_mode=True, divisor_override=math.prod(blocks))[0]
    pooled = means if several else means[0]
    fine_to_coarse = torch.eye(4, dtype=body.world_to_voxel.dtype)
    for axis, factor in enumerate(factors):
        fine_to_coarse[axis, axis] = 1 / factor
        fine_to_coarse[axis, 3] = (1 - factor) / (2 * factor)
    world_to_coarse = fine_to_coarse.to(body.world_to_voxel.device) @ body.world_to_voxel
    return Prepared.of(pooled.transpose(-3, -1) if flipped else pooled, world_to_coarse)


class Pyramid:
    """A body and its reductions, each made when it is first asked for, of the finest one that will do."""

    def __init__(self, finest: Prepared) -> None:
        self.finest = finest
        self._levels: dict[tuple[int, ...], Prepared] = {(1, 1, 1): finest}

    def level(self, pixel: float) -> Prepared:
        """The body with its voxels averaged in blocks as large as a pixel of that size (mm, at the body) allows."""
        blocks = blocks_of(self.finest.spacing, pixel)
        if blocks not in self._levels:
            finer = [made for made in self._levels if all(a % b == 0 for a, b in zip(blocks, made, strict=True))]
            nearest = max(finer, key=math.prod)
            factors = tuple(a // b for a, b in zip(blocks, nearest, strict=True))
            self._levels[blocks] = reduce_body(self._levels[nearest], factors)
        return self._levels[blocks]


def blocks_of(spacing: Sequence[float], pixel: float) -> tuple[int, ...]:
    """How many voxels become one, along each axis, for pixels of that size (mm, at the body)."""
    return tuple(_block(side, pixel / VOXELS_PER_PIXEL) for side in spacing)


def _block(spacing: float, largest: float) -> int:
    """The greatest power of two that keeps `spacing` times itself within `largest`, at least 1."""
    return 2 ** max(0, math.floor(math.log2(max(largest, spacing) / spacing) + 1e-6))
