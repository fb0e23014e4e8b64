"""What a mesh has to be before rays are sent through it: closed, its triangles turned outwards, its length in mm."""

import warnings

import numpy as np

from raygrad._errors import InputError
from raygrad.scene._solid import SceneWarning

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
_LEAST, _SMALL, _GREATEST = 1.0, 4.0, 1000.0
"""Largest extents in mm below which lengths are metres, below which they may be inches, and above which micrometres."""


def check_numbers(vertices: np.ndarray, faces: np.ndarray, name: str) -> None:
    """Raise InputError unless these are vertices and triangles between them."""
    if vertices.ndim != 2 or vertices.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise InputError(
            f"Expected vertices (n, 3) and triangles (m, 3) of {name}. Got {vertices.shape} and {faces.shape}."
        )
    if len(faces) == 0 or len(vertices) == 0:
        raise InputError(f"Expected triangles in {name}. Got none.")
    if not np.isfinite(vertices).all():
        raise InputError(
            f"Expected finite vertices in {name}. Got {int((~np.isfinite(vertices)).any(1).sum())} others."
        )
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(
            f"Expected triangles of the {len(vertices)} vertices in {name}. Got numbers from {faces.min()} to "
            f"{faces.max()}."
        )


def scale_of(unit: str | None, vertices: np.ndarray, name: str) -> float:
    """How many mm a length of 1 is. Where no unit is said it is mm, and the size has to be that of something in mm.

    Raises:
        InputError: the size is that of a mesh in metres or micrometres, or no such unit.
    """
    if unit is not None:
        if unit not in UNITS:
            raise InputError(f"Expected unit as one of {', '.join(UNITS)}. Got {unit!r}.")
        return UNITS[unit]
    extent = float((vertices.max(0) - vertices.min(0)).max())
    size = f"largest extent of {name} is {extent:.3g}"
    if extent < _LEAST:
        raise InputError(
            f"Expected lengths in mm, but the {size}, as in metres. Say unit='m', or unit='mm' if it is so small."
        )
    if extent > _GREATEST:
        raise InputError(f"Expected lengths in mm, but the {size}. Scale it, or say unit='mm' if it is so large.")
    if extent < _SMALL:
        warnings.warn(f"The {size} mm. Say unit='inch' if it is in inches, or unit='mm'.", SceneWarning, stacklevel=4)
    return 1.0


def welded(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The triangles by one number for every place, however many vertices are there: in STL each has its own."""
    order = np.lexsort(vertices.T)
    sorted_vertices = vertices[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (sorted_vertices[1:] != sorted_vertices[:-1]).any(1)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = order[new][new.cumsum() - 1]
    return number[faces]


def open_edges(faces: np.ndarray) -> tuple[int, int]:
    """Edges with an odd number of triangles, and those whose triangles are turned against each other."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = edges[:, 0] < edges[:, 1]
    keys = edges.min(1) * (faces.max(initial=0) + 1) + edges.max(1)
    _, where, count = np.unique(keys, return_inverse=True, return_counts=True)
    net = np.bincount(where.reshape(-1), np.where(forward, 1, -1))
    odd = count % 2 == 1
    return int(odd.sum()), int(((net != 0) & ~odd).sum())


def parts_of(faces: np.ndarray, n_vertices: int) -> np.ndarray:
    """The number of the connected part that each triangle belongs to."""
    label = np.arange(n_vertices)
    while True:
        own = label[faces]
        least = own.min(1)
        if (own == least[:, None]).all():
            return np.unique(least, return_inverse=True)[1].reshape(-1)
        # The trees that meet in a triangle become one, then all of its vertices hang from the root.
        np.minimum.at(label, own.reshape(-1), np.repeat(least, 3))
        while (label[label] != label).any():
            label = label[label]


def turned_outwards(vertices: np.ndarray, faces: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Which triangles have to be turned for every part to have its inside inside; cavities are turned inwards."""
    volumes = np.bincount(parts, _volumes(vertices, faces))
    flip = np.zeros(len(faces), dtype=bool)
    if volumes.sum() < 0:
        flip[:], volumes = True, -volumes
    if len(volumes) == 1:
        return flip
    for part in np.nonzero(volumes < 0)[0]:
        own = parts == part
        others = np.where((flip & ~own)[:, None], faces[:, ::-1], faces)[~own]
        if round(_winding(vertices[faces[own][0, 0]], vertices[others])) < 1:  # it is no cavity
            flip[own] = ~flip[own]
    return flip


def neighbours_together(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The triangles along a curve through space (Morton's), so that those that follow each other lie close together.

    Kernels look at balls around runs of triangles first, which are the smaller for it.
    """
    middles = vertices[faces].mean(1)
    low, size = middles.min(0), (middles.max(0) - middles.min(0)).max()
    cells = ((middles - low) / max(size, 1e-300) * 1023).astype(np.int64)
    code = np.zeros(len(faces), dtype=np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return faces[np.argsort(code, kind="stable")]


def areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Twice the area of each triangle."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1)


def _volumes(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, corner]] - vertices.mean(0) for corner in range(3))
    return (a * np.cross(b, c)).sum(-1) / 6


def _winding(point: np.ndarray, corners: np.ndarray) -> float:
    """How often triangles (n, 3, 3) go around a point, by their solid angles (van Oosterom and Strackee, 1983)."""
    a, b, c = (corners[:, corner] - point for corner in range(3))
    la, lb, lc = (np.linalg.norm(edge, axis=-1) for edge in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return float(np.arctan2(volume, below).sum() / (2 * np.pi))
