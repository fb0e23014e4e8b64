"""Images on their way to the page: numbers as they are, so that window and level are the page's own matter."""

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """An array with a header. A newer one of the same key takes its place wherever it waits.

    Attributes:
        key: what it shows: "drr 0", "xray 1", "slice axial".
        array: of uint8, uint16, int16, uint32 or float32.
        header: what else the page needs, of JSON.
        kept: sent to every page that comes later, too.
    """

    key: str
    array: np.ndarray
    header: dict[str, Any] = field(default_factory=dict)
    kept: bool = True

    def encoded(self, number: int) -> bytes:
        """The length of the header (uint32), the header as JSON, zeros up to a multiple of 8, the array.

        All little-endian, C order. `number` is what the page says back once it has shown it.
        """
        array = np.ascontiguousarray(self.array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        header = {"key": self.key, "number": number, "shape": array.shape, "dtype": array.dtype.name, **self.header}
        text = json.dumps(header, allow_nan=False).encode()
        text += b" " * (-(4 + len(text)) % 8)
        return struct.pack("<I", len(text)) + text + array.tobytes()


def grey_frame(key: str, image: np.ndarray, **header: Any) -> Frame:
    """An image as 16 bits between its lowest and highest number, which the header has as "low" and "high"."""
    image = np.asarray(image, dtype=np.float32)
    low, high = float(image.min()), float(image.max())
    scale = 65535.0 / (high - low) if high > low else 0.0
    return Frame(key, np.round((image - low) * scale).astype(np.uint16), {"low": low, "high": high, **header})


def mesh_frame(key: str, vertices: np.ndarray, faces: np.ndarray, **header: Any) -> Frame:
    """A surface in one array of uint32: the vertices (n, 3) as float32, bit by bit, then the triangles (m, 3).

    The header has n as "vertices". Coordinates are mm in the frame of the body that it belongs to.
    """
    points = np.ascontiguousarray(vertices, dtype="<f4").reshape(-1).view("<u4")
    array = np.concatenate([points, np.asarray(faces, dtype=np.uint32).reshape(-1)])
    return Frame(key, array, {"vertices": len(vertices), **header})
