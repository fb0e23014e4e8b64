"""Solids among volumes as a least-squares step is to see them: by how their edges move across pixels."""

from collections.abc import Mapping, Sequence

import torch

from raygrad.geometry import Views
from raygrad.march import Bodies, Derivatives, Marching, Prepared
from raygrad.registration._problem.differences import Differences, Steps
from raygrad.registration._problem.subpixels import Subpixels
from raygrad.registration._problem.tempered import Tempered
from raygrad.scene import PreparedBodies, Solid
from raygrad.types import RayImages

SIDE = 2
"""Rays along each side of a pixel, at least, in the differences by which solids are derived."""


class Edges:
    """Bodies whose solids are derived by differences of their images where rays see too little; volumes ray by ray.

    Measured on a box of 10 x 12 x 60 mm of titanium in a chest, its faces along the beam, in two views of 256 x 256
    pixels, from 5, 10, 16 and 25 mm off: ray by ray its edges are invisible, and it ended 0.4, 0.1, 4.9 and 19 mm off,
    all but once called converged; by differences and looked for by itself it ends 0.26, 0.06, 0.05 and 0.03 mm off.

    In these differences each solid is alone, and as much darker as it is than what it takes the place of, on average.

    Args:
        bodies: what is seen.
        volumes: the volumes of these alone, in the same order.
        solids: each solid alone, by its place among the bodies.
        steps: how far each is moved, by its place.
    """

    def __init__(
        self, bodies: Bodies, volumes: Bodies, solids: Mapping[int, Bodies], steps: Mapping[int, Steps]
    ) -> None:
        self.bodies, self.volumes, self.solids, self.steps = bodies, volumes, dict(solids), dict(steps)

    @classmethod
    def among_volumes(cls, bodies: PreparedBodies, steps: Mapping[int, Steps], side: int) -> "Edges":
        """The bodies of a scene, seen through pixels of `side` x `side` rays each.

        Args:
            bodies: all of them.
            steps: how far each solid is moved, by its place.
            side: rays along each side of a pixel.
        """

        def only(parts: Sequence[Prepared | Solid], side: int) -> Bodies:
            return Subpixels(PreparedBodies(parts, bodies.energy_kev, bodies.displace, bodies.where), side)

        solids = {place: only([solid], max(side, SIDE)) for place, solid in bodies.solids.items()}
        return cls(Subpixels(Tempered(bodies), side), only(list(bodies.volumes.values()), side), solids, steps)

    def __len__(self) -> int:
        return len(self.bodies)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """What the views see."""
        return self.bodies.march(views, marching)

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The same, and its derivatives."""
        image, parts = self.bodies.march_with_jacobian(views, marching)
        contrasts = self._contrasts(image, views, marching)
        for place, alone in self.solids.items():
            parts[place] = Differences(
                alone, [views[place]], marching, 0, self.steps[place], parts[place], contrasts[place]
            )
        return image, parts

    def coarser(self, pixel: float) -> "Edges":
        """The same among coarser volumes."""
        return Edges(self.bodies.coarser(pixel), self.volumes.coarser(pixel), self.solids, self.steps)

    def _contrasts(self, image: RayImages, views: Sequence[Views], marching: Marching) -> dict[int, float]:
        """What each solid adds to the image, as a share of what it is alone: less for what it takes the place of."""
        volumes = [view for place, view in enumerate(views) if place not in self.solids]
        added = (image - self.volumes.march(volumes, marching)).flatten().double()
        alone = [one.march([views[place]], marching).flatten().to(added) for place, one in self.solids.items()]
        columns = torch.stack(alone, dim=1)
        shares = torch.linalg.pinv(columns.mT @ columns, hermitian=True) @ (columns.mT @ added)
        return dict(zip(self.solids, shares.tolist(), strict=True))
