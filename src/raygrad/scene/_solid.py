"""Bodies that have a surface and are of one material inside."""

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import RigidTransform
from raygrad.scene._crossings import Crossings, Rays, Rows
from raygrad.scene._joints import Joint
from raygrad.scene._materials import Material, attenuation_of

_Placed = TypeVar("_Placed", bound="Placed")


class SceneWarning(UserWarning):
    """A scene that may not be what was meant: a body that no ray meets, a mesh that was turned."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """What all bodies have: a name and a place.

    Attributes:
        name: by which the scene knows the body; made of its kind if None.
        pose: body_to_world, one rigid transform; where the body is before anything moves. Its own frame is the world's
            if None. May carry a gradient.
        parent: the name of the body that it moves along with.
        joint: how it may move against its parent, or in the world; freely if None.

    Raises:
        ValueError, TypeError: a pose or a joint that is none.
    """

    name: str | None = None
    pose: RigidTransform | None = None
    parent: str | None = None
    joint: Joint | None = None

    def __post_init__(self) -> None:
        if self.pose is not None:
            _check_pose(self.pose)
        if self.joint is not None and not isinstance(self.joint, Joint):
            raise TypeError(f"Expected a joint such as Hinge(point, axis). Got {type(self.joint).__name__}.")

    def at(self: _Placed, pose: RigidTransform) -> _Placed:
        """The same body elsewhere; its shape is not looked at again.

        Args:
            pose: body_to_world.

        Raises:
            ValueError, TypeError: it is none, or several.
        """
        _check_pose(pose)
        return self._changed(pose=pose)

    def hung(self: _Placed, parent: str, name: str | None = None) -> _Placed:
        """The same body, where it is, moving along with another one; its shape is not looked at again.

        Args:
            parent: the name of that one.
            name: by which the scene knows this one, by default the one that it has.
        """
        return self._changed(parent=parent, name=name or self.name)

    def _changed(self: _Placed, **fields: object) -> _Placed:
        made = copy(self)
        for field, value in fields.items():
            object.__setattr__(made, field, value)
        return made

    @property
    def kind(self) -> str:
        """What it is called if it has no name."""
        return type(self).__name__.lower()

    @property
    def unseen(self) -> Float[Tensor, "twist 6"]:
        """Twists [v | w] in the body's own frame that leave it as it is, so that no image shows them; float64."""
        return torch.zeros(0, 6, dtype=torch.float64)


def _check_pose(pose: object) -> None:
    if not isinstance(pose, RigidTransform):
        raise TypeError(f"Expected a body's pose as a RigidTransform. Got {type(pose).__name__}.")
    if len(pose) != 1 or not bool(torch.isfinite(pose.matrix).all()):
        raise ValueError(f"Expected one finite pose of a body. Got {pose.matrix}.")


@dataclass(frozen=True, eq=False, kw_only=True)
class Solid(Placed, ABC):
    """A body of one material.

    Attributes:
        material: a name, see `attenuation_of`; or its attenuation in 1/mm, which may carry a gradient.
        name, pose, parent, joint: as for all bodies.
    """

    material: Material = "titanium"

    def __post_init__(self) -> None:
        super().__post_init__()
        attenuation_of(self.material)

    @abstractmethod
    def crossings(self, rays: Rays) -> Crossings:
        """Where rays in the solid's frame enter and leave it."""

    @property
    @abstractmethod
    def ball(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
        """Centre and radius of a ball about the solid, in its own frame, in float64."""

    @property
    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """The tensors that make its shape."""


@torch.no_grad()
def near_each(rays: Rays, centres: Float[Tensor, "ball 3"], radii: Float[Tensor, " ball"]) -> list[Rows]:
    """For each ball the numbers of the rays that come within it."""
    centres, radii = centres.to(rays.source), radii.to(rays.source)
    middle = centres.mean(0)
    step, start = rays.target - rays.source, rays.source - middle
    squared = torch.einsum("vrx,vrx->vr", step, step)
    moving = squared > 0
    proper = torch.where(moving, squared, 1)
    # Counted from where each ray is closest to the middle of all: numbers are small, however far sources are.
    offset = -torch.einsum("vrx,vrx->vr", step, start.expand_as(step)) / proper
    start = start + offset[..., None] * step
    across, along = torch.einsum("vrx,vrx->vr", start, start), torch.einsum("vrx,vrx->vr", step, start)
    rows = []
    for centre, radius in zip(centres - middle, radii, strict=True):
        way = step @ centre - along
        at = (offset + way / proper).clamp(0, 1) - offset
        distance = across - 2 * (start @ centre) + centre.dot(centre) - (2 * way - at * squared) * at
        close = distance <= (radius * (1 + 1e-6)).square() + 1e-6
        rows.append((close & moving).flatten().nonzero()[:, 0])
    return rows


def near(rays: Rays, centre: Tensor, radius: Tensor) -> tuple[Rows, Tensor, Tensor]:
    """The rays that come within a ball: their numbers, sources and targets; the latter two differentiable."""
    (row,) = near_each(rays, centre[None], radius[None])
    return row, *rays.at(row)


def between(row: Tensor, enter: Tensor, leave: Tensor) -> Crossings:
    """The crossings of rays that enter a solid once and leave it once, at fractions that may be beyond their ends."""
    enter, leave = enter.clamp(0, 1), leave.clamp(0, 1)
    proper = (leave > enter).detach()
    row, enter, leave = row[proper], enter[proper], leave[proper]
    entering = torch.ones_like(row)
    return Crossings(torch.cat([row, row]), torch.cat([enter, leave]), torch.cat([entering, -entering]))
