"""The bones of the thorax other than the spine: ribs, sternum, clavicles, scapulae, humeri.

Sizes are those of an adult as anatomy textbooks give them; x is to the patient's right, so `side` is +1 for the right
and -1 for the left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raygrad.phantoms._thorax.shapes import (
    Array,
    Canvas,
    Number,
    Tube,
    Values,
    capsule,
    draw_bone,
    draw_tube,
    ellipsoid,
    frame_of,
    intersection,
    rods,
    smooth_table,
    spline,
    union,
)
from raygrad.phantoms._thorax.spine import VERTEBRAE, spine_x
from raygrad.phantoms._thorax.trunk import cage_table

# rib: how far it falls from its tubercle to its front end, |x| of that end (or of the free tip), half height, half
# thickness
RIBS: dict[int, tuple[Number, ...]] = {
    1: (36, 31, 6.8, 3.6),
    2: (55, 41, 5.8, 4.4),
    3: (72, 48, 5.8, 4.6),
    4: (88, 55, 6.0, 4.8),
    5: (100, 62, 6.2, 4.9),
    6: (108, 72, 6.4, 5.0),
    7: (113, 84, 6.6, 5.0),
    8: (111, 97, 6.4, 4.9),
    9: (102, 108, 6.2, 4.7),
    10: (88, 117, 6.0, 4.5),
    11: (62, 122, 5.4, 4.0),
    12: (36, 88, 4.6, 3.6),
}
_STERNAL_NOTCH = {1: (22, 113), 2: (19, 88), 3: (17, 66), 4: (18, 47), 5: (19, 29), 6: (18, 13), 7: (14, 2)}


def sternum_y(z: Values) -> NDArray[np.float64]:
    """The sternum's middle plane, leaning forward on its way down."""
    return smooth_table(z, (-30, 91), (0, 91), (30, 87.5), (60, 80.5), (85, 72), (105, 62.5), (128, 52))


@dataclass(frozen=True)
class Rib:
    """The centre line of a rib and of its cartilage (empty for floating ribs)."""

    bone: NDArray[np.float64]
    cartilage: NDArray[np.float64]


def rib_path(number: int, side: int, wobble: Number = 0.0) -> Rib:
    """Rows (x, y, z): from the vertebra back and out along the cage, then down and forward; then the cartilage."""
    level = VERTEBRAE[f"T{number}"]
    center_z, center_y, width, depth, height, _, reach, *_ = level
    drop, end_x, _, thick = RIBS[number]
    drop += wobble
    shift = float(spine_x(center_z))
    outside = 3.0 + thick
    tubercle = np.array([side * (reach + 3.0) + shift, center_y - depth - 17.0, center_z + 0.55 * height])
    head = np.array([side * (width + 0.5) + shift, center_y - 0.75 * depth, center_z + 0.8 * height])
    if number > 10:  # no tubercle: the rib leaves the vertebra outwards at once
        tubercle = head + np.array([side * 15.0, -14.0, -6.0])
    neck = 0.5 * (head + tubercle)

    def on_cage(turn: NDArray, z: NDArray) -> NDArray:
        half, front, back = cage_table(z).T
        middle, half_y = (front + back) / 2, (front - back) / 2
        exponent = 2 / 2.25
        x = (half + outside) * np.abs(np.sin(turn)) ** exponent
        y = middle - (half_y + outside) * np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** exponent
        return np.column_stack([side * x, y, z])

    end_z = tubercle[2] - drop
    end_half = float(cage_table(np.array([end_z]))[0, 0]) + outside
    last = np.arcsin(min(end_x / end_half, 1.0) ** (2.25 / 2))
    if number <= 10:
        last = np.pi - last
    begin_half = float(cage_table(np.array([tubercle[2]]))[0, 0]) + outside
    first = np.arcsin(min((abs(tubercle[0]) + (17.0 if number > 1 else 7.0)) / begin_half, 0.95) ** (2.25 / 2))
    turn = np.linspace(first, last, 15)
    fraction = (turn - first) / (last - first)
    # the back of a rib falls gently, its side steeply
    begin = 0.03 if number <= 10 else 0.20
    sag = smooth_table(fraction, (0, begin), (0.25, 0.17 + begin), (0.5, 0.50), (0.75, 0.80), (1.0, 1.0))
    cage = on_cage(turn, tubercle[2] - drop * sag)
    bone = spline(np.vstack([head, neck, tubercle, cage]), 44 if number < 11 else 26)
    if number > 10:
        return Rib(bone, np.zeros((0, 3)))

    def in_front(points: NDArray) -> NDArray:
        """The points moved forward or back onto the cage."""
        half, front, back = cage_table(points[:, 2]).T
        middle, half_y = (front + back) / 2, (front - back) / 2
        share = np.clip(1 - (np.abs(points[:, 0]) / (half + outside)) ** 2.25, 0, 1) ** (1 / 2.25)
        y = middle + (half_y + outside) * share
        y = y + (points[0, 1] - y[0]) * np.linspace(1, 0, len(points))
        return np.column_stack([points[:, 0], y, points[:, 2]])

    start = bone[-1]
    along = bone[-1] - bone[-3]
    along = along / np.sqrt(along @ along)
    if number <= 7:
        notch_x, notch_z = _STERNAL_NOTCH[number]
        target = np.array([side * notch_x, float(sternum_y(notch_z)) + 0.5, notch_z])
        run = np.sqrt(np.square(target - start).sum())
        bend = start + along * run * 0.42
        ahead = target + np.array([side * 0.22 * run, 0.5, -0.16 * run])
        return Rib(bone, in_front(spline(np.vstack([start, bend, ahead, target]), 16)))
    above = rib_path(number - 1, side).cartilage
    target = above[5 if number == 8 else 4] + np.array([0.0, -1.0, -6.0])
    run = np.sqrt(np.square(target - start).sum())
    return Rib(bone, in_front(spline(np.vstack([start, start + along * run * 0.4, target]), 12)))


def _cage_normals(points: NDArray[np.float64]) -> NDArray[np.float64]:
    outward = np.column_stack([points[:, 0], points[:, 1] + 8.0, 0.12 * np.abs(points[:, 0])])
    return outward / np.sqrt(np.square(outward).sum(1, keepdims=True))


def draw_ribs(canvas: Canvas, ids: dict[str, int], rng: np.random.Generator) -> None:
    """Costal cartilages, then the 24 ribs, each a little different from its mirror image."""
    paths = {}
    for number in RIBS:
        for side, name in ((1, "right"), (-1, "left")):
            paths[number, name] = rib_path(number, side, wobble=float(rng.uniform(-3, 3)))
    for (number, _), rib in paths.items():
        if len(rib.cartilage):
            taper = np.linspace(1.0, 0.85, len(rib.cartilage))[:, None]
            radii = taper * np.array([[RIBS[number][2] * 0.95, RIBS[number][3] * 1.05]])
            draw_tube(
                canvas,
                Tube(np.hstack([rib.cartilage, radii]), _cage_normals(rib.cartilage)),
                ids["costal_cartilage"],
                cortical=170.0,
                trabecular=95.0,
                shell=1.4,
            )
    for (number, name), rib in paths.items():
        count = len(rib.bone)
        along = np.linspace(0, 1, count)
        high, thick = RIBS[number][2:]
        neck = np.interp(along, [0, 0.03, 0.10, 0.22, 0.9, 1.0], [0.75, 0.62, 0.74, 1.0, 1.0, 1.05])
        wide = high * neck * np.interp(along, [0, 0.06, 0.2], [0.8, 0.72, 1.0])
        flat = thick * np.interp(along, [0, 0.04, 0.16, 0.3, 0.85, 1.0], [0.85, 0.7, 0.85, 1.05, 0.95, 1.05])
        normals = _cage_normals(rib.bone)
        if number == 1:  # the first rib lies flat
            normals = normals * [0.35, 0.35, 0] + [0, 0.25, 0.9]
        if number > 10:
            flat = flat * np.interp(along, [0.7, 1.0], [1.0, 0.7])
            wide = wide * np.interp(along, [0.7, 1.0], [1.0, 0.6])
        tube = Tube(np.column_stack([rib.bone, wide, flat]), normals)
        draw_tube(canvas, tube, ids[f"rib_{name}_{number}"], cortical=1230.0, trabecular=420.0, shell=2.0)


def draw_sternum(canvas: Canvas, ids: dict[str, int]) -> None:
    """Manubrium, body and xiphoid process."""

    def plate(rows: list[tuple[Number, ...]], count: int) -> Tube:
        z, wide, flat = np.array(rows).T
        points = spline(np.column_stack([np.zeros_like(z) + 0.5, sternum_y(z), z, wide, flat]), count)
        slope = np.gradient(points[:, 1], points[:, 2])
        return Tube(points, np.column_stack([np.zeros(count), np.ones(count), -slope]))

    manubrium = plate([(122, 21, 6.5), (114, 27, 7.0), (104, 24, 6.5), (94, 18, 6.0), (90, 17, 5.5)], 9)
    body = plate([(82, 15, 5.2), (70, 16, 5.4), (50, 17.5, 5.4), (30, 19, 5.4), (12, 18, 5.2), (2, 13, 4.6)], 14)
    xiphoid = plate([(-4, 8, 3.6), (-14, 7, 3.2), (-24, 4.5, 2.6)], 5)
    draw_tube(canvas, xiphoid, ids["sternum"], 320.0, 130.0, 1.2)
    draw_tube(canvas, manubrium, ids["sternum"], 800.0, 140.0, 1.1)
    draw_tube(canvas, body, ids["sternum"], 800.0, 140.0, 1.1)


_CLAVICLE = [
    (20, 58, 116, 10.0, 8.8),
    (33, 63, 117, 7.8, 7.2),
    (54, 62, 118, 6.6, 6.4),
    (76, 49, 121, 6.2, 5.8),
    (95, 27, 127, 6.6, 5.6),
    (110, 9, 136, 8.0, 5.2),
    (121, -3, 145, 8.6, 5.0),
]


def draw_shoulders(canvas: Canvas, ids: dict[str, int]) -> None:
    """Clavicles, scapulae and the upper ends of the humeri, arms raised; the left stands a little lower."""
    for side, name in ((1, "right"), (-1, "left")):
        lower = 0.0 if side > 0 else 2.5
        mirror = np.array([side, 1.0, 1.0])
        offset = np.array([0.0, 0.0, -lower])
        rows = spline(np.array(_CLAVICLE), 24)
        rows[:, :3] = rows[:, :3] * mirror + offset * np.linspace(0.2, 1.4, 24)[:, None]
        clavicle = Tube(rows, np.tile([0.0, 0.25, 1.0], (24, 1)))
        draw_tube(canvas, clavicle, ids[f"clavicle_{name}"], 1200.0, 320.0, 2.4)
        _draw_humerus(canvas, mirror, offset, ids[f"humerus_{name}"])
        _draw_scapula(canvas, mirror, offset, ids[f"scapula_{name}"])


def _draw_humerus(canvas: Canvas, mirror: NDArray, offset: NDArray, label: int) -> None:
    head = np.array([138.0, -17, 141]) * mirror + offset
    box = canvas.grid.box(head - 32, head + 60)
    if box is None:
        return
    x, y, z = canvas.grid.points(box, canvas.grid.refinement)
    bone = ellipsoid(x, y, z, head, (22.5, 22, 21.5))
    shaft = capsule(x, y, z, head + mirror * (5, 3, 12), head + mirror * (14, 10, 90), 17, 12)
    draw_bone(canvas, box, union(bone, shaft, 8.0), label, 980.0, 150.0, 1.7)


def _draw_scapula(canvas: Canvas, mirror: NDArray, offset: NDArray, label: int) -> None:
    superior, inferior, neck, root, glenoid, acromion, coracoid = (
        np.array(p) * mirror + offset
        for p in (
            (78.0, -68, 140),
            (117.0, -84, 26),
            (114.0, -36, 128),
            (84.0, -82, 124),
            (115.5, -27, 134),
            (128.0, -22, 166),
            (121.0, 6, 132),
        )
    )
    corners = np.stack([superior, inferior, neck, root, glenoid, acromion, coracoid])
    box = canvas.grid.box(corners.min(0) - 14, corners.max(0) + 14)
    if box is None:
        return
    x, y, z = canvas.grid.points(box, canvas.grid.refinement)
    blade = _blade(x, y, z, superior, inferior, neck)
    bone = union(blade, ellipsoid(x, y, z, glenoid, (6.5, 14, 18), frame_of(neck - glenoid + [0, 0, -2.0])), 5.0)
    bone = union(bone, capsule(x, y, z, neck, glenoid, 8, 8), 4.0)
    mid = 0.55 * root + 0.45 * acromion + np.array([0.0, -13.0, 0.0])
    spine = rods(
        x, y, z, [(*root, 2.5), (*mid, 3.6), (*(acromion + np.array([0, -14, -3])), 5.0), (*acromion, 5.5)], 3.0
    )
    bone = union(bone, spine, 3.0)
    hook = neck + np.array([-5.0 * mirror[0], 20, 14])
    bone = union(bone, rods(x, y, z, [(*(neck + np.array([0, 4, 8])), 6.0), (*hook, 5.0), (*coracoid, 4.2)], 3.0), 3.0)
    draw_bone(canvas, box, bone, label, 1050.0, 260.0, 1.5)


def _blade(x: Array, y: Array, z: Array, superior: NDArray, inferior: NDArray, neck: NDArray) -> Array:
    """The thin triangular plate, hollow towards the ribs, with thicker borders."""
    rows = frame_of(inferior - superior, neck - superior)
    corners = np.stack([superior, inferior, neck])
    flat = (corners - superior) @ rows.T
    dx, dy, dz = x - np.float32(superior[0]), y - np.float32(superior[1]), z - np.float32(superior[2])
    p, q, h = (np.float32(r[0]) * dx + np.float32(r[1]) * dy + np.float32(r[2]) * dz for r in rows)
    edges = []
    middle = flat[:, :2].mean(0)
    for i in range(3):
        a, b = flat[i, :2], flat[(i + 1) % 3, :2]
        normal = np.array([b[1] - a[1], a[0] - b[0]]) / np.sqrt(np.square(b - a).sum())
        if normal @ (middle - a) > 0:
            normal = -normal
        edges.append(np.float32(normal[0]) * (p - np.float32(a[0])) + np.float32(normal[1]) * (q - np.float32(a[1])))
    outline = intersection(intersection(edges[0], edges[1], 14.0), edges[2], 10.0)
    inward = np.maximum(-outline, 0)
    out = 1.0 if rows[2] @ np.array([superior[0], superior[1], 0.0]) > 0 else -1.0
    hollow = np.float32(8.0 * out) * (1 - np.exp(-np.square(inward / 14)))
    lateral = np.exp(-np.square(edges[1] / 7))
    thickness = np.float32(1.15) + np.float32(0.9) * np.exp(-np.square(inward / 4)) + np.float32(3.2) * lateral
    return intersection(outline, np.abs(h - hollow) - thickness, 1.5)


def bony_parts() -> Iterator[str]:
    """The names of the vertebrae and ribs, top to bottom."""
    yield from (f"vertebra_{level}" for level in VERTEBRAE)
    yield from (f"rib_{name}_{number}" for name in ("left", "right") for number in RIBS)
