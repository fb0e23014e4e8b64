"""Which pixels a DICOM header hides: by display shutters (PS3.3, C.7.6.11) and collimators (C.8.7.3).

Rows and columns count from 1, and the edges of a shutter are the last pixels that are seen. Of several shapes the least
remains.
"""

from typing import Any

import numpy as np

from raygrad._dicom import number, numbers
from raygrad.formats._dicom_frames import places

_KINDS = {"Shutter": "FrameDisplayShutterSequence", "Collimator": "CollimatorShapeSequence"}


def seen_pixels(dataset: Any, frame: int, shape: tuple[int, int], aspect: float = 1.0) -> np.ndarray:
    """True (row, column) where neither shutter nor collimator hides a pixel.

    Args:
        dataset: a header.
        frame: counted from 0.
        shape: rows and columns.
        aspect: the height of a pixel over its width: a radius is counted in columns.
    """
    row, column = np.ogrid[1 : shape[0] + 1, 1 : shape[1] + 1]
    seen = np.ones(shape, dtype=bool)
    for kind, sequence in _KINDS.items():
        place = next((p for p in places(dataset, frame, sequence) if p.get(f"{kind}Shape")), None)
        for name in [] if place is None else _several(place[f"{kind}Shape"].value):
            if name == "RECTANGULAR":
                seen &= _between(place, f"{kind}LeftVerticalEdge", f"{kind}RightVerticalEdge", column)
                seen &= _between(place, f"{kind}UpperHorizontalEdge", f"{kind}LowerHorizontalEdge", row)
            elif name == "CIRCULAR":
                centre, radius = numbers(place, f"CenterOfCircular{kind}"), number(place, f"RadiusOfCircular{kind}")
                if len(centre) == 2 and radius is not None and radius > 0:
                    seen &= ((row - centre[0]) * aspect) ** 2 + (column - centre[1]) ** 2 <= radius**2
            elif name == "POLYGONAL":
                vertices = numbers(place, f"VerticesOfThePolygonal{kind}")
                if len(vertices) >= 6 and len(vertices) % 2 == 0:
                    seen &= _inside(np.reshape(vertices, (-1, 2)), row, column)
    return seen


def _between(place: Any, first: str, last: str, index: np.ndarray) -> np.ndarray:
    low, high = number(place, first), number(place, last)
    if low is None or high is None:
        return np.ones_like(index, dtype=bool)
    return (index >= low) & (index <= high)


def _inside(vertices: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Whether pixels are in a polygon or on its border: rays along a row cross the border an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(row.shape, column.shape), dtype=bool)
    border = inside.copy()
    for (r0, c0), (r1, c1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        side = (c1 - c0) * (row - r0) - (r1 - r0) * (column - c0)  # 0 on the edge's line
        within = (row >= min(r0, r1)) & (row <= max(r0, r1)) & (column >= min(c0, c1)) & (column <= max(c0, c1))
        border |= (side == 0) & within
        if r0 != r1:
            inside ^= ((row >= r0) != (row >= r1)) & ((side > 0) == (r1 > r0))
    return inside | border


def _several(value: Any) -> list[str]:
    words = value.split("\\") if isinstance(value, str) else list(value)
    return [str(word).strip().upper() for word in words]
