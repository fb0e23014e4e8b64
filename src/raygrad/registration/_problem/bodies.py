"""The parts of the CT that move: the patient as a whole, or named structures each by itself."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.drr import DRR
from raygrad.march import Prepared
from raygrad.types import Affine

Structures = Mapping[str, Sequence[int]]


def whole_body(drr: DRR) -> Prepared:
    """All of a DRR's volume."""
    return Prepared(drr.density, drr.world_to_voxel, drr.occupancy)


def separate_bodies(drr: DRR, structures: Structures) -> tuple[Prepared, ...]:
    """What is in none of the structures, then each structure, cut out along the labels of the DRR's mask.

    Raises:
        ValueError: the DRR has no mask, or the labels are not as `check_structures` wants them.
    """
    check_structures(structures)
    mask = drr.mask
    if mask is None:
        raise ValueError("Expected a subject with a mask for structures. Got one without: read(..., labelmap=...).")
    inside = {name: torch.isin(mask, _in_kind_of(mask, labels)) for name, labels in structures.items()}
    for name, chosen in inside.items():
        if not bool((chosen & (drr.density != 0)).any()):
            raise ValueError(f"Expected voxels of the structure {name!r} in the mask. Got none: {structures[name]}.")
    rest = drr.density.masked_fill(torch.stack(list(inside.values())).any(0), 0.0)
    return (
        Prepared.of(rest, drr.world_to_voxel),
        *(_cut_out(drr.density, chosen, drr.world_to_voxel) for chosen in inside.values()),
    )


def check_structures(structures: Structures) -> None:
    """Raise ValueError unless every structure has labels, and no label belongs to two."""
    owners: dict[int, str] = {}
    for name, labels in structures.items():
        if not labels:
            raise ValueError(f"Expected labels for the structure {name!r}. Got none.")
        for label in labels:
            if owners.setdefault(int(label), name) != name:
                raise ValueError(
                    f"Expected each label in one structure. Got {label} in {owners[label]!r} and {name!r}."
                )


def middle(body: Prepared) -> Float[Tensor, " 3"]:
    """The centre of a body's box in mm of the world, in float64 on the CPU."""
    voxel = (torch.tensor(body.values.shape, dtype=torch.float64) - 1) / 2
    voxel_to_world = torch.linalg.inv(body.world_to_voxel.cpu())
    return voxel_to_world[:3, :3] @ voxel + voxel_to_world[:3, 3]


def reach(body: Prepared) -> float:
    """The root mean square distance of a body's box from its centre in mm."""
    sides = [count * spacing for count, spacing in zip(body.values.shape, body.spacing, strict=True)]
    return sum(side**2 / 12 for side in sides) ** 0.5


def _in_kind_of(mask: Tensor, labels: Sequence[int]) -> Tensor:
    """The labels in the mask's dtype, without those that it cannot hold and has none of."""
    wanted = torch.as_tensor(list(labels))
    return wanted[wanted.to(mask.dtype) == wanted].to(mask)


def _cut_out(density: Float[Tensor, "x y z"], chosen: Bool[Tensor, "x y z"], world_to_voxel: Affine) -> Prepared:
    """The chosen voxels in the box about them."""
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = torch.nonzero(chosen.any(others[1]).any(others[0]))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    world_to_box = world_to_voxel.clone()
    world_to_box[:3, 3] -= torch.tensor([float(part.start) for part in box]).to(world_to_box)
    part, kept = density[tuple(box)], chosen[tuple(box)]
    # x stays contiguous: cloning keeps the order of the axes in memory.
    return Prepared.of(part.masked_fill(~kept, 0.0).clone(memory_format=torch.preserve_format), world_to_box)
