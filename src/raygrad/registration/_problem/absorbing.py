"""Solids as X-rays show them: what they absorb of the beam, pixel by pixel, and how that changes as their edges move.

Metal is all but opaque: the image of an implant is its outline more than its thickness. Rays that are derived by
themselves see nothing of an edge that lies between them, and a pixel that is half in the shadow shows half of the
light, not half of the thickness. So each pixel is the mean of what several rays let through, and derivatives are those
of the images themselves: differences over moves that take edges across half a pixel.
"""

from collections.abc import Sequence

import torch

from raygrad.geometry import Views
from raygrad.march import Bodies, Derivatives, Marching
from raygrad.registration._problem.differences import Differences, Steps
from raygrad.registration._problem.subpixels import finer_views, pooled
from raygrad.types import RayImages


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
        parts: list[Derivatives] = [
            Differences(self, views, marching, body, Steps(self.pixel, radius, self.distance))
            for body, radius in enumerate(self.radii)
        ]
        return self.march(views, marching), parts

    def coarser(self, pixel: float) -> "Absorbing":
        """The same of coarser bodies, seen through such pixels."""
        return Absorbing(self.bodies.coarser(pixel), self.side, pixel, self.radii, self.distance)
