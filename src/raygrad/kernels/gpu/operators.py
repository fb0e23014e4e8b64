"""The operators of `ops.py` on a GPU: allocate the outputs, launch the kernels."""

import torch
from torch import Tensor

from raygrad.kernels.backends import sums_in
from raygrad.kernels.gpu import adjoint, forward
from raygrad.kernels.gpu.contract import contract_cameras as contract_cameras_kernel
from raygrad.kernels.gpu.launch import Beam, affine_for, index_dtype, launch, launch_programs, triton_dtype
from raygrad.kernels.gpu.memory import allocate

PIXELS = 1024
"""How many pixels' derivatives one program contracts."""
SUMS = {"siddon": 5, "joseph": 5, "trilinear": 7}
"""What a march with derivatives adds up along a ray."""


def march(
    volume, source, target, world_to_voxel, labels, _, n_channels, method, n_points, reducefn, image_width
) -> Tensor:
    """Line integrals (batch, channel, ray); see raygrad::march."""
    beam = Beam.of_ends(source, target, image_width)
    return _march(volume, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn, derivatives=False)[0]


def march_with_jacobian(
    volume, source, target, world_to_voxel, labels, _, n_channels, method, n_points, reducefn, image_width
) -> tuple[Tensor, Tensor]:
    """Line integrals and their derivatives (batch, channel, ray, 6); see raygrad::march_with_jacobian."""
    beam = Beam.of_ends(source, target, image_width)
    return _march(volume, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn, derivatives=True)


def march_adjoint(
    cotangent, volume, source, target, world_to_voxel, labels, n_channels, method, n_points, reducefn, image_width
) -> Tensor:
    """The gradient of <cotangent, march(volume)> by the volume; see raygrad::march_adjoint."""
    beam = Beam.of_ends(source, target, image_width)
    return _march_adjoint(cotangent, volume, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn)


def march_adjoint_into(
    cotangent, gradient, source, target, world_to_voxel, labels, n_channels, method, n_points, reducefn, image_width
) -> None:
    """The same for sums, whose adjoint reads no volume, written to `gradient`; see raygrad::march_adjoint_into."""
    beam = Beam.of_ends(source, target, image_width)
    if gradient.dtype == sums_in(gradient.dtype) and not torch.are_deterministic_algorithms_enabled():
        gradient.zero_()
        _scatter(gradient, None, cotangent, beam, world_to_voxel, labels, n_channels, method, n_points)
    else:
        gradient.copy_(
            _march_adjoint(cotangent, gradient, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn)
        )


def march_cameras(
    volume,
    camera_to_world,
    pixel_to_camera,
    world_to_voxel,
    labels,
    height,
    width,
    n_channels,
    method,
    n_points,
    reducefn,
) -> Tensor:
    """Line integrals (batch, channel, ray) of every pixel of cameras; see raygrad::march_cameras."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width)
    return _march(volume, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn, derivatives=False)[0]


def march_cameras_with_jacobian(
    volume,
    camera_to_world,
    pixel_to_camera,
    world_to_voxel,
    labels,
    height,
    width,
    n_channels,
    method,
    n_points,
    reducefn,
) -> tuple[Tensor, Tensor]:
    """The same with their derivatives (batch, channel, ray, 6); see raygrad::march_cameras_with_jacobian."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width)
    return _march(volume, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn, derivatives=True)


def march_cameras_adjoint(
    cotangent,
    volume,
    camera_to_world,
    pixel_to_camera,
    world_to_voxel,
    labels,
    height,
    width,
    n_channels,
    method,
    n_points,
    reducefn,
) -> Tensor:
    """The gradient of <cotangent, march_cameras(volume)> by the volume; see raygrad::march_cameras_adjoint."""
    beam = Beam.of_cameras(camera_to_world, pixel_to_camera, height, width)
    return _march_adjoint(cotangent, volume, beam, world_to_voxel, labels, n_channels, method, n_points, reducefn)


def contract_cameras(cotangent, jacobian, height, width) -> Tensor:
    """The gradient (batch, 4, 4) for the map from pixels to the world; see raygrad::contract_cameras.

    Programs sum blocks of pixels, and their sums are added in a fixed order: the same digits every time.
    """
    batch, n_channels = cotangent.shape[:2]
    blocks = -(-height * width // PIXELS)
    partial = torch.empty(batch, blocks, 4, 4, dtype=jacobian.dtype, device=jacobian.device)
    arguments = (partial, cotangent.contiguous(), jacobian, height, width, n_channels, blocks)
    dtype = triton_dtype(jacobian.dtype)
    launch_programs(contract_cameras_kernel, batch * blocks, jacobian.device, *arguments, PIXELS=PIXELS, T=dtype)
    return partial.sum(1)


def _march(
    volume, beam: Beam, world_to_voxel, labels, n_channels, method, n_points, reducefn, derivatives: bool
) -> tuple[Tensor, Tensor | None]:
    device, dtype = volume.device, sums_in(volume.dtype)
    volume = volume.detach()
    shape = (beam.batch, n_channels, beam.rays)
    image = allocate("the image", torch.empty, shape, dtype=dtype, device=device)
    jacobian = None
    if derivatives:
        jacobian = allocate("the derivatives", torch.empty, (*shape, 6), dtype=dtype, device=device)
    grid = (volume.shape[1:], volume.stride()[1:], _batch_stride(volume))
    rays = (beam.tensors, affine_for(world_to_voxel, device), beam.height, beam.width, n_points)
    constants = {"METHOD": method, "INDEX": index_dtype(volume), "T": triton_dtype(dtype)}
    if labels is None:
        maximum = reducefn == "max"
        parts = 1 if maximum else beam.parts(device)
        arguments = (image, jacobian, volume, *grid, *rays)
        launch(forward.march, beam, device, *arguments, parts=parts, MAXIMUM=maximum, **constants)
        return image, jacobian
    labels = _in_order_of(volume, labels)
    sums = SUMS[method] if derivatives else 1
    shape = (beam.batch, n_channels, sums, beam.rays)
    totals = allocate("the sums of each label", torch.zeros, shape, dtype=dtype, device=device)
    arguments = (totals, volume, labels, *grid, *rays, n_channels)
    launch(forward.sum_by_label, beam, device, *arguments, DERIVATIVES=derivatives, **constants)
    launch(forward.finish_by_label, beam, device, image, jacobian, *arguments, **constants)
    return image, jacobian


def _march_adjoint(
    cotangent, volume, beam: Beam, world_to_voxel, labels, n_channels, method, n_points, reducefn
) -> Tensor:
    dtype = sums_in(volume.dtype)
    cotangent, volume = cotangent.detach(), volume.detach()
    exact = torch.are_deterministic_algorithms_enabled()
    gradient = allocate("the volume gradient", torch.zeros_like, volume, dtype=torch.int64 if exact else dtype)
    scale = _units(cotangent, world_to_voxel, volume, n_points).to(dtype) if exact else None
    if reducefn == "max":
        if volume.stride() != gradient.stride():  # the kernel walks both with the same strides
            volume = torch.empty_strided(gradient.shape, gradient.stride(), dtype=dtype, device=volume.device).copy_(
                volume
            )
        grid = (gradient.shape[1:], gradient.stride()[1:], _batch_stride(gradient))
        rays = (beam.tensors, affine_for(world_to_voxel, volume.device), beam.height, beam.width, n_points)
        constants = {"METHOD": method, "INDEX": index_dtype(gradient), "T": triton_dtype(dtype)}
        arguments = (gradient, scale, cotangent.contiguous(), volume, *grid, *rays)
        launch(adjoint.scatter_maximum, beam, volume.device, *arguments, **constants)
    else:
        _scatter(gradient, scale, cotangent, beam, world_to_voxel, labels, n_channels, method, n_points)
    if scale is not None:
        gradient = gradient.to(dtype) / scale
    return gradient.to(volume.dtype)


def _scatter(gradient, scale, cotangent, beam: Beam, world_to_voxel, labels, n_channels, method, n_points) -> None:
    device, dtype = gradient.device, sums_in(cotangent.dtype)
    grid = (gradient.shape[1:], gradient.stride()[1:], _batch_stride(gradient))
    rays = (beam.tensors, affine_for(world_to_voxel, device), beam.height, beam.width, n_points, n_channels)
    labels = None if labels is None else _in_order_of(gradient, labels)
    constants = {"METHOD": method, "INDEX": index_dtype(gradient), "T": triton_dtype(dtype)}
    arguments = (gradient, scale, cotangent.detach().contiguous(), labels, *grid, *rays)
    launch(adjoint.scatter, beam, device, *arguments, parts=beam.parts(device), **constants)


def _units(cotangent: Tensor, world_to_voxel: Tensor, volume: Tensor, n_points: int) -> Tensor:
    """The number of integer units in 1, for sums of 62 bits: of all cotangents, times the most a ray weighs in a voxel.

    That is twice the sum of a voxel's edges, and, for trilinear samples, one step through the volume; 1 for maxima.
    """
    voxel_to_world = torch.linalg.inv_ex(world_to_voxel[:3, :3].to(cotangent.device, torch.float64)).inverse
    edges = voxel_to_world.norm(dim=0)
    across = sum(size * edge for size, edge in zip(volume.shape[1:], edges, strict=True))
    most = cotangent.abs().sum(dtype=torch.float64) * (1 + 2 * edges.sum() + across / n_points)
    return (2.0**61 / most).clamp(max=2.0**100)


def _batch_stride(volume: Tensor) -> int:
    """Elements from one volume to the next; 0 for a volume that all images share."""
    return volume.stride(0) if len(volume) > 1 else 0


def _in_order_of(volume: Tensor, labels: Tensor) -> Tensor:
    """The labels with the strides of one volume."""
    if labels.stride() == volume.stride()[1:]:
        return labels
    ordered = torch.empty_strided(labels.shape, volume.stride()[1:], dtype=labels.dtype, device=labels.device)
    return ordered.copy_(labels)
