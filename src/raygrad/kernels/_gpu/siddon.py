"""Siddon's march in Triton: exact for voxels of constant value.

Within slab k of the main axis a ray crosses at most one plane across u and one across v, so it meets at most three
voxels: before the first crossing, between the two, after the second. All of it has a closed form in k: no step waits
for the one before, and any share of a ray's slabs can be summed by itself.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from raygrad.kernels._gpu.lines import Line, inside, most_slabs


class Slab(NamedTuple):
    """What rays meet in one slab.

    Attributes:
        x0, first, second, x1: where the three voxels' parts begin and end.
        before, between, after: places of the three voxels in memory.
        in_before, in_between, in_after: whether the ray meets them, and they are voxels of the volume.
        crosses, crosses_both: whether the ray leaves its column of voxels, and whether it does so twice.
        x_u, x_v: the crossings of u and v; x1 where there is none.
        u_first: whether that of u comes first.
    """

    x0: Any
    first: Any
    second: Any
    x1: Any
    before: Any
    between: Any
    after: Any
    in_before: Any
    in_between: Any
    in_after: Any
    crosses: Any
    crosses_both: Any
    x_u: Any
    x_v: Any
    u_first: Any


@triton.jit
def cross_slab(line: Line, k) -> Slab:
    """The way of rays through slab k of their main axes."""
    x = (k - line.origin).to(line.u0.dtype)
    # [0, 1] is a range that a GPU's additions keep to for nothing.
    x0 = x + tl.clamp(line.first - x, 0.0, 1.0)
    x1 = x + tl.clamp(line.last - x, 0.0, 1.0)
    u0, v0 = line.u0 + line.su * x0, line.v0 + line.sv * x0
    u_before, v_before = tl.floor(u0).to(tl.int32), tl.floor(v0).to(tl.int32)
    u_after, v_after = tl.floor(line.u0 + line.su * x1).to(tl.int32), tl.floor(line.v0 + line.sv * x1).to(tl.int32)
    crosses_u, crosses_v = u_before != u_after, v_before != v_after
    # The slab's end is where the next one begins, to the last bit: each plane is crossed once, in one of them.
    to_u = tl.maximum(u_before, u_after).to(u0.dtype) - u0
    to_v = tl.maximum(v_before, v_after).to(v0.dtype) - v0
    x_u = tl.where(crosses_u, tl.minimum(x0 + to_u * line.per_u, x1), x1)
    x_v = tl.where(crosses_v, tl.minimum(x0 + to_v * line.per_v, x1), x1)
    u_first = crosses_u & (x_u <= x_v)

    on_way = x1 > x0
    before_u, after_u = line.u_base + u_before, line.u_base + u_after
    before_v, after_v = line.v_base + v_before, line.v_base + v_after
    in_u_before, in_u_after = inside(before_u, line.size_u), inside(after_u, line.size_u)
    in_v_before, in_v_after = inside(before_v, line.size_v) & on_way, inside(after_v, line.size_v) & on_way
    crosses, crosses_both = crosses_u | crosses_v, crosses_u & crosses_v
    place = k * line.stride + before_u * line.stride_u + before_v * line.stride_v
    return Slab(
        x0,
        tl.minimum(x_u, x_v),
        tl.maximum(x_u, x_v),
        x1,
        place,
        place + tl.where(u_first, line.next_u, line.next_v),
        place + (line.next_u + line.next_v),
        in_u_before & in_v_before,
        tl.where(u_first, in_u_after & in_v_before, in_u_before & in_v_after) & crosses,
        in_u_after & in_v_after & crosses_both,
        crosses,
        crosses_both,
        x_u,
        x_v,
        u_first,
    )


@triton.jit
def read_slab(volume, slab: Slab, T: tl.constexpr):
    """The values of the three voxels, 0 for those that are not met."""
    return (
        tl.load(volume + slab.before, mask=slab.in_before, other=0).to(T),
        tl.load(volume + slab.between, mask=slab.in_between, other=0).to(T),
        tl.load(volume + slab.after, mask=slab.in_after, other=0).to(T),
    )


@triton.jit
def sum_slabs(volume, line: Line, SPLITS: tl.constexpr, DERIVATIVES: tl.constexpr, T: tl.constexpr):
    """Sums along rays, in SPLITS parts each: values over x, and jumps at planes across u and v, plain and by x."""
    split = tl.arange(0, SPLITS)[None, :]
    value = tl.zeros([line.u0.shape[0], SPLITS], T)
    u, ux, v, vx = value, value, value, value
    # Carried along: computed from a counter it would pass through shared memory on its way to each thread.
    k = line.slab0 + split
    for _ in range(0, tl.cdiv(most_slabs(line), SPLITS)):
        slab = cross_slab(line, k)
        before, between, after = read_slab(volume, slab, T)
        value += (slab.first - slab.x0) * before
        value += (slab.second - slab.first) * between + (slab.x1 - slab.second) * after
        if DERIVATIVES:
            between = tl.where(slab.crosses, between, before)
            after = tl.where(slab.crosses_both, after, between)
            jump_u = tl.where(slab.u_first, between - before, after - between)
            jump_v = tl.where(slab.u_first, after - between, between - before)
            u += jump_u
            ux += jump_u * slab.x_u
            v += jump_v
            vx += jump_v * slab.x_v
        k += SPLITS
    return value, u, ux, v, vx


@triton.jit
def value_at(volume, line: Line, x, k, condition, T: tl.constexpr):
    """The voxels of slabs k (from the origins) that lines are in at x, 0 outside the volume, and their places."""
    u = line.u_base + tl.floor(line.u0 + line.su * x).to(tl.int32)
    v = line.v_base + tl.floor(line.v0 + line.sv * x).to(tl.int32)
    met = condition & inside(u, line.size_u) & inside(v, line.size_v)
    place = (k.to(tl.int32) + line.origin) * line.stride + u * line.stride_u + v * line.stride_v
    return tl.load(volume + place, mask=met, other=0).to(T), place, met


@triton.jit
def largest_voxel(volume, line: Line, T: tl.constexpr):
    """The largest of the voxels that rays cross, or 0, and its place; `found` where it is larger than 0."""
    best = tl.zeros(line.u0.shape, T)
    place = (best * 0).to(line.stride.dtype)
    found = best != 0
    for i in range(0, most_slabs(line)):
        slab = cross_slab(line, line.slab0 + i)
        before, between, after = read_slab(volume, slab, T)
        met = slab.in_before & (slab.first > slab.x0)
        best, place, found = _larger(best, place, found, before, slab.before, met)
        met = slab.in_between & (slab.second > slab.first)
        best, place, found = _larger(best, place, found, between, slab.between, met)
        met = slab.in_after & (slab.x1 > slab.second)
        best, place, found = _larger(best, place, found, after, slab.after, met)
    return best, place, found


@triton.jit
def _larger(best, place, found, value, here, met):
    better = met & ((value > best) | (value != value))
    return tl.where(better, value, best), tl.where(better, here, place), found | better
