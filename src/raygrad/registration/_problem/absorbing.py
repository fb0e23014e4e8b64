"""Solids as X-rays show them: what they absorb of the beam, pixel by pixel, and how that changes as their edges move.

Metal is all but opaque: the image of an implant is its outline more than its thickness. Rays that are derived by
themselves see nothing of an edge that lies between them, and a pixel that is half in the shadow shows half of the
light, not half of the thickness. So each pixel is the mean of what several rays let through, and derivatives are those
of the images themselves: differences over moves that take edges across half a pixel.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import ConeViews, Views, turned
from raygrad.march import Bodies, Derivatives, Marching
from raygrad.pose import RigidTransform
from raygrad.registration._problem.subpixels import finer_views, pooled
from raygrad.types import RayImages

STEP = 0.5
"""Of a difference, to either side, in pixels that the outline moves by."""
DEEPEST_STEP = 0.05
"""Of a difference in depth, as a share of the distance from the source, at most."""


class Absorbing:
    """Solids of known materials: images are 1 - exp(-L) of line integrals L, by Beer and Lambert's law.

    Args:
        bodies: the solids, with attenuations in 1/mm.
        side: rays a pixel, along each of its sides.
        pixel: size of a pixel as it is seen at the solids, in mm.
        radii: of each body: mm that a radian moves a typical point by.
        distance: of the source from them, in mm.
    """

    def __init__(self, bodies: Bodies, side: int, pixel: float, radii: Sequence[float], distance: float) -> None:
        self.bodies, self.side, self.pixel, self.radii, self.distance = bodies, side, pixel, tuple(radii), distance

    def __len__(self) -> int:
        return len(self.bodies)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """What is absorbed of each pixel's light."""
        finer, shape = finer_views(views, self.side)
        return pooled(-torch.expm1(-self.bodies.march(finer, marching)), shape, self.side)

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The same, and its derivatives by differences, which are made when they are asked for."""
        parts: list[Derivatives] = [_Differences(self, views, marching, body) for body in range(len(self))]
        return self.march(views, marching), parts

    def coarser(self, pixel: float) -> "Absorbing":
        """The same of coarser bodies, seen through such pixels."""
        return Absorbing(self.bodies.coarser(pixel), self.side, pixel, self.radii, self.distance)


class _Differences(Derivatives):
    """Derivatives by the motion of one body alone."""

    def __init__(self, bodies: Absorbing, views: Sequence[Views], marching: Marching, body: int) -> None:
        self._bodies, self._all, self._marching, self._body = bodies, list(views), marching, body

    def by_motion(self, pivot: Float[Tensor, " 3"], channel: int = 0) -> Float[Tensor, "view 6 _"]:
        """Along and about the axes of each camera, in which depth has a step of its own, and from these in the body's.

        See `Derivatives.by_motion`.
        """
        seen = self._all[self._body]
        assert isinstance(seen, ConeViews)
        pose = seen.pose.matrix
        axes = (pose @ seen.detector.reorient.matrix.to(pose))[:, :3, :3]
        radius = self._bodies.radii[self._body]
        step = STEP * self._bodies.pixel
        deep = min(step * self._bodies.distance / radius, DEEPEST_STEP * self._bodies.distance)
        lengths = [step, step, deep, step / radius, step / radius, step / radius]
        along = [self._difference(axes, number, length, pivot) for number, length in enumerate(lengths)]
        shifts, turns = torch.cat(along, dim=1).split(3, dim=1)
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
        return (after - before) / (2 * length)


def _twice(views: Views) -> ConeViews:
    """The same views two times over."""
    assert isinstance(views, ConeViews)
    calibration = None if views.calibration is None else views.calibration.repeat(2, 1, 1)
    return ConeViews(views.detector, RigidTransform(views.pose.matrix.repeat(2, 1, 1)), calibration)
