"""The parts of the CT that move: the patient as a whole, or named structures each by itself."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import Excess, take_out
from raygrad.drr import DRR
from raygrad.march import Prepared
from raygrad.types import Affine

Structures = Mapping[str, Sequence[int]]


def whole_body(drr: DRR) -> Prepared:
    """All of a DRR's volume."""
    return Prepared(drr.density, drr.world_to_voxel, drr.occupancy)


def separate_bodies(
    drr: DRR, structures: Structures, density: Float[Tensor, "*material x y z"] | None = None
) -> tuple[Prepared, ...]:
    """What is left without the structures, then each structure, cut out along the labels of the DRR's mask.

    Holes are filled, and structures are what they have more than that, as `take_out` does it. `density` is on the DRR's
    grid, in place of its own: (x, y, z), or (material, x, y, z), of which each is cut along the same labels.

    Raises:
        ValueError: the DRR has no mask, or the labels are not as `check_structures` wants them.
    """
    check_structures(structures)
    mask, density = drr.mask, drr.density if density is None else density
    if mask is None:
        raise ValueError("Expected a subject with a mask for structures. Got one without: read(..., labelmap=...).")
    inside = {name: torch.isin(mask, _in_kind_of(mask, labels)) for name, labels in structures.items()}
    grids = density.reshape(-1, *density.shape[-3:])
    something = torch.stack([grid != 0 for grid in grids]).any(0) if len(grids) > 1 else grids[0] != 0
    for name, chosen in inside.items():
        if not bool((chosen & something).any()):
            raise ValueError(f"Expected voxels of the structure {name!r} in the mask. Got none: {structures[name]}.")
    # A body displaces tissue: what moves is its excess over what fills its hole.
    taken = [take_out(grid, list(inside.values()), whole_body(drr).spacing, claimed=mask != 0) for grid in grids]
    rest, excesses = taken[0]
    if density.ndim == 4:
        rest = torch.stack([one for one, _ in taken])
        columns = zip(*(others for _, others in taken), strict=True)
        excesses = tuple(Excess(torch.stack([one.values for one in column]), column[0].box) for column in columns)
    return (
        Prepared.of(rest, drr.world_to_voxel),
        *(_in_its_box(excess, drr.world_to_voxel) for excess in excesses),
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
    voxel = (torch.tensor(body.values.shape[-3:], dtype=torch.float64) - 1) / 2
    voxel_to_world = torch.linalg.inv(body.world_to_voxel.cpu())
    return voxel_to_world[:3, :3] @ voxel + voxel_to_world[:3, 3]


def reach(body: Prepared) -> float:
    """The root mean square distance of a body's box from its centre in mm."""
    sides = [count * spacing for count, spacing in zip(body.values.shape[-3:], body.spacing, strict=True)]
    return sum(side**2 / 12 for side in sides) ** 0.5


def _in_kind_of(mask: Tensor, labels: Sequence[int]) -> Tensor:
    """The labels in the mask's dtype, without those that it cannot hold and has none of."""
    wanted = torch.as_tensor(list(labels))
    return wanted[wanted.to(mask.dtype) == wanted].to(mask)


def _in_its_box(excess: Excess, world_to_voxel: Affine) -> Prepared:
    world_to_box = world_to_voxel.clone()
    world_to_box[:3, 3] -= torch.tensor([float(side.start) for side in excess.box]).to(world_to_box)
    return Prepared.of(excess.values, world_to_box)
