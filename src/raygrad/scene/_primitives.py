"""Solids of simple shape: wires, screws, pins, stems and balls. Their ways through rays are closed forms.

A ray is s + a (t - s). It is inside a convex shape from one a to another; of a shape that is cut out of several, such
as a cylinder out of an endless one and a slab, the way is what is common to all of them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64
from raygrad.scene._crossings import Crossings, Rays
from raygrad.scene._solid import Solid, between, near, near_each

Triple = Any
"""Three numbers in mm, which are kept as a tensor in float64."""
Number = Any
"""A number in mm, kept likewise."""


class _Way(NamedTuple):
    """From where to where lines are inside; nowhere where `enter` is not below `leave`."""

    enter: Tensor
    leave: Tensor


@dataclass(frozen=True, eq=False)
class _Rod(Solid):
    """What lies about an axis from one point to another."""

    start: Triple
    end: Triple

    def __post_init__(self) -> None:
        super().__post_init__()
        _vector(self, "start")
        _vector(self, "end")
        if bool((self.start == self.end).all()):
            raise ValueError(f"Expected a {self.kind} with two ends. Got both at {self.start.tolist()}: take Spheres.")

    @property
    def _axis(self) -> tuple[Tensor, Tensor]:
        """Unit vector from start to end, and the length."""
        step = self.end - self.start
        length = torch.linalg.vector_norm(step)
        return step / length, length

    @property
    def unseen(self) -> Float[Tensor, "twist 6"]:
        """A turn about its own axis."""
        axis = self._axis[0].detach().cpu()
        return torch.cat([torch.linalg.cross(self.start.detach().cpu(), axis), axis])[None]

    @property
    def ball(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
        """About its middle."""
        half = torch.linalg.vector_norm(self.end - self.start) / 2
        return (self.start + self.end) / 2, self._reach(half)

    def _reach(self, half: Tensor) -> Tensor:
        """How far it reaches from its middle, which is so far from its ends."""
        raise NotImplementedError

    def crossings(self, rays: Rays) -> Crossings:
        """Where rays enter and leave it."""
        row, source, target = near(rays, *self.ball)
        middle = (self.start + self.end).detach().to(source) / 2
        step = target - source
        # Counted from about the middle of their way, numbers are small and differences exact.
        offset = ((middle - source).detach() * step.detach()).sum(-1) / step.detach().square().sum(-1)
        axis, length = (one.to(source) for one in self._axis)
        from_start = source + offset[:, None] * step - self.start.to(source)
        z, dz = from_start @ axis, step @ axis
        across, d_across = from_start - z[:, None] * axis, step - dz[:, None] * axis
        way = self._way(_Line(from_start, step, z, dz, across, d_across, length))
        return between(row, way.enter + offset, way.leave + offset)

    def _way(self, line: "_Line") -> _Way:
        raise NotImplementedError


class _Line(NamedTuple):
    """Lines from + a step as a rod sees them: along its axis z + a dz, and across it across + a d_across."""

    start: Tensor
    step: Tensor
    z: Tensor
    dz: Tensor
    across: Tensor
    d_across: Tensor
    length: Tensor


@dataclass(frozen=True, eq=False)
class _EvenRod(_Rod):
    """One that is as thick everywhere."""

    radius: Number

    def __post_init__(self) -> None:
        super().__post_init__()
        _length(self, "radius")

    @property
    def tensors(self) -> list[Tensor]:
        """Ends and radius."""
        return [self.start, self.end, self.radius]


@dataclass(frozen=True, eq=False)
class Capsule(_EvenRod):
    """A wire with round ends: all points within a radius of the line from one point to another.

    Attributes:
        start, end: in mm, in its own frame.
        radius: in mm.
        material, name, pose, parent, joint: as for all solids. All of these numbers may carry gradients.

    Raises:
        ValueError: a length that is not positive, or the ends are one point.
    """

    def _reach(self, half: Tensor) -> Tensor:
        return half + self.radius

    def _way(self, line: _Line) -> _Way:
        radius = self.radius.to(line.z)
        axis, _ = self._axis
        parts = [
            _common(_tube(line.across, line.d_across, radius), _slab(line)),
            _tube(line.start, line.step, radius),
            _tube(line.start - axis.to(line.z) * line.length, line.step, radius),
        ]
        return _hull(parts)


@dataclass(frozen=True, eq=False)
class Cylinder(_EvenRod):
    """A rod with flat ends.

    Attributes:
        start, end: the middles of its faces in mm, in its own frame.
        radius: in mm.
        material, name, pose, parent, joint: as for all solids. All of these numbers may carry gradients.

    Raises:
        ValueError: a length that is not positive, or the ends are one point.
    """

    def _reach(self, half: Tensor) -> Tensor:
        return torch.hypot(half, self.radius)

    def _way(self, line: _Line) -> _Way:
        return _common(_tube(line.across, line.d_across, self.radius.to(line.z)), _slab(line))


@dataclass(frozen=True, eq=False)
class Cone(_Rod):
    """A cone, or one with its tip cut off: its radius changes evenly from one end to the other.

    Attributes:
        start, end: the middles of its faces in mm, in its own frame.
        radius_start, radius_end: in mm; one of them may be 0.
        material, name, pose, parent, joint: as for all solids. All of these numbers may carry gradients.

    Raises:
        ValueError: a radius that is negative, both 0, or the ends are one point.
    """

    radius_start: Number
    radius_end: Number

    def __post_init__(self) -> None:
        super().__post_init__()
        _length(self, "radius_start", at_least_0=True)
        _length(self, "radius_end", at_least_0=True)
        if not bool(self.radius_start + self.radius_end > 0):
            raise ValueError("Expected a cone with a radius at one end at least. Got 0 at both.")

    @property
    def tensors(self) -> list[Tensor]:
        """Ends and radii."""
        return [self.start, self.end, self.radius_start, self.radius_end]

    def _reach(self, half: Tensor) -> Tensor:
        return torch.hypot(half, torch.maximum(self.radius_start, self.radius_end))

    def _way(self, line: _Line) -> _Way:
        first = self.radius_start.to(line.z)
        slope = (self.radius_end.to(line.z) - first) / line.length
        radius, d_radius = first + slope * line.z, slope * line.dz
        # |across + a d_across|^2 - (radius + a d_radius)^2 <= 0: between both roots, or, where the line is steeper
        # than the cone, beyond the one on the side where the radius is positive; the other is the mirrored cone's.
        a = line.d_across.square().sum(-1) - d_radius.square()
        b = (line.across * line.d_across).sum(-1) - radius * d_radius
        c = line.across.square().sum(-1) - radius.square()
        steep = a < 0
        square = b.square() - a * c
        crossed = square > 0  # a steep line crosses both cones, the two at once where it passes through their tip
        root = torch.where(crossed, torch.where(crossed, square, 1).sqrt(), 0)
        q = -(b + torch.where(b < 0, -root, root))
        plane, tip = a == 0, q == 0
        one = torch.where(plane, torch.where(q > 0, torch.inf, -torch.inf), q / torch.where(plane, 1, a))
        other = c / torch.where(tip, 1, q)
        other = torch.where(tip, one, other)
        low, high = torch.minimum(one, other), torch.maximum(one, other)
        widens = d_radius > 0
        enter = torch.where(steep, torch.where(widens, high, -torch.inf), low)
        leave = torch.where(steep, torch.where(widens, torch.inf, low), high)
        return _common(_where(crossed | steep, _Way(enter, leave)), _slab(line))


@dataclass(frozen=True, eq=False)
class Spheres(Solid):
    """Balls of one material that move together, such as markers of a phantom. Where they overlap they are one.

    Attributes:
        centres: (ball, 3) in mm, in their own frame; (3,) for one.
        radii: in mm, one for all or (ball,).
        material, name, pose, parent, joint: as for all solids. All of these numbers may carry gradients.

    Raises:
        ValueError: no balls, a radius that is not positive, or shapes that do not fit.
    """

    centres: Any
    radii: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        centres, radii = _numbers("centres", self.centres), _numbers("radii", self.radii)
        centres = centres[None] if centres.ndim == 1 else centres
        if centres.ndim != 2 or centres.shape[-1] != 3 or len(centres) == 0:
            raise ValueError(f"Expected centres (ball, 3) of at least one ball. Got {tuple(centres.shape)}.")
        if radii.ndim > 1 or (radii.ndim == 1 and len(radii) != len(centres)) or not bool((radii > 0).all()):
            raise ValueError(f"Expected positive radii, one or {len(centres)}. Got {radii.tolist()}.")
        object.__setattr__(self, "centres", centres)
        object.__setattr__(self, "radii", radii.expand(len(centres)))

    @property
    def tensors(self) -> list[Tensor]:
        """Centres and radii."""
        return [self.centres, self.radii]

    @property
    def unseen(self) -> Float[Tensor, "twist 6"]:
        """Turns about the centre of one ball, or about the line of all."""
        centres = self.centres.detach().cpu()
        away = centres - centres[0]
        farthest = away[away.norm(dim=-1).argmax()]
        if not bool(farthest.any()):
            axes = torch.eye(3, dtype=torch.float64)
        else:
            axes = (farthest / farthest.norm())[None]
            off_line = torch.linalg.cross(away, axes.expand_as(away)).norm(dim=-1).max()
            if bool(off_line > 1e-9 * farthest.norm()):
                axes = axes[:0]
        return torch.cat([torch.linalg.cross(centres[:1].expand_as(axes), axes), axes], dim=-1)

    @property
    def ball(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
        """About the middle of all."""
        middle = self.centres.mean(0)
        return middle, (torch.linalg.vector_norm(self.centres - middle, dim=-1) + self.radii).max()

    def crossings(self, rays: Rays) -> Crossings:
        """Where rays enter and leave each of the balls."""
        rows = near_each(rays, self.centres, self.radii)
        counts = torch.tensor([len(row) for row in rows], device=rows[0].device)
        ball, row = torch.arange(len(rows), device=counts.device).repeat_interleave(counts), torch.cat(rows)
        source, target = rays.at(row)
        centre, radius = self.centres.to(source)[ball], self.radii.to(source)[ball]
        return between(row, *_tube(source - centre, target - source, radius))


def _tube(start: Tensor, step: Tensor, radius: Tensor) -> _Way:
    """Where |start + a step| < radius: the way through a ball, or across an axis through an endless cylinder."""
    squared = step.square().sum(-1)
    resting = squared <= 0
    squared = torch.where(resting, 1, squared)
    nearest = -(start * step).sum(-1) / squared
    left = radius.square() - (start + nearest[:, None] * step).square().sum(-1)
    hit = left > 0
    half = (torch.where(hit, left, 1) / squared).sqrt()
    way = _Way(torch.where(resting, -torch.inf, nearest - half), torch.where(resting, torch.inf, nearest + half))
    return _where(hit, way)


def _slab(line: _Line) -> _Way:
    """Where the line is between the planes through the ends of the axis."""
    resting = line.dz == 0
    slope = torch.where(resting, 1, line.dz)
    at_start, at_end = -line.z / slope, (line.length - line.z) / slope
    beside = resting & ((line.z < 0) | (line.z > line.length))
    enter = torch.where(resting, -torch.inf, torch.minimum(at_start, at_end))
    leave = torch.where(resting, torch.inf, torch.maximum(at_start, at_end))
    return _where(~beside, _Way(enter, leave))


def _where(hit: Tensor, way: _Way) -> _Way:
    return _Way(torch.where(hit, way.enter, torch.inf), torch.where(hit, way.leave, -torch.inf))


def _common(one: _Way, other: _Way) -> _Way:
    return _Way(torch.maximum(one.enter, other.enter), torch.minimum(one.leave, other.leave))


def _hull(ways: list[_Way]) -> _Way:
    """The way through parts of one convex body."""
    enters, leaves = [], []
    for way in ways:
        hit = way.leave > way.enter
        enters.append(torch.where(hit, way.enter, torch.inf))
        leaves.append(torch.where(hit, way.leave, -torch.inf))
    return _Way(torch.stack(enters).amin(0), torch.stack(leaves).amax(0))


def _numbers(name: str, values: object) -> Tensor:
    numbers = torch.as_tensor(values)
    numbers = numbers.double() if numbers.device.type not in WITHOUT_FLOAT64 else numbers.float()
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError(f"Expected finite {name} in mm. Got {numbers.tolist()}.")
    return numbers


def _vector(solid: Solid, name: str) -> None:
    numbers = _numbers(name, getattr(solid, name))
    if numbers.shape != (3,):
        raise ValueError(f"Expected {name} as three numbers in mm. Got shape {tuple(numbers.shape)}.")
    object.__setattr__(solid, name, numbers)


def _length(solid: Solid, name: str, at_least_0: bool = False) -> None:
    numbers = _numbers(name, getattr(solid, name))
    if numbers.numel() != 1 or not bool(numbers >= 0 if at_least_0 else numbers > 0):
        wanted = "of at least 0" if at_least_0 else "positive"
        raise ValueError(f"Expected {name} {wanted}, in mm. Got {numbers.tolist()}.")
    object.__setattr__(solid, name, numbers.reshape(()))
