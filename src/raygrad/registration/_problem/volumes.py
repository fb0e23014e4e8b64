"""Volumes that are seen in one image, each from a pose of its own: what is known of a CT to `raygrad.march.Bodies`."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from raygrad.geometry import Views
from raygrad.march import Derivatives, Marching, Prepared, march, march_with_jacobian
from raygrad.registration._problem.pyramid import AnyPyramid, Pyramid
from raygrad.types import RayImages


class Volumes:
    """Volumes whose line integrals add up.

    Attributes:
        parts: the volumes.
    """

    def __init__(self, parts: Sequence[Prepared]) -> None:
        self._pyramids: Sequence[AnyPyramid] = [Pyramid(part) for part in parts]

    @classmethod
    def of(cls, pyramids: Sequence[AnyPyramid]) -> "Volumes":
        """Volumes whose levels are made already, or made elsewhere."""
        volumes = cls(())
        volumes._pyramids = pyramids
        return volumes

    @property
    def parts(self) -> tuple[Prepared, ...]:
        return tuple(pyramid.finest for pyramid in self._pyramids)

    def __len__(self) -> int:
        return len(self._pyramids)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """The sum of what the views see of each."""
        return reduce(add, [march(part, seen, marching) for part, seen in zip(self.parts, views, strict=True)])

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The sum of what the views see of each, and each one's derivatives."""
        seen = [march_with_jacobian(part, seen, marching) for part, seen in zip(self.parts, views, strict=True)]
        images, derivatives = zip(*seen, strict=True)
        return reduce(add, images), list(derivatives)

    def parted(self, parts: Sequence[Prepared]) -> "Volumes":
        """These volumes in the place of its own, which they were cut out of."""
        return Volumes(parts)

    def coarser(self, pixel: float) -> "Volumes":
        """Each at the level of its pyramid that such pixels ask for; levels are made once."""
        return Volumes([pyramid.level(pixel) for pyramid in self._pyramids])
