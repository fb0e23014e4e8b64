"""Joseph's march in Triton: one bilinear sample in the middle of every slab of the main axis."""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from raygrad.kernels._gpu.lines import Line, inside, most_slabs


class SlabSample(NamedTuple):
    """Bilinear samples, in the middle of one slab of each ray.

    Attributes:
        x: where they are.
        share: how much of the slab the ray fills.
        weight_u, weight_v: of the voxels above the sample; those below have the rest to 1.
        place: of the voxel below in u and in v, in memory; the others follow at the line's strides.
        below_u, above_u, below_v, above_v: whether such voxels are in the volume, and the slab on the ray's way.
    """

    x: Any
    share: Any
    weight_u: Any
    weight_v: Any
    place: Any
    below_u: Any
    above_u: Any
    below_v: Any
    above_v: Any


@triton.jit
def sample_slab(line: Line, k) -> SlabSample:
    """Where rays are sampled in slab k of their main axes."""
    slab = (k - line.origin).to(line.u0.dtype)
    x = slab + 0.5
    share = tl.clamp(line.last - slab, 0.0, 1.0) - tl.clamp(line.first - slab, 0.0, 1.0)
    at_u, at_v = (line.u0 - 0.5) + line.su * x, (line.v0 - 0.5) + line.sv * x
    floor_u, floor_v = tl.floor(at_u).to(tl.int32), tl.floor(at_v).to(tl.int32)
    u, v = line.u_base + floor_u, line.v_base + floor_v
    on_way = share > 0
    return SlabSample(
        x,
        share,
        at_u - floor_u.to(at_u.dtype),
        at_v - floor_v.to(at_v.dtype),
        k * line.stride + u * line.stride_u + v * line.stride_v,
        inside(u, line.size_u) & on_way,
        inside(u + 1, line.size_u) & on_way,
        inside(v, line.size_v),
        inside(v + 1, line.size_v),
    )


@triton.jit
def read_sample(volume, line: Line, s: SlabSample, T: tl.constexpr):
    """The values of samples, and their slopes along u and v; the volume is 0 outside."""
    here = volume + s.place
    f00 = tl.load(here, mask=s.below_u & s.below_v, other=0).to(T)
    f01 = tl.load(here + line.stride_v, mask=s.below_u & s.above_v, other=0).to(T)
    f10 = tl.load(here + line.stride_u, mask=s.above_u & s.below_v, other=0).to(T)
    f11 = tl.load(here + line.stride_u + line.stride_v, mask=s.above_u & s.above_v, other=0).to(T)
    below, above = f00 + s.weight_v * (f01 - f00), f10 + s.weight_v * (f11 - f10)
    slope_v = (f01 - f00) + s.weight_u * ((f11 - f10) - (f01 - f00))
    return below + s.weight_u * (above - below), above - below, slope_v


@triton.jit
def sum_samples(volume, line: Line, SPLITS: tl.constexpr, DERIVATIVES: tl.constexpr, T: tl.constexpr):
    """Sums along rays, in SPLITS parts each: the values over x, and the slopes along u and v, plain and by x."""
    split = tl.arange(0, SPLITS)[None, :]
    value = tl.zeros([line.u0.shape[0], SPLITS], T)
    u, ux, v, vx = value, value, value, value
    # Carried along: computed from a counter it would pass through shared memory on its way to each thread.
    k = line.slab0 + split
    for _ in range(0, tl.cdiv(most_slabs(line), SPLITS)):
        s = sample_slab(line, k)
        f, slope_u, slope_v = read_sample(volume, line, s, T)
        value += s.share * f
        if DERIVATIVES:
            slope_u, slope_v = s.share * slope_u, s.share * slope_v
            u += slope_u
            ux += slope_u * s.x
            v += slope_v
            vx += slope_v * s.x
        k += SPLITS
    return value, u, ux, v, vx


@triton.jit
def nearest_voxel(line: Line, s: SlabSample, k):
    """The places of the voxels of slab k that are nearest to samples."""
    u = line.u_base + tl.floor(line.u0 + line.su * s.x).to(tl.int32)
    v = line.v_base + tl.floor(line.v0 + line.sv * s.x).to(tl.int32)
    u, v = tl.minimum(tl.maximum(u, 0), line.size_u - 1), tl.minimum(tl.maximum(v, 0), line.size_v - 1)
    return k * line.stride + u * line.stride_u + v * line.stride_v


@triton.jit
def largest_sample(volume, line: Line, T: tl.constexpr):
    """The largest sample of each ray, or 0; its slopes along u and v, and its slab (-1 where nothing is above 0)."""
    best = tl.zeros(line.u0.shape, T)
    at_u, at_v, slab = best, best, best.to(tl.int32) - 1
    for i in range(0, most_slabs(line)):
        k = line.slab0 + i
        s = sample_slab(line, k)
        f, slope_u, slope_v = read_sample(volume, line, s, T)
        better = (s.share > 0) & ((f > best) | (f != f))
        best, slab = tl.where(better, f, best), tl.where(better, k, slab)
        at_u, at_v = tl.where(better, slope_u, at_u), tl.where(better, slope_v, at_v)
    return best, at_u, at_v, slab
