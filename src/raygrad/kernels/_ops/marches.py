"""Derivatives of marches, which rays and cameras share: both give, by two tensors, the ends of rays.

By these they come from each ray's own derivatives, by the volume from the adjoint or from another march.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.kernels._ops.dispatch import (
    FIRST_ONLY,
    OF_ADJOINT,
    OF_MAXIMUM,
    differentiable,
    in_one_batch,
    is_differentiated,
    one_by_one,
    primals,
    refuse_derivatives,
    refuse_jacobian_cotangent,
    refuse_jacobian_tangent,
)

TENSORS = 5
"""Of a march: volume, the two that give rays, world_to_voxel, labels."""
REDUCEFN = -2
"""The place of that setting, before the backend."""


def images_of(volume: Tensor, rays: Tensor) -> int:
    """The number of images: one for each batch entry of rays, or for each of several volumes along the same rays."""
    return len(volume) if len(rays) == 1 else len(rays)


class Marches(ABC):
    """A march along rays that `first` and `second` give, that which keeps derivatives, and their adjoint.

    These are raygrad::`operator`, raygrad::`operator`_with_jacobian and raygrad::`operator`_adjoint.

    Attributes:
        bricks: None for each argument between labels and settings, which speeds up marches and is no part of adjoints:
            what is marched for a derivative goes without.
    """

    operator: ClassVar[str]
    bricks: ClassVar[tuple[None, ...]] = ()

    def __init__(self) -> None:
        self.plain = differentiable(self.operator, _March(self), 3)
        self.with_jacobian = differentiable(f"{self.operator}_with_jacobian", _MarchWithJacobian(self), 3)
        self.adjoint = differentiable(f"{self.operator}_adjoint", _Adjoint(self), 4)

    def march(self, volume: Tensor, first: Tensor, second: Tensor, *rest: Any) -> Tensor:
        """Line integrals, or where rays are differentiated, those of the march that keeps their derivatives."""
        if is_differentiated(first, second):
            return self.with_jacobian(volume, first, second, *rest)[0]
        return self.plain(volume, first, second, *rest)

    def march_with_jacobian(self, volume: Tensor, first: Tensor, second: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        """Line integrals, and their derivatives by source and target."""
        image, jacobian = self.with_jacobian(volume, first, second, *rest)
        return image, refuse_jacobian_tangent(jacobian, volume, first, second)

    @abstractmethod
    def gradients(
        self, cotangent: Tensor, jacobian: Tensor, first: Tensor, second: Tensor, needed: tuple, settings: tuple
    ) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of <cotangent, image> by `first` and `second`, those that are needed."""

    @abstractmethod
    def image_tangent(
        self,
        jacobian: Tensor,
        first: Tensor,
        second: Tensor,
        by_first: Tensor | None,
        by_second: Tensor | None,
        settings: tuple,
    ) -> Tensor:
        """What an image changes by when `first` and `second` do."""

    def in_one_batch(self, call, info, in_dims, *arguments) -> tuple[Any, Any]:
        """The rule for vmap of either march."""
        return in_one_batch(call, info, in_dims, 2, *arguments)


def tangent_of_ends(jacobian: Tensor, by_source: Tensor | None, by_target: Tensor | None) -> Tensor:
    """What an image (batch, channel, ray) changes by when sources and targets (batch, 1 or ray, 3) do."""
    ends = ((jacobian[..., :3], by_source), (jacobian[..., 3:], by_target))
    parts = [torch.einsum("bcnk,bnk->bcn", slope, way.to(slope)) for slope, way in ends if way is not None]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


class _March:
    """Rules for the march that gives an image."""

    def __init__(self, marches: Marches) -> None:
        self.marches = marches

    def setup_context(self, ctx, inputs, output):
        ctx.settings = inputs[TENSORS + len(self.marches.bricks) :]
        jacobian = output[1] if isinstance(output, tuple) else None
        ctx.save_for_backward(*inputs[:TENSORS], jacobian)
        ctx.save_for_forward(*inputs[:TENSORS], jacobian)
        ctx.set_materialize_grads(False)

    def backward(self, ctx, cotangent, jacobian_cotangent=None):
        refuse_jacobian_cotangent(jacobian_cotangent)
        *tensors, jacobian = ctx.saved_tensors
        by_volume, *needed = ctx.needs_input_grad[:3]
        gradient, by_first, by_second = None, None, None
        if cotangent is not None and by_volume:
            gradient = self.marches.adjoint(cotangent.contiguous(), *tensors, *ctx.settings)
        if cotangent is not None and any(needed):
            jacobian = self._guarded(jacobian, tensors, ctx.settings)
            by_first, by_second = self.marches.gradients(
                cotangent, jacobian, tensors[1], tensors[2], tuple(needed), ctx.settings
            )
        others = TENSORS - 3 + len(self.marches.bricks) + len(ctx.settings)
        return gradient, by_first, by_second, *(None,) * others

    def jvp(self, ctx, by_volume, by_first, by_second, *_):
        *tensors, world_to_voxel, labels, jacobian = ctx.saved_tensors
        volume, first, second = primals(*tensors)
        image = None
        if by_first is not None or by_second is not None:
            jacobian = None if jacobian is None else primals(jacobian)[0]
            jacobian = self._guarded(jacobian, (volume, first, second, world_to_voxel, labels), ctx.settings)
            image = self.marches.image_tangent(jacobian, first, second, by_first, by_second, ctx.settings)
        if by_volume is not None:
            if ctx.settings[REDUCEFN] == "max":
                raise RuntimeError(OF_MAXIMUM)
            rays = (first, second, world_to_voxel, labels)
            by_volume = self.marches.plain(by_volume, *rays, *self.marches.bricks, *ctx.settings)
            image = by_volume if image is None else image + by_volume
        return image

    def vmap(self, info, in_dims, *arguments):
        return self.marches.in_one_batch(self.marches.plain, info, in_dims, *arguments)

    def _guarded(self, jacobian, tensors, settings) -> Tensor:
        """The Jacobian of a march, made if it is not there, that refuses to be differentiated itself."""
        if jacobian is None:
            _, jacobian = self.marches.with_jacobian(*tensors, *self.marches.bricks, *settings)
        return refuse_derivatives(jacobian, FIRST_ONLY, *tensors[:3])


class _MarchWithJacobian(_March):
    """Rules for the march that gives an image and its Jacobian, which is not differentiable."""

    def jvp(self, ctx, *tangents):
        image = super().jvp(ctx, *tangents)
        # Zeros, which `refuse_jacobian_tangent` keeps from being seen: autograd wants some.
        return image, torch.zeros_like(ctx.saved_tensors[-1])

    def vmap(self, info, in_dims, *arguments):
        return self.marches.in_one_batch(self.marches.with_jacobian, info, in_dims, *arguments)


class _Adjoint:
    """Rules for the adjoint: linear in its cotangent, and that of sums reads no volume; not differentiable by rays."""

    def __init__(self, marches: Marches) -> None:
        self.marches = marches

    def setup_context(self, ctx, inputs, output):
        _, *tensors = inputs[: TENSORS + 1]
        ctx.settings = inputs[TENSORS + 1 :]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)

    def backward(self, ctx, volume_cotangent):
        _, *rays = ctx.saved_tensors
        image = None
        if volume_cotangent is not None:
            if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
                raise RuntimeError(OF_ADJOINT)
            if ctx.settings[REDUCEFN] == "max":
                raise RuntimeError(FIRST_ONLY)
            image = self.marches.plain(volume_cotangent, *rays, *self.marches.bricks, *ctx.settings)
        return image, *(None,) * (TENSORS + len(ctx.settings))

    def jvp(self, ctx, by_cotangent, _, by_first, by_second, *others):
        if by_first is not None or by_second is not None:
            raise RuntimeError(OF_ADJOINT)
        if by_cotangent is None:
            return None
        *tensors, world_to_voxel, labels = ctx.saved_tensors
        rays = (*primals(*tensors), world_to_voxel, labels)
        return self.marches.adjoint(by_cotangent.contiguous(), *rays, *ctx.settings)

    def vmap(self, info, in_dims, *arguments):
        return one_by_one(self.marches.adjoint, info, in_dims, *arguments)
