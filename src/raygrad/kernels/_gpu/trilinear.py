"""The trilinear march in Triton: samples in the middles of equal steps, where a ray's values can differ from 0."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from raygrad.kernels._gpu.lines import inside
from raygrad.kernels._gpu.rays import Rays, Triple


class Points(NamedTuple):
    """Samples of rays: number i of n lies at the fraction first + (i + 1/2) width of the way from source to target.

    Attributes:
        first, last: the part of the ray that can differ from 0, as fractions; both 0 for a ray that misses.
        width: (last - first) / n.
        first_face, last_face: the axis of the volume's face that `first` and `last` lie on, -1 for the ray's own end.
        base, move: the coordinates of sample i are base + (i + 1/2) move.
        size: voxels along each axis.
        stride: elements between neighbours.
        hit: whether the ray meets the volume.
    """

    first: Any
    last: Any
    width: Any
    first_face: Any
    last_face: Any
    base: Triple
    move: Triple
    size: Triple
    stride: Triple
    hit: Any


class PointSample(NamedTuple):
    """One trilinear sample of each ray.

    Attributes:
        fraction: of the way from source to target.
        weight: of the voxels above it along each axis; those below have the rest to 1.
        place: of the voxel below along all axes, in memory.
        below, above: whether voxels below and above the sample along each axis are in the volume.
    """

    fraction: Any
    weight: Triple
    place: Any
    below: Triple
    above: Triple


@triton.jit
def points_of(rays: Rays, shape, stride, n_points, INDEX: tl.constexpr) -> Points:
    """The samples of rays through a volume."""
    size = Triple(_integer(shape[0], tl.int32), _integer(shape[1], tl.int32), _integer(shape[2], tl.int32))
    first, last = -rays.at_near, 1 - rays.at_near
    face = (rays.length * 0).to(tl.int32) - 1
    first, last, first_face, last_face = _narrowed(rays.near.x, rays.step.x, size.x, first, last, face, face, 0)
    first, last, first_face, last_face = _narrowed(
        rays.near.y, rays.step.y, size.y, first, last, first_face, last_face, 1
    )
    first, last, first_face, last_face = _narrowed(
        rays.near.z, rays.step.z, size.z, first, last, first_face, last_face, 2
    )
    hit = (last > first) & (rays.length > 0)
    first, last = tl.where(hit, first, 0), tl.where(hit, last, 0)
    width = (last - first) / n_points
    start, step = rays.near, rays.step
    return Points(
        rays.at_near + first,
        rays.at_near + last,
        width,
        first_face,
        last_face,
        Triple(start.x + first * step.x, start.y + first * step.y, start.z + first * step.z),
        Triple(width * step.x, width * step.y, width * step.z),
        size,
        Triple(_integer(stride[0], INDEX), _integer(stride[1], INDEX), _integer(stride[2], INDEX)),
        hit,
    )


@triton.jit
def _narrowed(start, step, size, first, last, first_face, last_face, AXIS: tl.constexpr):
    """[first, last] less where start + fraction step is more than a voxel beyond the outermost centres of an axis."""
    moving = step != 0
    safe = tl.where(moving, step, 1.0)
    low, high = (-0.5 - start) / safe, (size + 0.5 - start) / safe
    enter, leave = tl.minimum(low, high), tl.maximum(low, high)
    entered, left = moving & (enter > first), moving & (leave < last)
    beside = (moving == 0) & ((start < -0.5) | (start >= size + 0.5))
    return (
        tl.where(entered, enter, first),
        tl.where(beside, first - 1, tl.where(left, leave, last)),
        tl.where(entered, AXIS, first_face),
        tl.where(left, AXIS, last_face),
    )


@triton.jit
def _integer(value, INDEX: tl.constexpr):
    return tl.full([1, 1], value, INDEX)


@triton.jit
def sample_point(points: Points, i) -> PointSample:
    """Sample i of each ray."""
    middle = i.to(points.width.dtype) + 0.5
    x, weight_x, below_x, above_x = _between(points.base.x - 0.5, points.move.x * middle, points.size.x)
    y, weight_y, below_y, above_y = _between(points.base.y - 0.5, points.move.y * middle, points.size.y)
    z, weight_z, below_z, above_z = _between(points.base.z - 0.5, points.move.z * middle, points.size.z)
    return PointSample(
        points.first + middle * points.width,
        Triple(weight_x, weight_y, weight_z),
        x * points.stride.x + y * points.stride.y + z * points.stride.z,
        Triple(below_x & points.hit, below_y, below_z),
        Triple(above_x & points.hit, above_y, above_z),
    )


@triton.jit
def _between(start, way, size):
    """The voxel whose centre is below start + way, the weight of the one above, and whether each is in the volume."""
    at = start + way
    index = tl.floor(at).to(tl.int32)
    return index, at - index.to(at.dtype), inside(index, size), inside(index + 1, size)


@triton.jit
def read_point(volume, points: Points, s: PointSample, T: tl.constexpr):
    """The values of samples and their gradients; the volume is 0 outside."""
    low, slope_x_low, slope_y_low = _read_plane(volume + s.place, points, s, s.below.z, T)
    high, slope_x_high, slope_y_high = _read_plane(volume + s.place + points.stride.z, points, s, s.above.z, T)
    return low + s.weight.z * (high - low), Triple(
        slope_x_low + s.weight.z * (slope_x_high - slope_x_low),
        slope_y_low + s.weight.z * (slope_y_high - slope_y_low),
        high - low,
    )


@triton.jit
def _read_plane(here, points: Points, s: PointSample, in_plane, T: tl.constexpr):
    """Bilinear in x and y, with the slopes."""
    f00 = tl.load(here, mask=s.below.x & s.below.y & in_plane, other=0).to(T)
    f10 = tl.load(here + points.stride.x, mask=s.above.x & s.below.y & in_plane, other=0).to(T)
    f01 = tl.load(here + points.stride.y, mask=s.below.x & s.above.y & in_plane, other=0).to(T)
    f11 = tl.load(here + points.stride.x + points.stride.y, mask=s.above.x & s.above.y & in_plane, other=0).to(T)
    low, high = f00 + s.weight.x * (f10 - f00), f01 + s.weight.x * (f11 - f01)
    slope_x = (f10 - f00) + s.weight.y * ((f11 - f01) - (f10 - f00))
    return low + s.weight.y * (high - low), slope_x, high - low


@triton.jit
def nearest_voxel_of_point(points: Points, i):
    """The places of the voxels nearest to sample i of each ray."""
    middle = i.to(points.width.dtype) + 0.5
    return (
        _nearest(points.base.x + points.move.x * middle, points.size.x) * points.stride.x
        + _nearest(points.base.y + points.move.y * middle, points.size.y) * points.stride.y
        + _nearest(points.base.z + points.move.z * middle, points.size.z) * points.stride.z
    )


@triton.jit
def _nearest(coordinate, size):
    index = tl.floor(coordinate).to(tl.int32)
    return tl.minimum(tl.maximum(index, 0), size - 1)


@triton.jit
def sum_points(volume, points: Points, n_points, SPLITS: tl.constexpr, DERIVATIVES: tl.constexpr, T: tl.constexpr):
    """Sums along rays, in SPLITS parts each: of the values and their gradients, plain and by the samples' fractions."""
    split = tl.arange(0, SPLITS)[None, :]
    value = tl.zeros([points.first.shape[0], SPLITS], T)
    gx, gy, gz, gax, gay, gaz = value, value, value, value, value, value
    for start in range(0, n_points, SPLITS):
        i = start + split
        s = sample_point(points, i)
        f, gradient = read_point(volume, points, s, T)
        counts = i < n_points
        value += tl.where(counts, f, 0)
        if DERIVATIVES:
            fraction = tl.where(counts, s.fraction, 0)
            gx += tl.where(counts, gradient.x, 0)
            gy += tl.where(counts, gradient.y, 0)
            gz += tl.where(counts, gradient.z, 0)
            gax += gradient.x * fraction
            gay += gradient.y * fraction
            gaz += gradient.z * fraction
    return value, gx, gy, gz, gax, gay, gaz


@triton.jit
def largest_point(volume, points: Points, n_points, T: tl.constexpr):
    """The largest of the samples of rays, or 0, its gradient, and its number (-1 where nothing is above 0)."""
    best = tl.zeros(points.first.shape, T)
    gx, gy, gz, number = best, best, best, best.to(tl.int32) - 1
    for i in range(0, n_points):
        s = sample_point(points, number * 0 + i)
        f, gradient = read_point(volume, points, s, T)
        better = (f > best) | (f != f)
        best, number = tl.where(better, f, best), tl.where(better, i, number)
        gx, gy = tl.where(better, gradient.x, gx), tl.where(better, gradient.y, gy)
        gz = tl.where(better, gradient.z, gz)
    return best, gx, gy, gz, number
