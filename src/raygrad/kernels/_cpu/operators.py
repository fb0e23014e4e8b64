"""The operators of `_ops/` on the CPU: allocate the outputs, hand everything to the C++ extension."""

import torch
from torch import Tensor

from raygrad.kernels._backends import load_extension
from raygrad.kernels._ops.marches import images_of


def march(volume, source, target, world_to_voxel, labels, bricks, width, n_channels, *settings) -> Tensor:
    """Line integrals (batch, channel, ray); see raygrad::march."""
    image = volume.new_empty(images_of(volume, target), n_channels, target.shape[1])
    _call("march", (image,), volume, source, target, world_to_voxel, labels, bricks, width, *settings)
    return image


def march_with_jacobian(
    volume, source, target, world_to_voxel, labels, bricks, width, n_channels, *settings
) -> tuple[Tensor, Tensor]:
    """Line integrals and their derivatives (batch, channel, ray, 6); see raygrad::march_with_jacobian."""
    image = volume.new_empty(images_of(volume, target), n_channels, target.shape[1])
    jacobian = volume.new_empty(*image.shape, 6)
    outputs = (image, jacobian)
    _call("march_with_jacobian", outputs, volume, source, target, world_to_voxel, labels, bricks, width, *settings)
    return image, jacobian


def march_adjoint(cotangent, volume, source, target, world_to_voxel, labels, width, n_channels, *settings) -> Tensor:
    """The gradient of <cotangent, march(volume)> by the volume; see raygrad::march_adjoint."""
    gradient = torch.empty_like(volume)
    if gradient.stride() != volume.stride():  # the kernel walks both with the same strides
        volume = volume.contiguous()
        gradient = torch.empty_like(volume)
    cotangent = cotangent.detach().contiguous()
    _call("march_adjoint", (cotangent, gradient), volume, source, target, world_to_voxel, labels, width, *settings)
    return gradient


def march_adjoint_into(
    cotangent, gradient, source, target, world_to_voxel, labels, width, n_channels, *settings
) -> None:
    """The same for sums, whose adjoint reads no volume, written to `gradient`; see raygrad::march_adjoint_into."""
    cotangent = cotangent.detach().contiguous()
    _call("march_adjoint", (cotangent, gradient), gradient, source, target, world_to_voxel, labels, width, *settings)


def add_voxel_driven_(volume, images, voxel_to_pixel, distance) -> None:
    """Add a voxel-driven back projection to the volume; see raygrad::add_voxel_driven_."""
    extension, _ = load_extension()
    extension.add_voxel_driven(
        volume.detach(),
        images.detach(),
        voxel_to_pixel.detach().to("cpu", torch.float64).contiguous(),
        distance.detach().to("cpu", torch.float64).contiguous(),
        torch.get_num_threads(),
    )


def occupied_bricks(volume: Tensor) -> tuple[Tensor, bool]:
    """The occupied bricks of a volume (batch, x, y, z), and whether all its voxels are finite."""
    extension, _ = load_extension()
    size = extension.BRICK
    shape = [-(-n // size) for n in volume.shape[1:]]
    bricks = torch.empty(len(volume), *shape, dtype=torch.uint8)
    finite = extension.occupied_bricks(volume.detach(), bricks, torch.get_num_threads())
    return bricks, finite


def find_palette(volume: Tensor, bricks: Tensor) -> Tensor | None:
    """Bricks, palette and voxels' numbers in it, as bytes for marches of several volumes; None if it were too large."""
    extension, _ = load_extension()
    found = torch.empty(extension.palette_bytes(volume), dtype=torch.uint8)
    if not extension.find_palette(volume, found, torch.get_num_threads()):
        return None
    found[: bricks.numel()] = bricks.flatten()
    return found


def _call(name, first, volume, source, target, world_to_voxel, *labels_bricks_settings) -> None:
    extension, _ = load_extension()
    getattr(extension, name)(
        *first,
        volume.detach(),
        source.detach(),
        target.detach(),
        world_to_voxel.detach().to("cpu", torch.float64),
        *labels_bricks_settings,
        torch.get_num_threads(),
    )
