"""Solids whose derivatives are no steeper than their image.

A ray that grazes a flat face changes without bound as the solid moves, over a way much shorter than a pixel. One such
ray outweighs all others in a least-squares step: the solid stays where it is, and nothing seems to be known of it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch.nn.functional import max_pool2d

from raygrad.geometry import ConeViews, Views
from raygrad.march import Derivatives, Marching
from raygrad.scene import PreparedBodies
from raygrad.types import RayImages


class Tempered:
    """Bodies of a scene as cameras see them, with bounded derivatives by the motions of solids.

    A pixel's derivative by its ray's end on the detector is at most what the image changes by between this pixel and
    those around it, over a pixel. Where an image is smooth that bounds nothing.

    Args:
        bodies: what is seen.
    """

    def __init__(self, bodies: PreparedBodies) -> None:
        self.bodies = bodies

    def __len__(self) -> int:
        return len(self.bodies)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """What the views see."""
        return self.bodies.march(views, marching)

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The same, and its derivatives, those of solids tempered."""
        image, parts = self.bodies.march_with_jacobian(views, marching)
        steepest = _steepest(image, views[0])
        for place in self.bodies.solids:
            part = parts[place]
            slope = torch.linalg.vector_norm(part.by_ends[..., 3:], dim=-1)
            share = (steepest / slope.clamp_min(torch.finfo(slope.dtype).tiny)).clamp(max=1.0)
            parts[place] = Derivatives(part.by_ends * share[..., None], views[place], part.ends)
        return image, parts

    def coarser(self, pixel: float) -> "Tempered":
        """The same of coarser volumes."""
        return Tempered(self.bodies.coarser(pixel))


def _steepest(image: RayImages, views: Views) -> Float[torch.Tensor, "view _ ray"]:
    """How much each pixel differs from those around it at most, for each mm on the detector."""
    assert isinstance(views, ConeViews), "views of cameras"
    pitch = min(float(views.detector.delx), float(views.detector.dely))
    pixels = image.unflatten(-1, views.image_shape)
    highest, lowest = max_pool2d(pixels.flatten(0, 1), 3, 1, 1), -max_pool2d(-pixels.flatten(0, 1), 3, 1, 1)
    return (highest - lowest).reshape(image.shape) / pitch
