"""Ranges of views as a user of a C-arm knows them: about the image's own axes, across the beam, and in depth."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.types import Rotations

Angles = Float[Tensor, "direction 2"]

NEAREST, FARTHEST = 0.44, 0.98
"""Depths that are searched where none are said, as parts of the source-to-detector distance: 450 to 1000 of 1020 mm."""
NARROWEST = 0.3
"""Rows near the poles, where turning is rolling, have at least so many times as many turns as the equator."""


@dataclass(frozen=True)
class ViewRanges:
    """How far views are searched about a middle one, by the axes of its own camera rather than those of the world.

    With the head up in the image, x is across it, y along the patient, and the third axis is the beam. First the camera
    turns about the middle one's y, then tilts about its own x, then turns in plane, about its own beam.

    Attributes:
        degrees: one angle for all, or three: tilt about x (up to 90), turn about y, turn in plane (up to 180), each to
            both sides.
        mm: how far the CT's centre may lie from the middle one's place in the image, along x and along y, to both
            sides, measured at the CT: across the beam.
        depth: from where to where the CT's centre lies along the beam, in mm from the source; None for 0.44 to 0.98 of
            the source-to-detector distance. A parallel beam tells no depth, and keeps that of the middle.

    Raises:
        ValueError: ranges that make no search.
    """

    degrees: float | int | tuple[float | int, ...] = (45.0, 45.0, 15.0)
    mm: float | int = 150.0
    depth: tuple[float | int, ...] | None = None

    def __post_init__(self) -> None:
        angles = self._angles()
        limits = (90.0, 180.0, 180.0)
        if len(angles) != 3 or not all(
            _is_number(a) and 0 <= a <= most for a, most in zip(angles, limits, strict=True)
        ):
            raise ValueError(
                "Expected degrees as one angle or three: tilt up to 90, turn and in-plane turn up to 180. "
                f"Got {self.degrees!r}."
            )
        if not _is_number(self.mm) or not 0 <= self.mm < math.inf:
            raise ValueError(f"Expected mm of at least 0, how far across the beam. Got {self.mm!r}.")
        if self.depth is None:
            return
        ends = tuple(self.depth) if isinstance(self.depth, tuple | list) else ()
        if len(ends) != 2 or not all(_is_number(end) for end in ends) or not 0 < ends[0] <= ends[1] < math.inf:
            raise ValueError(f"Expected depth as (nearest, farthest) in mm from the source. Got {self.depth!r}.")

    @staticmethod
    def sphere(
        in_plane: float | int = 15.0, mm: float | int = 150.0, depth: tuple[float | int, ...] | None = None
    ) -> "ViewRanges":
        """Views from all sides, the patient's head up in the image.

        Args:
            in_plane: degrees by which the image may be turned from the head up, to both sides: 180 for any, which takes
                several times as long.
            mm, depth: see `ViewRanges`.
        """
        return ViewRanges((90.0, 180.0, in_plane), mm, depth)

    def radians(self) -> tuple[float, float, float]:
        """Tilt, turn and turn in plane."""
        tilt, turn, roll = (math.radians(angle) for angle in self._angles())
        return tilt, turn, roll

    def depths(self, sdd: float) -> tuple[float, float]:
        """From where to where, for a source-to-detector distance.

        Raises:
            ValueError: the CT's centre would lie behind the detector.
        """
        if self.depth is None:
            return NEAREST * sdd, FARTHEST * sdd
        nearest, farthest = (float(end) for end in self.depth)
        if farthest > sdd:
            raise ValueError(
                f"Expected depths up to the detector, which is {sdd:g} mm from the source. Got {farthest:g} mm."
            )
        return nearest, farthest

    def _angles(self) -> tuple[Any, ...]:
        given = self.degrees
        return tuple(given) if isinstance(given, tuple | list) else (given, given, given)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def cover_directions(tilt: float, turn: float, step: float) -> Angles:
    """Tilts and turns in radians, within these to both sides, of which none is much farther than a step from the next.

    Rows of equal tilt, every other one displaced by half a step, with fewer turns the nearer they are to the poles.
    """
    rows = _line(tilt, step * math.sqrt(3) / 2)
    directions = []
    for number, row in enumerate(rows):
        apart = step / max(math.cos(row), NARROWEST)
        if turn >= math.pi - 1e-9:
            count = math.ceil(2 * math.pi / apart)
            turns = [(k + number % 2 / 2) * 2 * math.pi / count - math.pi for k in range(count)]
        else:
            turns = _line(turn, apart)
            if number % 2 and len(turns) > 1:
                turns = [(one + other) / 2 for one, other in zip(turns[1:], turns[:-1], strict=True)]
        directions += [(row, column) for column in turns]
    return torch.tensor(directions, dtype=torch.float64)


def cover_rolls(roll: float, step: float) -> list[float]:
    """Turns in plane, in radians, no more than a step apart; of a full turn the end is not repeated."""
    if roll < math.pi - 1e-9:
        return _line(roll, step)
    count = math.ceil(2 * math.pi / step)
    return [(k - count // 2) * 2 * math.pi / count for k in range(count)]


def _line(reach: float, step: float) -> list[float]:
    """From -reach to reach, evenly, no more than a step apart; 0 alone where that is all."""
    gaps = math.ceil(2 * reach / step - 1e-9)
    return [reach * (2 * k / gaps - 1) for k in range(gaps + 1)] if gaps else [0.0]


def about_axis(axis: int, angles: Float[Tensor, " batch"]) -> Rotations:
    """Turns by the right-hand rule about x (0), y (1) or z (2)."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turned = torch.eye(3).to(angles).repeat(len(angles), 1, 1)
    turned[:, one, one] = turned[:, other, other] = angles.cos()
    turned[:, other, one], turned[:, one, other] = angles.sin(), -angles.sin()
    return turned


def towards_axis(rays: Float[Tensor, "batch 3"]) -> Rotations:
    """The shortest turns that bring unit vectors to +z."""
    zero = torch.zeros_like(rays[:, 0])
    x, y, z = rays.unbind(1)
    cross = torch.stack([zero, zero, -x, zero, zero, -y, x, y, zero], dim=1).reshape(-1, 3, 3)
    return torch.eye(3).to(rays) + cross + cross @ cross / (1 + z)[:, None, None]
