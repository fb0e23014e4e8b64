"""The forward kernels in Triton: line integrals or maxima of rays, with derivatives, by label."""

import triton
import triton.language as tl

from raygrad.kernels._gpu import joseph, siddon, trilinear
from raygrad.kernels._gpu.lines import Line, line_of, most_slabs
from raygrad.kernels._gpu.rays import load_rays, pixels_of_block
from raygrad.kernels._gpu.totals import Result, finish_line, finish_line_maximum, finish_points


@triton.jit
def march(
    image,
    jacobian,
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
    MAXIMUM: tl.constexpr,
    CAMERAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DOWN: tl.constexpr,
    SPLITS: tl.constexpr,
    INDEX: tl.constexpr,
    T: tl.constexpr,
):
    """Images (batch, 1, ray), and their derivatives (batch, 1, ray, 6) unless `jacobian` is None.

    A program serves ROWS x COLUMNS pixels, each ray in SPLITS parts that are added in a fixed order.
    """
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, DOWN)
    volume += pixels.batch * batch_stride
    ends = load_rays(rays, world_to_voxel, pixels, shape, CAMERAS, T)
    DERIVATIVES: tl.constexpr = jacobian is not None
    if RENDERER == "trilinear":
        points = trilinear.points_of(ends, shape, stride, n_points, INDEX)
        if MAXIMUM:
            value, gx, gy, gz, number = trilinear.largest_point(volume, points, n_points, T)
            fraction = points.first + (number.to(T) + 0.5) * points.width
            sums = value, gx, gy, gz, gx * fraction, gy * fraction, gz * fraction
        else:
            sums = _folded7(trilinear.sum_points(volume, points, n_points, SPLITS, DERIVATIVES, T))
        result = finish_points(ends, points, sums, world_to_voxel, n_points, MAXIMUM, T)
    elif RENDERER == "joseph":
        line = line_of(ends, shape, stride, 0.5, INDEX)
        if MAXIMUM:
            value, u, v, slab = joseph.largest_sample(volume, line, T)
            x = (slab - line.origin).to(T) + 0.5
            result = finish_line_maximum(ends, line, value, x, u, v, world_to_voxel, T)
        else:
            sums = _folded5(joseph.sum_samples(volume, line, SPLITS, DERIVATIVES, T))
            at_first, at_last = sums[0] * 0, sums[0] * 0
            if DERIVATIVES:
                at_first, at_last = _samples_at_own_ends(volume, line, T)
            result = finish_line(ends, line, sums, at_first, at_last, world_to_voxel, False, T)
    else:
        line = line_of(ends, shape, stride, 0.0, INDEX)
        if MAXIMUM:
            value, place, found = siddon.largest_voxel(volume, line, T)
            result = finish_line_maximum(ends, line, value, value * 0, value * 0, value * 0, world_to_voxel, T)
        else:
            sums = _folded5(siddon.sum_slabs(volume, line, SPLITS, DERIVATIVES, T))
            at_first, at_last = sums[0] * 0, sums[0] * 0
            if DERIVATIVES:
                at_first, at_last = _voxels_at_own_ends(volume, line, T)
            result = finish_line(ends, line, sums, at_first, at_last, world_to_voxel, True, T)
    _store(image, jacobian, result, pixels.batch * height * width + pixels.ray, pixels.exist, DERIVATIVES)


@triton.jit
def sum_by_label(
    totals,
    volume,
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
    DERIVATIVES: tl.constexpr,
    CAMERAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DOWN: tl.constexpr,
    INDEX: tl.constexpr,
    T: tl.constexpr,
):
    """Add each ray's sums to `totals` (batch, channel, sum, ray), zeros before, in the channel of each voxel's label.

    `labels` has the strides of the volume. A ray's parts are added one after the other: the order never changes.
    """
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, DOWN)
    volume += pixels.batch * batch_stride
    ends = load_rays(rays, world_to_voxel, pixels, shape, CAMERAS, T)
    count = height * width
    SUMS: tl.constexpr = (7 if RENDERER == "trilinear" else 5) if DERIVATIVES else 1
    totals += pixels.batch * n_channels * SUMS * count + pixels.ray
    if RENDERER == "trilinear":
        points = trilinear.points_of(ends, shape, stride, n_points, INDEX)
        for i in range(0, n_points):
            number = points.first_face * 0 + i
            s = trilinear.sample_point(points, number)
            f, g = trilinear.read_point(volume, points, s, T)
            here = pixels.exist & points.hit
            own, here = _channel(
                totals, labels, trilinear.nearest_voxel_of_point(points, number), here, n_channels, SUMS, count
            )
            _add(own, f, here)
            if DERIVATIVES:
                _add(own + count, g.x, here)
                _add(own + 2 * count, g.y, here)
                _add(own + 3 * count, g.z, here)
                _add(own + 4 * count, g.x * s.fraction, here)
                _add(own + 5 * count, g.y * s.fraction, here)
                _add(own + 6 * count, g.z * s.fraction, here)
    elif RENDERER == "joseph":
        line = line_of(ends, shape, stride, 0.5, INDEX)
        for i in range(0, most_slabs(line)):
            k = line.slab0 + i
            s = joseph.sample_slab(line, k)
            f, u, v = joseph.read_sample(volume, line, s, T)
            here = pixels.exist & (s.share > 0)
            own, here = _channel(totals, labels, joseph.nearest_voxel(line, s, k), here, n_channels, SUMS, count)
            _add(own, s.share * f, here)
            if DERIVATIVES:
                _add(own + count, s.share * u, here)
                _add(own + 2 * count, s.share * u * s.x, here)
                _add(own + 3 * count, s.share * v, here)
                _add(own + 4 * count, s.share * v * s.x, here)
    else:
        line = line_of(ends, shape, stride, 0.0, INDEX)
        for i in range(0, most_slabs(line)):
            s = siddon.cross_slab(line, line.slab0 + i)
            f0, f1, f2 = siddon.read_slab(volume, s, T)
            in0, in1, in2 = s.in_before & pixels.exist, s.in_between & pixels.exist, s.in_after & pixels.exist
            own0, in0 = _channel(totals, labels, s.before, in0, n_channels, SUMS, count)
            own1, in1 = _channel(totals, labels, s.between, in1, n_channels, SUMS, count)
            own2, in2 = _channel(totals, labels, s.after, in2, n_channels, SUMS, count)
            _add(own0, (s.first - s.x0) * f0, in0)
            _add(own1, (s.second - s.first) * f1, in1 & s.crosses)
            _add(own2, (s.x1 - s.second) * f2, in2 & s.crosses_both)
            if DERIVATIVES:  # each plane is the end of one label's values and the beginning of another's
                crosses_v_first = s.crosses & (s.u_first == 0)
                u_second, v_second = s.crosses_both & crosses_v_first, s.crosses_both & s.u_first
                _add_jump(own0, own1, f0, f1, s.first, in0 & s.u_first, in1 & s.u_first, 1, count)
                _add_jump(own0, own1, f0, f1, s.first, in0 & crosses_v_first, in1 & crosses_v_first, 3, count)
                _add_jump(own1, own2, f1, f2, s.second, in1 & u_second, in2 & u_second, 1, count)
                _add_jump(own1, own2, f1, f2, s.second, in1 & v_second, in2 & v_second, 3, count)


@triton.jit
def finish_by_label(
    image,
    jacobian,
    totals,
    volume,
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
    INDEX: tl.constexpr,
    T: tl.constexpr,
):
    """Images (batch, channel, ray) and derivatives (batch, channel, ray, 6) from the totals of `sum_by_label`."""
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, DOWN)
    volume += pixels.batch * batch_stride
    ends = load_rays(rays, world_to_voxel, pixels, shape, CAMERAS, T)
    count = height * width
    DERIVATIVES: tl.constexpr = jacobian is not None
    SUMS: tl.constexpr = (7 if RENDERER == "trilinear" else 5) if DERIVATIVES else 1
    for channel in range(0, n_channels):
        own = totals + (pixels.batch * n_channels + channel) * SUMS * count + pixels.ray
        if RENDERER == "trilinear":
            points = trilinear.points_of(ends, shape, stride, n_points, INDEX)
            sums = _load7(own, count, pixels.exist, DERIVATIVES)
            result = finish_points(ends, points, sums, world_to_voxel, n_points, False, T)
        else:
            line = line_of(ends, shape, stride, 0.5 if RENDERER == "joseph" else 0.0, INDEX)
            sums = _load5(own, count, pixels.exist, DERIVATIVES)
            at_first, at_last = sums[0] * 0, sums[0] * 0
            if DERIVATIVES:
                if RENDERER == "joseph":
                    at_first, at_last = _samples_at_own_ends_of_label(volume, labels, line, channel, T)
                else:
                    at_first, at_last = _voxels_at_own_ends_of_label(volume, labels, line, channel, T)
            result = finish_line(ends, line, sums, at_first, at_last, world_to_voxel, RENDERER == "siddon", T)
        place = (pixels.batch * n_channels + channel) * count + pixels.ray
        _store(image, jacobian, result, place, pixels.exist, DERIVATIVES)


@triton.jit
def _store(image, jacobian, result: Result, place, exist, DERIVATIVES: tl.constexpr):
    tl.store(image + place, result.value, mask=exist)
    if DERIVATIVES:
        own = jacobian + place * 6
        tl.store(own, result.by_source.x, mask=exist)
        tl.store(own + 1, result.by_source.y, mask=exist)
        tl.store(own + 2, result.by_source.z, mask=exist)
        tl.store(own + 3, result.by_target.x, mask=exist)
        tl.store(own + 4, result.by_target.y, mask=exist)
        tl.store(own + 5, result.by_target.z, mask=exist)


@triton.jit
def _folded(part):
    return tl.sum(part, axis=1, keep_dims=True)


@triton.jit
def _folded5(s):
    return _folded(s[0]), _folded(s[1]), _folded(s[2]), _folded(s[3]), _folded(s[4])


@triton.jit
def _folded7(s):
    return _folded(s[0]), _folded(s[1]), _folded(s[2]), _folded(s[3]), _folded(s[4]), _folded(s[5]), _folded(s[6])


@triton.jit
def _voxels_at_own_ends(volume, line: Line, T: tl.constexpr):
    """The voxels in which rays themselves begin and end, 0 where they go on beyond the slabs of the volume."""
    at_first, _, _ = siddon.value_at(volume, line, line.first, tl.floor(line.first), line.own_first, T)
    at_last, _, _ = siddon.value_at(volume, line, line.last, tl.ceil(line.last) - 1, line.own_last, T)
    return at_first, at_last


@triton.jit
def _voxels_at_own_ends_of_label(volume, labels, line: Line, channel, T: tl.constexpr):
    at_first, first, inside_first = siddon.value_at(volume, line, line.first, tl.floor(line.first), line.own_first, T)
    at_last, last, inside_last = siddon.value_at(volume, line, line.last, tl.ceil(line.last) - 1, line.own_last, T)
    return _of_label(at_first, labels, first, inside_first, channel), _of_label(
        at_last, labels, last, inside_last, channel
    )


@triton.jit
def _of_label(value, labels, place, inside, channel):
    return tl.where(tl.load(labels + place, mask=inside, other=0) == channel, value, 0)


@triton.jit
def _samples_at_own_ends(volume, line: Line, T: tl.constexpr):
    """The samples of the slabs in which rays themselves begin and end."""
    first, last = _slabs_of_ends(line)
    at_first, _, _ = joseph.read_sample(volume, line, joseph.sample_slab(line, first), T)
    at_last, _, _ = joseph.read_sample(volume, line, joseph.sample_slab(line, last), T)
    return tl.where(line.own_first, at_first, 0), tl.where(line.own_last, at_last, 0)


@triton.jit
def _samples_at_own_ends_of_label(volume, labels, line: Line, channel, T: tl.constexpr):
    at_first, at_last = _samples_at_own_ends(volume, line, T)
    first, last = _slabs_of_ends(line)
    near_first = joseph.nearest_voxel(line, joseph.sample_slab(line, first), first)
    near_last = joseph.nearest_voxel(line, joseph.sample_slab(line, last), last)
    return (
        _of_label(at_first, labels, near_first, line.own_first, channel),
        _of_label(at_last, labels, near_last, line.own_last, channel),
    )


@triton.jit
def _slabs_of_ends(line: Line):
    return tl.floor(line.first).to(tl.int32) + line.origin, tl.ceil(line.last).to(tl.int32) - 1 + line.origin


@triton.jit
def _channel(totals, labels, place, here, n_channels, SUMS: tl.constexpr, count):
    """Where the sums of the voxels' labels are kept; a label that has no channel counts nowhere."""
    label = tl.load(labels + place, mask=here, other=0)
    return totals + label.to(tl.int64) * SUMS * count, here & (label >= 0) & (label < n_channels)


@triton.jit
def _add(pointer, amount, mask):
    tl.atomic_add(pointer, amount, mask=mask, sem="relaxed")


@triton.jit
def _add_jump(before, after, f_before, f_after, x, in_before, in_after, SUM: tl.constexpr, count):
    """Sum number SUM, and the next by x: what ends at x leaves, what begins there comes."""
    _add(before + SUM * count, -f_before, in_before)
    _add(before + (SUM + 1) * count, -f_before * x, in_before)
    _add(after + SUM * count, f_after, in_after)
    _add(after + (SUM + 1) * count, f_after * x, in_after)


@triton.jit
def _load5(own, count, mask, DERIVATIVES: tl.constexpr):
    value = tl.load(own, mask=mask, other=0)
    u, ux, v, vx = value * 0, value * 0, value * 0, value * 0
    if DERIVATIVES:
        u, ux = tl.load(own + count, mask=mask, other=0), tl.load(own + 2 * count, mask=mask, other=0)
        v, vx = tl.load(own + 3 * count, mask=mask, other=0), tl.load(own + 4 * count, mask=mask, other=0)
    return value, u, ux, v, vx


@triton.jit
def _load7(own, count, mask, DERIVATIVES: tl.constexpr):
    value, gx, gy, gz, gax = _load5(own, count, mask, DERIVATIVES)
    gay, gaz = value * 0, value * 0
    if DERIVATIVES:
        gay, gaz = tl.load(own + 5 * count, mask=mask, other=0), tl.load(own + 6 * count, mask=mask, other=0)
    return value, gx, gy, gz, gax, gay, gaz
