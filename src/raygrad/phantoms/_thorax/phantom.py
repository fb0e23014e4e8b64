"""An anthropomorphic thorax made by our own code: HU, labels and their names, the example CT that needs no download.

World coordinates are patient RAS+ in mm with the origin in the volume's centre: +x is the patient's right, +y front,
+z up. The trunk reaches from the lower neck to the second lumbar vertebra, arms raised as for a CT, and fills a field
of view of 360 x 360 x 332 mm. Tissue values are those of an unenhanced CT at 120 kVp.
"""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raygrad.phantoms._thorax import skeleton, spine, trunk, vessels
from raygrad.phantoms._thorax.lattice import Lattice, Layer, draw_layers, make_layer
from raygrad.phantoms._thorax.shapes import (
    Array,
    Box,
    Canvas,
    Grid,
    Number,
    ellipsoid,
    intersection,
    smooth_table,
    union,
)

SHAPE = (512, 512, 133)
SPACING = (0.703125, 0.703125, 2.5)

_NAMES = (
    "skin",
    "fat",
    "muscle",
    "pectoralis",
    "erector_spinae",
    "lung_left",
    "lung_right",
    "lung_vessels",
    "trachea_and_bronchi",
    "airway_wall",
    "heart",
    "left_ventricle_cavity",
    "right_ventricle",
    "right_atrium",
    "left_atrium",
    "aorta",
    "pulmonary_artery",
    "pulmonary_veins",
    "superior_vena_cava",
    "inferior_vena_cava",
    "great_arteries",
    "great_veins",
    "mediastinum",
    "oesophagus",
    "diaphragm",
    "abdominal_fat",
    "liver",
    "spleen",
    "stomach",
    "gas",
    "kidney_left",
    "kidney_right",
    "bowel",
    "spinal_canal",
    "spinal_cord",
    "discs",
    "costal_cartilage",
    "sternum",
    "clavicle_left",
    "clavicle_right",
    "scapula_left",
    "scapula_right",
    "humerus_left",
    "humerus_right",
    *skeleton.bony_parts(),
)
STRUCTURES: dict[int, str] = {0: "background", **dict(enumerate(_NAMES, start=1))}


def make_thorax(
    shape: Sequence[int] = SHAPE, spacing: Sequence[Number] = SPACING, seed: int = 0
) -> tuple[NDArray[np.int16], NDArray[np.uint8], dict[int, str]]:
    """A thorax in HU with a labelmap.

    Args:
        shape: (X, Y, Z) number of voxels.
        spacing: size of a voxel in mm. Other shapes and spacings give the same anatomy at another resolution.
        seed: what the textures, the lungs' vessel trees and the small asymmetries are drawn from.

    Returns:
        hu: (X, Y, Z) int16, labels: (X, Y, Z) uint8, both with x contiguous in memory as image files have it, and
        structures: the name of each label; 0 is the background.

    Raises:
        ValueError: if the shape is not three integers of at least 2 or the spacing not three positive lengths.
    """
    if len(shape) != 3 or any(n < 2 for n in shape):
        raise ValueError(f"shape must be three integers of at least 2, got {tuple(shape)}")
    if len(spacing) != 3 or not all(0 < s < float("inf") for s in spacing):
        raise ValueError(f"spacing must be three positive lengths in mm, got {tuple(spacing)}")
    grid = Grid(
        (int(shape[0]), int(shape[1]), int(shape[2])), (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    )
    rng = np.random.default_rng(seed)
    grain = rng.standard_normal((8, 96, 104), dtype=np.float32)
    canvas = Canvas(grid, np.empty(grid.shape[::-1], np.int16), np.zeros(grid.shape[::-1], np.uint8), grain)
    ids = {name: number for number, name in STRUCTURES.items()}
    lattice = Lattice(grid)
    noise = np.float32(0.58) * lattice.noise(rng, 1) + np.float32(0.81) * lattice.noise(rng, 4)
    layers, lungs = _soft_tissue(lattice, ids, lattice.noise(rng, 8))
    draw_layers(canvas, lattice, layers, noise, threads=min(4, os.cpu_count() or 1))
    vessels.draw_great_vessels(canvas, ids)
    for side, lung in lungs.items():
        deep = np.nonzero((lung < -3.5).T)
        inside = np.column_stack([axis[index] for axis, index in zip(lattice.axes, deep, strict=True)])
        vessels.draw_lung_vessels(canvas, side, inside, ids[f"lung_{side}"], ids["lung_vessels"], rng)
    spine.draw_spine(canvas, ids)
    skeleton.draw_ribs(canvas, ids, rng)
    skeleton.draw_sternum(canvas, ids)
    skeleton.draw_shoulders(canvas, ids)
    np.clip(canvas.hu, -1024, 1500, out=canvas.hu)
    return canvas.hu.T, canvas.labels.T, dict(STRUCTURES)


def _soft_tissue(lattice: Lattice, ids: dict[str, int], broad: Array) -> tuple[list[Layer], dict[str, Array]]:
    """The layers from the skin inwards, and the lungs' fields for their vessels; `broad` is slow noise."""
    everything = lattice.everything
    x, y, z = lattice.points(everything)
    body = trunk.body(x, y, z)
    cage = trunk.cage(x, y, z)
    fat = trunk.fat_thickness(x, y, z) + np.float32(1.2) * broad
    height = trunk.diaphragm_height(x, y)
    above = height - z  # negative above the diaphragm
    spine_x = spine.spine_x(z.reshape(-1)).astype(np.float32)[:, None, None]
    spine_y = spine.spine_y(z.reshape(-1)).astype(np.float32)[:, None, None]
    column = trunk.spine_bulge(x, y, z, spine_x, spine_y)

    central = lattice.box((-118, -80, -80), (80, 110, 195))
    points = lattice.points(central)
    chambers = vessels.heart_chambers(*points, above[central])
    heart = chambers["left ventricle"]
    for name in ("right ventricle", "right atrium", "left atrium"):
        heart = union(heart, chambers[name], 10.0)
    mass = union(heart - 3.5, vessels.vascular_pedicle(*points) - 2.0, 12.0)
    partition = _mediastinal_partition(x, y, z, spine_x)
    mediastinum = union(partition, column, 8.0)
    mediastinum[central] = union(mediastinum[central], mass, 8.0)

    cavity = intersection(cage, -column, 6.0)
    air_space = intersection(intersection(cage, above, 1.0), -mediastinum, 6.0)
    lungs = {
        "right": np.maximum(air_space, np.float32(2) - x),
        "left": np.maximum(air_space, x + np.float32(2)),
    }

    layers: list[Layer] = []

    def add(
        name: str, field: Array, hu: Number | Array, smooth: Number, grain: Number = 10.0, box: Box = everything
    ) -> None:
        layers.append(make_layer(lattice, field, box, hu, ids[name], smooth, grain))

    add("skin", body, 15.0, 5.0)
    add("fat", body + 1.8, -102.0, 7.0)
    streaks = np.clip((broad - 1.1) * 60, 0, 90)
    flesh = body + 1.8 + fat
    add("muscle", flesh, 54 - streaks, 9.0)
    # muscles of their own lie in a thin sheath of fat
    for name, muscle in (
        ("pectoralis", trunk.pectoralis(x, y, z, cage)),
        ("erector_spinae", trunk.erector_spinae(x, y, z, spine_x, spine_y)),
    ):
        add("fat", intersection(muscle - 2.0, flesh), -75.0, 9.0)
        add(name, intersection(muscle, flesh), 56.0, 9.0)
    for sign in (1, -1):
        axilla = union(
            ellipsoid(x, y, z, (sign * 117, 2, 92), (13, 24, 36)),
            ellipsoid(x, y, z, (sign * 86, 8, 122), (22, 20, 14)),
            8.0,
        )
        add("fat", intersection(intersection(axilla, -cage + 12), body + 14), -92.0, 14.0)
    chest = intersection(cage, above, 1.0)
    add("mediastinum", chest, -45 + 25 * np.clip(broad, -1.5, 1.5), 14.0)
    add("muscle", intersection(column, flesh + 14), 48.0, 9.0)
    add("diaphragm", intersection(cage + 0.5, -above, 1.0), 48.0, 8.0)
    below = z - height + 3.5
    belly = intersection(cavity + 2.5, below, 3.0)
    add("abdominal_fat", belly, -96.0, 8.0)
    bowel = intersection(belly + 6, np.float32(7) * (np.float32(0.25) - broad) + np.maximum(z + 95, 0), 3.0)
    add("bowel", bowel, 34.0, 14.0)
    stomach, gas = trunk.stomach(x, y, z, below - 3.5, cavity)
    add("stomach", stomach, 38.0, 12.0)
    add("spleen", trunk.spleen(x, y, z, below - 3.5, cavity), 52.0, 6.0)
    for name, sign in (("right", 1), ("left", -1)):
        add(f"kidney_{name}", intersection(trunk.kidney(x, y, z, sign), cavity + 4, 3.0), 34.0, 8.0)
    add("liver", trunk.liver(x, y, z, below - 3.5, cavity), 60.0, 7.0)
    add("gas", union(gas, intersection(trunk.colon_gas(x, y, z), belly + 6, 4.0)), -985.0, 4.0)
    depth = np.float32(-852) - np.float32(0.15) * y + np.float32(16) * broad
    for side, lung in lungs.items():
        add(f"lung_{side}", lung, depth, 22.0, 22.0)
    add("heart", heart, 50.0, 6.0, box=central)
    add("right_ventricle", chambers["right ventricle"] + 4.0, 43.0, 6.0, box=central)
    add("right_atrium", chambers["right atrium"] + 2.5, 41.0, 6.0, box=central)
    add("left_atrium", chambers["left atrium"] + 2.5, 43.0, 6.0, box=central)
    add("heart", chambers["left ventricle"], 54.0, 6.0, box=central)
    add("left_ventricle_cavity", chambers["cavity"], 43.0, 6.0, box=central)
    return layers, lungs


def _mediastinal_partition(x: Array, y: Array, z: Array, center: Array) -> Array:
    """The wall of tissue between the lungs: broad at the back and above, thin behind the sternum."""
    front = smooth_table(y.reshape(-1), (-70, 20), (-45, 15), (-20, 9), (5, 11), (25, 12), (48, 7), (70, 4), (100, 4))
    inlet = smooth_table(
        z.reshape(-1), (-180, 26), (-50, 12), (-20, 2), (40, 0), (85, 1), (110, 5), (128, 10), (150, 14), (185, 20)
    )
    half = front.astype(np.float32)[None, :, None] + inlet.astype(np.float32)[:, None, None]
    return np.abs(x - center) - half
