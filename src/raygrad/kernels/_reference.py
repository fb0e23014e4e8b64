"""The specification of every renderer, in plain torch: any device, any order of derivative, no tricks.

Coordinates here are voxel coordinates: voxel (i, j, k) has its centre at the integer point (i, j, k) and fills
half a voxel around it; the volume is zero outside. A ray is s + a (t - s) for a from 0 to 1, with the source s
and the target t. A renderer turns it into samples along the ray: where the volume is read, and how much of a
(its "width") each reading stands for. The line integral is the sum of reading times width, times the length of
the ray in mm.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from raygrad.types import Affine, Labels, RayImages, RayJacobians, Sources, Targets, VoxelGrid

MAX_SAMPLES_AT_ONCE = 2**22


class Samples(NamedTuple):
    """Readings along each ray: `point` (batch, ray, sample, 3), and `value`, `width` (batch, ray, sample)."""

    point: Tensor
    value: Tensor
    width: Tensor


def march(
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    labels: Labels | None = None,
    n_channels: int = 1,
    renderer: str = "siddon",
    n_points: int = 500,
    reducefn: str = "sum",
) -> RayImages:
    """Project `volume` (1 or batch, x, y, z) along the rays; see `raygrad.kernels.project`."""
    source, target = _for_each_volume(volume, source, target)
    volume = volume.to(target.dtype)  # half precision is read, not computed in
    n_samples = n_points if renderer == "trilinear" else sum(volume.shape[1:])
    rays_at_once = max(1, MAX_SAMPLES_AT_ONCE // (n_samples * len(target)))
    images = [
        _march_some(volume, s, t, world_to_voxel.to(t), labels, n_channels, renderer, n_points, reducefn)
        for s, t in zip(source.split(rays_at_once, dim=1), target.split(rays_at_once, dim=1), strict=True)
    ]
    return torch.cat(images, dim=-1)


def march_with_jacobian(
    volume: VoxelGrid, source: Sources, target: Targets, world_to_voxel: Affine, **options
) -> tuple[RayImages, RayJacobians]:
    """Image and the derivative of every ray's value by its own source and target (see `project_with_jacobian`)."""

    def image_of(source: Tensor, target: Tensor) -> Tensor:
        return march(volume, source, target, world_to_voxel, **options)

    image, gradients, *_ = torch.func.vjp(image_of, *_for_each_volume(volume, source, target))
    # A ray's value depends on no other ray, so the gradient of the sum over rays is every ray's own derivative.
    channels = torch.eye(image.shape[1], dtype=image.dtype, device=image.device)[..., None]
    rows = [torch.cat(gradients(channel.expand_as(image)), dim=-1) for channel in channels]
    return image, torch.stack(rows, dim=1)


def _for_each_volume(volume: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A source for each target, and where several volumes are seen along the same rays, those rays for each."""
    target = target.expand(len(volume) if len(target) == 1 else -1, -1, -1)
    return source.expand(target.shape), target


def _march_some(volume, source, target, world_to_voxel, labels, n_channels, renderer, n_points, reducefn) -> Tensor:
    voxel_source = source @ world_to_voxel[:3, :3].mT + world_to_voxel[:3, 3]
    voxel_target = target @ world_to_voxel[:3, :3].mT + world_to_voxel[:3, 3]
    samples = SAMPLERS[renderer](volume, voxel_source, voxel_target - voxel_source, n_points)
    length = torch.linalg.vector_norm(target - source, dim=-1)
    if reducefn == "max":
        readings = torch.where((samples.width > 0) & (length[..., None] > 0), samples.value, 0)
        return readings.amax(dim=-1, keepdim=True).clamp(min=0).mT
    parts = samples.value * samples.width * length[..., None]
    if labels is None:
        return parts.sum(dim=-1)[:, None]
    channel = labels[_voxel_index(samples.point, volume.shape[1:])[0].unbind(-1)].long()
    image = parts.new_zeros(*parts.shape[:2], n_channels)
    return image.scatter_add(-1, channel, parts).mT


def siddon(volume: Tensor, source: Tensor, direction: Tensor, n_points: int) -> Samples:
    """Exact for voxels of constant value: one sample for every voxel that the ray crosses (Siddon 1985)."""
    crossings = [torch.zeros_like(source[..., :1]), torch.ones_like(source[..., :1])]
    for axis, size in enumerate(volume.shape[1:]):
        planes = torch.arange(size + 1, device=source.device, dtype=source.dtype) - 0.5
        step = direction[..., axis, None]
        moving = step != 0
        alpha = (planes - source[..., axis, None]) / torch.where(moving, step, 1)
        crossings.append(torch.where(moving, alpha, 0).clamp(0, 1))
    alpha = torch.cat(crossings, dim=-1).sort(dim=-1).values
    middle = (alpha[..., 1:] + alpha[..., :-1]).detach() / 2
    point = source[..., None, :] + middle[..., None] * direction[..., None, :]
    index, inside = _voxel_index(point, volume.shape[1:])
    return Samples(point, _read(volume, index, inside), alpha.diff(dim=-1))


def joseph(volume: Tensor, source: Tensor, direction: Tensor, n_points: int) -> Samples:
    """One bilinear sample per slab of voxels along the ray's main axis (Joseph 1982)."""
    main = direction.abs().argmax(dim=-1, keepdim=True)
    start = source.gather(-1, main)
    step = direction.gather(-1, main)
    step = torch.where(step == 0, 1, step)
    shape = torch.tensor(volume.shape[1:], device=source.device)
    slab = torch.arange(max(volume.shape[1:]), device=source.device).to(source)
    alpha = (slab - start) / step
    on_main = torch.arange(3, device=source.device) == main[..., None]
    point = source[..., None, :] + alpha[..., None] * direction[..., None, :]
    point = torch.where(on_main, slab[:, None], point)
    # The ray's share of each slab, which fills half a voxel on both sides of its middle.
    end = start + direction.gather(-1, main)
    near, far = torch.minimum(start, end), torch.maximum(start, end)
    share = (torch.minimum(slab + 0.5, far) - torch.maximum(slab - 0.5, near)).clamp(min=0)
    share = torch.where(slab < shape[main], share, 0)
    return Samples(point, _interpolate(volume, point), share / step.abs())


def trilinear(volume: Tensor, source: Tensor, direction: Tensor, n_points: int) -> Samples:
    """`n_points` trilinear samples at the middles of equal steps over the part of the ray where they can differ from 0.

    Interpolation reaches one voxel beyond the outermost voxel centres, so that is where the steps begin and end.
    """
    moving = direction != 0
    step = torch.where(moving, direction, 1)
    shape = torch.tensor(volume.shape[1:], device=source.device).to(source)
    at_low, at_high = (-1 - source) / step, (shape - source) / step
    resting_inside = (source > -1) & (source < shape)
    first = torch.where(moving, torch.minimum(at_low, at_high), torch.where(resting_inside, -torch.inf, torch.inf))
    last = torch.where(moving, torch.maximum(at_low, at_high), torch.where(resting_inside, torch.inf, -torch.inf))
    first, last = first.amax(dim=-1, keepdim=True).clamp(min=0), last.amin(dim=-1, keepdim=True).clamp(max=1)
    hit = last > first
    first, last = torch.where(hit, first, 0), torch.where(hit, last, 0)
    middles = (torch.arange(n_points, device=source.device, dtype=source.dtype) + 0.5) / n_points
    alpha = first + (last - first) * middles
    point = source[..., None, :] + alpha[..., None] * direction[..., None, :]
    width = ((last - first) / n_points).expand(alpha.shape)
    return Samples(point, _interpolate(volume, point), width)


SAMPLERS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Samples]] = {
    "siddon": siddon,
    "trilinear": trilinear,
    "joseph": joseph,
}
RENDERERS = SAMPLERS.keys()
"""The names of all renderers there are; `_backends.py` says which have fast kernels."""


def _voxel_index(point: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """The nearest voxel of the volume to each point, and whether the point lies inside that voxel."""
    index = (point.detach() + 0.5).floor()
    last = torch.tensor(shape, device=point.device).to(point) - 1
    inside = ((index >= 0) & (index <= last)).all(dim=-1)
    return torch.minimum(index.clamp(min=0), last).long(), inside


def _read(volume: Tensor, index: Tensor, inside: Tensor) -> Tensor:
    """Voxel values at `index` (batch, ray, sample, 3), zero where not `inside`."""
    batch = torch.arange(len(volume), device=volume.device)[:, None, None]
    return torch.where(inside, volume[(batch, *index.unbind(-1))], 0)


def _interpolate(volume: Tensor, point: Tensor) -> Tensor:
    """Trilinear interpolation between voxel centres, of the volume padded with zeros."""
    below = point.detach().floor()
    above_share = point - below
    value = torch.zeros_like(point[..., 0])
    for corner in product((0, 1), repeat=3):
        offset = torch.tensor(corner, device=point.device, dtype=point.dtype)
        weight = torch.where(offset == 1, above_share, 1 - above_share).prod(dim=-1)
        value = value + weight * _read(volume, *_voxel_index(below + offset, volume.shape[1:]))
    return value


def march_adjoint(
    cotangent: RayImages, volume: VoxelGrid, source: Sources, target: Targets, world_to_voxel: Affine, **options
) -> VoxelGrid:
    """The gradient of <cotangent, march(volume)> by the volume: the adjoint, since `march` is linear in it."""

    def image_of(volume: Tensor) -> Tensor:
        return march(volume, source, target, world_to_voxel, **options)

    _, gradient, *_ = torch.func.vjp(image_of, torch.zeros_like(volume))
    return gradient(cotangent)[0]
