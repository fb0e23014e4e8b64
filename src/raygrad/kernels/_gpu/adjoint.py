"""The adjoint kernels in Triton: what each ray leaves in the voxels that it reads.

Rays meet in voxels in an order that no one knows, and floating-point sums depend on it. With a `scale`
amounts are counted in units of 1 / scale, in integers, whose sum is the same in every order.
"""

import triton
import triton.language as tl

from raygrad.kernels._gpu import joseph, siddon, trilinear
from raygrad.kernels._gpu.lines import Line, line_of, most_slabs
from raygrad.kernels._gpu.rays import Triple, load_rays, pixels_of_block


@triton.jit
def scatter(
    gradient,
    scale,
    cotangent,
    labels,
    shape,
    stride,
    batch_stride,
    rays,
    world_to_voxel,
    height,
    width,
    n_points,
    n_channels,
    RENDERER: tl.constexpr,
    CAMERAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DOWN: tl.constexpr,
    SPLITS: tl.constexpr,
    INDEX: tl.constexpr,
    T: tl.constexpr,
):
    """Add to `gradient` each ray's `cotangent` (batch, channel, ray) times each voxel's weight in its line integral.

    `labels`, unless None, has the strides of the volume. `scale` is None, or the number of units in 1 (then
    `gradient` is int64).
    """
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, DOWN)
    gradient += pixels.batch * batch_stride
    ends = load_rays(rays, world_to_voxel, pixels, shape, CAMERAS, T)
    count = height * width
    cotangent += pixels.batch * n_channels * count + pixels.ray
    split = tl.arange(0, SPLITS)[None, :]
    if RENDERER == "trilinear":
        points = trilinear.points_of(ends, shape, stride, n_points, INDEX)
        here = pixels.exist & points.hit
        weight = ends.length * points.width * _cotangent(cotangent, here, T)
        for start in range(0, n_points, SPLITS):
            i = start + split
            s = trilinear.sample_point(points, i)
            counts = here & (i < n_points)
            amount = weight
            if labels is not None:
                of_label, counts = _cotangent_of_label(
                    cotangent, labels, trilinear.nearest_voxel_of_point(points, i), counts, n_channels, count, T
                )
                amount = ends.length * points.width * of_label
            _scatter_point(gradient, scale, points, s, amount, counts)
    else:
        line = line_of(ends, shape, stride, 0.5 if RENDERER == "joseph" else 0.0, INDEX)
        per_x = ends.length / tl.abs(line.step)
        weight = per_x * _cotangent(cotangent, pixels.exist, T)
        k = line.slab0 + split
        for _ in range(0, tl.cdiv(most_slabs(line), SPLITS)):
            if RENDERER == "joseph":
                s = joseph.sample_slab(line, k)
                counts = pixels.exist & (s.share > 0)
                amount = weight
                if labels is not None:
                    of_label, counts = _cotangent_of_label(
                        cotangent, labels, joseph.nearest_voxel(line, s, k), counts, n_channels, count, T
                    )
                    amount = per_x * of_label
                _scatter_sample(gradient, scale, line, s, s.share * amount, counts)
            else:
                s = siddon.cross_slab(line, k)
                before, between, after = s.first - s.x0, s.second - s.first, s.x1 - s.second
                in_before, in_between = s.in_before & pixels.exist, s.in_between & pixels.exist
                in_after = s.in_after & pixels.exist
                if labels is None:
                    before, between, after = before * weight, between * weight, after * weight
                else:
                    b, in_before = _cotangent_of_label(cotangent, labels, s.before, in_before, n_channels, count, T)
                    m, in_between = _cotangent_of_label(cotangent, labels, s.between, in_between, n_channels, count, T)
                    a, in_after = _cotangent_of_label(cotangent, labels, s.after, in_after, n_channels, count, T)
                    before, between, after = before * per_x * b, between * per_x * m, after * per_x * a
                _add(gradient + s.before, scale, before, in_before)
                _add(gradient + s.between, scale, between, in_between)
                _add(gradient + s.after, scale, after, in_after)
            k += SPLITS


@triton.jit
def scatter_maximum(
    gradient,
    scale,
    cotangent,
    volume,
    shape,
    stride,
    batch_stride,
    rays,
    world_to_voxel,
    height,
    width,
    n_points,
    RENDERER: tl.constexpr,
    CAMERAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DOWN: tl.constexpr,
    INDEX: tl.constexpr,
    T: tl.constexpr,
):
    """The same for the largest values on rays: each cotangent goes to where that value was read."""
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, DOWN)
    gradient += pixels.batch * batch_stride
    volume += pixels.batch * batch_stride
    ends = load_rays(rays, world_to_voxel, pixels, shape, CAMERAS, T)
    amount = _cotangent(cotangent + pixels.batch * height * width + pixels.ray, pixels.exist, T)
    if RENDERER == "trilinear":
        points = trilinear.points_of(ends, shape, stride, n_points, INDEX)
        _, _, _, _, number = trilinear.largest_point(volume, points, n_points, T)
        s = trilinear.sample_point(points, number)
        _scatter_point(gradient, scale, points, s, amount, pixels.exist & (number >= 0))
    elif RENDERER == "joseph":
        line = line_of(ends, shape, stride, 0.5, INDEX)
        _, _, _, slab = joseph.largest_sample(volume, line, T)
        s = joseph.sample_slab(line, slab)
        _scatter_sample(gradient, scale, line, s, amount, pixels.exist & (slab >= 0))
    else:
        line = line_of(ends, shape, stride, 0.0, INDEX)
        _, place, found = siddon.largest_voxel(volume, line, T)
        _add(gradient + place, scale, amount, pixels.exist & found)


@triton.jit
def _cotangent(pointer, mask, T: tl.constexpr):
    return tl.load(pointer, mask=mask, other=0).to(T)


@triton.jit
def _cotangent_of_label(cotangent, labels, place, mask, n_channels, count, T: tl.constexpr):
    """The cotangents of the voxels' labels; a label that has no channel counts nowhere."""
    label = tl.load(labels + place, mask=mask, other=0)
    mask = mask & (label >= 0) & (label < n_channels)
    return _cotangent(cotangent + label.to(tl.int64) * count, mask, T), mask


@triton.jit
def _scatter_sample(gradient, scale, line: Line, s: joseph.SlabSample, amount, mask):
    here = gradient + s.place
    below, above = amount * (1 - s.weight_u), amount * s.weight_u
    _add(here, scale, below * (1 - s.weight_v), mask & s.below_u & s.below_v)
    _add(here + line.stride_v, scale, below * s.weight_v, mask & s.below_u & s.above_v)
    _add(here + line.stride_u, scale, above * (1 - s.weight_v), mask & s.above_u & s.below_v)
    _add(here + line.stride_u + line.stride_v, scale, above * s.weight_v, mask & s.above_u & s.above_v)


@triton.jit
def _scatter_point(gradient, scale, points: trilinear.Points, s: trilinear.PointSample, amount, mask):
    here = gradient + s.place
    _scatter_plane(here, scale, points.stride, s, amount * (1 - s.weight.z), mask & s.below.z)
    _scatter_plane(here + points.stride.z, scale, points.stride, s, amount * s.weight.z, mask & s.above.z)


@triton.jit
def _scatter_plane(here, scale, stride: Triple, s: trilinear.PointSample, amount, mask):
    below, above = amount * (1 - s.weight.y), amount * s.weight.y
    _add(here, scale, below * (1 - s.weight.x), mask & s.below.y & s.below.x)
    _add(here + stride.x, scale, below * s.weight.x, mask & s.below.y & s.above.x)
    _add(here + stride.y, scale, above * (1 - s.weight.x), mask & s.above.y & s.below.x)
    _add(here + stride.x + stride.y, scale, above * s.weight.x, mask & s.above.y & s.above.x)


@triton.jit
def _add(pointer, scale, amount, mask):
    if scale is not None:
        units = amount * tl.load(scale)
        rounded = tl.floor(units + 0.5).to(tl.int64)
        tl.atomic_add(pointer, rounded, mask=mask & (amount != 0), sem="relaxed")
    else:
        tl.atomic_add(pointer, amount, mask=mask & (amount != 0), sem="relaxed")
