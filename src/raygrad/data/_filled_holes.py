"""Structures taken out of a CT: the hole is filled with the tissue around it, and what moves is the excess over that.

A body that moves displaces tissue and is not added to it: where a vertebra has moved to, a ray meets its excess over
the muscle there, and where it was, muscle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.types import VoxelGrid

Grid = Float[Tensor, "x y z"]
Chosen = Bool[Tensor, "x y z"]
Box = tuple[slice, slice, slice]

MARGIN_MM = 8.0
"""How far about a structure its box reaches, in which the hole is filled; at least `LEAST_MARGIN` voxels."""

LEAST_MARGIN = 4

SHELL_MM = 5.0
"""How far about a structure the voxels lie that say what its tissue is like; at least 2 voxels."""

OUTLYING = 3.0
"""Voxels so many standard deviations off the shell's median (by the median deviation) are no tissue to fill with."""

FAR, NEAR, LARGE = 200, 20, 2_000_000
"""Rounds of relaxation on the coarsest grid, on finer ones, and beyond how many voxels they are a quarter of that."""


@dataclass(frozen=True, eq=False)
class Excess:
    """What a structure has more than the tissue that fills its hole; negative where it has less.

    Attributes:
        values: in the box about the structure (x, y, z), 0 outside the structure.
        box: where that lies in the volume.
    """

    values: VoxelGrid
    box: Box


@torch.no_grad()
def take_out(
    values: VoxelGrid,
    chosen: Sequence[Chosen],
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    claimed: Chosen | None = None,
) -> tuple[VoxelGrid, tuple[Excess, ...]]:
    """Take structures out of a volume and fill their holes smoothly with the tissue around them.

    The fill solves Laplace's equation between the voxels around the hole, but for those of other structures and those
    unlike most of them (bone and air beside soft tissue). The rest and the excesses add up to the volume, to rounding.

    Args:
        values: density or attenuation (x, y, z), any memory order, which the results keep.
        chosen: the voxels of each structure; none in two of them, none of them empty.
        spacing: of the voxels in mm.
        claimed: voxels that any structure has, also one that stays. Those that none has go along with a structure
            that they touch: at its edge they hold a part of it. By default nothing goes along.

    Returns:
        The volume with its holes filled, and what each structure has more than that.

    Raises:
        ValueError: a structure without voxels.
    """
    if not all(bool(one.any()) for one in chosen):
        raise ValueError("Expected voxels of every structure. Got none of one.")
    taken = torch.zeros_like(chosen[0])
    for one in chosen:
        taken |= one
    free = None if claimed is None else ~(claimed | taken)
    places = []
    for one in chosen:
        box = _box_about(one)
        inside = one[box]
        if free is not None:
            box = _widened(box, (1, 1, 1))
            inside = one[box] | (_grown(one[box], (1, 1, 1)) & free[box])
            free[box] &= ~inside
            taken[box] |= inside
        places.append((box, inside))
    rest = values.detach().clone(memory_format=torch.preserve_format)
    margins = [max(LEAST_MARGIN, round(MARGIN_MM / side)) for side in spacing]
    excesses = []
    for box, inside in places:
        wide = _widened(box, margins)
        around = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
        own = torch.zeros_like(taken[wide])
        own[around] = inside
        fill = _fill(values[wide].detach(), own, taken[wide], spacing)[around]
        part = values[box].detach()
        rest[box] = torch.where(inside, fill, rest[box])
        excesses.append(Excess(_in_order_of(part, torch.where(inside, part - fill, 0.0)), box))
    return rest, tuple(excesses)


def _box_about(chosen: Chosen) -> Box:
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = torch.nonzero(chosen.any(others[1]).any(others[0]))
        sides.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _widened(box: Box, voxels: Sequence[int]) -> Box:
    """A box with so many voxels more on both sides of each axis; beyond the volume slices end by themselves."""
    x, y, z = (slice(max(0, side.start - more), side.stop + more) for side, more in zip(box, voxels, strict=True))
    return x, y, z


def _in_order_of(like: Tensor, values: Tensor) -> Tensor:
    """The values with the axes in memory as another tensor has them."""
    order = sorted(range(3), key=like.stride, reverse=True)
    return values.permute(order).contiguous().permute([order.index(axis) for axis in range(3)])


def _fill(values: Grid, own: Chosen, taken: Chosen, spacing: Sequence[float]) -> Grid:
    """A structure's box with the hole filled; what it says elsewhere is of no use."""
    order = sorted(range(3), key=values.stride, reverse=True)  # the quickest axis last
    values, own, taken = (one.permute(order).contiguous() for one in (values, own, taken))
    sides = [spacing[axis] for axis in order]
    precise = values if values.dtype == torch.float64 else values.float()
    known = ~taken
    around = precise[_grown(own, [max(2, round(SHELL_MM / side)) for side in sides]) & known]
    centre = around.median() if around.numel() else precise.new_zeros(())
    if around.numel():
        reach = OUTLYING * 1.4826 * (around - centre).abs().median()
        known &= (precise - centre).abs() <= reach
    # Counted from the median, a constant is kept to the bit.
    filled = _harmonic((precise - centre) * known, known, [side**-2 for side in sides]) + centre
    return filled.to(values.dtype).permute([order.index(axis) for axis in range(3)])


def _grown(chosen: Chosen, voxels: Sequence[int]) -> Chosen:
    """The chosen voxels, and those that are so many voxels from one along each axis."""
    grown = chosen.float()[None, None]
    for axis, reach in enumerate(voxels):
        window = [2 * reach + 1 if axis == along else 1 for along in range(3)]
        grown = functional.max_pool3d(grown, window, 1, [side // 2 for side in window])
    return grown[0, 0] > 0


def _harmonic(values: Grid, known: Chosen, weights: Sequence[float]) -> Grid:
    """Laplace's equation in the voxels that are not known, from coarse to fine; nothing flows through the box's faces.

    A block counts as known where all of its voxels are, so that its mean lies in its middle: a slope is kept.
    """
    if not bool(known.any()):
        return torch.zeros_like(values)
    coarser = _halved(values, known)
    if coarser is None:
        start, rounds = (values.sum() / known.sum()).expand_as(values), FAR
    else:
        coarse = _harmonic(*coarser, weights)
        finer = functional.interpolate(coarse[None, None], scale_factor=2, mode="trilinear", align_corners=False)
        start = finer[0, 0][tuple(slice(0, side) for side in values.shape)]
        rounds = NEAR if values.numel() <= LARGE else NEAR // 4
    return _relaxed(torch.where(known, values, start), ~known, weights, rounds)


def _relaxed(values: Grid, free: Chosen, weights: Sequence[float], rounds: int) -> Grid:
    """Values whose free voxels come closer to the mean of their neighbours, by conjugate gradients."""
    residual = _lacking(values, weights).mul_(free)
    direction, square = residual.clone(), residual.square().sum()
    enough = square.double() * 1e-12 + torch.finfo(values.dtype).tiny
    for _ in range(rounds):
        if square <= enough:
            break
        change = _lacking(direction, weights).neg_().mul_(free)
        step = square / (direction * change).sum()
        values = values + step * direction
        residual -= step * change
        before, square = square, residual.square().sum()
        direction = residual + (square / before) * direction
    return values


def _lacking(values: Grid, weights: Sequence[float]) -> Grid:
    """The mean of each voxel's neighbours, less its own value."""
    x, y, z = functional.pad(values[None, None], [1] * 6, mode="replicate")[0, 0], slice(1, -1), slice(1, -1)
    total = 2 * sum(weights)
    mean = (x[2:, y, z] + x[:-2, y, z]) * (weights[0] / total)
    mean += (x[y, 2:, z] + x[y, :-2, z]) * (weights[1] / total)
    mean += (x[y, z, 2:] + x[y, z, :-2]) * (weights[2] / total)
    return mean - values


def _halved(values: Grid, known: Chosen) -> tuple[Float[Tensor, "a b c"], Bool[Tensor, "a b c"]] | None:
    """Blocks of 2 x 2 x 2 voxels; None where a side is too short or no block is known."""
    if min(values.shape) < 4:
        return None
    odd = [amount for side in reversed(values.shape) for amount in (0, side % 2)]
    both = functional.pad(torch.stack([values, known.to(values.dtype)])[None], odd)
    values, share = functional.avg_pool3d(both, 2)[0]
    whole = share > 1 - 1e-3
    return (values * whole, whole) if bool(whole.any()) else None
