"""Rays as lines over their main axis, in Triton: what the marches by slabs (Siddon, Joseph) share."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from raygrad.kernels._gpu.rays import Rays, Triple


class Line(NamedTuple):
    """A ray over x, the coordinate along its main axis m: u(x) = u0 + su x, v(x) = v0 + sv x, with u, v = m + 1, m + 2.

    x is measured from slab `origin` in the middle of the ray's way, u and v from voxels `u_base`, `v_base` that it is
    in there: single precision then goes where a ray leaves that middle, not into its distance from voxel 0.

    Attributes:
        axis: the main axis, 0, 1 or 2.
        start, step: the source along the main axis, measured as x, and the way to the target; `step` is never 0.
        step_u, step_v: the way to the target along u and v.
        per_u, per_v: x that the ray needs for one voxel of u or v, 0 where it does not move along it.
        first, last: x where the ray enters and leaves the slabs of the volume, or where it begins and ends.
        own_first, own_last: whether it is the ray's own end.
        slab0, slab1: the slabs [slab0, slab1) in which it can meet the volume; none for a ray that misses.
        size_u, size_v: voxels along u and v.
        stride, stride_u, stride_v: elements between neighbours along m, u and v.
        next_u, next_v: elements to the neighbour along u or v that the ray moves to.
    """

    axis: Any
    start: Any
    step: Any
    step_u: Any
    step_v: Any
    u0: Any
    su: Any
    per_u: Any
    v0: Any
    sv: Any
    per_v: Any
    first: Any
    last: Any
    own_first: Any
    own_last: Any
    origin: Any
    u_base: Any
    v_base: Any
    slab0: Any
    slab1: Any
    size_u: Any
    size_v: Any
    stride: Any
    stride_u: Any
    stride_v: Any
    next_u: Any
    next_v: Any


@triton.jit
def line_of(rays: Rays, shape, stride, REACH: tl.constexpr, INDEX: tl.constexpr) -> Line:
    """The lines of rays through a volume.

    REACH: how far beyond the volume's faces a voxel is still felt: 0, or 0.5 for interpolation.
    INDEX: the integer type in which places in memory are computed.
    """
    across, along, up = tl.abs(rays.step.x), tl.abs(rays.step.y), tl.abs(rays.step.z)
    axis = tl.where((across >= along) & (across >= up), 0, tl.where(along >= up, 1, 2))
    start = _main(axis, rays.start)
    step, step_u, step_v = _main(axis, rays.step), _next(axis, rays.step), _last(axis, rays.step)
    has_length = step != 0
    step = tl.where(has_length, step, 1)
    su, sv = step_u / step, step_v / step
    per_u, per_v = _inverse(su), _inverse(sv)
    sizes, strides = Triple(shape[0], shape[1], shape[2]), Triple(stride[0], stride[1], stride[2])
    size, size_u, size_v = _main(axis, sizes), _next(axis, sizes), _last(axis, sizes)

    # A ray of no length ends where it starts: [first, last] is empty.
    end = tl.where(has_length, _main(axis, rays.end), start)
    near_m, near_u, near_v = _main(axis, rays.near), _next(axis, rays.near), _last(axis, rays.near)
    own_first, own_last = tl.minimum(start, end) >= 0, tl.maximum(start, end) <= size
    first, last = tl.maximum(tl.minimum(start, end), 0), tl.minimum(tl.maximum(start, end), size)
    # Where the ray can meet the volume. A sample lies in the middle of its slab, which may be beyond the ray's own end.
    near = first if REACH == 0 else tl.floor(first)
    far = last if REACH == 0 else tl.ceil(last)
    base_u, base_v = near_u - near_m * su, near_v - near_m * sv
    near, far = _narrowed(base_u, per_u, -REACH, size_u + REACH, near, far)
    near, far = _narrowed(base_v, per_v, -REACH, size_v + REACH, near, far)
    hit = (far > near) & has_length
    # One slab too many reads zeros; one too few loses a face. The margin is above the rounding of base_u and base_v.
    margin = 1e-3 + 1e-6 * (tl.abs(near_m) + tl.abs(near_u) + tl.abs(near_v))
    slab0 = tl.where(hit, tl.maximum(tl.floor(near - margin), 0), 0).to(tl.int32)
    slab1 = tl.where(hit, tl.minimum(tl.ceil(far + margin), size), 0).to(tl.int32)

    origin = (slab0 + slab1) // 2
    to_origin = origin.to(start.dtype) - near_m
    at_u, at_v = tl.where(hit, near_u + su * to_origin, 0), tl.where(hit, near_v + sv * to_origin, 0)
    u_base, v_base = tl.floor(at_u), tl.floor(at_v)
    stride_u, stride_v = _next(axis, strides).to(INDEX), _last(axis, strides).to(INDEX)
    return Line(
        axis,
        start - origin,
        step,
        step_u,
        step_v,
        at_u - u_base,
        su,
        per_u,
        at_v - v_base,
        sv,
        per_v,
        first - origin,
        tl.where(hit, last, first) - origin,
        own_first & hit,
        own_last & hit,
        origin,
        u_base.to(tl.int32),
        v_base.to(tl.int32),
        slab0,
        slab1,
        size_u,
        size_v,
        _main(axis, strides).to(INDEX),
        stride_u,
        stride_v,
        tl.where(su > 0, stride_u, -stride_u),
        tl.where(sv > 0, stride_v, -stride_v),
    )


@triton.jit
def _inverse(slope):
    """1 / slope, or 0 for a ray that does not move across an axis."""
    return tl.where(slope != 0, 1 / tl.where(slope != 0, slope, 1.0), 0)


@triton.jit
def _narrowed(base, per, low, high, near, far):
    """[near, far] less where base + x / per lies outside [low, high]; with `per` 0 it stays at base."""
    moving = per != 0
    a, b = (low - base) * per, (high - base) * per
    inside = (base >= low) & (base < high)
    near_here = tl.where(moving, tl.maximum(near, tl.minimum(a, b)), near)
    far_here = tl.where(moving, tl.minimum(far, tl.maximum(a, b)), tl.where(inside, far, near - 1))
    return near_here, far_here


@triton.jit
def _main(axis, v: Triple):
    return tl.where(axis == 0, v.x, tl.where(axis == 1, v.y, v.z))


@triton.jit
def _next(axis, v: Triple):
    return tl.where(axis == 0, v.y, tl.where(axis == 1, v.z, v.x))


@triton.jit
def _last(axis, v: Triple):
    return tl.where(axis == 0, v.z, tl.where(axis == 1, v.x, v.y))


@triton.jit
def by_axes(line: Line, along, u, v) -> Triple:
    """Numbers for m, u and v as numbers for x, y and z."""
    axis = line.axis
    return Triple(
        tl.where(axis == 0, along, tl.where(axis == 1, v, u)),
        tl.where(axis == 0, u, tl.where(axis == 1, along, v)),
        tl.where(axis == 0, v, tl.where(axis == 1, u, along)),
    )


@triton.jit
def most_slabs(line: Line):
    """The number of slabs of the ray of a block that has most."""
    return tl.max(line.slab1 - line.slab0)


@triton.jit
def inside(index, size):
    """Whether 0 <= index < size, in one comparison: without its sign a negative index is a very large one."""
    return index.to(tl.uint32, bitcast=True) < size.to(tl.uint32, bitcast=True)
