"""The operators of `_ops/` on a GPU: their arguments become a beam, and what is asked of it."""

import torch
from torch import Tensor

from raygrad.kernels._gpu import contract
from raygrad.kernels._gpu.launch import Beam, launch_programs, triton_dtype
from raygrad.kernels._gpu.marching import March, integrate, integrate_with_jacobian, spread, spread_into

PIXELS = 1024
"""How many pixels' derivatives one program contracts."""


def march(volume, source, target, world_to_voxel, labels, _, image_width, *settings) -> Tensor:
    """Line integrals (batch, channel, ray); see raygrad::march."""
    beam = Beam.of_ends(source, target, image_width, len(volume))
    return integrate(volume, beam, March(world_to_voxel, labels, *settings))


def march_with_jacobian(
    volume, source, target, world_to_voxel, labels, _, image_width, *settings
) -> tuple[Tensor, Tensor]:
    """Line integrals and their derivatives (batch, channel, ray, 6); see raygrad::march_with_jacobian."""
    beam = Beam.of_ends(source, target, image_width, len(volume))
    return integrate_with_jacobian(volume, beam, March(world_to_voxel, labels, *settings))


def march_adjoint(cotangent, volume, source, target, world_to_voxel, labels, image_width, *settings) -> Tensor:
    """The gradient of <cotangent, march(volume)> by the volume; see raygrad::march_adjoint."""
    beam = Beam.of_ends(source, target, image_width, len(volume))
    return spread(cotangent, volume, beam, March(world_to_voxel, labels, *settings))


def march_adjoint_into(cotangent, gradient, source, target, world_to_voxel, labels, image_width, *settings) -> None:
    """The same for sums, whose adjoint reads no volume, written to `gradient`; see raygrad::march_adjoint_into."""
    beam = Beam.of_ends(source, target, image_width, len(gradient))
    spread_into(cotangent, gradient, beam, March(world_to_voxel, labels, *settings))


def march_cameras(volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings) -> Tensor:
    """Line integrals (batch, channel, ray) of every pixel of cameras; see raygrad::march_cameras."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width, len(volume))
    return integrate(volume, beam, March(world_to_voxel, labels, *settings))


def march_cameras_with_jacobian(
    volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings
) -> tuple[Tensor, Tensor]:
    """The same with their derivatives (batch, channel, ray, 6); see raygrad::march_cameras_with_jacobian."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width, len(volume))
    return integrate_with_jacobian(volume, beam, March(world_to_voxel, labels, *settings))


def march_cameras_adjoint(
    cotangent, volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings
) -> Tensor:
    """The gradient of <cotangent, march_cameras(volume)> by the volume; see raygrad::march_cameras_adjoint."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width, len(volume))
    return spread(cotangent, volume, beam, March(world_to_voxel, labels, *settings))


def march_cameras_adjoint_into(
    cotangent, gradient, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings
) -> None:
    """The same for sums, written to `gradient`; see raygrad::march_cameras_adjoint_into."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width, len(gradient))
    spread_into(cotangent, gradient, beam, March(world_to_voxel, labels, *settings))


def contract_cameras(cotangent, jacobian, height, width) -> Tensor:
    """The gradient (batch, 4, 4) for the map from pixels to the world; see raygrad::contract_cameras.

    Programs sum blocks of pixels, and their sums are added in a fixed order: the same digits every time.
    """
    batch, n_channels = cotangent.shape[:2]
    blocks = -(-height * width // PIXELS)
    partial = torch.empty(batch, blocks, 4, 4, dtype=jacobian.dtype, device=jacobian.device)
    arguments = (partial, cotangent.contiguous(), jacobian, height, width, n_channels, blocks)
    dtype = triton_dtype(jacobian.dtype)
    launch_programs(contract.contract_cameras, batch * blocks, jacobian.device, *arguments, PIXELS=PIXELS, T=dtype)
    return partial.sum(1)
