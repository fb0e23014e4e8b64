"""The operators of cameras, whose kernels make the rays themselves: raygrad::march_cameras and what belongs to it.

Only a GPU gains from them: an image is one launch, and nothing is stored for each ray. Elsewhere
`raygrad.kernels.project_cameras` makes rays and marches along them. Shapes are those of that function, with the volume
always (1 or batch, x, y, z).
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
    transforms_are_active,
)
from raygrad.kernels._ops.rays import image_tangent
from raygrad.kernels._rays import rays_of_map

_CAMERAS = (
    "Tensor camera_to_world, Tensor pixel_to_camera, Tensor world_to_voxel, Tensor? labels, int height, int width"
)
_SETTINGS = "int n_channels, str renderer, int n_points, str reducefn, str backend"
REDUCEFN = 5
"""The place of that setting, after height and width."""

torch.library.define("raygrad::march_cameras", f"(Tensor volume, {_CAMERAS}, {_SETTINGS}) -> Tensor")
torch.library.define(
    "raygrad::march_cameras_with_jacobian", f"(Tensor volume, {_CAMERAS}, {_SETTINGS}) -> (Tensor, Tensor)"
)
torch.library.define(
    "raygrad::march_cameras_adjoint", f"(Tensor cotangent, Tensor volume, {_CAMERAS}, {_SETTINGS}) -> Tensor"
)
torch.library.define(
    "raygrad::march_cameras_adjoint_into", f"(Tensor cotangent, Tensor(a!) gradient, {_CAMERAS}, {_SETTINGS}) -> ()"
)
torch.library.define(
    "raygrad::contract_cameras", "(Tensor cotangent, Tensor jacobian, int height, int width, str backend) -> Tensor"
)
for _operator in (
    "march_cameras",
    "march_cameras_with_jacobian",
    "march_cameras_adjoint",
    "march_cameras_adjoint_into",
    "contract_cameras",
):
    implement(_operator)


@torch.library.register_fake("raygrad::march_cameras")
def _(volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, n_channels, *settings):
    return volume.new_empty(len(camera_to_world), n_channels, height * width, dtype=sums_in(volume.dtype))


@torch.library.register_fake("raygrad::march_cameras_with_jacobian")
def _(volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, n_channels, *settings):
    shape, dtype = (len(camera_to_world), n_channels, height * width), sums_in(volume.dtype)
    return volume.new_empty(shape, dtype=dtype), volume.new_empty(*shape, 6, dtype=dtype)


@torch.library.register_fake("raygrad::march_cameras_adjoint")
def _(cotangent, volume, *cameras_and_settings):
    return torch.empty_like(volume)


@torch.library.register_fake("raygrad::march_cameras_adjoint_into")
def _(cotangent, gradient, *cameras_and_settings):
    return None


@torch.library.register_fake("raygrad::contract_cameras")
def _(cotangent, jacobian, height, width, backend):
    return jacobian.new_empty(len(jacobian), 4, 4)


def march_cameras(volume, camera_to_world, pixel_to_camera, world_to_voxel, **options) -> Tensor:
    """Line integrals, or where cameras are differentiated, those of the march that keeps their derivatives."""
    arguments = (volume, camera_to_world, pixel_to_camera, world_to_voxel, *_in_order(**options))
    if is_differentiated(camera_to_world, pixel_to_camera):
        return _march_cameras_with_jacobian(*arguments)[0]
    return _march_cameras(*arguments)


def march_cameras_with_jacobian(
    volume, camera_to_world, pixel_to_camera, world_to_voxel, **options
) -> tuple[Tensor, Tensor]:
    """Line integrals, and their derivatives by the ends of each ray."""
    arguments = (volume, camera_to_world, pixel_to_camera, world_to_voxel, *_in_order(**options))
    image, jacobian = _march_cameras_with_jacobian(*arguments)
    return image, refuse_jacobian_tangent(jacobian, volume, camera_to_world, pixel_to_camera)


def march_cameras_adjoint(cotangent, volume, camera_to_world, pixel_to_camera, world_to_voxel, **options) -> Tensor:
    """The gradient of <cotangent, march_cameras(volume)> by the volume."""
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel)
    return _march_cameras_adjoint(cotangent, volume, *cameras, *_in_order(**options))


def march_cameras_adjoint_into(
    cotangent, gradient, camera_to_world, pixel_to_camera, world_to_voxel, **options
) -> None:
    """The same for sums, written to `gradient`; no derivatives."""
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel)
    torch.ops.raygrad.march_cameras_adjoint_into(cotangent, gradient, *cameras, *_in_order(**options))


def _in_order(*, labels, height, width, n_channels, renderer, n_points, reducefn, backend) -> tuple[Any, ...]:
    """The options in the order of the schemas."""
    return labels, height, width, n_channels, renderer, n_points, reducefn, backend


class _MarchCameras:
    """Derivatives of either march: by cameras from each ray's own, by the volume from another march or the adjoint."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        *tensors, height, width, n_channels, renderer, n_points, reducefn, backend = inputs
        jacobian = output[1] if isinstance(output, tuple) else None
        ctx.save_for_backward(*tensors, jacobian)
        ctx.save_for_forward(*tensors, jacobian)
        ctx.settings = (height, width, n_channels, renderer, n_points, reducefn, backend)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, cotangent, jacobian_cotangent=None):
        refuse_jacobian_cotangent(jacobian_cotangent)
        volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, jacobian = ctx.saved_tensors
        gradients: list[Tensor | None] = [None, None, None]
        by_volume, by_camera, by_pixel = ctx.needs_input_grad[:3]
        if cotangent is not None and by_volume:
            cameras = (camera_to_world, pixel_to_camera, world_to_voxel, labels)
            gradients[0] = _march_cameras_adjoint(cotangent.contiguous(), volume, *cameras, *ctx.settings)
        if cotangent is not None and (by_camera or by_pixel):
            inputs = (volume, camera_to_world, pixel_to_camera, world_to_voxel, labels)
            jacobian = _guarded(jacobian, *inputs, ctx.settings)
            by_product = _contract(cotangent.contiguous(), jacobian, ctx.settings)
            # Of both factors of pixel_to_world = camera_to_world @ pixel_to_camera.
            if by_camera:
                gradients[1] = (by_product @ pixel_to_camera.to(by_product).mT).to(camera_to_world.dtype)
            if by_pixel:
                gradient = camera_to_world.to(by_product).mT @ by_product
                gradients[2] = gradient.sum_to_size(pixel_to_camera.shape).to(pixel_to_camera.dtype)
        return *gradients, *(None,) * (2 + len(ctx.settings))

    @staticmethod
    def jvp(ctx, by_volume, by_camera, by_pixel, *_):
        *tensors, world_to_voxel, labels, jacobian = ctx.saved_tensors
        volume, camera_to_world, pixel_to_camera = primals(*tensors)
        cameras = (camera_to_world, pixel_to_camera)
        image = None
        if by_camera is not None or by_pixel is not None:
            jacobian = None if jacobian is None else primals(jacobian)[0]
            jacobian = _guarded(jacobian, volume, *cameras, world_to_voxel, labels, ctx.settings)
            product = jacobian.new_zeros(len(camera_to_world), 4, 4)
            if by_camera is not None:
                product = product + by_camera.to(jacobian) @ pixel_to_camera.to(jacobian)
            if by_pixel is not None:
                product = product + camera_to_world.to(jacobian) @ by_pixel.to(jacobian)
            height, width = ctx.settings[:2]
            image = image_tangent(jacobian, *rays_of_map(product, height, width))
        if by_volume is not None:
            if ctx.settings[REDUCEFN] == "max":
                raise RuntimeError(OF_MAXIMUM)
            by_volume = _march_cameras(by_volume, *cameras, world_to_voxel, labels, *ctx.settings)
            image = by_volume if image is None else image + by_volume
        return image

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return _in_one_batch(_march_cameras, info, in_dims, *arguments)


class _MarchCamerasWithJacobian(_MarchCameras):
    @staticmethod
    def jvp(ctx, *tangents):
        image = _MarchCameras.jvp(ctx, *tangents)
        # Zeros, which `refuse_jacobian_tangent` keeps from being seen: autograd wants some.
        return image, torch.zeros_like(ctx.saved_tensors[-1])

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return _in_one_batch(_march_cameras_with_jacobian, info, in_dims, *arguments)


def _guarded(jacobian, volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, settings) -> Tensor:
    """The Jacobian of a march, made if it is not there, that refuses to be differentiated itself."""
    cameras = (camera_to_world, pixel_to_camera)
    if jacobian is None:
        _, jacobian = _march_cameras_with_jacobian(volume, *cameras, world_to_voxel, labels, *settings)
    return refuse_derivatives(jacobian, FIRST_ONLY, volume, *cameras)


def _contract(cotangent: Tensor, jacobian: Tensor, settings: tuple) -> Tensor:
    """The gradient (batch, 4, 4) for the map from pixels to the world; differentiable where it has to be."""
    height, width, *_, backend = settings
    if torch.compiler.is_compiling() or not (transforms_are_active() or is_differentiated(cotangent, jacobian)):
        return torch.ops.raygrad.contract_cameras(cotangent, jacobian, height, width, backend)
    return contract_in_torch(cotangent, jacobian, height, width)


def contract_in_torch(cotangent: Tensor, jacobian: Tensor, height: int, width: int) -> Tensor:
    """The operator raygrad::contract_cameras: the transpose of `rays_of_map`."""
    identity = torch.eye(4, dtype=jacobian.dtype, device=jacobian.device)[None]
    _, pixels = rays_of_map(identity, height, width)  # (right, down, 1)
    pixels = torch.cat([pixels[0], torch.ones_like(pixels[0, :, :1])], dim=-1)
    by_source, by_target = torch.einsum("bcn,bcnk->bkn", cotangent, jacobian).split(3, dim=1)
    by_map = by_target @ pixels + torch.nn.functional.pad(by_source.sum(-1, keepdim=True), (3, 0))
    return torch.nn.functional.pad(by_map, (0, 0, 0, 1))


def _in_one_batch(call, info, in_dims, volume, camera_to_world, pixel_to_camera, *rest) -> tuple[Any, Any]:
    """The rule for vmap of marches; pixel_to_camera may be one for all cameras, and is then repeated."""
    batch = len(camera_to_world) if in_dims[1] is None else camera_to_world.movedim(in_dims[1], 0).shape[1]
    if in_dims[2] is None:
        pixel_to_camera = pixel_to_camera.expand(batch, 4, 4)
    else:
        pixel_to_camera = pixel_to_camera.movedim(in_dims[2], 0).expand(info.batch_size, batch, 4, 4)
        in_dims = (*in_dims[:2], 0, *in_dims[3:])
    return in_one_batch(call, info, in_dims, 2, volume, camera_to_world, pixel_to_camera, *rest)


class _MarchCamerasAdjoint:
    """The adjoint is linear in its cotangent, and that of sums reads no volume; not differentiable by cameras."""

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, *tensors, height, width, n_channels, renderer, n_points, reducefn, backend = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.settings = (height, width, n_channels, renderer, n_points, reducefn, backend)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, volume_cotangent):
        _, *cameras = ctx.saved_tensors
        image = None
        if volume_cotangent is not None:
            if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
                raise RuntimeError(OF_ADJOINT)
            if ctx.settings[REDUCEFN] == "max":
                raise RuntimeError(FIRST_ONLY)
            image = _march_cameras(volume_cotangent, *cameras, *ctx.settings)
        return image, *(None,) * (5 + len(ctx.settings))

    @staticmethod
    def jvp(ctx, by_cotangent, _, by_camera, by_pixel, *others):
        if by_camera is not None or by_pixel is not None:
            raise RuntimeError(OF_ADJOINT)
        *tensors, world_to_voxel, labels = ctx.saved_tensors
        cameras = (*primals(*tensors), world_to_voxel, labels)
        if by_cotangent is None:
            return None
        return _march_cameras_adjoint(by_cotangent.contiguous(), *cameras, *ctx.settings)

    @staticmethod
    def vmap(info, in_dims, *arguments):
        return one_by_one(_march_cameras_adjoint, info, in_dims, *arguments)


_march_cameras = differentiable("march_cameras", _MarchCameras, 3)
_march_cameras_with_jacobian = differentiable("march_cameras_with_jacobian", _MarchCamerasWithJacobian, 3)
_march_cameras_adjoint = differentiable("march_cameras_adjoint", _MarchCamerasAdjoint, 4)
