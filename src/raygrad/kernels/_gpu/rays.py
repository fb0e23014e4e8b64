"""Where a block's rays run, in Triton: read from memory or made from cameras.

Numbers of rays are blocks [ray, 1], so that they meet blocks [1, split] when a ray is split along its length. As in
the C++ of `_cpu/`, coordinates are voxel coordinates plus one half: the voxel of a coordinate is its floor.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from raygrad.kernels import _far


class Triple(NamedTuple):
    """A number for each axis."""

    x: Any
    y: Any
    z: Any


class Pixels(NamedTuple):
    """The pixels of one block.

    Attributes:
        batch: the image's number.
        ray: the pixel's number in the image, row by row.
        right, down: columns and rows from the middle of the image, times 2: whole numbers.
        exist: whether the image has such a pixel.
    """

    batch: Any
    ray: Any
    right: Any
    down: Any
    exist: Any


class Rays(NamedTuple):
    """Rays from source to target.

    Attributes:
        start, end: the source and the target in voxels.
        step: from source to target in voxels.
        near: the one of start and end that is nearer to voxel 0: single precision knows it best.
        at_near: 0 where that is the start, 1 where it is the end.
        world_step: from source to target in mm.
        length: of `world_step`.
        slid: by how much both ends were moved along the ray.
        poison: 0, or NaN for a ray that is not finite. Such a ray goes nowhere, and its results get this added.
    """

    start: Triple
    end: Triple
    step: Triple
    near: Triple
    at_near: Any
    world_step: Triple
    length: Any
    slid: "Slid"
    poison: Any


class Ends(NamedTuple):
    """Where rays begin and end, in voxels, and the way between, in voxels and in mm."""

    start: Triple
    end: Triple
    step: Triple
    world_step: Triple


class Slid(NamedTuple):
    """How the ends of rays, source s and target t, were moved to s + a (t - s) and s + b (t - s)."""

    a: Any
    one_less_a: Any
    b: Any
    one_less_b: Any


class Far(NamedTuple):
    """Which rays come from far away.

    Attributes:
        source, target: whether that end is so far from the volume that it has to be brought near.
        nearest: the fraction of the way at which the ray comes nearest to the volume's middle.
        reach: the fraction of the way from there on which the ray is outside the volume, on both sides.
    """

    source: Any
    target: Any
    nearest: Any
    reach: Any


FAR = tl.constexpr(_far.FAR)
WIDE = tl.constexpr(not torch.xpu.is_available())
"""Whether there is float64 for rays from far away: not all of Intel's GPUs have it."""


@triton.jit
def pixels_of_block(height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DOWN: tl.constexpr) -> Pixels:
    """The tile of ROWS x COLUMNS pixels that this program serves; tiles cover one image after the other.

    Threads that are neighbours serve pixels side by side, or with DOWN one below the other.
    """
    across = tl.cdiv(width, COLUMNS)
    tiles = across * tl.cdiv(height, ROWS)
    program = tl.program_id(0)
    tile = program % tiles
    lane = tl.arange(0, ROWS * COLUMNS)[:, None]
    row = (tile // across) * ROWS + (lane % ROWS if DOWN else lane // COLUMNS)
    column = (tile % across) * COLUMNS + (lane // ROWS if DOWN else lane % COLUMNS)
    batch = (program // tiles).to(tl.int64)
    right, down = 2 * column - (width - 1), 2 * row - (height - 1)
    return Pixels(batch, row * width + column, right, down, (row < height) & (column < width))


@triton.jit
def load_rays(rays, world_to_voxel, pixels, shape, CAMERAS: tl.constexpr, T: tl.constexpr) -> Rays:
    """The rays of a block through a volume of this shape, computed in T.

    `rays` is (source, target, sources per image, rays per image), or with CAMERAS (camera_to_world, pixel_to_camera,
    maps of the latter). As in `raygrad.kernels._far`, ends too far away for single precision are brought near the
    volume; only a block that has such a ray pays for it.
    """
    ends = _ends(rays, world_to_voxel, pixels, CAMERAS, T)
    nought = ends.step.x * 0
    slid = Slid(nought, nought + 1, nought + 1, nought)
    if T == tl.float32:
        if WIDE:
            far = _far_ends(ends, shape)
            some = tl.max((far.source | far.target).to(tl.int32))
            if some > 0:
                # From a place that the compiler cannot know to be the same: it would keep all in float64 from above.
                exact = _ends(rays, world_to_voxel + (some - 1), pixels, CAMERAS, tl.float64)
                middle = _rounded(_further(exact.start, far.nearest, exact.step), T)
                step = _rounded(exact.step, T)
                nearest = far.nearest + _far_ends(Ends(middle, middle, step, step), shape).nearest
                a = tl.where(far.source, tl.minimum(tl.maximum(nearest - far.reach, 0.0), 1.0), 0.0)
                b = tl.where(far.target, tl.minimum(tl.maximum(nearest + far.reach, 0.0), 1.0), 1.0)
                b = tl.maximum(a, b)
                ends = Ends(
                    _rounded(_further(exact.start, a, exact.step), T),
                    _rounded(_further(exact.start, b, exact.step), T),
                    _times(step, b - a),
                    _times(ends.world_step, b - a),
                )
                slid = Slid(a, 1 - a, b, 1 - b)
    return _make_rays(ends, slid)


@triton.jit
def _ends(rays, world_to_voxel, pixels, CAMERAS: tl.constexpr, T: tl.constexpr) -> Ends:
    if CAMERAS:
        return _from_cameras(rays, world_to_voxel, pixels, T)
    else:
        return _from_ends(rays, world_to_voxel, pixels, T)


@triton.jit
def _far_ends(ends: Ends, shape) -> Far:
    """Which ends of rays are far from a volume of this shape.

    `reach` has room for what single precision rounds a fraction by.
    """
    start, step, world_step = ends.start, ends.step, ends.world_step
    nought = step.x * 0
    size = Triple(nought + shape[0], nought + shape[1], nought + shape[2])
    squared = step.x * step.x + step.y * step.y + step.z * step.z
    per_way = 1 / tl.where(squared > 0, squared, 1.0)
    nearest = per_way * (
        (size.x * 0.5 - start.x) * step.x + (size.y * 0.5 - start.y) * step.y + (size.z * 0.5 - start.z) * step.z
    )
    length = tl.sqrt(world_step.x * world_step.x + world_step.y * world_step.y + world_step.z * world_step.z)
    reach = (tl.sqrt(size.x * size.x + size.y * size.y + size.z * size.z) + 4) * tl.sqrt(per_way) + 2e-7
    return Far(nearest * length > FAR, (1 - nearest) * length > FAR, nearest, reach)


@triton.jit
def _further(point: Triple, share, step: Triple) -> Triple:
    share = share.to(point.x.dtype)
    return Triple(point.x + share * step.x, point.y + share * step.y, point.z + share * step.z)


@triton.jit
def _times(v: Triple, share) -> Triple:
    return Triple(share * v.x, share * v.y, share * v.z)


@triton.jit
def _rounded(v: Triple, T: tl.constexpr) -> Triple:
    return Triple(v.x.to(T), v.y.to(T), v.z.to(T))


@triton.jit
def _from_ends(rays, world_to_voxel, pixels, T: tl.constexpr) -> Ends:
    source, target, sources, count = rays
    source += (pixels.batch * sources + pixels.ray % sources) * 3
    target += (pixels.batch * count + pixels.ray) * 3
    from_world = _load_triple(source, pixels.exist, T)
    to_world = _load_triple(target, pixels.exist, T)
    w = world_to_voxel
    step = Triple(to_world.x - from_world.x, to_world.y - from_world.y, to_world.z - from_world.z)
    return Ends(_in_voxels(w, from_world, T), _in_voxels(w, to_world, T), _moved(w, step, T), step)


@triton.jit
def _in_voxels(world_to_voxel, point: Triple, T: tl.constexpr) -> Triple:
    w = world_to_voxel
    return Triple(
        _dot(w, point, T) + _entry(w, 3, T) + 0.5,
        _dot(w + 4, point, T) + _entry(w, 7, T) + 0.5,
        _dot(w + 8, point, T) + _entry(w, 11, T) + 0.5,
    )


@triton.jit
def _from_cameras(rays, world_to_voxel, pixels, T: tl.constexpr) -> Ends:
    """The way to a pixel is right c0 + down c1 + c2, from c3: c are the columns of pixel_to_camera, in the world."""
    camera_to_world, pixel_to_camera, maps = rays
    camera_to_world += pixels.batch * 16
    pixel_to_camera += (pixels.batch % maps) * 16
    w = world_to_voxel
    across = _moved(camera_to_world, _column(pixel_to_camera, 0, T), T)
    down = _moved(camera_to_world, _column(pixel_to_camera, 1, T), T)
    middle = _moved(camera_to_world, _column(pixel_to_camera, 2, T), T)
    source = _moved(camera_to_world, _column(pixel_to_camera, 3, T), T)
    source = Triple(
        source.x + _entry(camera_to_world, 3, T),
        source.y + _entry(camera_to_world, 7, T),
        source.z + _entry(camera_to_world, 11, T),
    )
    start = _in_voxels(w, source, T)
    # Pixels beyond the image get rays too: nothing of theirs is kept.
    right, below = pixels.right.to(T) * 0.5, pixels.down.to(T) * 0.5
    world_step = _along(across, down, middle, right, below)
    step = _along(_moved(w, across, T), _moved(w, down, T), _moved(w, middle, T), right, below)
    nought = right * 0
    start = Triple(start.x + nought, start.y + nought, start.z + nought)
    return Ends(start, Triple(start.x + step.x, start.y + step.y, start.z + step.z), step, world_step)


@triton.jit
def _make_rays(ends: Ends, slid: Slid) -> Rays:
    start, end, step, world_step = ends.start, ends.end, ends.step, ends.world_step
    poison = (start.x + start.y + start.z + step.x + step.y + step.z) * 0
    finite = poison == 0
    length = tl.sqrt(world_step.x * world_step.x + world_step.y * world_step.y + world_step.z * world_step.z)
    start, end, step, world_step = (
        _kept(finite, start),
        _kept(finite, end),
        _kept(finite, step),
        _kept(finite, world_step),
    )
    end_is_near = _farthest(end) < _farthest(start)
    near = Triple(
        tl.where(end_is_near, end.x, start.x),
        tl.where(end_is_near, end.y, start.y),
        tl.where(end_is_near, end.z, start.z),
    )
    length = tl.where(finite, length, 0)
    return Rays(start, end, step, near, end_is_near.to(length.dtype), world_step, length, slid, poison)


@triton.jit
def _farthest(v: Triple):
    return tl.maximum(tl.maximum(tl.abs(v.x), tl.abs(v.y)), tl.abs(v.z))


@triton.jit
def _kept(condition, v: Triple) -> Triple:
    return Triple(tl.where(condition, v.x, 0), tl.where(condition, v.y, 0), tl.where(condition, v.z, 0))


@triton.jit
def _load_triple(pointer, mask, T: tl.constexpr) -> Triple:
    return Triple(
        tl.load(pointer, mask=mask, other=0).to(T),
        tl.load(pointer + 1, mask=mask, other=0).to(T),
        tl.load(pointer + 2, mask=mask, other=0).to(T),
    )


@triton.jit
def _entry(matrix, index: tl.constexpr, T: tl.constexpr):
    return tl.load(matrix + index).to(T)


@triton.jit
def _dot(row, v: Triple, T: tl.constexpr):
    return _entry(row, 0, T) * v.x + _entry(row, 1, T) * v.y + _entry(row, 2, T) * v.z


@triton.jit
def _moved(matrix, v: Triple, T: tl.constexpr) -> Triple:
    """A direction mapped by a (4, 4) matrix."""
    return Triple(_dot(matrix, v, T), _dot(matrix + 4, v, T), _dot(matrix + 8, v, T))


@triton.jit
def _column(matrix, index: tl.constexpr, T: tl.constexpr) -> Triple:
    return Triple(_entry(matrix, index, T), _entry(matrix, index + 4, T), _entry(matrix, index + 8, T))


@triton.jit
def _along(across: Triple, down: Triple, middle: Triple, right, below) -> Triple:
    return Triple(
        across.x * right + down.x * below + middle.x,
        across.y * right + down.y * below + middle.y,
        across.z * right + down.z * below + middle.z,
    )


@triton.jit
def to_world(world_to_voxel, by_voxel: Triple, T: tl.constexpr) -> Triple:
    """Derivatives by a point in voxels as derivatives by the point in the world: the transpose of the map."""
    w = world_to_voxel
    return Triple(_transposed(w, 0, by_voxel, T), _transposed(w, 1, by_voxel, T), _transposed(w, 2, by_voxel, T))


@triton.jit
def _transposed(matrix, index: tl.constexpr, v: Triple, T: tl.constexpr):
    return _entry(matrix, index, T) * v.x + _entry(matrix, index + 4, T) * v.y + _entry(matrix, index + 8, T) * v.z
