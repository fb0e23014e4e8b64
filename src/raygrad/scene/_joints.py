"""Joints: how a body may move against its parent, by a few numbers.

A joint stands in the frame of its parent (in the world's, for a body without one):

    child_to_world = parent_to_world @ motion(values) @ rest

where `rest` is the child's pose in the parent's frame before it moves. All motions are exponentials of a twist [v | w]
(mm, radians) that is linear in the joint's values, so the derivative by a value is a twist that does not change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map

Triple = Any
"""Three numbers, which are kept as a tuple of floats."""
Numbers = Float[Tensor, "..."] | Sequence[float] | float


@dataclass(frozen=True)
class Joint:
    """What joints have in common."""

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """The twist [v | w] of a unit of each value, in the parent's frame, in float64."""
        raise NotImplementedError

    @property
    def n_values(self) -> int:
        """Number of values."""
        return len(self.twists)

    def motion(self, values: Numbers) -> RigidTransform:
        """The motions of values (value) or (batch, value): the identity for zeros. Differentiable.

        Raises:
            ValueError: another number of values.
        """
        numbers = values if isinstance(values, Tensor) else torch.tensor(values, dtype=torch.float64)
        numbers = torch.atleast_1d(numbers)
        if numbers.ndim > 2 or numbers.shape[-1] != self.n_values:
            kind = type(self).__name__
            raise ValueError(f"Expected {self.n_values} values of a {kind} joint. Got shape {tuple(numbers.shape)}.")
        return RigidTransform(se3_exp_map(torch.atleast_2d(numbers) @ self.twists.to(numbers)))

    def values_of(self, motion: RigidTransform) -> Float[Tensor, "batch value"]:
        """The values (batch, value) whose motions come closest to these: turns of at most half a circle."""
        twist = se3_log_map(motion.matrix)
        return twist @ torch.linalg.pinv(self.twists).to(twist)

    def twists_of_child(self, rest: RigidTransform) -> Float[Tensor, "value 6"]:
        """The same twists in the child's own frame: `motion(values) @ rest` is `rest @ exp(values @ these)`."""
        matrix = rest.matrix[0].detach().double().cpu()
        v, w = self.twists.split(3, dim=-1)
        at_origin = v + torch.linalg.cross(w, matrix[:3, 3].expand_as(w))
        return torch.cat([at_origin @ matrix[:3, :3], w @ matrix[:3, :3]], dim=-1)


@dataclass(frozen=True)
class Free(Joint):
    """Any rigid motion, by a twist [v | w]."""

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """All six."""
        return torch.eye(6, dtype=torch.float64)


@dataclass(frozen=True)
class Fixed(Joint):
    """No motion."""

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """None."""
        return torch.zeros(0, 6, dtype=torch.float64)


@dataclass(frozen=True)
class Hinge(Joint):
    """A turn about an axis, by radians.

    Attributes:
        point: on the axis, in mm.
        axis: its direction, of any length; turns follow the right-hand rule.

    Raises:
        ValueError: the axis has no direction, or a number is not finite.
    """

    point: Triple
    axis: Triple

    def __post_init__(self) -> None:
        _check(self, point=_triple("point", self.point), axis=_unit(self.axis))

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """One."""
        return _turns(self.point, [self.axis])


@dataclass(frozen=True)
class Ball(Joint):
    """Any turn about a point, by a rotation vector in radians.

    Attributes:
        point: that stays where it is, in mm.
    """

    point: Triple

    def __post_init__(self) -> None:
        _check(self, point=_triple("point", self.point))

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """Three."""
        return _turns(self.point, torch.eye(3).tolist())


@dataclass(frozen=True)
class Slide(Joint):
    """A way along an axis, by mm.

    Attributes:
        axis: its direction, of any length.
    """

    axis: Triple

    def __post_init__(self) -> None:
        _check(self, axis=_unit(self.axis))

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """One."""
        return torch.tensor([[*self.axis, 0.0, 0.0, 0.0]], dtype=torch.float64)


@dataclass(frozen=True)
class Screw(Joint):
    """A turn about an axis with a way along it, by radians.

    Attributes:
        point: on the axis, in mm.
        axis: its direction, of any length; turns follow the right-hand rule.
        pitch: mm along the axis for a full turn.

    Raises:
        ValueError: the axis has no direction, or a number is not finite.
    """

    point: Triple
    axis: Triple
    pitch: float | int

    def __post_init__(self) -> None:
        pitch = float(self.pitch)
        if not math.isfinite(pitch):
            raise ValueError(f"Expected a finite pitch in mm for a full turn. Got {self.pitch}.")
        _check(self, point=_triple("point", self.point), axis=_unit(self.axis), pitch=pitch)

    @property
    def twists(self) -> Float[Tensor, "value 6"]:
        """One."""
        twists = _turns(self.point, [self.axis])
        twists[0, :3] += torch.tensor(self.axis, dtype=torch.float64) * self.pitch / (2 * math.pi)
        return twists


def _turns(point: Triple, axes: list) -> Tensor:
    """Twists of turns about axes through a point, which stays: v + w x point = 0."""
    w = torch.tensor(axes, dtype=torch.float64)
    return torch.cat([torch.linalg.cross(torch.tensor(point, dtype=torch.float64).expand_as(w), w), w], dim=-1)


def _check(joint: Joint, **checked: object) -> None:
    for name, value in checked.items():
        object.__setattr__(joint, name, value)


def _triple(name: str, values: object) -> Triple:
    numbers = torch.as_tensor(values, dtype=torch.float64).detach().flatten().tolist()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"Expected a joint's {name} as three finite numbers. Got {values}.")
    return numbers[0], numbers[1], numbers[2]


def _unit(axis: object) -> Triple:
    x, y, z = _triple("axis", axis)
    length = math.sqrt(x * x + y * y + z * z)
    if length == 0:
        raise ValueError("Expected an axis with a direction. Got (0, 0, 0).")
    return x / length, y / length, z / length
