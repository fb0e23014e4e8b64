"""DICOM RT structure sets: contours filled on the planes of a CT (PS3.3, C.8.8.5 and C.8.8.6)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raygrad._dicom import number, numbers
from raygrad._errors import InputError
from raygrad.data._segments import BACKGROUND, Segments, packed
from raygrad.data._volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_FILLED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OUT_OF_PLANE = 0.5  # how far a contour's points may be from one plane of voxels, in voxels
_SAME_PLANE = 0.05
_ROUNDED = 1e-3  # of the distance between contours, so that of two planes at its halves one is taken, whatever rounding

Contours = dict[float, list[np.ndarray]]
"""Polygons (point, 2) in voxels, by the plane that they are in."""

LARGEST_ROI = 2**31 - 1


def segments_of(dataset: "Dataset", path: Path, grid: Volume, labels: int | Sequence[int] | None) -> Segments:
    """The structures by their ROI numbers, on the grid of a CT in whose frame of reference they were drawn.

    A voxel is inside if its centre is. Where contours of one structure lie within each other, the inner one is a hole
    (the even-odd rule). A plane of voxels without a contour takes that of the nearest, within half of the distance
    at which contours were drawn.

    Args:
        dataset: the structure set.
        path: of its file.
        grid: the CT.
        labels: which structures are wanted; None for all.

    Raises:
        InputError: it has no contours, or they are not in planes of the grid.
    """
    wanted = None if labels is None else [labels] if isinstance(labels, int) else list(labels)
    described = [(number(roi, "ROINumber"), roi) for roi in dataset.get("StructureSetROISequence") or []]
    names = {int(roi): str(item.get("ROIName", "")) for roi, item in described if roi is not None}
    points = {roi: _points(items, grid, names.get(roi, ""), path) for roi, items in _contours(dataset).items()}
    points = {roi: polygons for roi, polygons in points.items() if polygons and roi > 0}
    if not points:
        raise InputError(f"Expected closed contours. {path.name} has none.")
    if (largest := max(points)) > LARGEST_ROI:
        raise InputError(f"Expected ROI numbers up to {LARGEST_ROI}. {path.name} has {largest}.")
    thickness = sum(np.ptp(polygon, axis=0) for polygons in points.values() for polygon in polygons)
    across = int(np.argmin(thickness))
    planes = {roi: _by_plane(polygons, across, names.get(roi, ""), path) for roi, polygons in points.items()}
    gaps = [np.diff(sorted(contours)).min() for contours in planes.values() if len(contours) > 1]
    reach = max(1.0, min(gaps, default=1.0)) / 2

    axes = [across, *(axis for axis in (2, 1, 0) if axis != across)]
    shape = [grid.spatial_shape[axis] for axis in axes]
    chosen = {roi: contours for roi, contours in sorted(planes.items()) if wanted is None or roi in wanted}
    filled = ((roi, _filled(contours, shape, reach)) for roi, contours in chosen.items())
    layers = packed(filled, shape)
    if chosen and not any(layer.any() for layer in layers):
        raise InputError(f"Expected structures that overlap the volume. None of {path.name} does.")
    to_xyz = [axes.index(axis) for axis in range(3)]
    return Segments(tuple(Volume(layer.transpose(to_xyz), grid.affine) for layer in layers), {0: BACKGROUND} | names)


def _contours(dataset: "Dataset") -> dict[int, list["Dataset"]]:
    of_roi: dict[int, list[Dataset]] = {}
    for roi in dataset.get("ROIContourSequence") or []:
        contours = [item for item in roi.get("ContourSequence") or [] if item.get("ContourGeometricType") in _FILLED]
        of_roi.setdefault(int(number(roi, "ReferencedROINumber") or 0), []).extend(contours)
    return of_roi


def _points(contours: list["Dataset"], grid: Volume, name: str, path: Path) -> list[np.ndarray]:
    """The polygons (point, 3) in voxels."""
    world_to_voxel = np.linalg.inv(grid.affine)
    polygons = []
    for contour in contours:
        values = numbers(contour, "ContourData")
        if len(values) % 3 or not values:
            raise InputError(f"Expected contours of finite points. '{name}' of {path.name} has others: it is damaged.")
        ras = np.reshape(values, (-1, 3)) * (-1, -1, 1)
        polygons.append(ras @ world_to_voxel[:3, :3].T + world_to_voxel[:3, 3])
    return polygons


def _by_plane(polygons: list[np.ndarray], across: int, name: str, path: Path) -> Contours:
    planes: Contours = {}
    for polygon in sorted(polygons, key=lambda polygon: float(polygon[:, across].mean())):
        if np.ptp(polygon[:, across]) > _OUT_OF_PLANE:
            raise InputError(f"Expected contours in planes of the CT. Those of '{name}' of {path.name} are oblique.")
        at = float(polygon[:, across].mean())
        last = next(reversed(planes), None)
        at = last if last is not None and at - last < _SAME_PLANE else at
        within = [axis for axis in (0, 1, 2) if axis != across]
        planes.setdefault(at, []).append(polygon[:, within])
    return planes


def _filled(contours: Contours, shape: Sequence[int], reach: float) -> dict[int, np.ndarray]:
    """Where a structure is, by the planes of voxels that it is in."""
    heights = np.array(list(contours))
    filled, inside = {}, {}
    for plane in range(max(0, int(heights[0] - reach)), min(shape[0], int(heights[-1] + reach) + 2)):
        near = heights[np.floor((heights - plane) / (2 * reach) + 0.5 - _ROUNDED) == 0]
        if len(near):
            nearest = float(near[np.abs(near - plane).argmin()])
            if nearest not in filled:
                filled[nearest] = fill(contours[nearest], (shape[1], shape[2]))
            inside[plane] = filled[nearest]
    return inside


def fill(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Which points (row, column) with whole coordinates have an odd number of edges to their left.

    Args:
        polygons: closed ones, their points (column, row).
        shape: rows and columns.
    """
    crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
    for polygon in polygons:
        (x, y), (next_x, next_y) = polygon.T, np.roll(polygon, -1, axis=0).T
        first = np.ceil(np.minimum(y, next_y)).clip(0, shape[0]).astype(int)  # an edge has its lower end, not its upper
        count = np.ceil(np.maximum(y, next_y)).clip(0, shape[0]).astype(int) - first
        edge = np.repeat(np.arange(len(x)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        at = x[edge] + (row - y[edge]) * ((next_x - x)[edge] / (next_y - y)[edge])
        np.add.at(crossings, (row, np.ceil(at).clip(0, shape[1]).astype(int)), 1)
    return np.cumsum(crossings[:, :-1], axis=1) % 2 == 1
