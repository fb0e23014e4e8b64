"""The operators of rays: raygrad::march, march_with_jacobian, march_adjoint and march_adjoint_into.

The last argument names the backend, whose module does the work. Shapes are those of `raygrad.kernels.project`, with the
volume always (1 or batch, x, y, z).
"""

from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._ops.dispatch import (
    FIRST_ONLY,
    OF_ADJOINT,
    OF_MAXIMUM,
    differentiable,
    implement,
    in_one_batch,
    is_differentiated,
    one_by_one,
    primals,
    refuse_derivatives,
    refuse_jacobian_cotangent,
    refuse_jacobian_tangent,
)

_RAYS = "Tensor source, Tensor target, Tensor world_to_voxel, Tensor? labels"
_SETTINGS = "int n_channels, str renderer, int n_points, str reducefn, int image_width, str backend"
REDUCEFN = 3
"""The place of that setting."""

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
def _(volume, source, target, world_to_voxel, labels, occupied_bricks, n_channels, *settings):
    return volume.new_empty(target.shape[0], n_channels, target.shape[1], dtype=sums_in(volume.dtype))


@torch.library.register_fake("raygrad::march_with_jacobian")
def _(volume, source, target, world_to_voxel, labels, occupied_bricks, n_channels, *settings):
    shape, dtype = (target.shape[0], n_channels, target.shape[1]), sums_in(volume.dtype)
    return volume.new_empty(shape, dtype=dtype), volume.new_empty(*shape, 6, dtype=dtype)


@torch.library.register_fake("raygrad::march_adjoint")
def _(cotangent, volume, *rays_and_settings):
    return torch.empty_like(volume)


@torch.library.register_fake("raygrad::march_adjoint_into")
def _(cotangent, gradient, *rays_and_settings):
    return None


def march(volume, source, target, world_to_voxel, **options) -> Tensor:
    """Line integrals, or where rays are differentiated, those of the march that keeps their derivatives."""
    arguments = (volume, source, target, world_to_voxel, *_in_order(**options))
    return _march_with_jacobian(*arguments)[0] if is_differentiated(source, target) else _march(*arguments)


def march_with_jacobian(volume, source, target, world_to_voxel, **options) -> tuple[Tensor, Tensor]:
    """Line integrals, and their derivatives by source and target."""
    arguments = (volume, source, target, world_to_voxel, *_in_order(**options))
    image, jacobian = _march_with_jacobian(*arguments)
    return image, refuse_jacobian_tangent(jacobian, volume, source, target)


def march_adjoint(cotangent, volume, source, target, world_to_voxel, **options) -> Tensor:
    """The gradient of <cotangent, march(volume)> by the volume."""
    labels, _, *settings = _in_order(**options)
    return _march_adjoint(cotangent, volume, source, target, world_to_voxel, labels, *settings)


def march_adjoint_into(cotangent, gradient, source, target, world_to_voxel, **options) -> None:
    """The same for sums, written to `gradient`; no derivatives."""
    labels, _, *settings = _in_order(**options)
    torch.ops.raygrad.march_adjoint_into(cotangent, gradient, source, target, world_to_voxel, labels, *settings)


def _in_order(
    *, labels, n_channels, renderer, n_points, reducefn, image_width, backend, occupied_bricks=None
) -> tuple[Any, ...]:
    """The options in the order of the schemas."""
    return labels, occupied_bricks, n_channels, renderer, n_points, reducefn, image_width or 0, backend


class _March:
    """Derivatives of either march: by the rays from each ray's own, by the volume from another march or the adjoint."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        volume, source, target, world_to_voxel, labels, _, *settings = inputs
        jacobian = output[1] if isinstance(output, tuple) else None
        ctx.save_for_backward(volume, source, target, world_to_voxel, labels, jacobian)
        ctx.save_for_forward(volume, source, target, world_to_voxel, labels, jacobian)
        ctx.settings = settings
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, cotangent, jacobian_cotangent=None):
        refuse_jacobian_cotangent(jacobian_cotangent)
        volume, source, target, world_to_voxel, labels, jacobian = ctx.saved_tensors
        gradients: list[Tensor | None] = [None, None, None]
        by_volume, by_source, by_target = ctx.needs_input_grad[:3]
        if cotangent is not None and by_volume:
            rays = (source, target, world_to_voxel, labels)
            gradients[0] = _march_adjoint(cotangent.contiguous(), volume, *rays, *ctx.settings)
        if cotangent is not None and (by_source or by_target):
            jacobian = _guarded(jacobian, volume, source, target, world_to_voxel, labels, ctx.settings)
            if by_source:
                summed = "bcn,bcnk->bk" if source.shape[1] == 1 else "bcn,bcnk->bnk"
                gradient = torch.einsum(summed, cotangent, jacobian[..., :3])
                gradients[1] = gradient.reshape(source.shape)
            if by_target:
                gradients[2] = torch.einsum("bcn,bcnk->bnk", cotangent, jacobian[..., 3:])
        return *gradients, *(None,) * (3 + len(ctx.settings))

    @staticmethod
    def jvp(ctx, by_volume, by_source, by_target, *_):
        *tensors, world_to_voxel, labels, jacobian = ctx.saved_tensors
        volume, source, target = primals(*tensors)
        image = None
        if by_source is not None or by_target is not None:
            jacobian = None if jacobian is None else primals(jacobian)[0]
            jacobian = _guarded(jacobian, volume, source, target, world_to_voxel, labels, ctx.settings)
            image = image_tangent(jacobian, by_source, by_target)
        if by_volume is not None:
            if ctx.settings[REDUCEFN] == "max":
                raise RuntimeError(OF_MAXIMUM)
            by_volume = _march(by_volume, source, target, world_to_voxel, labels, None, *ctx.settings)
            image = by_volume if image is None else image + by_volume
        return image

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return in_one_batch(_march, info, in_dims, 2, *arguments)


class _MarchWithJacobian(_March):
    @staticmethod
    def jvp(ctx, *tangents):
        image = _March.jvp(ctx, *tangents)
        # Zeros, which `refuse_jacobian_tangent` keeps from being seen: autograd wants some.
        return image, torch.zeros_like(ctx.saved_tensors[-1])

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return in_one_batch(_march_with_jacobian, info, in_dims, 2, *arguments)


def _guarded(jacobian, volume, source, target, world_to_voxel, labels, settings) -> Tensor:
    """The Jacobian of a march, made if it is not there, that refuses to be differentiated itself."""
    if jacobian is None:
        _, jacobian = _march_with_jacobian(volume, source, target, world_to_voxel, labels, None, *settings)
    return refuse_derivatives(jacobian, FIRST_ONLY, volume, source, target)


def image_tangent(jacobian: Tensor, by_source: Tensor | None, by_target: Tensor | None) -> Tensor:
    """What an image (batch, channel, ray) changes by when sources and targets (batch, 1 or ray, 3) do."""
    ends = ((jacobian[..., :3], by_source), (jacobian[..., 3:], by_target))
    parts = [torch.einsum("bcnk,bnk->bcn", slope, way.to(slope)) for slope, way in ends if way is not None]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class _MarchAdjoint:
    """The adjoint is linear in its cotangent, and that of sums reads no volume; not differentiable by rays."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, volume, source, target, world_to_voxel, labels, *settings = inputs
        ctx.save_for_backward(volume, source, target, world_to_voxel, labels)
        ctx.save_for_forward(volume, source, target, world_to_voxel, labels)
        ctx.settings = settings
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, volume_cotangent):
        _, *rays = ctx.saved_tensors
        image = None
        if volume_cotangent is not None:
            if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
                raise RuntimeError(OF_ADJOINT)
            if ctx.settings[REDUCEFN] == "max":
                raise RuntimeError(FIRST_ONLY)
            image = _march(volume_cotangent, *rays, None, *ctx.settings)
        return image, *(None,) * (5 + len(ctx.settings))

    @staticmethod
    def jvp(ctx, by_cotangent, _, by_source, by_target, *others):
        if by_source is not None or by_target is not None:
            raise RuntimeError(OF_ADJOINT)
        *tensors, world_to_voxel, labels = ctx.saved_tensors
        rays = (*primals(*tensors), world_to_voxel, labels)
        return None if by_cotangent is None else _march_adjoint(by_cotangent.contiguous(), *rays, *ctx.settings)

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return one_by_one(_march_adjoint, info, in_dims, *arguments)


_march = differentiable("march", _March, 3)
_march_with_jacobian = differentiable("march_with_jacobian", _MarchWithJacobian, 3)
_march_adjoint = differentiable("march_adjoint", _MarchAdjoint, 4)
