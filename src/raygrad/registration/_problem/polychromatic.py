"""A CT as a beam of many energies sees it: a march for all of its tissues, and one image of line integrals of them."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import Views
from raygrad.march import Derivatives, Marching, Prepared, march_materials, march_materials_with_jacobian
from raygrad.physics import Physics
from raygrad.registration._problem.beam import TissueBeam, pixel_of
from raygrad.registration._problem.pyramid import AnyPyramid, Pyramid
from raygrad.types import RayImages


class Polychromatic:
    """Volumes of tissues that move, each with all of its tissues, as `raygrad.march.Bodies` has them.

    Args:
        pyramids: of every body (material, x, y, z), 1 where a voxel is filled with it.
        beam: what it makes of the paths through all of them.
    """

    def __init__(self, pyramids: Sequence[AnyPyramid], beam: TissueBeam) -> None:
        self._pyramids, self.beam = pyramids, beam

    def seen_by(self, physics: Physics) -> "Polychromatic":
        """The same volumes by another physics of the same tissues, with the levels that are made."""
        return Polychromatic(self._pyramids, TissueBeam.of(physics, self.beam.materials))

    @property
    def parts(self) -> tuple[Prepared, ...]:
        """The volumes, as fine as they are."""
        return tuple(pyramid.finest for pyramid in self._pyramids)

    def __len__(self) -> int:
        return len(self._pyramids)

    def path_lengths(self, views: Sequence[Views], marching: Marching) -> Float[Tensor, "view material height width"]:
        """Mm of each tissue on the way to every pixel, of all bodies together.

        Args:
            views, marching: as for `march`.
        """
        seen = [march_materials(part, seen, marching) for part, seen in zip(self.parts, views, strict=True)]
        return reduce(add, seen).unflatten(2, views[0].image_shape)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """The line integrals that a detector would measure."""
        return self.beam.line_integrals(self.path_lengths(views, marching), pixel_of(views[0])).flatten(2)

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The same, and its derivatives, but for what moves change of the scatter, see `TissueBeam`."""
        seen = [march_materials_with_jacobian(part, s, marching) for part, s in zip(self.parts, views, strict=True)]
        paths = reduce(add, [lengths for lengths, _ in seen]).unflatten(2, views[0].image_shape)
        image, by_path = self.beam.with_derivatives(paths, pixel_of(views[0]))
        by_path = by_path.flatten(2)[..., None]
        found = [
            Derivatives((of_paths.by_ends * by_path).sum(1, keepdim=True), one, None)
            for (_, of_paths), one in zip(seen, views, strict=True)
        ]
        return image.flatten(2), found

    def parted(self, parts: Sequence[Prepared]) -> "Polychromatic":
        """These volumes in the place of its own, which they were cut out of."""
        return Polychromatic([Pyramid(part) for part in parts], self.beam)

    def coarser(self, pixel: float) -> "Polychromatic":
        """Each at the level of its pyramid that such pixels ask for; levels are made once."""
        return Polychromatic([Pyramid(pyramid.level(pixel)) for pyramid in self._pyramids], self.beam)
