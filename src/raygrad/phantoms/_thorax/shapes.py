"""Implicit shapes in mm: functions of x, y, z that are negative inside, and how they are drawn into voxels.

Coordinates are three arrays that broadcast against each other in [z, y, x] order, so that a shape is evaluated on any
grid. Near the surface a value is about the signed distance to it in mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Number = float | int
Values = Sequence[Any] | NDArray[Any] | Number
Box = tuple[slice, slice, slice]


def smooth_table(at: Values, *rows: Sequence[Number]) -> NDArray[np.float64]:
    """A smooth curve through rows (position, value...): cubic Hermite, constant beyond the ends."""
    knots, values = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows], dtype=np.float64)
    slopes = np.gradient(values, knots, axis=0)
    position = np.clip(np.asarray(at, dtype=np.float64), knots[0], knots[-1])
    i = np.clip(np.searchsorted(knots, position, side="right") - 1, 0, len(knots) - 2)
    width = knots[i + 1] - knots[i]
    t = ((position - knots[i]) / width)[..., None]
    width = width[..., None]
    low = (1 + 2 * t) * (1 - t) ** 2 * values[i] + t * (1 - t) ** 2 * width * slopes[i]
    high = t * t * (3 - 2 * t) * values[i + 1] - t * t * (1 - t) * width * slopes[i + 1]
    return np.squeeze(low + high, -1) if values.shape[1] == 1 else low + high


def spline(points: Values, count: int) -> NDArray[np.float64]:
    """`count` points (or point and radius rows) evenly spread along the smooth curve through `points`."""
    points = np.asarray(points, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.sqrt(np.square(np.diff(points[:, :3], axis=0)).sum(1)))])
    return smooth_table(np.linspace(0, chord[-1], count), *np.column_stack([chord, points]).tolist())


def union(a: Array, b: Array, rounding: Number = 0.0) -> Array:
    """The union of two shapes, their seam filled with a fillet of about `rounding` mm."""
    joined = np.minimum(a, b)
    if rounding > 0:
        joined -= np.square(np.maximum(rounding - np.abs(a - b), 0)) / np.float32(4 * rounding)
    return joined


def intersection(a: Array, b: Array, rounding: Number = 0.0) -> Array:
    """The intersection of two shapes, its edge rounded by about `rounding` mm."""
    return -union(-a, -b, rounding)


def frame_of(axis: Values, up: Values = (0.0, 0.0, 1.0)) -> NDArray[np.float64]:
    """Orthonormal rows: along `axis`, then along `up` as far as it is across, then the third."""
    first = np.asarray(axis, dtype=np.float64)
    first = first / np.sqrt(first @ first)
    second = np.asarray(up, dtype=np.float64) - first * (first @ np.asarray(up, dtype=np.float64))
    second = second / np.sqrt(second @ second)
    return np.stack([first, second, np.cross(first, second)])


def ellipsoid(x: Array, y: Array, z: Array, center: Values, semi_axes: Values, frame: Values | None = None) -> Array:
    """A solid ellipsoid; `frame` rows are the directions of its semi-axes."""
    c, s = np.asarray(center, dtype=np.float32), np.asarray(semi_axes, dtype=np.float32)
    rows = np.eye(3, dtype=np.float32) if frame is None else np.asarray(frame, dtype=np.float32)
    dx, dy, dz = x - c[0], y - c[1], z - c[2]
    scaled = [(rows[i, 0] * dx + rows[i, 1] * dy + rows[i, 2] * dz) / s[i] for i in range(3)]
    radius = np.sqrt(np.square(scaled[0]) + np.square(scaled[1]) + np.square(scaled[2]))
    steepness = np.sqrt(sum(np.square(scaled[i] / s[i]) for i in range(3))) + np.float32(1e-6)
    return radius * (radius - 1) / steepness


def capsule(x: Array, y: Array, z: Array, start: Values, end: Values, r0: Number, r1: Number) -> Array:
    """A round tapered rod from `start` (radius r0) to `end` (radius r1)."""
    a, b = np.asarray(start, dtype=np.float32), np.asarray(end, dtype=np.float32)
    d = b - a
    dx, dy, dz = x - a[0], y - a[1], z - a[2]
    t = np.clip((dx * d[0] + dy * d[1] + dz * d[2]) / np.float32(max(float(d @ d), 1e-6)), 0, 1)
    away = np.sqrt(np.square(dx - t * d[0]) + np.square(dy - t * d[1]) + np.square(dz - t * d[2]))
    return away - (np.float32(r0) + t * np.float32(r1 - r0))


def rods(x: Array, y: Array, z: Array, points: Values, rounding: Number = 0.0) -> Array:
    """The union of capsules along rows (x, y, z, radius)."""
    p = np.asarray(points, dtype=np.float64)
    result = capsule(x, y, z, p[0, :3], p[1, :3], p[0, 3], p[1, 3])
    for a, b in pairwise(p[1:]):
        result = union(result, capsule(x, y, z, a[:3], b[:3], a[3], b[3]), rounding)
    return result


@dataclass(frozen=True)
class Tube:
    """A flat tube along a polyline: rows (x, y, z, r_wide, r_flat), `flat` (n, 3) the directions it is thin along."""

    points: NDArray[np.float64]
    flat: NDArray[np.float64]

    def bounds(self, margin: Number = 3.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The corners of the box that holds the tube."""
        reach = self.points[:, 3:5].max() + margin
        return self.points[:, :3].min(0) - reach, self.points[:, :3].max(0) + reach


@dataclass
class Grid:
    """The voxel grid, centred on the origin; arrays are [z, y, x]."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axes: list[Array] = field(init=False)

    def __post_init__(self) -> None:
        self.axes = [
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32) for n, s in zip(self.shape, self.spacing, strict=True)
        ]

    def box(self, low: Values, high: Values) -> Box | None:
        """The [z, y, x] slices of voxels between two corners, None if there are none."""
        low, high = np.asarray(low, dtype=np.float32), np.asarray(high, dtype=np.float32)
        ranges = [
            (int(np.searchsorted(v, a)), int(np.searchsorted(v, b)))
            for v, a, b in zip(self.axes, low, high, strict=True)
        ]
        if any(a >= b for a, b in ranges):
            return None
        (x0, x1), (y0, y1), (z0, z1) = ranges
        return slice(z0, z1), slice(y0, y1), slice(x0, x1)

    @property
    def refinement(self) -> int:
        """Points per voxel along z at which bones are sampled, so that thick slices blur them as a scanner does."""
        return max(1, min(4, round(self.spacing[2] / 1.25)))

    def points(self, box: Box, refinement: int = 1) -> tuple[Array, Array, Array]:
        """Broadcastable x, y, z of a box's voxels, with `refinement` points along each voxel's z."""
        x, y, z = (self.axes[i][box[2 - i]] for i in range(3))
        if refinement > 1:
            offsets = (np.arange(refinement) + 0.5) / refinement - 0.5
            z = (z[:, None] + (offsets * self.spacing[2]).astype(np.float32)).reshape(-1)
        return x[None, None, :], y[None, :, None], z[:, None, None]


def tube_distance(x: Array, y: Array, z: Array, tube: Tube) -> Array:
    """The tube on a grid; each piece is evaluated only in its own box, far away the value is 1e3."""
    result = np.full((z.size, y.size, x.size), 1e3, dtype=np.float32)
    axes = [x.reshape(-1), y.reshape(-1), z.reshape(-1)]
    points, flat = tube.points, tube.flat
    for i in range(len(points) - 1):
        a, b = points[i], points[i + 1]
        reach = max(a[3:5].max(), b[3:5].max()) + 3.0
        low, high = np.minimum(a, b)[:3] - reach, np.maximum(a, b)[:3] + reach
        cut = [
            slice(int(np.searchsorted(v, p)), int(np.searchsorted(v, q)))
            for v, p, q in zip(axes, low, high, strict=True)
        ]
        if any(c.start >= c.stop for c in cut):
            continue
        part = result[cut[2], cut[1], cut[0]]
        dx = (axes[0][cut[0]] - np.float32(a[0]))[None, None, :]
        dy = (axes[1][cut[1]] - np.float32(a[1]))[None, :, None]
        dz = (axes[2][cut[2]] - np.float32(a[2]))[:, None, None]
        d = (b - a)[:3].astype(np.float32)
        n = (flat[i] + flat[i + 1]) / 2
        n = frame_of(d, n)[1].astype(np.float32)
        t = np.clip((dx * d[0] + dy * d[1] + dz * d[2]) / np.float32(max(float(d @ d), 1e-6)), 0, 1)
        rx, ry, rz = dx - t * d[0], dy - t * d[1], dz - t * d[2]
        thin = rx * n[0] + ry * n[1] + rz * n[2]
        wide2 = np.maximum(np.square(rx) + np.square(ry) + np.square(rz) - np.square(thin), 0)
        r_wide, r_flat = a[3] + t * np.float32(b[3] - a[3]), a[4] + t * np.float32(b[4] - a[4])
        w2, f2 = wide2 / np.square(r_wide), np.square(thin / r_flat)
        radius = np.sqrt(w2 + f2)
        steepness = np.sqrt(w2 / np.square(r_wide) + f2 / np.square(r_flat)) + np.float32(1e-4)
        np.minimum(part, radius * (radius - 1) / steepness, out=part)
    return result


@dataclass
class Canvas:
    """The volume being drawn: `hu` and `labels`, both [z, y, x] on `grid`; `grain` is fine texture to tile with."""

    grid: Grid
    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    grain: Array

    def texture(self, box: Box) -> Array:
        """Fine noise of unit deviation for a box."""
        nz, ny, nx = self.grain.shape
        z, y, x = (np.arange(s.start, s.stop) for s in box)
        return self.grain[np.ix_(z % nz, y % ny, x % nx)]

    def draw(self, box: Box, coverage: Array, hu: Values, label: int, texture: Number = 0.0) -> None:
        """Blend `hu` over a box as far as `coverage` (0 to 1) says; both may hold several points per voxel along z.

        `texture` is the relative deviation of the fine noise that `hu` gets.
        """
        layers = coverage.shape[0] // (box[0].stop - box[0].start)
        weighted = coverage * np.asarray(hu, dtype=np.float32)
        if layers > 1:
            fold = (-1, layers, *coverage.shape[1:])
            coverage, weighted = coverage.reshape(fold).mean(1), weighted.reshape(fold).mean(1)
        drawn = coverage > 0
        part, view = coverage[drawn], self.hu[box]
        value = weighted[drawn] * (1 + np.float32(texture) * self.texture(box)[drawn])
        view[drawn] = np.rint(view[drawn] * (1 - part) + value)
        self.labels[box][coverage > 0.5] = label


def cover(distance: Array, softness: Number = 1.0) -> Array:
    """The part of a voxel that a shape covers, from its distance: a ramp `softness` mm wide."""
    return np.clip(np.float32(0.5) - distance / np.float32(softness), 0, 1)


def draw_rods(canvas: Canvas, points: Sequence[Values], hu: Number, label: int, over: int | None = None) -> None:
    """Draw thin round vessels, pieces (x, y, z, r) to (x, y, z, r) of an (n, 2, 4) array, thinner than a voxel too.

    The coverage is that of a box as wide as the voxel seen along the vessel's normal. With `over` only voxels that
    hold that label change.
    """
    axes = canvas.grid.axes
    spacing = np.asarray(canvas.grid.spacing, dtype=np.float32)
    pieces = np.asarray(points, dtype=np.float32).reshape(-1, 2, 4)
    reach = pieces[:, :, 3].max(1)[:, None] + spacing / 2 + np.float32(0.2)
    low, high = pieces[:, :, :3].min(1) - reach, pieces[:, :, :3].max(1) + reach
    first = np.stack([np.searchsorted(axis, low[:, i]) for i, axis in enumerate(axes)], axis=1)
    last = np.stack([np.searchsorted(axis, high[:, i]) for i, axis in enumerate(axes)], axis=1)
    for i in np.flatnonzero((first < last).all(1)):
        a, b = pieces[i]
        cut = [slice(int(first[i, axis]), int(last[i, axis])) for axis in range(3)]
        box = cut[2], cut[1], cut[0]
        x, y, z = axes[0][cut[0]], axes[1][cut[1]][:, None], axes[2][cut[2]][:, None, None]
        d = (b - a)[:3].astype(np.float32)
        dx, dy, dz = x - np.float32(a[0]), y - np.float32(a[1]), z - np.float32(a[2])
        t = np.clip((dx * d[0] + dy * d[1] + dz * d[2]) / np.float32(max(float(d @ d), 1e-6)), 0, 1)
        rx, ry, rz = np.abs(dx - t * d[0]), np.abs(dy - t * d[1]), np.abs(dz - t * d[2])
        away = np.sqrt(rx * rx + ry * ry + rz * rz) + np.float32(1e-3)
        width = (rx * spacing[0] + ry * spacing[1] + rz * spacing[2]) / away + np.float32(0.2)
        radius = np.float32(a[3]) + t * np.float32(b[3] - a[3])
        coverage = np.clip((radius + width / 2 - away) / width, 0, np.minimum(1, 2 * radius / width))
        if over is not None:
            current = canvas.labels[box]
            coverage = coverage * ((current == over) | (current == label))
        view = canvas.hu[box]
        # Overlapping pieces of one tree must not fade into each other: take the densest.
        view[...] = np.maximum(view, np.rint(view * (1 - coverage) + coverage * np.float32(hu)))
        canvas.labels[box][coverage > 0.5] = label


def draw_bone(
    canvas: Canvas,
    box: Box,
    distance: Array,
    label: int,
    cortical: Number = 1050.0,
    trabecular: Number = 230.0,
    shell: Number = 1.3,
) -> None:
    """Draw a bone from its distance, sampled at the grid's refinement: a cortical shell of about `shell` mm that passes
    into trabecular bone, both with texture.
    """
    near = distance < 0.55
    depth = distance[near]
    coverage, hu = np.zeros_like(distance), np.zeros_like(distance)
    coverage[near] = cover(depth, 1.1)
    hardness = np.exp(-np.square(np.minimum(depth, 0) / np.float32(shell)))
    hu[near] = np.float32(trabecular) + np.float32(cortical - trabecular) * hardness
    canvas.draw(box, coverage, hu, label, texture=0.07)


def draw_tube(canvas: Canvas, tube: Tube, label: int, cortical: Number, trabecular: Number, shell: Number) -> None:
    """Draw a tube by slabs of slices, since the box of a slanting rib is mostly empty."""
    low, high = tube.bounds()
    pieces = np.sort(np.stack([tube.points[:-1], tube.points[1:]]), axis=0)
    reach = (high - low - np.ptp(tube.points[:, :3], axis=0)).max() / 2
    bottom = low[2]
    while bottom < high[2]:
        top = bottom + 12.5
        near = (pieces[0, :, 2] - reach < top) & (pieces[1, :, 2] + reach >= bottom)
        corners = pieces[0, near, :3].min(0) - reach, pieces[1, near, :3].max(0) + reach
        box = canvas.grid.box((*corners[0][:2], bottom), (*corners[1][:2], top))
        if box is not None:
            distance = tube_distance(*canvas.grid.points(box, canvas.grid.refinement), tube)
            draw_bone(canvas, box, distance, label, cortical, trabecular, shell)
        bottom = top
