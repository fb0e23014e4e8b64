"""From what a march adds up along a ray to the line integral and its derivatives by the ray's two ends, in Triton.

With source s and target t = s + d in voxel coordinates, J(s, t) = integral of f(s + a d) over a in [0, 1], and
I = |world d| J. Across u and v a march adds up what changes when the ray is shifted: for Siddon the jump of f at each
plane that is crossed, for interpolation the slope of f at each sample. A shift of the source by e moves the point at
fraction a by (1 - a) e, one of the target by a e. Along the ray nothing is added up: d . dJ/ds = J - f(s) and
d . dJ/dt = f(t) - J. The same as in the C++ of `_cpu/`.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from raygrad.kernels._gpu.lines import Line, by_axes
from raygrad.kernels._gpu.rays import Rays, Triple, to_world
from raygrad.kernels._gpu.trilinear import Points


class Result(NamedTuple):
    """A ray's value, and its derivatives by the source and the target in the world."""

    value: Any
    by_source: Triple
    by_target: Triple


@triton.jit
def finish_line(rays: Rays, line: Line, sums, at_first, at_last, world_to_voxel, PLANES: tl.constexpr, T: tl.constexpr):
    """The integral of a ray summed along its main axis.

    at_first, at_last: f where the ray itself ends, 0 elsewhere.
    PLANES: the sums across u and v are of jumps at planes, not of slopes at samples.
    """
    value, u, ux, v, vx = sums
    per_x = 1 / tl.abs(line.step)
    integral = value * per_x
    sign = tl.where(line.step > 0, 1.0, -1.0)
    if PLANES:
        factor_u = tl.where(line.step_u != 0, sign / tl.where(line.step_u != 0, line.step_u, 1.0), 0)
        factor_v = tl.where(line.step_v != 0, sign / tl.where(line.step_v != 0, line.step_v, 1.0), 0)
    else:
        factor_u, factor_v = per_x, per_x
    source_u, target_u = _across(u, ux, factor_u, line)
    source_v, target_v = _across(v, vx, factor_v, line)
    at_source, at_target = tl.where(line.step > 0, at_first, at_last), tl.where(line.step > 0, at_last, at_first)
    source_m = (integral - at_source - line.step_u * source_u - line.step_v * source_v) / line.step
    target_m = (at_target - integral - line.step_u * target_u - line.step_v * target_v) / line.step
    by_source, by_target = by_axes(line, source_m, source_u, source_v), by_axes(line, target_m, target_u, target_v)
    stretch = integral / tl.where(rays.length > 0, rays.length, 1.0)
    return _in_world(rays, world_to_voxel, rays.length * integral, by_source, by_target, rays.length, stretch, T)


@triton.jit
def finish_line_maximum(rays: Rays, line: Line, value, x, slope_u, slope_v, world_to_voxel, T: tl.constexpr):
    """The largest sample of a ray marched along its main axis: it lies at x, with slopes of f across the ray."""
    source_u, target_u = _across(slope_u, slope_u * x, 1.0, line)
    source_v, target_v = _across(slope_v, slope_v * x, 1.0, line)
    source_m = -(line.step_u * source_u + line.step_v * source_v) / line.step
    target_m = -(line.step_u * target_u + line.step_v * target_v) / line.step
    by_source, by_target = by_axes(line, source_m, source_u, source_v), by_axes(line, target_m, target_u, target_v)
    return _in_world(rays, world_to_voxel, value, by_source, by_target, 1.0, 0.0, T)


@triton.jit
def _across(sum, sum_x, factor, line: Line):
    """Derivatives by source and target across u or v, of sums over what one unit of `factor` is worth."""
    weighted = (sum_x - line.start * sum) / line.step  # by the fraction (x - start) / step
    return factor * (sum - weighted), factor * weighted


@triton.jit
def finish_points(rays: Rays, points: Points, sums, world_to_voxel, n_points, MAXIMUM: tl.constexpr, T: tl.constexpr):
    """The integral of trilinear samples, or with MAXIMUM the largest of them.

    The samples move with the interval [first, last] as well, whose ends lie on faces of the volume: sample i is at the
    fraction a = first + c (last - first), and a face across an axis at fraction a moves by (a - 1) / d and -a / d.
    """
    value, gx, gy, gz, gax, gay, gaz = sums
    step = rays.step
    first, width = points.first, points.width * n_points
    weight = 1.0 if MAXIMUM else points.width
    along = step.x * gx + step.y * gy + step.z * gz
    along_a = step.x * gax + step.y * gay + step.z * gaz
    along_c = (along_a - first * along) / tl.where(points.hit, width, 1.0)
    stretch = 0.0 if MAXIMUM else value / n_points
    by_first, by_last = weight * (along - along_c) - stretch, weight * along_c + stretch
    source_x, target_x = _with_faces(points, step.x, weight * (gx - gax), weight * gax, by_first, by_last, 0)
    source_y, target_y = _with_faces(points, step.y, weight * (gy - gay), weight * gay, by_first, by_last, 1)
    source_z, target_z = _with_faces(points, step.z, weight * (gz - gaz), weight * gaz, by_first, by_last, 2)
    by_source, by_target = Triple(source_x, source_y, source_z), Triple(target_x, target_y, target_z)
    if MAXIMUM:
        return _in_world(rays, world_to_voxel, value, by_source, by_target, 1.0, 0.0, T)
    else:
        integral = weight * value
        stretched = integral / tl.where(rays.length > 0, rays.length, 1.0)
        return _in_world(rays, world_to_voxel, rays.length * integral, by_source, by_target, rays.length, stretched, T)


@triton.jit
def _with_faces(points: Points, step, by_source, by_target, by_first, by_last, AXIS: tl.constexpr):
    safe = tl.where(step != 0, step, 1.0)
    first, last = points.first, points.last
    at_first, at_last = points.hit & (points.first_face == AXIS), points.hit & (points.last_face == AXIS)
    by_source += tl.where(at_first, by_first * (first - 1) / safe, 0) + tl.where(
        at_last, by_last * (last - 1) / safe, 0
    )
    by_target -= tl.where(at_first, by_first * first / safe, 0) + tl.where(at_last, by_last * last / safe, 0)
    return by_source, by_target


@triton.jit
def _in_world(
    rays: Rays, world_to_voxel, value, by_source: Triple, by_target: Triple, scale, stretch, T: tl.constexpr
) -> Result:
    """Derivatives in voxels as derivatives in the world; `stretch` is dI / d|world d|, divided by |world d|."""
    source, target = to_world(world_to_voxel, by_source, T), to_world(world_to_voxel, by_target, T)
    step, poison, slid = rays.world_step, rays.poison, rays.slid
    source = _stretched(source, scale, -stretch, step)
    target = _stretched(target, scale, stretch, step)
    return Result(
        value + poison,
        _of_ends(source, slid.one_less_a, target, slid.one_less_b, poison),
        _of_ends(source, slid.a, target, slid.b, poison),
    )


@triton.jit
def _stretched(slope: Triple, scale, stretch, step: Triple) -> Triple:
    return Triple(
        scale * slope.x + stretch * step.x, scale * slope.y + stretch * step.y, scale * slope.z + stretch * step.z
    )


@triton.jit
def _of_ends(source: Triple, by_source, target: Triple, by_target, poison) -> Triple:
    """The derivative by an end of a ray that moves both ends of its slid self, by so much each."""
    return Triple(
        by_source * source.x + by_target * target.x + poison,
        by_source * source.y + by_target * target.y + poison,
        by_source * source.z + by_target * target.z + poison,
    )
