"""Derivatives of images as differences over moves that take edges across half a pixel.

Rays that are derived one by one see nothing of an edge that lies between them, and those that graze a flat face change
without bound over a way much shorter than a pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import ConeViews, Views, turned
from raygrad.march import Bodies, Derivatives, Marching
from raygrad.pose import RigidTransform

STEP = 0.5
"""Of a difference, to either side, in pixels that the outline moves by."""
DEEPEST_STEP = 0.05
"""Of a difference in depth, as a share of the distance from the source, at most."""

SEEN = 0.5
"""Derivatives ray by ray are taken where they have this share of what an image changes by: where edges are soft."""


@dataclass(frozen=True)
class Steps:
    """How far a body is moved for a difference.

    Attributes:
        pixel: size of a pixel as it is seen at the body, in mm.
        radius: mm that a radian moves a typical point of it by.
        distance: of the source from it, in mm.
    """

    pixel: float
    radius: float
    distance: float

    def lengths(self) -> list[float]:
        """To either side: mm along the three axes of a camera, the last its depth, and radians about them."""
        step = STEP * self.pixel
        deep = min(step * self.distance / self.radius, DEEPEST_STEP * self.distance)
        return [step, step, deep, *[step / self.radius] * 3]


class Differences(Derivatives):
    """Derivatives by the motion of one body alone, as differences of images; made when they are asked for.

    Args:
        bodies: all that is in these images.
        views: as each of them sees it.
        marching: how they are marched.
        body: the number of the one that moves.
        steps: how far.
        exact: its derivatives ray by ray, which are taken where they see the edges; these here are in their dtype.
        contrast: what the body adds to the image, as a share of what it adds to these.
    """

    def __init__(
        self,
        bodies: Bodies,
        views: Sequence[Views],
        marching: Marching,
        body: int,
        steps: Steps,
        exact: Derivatives | None = None,
        contrast: float = 1.0,
    ) -> None:
        self._bodies, self._all, self._marching, self._body = bodies, list(views), marching, body
        self._steps, self._exact, self._contrast = steps, exact, contrast

    def by_motion(self, pivot: Float[Tensor, " 3"], channel: int = 0) -> Float[Tensor, "view 6 _"]:
        """Along and about the axes of each camera, in which depth has a step of its own, and from these in the body's.

        See `Derivatives.by_motion`.
        """
        seen = self._all[self._body]
        assert isinstance(seen, ConeViews)
        pose = seen.pose.matrix
        axes = (pose @ seen.detector.reorient.matrix.to(pose))[:, :3, :3]
        lengths = self._steps.lengths()
        across = [self._difference(axes, number, lengths[number], pivot) for number in (0, 1)]
        if self._exact is not None:
            exact = self._exact.by_motion(pivot, channel)
            frame = axes.to(exact)
            along = frame.mT @ exact[:, :3]
            if along[:, :2].square().sum() > SEEN * torch.cat(across, dim=1).square().sum():
                return exact
        others = [self._difference(axes, number, lengths[number], pivot) for number in range(2, 6)]
        shifts, turns = torch.cat([*across, *others], dim=1).split(3, dim=1)
        frame = axes.to(shifts)
        return torch.cat([frame @ shifts, frame @ turns], dim=1)

    def _difference(
        self, axes: Float[Tensor, "view 3 3"], number: int, length: float, pivot: Float[Tensor, " 3"]
    ) -> Float[Tensor, "view 1 _"]:
        twist = axes.new_zeros(len(axes), 6)
        twist[:, 3 * (number // 3) : 3 * (number // 3) + 3] = length * axes[:, :, number % 3]
        still = torch.eye(4).to(axes).expand(len(axes), 1, 4, 4)
        moves = [turned(still, sign * twist[:, None], pivot.to(axes)[None])[:, 0] for sign in (1, -1)]
        both = [_twice(seen) for seen in self._all]
        both[self._body] = both[self._body].moved(RigidTransform(torch.cat(moves)))
        after, before = self._bodies.march(both, self._marching).chunk(2)
        found = (after - before) * (self._contrast / (2 * length))
        return found if self._exact is None else found.to(self._exact.by_ends)


def _twice(views: Views) -> ConeViews:
    """The same views two times over."""
    assert isinstance(views, ConeViews)
    calibration = None if views.calibration is None else views.calibration.repeat(2, 1, 1)
    return ConeViews(views.detector, RigidTransform(views.pose.matrix.repeat(2, 1, 1)), calibration)
