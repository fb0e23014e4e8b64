"""The soft tissue of the trunk as implicit functions: body outline, rib cage, diaphragm, abdominal organs."""

import numpy as np
from numpy.typing import NDArray

from raygrad.phantoms._thorax.shapes import (
    Array,
    Number,
    Values,
    capsule,
    ellipsoid,
    frame_of,
    intersection,
    smooth_table,
    union,
)


def cage_table(z: Values) -> NDArray[np.float64]:
    """Half width, front and back of the rib cage's inner surface at height z, as rows."""
    return smooth_table(
        z,
        (-185, 117, 80, -62),
        (-140, 121, 84, -74),
        (-100, 124, 89, -87),
        (-60, 125, 92, -97),
        (-20, 124, 91, -102),
        (20, 120, 86, -102),
        (50, 113, 77, -97),
        (75, 104, 67, -89),
        (100, 89, 54, -74),
        (120, 71, 40, -57),
        (135, 53, 26, -43),
        (146, 36, 12, -32),
        (156, 18, -2, -22),
        (166, 8, -8, -16),
    )


def _body_table(z: Values) -> NDArray[np.float64]:
    return smooth_table(
        z,
        (-185, 147, 92, -98),
        (-120, 143, 104, -104),
        (-60, 141, 109, -112),
        (-10, 143, 107, -121),
        (40, 150, 99, -121),
        (80, 157, 87, -114),
        (108, 153, 78, -103),
        (128, 130, 72, -95),
        (142, 104, 60, -86),
        (155, 76, 52, -77),
        (168, 61, 50, -71),
        (185, 57, 50, -68),
    )


def _oval(x: Array, y: Array, half: Array, front: Array, back: Array, exponent: Number) -> Array:
    """A superellipse with different halves; its value is about the distance in mm."""
    middle, depth = (front + back) / 2, (front - back) / 2
    e = np.float32(exponent)
    radius = (np.abs(x / half) ** e + np.abs((y - middle) / depth) ** e) ** (1 / e)
    return (radius - 1) * np.minimum(half, depth)


def _columns(table: NDArray[np.float64]) -> list[Array]:
    return [column.astype(np.float32)[:, None, None] for column in table.T]


def body(x: Array, y: Array, z: Array) -> Array:
    """The skin's surface: trunk and neck, shoulders, raised upper arms."""
    half, front, back = _columns(_body_table(z.reshape(-1)))
    chest = np.exp(-np.square((np.abs(x) - 62) / 38) - np.square((z - 62) / 42))
    furrow = np.exp(-np.square(x / 16)) * np.exp(-np.square((z + 30) / 110))
    front = front + np.float32(9) * chest - np.float32(3) * furrow
    back = (
        back
        + np.float32(2) * furrow
        - np.float32(4) * np.exp(-np.square((np.abs(x) - 85) / 40) - np.square((z - 85) / 55))
    )
    trunk = _oval(x, y, half, front, back, 2.25)
    for side in (-1.0, 1.0):
        shoulder = capsule(x, y, z, (side * 122, -18, 112), (side * 136, -14, 200), 43, 37)
        trunk = union(trunk, shoulder, 16.0)
        behind = capsule(x, y, z, (side * 80, -57, 114), (side * 114, -52, 144), 36, 30)
        trunk = union(trunk, behind, 14.0)
    return trunk


def cage(x: Array, y: Array, z: Array) -> Array:
    """The inside of the rib cage and, below it, of the abdominal wall."""
    half, front, back = _columns(cage_table(z.reshape(-1)))
    return _oval(x, y, half, front, back, 2.25)


def pectoralis(x: Array, y: Array, z: Array, cage_distance: Array) -> Array:
    """The chest muscles of both sides, as thick as they are between the ribs and the fat in front of them."""
    fans = ellipsoid(np.abs(x), y, z, (66, 70, 74), (54, 70, 38))
    return intersection(fans, np.float32(14.5) - cage_distance, 3.0)


def erector_spinae(x: Array, y: Array, z: Array, center_x: Array, center_y: Array) -> Array:
    """The columns of muscle along both sides of the spinous processes."""
    across, along = (np.abs(x - center_x) - 24) / 18, (y - center_y + 43) / 12
    return ((np.sqrt(np.square(across) + np.square(along)) - 1) * 12).astype(np.float32)


def fat_thickness(x: Array, y: Array, z: Array) -> Array:
    """Subcutaneous fat in mm: more at the flanks and the belly, little over spine and sternum."""
    low = 1 / (1 + np.exp((z + 40) / 35))
    flank = 1 - np.exp(-np.square(x / 60))
    return (3.5 + 3.0 * flank + low * (4.0 + 3.0 * flank) + 0 * y).astype(np.float32)


def spine_bulge(x: Array, y: Array, z: Array, center_x: Array, center_y: Array) -> Array:
    """The vertebral column with what lies beside it, as it bulges into the cavity from behind."""
    front = np.sqrt(np.square((x - center_x) / 19) + np.square((y - center_y + 6) / 23)) - 1
    behind = np.sqrt(np.square((x - center_x) / 27) + np.square((y - center_y + 44) / 30)) - 1
    return union((front * 19).astype(np.float32), (behind * 27).astype(np.float32), 10.0)


def diaphragm_height(x: Array, y: Array) -> Array:
    """Height of the domes: the right one higher; they fall steeply to the sides and to the back."""
    domes = []
    for cx, cy, top, lateral, back, front in ((54, 14, -10, 72, 88, 40), (-60, 12, -24, 66, 80, 38)):
        outward = np.sign(np.float32(cx)) * (x - np.float32(cx))
        dx = np.where(outward > 0, outward / 71, outward / 76)
        dy = np.where(y > cy, (y - np.float32(cy)) / 84, (y - np.float32(cy)) / 112)
        squared = dx * dx + dy * dy
        radius = np.minimum(np.sqrt(squared), 0.995)
        share = dx * dx / (squared + np.float32(1e-6))
        side_fall = np.where(outward > 0, np.float32(lateral), np.float32(24))
        fall = share * side_fall + (1 - share) * np.where(y > cy, np.float32(front), np.float32(back))
        bow = 1 - np.sqrt(1 - radius * radius)
        domes.append(np.float32(top) - fall * bow - np.float32(12) * np.maximum(np.sqrt(squared) - 0.995, 0))
    right = 1 / (1 + np.exp(-(x + 2) / 9))
    return (domes[0] * right + domes[1] * (1 - right)).astype(np.float32)


def liver(x: Array, y: Array, z: Array, below_dome: Array, cavity: Array) -> Array:
    """A wedge under the right dome: its lower edge rises towards the left lobe."""
    edge = smooth_table(x.reshape(-1), (-75, -46), (-45, -62), (-10, -84), (40, -112), (80, -136), (125, -150))
    lower = edge.astype(np.float32)[None, None, :] + np.float32(0.30) * (np.float32(30) - y) - z
    left = -x - np.float32(58) + np.float32(0.25) * np.abs(z + 60)
    shape = intersection(intersection(lower * np.float32(0.85), left, 20.0), below_dome + 3.5, 4.0)
    return intersection(shape, cavity + 2.5, 4.0)


def spleen(x: Array, y: Array, z: Array, below_dome: Array, cavity: Array) -> Array:
    """Behind and beside the stomach, along the tenth rib."""
    shape = ellipsoid(x, y, z, (-88, -48, -68), (50, 21, 33), frame_of((-0.35, 0.75, -0.6), (1, 0.6, 0.1)))
    return intersection(intersection(shape, below_dome + 3.5, 3.0), cavity + 3.0, 3.0)


def stomach(x: Array, y: Array, z: Array, below_dome: Array, cavity: Array) -> tuple[Array, Array]:
    """The stomach and the gas in its fundus, under the left dome."""
    fundus = ellipsoid(x, y, z, (-62, 18, -54), (33, 36, 31))
    body_of_it = capsule(x, y, z, (-55, 22, -70), (-12, 48, -118), 24, 15)
    whole = union(fundus, body_of_it, 14.0)
    whole = intersection(intersection(whole, below_dome + 4.0, 5.0), cavity + 4.0, 3.0)
    level = np.float32(-50) - z + np.float32(0.12) * (x + 60) - np.float32(0.15) * (y - 20)
    folds = 1.6 * np.sin(x * np.float32(0.31) + y * np.float32(0.13)) * np.cos(y * np.float32(0.24))
    gas = intersection(whole + 4.5 + folds.astype(np.float32), level, 10.0)
    return whole, gas


def kidney(x: Array, y: Array, z: Array, side: int) -> Array:
    """A bean beside the upper lumbar spine, the right one lower."""
    center = (side * 60.0, -40.0, -136.0 if side > 0 else -126.0)
    bean = ellipsoid(x, y, z, center, (54, 27, 29), frame_of((-0.25 * side, -0.2, 1.0), (0.8 * side, 0.5, 0)))
    hilum = ellipsoid(x, y, z, (side * 34.0, -30.0, center[2]), (16, 16, 18))
    return intersection(bean, -hilum, 6.0)


def colon_gas(x: Array, y: Array, z: Array) -> Array:
    """A few bubbles of the splenic and hepatic flexures and of the transverse colon."""
    shape = ellipsoid(x, y, z, (-99, 20, -114), (10, 12, 12))
    bubbles = (
        ((-92, 40, -138), (14, 12, 11)),
        ((-60, 66, -142), (19, 10, 10)),
        ((-28, 70, -150), (14, 9, 11)),
        ((88, 38, -158), (17, 14, 11)),
    )
    for center, size in bubbles:
        shape = union(shape, ellipsoid(x, y, z, center, size), 3.0)
    return shape
