"""All bodies of a scene as one: they stay where they are to each other, and the camera moves."""

from collections.abc import Sequence

import torch

from raygrad.geometry import Views
from raygrad.march import Bodies, Derivatives, Marching
from raygrad.pose import RigidTransform
from raygrad.types import Matrices, RayImages


class AtRest:
    """One body made of several.

    Args:
        bodies: the several.
        world_to_body: (body, 4, 4), where each is.
    """

    def __init__(self, bodies: Bodies, world_to_body: Matrices) -> None:
        self.bodies, self.world_to_body = bodies, world_to_body

    def __len__(self) -> int:
        return 1

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """What the views see of all."""
        return self.bodies.march(self._seen(views), marching)

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The same, and its derivatives by rays that move for all."""
        image, parts = self.bodies.march_with_jacobian(self._seen(views), marching)
        turned = [
            (part.by_ends.unflatten(-1, (2, 3)) @ frame[:3, :3].to(part.by_ends)).flatten(-2)
            for part, frame in zip(parts, self.world_to_body, strict=True)
        ]
        return image, [Derivatives(torch.stack(turned).sum(0), views[0], None)]

    def coarser(self, pixel: float) -> "AtRest":
        """All of them coarser."""
        return AtRest(self.bodies.coarser(pixel), self.world_to_body)

    def _seen(self, views: Sequence[Views]) -> list[Views]:
        (whole,) = views
        return [whole.moved(RigidTransform(frame).to(whole.device)) for frame in self.world_to_body]
