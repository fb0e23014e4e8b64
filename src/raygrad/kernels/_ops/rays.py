"""The operators raygrad::march, raygrad::march_with_jacobian and raygrad::march_adjoint: schema, fake, autograd.

The only autograd code of the fast kernels, beside that of cameras (`camera_ops.py`). The last argument names the
backend whose module does the work (`cpu.py`, `gpu/`); plain torch needs none of it (`reference.py`). Shapes are those
of `raygrad.kernels.project`, with the volume always (1 or batch, x, y, z).
"""

import torch
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._ops.dispatch import first_only, implement, refuse_jacobian_cotangent

_RAYS = "Tensor source, Tensor target, Tensor world_to_voxel, Tensor? labels"
_SETTINGS = "int n_channels, str renderer, int n_points, str reducefn, int image_width, str backend"

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


def march(volume, source, target, world_to_voxel, *, image_width, occupied_bricks, labels, **settings) -> Tensor:
    """Dispatch raygrad::march, or with gradients for the rays at hand, the march that keeps their derivatives."""
    rays = (source, target, world_to_voxel, labels, occupied_bricks)
    settings["image_width"] = image_width or 0
    if torch.is_grad_enabled() and (source.requires_grad or target.requires_grad):
        return torch.ops.raygrad.march_with_jacobian(volume, *rays, **settings)[0]
    return torch.ops.raygrad.march(volume, *rays, **settings)


def march_with_jacobian(
    volume, source, target, world_to_voxel, *, image_width, occupied_bricks, labels, **settings
) -> tuple[Tensor, Tensor]:
    """Dispatch raygrad::march_with_jacobian."""
    rays = (source, target, world_to_voxel, labels, occupied_bricks)
    return torch.ops.raygrad.march_with_jacobian(volume, *rays, **settings, image_width=image_width or 0)


def march_adjoint(cotangent, volume, source, target, world_to_voxel, *, image_width, labels, **settings) -> Tensor:
    """Dispatch raygrad::march_adjoint."""
    rays = (source, target, world_to_voxel, labels)
    return torch.ops.raygrad.march_adjoint(cotangent, volume, *rays, **settings, image_width=image_width or 0)


def march_adjoint_into(cotangent, gradient, source, target, world_to_voxel, *, image_width, labels, **settings) -> None:
    """Dispatch raygrad::march_adjoint_into, which has no derivatives."""
    rays = (source, target, world_to_voxel, labels)
    torch.ops.raygrad.march_adjoint_into(cotangent, gradient, *rays, **settings, image_width=image_width or 0)


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


def _ray_gradients(ctx, cotangent: Tensor, jacobian: Tensor, source: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Contract a cotangent (batch, channel, ray) with the derivatives (batch, channel, ray, 6) of source and target."""
    gradient_source = gradient_target = None
    by_source, by_target = jacobian[..., :3], jacobian[..., 3:]
    if ctx.needs_input_grad[1]:
        if source.shape[1] == 1:
            gradient_source = torch.einsum("bcn,bcnk->bk", cotangent, by_source)[:, None]
        else:
            gradient_source = torch.einsum("bcn,bcnk->bnk", cotangent, by_source)
        gradient_source = gradient_source.sum_to_size(source.shape)
    if ctx.needs_input_grad[2]:
        gradient_target = torch.einsum("bcn,bcnk->bnk", cotangent, by_target)
    return gradient_source, gradient_target


def _volume_gradient(ctx, cotangent: Tensor, volume: Tensor, rays: tuple) -> Tensor | None:
    if not ctx.needs_input_grad[0]:
        return None
    return torch.ops.raygrad.march_adjoint(cotangent.contiguous(), volume, *rays, *ctx.settings)


def _save(ctx, inputs, output):
    volume, source, target, world_to_voxel, labels, _, *settings = inputs
    jacobian = output[1] if isinstance(output, tuple) else None
    ctx.save_for_backward(volume, source, target, world_to_voxel, labels, jacobian)
    ctx.settings = settings
    ctx.set_materialize_grads(False)


def _march_backward(ctx, cotangent, jacobian_cotangent=None):
    """Gradients of either march: of the rays by their Jacobian, of the volume by the adjoint."""
    refuse_jacobian_cotangent(jacobian_cotangent)
    nothing = (None,) * (3 + len(ctx.settings))
    if cotangent is None:
        return None, None, None, *nothing
    volume, source, target, world_to_voxel, labels, jacobian = ctx.saved_tensors
    rays = (source, target, world_to_voxel, labels)
    if jacobian is None and (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
        _, jacobian = torch.ops.raygrad.march_with_jacobian(volume.detach(), *rays, None, *ctx.settings)
    gradients = (
        _volume_gradient(ctx, cotangent, volume, rays),
        *(_ray_gradients(ctx, cotangent, jacobian, source) if jacobian is not None else (None, None)),
    )
    return *(first_only(gradient, cotangent, volume, source, target) for gradient in gradients), *nothing


def _save_adjoint(ctx, inputs, output):
    _, volume, source, target, world_to_voxel, labels, *settings = inputs
    ctx.save_for_backward(volume, source, target, world_to_voxel, labels)
    ctx.settings = settings


def _adjoint_backward(ctx, volume_cotangent):
    """The adjoint is linear in its cotangent, so its own gradient is the march; none is known for the rays."""
    volume, source, target, world_to_voxel, labels = ctx.saved_tensors
    if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
        raise RuntimeError(
            "The compiled adjoint is not differentiable by source and target: use backend='reference', or detach them."
        )
    image = torch.ops.raygrad.march(volume_cotangent, source, target, world_to_voxel, labels, None, *ctx.settings)
    return image, None, None, None, None, None, *(None,) * len(ctx.settings)


torch.library.register_autograd("raygrad::march", _march_backward, setup_context=_save)
torch.library.register_autograd("raygrad::march_with_jacobian", _march_backward, setup_context=_save)
torch.library.register_autograd("raygrad::march_adjoint", _adjoint_backward, setup_context=_save_adjoint)
