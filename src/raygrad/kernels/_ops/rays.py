"""The operators of rays: raygrad::march, march_with_jacobian, march_adjoint and march_adjoint_into.

The last argument names the backend, whose module does the work. Shapes are those of `raygrad.kernels.project`, with the
volume always (1 or batch, x, y, z), or (volume, x, y, z) along rays with a batch of 1.
"""

from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._ops.dispatch import implement
from raygrad.kernels._ops.marches import Marches, images_of, tangent_of_ends

_RAYS = "Tensor source, Tensor target, Tensor world_to_voxel, Tensor? labels"
_SETTINGS = "int image_width, int n_channels, str renderer, int n_points, str reducefn, str backend"

torch.library.define("raygrad::march", f"(Tensor volume, {_RAYS}, Tensor? occupied_bricks, {_SETTINGS}) -> Tensor")
torch.library.define(
    "raygrad::march_with_jacobian",
    f"(Tensor volume, {_RAYS}, Tensor? occupied_bricks, {_SETTINGS}) -> (Tensor, Tensor)",
)
torch.library.define("raygrad::march_adjoint", f"(Tensor cotangent, Tensor volume, {_RAYS}, {_SETTINGS}) -> Tensor")
torch.library.define(
    "raygrad::march_adjoint_into", f"(Tensor cotangent, Tensor(a!) gradient, {_RAYS}, {_SETTINGS}) -> ()"
)

for _operator in ("march", "march_with_jacobian", "march_adjoint", "march_adjoint_into"):
    implement(_operator)


@torch.library.register_fake("raygrad::march")
def _(volume, source, target, world_to_voxel, labels, occupied_bricks, image_width, n_channels, *settings):
    return volume.new_empty(images_of(volume, target), n_channels, target.shape[1], dtype=sums_in(volume.dtype))


@torch.library.register_fake("raygrad::march_with_jacobian")
def _(volume, source, target, world_to_voxel, labels, occupied_bricks, image_width, n_channels, *settings):
    shape, dtype = (images_of(volume, target), n_channels, target.shape[1]), sums_in(volume.dtype)
    return volume.new_empty(shape, dtype=dtype), volume.new_empty(*shape, 6, dtype=dtype)


@torch.library.register_fake("raygrad::march_adjoint")
def _(cotangent, volume, *rays_and_settings):
    return torch.empty_like(volume)


@torch.library.register_fake("raygrad::march_adjoint_into")
def _(cotangent, gradient, *rays_and_settings):
    return None


class _AlongRays(Marches):
    """Marches along rays whose ends are given."""

    operator = "march"
    bricks = (None,)

    def gradients(self, cotangent, jacobian, source, target, needed, settings):
        by_source, by_target = None, None
        batch = "b" if len(cotangent) == len(target) else ""  # several volumes along the same rays: their sum
        if needed[0]:
            summed = f"bcn,bcnk->{batch}k" if source.shape[1] == 1 else f"bcn,bcnk->{batch}nk"
            by_source = torch.einsum(summed, cotangent, jacobian[..., :3]).reshape(source.shape)
        if needed[1]:
            by_target = torch.einsum(f"bcn,bcnk->{batch}nk", cotangent, jacobian[..., 3:]).reshape(target.shape)
        return by_source, by_target

    def image_tangent(self, jacobian, source, target, by_source, by_target, settings):
        return tangent_of_ends(jacobian, by_source, by_target)


_marches = _AlongRays()


def march(volume, source, target, world_to_voxel, *, occupied_bricks, **options) -> Tensor:
    """Line integrals (batch, channel, ray)."""
    labels, *settings = _in_order(**options)
    return _marches.march(volume, source, target, world_to_voxel, labels, occupied_bricks, *settings)


def march_with_jacobian(volume, source, target, world_to_voxel, *, occupied_bricks, **options) -> tuple[Tensor, Tensor]:
    """Line integrals, and their derivatives (batch, channel, ray, 6) by source and target."""
    labels, *settings = _in_order(**options)
    return _marches.march_with_jacobian(volume, source, target, world_to_voxel, labels, occupied_bricks, *settings)


def march_adjoint(cotangent, volume, source, target, world_to_voxel, **options) -> Tensor:
    """The gradient of <cotangent, march(volume)> by the volume."""
    return _marches.adjoint(cotangent, volume, source, target, world_to_voxel, *_in_order(**options))


def march_adjoint_into(cotangent, gradient, source, target, world_to_voxel, **options) -> None:
    """The same for sums, written to `gradient`; no derivatives."""
    rays = (source, target, world_to_voxel)
    torch.ops.raygrad.march_adjoint_into(cotangent, gradient, *rays, *_in_order(**options))


def _in_order(*, labels, image_width, n_channels, renderer, n_points, reducefn, backend) -> tuple[Any, ...]:
    """The options in the order of the schemas."""
    return labels, image_width or 0, n_channels, renderer, n_points, reducefn, backend
