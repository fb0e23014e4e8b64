"""Heart, great vessels, airways, and the trees of vessels in the lungs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raygrad.phantoms._thorax.shapes import (
    Array,
    Canvas,
    Number,
    Tube,
    cover,
    draw_rods,
    ellipsoid,
    frame_of,
    intersection,
    rods,
    spline,
    tube_distance,
    union,
)

# rows (x, y, z, radius) in mm along the middle of each vessel
AORTA = [
    (2, 24, 16, 15),
    (12, 33, 42, 16),
    (10, 28, 68, 15.5),
    (-2, 10, 87, 14.5),
    (-17, -14, 88, 13.5),
    (-25, -34, 74, 13),
    (-26, -42, 50, 12.5),
    (-24, -43, 20, 12),
    (-20, -39, -20, 11.5),
    (-13, -28, -60, 11),
    (-7, -13, -100, 10.5),
    (-4, -3, -140, 10),
    (-3, 2, -190, 9.5),
]
PULMONARY_TRUNK = [(-14, 42, 24, 15), (-21, 32, 42, 14.5), (-25, 14, 54, 14), (-32, -4, 58, 12), (-43, -20, 56, 10.5)]
LEFT_LOWER_ARTERY = [(-43, -20, 56, 10), (-50, -30, 42, 8.5), (-54, -37, 22, 7.0), (-57, -42, 2, 5.0)]
RIGHT_ARTERY = [(-22, 14, 50, 12), (0, 2, 48, 11.5), (24, -2, 44, 10.5), (38, -6, 38, 9.0)]
RIGHT_LOWER_ARTERY = [(38, -6, 38, 9.0), (47, -14, 22, 7.8), (53, -22, 4, 6.4), (57, -29, -12, 4.8)]
SUPERIOR_VENA_CAVA = [(24, 27, 108, 8.5), (27, 22, 84, 9.5), (27, 20, 58, 10), (25, 18, 30, 11), (22, 16, 10, 12)]
INFERIOR_VENA_CAVA = [(20, 8, -14, 13), (19, 4, -45, 12.5), (17, 4, -90, 11.5), (14, 8, -140, 10.5), (13, 10, -190, 10)]
BRACHIOCEPHALIC_VEINS = [
    [(24, 27, 108, 8), (30, 24, 124, 7), (36, 16, 142, 6), (38, 8, 190, 5.5)],
    [(24, 27, 107, 7.5), (6, 33, 111, 6.8), (-18, 27, 121, 6.5), (-33, 16, 138, 6), (-36, 8, 190, 5.5)],
    [(30, 24, 124, 5.5), (58, 22, 134, 5), (92, -4, 146, 4.5), (120, -8, 190, 4)],
    [(-30, 20, 130, 5.5), (-58, 22, 134, 5), (-92, -4, 146, 4.5), (-120, -8, 190, 4)],
]
NECK_ARTERIES = [
    [(6, 20, 94, 6.5), (14, 22, 116, 5.5), (22, 12, 142, 4), (27, 4, 190, 3.5)],
    [(-4, 10, 98, 4.5), (-12, 12, 124, 3.8), (-24, 4, 152, 3.6), (-27, 2, 190, 3.4)],
    [(-17, -12, 96, 5.5), (-24, -12, 122, 5), (-44, -4, 142, 4.5), (-80, -4, 142, 4), (-122, -12, 190, 3.5)],
    [(16, 20, 122, 5), (40, -2, 142, 4.5), (80, -4, 142, 4), (122, -12, 190, 3.5)],
]
PULMONARY_VEINS: Sequence[Sequence[tuple[Number, ...]]] = [
    [(14, -16, 26, 8), (32, -12, 27, 7), (46, -4, 34, 5)],
    [(14, -18, 12, 8), (34, -22, 6, 7), (50, -32, -8, 5)],
    [(-22, -14, 28, 8), (-38, -8, 34, 6.5), (-48, 2, 44, 5)],
    [(-22, -20, 12, 8), (-38, -28, 6, 6.5), (-52, -38, -6, 5)],
]
AZYGOS = [
    (8, -40, -90, 3.5),
    (8, -48, -20, 4),
    (9, -42, 40, 4.2),
    (14, -34, 72, 4.6),
    (26, -12, 76, 5),
    (28, 12, 74, 5),
]
OESOPHAGUS = [
    (-2, -14, 190, 7),
    (-4, -22, 130, 7),
    (-6, -30, 80, 7),
    (0, -34, 40, 7.5),
    (0, -36, 0, 7.5),
    (-10, -24, -40, 8),
    (-24, -4, -62, 8),
]
TRACHEA = [(3, 14, 190, 9), (3, 8, 160, 9), (2, -4, 128, 8.8), (4, -14, 98, 8.8), (4, -19, 70, 9.2)]
BRONCHI = [
    [(4, -19, 70, 8.5), (17, -20, 58, 7.6), (29, -20, 48, 7.2), (40, -19, 42, 5.6)],
    [(4, -19, 70, 8), (-12, -22, 58, 6.8), (-28, -25, 48, 6.4), (-42, -26, 40, 5.6)],
    [(28, -20, 50, 5), (42, -18, 58, 4.5), (56, -14, 70, 3.0)],
    [(36, -19, 43, 5.5), (42, -24, 24, 4.8), (47, -34, 2, 3.6), (54, -44, -24, 2.4)],
    [(42, -23, 26, 3.6), (54, -4, 12, 3.0), (64, 14, 2, 2.0)],
    [(-38, -26, 43, 5), (-48, -20, 52, 4.2), (-58, -8, 64, 2.8)],
    [(-40, -27, 41, 5.2), (-46, -34, 22, 4.6), (-52, -44, 0, 3.4), (-60, -54, -26, 2.2)],
]
# where arteries and veins enter each lung: (x, y, z, radius)
HILA = {
    "right": [(42, -4, 48, 6.2), (48, -16, 20, 6.2), (55, -26, -8, 6.2), (46, -4, 34, 5.4), (50, -32, -8, 5.6)],
    "left": [(-46, -16, 58, 6.2), (-52, -32, 32, 6.2), (-56, -40, 4, 6.0), (-48, 2, 44, 5.4), (-52, -38, -6, 5.4)],
}


def heart_chambers(x: Array, y: Array, z: Array, above_dome: Array) -> dict[str, Array]:
    """Left ventricle with its cavity, right ventricle, both atria; the apex to the left, front and below."""
    apex = frame_of((-0.77, 0.50, -0.36), (0.3, 0.9, 0.2))
    left = ellipsoid(x, y, z, (-36, 22, -9), (51, 36, 36), apex)
    chambers = {
        "left ventricle": left,
        "cavity": ellipsoid(x, y, z, (-33, 19, -6), (40, 23, 24), apex),
        "right ventricle": ellipsoid(
            x, y, z, (-8, 43, -7), (50, 29, 36), frame_of((-0.75, 0.25, -0.62), (0.2, 0.9, 0.2))
        ),
        "right atrium": ellipsoid(x, y, z, (17, 17, -2), (20, 30, 36), frame_of((1, 0, 0.12), (0, 1, 0))),
        "left atrium": union(
            ellipsoid(x, y, z, (-3, -14, 18), (34, 22, 25)), ellipsoid(x, y, z, (-37, 8, 31), (15, 15, 13)), 8.0
        ),
    }
    return {name: intersection(shape, above_dome + 1.0, 5.0) for name, shape in chambers.items()}


def vascular_pedicle(x: Array, y: Array, z: Array) -> Array:
    """The great vessels as one rounded mass, to shape the mediastinum around them."""
    shape = rods(x, y, z, AORTA[:10], 2.0)
    for vessel in (
        PULMONARY_TRUNK,
        RIGHT_ARTERY,
        SUPERIOR_VENA_CAVA,
        INFERIOR_VENA_CAVA[:2],
        AZYGOS[2:],
        TRACHEA[1:],
        BRONCHI[0][:3],
        BRONCHI[1][:3],
        *BRACHIOCEPHALIC_VEINS[:2],
        *NECK_ARTERIES[:2],
    ):
        shape = union(shape, rods(x, y, z, vessel, 2.0), 7.0)
    return shape


def draw_vessel(canvas: Canvas, rows: Sequence[tuple[Number, ...]], hu: Number, label: int, grow: Number = 0.0) -> None:
    """Draw a round vessel along the smooth curve through rows (x, y, z, radius)."""
    points = spline(np.array(rows, dtype=np.float64), 5 * len(rows))
    radius = np.maximum(points[:, 3:] + grow, 0.3)
    tube = Tube(np.hstack([points[:, :3], radius, radius]), np.tile([0.57, 0.74, 0.36], (len(points), 1)))
    box = canvas.grid.box(*tube.bounds(1.0))
    if box is None:
        return
    distance = tube_distance(*canvas.grid.points(box, canvas.grid.refinement), tube)
    canvas.draw(box, cover(distance, 1.0), hu, label, texture=min(0.2, 9 / abs(hu)))


def draw_great_vessels(canvas: Canvas, ids: dict[str, int]) -> None:
    """Aorta and its branches, pulmonary arteries and veins, caval veins, oesophagus, airways with their walls."""
    draw_vessel(canvas, OESOPHAGUS, 30, ids["oesophagus"])
    for vein in PULMONARY_VEINS:
        draw_vessel(canvas, vein, 42, ids["pulmonary_veins"])
    for artery in (RIGHT_ARTERY, RIGHT_LOWER_ARTERY, PULMONARY_TRUNK, LEFT_LOWER_ARTERY):
        draw_vessel(canvas, artery, 43, ids["pulmonary_artery"])
    for vein in (*BRACHIOCEPHALIC_VEINS, AZYGOS):
        draw_vessel(canvas, vein, 41, ids["great_veins"])
    draw_vessel(canvas, SUPERIOR_VENA_CAVA, 41, ids["superior_vena_cava"])
    draw_vessel(canvas, INFERIOR_VENA_CAVA, 41, ids["inferior_vena_cava"])
    for branch in NECK_ARTERIES:
        draw_vessel(canvas, branch, 44, ids["great_arteries"])
    draw_vessel(canvas, AORTA, 48, ids["aorta"], grow=0.6)
    draw_vessel(canvas, AORTA, 43, ids["aorta"], grow=-0.8)
    airways: list[Sequence[tuple[Number, ...]]] = [*BRONCHI, TRACHEA]
    for airway in airways:
        draw_vessel(canvas, airway, 25, ids["airway_wall"], grow=1.3)
    for airway in airways:
        draw_vessel(canvas, airway, -990, ids["trachea_and_bronchi"], grow=-0.2)


def grow_tree(root: NDArray, targets: NDArray, rng: np.random.Generator) -> list[tuple[NDArray, NDArray]]:
    """Pieces (x, y, z, radius) to (x, y, z, radius) of a tree from `root` that reaches every target.

    Branches head for the middle of the targets they feed and split them across the longest extent; radii follow
    Murray's law (1926), r**3 = r1**3 + r2**3, with a slightly smaller exponent.
    """
    pieces = []
    total = max(len(targets), 1)
    queue = [(root[:3], np.zeros(3), targets)]
    while queue:
        start, came, rest = queue.pop()
        radius = root[3] * (len(rest) / total) ** 0.44
        goal = rest.mean(0)
        way = goal - start
        if len(rest) == 1:
            bend = start + 0.5 * way + came * 0.12 * np.sqrt(way @ way)
            pieces.append((np.array([*start, radius]), np.array([*bend, radius * 0.85])))
            pieces.append((np.array([*bend, radius * 0.85]), np.array([*goal, radius * 0.5])))
            continue
        distance = np.sqrt(way @ way) + 1e-6
        step = 0.36 * way + 0.14 * distance * came + rng.normal(0, 0.035 * distance, 3)
        end = start + step
        middle = start + 0.5 * step + came * 0.07 * distance
        pieces.append((np.array([*start, radius]), np.array([*middle, radius * 0.97])))
        pieces.append((np.array([*middle, radius * 0.97]), np.array([*end, radius * 0.92])))
        spread = rest - goal
        axis = np.linalg.eigh(spread.T @ spread)[1][:, -1]
        position = spread @ (axis if axis[np.argmax(np.abs(axis))] > 0 else -axis)
        order = np.argsort(position, kind="stable")
        cut = int(np.clip(round(len(rest) * rng.uniform(0.3, 0.7)), 1, len(rest) - 1))
        heading = step / (np.sqrt(step @ step) + 1e-6)
        queue.append((end, heading, rest[order[:cut]]))
        queue.append((end, heading, rest[order[cut:]]))
    return pieces


def draw_lung_vessels(
    canvas: Canvas, side: str, inside: NDArray, lung_label: int, label: int, rng: np.random.Generator, count: int = 700
) -> None:
    """Arteries and veins of one lung, from its hilum to `count` random points among `inside` (n, 3)."""
    if len(inside) == 0:
        return
    targets = inside[rng.integers(0, len(inside), count)] + rng.uniform(-1.5, 1.5, (count, 3))
    roots = np.array(HILA[side], dtype=np.float64)
    arterial = rng.random(count) < 0.58
    for members, which in ((arterial, roots[:3]), (~arterial, roots[3:])):
        chosen = targets[members]
        reach = np.square((chosen[:, None] - which[None, :, :3]) * [0.7, 0.7, 1.0]).sum(-1)
        nearest = reach.argmin(1)
        for i, root in enumerate(which):
            mine = chosen[nearest == i]
            if len(mine):
                draw_rods(canvas, grow_tree(root, mine, rng), 38.0, label, over=lung_label)
