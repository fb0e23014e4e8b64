"""A small sweep around a head, which every reconstruction must manage: a few dozen milliseconds an algorithm."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from raygrad.data import VolumeGeometry
from raygrad.geometry._views import ConeViews
from raygrad.geometry.trajectories import circular
from raygrad.phantoms import _shapes as phantoms
from raygrad.projector import Projector
from raygrad.reconstruction import METHODS, ReconstructionResult

FIELD_OF_VIEW_MM = 200.0
RADIUS_MM = 90.0


def make_geometry(size: int = 24) -> VolumeGeometry:
    """A cube of `size` voxels a side around the isocentre, large enough for the head."""
    return VolumeGeometry.centred((size, size, size), FIELD_OF_VIEW_MM / size)


def make_views(n_views: int = 16, pixels: int = 32, dtype: torch.dtype = torch.float32, **circle: Any) -> ConeViews:
    """A full turn of a cone beam that sees the whole head; `circle` goes to `circular`."""
    system = {"sdd": 1500.0, "sid": 1000.0, "height": pixels, "delx": 320.0 / pixels, "dtype": dtype}
    return circular(n_views, **(system | circle))


def make_head() -> phantoms.Phantom:
    """The Shepp-Logan head, with line integrals that are known exactly; the brain is as water, 0.02 / mm."""
    return phantoms.Phantom([replace(part, value=part.value / 10) for part in phantoms.shepp_logan(RADIUS_MM)])


def make_scene(
    dtype: torch.dtype = torch.float32, n_views: int = 16, size: int = 24, pixels: int = 32, method: str = "joseph"
) -> tuple[Projector, Tensor, Tensor]:
    """A projector, the head's voxels, and images that these voxels explain without any residual."""
    geometry = make_geometry(size)
    projector = Projector(geometry, make_views(n_views, pixels, dtype), method)
    truth = geometry.zeros(dtype)
    truth.copy_(make_head().voxelize(geometry.shape, geometry.voxel_to_world))
    return projector, truth, projector(truth)


def exact_images(views: ConeViews) -> Tensor:
    """Images of the head itself, not of its voxels: what a scanner would measure, if it had no noise."""
    source, target = (ends.double() for ends in views.rays())
    return make_head().line_integrals(source, target).unflatten(1, views.image_shape).to(views.pose.matrix.dtype)


def counts(images: Tensor, photons: float, seed: int = 0) -> Tensor:
    """Transmitted photons of `photons` a ray, with their Poisson noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(photons * torch.exp(-images), generator=generator)


def function_of(method: str) -> Callable[..., ReconstructionResult]:
    """A method as a function of a projector, its images and all options, the method's own and those of its run."""

    def run(projector: Projector, images: Tensor, **options: Any) -> ReconstructionResult:
        own = {field.name for field in fields(METHODS[method])}
        made = METHODS[method](**{name: value for name, value in options.items() if name in own})
        return made(projector, images, **{name: value for name, value in options.items() if name not in own})

    return run


def relative_error(volume: Tensor, truth: Tensor) -> float:
    """|volume - truth| / |truth|."""
    return float((volume - truth).norm() / truth.norm())
