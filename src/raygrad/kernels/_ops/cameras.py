"""The operators of cameras, whose kernels make the rays themselves: raygrad::march_cameras and what belongs to it.

Only a GPU gains from them: an image is one launch, and nothing is stored for each ray. Elsewhere
`raygrad.kernels.project_cameras` makes rays and marches along them. Shapes are those of that function, with the volume
always (1 or batch, x, y, z), or (volume, x, y, z) for one camera.
"""

from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._ops.dispatch import implement, is_differentiated, transforms_are_active
from raygrad.kernels._ops.marches import Marches, images_of, tangent_of_ends
from raygrad.kernels._rays import rays_of_map

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
    batch = images_of(volume, camera_to_world)
    return volume.new_empty(batch, n_channels, height * width, dtype=sums_in(volume.dtype))


@torch.library.register_fake("raygrad::march_cameras_with_jacobian")
def _(volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, n_channels, *settings):
    shape, dtype = (images_of(volume, camera_to_world), n_channels, height * width), sums_in(volume.dtype)
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


class _FromCameras(Marches):
    """Marches along the rays of cameras' pixels, which pixel_to_world = camera_to_world @ pixel_to_camera gives."""

    operator = "march_cameras"

    def gradients(self, cotangent, jacobian, camera_to_world, pixel_to_camera, needed, settings):
        by_product = _contract(cotangent.contiguous(), jacobian, settings)
        by_camera, by_pixel = None, None
        if len(by_product) != len(camera_to_world):  # several volumes in front of one camera
            by_product = by_product.sum(0, keepdim=True)
        if needed[0]:
            by_camera = (by_product @ pixel_to_camera.to(by_product).mT).to(camera_to_world.dtype)
        if needed[1]:
            by_pixel = camera_to_world.to(by_product).mT @ by_product
            by_pixel = by_pixel.sum_to_size(pixel_to_camera.shape).to(pixel_to_camera.dtype)
        return by_camera, by_pixel

    def image_tangent(self, jacobian, camera_to_world, pixel_to_camera, by_camera, by_pixel, settings):
        product = jacobian.new_zeros(len(camera_to_world), 4, 4)
        if by_camera is not None:
            product = product + by_camera.to(jacobian) @ pixel_to_camera.to(jacobian)
        if by_pixel is not None:
            product = product + camera_to_world.to(jacobian) @ by_pixel.to(jacobian)
        height, width = settings[:2]
        return tangent_of_ends(jacobian, *rays_of_map(product, height, width))

    def in_one_batch(self, call, info, in_dims, volume, camera_to_world, pixel_to_camera, *rest):
        # One pixel_to_camera may be for all cameras, and is then repeated.
        batch = len(camera_to_world) if in_dims[1] is None else camera_to_world.movedim(in_dims[1], 0).shape[1]
        if in_dims[2] is None:
            pixel_to_camera = pixel_to_camera.expand(batch, 4, 4)
        else:
            pixel_to_camera = pixel_to_camera.movedim(in_dims[2], 0).expand(info.batch_size, batch, 4, 4)
            in_dims = (*in_dims[:2], 0, *in_dims[3:])
        return super().in_one_batch(call, info, in_dims, volume, camera_to_world, pixel_to_camera, *rest)


_marches = _FromCameras()


def march_cameras(volume, camera_to_world, pixel_to_camera, world_to_voxel, **options) -> Tensor:
    """Line integrals (batch, channel, pixel)."""
    return _marches.march(volume, camera_to_world, pixel_to_camera, world_to_voxel, *_in_order(**options))


def march_cameras_with_jacobian(
    volume, camera_to_world, pixel_to_camera, world_to_voxel, **options
) -> tuple[Tensor, Tensor]:
    """Line integrals, and their derivatives (batch, channel, pixel, 6) by the ends of each ray."""
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel)
    return _marches.march_with_jacobian(volume, *cameras, *_in_order(**options))


def march_cameras_adjoint(cotangent, volume, camera_to_world, pixel_to_camera, world_to_voxel, **options) -> Tensor:
    """The gradient of <cotangent, march_cameras(volume)> by the volume."""
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel)
    return _marches.adjoint(cotangent, volume, *cameras, *_in_order(**options))


def march_cameras_adjoint_into(
    cotangent, gradient, camera_to_world, pixel_to_camera, world_to_voxel, **options
) -> None:
    """The same for sums, written to `gradient`; no derivatives."""
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel)
    torch.ops.raygrad.march_cameras_adjoint_into(cotangent, gradient, *cameras, *_in_order(**options))


def _in_order(*, labels, height, width, n_channels, renderer, n_points, reducefn, backend) -> tuple[Any, ...]:
    """The options in the order of the schemas."""
    return labels, height, width, n_channels, renderer, n_points, reducefn, backend


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
