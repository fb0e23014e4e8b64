"""What the projections accept: checked here, once, at the public boundary."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64
from raygrad.kernels._backends import choose_backend, sums_in
from raygrad.kernels._far import FAR, Ends, bring_near, reach_of, warn_of_coarse_rays
from raygrad.kernels._ops.dispatch import is_differentiated, is_mapped, transforms_are_active

REDUCTIONS = ("sum", "max")
"""What a march makes of what it reads on a ray."""


def check_floating(**tensors: Any) -> None:
    """Raise a TypeError for the first that is no tensor of floating-point numbers."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Expected {name} to be a torch.Tensor. Got {type(tensor).__name__}.")
        if not tensor.is_floating_point():
            raise TypeError(f"Expected {name} to be of a floating-point dtype. Got {tensor.dtype}.")


class March(NamedTuple):
    """What was asked for, as kernels take it.

    Attributes:
        volume: (1 or batch, x, y, z).
        ends: of the rays, in the dtype of the volume's sums; for a GPU in their own.
        options: of the march, beside rays and backend.
        backend: "reference" or a fast one.
    """

    volume: Tensor
    ends: Ends
    options: dict[str, Any]
    backend: str


def check_ray_shapes(source: Tensor, target: Tensor) -> tuple[int, int]:
    """The batch and number of rays; a ValueError unless sources and targets fit each other."""
    if target.dim() != 3 or target.shape[-1] != 3:
        raise ValueError(f"Expected targets of shape (batch, ray, 3). Got {tuple(target.shape)}.")
    batch, rays = target.shape[:2]
    if source.dim() != 3 or source.shape[0] != batch or source.shape[1] not in (1, rays) or source.shape[2] != 3:
        expected = f"({batch}, 1, 3) or ({batch}, {rays}, 3), to fit the targets"
        raise ValueError(f"Expected sources of shape {expected}. Got {tuple(source.shape)}.")
    return batch, rays


def check_rays(volume, source, target, world_to_voxel, backend: str, **options: Any) -> March:
    """Rays and volume as kernels take them."""
    check_floating(volume=volume, source=source, target=target)
    batch, _ = check_ray_shapes(source, target)
    volume, options = check_volume(volume, batch, world_to_voxel, **options)
    backend = choose_backend(backend, volume, options["renderer"])
    readable = reads_values(backend)
    reach = math.inf
    if readable:
        reach = reach_of(source, target)
        if not math.isfinite(reach) or not math.isfinite(world_to_voxel.sum().item()):
            raise ValueError("Expected finite rays. Got NaN or infinite values in source, target or world_to_voxel.")
        warn_of_coarse_rays(reach, source, target)
    return March(volume, _ends(volume, source, target, world_to_voxel, backend, reach), options, backend)


def _ends(volume, source, target, world_to_voxel, backend: str, reach: float) -> Ends:
    """The ends of rays as the kernels of a backend take them: near enough for the dtype that these compute in."""
    dtype = sums_in(volume.dtype)
    if backend == "gpu" and source.device.type not in WITHOUT_FLOAT64:
        return Ends(source, target)  # whose kernels take any, and bring near what is far
    ends = Ends(source, target)
    is_exact = backend == "cpu" and source.dtype == target.dtype == dtype  # C++ computes all of its ways in float64
    if dtype == torch.float32 and not is_exact and not reach <= FAR:
        ends = bring_near(source, target, world_to_voxel, volume.shape[1:], reads_values(backend))
    return Ends(ends.source.to(dtype), ends.target.to(dtype), ends.shares)


def check_volume(
    volume: Tensor,
    batch: int,
    world_to_voxel: Tensor,
    *,
    labels: Tensor | None = None,
    n_channels: int | None = None,
    renderer: str = "siddon",
    n_points: int = 500,
    reducefn: str = "sum",
) -> tuple[Tensor, dict[str, Any]]:
    """The volume as (1 or batch, x, y, z), or any number of volumes for a batch of 1, and the options of its march."""
    if volume.dim() not in (3, 4) or 0 in volume.shape:
        raise ValueError(f"Expected a volume of shape (x, y, z) or (batch, x, y, z). Got {tuple(volume.shape)}.")
    if volume.dim() == 3:
        volume = volume[None]
    if batch != 1 and len(volume) not in (1, batch):
        raise ValueError(f"Expected one volume, or {batch} to fit the batch of rays. Got {len(volume)}.")
    if tuple(world_to_voxel.shape) != (4, 4):
        raise ValueError(f"Expected world_to_voxel of shape (4, 4). Got {tuple(world_to_voxel.shape)}.")
    if world_to_voxel.requires_grad:
        raise ValueError("No gradient flows to world_to_voxel: detach it, or move source and target instead.")
    if reducefn not in REDUCTIONS:
        raise ValueError(f"Expected reducefn to be one of {', '.join(REDUCTIONS)}. Got {reducefn!r}.")
    if n_points < 1:
        raise ValueError(f"Expected n_points of at least 1. Got {n_points}.")
    n_channels = _check_labels(labels, n_channels, volume.shape[1:], reducefn)
    return volume, {
        "labels": labels,
        "n_channels": n_channels,
        "renderer": renderer,
        "n_points": n_points,
        "reducefn": reducefn,
    }


def _check_labels(labels, n_channels, shape, reducefn) -> int:
    if labels is None:
        if n_channels not in (None, 1):
            raise ValueError(f"n_channels={n_channels} needs labels. Got none.")
        return 1
    if reducefn != "sum":
        raise ValueError(f"Labels go with reducefn='sum'. Got {reducefn!r}.")
    if labels.dtype not in (torch.uint8, torch.int16, torch.int32, torch.int64):
        raise TypeError(f"Expected labels as uint8, int16, int32 or int64. Got {labels.dtype}.")
    if labels.shape != shape:
        raise ValueError(f"Expected labels of the volume's shape {tuple(shape)}. Got {tuple(labels.shape)}.")
    if n_channels is None:
        low, high = labels.aminmax()
        if low < 0:
            raise ValueError(f"Expected labels of at least 0. Got {low.item()}.")
        n_channels = int(high) + 1
    return n_channels


def check_cotangent(cotangent: Tensor, expected: tuple[int, int, int]) -> None:
    """What is to be spread has a value for every ray and channel."""
    if tuple(cotangent.shape) != expected:
        raise ValueError(f"Expected a cotangent of shape {expected}. Got {tuple(cotangent.shape)}.")


def check_out(out: Tensor, volume: Tensor, *differentiable: Tensor) -> None:
    """Whether a volume's gradient can be written to `out`."""
    if out.shape != volume.shape or out.dtype != volume.dtype or out.device != volume.device:
        raise ValueError(
            f"Expected an output like the volume, {tuple(volume.shape)} of {volume.dtype} on {volume.device}. "
            f"Got {tuple(out.shape)} of {out.dtype} on {out.device}."
        )
    taken = 1  # elements that the axes so far reach over, those of the smallest strides first
    for stride, size in sorted(zip(out.stride(), out.shape, strict=True)):
        if size > 1 and stride < taken:
            raise ValueError(
                "Expected an output with memory of its own for every voxel. Got one whose voxels share some: "
                f"shape {tuple(out.shape)}, strides {out.stride()}."
            )
        taken += (size - 1) * stride
    if transforms_are_active() or is_differentiated(*differentiable):
        raise ValueError("No derivative flows through out=...: leave it out, or detach cotangent and rays.")


def reads_values(backend: str) -> bool:
    """Whether numbers are looked at before and after a march: on a GPU that would wait for all that it has to do."""
    return backend != "gpu" and can_read()


def can_read() -> bool:
    """Whether numbers can be looked at: while torch.compile traces there are none yet, under vmap not one but many."""
    return not torch.compiler.is_compiling() and not is_mapped()


def check_image(image: Tensor, backend: str) -> None:
    """A NaN or infinite pixel from finite rays can only come from the volume."""
    if reads_values(backend) and not math.isfinite(image.detach().sum().item()):
        raise ValueError("Expected a volume of finite values. Got NaN or infinity in voxels that the rays cross.")
