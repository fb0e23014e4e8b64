"""The patient beyond a CT: where he presumably goes on above, below and beside what was scanned.

A CT ends where the scan ended, the patient does not. Above and below its first and last slice he is taken to go on as
they show him; beside its field of view, square or round, as the round cap over what is cut off. Nothing is known of him
there, but that rays see him: such rays tell nothing of how the CT lies.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.data._table import TISSUE_HU, _body, _enclosed, _reduced
from raygrad.data._volume import Volume

GRID_MM = 8.0
"""The patient beyond is made on a grid of at most this spacing, unless the CT's is coarser."""
AIR_HU, PADDING_HU = -500.0, -1100.0
"""A CT without anything below the first has no air, and is not in HU; below the second nothing was measured."""
ABOVE_MM, BESIDE_MM = 300.0, 120.0
"""How far he goes on along the axis of the slices, and at most across it."""
CAP_MM = 75.0
"""The radius of what is cut off at the sides: of the trunk twice as much, of an arm half."""
LEAST_ML = 20.0
"""Less than this is nobody."""
ROUND = 0.04
"""How far the radius of a round field may be from half the side of the square around it, as a share of that."""

Grid = Float[Tensor, "x y z"]
Chosen = Bool[Tensor, "x y z"]
Slice = Bool[Tensor, "x y"]
Grown = Bool[Tensor, "wide high deep"]


@torch.no_grad()
def patient_beyond(ct: Volume) -> Volume | None:
    """The share of each coarse voxel, of a box around a CT's, that the patient beyond the CT presumably fills.

    Args:
        ct: in HU, of any axes.

    Returns:
        Float32 on the CPU; None where the patient ends within the CT, or its numbers are no HU.
    """
    canonical = ct.to_canonical()
    hu, spacing = canonical.voxels.detach().cpu(), canonical.spacing
    steps = [max(1, math.floor(GRID_MM / side + 1e-6)) for side in spacing]
    coarse = _reduced(hu, steps)
    if not bool((coarse < AIR_HU).any()):
        return None
    sides = [side * step for side, step in zip(spacing, steps, strict=True)]
    known = _measured(coarse)
    tissue = (coarse > TISSUE_HU) & known
    body = _body(coarse, tissue, sides) if bool(tissue.any()) else None
    if body is None:
        return None
    patient = _enclosed(body) & known

    margins = [math.ceil(mm / side) for mm, side in zip((BESIDE_MM, BESIDE_MM, ABOVE_MM), sides, strict=True)]
    filled = _gone_on(patient, known, margins, sides)
    inside = _shares_within(known, hu.shape, steps, margins)
    beyond = filled.float() * (1 - inside)
    if float(beyond.sum()) * math.prod(sides) < 1000 * LEAST_ML:
        return None
    coarse_to_fine = np.diag([*(float(step) for step in steps), 1.0])
    coarse_to_fine[:3, 3] = [(step - 1) / 2 - margin * step for step, margin in zip(steps, margins, strict=True)]
    return Volume(beyond, canonical.affine @ coarse_to_fine)


def _measured(coarse: Grid) -> Chosen:
    """What the scanner reconstructed: neither what is below any air, nor the corners around a round field.

    Blocks beside padding are left out too: their means mix it with the patient.
    """
    padding = coarse < PADDING_HU
    corner = float(coarse[0, 0, 0])
    corners = torch.stack([coarse[i, j] for i in (0, -1) for j in (0, -1)])
    if PADDING_HU <= corner < AIR_HU and bool((corners == corner).all()):
        same = coarse == corner
        if bool(same.all()):
            return ~padding
        x, y = (torch.arange(side) - (side - 1) / 2 for side in coarse.shape[:2])
        away = (x[:, None].square() + y.square()).sqrt()[:, :, None].expand_as(coarse)
        radius, half = float(away[~same].max()) + 0.5, min(coarse.shape[:2]) / 2
        # Air in a field is noise; where it is all one number it was drawn, and so was what is beside it.
        if abs(radius - half) < max(ROUND * half, 1.0) and bool((~same & (coarse < AIR_HU) & (away < half - 2)).any()):
            padding = padding | (same & (away > half - 2))
    spread = torch.nn.functional.max_pool3d(padding[None, None].float(), (3, 3, 1), 1, (1, 1, 0))[0, 0] > 0
    return ~spread


def _gone_on(patient: Chosen, known: Chosen, margins: Sequence[int], sides: Sequence[float]) -> Grown:
    """The patient within the grown box: caps beside each slice, and the outermost slices again above and below."""
    wide = [side + 2 * margin for side, margin in zip(patient.shape[:2], margins[:2], strict=True)]
    slices = []
    seen = [k for k in range(patient.shape[2]) if bool(known[:, :, k].any())]
    for k in seen:
        grown, measured = (torch.zeros(wide, dtype=torch.bool) for _ in range(2))
        place = tuple(slice(margin, margin + side) for margin, side in zip(margins, patient.shape[:2], strict=False))
        grown[place], measured[place] = patient[:, :, k], known[:, :, k]
        slices.append(grown | _caps(grown, measured, sides))
    nearest = [min(range(len(seen)), key=lambda n: abs(seen[n] - k)) for k in range(patient.shape[2])]
    below, above = [nearest[0]] * margins[2], [nearest[-1]] * margins[2]
    return torch.stack(slices, dim=2)[:, :, [*below, *nearest, *above]]


def _caps(patient: Slice, measured: Slice, sides: Sequence[float]) -> Slice:
    """What the patient has beside the field of view in a slice: less than the sagitta of the chord that is cut off."""
    nothing = torch.zeros_like(patient)
    rim = measured & _beside(~measured)
    if not bool((rim & patient).any()):
        return nothing
    place = torch.stack(torch.meshgrid(*(torch.arange(n) * mm for n, mm in zip(patient.shape, sides, strict=False)),
                                       indexing="ij"), dim=-1)  # fmt: skip
    cut, edge, free = place[rim & patient], place[rim], place[measured & ~patient]
    # Half of a chord is as long as the way from within it to the nearest air.
    chord = torch.cdist(edge, free).amin(1) if len(free) else torch.full((len(edge),), math.inf)
    chord = torch.where((rim & patient)[rim], chord, 0.0)
    away, nearest = torch.cdist(place[~measured], edge).min(1)
    caps = nothing.clone()
    caps[~measured] = away <= (chord[nearest].square() / (2 * CAP_MM)).clamp_max(BESIDE_MM)
    return caps if len(cut) else nothing


def _beside(mask: Slice) -> Slice:
    """The mask and what shares a side with it."""
    grown = mask.clone()
    for axis in (0, 1):
        length = mask.shape[axis]
        grown.narrow(axis, 1, length - 1).logical_or_(mask.narrow(axis, 0, length - 1))
        grown.narrow(axis, 0, length - 1).logical_or_(mask.narrow(axis, 1, length - 1))
    return grown


def _shares_within(
    known: Chosen, shape: Sequence[int], steps: Sequence[int], margins: Sequence[int]
) -> Float[Tensor, "wide high deep"]:
    """The share of each voxel of the grown box that was measured."""
    share = known.float()
    for axis, (length, step) in enumerate(zip(shape, steps, strict=True)):
        if over := -length % step:  # the last block reaches beyond the CT
            share.select(axis, -1).mul_(1 - over / step)
    pads = [margin for margin in reversed(margins) for _ in range(2)]
    return torch.nn.functional.pad(share, pads)
