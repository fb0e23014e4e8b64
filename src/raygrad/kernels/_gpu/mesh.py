"""Rays through closed meshes in Triton: where they cross triangles, thickness with derivatives, and the adjoint.

As in the C++ of `_cpu/csrc/mesh_*.hpp` all is computed in float64 and in single steps: the kernels are launched without
fused products, but for those that tell what rounding took off.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from raygrad.kernels._gpu.rays import Triple, pixels_of_block


class MeshRays(NamedTuple):
    """Rays, or one ray, with their main axis.

    Attributes:
        source, step: where they begin, and the way to their target.
        axis: of the largest component of `step`, their z; x and y are the two after it.
        along: that component.
        shear_x, shear_y: the others, for each `along`.
        length: of the way.
        poison: 0, or NaN for a ray that is not finite.
    """

    source: Triple
    step: Triple
    axis: Any
    along: Any
    shear_x: Any
    shear_y: Any
    length: Any
    poison: Any


class Triangle(NamedTuple):
    """The corners of a triangle, or of many."""

    a: Triple
    b: Triple
    c: Triple


class Crossing(NamedTuple):
    """Where rays cross triangles.

    Attributes:
        exists: whether they do.
        fraction: of the way from source to target.
        sign: 1.0 where the ray leaves, -1.0 where it enters.
        wa, wb, wc: weights of the corners, not divided by their sum.
        area: that sum, or 1 where there is no crossing.
        slope: normal . step, or 1 likewise.
    """

    exists: Any
    fraction: Any
    sign: Any
    wa: Any
    wb: Any
    wc: Any
    area: Any
    slope: Any


@triton.jit
def march_mesh(
    thickness,
    jacobian,
    mesh,
    rays,
    begin,
    order,
    poison,
    height,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    T: tl.constexpr,
):
    """Thickness (batch, ray), and its derivatives (batch, ray, 6) unless `jacobian` is None.

    A program serves ROWS x COLUMNS pixels and adds up triangles in their order: those that `order` names from begin[i]
    to begin[i + 1] for tile i, or all of them where it is None. `mesh` is (vertices, elements from one batch entry to
    the next, faces, triangles), `rays` (source, target, sources per image, rays per image), `poison` a number a batch
    entry.
    """
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, False)
    ray = load_rays(rays, pixels.batch, pixels.ray, pixels.exist)
    DERIVATIVES: tl.constexpr = jacobian is not None
    share = ray.along * 0
    plain, weighted = Triple(share, share, share), Triple(share, share, share)
    first, last = _list_of_tile(begin, order, mesh)
    for i in range(first, last):
        triangle = load_triangle(mesh, pixels.batch, _listed(order, i), True)
        crossing = cross(ray, triangle)
        share += tl.where(crossing.exists, crossing.sign * tl.minimum(tl.maximum(crossing.fraction, 0.0), 1.0), 0.0)
        if DERIVATIVES:
            normal = normal_of(triangle)
            per_slope = tl.where(_between(crossing), 1 / tl.abs(crossing.slope), 0.0)
            n = Triple(normal.x * per_slope, normal.y * per_slope, normal.z * per_slope)
            a = crossing.fraction
            plain = Triple(plain.x + n.x, plain.y + n.y, plain.z + n.z)
            weighted = Triple(weighted.x + a * n.x, weighted.y + a * n.y, weighted.z + a * n.z)
    bad = ray.poison + tl.load(poison + pixels.batch)
    place = pixels.batch * height * width + pixels.ray
    tl.store(thickness + place, (ray.length * share + bad).to(T), mask=pixels.exist)
    if DERIVATIVES:
        per_length = tl.where(ray.length > 0, 1 / tl.where(ray.length > 0, ray.length, 1.0), 0.0)
        own = jacobian + place * 6
        _store_ends(own, pixels.exist, ray.step.x * per_length * share, ray.length, plain.x, weighted.x, bad, T)
        _store_ends(own + 1, pixels.exist, ray.step.y * per_length * share, ray.length, plain.y, weighted.y, bad, T)
        _store_ends(own + 2, pixels.exist, ray.step.z * per_length * share, ray.length, plain.z, weighted.z, bad, T)


@triton.jit
def spread_tiles(
    sums,
    cotangent,
    mesh,
    rays,
    begin,
    order,
    height,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """What each triangle of each tile's list receives for its corners, `sums` (entry of the lists, 3).

    That is a multiple of the triangle's normal. Arguments are those of `march_mesh`.
    """
    pixels = pixels_of_block(height, width, ROWS, COLUMNS, False)
    ray = load_rays(rays, pixels.batch, pixels.ray, pixels.exist)
    place = pixels.batch * height * width + pixels.ray
    weight = tl.load(cotangent + place, mask=pixels.exist, other=0).to(tl.float64) * ray.length
    first, last = _list_of_tile(begin, order, mesh)
    for i in range(first, last):
        crossing = cross(ray, load_triangle(mesh, pixels.batch, _listed(order, i), True))
        scale = tl.where(_between(crossing), weight / (tl.abs(crossing.slope) * crossing.area), 0.0)
        own = sums + i * 3
        tl.store(own, tl.sum(tl.sum(scale * crossing.wa, axis=1), axis=0))
        tl.store(own + 1, tl.sum(tl.sum(scale * crossing.wb, axis=1), axis=0))
        tl.store(own + 2, tl.sum(tl.sum(scale * crossing.wc, axis=1), axis=0))


@triton.jit
def spread_rays(sums, cotangent, mesh, rays, blocks, count, BLOCK: tl.constexpr):
    """The same for all rays, `sums` (batch, triangle, 3): a program serves BLOCK triangles, ray after ray."""
    batch, block = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks
    number = block * BLOCK + tl.arange(0, BLOCK)
    exist = number < mesh[3]
    triangle = load_triangle(mesh, batch, number, exist)
    nought = triangle.a.x * 0
    a, b, c = nought, nought, nought
    for i in range(0, count):
        ray = load_rays(rays, batch, i, True)
        weight = tl.load(cotangent + batch * count + i).to(tl.float64) * ray.length
        crossing = cross(ray, triangle)
        scale = tl.where(_between(crossing), weight / (tl.abs(crossing.slope) * crossing.area), 0.0)
        a += scale * crossing.wa
        b += scale * crossing.wb
        c += scale * crossing.wc
    own = sums + (batch * mesh[3] + number) * 3
    tl.store(own, a, mask=exist)
    tl.store(own + 1, b, mask=exist)
    tl.store(own + 2, c, mask=exist)


@triton.jit
def load_rays(rays, batch, number, exist) -> MeshRays:
    """Rays of a batch entry by their numbers."""
    source, target, sources, count = rays
    start = _load_triple(source + (batch * sources + number % sources) * 3, exist)
    end = _load_triple(target + (batch * count + number) * 3, exist)
    step = Triple(end.x - start.x, end.y - start.y, end.z - start.z)
    size_x, size_y, size_z = tl.abs(step.x), tl.abs(step.y), tl.abs(step.z)
    axis = tl.where(size_y > size_x, 1, 0)
    axis = tl.where(size_z > tl.maximum(size_x, size_y), 2, axis)
    along = _z(axis, step)
    moving = tl.where(along == 0, 1.0, along)
    length = tl.sqrt(step.x * step.x + step.y * step.y + step.z * step.z)
    poison = 0 * (start.x + start.y + start.z + step.x + step.y + step.z)
    return MeshRays(start, step, axis, along, _x(axis, step) / moving, _y(axis, step) / moving, length, poison)


@triton.jit
def load_triangle(mesh, batch, number, exist) -> Triangle:
    """Triangles of a batch entry by their numbers."""
    vertices, stride, faces, _ = mesh
    vertices += batch * stride
    faces += number * 3
    a, b, c = (
        tl.load(faces, mask=exist, other=0),
        tl.load(faces + 1, mask=exist, other=0),
        tl.load(faces + 2, mask=exist, other=0),
    )
    return Triangle(
        _load_triple(vertices + a.to(tl.int64) * 3, exist),
        _load_triple(vertices + b.to(tl.int64) * 3, exist),
        _load_triple(vertices + c.to(tl.int64) * 3, exist),
    )


@triton.jit
def cross(ray: MeshRays, triangle: Triangle) -> Crossing:
    """Where rays cross triangles: many rays one triangle, or one ray many."""
    a, b, c = _seen(ray, triangle.a), _seen(ray, triangle.b), _seen(ray, triangle.c)
    wa, side_a = _side(b, c)
    wb, side_b = _side(c, a)
    wc, side_c = _side(a, b)
    area = wa + wb + wc
    slope = area * ray.along
    above = (side_a > 0) & (side_b > 0) & (side_c > 0)
    below = (side_a < 0) & (side_b < 0) & (side_c < 0)
    exists = (above | below) & (slope != 0)
    slope = tl.where(exists, slope, 1.0)
    fraction = (wa * a.z + wb * b.z + wc * c.z) / slope
    sign = tl.where(above == (ray.along > 0), 1.0, -1.0)
    return Crossing(exists, fraction, sign, wa, wb, wc, tl.where(exists, area, 1.0), slope)


@triton.jit
def normal_of(triangle: Triangle) -> Triple:
    """The normal, outwards, as long as twice the triangle's area."""
    a, b, c = triangle
    ux, uy, uz = b.x - a.x, b.y - a.y, b.z - a.z
    vx, vy, vz = c.x - a.x, c.y - a.y, c.z - a.z
    return Triple(uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)


@triton.jit
def _side(a: Triple, b: Triple):
    """Twice the area between the origin and the edge from a to b, and a number with the sign of the origin's side."""
    left, right = a.x * b.y, a.y * b.x
    remainder = tl.fma(a.x, b.y, -left) - tl.fma(a.y, b.x, -right)
    edge = tl.where(left != right, left - right, remainder)
    side = tl.where(edge != 0, edge, tl.where(a.y != b.y, a.y - b.y, b.x - a.x))
    return edge, side


@triton.jit
def _seen(ray: MeshRays, point: Triple) -> Triple:
    """A point as rays see it: x and y across, z along their main axis."""
    way = Triple(point.x - ray.source.x, point.y - ray.source.y, point.z - ray.source.z)
    z = _z(ray.axis, way)
    return Triple(_x(ray.axis, way) - ray.shear_x * z, _y(ray.axis, way) - ray.shear_y * z, z)


@triton.jit
def _z(axis, v: Triple):
    return tl.where(axis == 0, v.x, tl.where(axis == 1, v.y, v.z))


@triton.jit
def _x(axis, v: Triple):
    return tl.where(axis == 0, v.y, tl.where(axis == 1, v.z, v.x))


@triton.jit
def _y(axis, v: Triple):
    return tl.where(axis == 0, v.z, tl.where(axis == 1, v.x, v.y))


@triton.jit
def _between(crossing: Crossing):
    return crossing.exists & (crossing.fraction >= 0) & (crossing.fraction <= 1)


@triton.jit
def _list_of_tile(begin, order, mesh):
    """The part of `order` that belongs to this program's tile; all triangles where there is no order."""
    if order is None:
        return mesh[3] * 0, mesh[3]
    else:
        return tl.load(begin + tl.program_id(0)), tl.load(begin + tl.program_id(0) + 1)


@triton.jit
def _listed(order, i):
    if order is None:
        return i
    else:
        return tl.load(order + i)


@triton.jit
def _store_ends(own, exist, along, length, plain, weighted, bad, T: tl.constexpr):
    """Derivatives by one axis of source and target."""
    tl.store(own, (length * (weighted - plain) - along + bad).to(T), mask=exist)
    tl.store(own + 3, (along - length * weighted + bad).to(T), mask=exist)


@triton.jit
def _load_triple(pointer, mask) -> Triple:
    return Triple(
        tl.load(pointer, mask=mask, other=0).to(tl.float64),
        tl.load(pointer + 1, mask=mask, other=0).to(tl.float64),
        tl.load(pointer + 2, mask=mask, other=0).to(tl.float64),
    )
