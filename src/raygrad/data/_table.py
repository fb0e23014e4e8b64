"""The patient in a CT, and all else cut out of it: table, mattress, head rest, blankets.

What is thick is the patient's: a table is made of shells. Tissue is opened by `OPENING_MM`, which takes shells away and
leaves a body standing; of the parts that remain the largest is the patient, and so are others that hold bone, or have
the shape of a limb. They grow back to the skin within the tissue, but not far along what they touch; small things on
the skin, such as an ear, stay.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from raygrad.data._volume import Volume

Mask = Bool[Tensor, "x y z"]
FineMask = Bool[Tensor, "fine_x fine_y fine_z"]
Numbers = Float[Tensor, "x y z"]
Numbered = Int[Tensor, "x y z"]

AIR_HU = -1000
"""What is put where something went."""

TISSUE_HU = -500.0
"""Half way from air to water: an edge of the skin."""

THING_HU = -900.0
"""Above this, what is no patient is a thing rather than the noise of air."""

LUNG_HU = -920.0
"""From here to `TISSUE_HU`, what is thick and enclosed on four sides is lung; foam is lighter."""

BONE_HU, METAL_HU = 200.0, 2500.0

SOFT_HU = 200.0
"""Fat and muscle are nearer to water than this."""

GRID_MM = 3.0
"""The patient is looked for on a grid of about this spacing."""

OPENING_MM = 5.0
"""Radius: shells up to twice as thick are not the patient's, unless they lie on the skin."""

SHELL_MM = 3.0
"""The same, where walls of the chest should stand whatever else does: these are thicker than 6 mm."""

LEAST_ML = 2.0
"""Below this, nothing was found to cut out, and nothing is changed."""

SMALL_ML, SMALL_MM = 20.0, 80.0
"""What is left on the skin after the opening stays if it is smaller: an ear, a nose, a plaster."""


@dataclass(frozen=True, eq=False)
class CutOut:
    """A CT with the patient alone, and what went.

    Attributes:
        volume: the CT, -1000 HU where it is not the patient; the one that was given if nothing went.
        mask: 1 for voxels above -900 HU that went, else 0, on the CT's grid.
        litres: their volume.
    """

    volume: Volume
    mask: Volume
    litres: float


@torch.no_grad()
def cut_out_table(ct: Volume) -> CutOut:
    """Cut the table and everything else that is not attached to the patient out of a CT.

    Nothing goes where the CT has no air (its numbers are no HU), or less than 2 ml was found.

    Args:
        ct: in HU, of any axes.
    """
    canonical = ct.to_canonical()
    things = find_things(canonical)
    if things is None:
        return CutOut(ct, Volume(torch.zeros_like(ct.voxels, dtype=torch.uint8), ct.affine), 0.0)
    hu = canonical.voxels
    alone = torch.where(things.outside & (hu > AIR_HU), torch.full_like(hu, AIR_HU), hu)
    return CutOut(Volume(alone, canonical.affine), things.mask, things.litres)


@dataclass(frozen=True, eq=False)
class Things:
    """What of a CT is not the patient.

    Attributes:
        outside: the voxels that are not the patient's, air included.
        mask: 1 for those of them above -900 HU, else 0.
        litres: their volume.
    """

    outside: FineMask
    mask: Volume
    litres: float


@torch.no_grad()
def find_things(ct: Volume) -> Things | None:
    """The table and everything else that is not attached to the patient; None where `cut_out_table` cuts nothing.

    Args:
        ct: in HU, its axes in the canonical order.
    """
    hu = ct.voxels
    patient, thing = _patient_and_things(hu, ct.spacing)
    outside = ~patient
    went = (outside & thing).logical_and_(hu > THING_HU)
    litres = float(torch.count_nonzero(went)) * 1e-6 * float(abs(torch.linalg.det(ct.voxel_to_world[:3, :3])))
    if litres < LEAST_ML / 1000:
        return None
    return Things(outside, Volume(went.to(torch.uint8), ct.affine), litres)


def _patient_and_things(hu: Tensor, spacing: Sequence[float]) -> tuple[FineMask, FineMask]:
    """The voxels of the patient and what is in him, with a rim of a voxel or two; those that are no noisy air."""
    everywhere = torch.ones_like(hu, dtype=torch.bool)
    steps = [max(1, math.floor(GRID_MM / side + 1e-6)) for side in spacing]
    coarse = _reduced(hu, steps)
    sides = [side * step for side, step in zip(spacing, steps, strict=True)]
    thing = coarse > THING_HU
    padding = _padding(coarse)
    if padding is not None:
        coarse = torch.where(coarse == padding, float(AIR_HU), coarse)
    tissue = coarse > TISSUE_HU
    body = _body(coarse, tissue, sides) if bool(tissue.any()) and bool((coarse < THING_HU).any()) else None
    if body is None:
        return everywhere, ~everywhere
    patient = _grown(_enclosed(body), 1.0, sides, least=True)
    return _blown_up(patient, steps, hu), _blown_up(thing, steps, hu)


def _blown_up(mask: Mask, steps: Sequence[int], like: Tensor) -> FineMask:
    """Every voxel as a block of voxels, in the memory order of `like`, as far as that goes."""
    x_first = like.stride(0) < like.stride(2)
    axes, mask = ((2, 1, 0), mask.permute(2, 1, 0).contiguous()) if x_first else ((0, 1, 2), mask)
    for place, axis in reversed(list(enumerate(axes))):
        mask = mask.repeat_interleave(steps[axis], dim=place).narrow(place, 0, like.shape[axis])
    return mask.permute(2, 1, 0) if x_first else mask


def _body(coarse: Numbers, tissue: Mask, sides: Sequence[float]) -> Mask | None:
    """The tissue that is the patient's; None if nothing is thick enough to be one."""
    full = tissue | _lung(coarse, tissue, sides)
    core = _grown(_shrunk(full, OPENING_MM, sides), OPENING_MM, sides) & full
    if not bool(core.any()):
        return None
    body = _within(_of_patient(core, coarse, sides), full, 1.5 * OPENING_MM, sides)
    rest, touching = tissue & ~body, _grown(body, 1.0, sides, least=True)
    numbered = _numbered(rest)
    return body | (rest & torch.isin(numbered, _small(numbered, numbered[touching & rest], sides)))


def _lung(coarse: Numbers, tissue: Mask, sides: Sequence[float]) -> Mask:
    """Lungs, to the wall of the chest, which may be as thin as a shell; smoothed, as they are all noise and vessels."""
    smooth = functional.avg_pool3d(coarse[None, None], (3, 3, 1), 1, (1, 1, 0), count_include_pad=False)[0, 0]
    light = (smooth > LUNG_HU) & (smooth < TISSUE_HU)
    cropped = torch.zeros_like(light)  # where the field ends within a lung
    for axis in (0, 1):
        for end in (0, -1):
            cropped.select(axis, end).copy_(light.select(axis, end))
    enclosed = _enclosed(tissue | cropped)
    lung = light & enclosed
    opened = _grown(_shrunk(lung, OPENING_MM, sides), OPENING_MM, sides)
    # Foam of the same HU between the back and a shell is not for the most part within walls.
    within = _enclosed(_grown(_shrunk(tissue, SHELL_MM, sides), SHELL_MM, sides) | cropped)
    numbered = _numbered(opened)
    parts, counts = torch.unique(numbered[opened], return_counts=True)
    inside = torch.bincount(torch.searchsorted(parts, numbered[opened & within]), minlength=len(parts))
    opened &= torch.isin(numbered, parts[inside > 0.5 * counts])
    return _grown(opened, 2 * max(sides[:2]), sides) & enclosed


def _small(numbered: Numbered, wanted: Tensor, sides: Sequence[float]) -> Tensor:
    """Which of the wanted numbers are those of small parts."""
    wanted = torch.unique(wanted)
    if len(wanted) == 0:
        return wanted
    inside = numbered[torch.isin(numbered, wanted)]
    count = torch.bincount(torch.searchsorted(wanted, inside), minlength=len(wanted))
    longest = (_boxes(numbered, wanted) * torch.tensor(sides)[:, None]).amax(0)
    return wanted[(count * math.prod(sides) / 1000 <= SMALL_ML) & (longest <= SMALL_MM)]


def _boxes(numbered: Numbered, parts: Tensor) -> Tensor:
    """How many voxels long the box of each part is, by axes: (3, part)."""
    where = torch.nonzero(torch.isin(numbered, parts))
    of = torch.searchsorted(parts, numbered[tuple(where.T)])
    of = of.expand(3, -1)
    ends = [
        torch.zeros(3, len(parts), dtype=torch.long).scatter_reduce(1, of, where.T, how, include_self=False)
        for how in ("amin", "amax")
    ]
    return ends[1] - ends[0] + 1


def _of_patient(core: Mask, coarse: Numbers, sides: Sequence[float]) -> Mask:
    """Of what is thick: the largest part, those with bone in them, and those of soft tissue and the shape of a limb."""
    voxel_ml = math.prod(sides) / 1000
    numbered = _numbered(core)
    parts, counts = torch.unique(numbered[core], return_counts=True)
    bone = numbered[core & (coarse > BONE_HU) & (coarse < METAL_HU)]
    bones = torch.bincount(torch.searchsorted(parts, bone), minlength=len(parts)) / counts
    soft = numbered[core & (coarse.abs() < SOFT_HU)]
    softs = torch.bincount(torch.searchsorted(parts, soft), minlength=len(parts)) / counts
    largest = int(counts.argmax())
    boxes = _boxes(numbered, parts) * torch.tensor(sides)[:, None]
    filled = counts * voxel_ml * 1000 / boxes.prod(0)
    across, along = boxes[:2].amax(0), boxes[:2].amin(0)
    # An arm that the field cuts off may have no bone in it; a plate is wide and thin, and a head rest fills no box.
    like_limb = (counts > 0.015 * counts[largest]) & (softs > 0.8) & (across < 3 * along) & (filled > 0.4)
    kept = ((bones > 0.01) & (counts * voxel_ml > 2)) | like_limb
    kept[largest] = True
    return core & torch.isin(numbered, parts[kept])


def _padding(coarse: Numbers) -> float | None:
    """The number that fills the corners of the field, if it is one that would pass for tissue."""
    corners = torch.stack([coarse[i, j] for i in (0, -1) for j in (0, -1)])
    value = float(corners[0, 0])
    return value if value > TISSUE_HU and bool((corners == value).all()) else None


def _reduced(hu: Tensor, steps: Sequence[int]) -> Numbers:
    """Means of blocks of voxels; the last ones are repeated where blocks are not full."""
    values = hu
    for axis, step in enumerate(steps):
        length = values.shape[axis]
        if missing := -length % step:
            values = torch.cat([values, *[values.narrow(axis, length - 1, 1)] * missing], axis)
    if values.stride(0) < values.stride(2):  # pooling is quick where the last axis is the contiguous one
        return (
            functional.avg_pool3d(values.permute(2, 1, 0)[None].float(), tuple(steps)[::-1])[0]
            .permute(2, 1, 0)
            .contiguous()
        )
    return functional.avg_pool3d(values[None].float(), tuple(steps))[0]


def _enclosed(mask: Mask) -> Mask:
    """The mask, and what has it on all four sides in its axial slice: lungs, airways, bowel.

    On the field's edge, what lies between two places where the patient is cut off counts as his.
    """
    closed, inside = mask.clone(), torch.ones_like(mask)
    for axis in (0, 1):
        for end in (0, -1):
            closed.select(axis, end).logical_or_(_between(mask.select(axis, end), 0))
    for axis in (0, 1):
        inside &= _between(closed, axis)
    return inside


def _between(mask: Tensor, axis: int) -> Tensor:
    """What has the mask on both sides along an axis, and the mask."""
    return mask.cummax(axis).values & mask.flip(axis).cummax(axis).values.flip(axis)


def _within(seeds: Mask, allowed: Mask, mm: float, sides: Sequence[float]) -> Mask:
    """What can be reached from the seeds within the allowed in so many mm, step by step."""
    found = seeds
    step = max(min(sides), 1.0)
    for _ in range(max(1, round(mm / step))):
        found = found | (_grown(found, step, sides, least=False) & allowed)
    return found


def _grown(mask: Mask, mm: float, sides: Sequence[float], least: bool = False) -> Mask:
    """Dilated by an octagon of this radius, by at least one voxel in the slice if asked."""
    radii = [round(mm / side) for side in sides]
    if least:
        radii[:2] = [max(1, radius) for radius in radii[:2]]
    most = max(radii)
    for number in range(most):  # boxes and crosses by turns make an octagon
        axes = [axis for axis, r in enumerate(radii) if number * r // most < (number + 1) * r // most]
        grown = mask.clone()
        for axis in axes:
            source = grown.clone() if number % 2 == 0 else mask
            length = mask.shape[axis]
            for to, of in ((1, 0), (0, 1)):
                grown.narrow(axis, to, length - 1).logical_or_(source.narrow(axis, of, length - 1))
        mask = grown
    return mask


def _shrunk(mask: Mask, mm: float, sides: Sequence[float]) -> Mask:
    """Eroded likewise; beyond the field all goes on as at its edge."""
    return ~_grown(~mask, mm, sides)


def _numbered(mask: Mask) -> Numbered:
    """Connected parts (by faces): the same number above 0 all over one, another in each."""
    starts = mask & ~_before(mask, 2)
    runs = starts.flatten().cumsum(0).reshape(mask.shape)  # along the last axis, from 1
    pairs = []
    for axis in (0, 1):
        length = mask.shape[axis] - 1
        one, other = (mask.narrow(axis, first, length) for first in (0, 1))
        touching = one & other
        touching &= ~_before(touching, 2)  # where two runs touch, once
        pairs.append(torch.stack([runs.narrow(axis, first, length)[touching] for first in (0, 1)]))
    one, other = torch.cat(pairs, dim=1)
    parents = torch.arange(int(starts.sum()) + 1)
    while not torch.equal(parents[one], parents[other]):
        least = torch.minimum(parents[one], parents[other])
        for touched in (parents[one], parents[other], one, other):
            parents.scatter_reduce_(0, touched, least, "amin")
        for _ in range(3):
            parents = parents[parents]
    return parents[runs] * mask


def _before(mask: Mask, axis: int) -> Mask:
    """What every voxel has before it along an axis."""
    length = mask.shape[axis]
    return torch.cat([torch.zeros_like(mask.narrow(axis, 0, 1)), mask.narrow(axis, 0, length - 1)], axis)
