"""Bodies that are volumes: a CT, or a part of one along its labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from raygrad.data import Subject, hu_to_attenuation
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
            subject's density as it is, which may carry a gradient.
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
        if self.values not in VALUES:
            raise ValueError(f"Expected values as one of {', '.join(VALUES)}. Got {self.values!r}.")
        if self.labels is None:
            _ = self.subject
            return
        labels = (self.labels,) if isinstance(self.labels, int) else tuple(int(label) for label in self.labels)
        object.__setattr__(self, "labels", labels)
        if not labels:
            raise ValueError(f"Expected labels of the body {self.name or self.kind!r}. Got none.")
        missing = [label for label in labels if not bool((self._mask == label).any())]
        if missing:
            there = self._mask.unique().tolist()
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
    def _mask(self) -> Tensor:
        mask = self.subject.mask
        if mask is None:
            raise ValueError("Expected a CT with a mask, for labels. Got one without: read(..., labelmap=...).")
        return mask.data[0]

    @property
    def chosen(self) -> Bool[Tensor, "x y z"]:
        """Which voxels have its labels."""
        return torch.isin(self._mask, torch.tensor(self.labels).to(self._mask))

    def voxels(self, energy_kev: float | int) -> Tensor:
        """Values of all voxels of the CT (x, y, z)."""
        if self.values == "density":
            return self.subject.density.data[0]
        return hu_to_attenuation(self.subject.volume.data[0], energy_kev)


def prepare_volumes(bodies: Sequence[Body], energy_kev: float | int) -> list[Prepared]:
    """The volumes of bodies, cut out of one another where they are of one CT.

    Raises:
        ValueError: a label is in two bodies of one CT, or these want different values of it.
    """
    prepared: dict[int, Prepared] = {}
    for ct in {id(body.ct): body.ct for body in bodies}.values():
        family = [place for place, body in enumerate(bodies) if body.ct is ct]
        _check_family([bodies[place] for place in family])
        first = bodies[family[0]]
        values, world_to_voxel = first.voxels(energy_kev), first.subject.volume.world_to_voxel
        parts = [place for place in family if bodies[place].labels is not None]
        whole = [place for place in family if bodies[place].labels is None]
        chosen = [bodies[place].chosen.to(values.device) for place in parts]
        fill = torch.zeros_like(values.detach())
        if chosen and whole:
            values_left = torch.where(torch.stack(chosen).any(0), fill, values)
        else:
            values_left = values
        for place in whole:
            prepared[place] = Prepared.of(values_left, world_to_voxel)
        for place, own in zip(parts, chosen, strict=True):
            prepared[place] = _in_its_box(values - fill, own, world_to_voxel)
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


def _in_its_box(values: Tensor, chosen: Tensor, world_to_voxel: Tensor) -> Prepared:
    """The chosen voxels in the box about them, in the memory order that they had."""
    box = []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        occupied = torch.nonzero(chosen.any(others[1]).any(others[0]))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    world_to_box = world_to_voxel.clone()
    world_to_box[:3, 3] -= torch.tensor([float(side.start) for side in box]).to(world_to_box)
    part = torch.where(chosen[tuple(box)], values[tuple(box)], 0.0)
    return Prepared.of(part, world_to_box)
