"""Voxel-driven back projection in Triton: blocks of voxels read every image where they project to.

In float32 a column near 2000 is known to 1e-4, and the terms that it is computed from to less. So the views' maps are
64-bit integers here: where a block's middle projects to is exact, on every card, also on those without float64. The
voxels around it are some pixels away from a pixel nearby, which float32 knows to 1e-6.
"""

import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from raygrad.kernels._backends import sums_in
from raygrad.kernels._gpu.launch import index_dtype, launch_programs, triton_dtype
from raygrad.kernels._gpu.rays import Triple

BLOCK = (8, 8, 16)
"""Voxels of a program, the last along contiguous memory: compact, so that they read pixels nearby; several for each
thread, which share what is computed once for a view."""


def add_voxel_driven_(volume: Tensor, images: Tensor, voxel_to_pixel: Tensor, distance: Tensor) -> None:
    """Add the back projection of images to a volume; see raygrad::add_voxel_driven_."""
    order = sorted(range(3), key=volume.stride, reverse=True)
    volume, images = volume.detach().permute(order), images.detach()
    maps, distance = _in_integers(voxel_to_pixel, distance, order, volume.shape, images.shape[1:])
    device, dtype = volume.device, sums_in(volume.dtype)
    maps = maps.to(device).contiguous()
    steps, distance = maps[:, :, :3].to(dtype).contiguous(), distance.to(device, dtype).contiguous()
    grid = (tuple(volume.shape), volume.stride())
    pixels = (images.shape[1:], images.stride(), len(images))
    wide = tl.int64 in (index_dtype(volume[None]), index_dtype(images))
    constants = {"BLOCK": BLOCK, "INDEX": tl.int64 if wide else tl.int32, "T": triton_dtype(dtype)}
    programs = math.prod(triton.cdiv(size, side) for size, side in zip(volume.shape, BLOCK, strict=True))
    launch_programs(_add_views, programs, device, volume, *grid, images, *pixels, maps, steps, distance, **constants)


def _in_integers(
    voxel_to_pixel: Tensor, distance: Tensor, order: list[int], shape: torch.Size, image_shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """Maps (view, 3, 4) from voxels, whose axes come in `order`, and distances (view), in a unit of each view's own.

    Only ratios count, so any unit will do: it is the smallest power of two with which no integer of the kernel's
    exceeds 2^61. Where a map or a distance is not finite, the map becomes 0 and the distance NaN, which the kernel
    passes on.
    """
    # Not all of Intel's GPUs compute in float64.
    place = "cpu" if voxel_to_pixel.device.type == "xpu" else voxel_to_pixel.device
    maps = torch.stack([voxel_to_pixel[:, :, axis] for axis in (*order, 3)], dim=-1).to(place).double()
    distance = distance.to(place).double()
    bad = ~(maps.isfinite().all(2).all(1) & distance.isfinite())
    maps = maps.masked_fill(bad[:, None, None], 0)
    sizes = (size + side for size, side in zip(shape, BLOCK, strict=True))  # blocks reach beyond the volume
    reach = maps[:, :, 3].abs() + sum(maps[:, :, axis].abs() * size for axis, size in enumerate(sizes))
    largest = reach[:, :2].amax(1) + (max(image_shape) + 2) * reach[:, 2]
    units = torch.exp2(61 - largest.clamp(min=2.0**-40).log2().ceil())
    return (maps * units[:, None, None]).round().long(), (distance * units).masked_fill(bad, torch.nan)


class Reading(NamedTuple):
    """Where voxels read an image along one of its axes.

    Attributes:
        index: of the pixel below.
        share: of the pixel above; the one below has the rest to 1.
        below, above: whether the image has such pixels.
    """

    index: Any
    share: Any
    below: Any
    above: Any


@triton.jit
def _add_views(
    volume,
    shape,
    stride,
    images,
    image_shape,
    image_stride,
    n_views,
    maps,
    steps,
    distance,
    BLOCK: tl.constexpr,
    INDEX: tl.constexpr,
    T: tl.constexpr,
):
    """Add what a block of voxels reads in all views, one after the other: the order never changes.

    `maps` (view, 3, 4) are integers, `steps` (view, 3, 3) and `distance` (view) the same and the distances in T.
    """
    middle, offset = _voxels_of_block(shape, BLOCK)
    height, width = image_shape
    total = tl.zeros([BLOCK[0] * BLOCK[1] * BLOCK[2]], T)
    for _ in range(0, n_views):
        to_column, to_row, to_depth = maps, maps + 4, maps + 8
        depth = _projected(to_depth, middle)
        column, row = _projected(to_column, middle), _projected(to_row, middle)
        column0, row0 = _pixel_nearby(column, depth, width, T), _pixel_nearby(row, depth, height, T)
        column, row = column - column0 * depth, row - row0 * depth

        column_step, row_step, depth_step = _step(steps), _step(steps + 3), _step(steps + 6)
        depths = _stepped(depth.to(T), depth_step, offset)
        seen = depths > 0
        per_depth = 1 / tl.where(seen, depths, 1)
        columns = _stepped(column.to(T), _relative(column_step, depth_step, column0), offset) * per_depth
        rows = _stepped(row.to(T), _relative(row_step, depth_step, row0), offset) * per_depth
        c, r = _reading(columns, column0, width), _reading(rows, row0, height)

        here = images + r.index.to(INDEX) * image_stride[1] + c.index.to(INDEX) * image_stride[2]
        f00 = tl.load(here, mask=seen & r.below & c.below, other=0)
        f01 = tl.load(here + image_stride[2], mask=seen & r.below & c.above, other=0)
        f10 = tl.load(here + image_stride[1], mask=seen & r.above & c.below, other=0)
        f11 = tl.load(here + image_stride[1] + image_stride[2], mask=seen & r.above & c.above, other=0)
        below, above = f00 + c.share * (f01 - f00), f10 + c.share * (f11 - f10)
        to_axis = tl.load(distance)
        ratio = tl.where(seen, to_axis * per_depth, to_axis * 0)  # NaN stays NaN
        total += ratio * ratio * (below + r.share * (above - below))
        images += image_stride[0]
        maps += 12
        steps += 9
        distance += 1
    x, y, z = middle.x + offset.x, middle.y + offset.y, middle.z + offset.z
    voxels = volume + x.to(INDEX) * stride[0] + y.to(INDEX) * stride[1] + z.to(INDEX) * stride[2]
    exist = (x < shape[0]) & (y < shape[1]) & (z < shape[2])
    tl.store(voxels, tl.load(voxels, mask=exist, other=0).to(T) + total, mask=exist)


@triton.jit
def _voxels_of_block(shape, BLOCK: tl.constexpr):
    """The middle voxel of this program's block, and where its voxels are from there."""
    program, lane = tl.program_id(0), tl.arange(0, BLOCK[0] * BLOCK[1] * BLOCK[2])
    along, across = tl.cdiv(shape[2], BLOCK[2]), tl.cdiv(shape[1], BLOCK[1])
    middle = Triple(
        program // (along * across) * BLOCK[0] + BLOCK[0] // 2,
        program // along % across * BLOCK[1] + BLOCK[1] // 2,
        program % along * BLOCK[2] + BLOCK[2] // 2,
    )
    offset = Triple(
        lane // (BLOCK[1] * BLOCK[2]) - BLOCK[0] // 2,
        lane // BLOCK[2] % BLOCK[1] - BLOCK[1] // 2,
        lane % BLOCK[2] - BLOCK[2] // 2,
    )
    return middle, offset


@triton.jit
def _projected(row, v: Triple):
    """One of a voxel's homogeneous coordinates, in integers."""
    return tl.load(row) * v.x + tl.load(row + 1) * v.y + tl.load(row + 2) * v.z + tl.load(row + 3)


@triton.jit
def _pixel_nearby(coordinate, depth, size, T: tl.constexpr):
    """A pixel in or next to the image that is near coordinate / depth; any will do behind the source."""
    ratio = coordinate.to(T) / tl.maximum(depth, 1).to(T)
    return tl.floor(tl.minimum(tl.maximum(ratio, -1), size)).to(tl.int32)


@triton.jit
def _step(row) -> Triple:
    return Triple(tl.load(row), tl.load(row + 1), tl.load(row + 2))


@triton.jit
def _relative(step: Triple, depth_step: Triple, pixel) -> Triple:
    """The steps of a coordinate that is counted from a pixel."""
    return Triple(step.x - pixel * depth_step.x, step.y - pixel * depth_step.y, step.z - pixel * depth_step.z)


@triton.jit
def _stepped(start, step: Triple, offset: Triple):
    return start + step.x * offset.x + step.y * offset.y + step.z * offset.z


@triton.jit
def _reading(position, origin, size) -> Reading:
    """Positions, counted from pixel `origin`, as pixels of an image with so many; those far outside as just outside."""
    position = tl.minimum(tl.maximum(position, -1 - origin), size - origin)
    floor = tl.floor(position)
    index = origin + floor.to(tl.int32)
    return Reading(index, position - floor, (index >= 0) & (index < size), (index >= -1) & (index < size - 1))
