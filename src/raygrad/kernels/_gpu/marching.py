"""Marches along a beam, forward and adjoint: which outputs are allocated, which kernels are launched."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._gpu import adjoint, forward
from raygrad.kernels._gpu.launch import Beam, affine_for, index_dtype, launch, triton_dtype
from raygrad.kernels._gpu.memory import allocate

SUMS = {"siddon": 5, "joseph": 5, "trilinear": 7}
"""What a march with derivatives adds up along a ray."""


class March(NamedTuple):
    """What is asked of a march, beside a volume and rays; see `raygrad.kernels.project`."""

    world_to_voxel: Tensor
    labels: Tensor | None
    n_channels: int
    renderer: str
    n_points: int
    reducefn: str


def integrate(volume: Tensor, beam: Beam, march: March) -> Tensor:
    """Line integrals (batch, channel, ray)."""
    image = _allocate_image(volume, beam, march)
    _integrate(image, None, volume.detach(), beam, march)
    return image


def integrate_with_jacobian(volume: Tensor, beam: Beam, march: March) -> tuple[Tensor, Tensor]:
    """Line integrals, and their derivatives (batch, channel, ray, 6) by the ends of each ray."""
    image = _allocate_image(volume, beam, march)
    shape = (*image.shape, 6)
    jacobian = allocate("the derivatives", torch.empty, shape, dtype=image.dtype, device=image.device)
    _integrate(image, jacobian, volume.detach(), beam, march)
    return image, jacobian


def spread(cotangent: Tensor, volume: Tensor, beam: Beam, march: March) -> Tensor:
    """The gradient of <cotangent, integrate(volume)> by the volume, in its dtype and memory order."""
    volume, cotangent = volume.detach(), cotangent.detach().contiguous()
    exact = torch.are_deterministic_algorithms_enabled()
    summed_in = torch.int64 if exact else sums_in(volume.dtype)
    gradient = allocate("the volume gradient", torch.zeros_like, volume, dtype=summed_in)
    scale = _units(cotangent, march, volume).to(cotangent.dtype) if exact else None
    _spread(gradient, scale, cotangent, volume, beam, march)
    if scale is not None:
        gradient = gradient.to(scale.dtype).div_(scale)
    return gradient.to(volume.dtype)


def spread_into(cotangent: Tensor, gradient: Tensor, beam: Beam, march: March) -> None:
    """The same for sums, whose adjoint reads no volume, written to `gradient`."""
    if gradient.dtype == sums_in(gradient.dtype) and not torch.are_deterministic_algorithms_enabled():
        gradient = gradient.detach().zero_()
        _spread(gradient, None, cotangent.detach().contiguous(), gradient, beam, march)
    else:
        gradient.copy_(spread(cotangent, gradient, beam, march))


def _allocate_image(volume: Tensor, beam: Beam, march: March) -> Tensor:
    shape = (beam.batch, march.n_channels, beam.rays)
    return allocate("the image", torch.empty, shape, dtype=sums_in(volume.dtype), device=volume.device)


def _integrate(image: Tensor, jacobian: Tensor | None, volume: Tensor, beam: Beam, march: March) -> None:
    device = volume.device
    if march.labels is not None and 0 in volume.stride()[1:]:  # labels take its strides, and need an element each
        volume = volume.contiguous()
    arguments, constants = _arguments(volume, beam, march), _constants(volume, march, image.dtype)
    if march.labels is None:
        maximum = march.reducefn == "max"
        parts = 1 if maximum else beam.parts(device)
        outputs = (image, jacobian, volume)
        launch(forward.march, beam, device, *outputs, *arguments, parts=parts, MAXIMUM=maximum, **constants)
        return
    sums = 1 if jacobian is None else SUMS[march.renderer]
    shape = (beam.batch, march.n_channels, sums, beam.rays)
    totals = allocate("the sums of each label", torch.zeros, shape, dtype=image.dtype, device=device)
    read = (totals, volume, _in_order_of(volume, march.labels), *arguments, march.n_channels)
    launch(forward.sum_by_label, beam, device, *read, DERIVATIVES=jacobian is not None, **constants)
    launch(forward.finish_by_label, beam, device, image, jacobian, *read, **constants)


def _spread(
    gradient: Tensor, scale: Tensor | None, cotangent: Tensor, volume: Tensor, beam: Beam, march: March
) -> None:
    """Add to `gradient`, in units of 1 / scale unless that is None."""
    device = gradient.device
    arguments, constants = _arguments(gradient, beam, march), _constants(gradient, march, cotangent.dtype)
    if march.reducefn == "max":
        read = (gradient, scale, cotangent, _in_order_of(gradient, volume))
        launch(adjoint.scatter_maximum, beam, device, *read, *arguments, **constants)
        return
    labels = None if march.labels is None else _in_order_of(gradient, march.labels)
    read = (gradient, scale, cotangent, labels, *arguments, march.n_channels)
    launch(adjoint.scatter, beam, device, *read, parts=beam.parts(device), **constants)


def _arguments(volume: Tensor, beam: Beam, march: March) -> tuple[Any, ...]:
    """What all kernels are told of the volume's grid, and of the rays."""
    batch_stride = volume.stride(0) if len(volume) > 1 else 0  # one volume is shared by all images
    world_to_voxel = affine_for(march.world_to_voxel, volume.device)
    rays = (beam.tensors, world_to_voxel, beam.height, beam.width, march.n_points)
    return volume.shape[1:], volume.stride()[1:], batch_stride, *rays


def _constants(volume: Tensor, march: March, dtype: torch.dtype) -> dict[str, Any]:
    """What kernels are compiled for; `dtype` is that of their sums."""
    # The columns of most images run along the patient, as the last axis of most volumes does.
    down = volume.stride(-1) == 1
    return {"RENDERER": march.renderer, "DOWN": down, "INDEX": index_dtype(volume), "T": triton_dtype(dtype)}


def _in_order_of(volume: Tensor, values: Tensor) -> Tensor:
    """Labels, or another volume, with the strides of `volume`: kernels walk both with the same ones."""
    stride = volume.stride()[-values.dim() :]
    if values.stride() == stride:
        return values
    return torch.empty_strided(values.shape, stride, dtype=values.dtype, device=values.device).copy_(values)


def _units(cotangent: Tensor, march: March, volume: Tensor) -> Tensor:
    """The number of integer units in 1, for sums of 62 bits: of all cotangents, times the most a ray weighs in a voxel.

    That is twice the sum of a voxel's edges and, for trilinear samples, one step through the volume; 1 for maxima.
    """
    world_to_voxel = march.world_to_voxel[:3, :3].to(cotangent.device, torch.float64)
    edges = torch.linalg.inv_ex(world_to_voxel).inverse.norm(dim=0)
    through = sum(size * edge for size, edge in zip(volume.shape[1:], edges, strict=True))
    most = cotangent.abs().sum(dtype=torch.float64) * (1 + 2 * edges.sum() + through / march.n_points)
    # A power of two does not change with the last digit of that sum, and rounds no amount.
    return torch.exp2(torch.floor(torch.log2(2.0**61 / most))).clamp(max=2.0**126)
