"""The operators of meshes: raygrad::march_mesh, march_mesh_with_jacobian, march_mesh_adjoint and mesh_hits.

The last argument names the backend, whose module does the work. Shapes are those of `raygrad.kernels.project_mesh`,
with vertices always (1 or batch, vertex, 3) and faces in int32.
"""

from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._ops.dispatch import (
    FIRST_ONLY,
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
from raygrad.kernels._ops.marches import tangent_of_ends

_RAYS = "Tensor source, Tensor target, Tensor faces, Tensor? world_to_pixel, int image_width, str backend"
_TENSORS = 5
OF_VERTICES = (
    "The compiled kernels know the derivative of meshes by vertices backwards only, not forwards: use "
    "backend='reference'."
)

torch.library.define("raygrad::march_mesh", f"(Tensor vertices, {_RAYS}) -> Tensor")
torch.library.define("raygrad::march_mesh_with_jacobian", f"(Tensor vertices, {_RAYS}) -> (Tensor, Tensor)")
torch.library.define("raygrad::march_mesh_adjoint", f"(Tensor cotangent, Tensor vertices, {_RAYS}) -> Tensor")
torch.library.define(
    "raygrad::mesh_hits",
    f"(Tensor vertices, {_RAYS}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)

for _operator in ("march_mesh", "march_mesh_with_jacobian", "march_mesh_adjoint", "mesh_hits"):
    implement(_operator)


@torch.library.register_fake("raygrad::march_mesh")
def _(vertices, source, target, *rest):
    return vertices.new_empty(target.shape[:2])


@torch.library.register_fake("raygrad::march_mesh_with_jacobian")
def _(vertices, source, target, *rest):
    return vertices.new_empty(target.shape[:2]), vertices.new_empty(*target.shape[:2], 6)


@torch.library.register_fake("raygrad::march_mesh_adjoint")
def _(cotangent, vertices, *rest):
    return vertices.new_empty(vertices.shape)


@torch.library.register_fake("raygrad::mesh_hits")
def _(vertices, *rest):
    count = torch.library.get_ctx().new_dynamic_size()
    whole = [vertices.new_empty(count, dtype=torch.int64) for _ in range(4)]
    return (*whole[:3], vertices.new_empty(count), whole[3])


class _March:
    """Rules for the march that gives thickness, and for that which gives its Jacobian too."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.settings = inputs[_TENSORS:]
        jacobian = output[1] if isinstance(output, tuple) else None
        ctx.save_for_backward(*inputs[:_TENSORS], jacobian)
        ctx.save_for_forward(*inputs[:_TENSORS], jacobian)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, cotangent, jacobian_cotangent=None):
        refuse_jacobian_cotangent(jacobian_cotangent)
        *tensors, jacobian = ctx.saved_tensors
        by_vertices, by_source, by_target = ctx.needs_input_grad[:3]
        gradients: list[Tensor | None] = [None, None, None]
        if cotangent is not None and by_vertices:
            gradients[0] = _adjoint(cotangent.contiguous(), *tensors, *ctx.settings)
        if cotangent is not None and (by_source or by_target):
            jacobian = _guarded(jacobian, tensors, ctx.settings)
            weighted = cotangent[..., None] * jacobian
            gradients[1] = weighted[..., :3].sum_to_size(tensors[1].shape) if by_source else None
            gradients[2] = weighted[..., 3:] if by_target else None
        return *gradients, *(None,) * (_TENSORS - 3 + len(ctx.settings))

    @staticmethod
    def jvp(ctx, by_vertices, by_source, by_target, *_):
        if by_vertices is not None:
            raise RuntimeError(OF_VERTICES)
        if by_source is None and by_target is None:
            return None
        *tensors, jacobian = ctx.saved_tensors
        tensors = [*primals(*tensors[:3]), *tensors[3:]]
        jacobian = None if jacobian is None else primals(jacobian)[0]
        jacobian = _guarded(jacobian, tensors, ctx.settings)
        return tangent_of_ends(jacobian[:, None], by_source, by_target)[:, 0]

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return _in_one_batch(_plain, info, in_dims, *arguments)


class _MarchWithJacobian(_March):
    """The Jacobian itself is not differentiable."""

    @staticmethod
    def jvp(ctx, *tangents):
        # Zeros, which `refuse_jacobian_tangent` keeps from being seen: autograd wants some.
        return _March.jvp(ctx, *tangents), torch.zeros_like(ctx.saved_tensors[-1])

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return _in_one_batch(_with_jacobian, info, in_dims, *arguments)


class _Adjoint:
    """Rules for the adjoint, which is not differentiable: what it reads are first derivatives."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, cotangent):
        raise RuntimeError(FIRST_ONLY)

    @staticmethod
    def jvp(ctx, *tangents):
        raise RuntimeError(FIRST_ONLY)

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return one_by_one(_adjoint, info, in_dims, *arguments)


_plain = differentiable("march_mesh", _March, 3)
_with_jacobian = differentiable("march_mesh_with_jacobian", _MarchWithJacobian, 3)
_adjoint = differentiable("march_mesh_adjoint", _Adjoint, 4)


def march_mesh(vertices, source, target, faces, *, world_to_pixel, image_width, backend) -> Tensor:
    """Thickness (batch, ray); where rays are differentiated, from the march that keeps their derivatives."""
    settings = (faces, world_to_pixel, image_width or 0, backend)
    if is_differentiated(source, target):
        return _with_jacobian(vertices, source, target, *settings)[0]
    return _plain(vertices, source, target, *settings)


def march_mesh_with_jacobian(
    vertices, source, target, faces, *, world_to_pixel, image_width, backend
) -> tuple[Tensor, Tensor]:
    """Thickness, and its derivatives (batch, ray, 6) by source and target."""
    settings = (faces, world_to_pixel, image_width or 0, backend)
    thickness, jacobian = _with_jacobian(vertices, source, target, *settings)
    return thickness, refuse_jacobian_tangent(jacobian, vertices, source, target)


def mesh_hits(vertices, source, target, faces, *, world_to_pixel, image_width, backend) -> tuple[Tensor, ...]:
    """Batch, ray, triangle, fraction and sign of every hit."""
    settings = (faces, world_to_pixel, image_width or 0, backend)
    return torch.ops.raygrad.mesh_hits(vertices, source, target, *settings)


def _guarded(jacobian, tensors, settings) -> Tensor:
    """The Jacobian of a march, made if it is not there, that refuses to be differentiated itself."""
    if jacobian is None:
        _, jacobian = _with_jacobian(*tensors, *settings)
    return refuse_derivatives(jacobian, FIRST_ONLY, *tensors[:3])


def _in_one_batch(call, info, in_dims, *arguments) -> tuple[Any, Any]:
    """The rule for vmap of either march: poses make one larger batch, hints and all."""
    *tensors, faces, world_to_pixel, image_width, backend = arguments
    if world_to_pixel is None:
        return in_one_batch(call, info, in_dims, 2, *arguments)

    def with_hint(vertices, source, target, world_to_pixel, faces, image_width, backend):
        return call(vertices, source, target, faces, world_to_pixel, image_width, backend)

    order = (0, 1, 2, 4, 3, 5, 6)
    moved, dims = [arguments[i] for i in order], tuple(in_dims[i] for i in order)
    return in_one_batch(with_hint, info, dims, 3, *moved)
