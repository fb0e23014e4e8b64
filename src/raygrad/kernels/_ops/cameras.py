"""The operators of cameras, whose kernels make the rays themselves: schema, fake, autograd.

Only a GPU gains from them (`gpu/`): an image is one launch, and nothing is stored for each ray. Elsewhere
`raygrad.kernels.project_cameras` makes rays and marches along them. Shapes are those of that function, with the volume
always (1 or batch, x, y, z).
"""

import torch
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._ops.dispatch import first_only, implement, refuse_jacobian_cotangent

_CAMERAS = (
    "Tensor camera_to_world, Tensor pixel_to_camera, Tensor world_to_voxel, Tensor? labels, int height, int width"
)
_SETTINGS = "int n_channels, str renderer, int n_points, str reducefn, str backend"

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


def march_cameras(*tensors: Tensor, **settings) -> Tensor:
    """Dispatch raygrad::march_cameras, or with gradients at hand, the march that keeps what they need."""
    arguments = _in_order(*tensors, **settings)
    return (_March.apply if _needs_gradients(*tensors[:3]) else torch.ops.raygrad.march_cameras)(*arguments)


def march_cameras_with_jacobian(*tensors: Tensor, **settings) -> tuple[Tensor, Tensor]:
    """Dispatch raygrad::march_cameras_with_jacobian."""
    arguments = _in_order(*tensors, **settings)
    differentiable = _needs_gradients(*tensors[:3])
    return (_MarchWithJacobian.apply if differentiable else torch.ops.raygrad.march_cameras_with_jacobian)(*arguments)


def _in_order(
    volume,
    camera_to_world,
    pixel_to_camera,
    world_to_voxel,
    *,
    labels,
    height,
    width,
    n_channels,
    renderer,
    n_points,
    reducefn,
    backend,
) -> tuple:
    """The arguments in the schema's order."""
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width)
    return volume, *cameras, n_channels, renderer, n_points, reducefn, backend


def _needs_gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


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


class _MarchWithJacobian(torch.autograd.Function):
    """Both outputs of raygrad::march_cameras_with_jacobian; gradients flow through the image.

    Not torch.library's `register_autograd`: that takes longer to read a call's schema than a GPU to make the image.
    """

    @staticmethod
    def forward(ctx, volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, *settings):
        cameras = (camera_to_world, pixel_to_camera, world_to_voxel, labels)
        image, jacobian = torch.ops.raygrad.march_cameras_with_jacobian(volume, *cameras, *settings)
        ctx.save_for_backward(volume, *cameras, jacobian)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        return image, jacobian

    @staticmethod
    def backward(ctx, cotangent, jacobian_cotangent):
        refuse_jacobian_cotangent(jacobian_cotangent)
        return *_gradients(ctx, cotangent), None, None, *(None,) * len(ctx.settings)


class _March(torch.autograd.Function):
    """The image alone, with the derivatives that gradients for cameras will need, if any will."""

    @staticmethod
    def forward(ctx, volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, *settings):
        arguments = (volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, *settings)
        jacobian = None
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            image, jacobian = torch.ops.raygrad.march_cameras_with_jacobian(*arguments)
        else:
            image = torch.ops.raygrad.march_cameras(*arguments)
        ctx.save_for_backward(*arguments[:5], jacobian)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        return image

    @staticmethod
    def backward(ctx, cotangent):
        return *_gradients(ctx, cotangent), None, None, *(None,) * len(ctx.settings)


def _gradients(ctx, cotangent: Tensor | None) -> list[Tensor | None]:
    """For volume, camera_to_world and pixel_to_camera: by the adjoint, and by the derivatives of each pixel."""
    gradients: list[Tensor | None] = [None, None, None]
    if cotangent is None:
        return gradients
    volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, jacobian = ctx.saved_tensors
    cotangent = cotangent.contiguous()
    if ctx.needs_input_grad[0]:
        cameras = (camera_to_world, pixel_to_camera, world_to_voxel, labels)
        gradients[0] = torch.ops.raygrad.march_cameras_adjoint(cotangent, volume, *cameras, *ctx.settings)
    if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
        height, width, *_, backend = ctx.settings
        by_pixel_to_world = torch.ops.raygrad.contract_cameras(cotangent, jacobian, height, width, backend)
        gradients[1:] = _map_gradients(ctx, by_pixel_to_world, camera_to_world, pixel_to_camera)
    return [first_only(gradient, cotangent, volume, camera_to_world, pixel_to_camera) for gradient in gradients]


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
    _, volume, *cameras, height, width, n_channels, renderer, n_points, reducefn, backend = inputs
    ctx.save_for_backward(*cameras)
    ctx.settings = (height, width, n_channels, renderer, n_points, reducefn, backend)


def _adjoint_backward(ctx, volume_cotangent):
    """The adjoint is linear in its cotangent, so its own gradient is the march; none is known for the cameras."""
    if ctx.needs_input_grad[2] or ctx.needs_input_grad[3]:
        raise RuntimeError(
            "The compiled adjoint is not differentiable by the cameras: use backend='reference', or detach them."
        )
    image = torch.ops.raygrad.march_cameras(volume_cotangent, *ctx.saved_tensors, *ctx.settings)
    return image, *(None,) * (5 + len(ctx.settings))


torch.library.register_autograd("raygrad::march_cameras_adjoint", _adjoint_backward, setup_context=_save_adjoint)
