"""The vertebral column: vertebrae with their canal, the discs between them and the cord.

Levels and sizes are those of an adult as anatomy textbooks give them, to the mm or two.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from raygrad.phantoms._thorax.shapes import (
    Array,
    Canvas,
    Number,
    Tube,
    Values,
    capsule,
    cover,
    draw_bone,
    draw_tube,
    intersection,
    smooth_table,
    union,
)

# level: z of the body's centre, y of it, half width, half depth, half height, tilt (degrees, top forward),
# transverse process reach, spinous process length and drop
VERTEBRAE: dict[str, tuple[Number, ...]] = {
    "C6": (176.5, -3, 13.0, 8.0, 6.5, -14, 26, 26, 8),
    "C7": (160.0, -9, 13.5, 8.5, 6.8, -18, 30, 32, 12),
    "T1": (143.5, -18, 15.0, 9.0, 7.2, -25, 36, 32, 15),
    "T2": (126.5, -28, 14.5, 9.5, 7.6, -28, 34, 30, 18),
    "T3": (109.0, -38, 14.0, 10.5, 7.8, -27, 32, 28, 22),
    "T4": (90.5, -47, 13.5, 11.5, 8.2, -23, 31, 27, 25),
    "T5": (71.0, -54.5, 13.5, 12.5, 8.6, -17, 31, 27, 27),
    "T6": (50.5, -59.5, 14.0, 13.0, 9.0, -10, 31, 27, 27),
    "T7": (29.0, -62, 14.5, 13.5, 9.5, -3, 30, 27, 26),
    "T8": (7.0, -62, 15.0, 14.0, 9.9, 4, 29, 26, 24),
    "T9": (-16.0, -59.5, 16.0, 14.5, 10.3, 9, 28, 26, 20),
    "T10": (-40.0, -55, 17.0, 14.8, 10.8, 14, 26, 26, 15),
    "T11": (-65.0, -48.5, 18.5, 15.0, 11.3, 17, 23, 26, 10),
    "T12": (-91.5, -40, 20.0, 15.5, 12.0, 18, 21, 27, 7),
    "L1": (-119.5, -31.5, 21.5, 16.0, 12.6, 15, 40, 29, 5),
    "L2": (-149.0, -25, 22.5, 16.5, 13.2, 9, 43, 30, 5),
    "L3": (-179.5, -21, 23.5, 17.0, 13.5, 4, 45, 31, 5),
}
_LEVELS = sorted((row[0], row[1], row[5]) for row in VERTEBRAE.values())


def spine_x(z: Values) -> NDArray[np.float64]:
    """The slight sideways curve that everybody's spine has."""
    return smooth_table(z, (-180, -1.5), (-90, 0.5), (0, 2.5), (70, 1.0), (120, -1.0), (180, -0.5))


def spine_y(z: Values) -> NDArray[np.float64]:
    """The vertebral bodies' centres: kyphosis of the thorax, the begin of the lumbar lordosis."""
    return smooth_table(z, *((level[0], level[1]) for level in _LEVELS))


def _vertebra(x: Array, y: Array, z: Array, level: str) -> tuple[Array, Array]:
    """Distances of one vertebra and of its canal."""
    center_z, center_y, width, depth, height, tilt, reach, length, drop = VERTEBRAE[level]
    angle = np.deg2rad(tilt)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    lumbar = level.startswith("L")
    u = x - np.float32(spine_x(center_z))
    dy, dz = y - np.float32(center_y), z - np.float32(center_z)
    v, w = cos * dy + sin * dz, cos * dz - sin * dy  # forward and up in the vertebra's own frame
    waist = np.float32(0.90) + np.float32(0.10) * np.minimum(np.square(w / height), 1.4)
    side = (np.sqrt(np.square(u / width) + np.square(v / depth)) - waist) * np.float32(min(width, depth))
    rim = height - np.float32(0.9) * np.exp(-(np.square(u / width) + np.square(v / depth)) * 2)
    bone = intersection(side, np.abs(w) - rim, 2.5)

    canal_v, canal_w, canal_d = -(depth + 7.0), 8.8 + 2.0 * lumbar, 7.6
    ring = np.sqrt(np.square(u / canal_w) + np.square((v - canal_v) / canal_d))
    canal = (ring - 1) * np.float32(canal_d)
    slope = w + np.float32(0.35) * (canal_v - v)  # laminae reach lower than pedicles
    wall = np.abs(canal - np.float32(2.9)) - np.float32(2.6)
    arch = intersection(wall, np.abs(slope - np.float32(0.25 * height)) - np.float32(0.62 * height), 1.5)
    bone = union(bone, arch, 2.0)
    for s in (-1.0, 1.0):
        root = (s * 10.5, canal_v - 1.0, 0.35 * height)
        if lumbar:
            tip = (s * reach, canal_v - 1.0, 0.5 * height)
            process = capsule(u, v, w, root, tip, 4.2, 3.0)
        else:
            tip = (s * reach, canal_v - 13.0, 0.65 * height)
            process = capsule(u, v, w, root, tip, 4.8, 4.6)
        bone = union(bone, process, 2.5)
        joint_x = s * (12.5 + 3.0 * lumbar)
        facets = capsule(
            u, v, w, (joint_x, canal_v - 5, -1.05 * height), (joint_x, canal_v - 3, 1.1 * height), 4.2, 3.8
        )
        bone = union(bone, facets, 2.0)
    lean = 1.8 * np.sin(center_z * 0.21)  # spinous processes never stand in one line
    start = (0.0, canal_v - canal_d - 2.0, -0.15 * height)
    end = (lean, canal_v - canal_d - 0.8 * length, -0.15 * height - drop)
    tall = 3.8 + 4.4 * lumbar + 1.4 * (level in ("T1", "T10", "T11", "T12"))
    squeeze = np.float32(tall / 2.9)  # thin from side to side: a round rod in squeezed coordinates
    spinous = capsule(u * squeeze, v, w, start, (lean * squeeze, *end[1:]), tall, tall * 0.95) / np.float32(1.4)
    bone = union(bone, spinous, 2.0)
    return intersection(bone, -canal, 1.0), canal


def _cord() -> NDArray[np.float64]:
    """The middle of the canal as rows (x, y, z, half width, half depth)."""
    z = np.linspace(-185, 185, 60)
    depth = smooth_table(z, *sorted((row[0], row[3]) for row in VERTEBRAE.values())) + 7.0
    tilt = np.deg2rad(smooth_table(z, *((level[0], level[2]) for level in _LEVELS)))
    y, z_behind = spine_y(z) - depth * np.cos(tilt), z - depth * np.sin(tilt)
    return np.column_stack([spine_x(z), y, z_behind, np.full(60, 5.2), np.full(60, 4.2)])


def draw_spine(canvas: Canvas, ids: dict[str, int]) -> None:
    """Discs, cord in its canal, then each vertebra."""
    grid = canvas.grid
    names = list(VERTEBRAE)
    for above, below in pairwise(names):
        a, b = np.array(VERTEBRAE[above]), np.array(VERTEBRAE[below])
        middle = (a + b) / 2
        box = grid.box((-32, middle[1] - 24, middle[0] - 14), (32, middle[1] + 24, middle[0] + 14))
        if box is None:
            continue
        x, y, z = grid.points(box, grid.refinement)
        angle = np.deg2rad(middle[5])
        dy, dz = y - np.float32(middle[1]), z - np.float32(middle[0])
        v, w = np.cos(angle) * dy + np.sin(angle) * dz, np.cos(angle) * dz - np.sin(angle) * dy
        side = np.sqrt(np.square((x - np.float32(spine_x(middle[0]))) / middle[2]) + np.square(v / middle[3])) - 0.98
        gap = (a[0] - b[0]) / 2 - middle[4] + 1.5
        disc = intersection((side * middle[3]).astype(np.float32), (np.abs(w) - gap).astype(np.float32), 2.0)
        canvas.draw(box, cover(disc, 1.2), 85.0, ids["discs"], texture=0.12)
    for name in names:
        center_z, center_y, _, depth_mm, height, *_, length, drop = VERTEBRAE[name]
        low = (-52, center_y - depth_mm - length - 26, center_z - height - drop - 16)
        box = grid.box(low, (52, center_y + depth_mm + 6, center_z + height + 14))
        if box is None:
            continue
        x, y, z = grid.points(box, grid.refinement)
        bone, canal = _vertebra(x, y, z, name)
        shell = 1.15
        nearby = np.abs(z - np.float32(center_z)) - np.float32(height + 3)
        inside = cover(np.maximum(canal, nearby + 0 * canal), 1.0)
        canvas.draw(box, inside, 22.0, ids["spinal_canal"])
        draw_bone(canvas, box, bone, ids[f"vertebra_{name}"], cortical=840.0, trabecular=215.0, shell=shell)
    draw_tube(canvas, Tube(_cord(), np.tile([0.0, 1.0, 0.0], (60, 1))), ids["spinal_cord"], 40.0, 40.0, 1.0)
