"""The public functions of the kernels: what they accept is checked here, once."""

import math

import torch
from torch import Tensor

from raygrad.kernels import ops, reference
from raygrad.kernels.backends import choose_backend, sums_in
from raygrad.kernels.occupancy import Occupancy
from raygrad.types import Affine, Labels, RayImages, RayJacobians, Sources, Targets, VoxelGrid

METHODS = ("siddon", "trilinear", "joseph")
REDUCTIONS = ("sum", "max")


def project(
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    method: str = "siddon",
    n_points: int = 500,
    labels: Labels | None = None,
    n_channels: int | None = None,
    reducefn: str = "sum",
    image_width: int | None = None,
    occupancy: Occupancy | None = None,
    backend: str = "auto",
) -> RayImages:
    """Integrate a volume along rays from `source` to `target`: the X-ray transform, differentiable.

    Args:
        volume: voxel values, (x, y, z) for all rays or (batch, x, y, z) with one volume per batch entry. Any strides.
        source: where the rays start, world mm, (batch, ray, 3), or (batch, 1, 3) when a batch entry's rays share it.
        target: where the rays end, world mm, (batch, ray, 3).
        world_to_voxel: affine map from world mm to voxel coordinates, in which voxel (i, j, k) has its centre at
            (i, j, k). No gradient flows to it.
        method: "siddon" is exact for voxels of constant value (Siddon, Med. Phys. 1985); "joseph" takes one
            bilinear sample per slab of voxels along the ray's main axis (Joseph, IEEE TMI 1982); "trilinear" takes
            `n_points` samples at the middles of equal steps. Both interpolations see zeros outside the volume.
        n_points: samples per ray for "trilinear".
        labels: integer labelmap on the volume's grid (uint8, int16, int32 or int64). Each label gets the part of
            the integral that its voxels (for the interpolating methods: the voxel nearest to each sample) contribute.
        n_channels: number of labels, including 0; default: the largest label + 1.
        reducefn: "sum" for the line integral, "max" for the largest value along the ray (maximum intensity
            projection; not multiplied by any length, never below 0, which is the value outside the volume).
        image_width: columns of the image whose pixels, row by row, the rays are; speeds up marching, changes nothing.
        occupancy: from `prepare(volume)`; lets the march skip empty bricks. Must belong to this volume's values.
        backend: "auto", "cpu", "gpu" or "reference".

    Returns:
        (batch, channel, ray): volume value times mm for "sum", volume value for "max"; one channel without labels.
        A ray that misses the volume gets exactly 0, with zero derivative. In the volume's dtype, and in float32 for
        float16 and bfloat16, as rays and sums are.

    Raises:
        TypeError: for arguments of the wrong kind or dtype.
        ValueError: for shapes that do not fit, unknown names, rays that are not finite, or NaN or infinite
            voxels on a ray's way. On a GPU values are not looked at, since that would wait for all that it has to
            do: a ray that is not finite, or meets NaN, gives NaN, and a label beyond `n_channels` counts nowhere.
        torch.cuda.OutOfMemoryError: with the memory that was needed, and what to lower.
    """
    settings = (method, n_points, labels, n_channels, reducefn)
    volume, source, target, options, backend = _check(volume, source, target, world_to_voxel, *settings, backend)
    if backend == "reference":
        image = reference.march(volume, source, target, world_to_voxel, **options)
    else:
        options |= {"backend": backend, "image_width": image_width}
        bricks = None if occupancy is None else occupancy.for_march_of(volume)
        image = ops.march(volume, source, target, world_to_voxel, **options, occupied_bricks=bricks)
    _check_image(image, backend)
    return image


def project_with_jacobian(
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    method: str = "siddon",
    n_points: int = 500,
    labels: Labels | None = None,
    n_channels: int | None = None,
    reducefn: str = "sum",
    image_width: int | None = None,
    occupancy: Occupancy | None = None,
    backend: str = "auto",
) -> tuple[RayImages, RayJacobians]:
    """Image as from `project`, and every ray's derivative by its own end points, from the same march.

    Returns:
        The image (batch, channel, ray), and its derivatives (batch, channel, ray, 6) by the source's x, y, z and the
        target's x, y, z, per mm of world space. The image stays differentiable; on the "cpu" backend the derivatives
        are not (differentiating them raises a RuntimeError), on "reference" they are.

    Arguments and errors are those of `project`.
    """
    settings = (method, n_points, labels, n_channels, reducefn)
    volume, source, target, options, backend = _check(volume, source, target, world_to_voxel, *settings, backend)
    if backend == "reference":
        image, jacobian = reference.march_with_jacobian(volume, source, target, world_to_voxel, **options)
    else:
        options |= {"backend": backend, "image_width": image_width}
        bricks = None if occupancy is None else occupancy.for_march_of(volume)
        image, jacobian = ops.march_with_jacobian(
            volume, source, target, world_to_voxel, **options, occupied_bricks=bricks
        )
    _check_image(image, backend)
    return image, jacobian


def backproject(
    cotangent: RayImages,
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    method: str = "siddon",
    n_points: int = 500,
    labels: Labels | None = None,
    n_channels: int | None = None,
    image_width: int | None = None,
    backend: str = "auto",
    out: VoxelGrid | None = None,
) -> VoxelGrid:
    """Apply the exact adjoint of `project`: spread each ray's value over the voxels that it reads.

    For every image y and volume x, <project(x), y> = <x, backproject(y)> up to rounding. The result does not depend
    on the number of threads of a CPU. On a GPU the order of its sums, and with it the last digits, change from run to run,
    unless `torch.use_deterministic_algorithms(True)` asks for sums of integers, which are exact in any order.

    Args:
        cotangent: values on the rays, (batch, channel, ray), as `project` returns them.
        volume: gives shape, dtype and memory order of the result; its values are not read.
        source, target, world_to_voxel, method, n_points, labels, n_channels, image_width, backend: as in `project`.
        out: where to write the result, of the volume's shape and dtype and with memory of its own for every voxel; it
            may be the volume. Fresh memory is slow to touch first. No gradient flows through it.

    Returns:
        Like `volume`: summed over the batch for a volume (x, y, z), one per entry for (batch, x, y, z).

    Raises:
        TypeError, ValueError: as `project`, and for a cotangent that does not fit the rays and channels.
    """
    settings = (method, n_points, labels, n_channels, "sum")
    like, source, target, options, backend = _check(volume, source, target, world_to_voxel, *settings, backend)
    expected = (len(target), options["n_channels"], target.shape[1])
    if tuple(cotangent.shape) != expected:
        raise ValueError(f"Expected a cotangent of shape {expected}. Got {tuple(cotangent.shape)}.")
    if out is not None and (out.shape != volume.shape or out.dtype != volume.dtype or out.device != volume.device):
        raise ValueError(
            f"Expected an output like the volume, {tuple(volume.shape)} of {volume.dtype} on {volume.device}. "
            f"Got {tuple(out.shape)} of {out.dtype} on {out.device}."
        )
    rays = (cotangent.to(target.dtype), like, source, target, world_to_voxel)
    if backend == "reference":
        gradient = reference.march_adjoint(*rays, **options)
    else:
        options |= {"backend": backend, "image_width": image_width}
        if out is not None:
            into = out.detach() if volume.dim() == 4 else out.detach()[None]
            ops.march_adjoint_into(rays[0], into, source, target, world_to_voxel, **options)
            return out
        gradient = ops.march_adjoint(*rays, **options)
    gradient = gradient[0] if volume.dim() == 3 else gradient
    return gradient if out is None else out.copy_(gradient.detach())


def _check(volume, source, target, world_to_voxel, method, n_points, labels, n_channels, reducefn, backend):
    for name, tensor in (("volume", volume), ("source", source), ("target", target)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Expected {name} to be a torch.Tensor. Got {type(tensor).__name__}.")
        if not tensor.is_floating_point():
            raise TypeError(f"Expected {name} to be of a floating-point dtype. Got {tensor.dtype}.")
    if volume.dim() not in (3, 4) or 0 in volume.shape:
        raise ValueError(f"Expected a volume of shape (x, y, z) or (batch, x, y, z). Got {tuple(volume.shape)}.")
    if target.dim() != 3 or target.shape[-1] != 3:
        raise ValueError(f"Expected targets of shape (batch, ray, 3). Got {tuple(target.shape)}.")
    batch, rays = target.shape[:2]
    if source.dim() != 3 or source.shape[0] != batch or source.shape[1] not in (1, rays) or source.shape[2] != 3:
        expected = f"({batch}, 1, 3) or ({batch}, {rays}, 3), to fit the targets"
        raise ValueError(f"Expected sources of shape {expected}. Got {tuple(source.shape)}.")
    if volume.dim() == 3:
        volume = volume[None]
    if len(volume) not in (1, batch):
        raise ValueError(f"Expected one volume, or {batch} to fit the batch of rays. Got {len(volume)}.")
    if tuple(world_to_voxel.shape) != (4, 4):
        raise ValueError(f"Expected world_to_voxel of shape (4, 4). Got {tuple(world_to_voxel.shape)}.")
    if world_to_voxel.requires_grad:
        raise ValueError("No gradient flows to world_to_voxel: detach it, or move source and target instead.")
    if method not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)}. Got {method!r}.")
    if reducefn not in REDUCTIONS:
        raise ValueError(f"Expected reducefn to be one of {', '.join(REDUCTIONS)}. Got {reducefn!r}.")
    if n_points < 1:
        raise ValueError(f"Expected n_points of at least 1. Got {n_points}.")
    n_channels = _check_labels(labels, n_channels, volume.shape[1:], reducefn)
    backend = choose_backend(backend, volume)
    if _reads_values(backend):
        # The sum is finite only if all terms are, and costs no temporary array.
        ends_sum = source.detach().sum() + target.detach().sum() + world_to_voxel.sum()
        if not math.isfinite(ends_sum.item()):
            raise ValueError("Expected finite rays. Got NaN or infinite values in source, target or world_to_voxel.")
    options = {
        "labels": labels,
        "n_channels": n_channels,
        "method": method,
        "n_points": n_points,
        "reducefn": reducefn,
    }
    dtype = sums_in(volume.dtype)
    return volume, source.to(dtype), target.to(dtype), options, backend


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


def _reads_values(backend: str) -> bool:
    """Whether numbers are looked at before and after a march: on a GPU that would wait for all that it has to do."""
    return backend != "gpu" and not torch.compiler.is_compiling()


def _check_image(image: Tensor, backend: str) -> None:
    """A NaN or infinite pixel from finite rays can only come from the volume."""
    if _reads_values(backend) and not math.isfinite(image.detach().sum().item()):
        raise ValueError("Expected a volume of finite values. Got NaN or infinity in voxels that the rays cross.")
