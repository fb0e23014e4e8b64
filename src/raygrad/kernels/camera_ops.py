"""The operators of cameras, whose kernels make the rays themselves: schema, fake, autograd.

Only a GPU gains from them (`gpu/`): an image is one launch, and nothing is stored for each ray. Elsewhere
`raygrad.kernels.project_cameras` makes rays and marches along them. Shapes are those of that function, with the volume
always (1 or batch, x, y, z).
"""

import torch
from torch import Tensor

from raygrad.kernels.backends import sums_in
from raygrad.kernels.dispatch import first_only, implement, refuse_jacobian_cotangent

_CAMERAS = (
    "Tensor camera_to_world, Tensor pixel_to_camera, Tensor world_to_voxel, Tensor? labels, int height, int width"
)
_SETTINGS = "int n_channels, str method, int n_points, str reducefn, str backend"

torch.library.define("raygrad::march_cameras", f"(Tensor volume, {_CAMERAS}, {_SETTINGS}) -> Tensor")
torch.library.define(
    "raygrad::march_cameras_with_jacobian", f"(Tensor volume, {_CAMERAS}, {_SETTINGS}) -> (Tensor, Tensor)"
)
torch.library.define(
    "raygrad::march_cameras_adjoint", f"(Tensor cotangent, Tensor volume, {_CAMERAS}, {_SETTINGS}) -> Tensor"
)
torch.library.define(
    "raygrad::contract_cameras", "(Tensor cotangent, Tensor jacobian, int height, int width, str backend) -> Tensor"
)
for _operator in ("march_cameras", "march_cameras_with_jacobian", "march_cameras_adjoint", "contract_cameras"):
    implement(_operator)


def march_cameras(
    volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, *, height, width, **settings
) -> Tensor:
    """Dispatch raygrad::march_cameras, or with gradients for the cameras at hand, the march that keeps derivatives."""
    arguments = (volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width)
    if torch.is_grad_enabled() and (camera_to_world.requires_grad or pixel_to_camera.requires_grad):
        return torch.ops.raygrad.march_cameras_with_jacobian(*arguments, **settings)[0]
    return torch.ops.raygrad.march_cameras(*arguments, **settings)


def march_cameras_with_jacobian(
    volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, *, height, width, **settings
) -> tuple[Tensor, Tensor]:
    """Dispatch raygrad::march_cameras_with_jacobian."""
    arguments = (volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width)
    return torch.ops.raygrad.march_cameras_with_jacobian(*arguments, **settings)


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


@torch.library.register_fake("raygrad::contract_cameras")
def _(cotangent, jacobian, height, width, backend):
    return jacobian.new_empty(len(jacobian), 4, 4)


def _save(ctx, inputs, output):
    *tensors, height, width, n_channels, method, n_points, reducefn, backend = inputs
    ctx.save_for_backward(*tensors, output[1] if isinstance(output, tuple) else None)
    ctx.settings = (height, width, n_channels, method, n_points, reducefn, backend)
    ctx.set_materialize_grads(False)


def _march_backward(ctx, cotangent, jacobian_cotangent=None):
    """Gradients of either march: of the cameras by the derivatives of each pixel, of the volume by the adjoint."""
    refuse_jacobian_cotangent(jacobian_cotangent)
    nothing = (None,) * (2 + len(ctx.settings))
    if cotangent is None:
        return None, None, None, *nothing
    volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, jacobian = ctx.saved_tensors
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel, labels, *ctx.settings)
    cotangent = cotangent.contiguous()
    gradients: list[Tensor | None] = [None, None, None]
    if ctx.needs_input_grad[0]:
        gradients[0] = torch.ops.raygrad.march_cameras_adjoint(cotangent, volume, *cameras)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        if jacobian is None:
            _, jacobian = torch.ops.raygrad.march_cameras_with_jacobian(volume.detach(), *cameras)
        height, width, *_, backend = ctx.settings
        by_pixel_to_world = torch.ops.raygrad.contract_cameras(cotangent, jacobian, height, width, backend)
        gradients[1:] = _map_gradients(ctx, by_pixel_to_world, camera_to_world, pixel_to_camera)
    depends_on = (cotangent, volume, camera_to_world, pixel_to_camera)
    return *(first_only(gradient, *depends_on) for gradient in gradients), *nothing


def _map_gradients(ctx, by_product: Tensor, camera_to_world: Tensor, pixel_to_camera: Tensor) -> list[Tensor | None]:
    """The gradients for both factors of pixel_to_world = camera_to_world @ pixel_to_camera."""
    by_camera = by_pixel = None
    if ctx.needs_input_grad[1]:
        by_camera = (by_product @ pixel_to_camera.to(by_product).mT).to(camera_to_world.dtype)
    if ctx.needs_input_grad[2]:
        by_pixel = camera_to_world.to(by_product).mT @ by_product
        by_pixel = by_pixel.sum_to_size(pixel_to_camera.shape).to(pixel_to_camera.dtype)
    return [by_camera, by_pixel]


def _save_adjoint(ctx, inputs, output):
    _, volume, *cameras, height, width, n_channels, method, n_points, reducefn, backend = inputs
    ctx.save_for_backward(*cameras)
    ctx.settings = (height, width, n_channels, method, n_points, reducefn, backend)


def _adjoint_backward(ctx, volume_cotangent):
    """The adjoint is linear in its cotangent, so its own gradient is the march; none is known for the cameras."""
    if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
        raise RuntimeError(
            "The compiled adjoint is not differentiable by the cameras: use backend='reference', or detach them."
        )
    image = torch.ops.raygrad.march_cameras(volume_cotangent, *ctx.saved_tensors, *ctx.settings)
    return image, *(None,) * (5 + len(ctx.settings))


torch.library.register_autograd("raygrad::march_cameras", _march_backward, setup_context=_save)
torch.library.register_autograd("raygrad::march_cameras_with_jacobian", _march_backward, setup_context=_save)
torch.library.register_autograd("raygrad::march_cameras_adjoint", _adjoint_backward, setup_context=_save_adjoint)
