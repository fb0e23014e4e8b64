"""Surfaces of skin and bone for the scene: made in the background when a page asks for them, coarse enough to turn."""

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raygrad._cockpit._frame import mesh_frame
from raygrad._errors import InputError
from raygrad._optional import require
from raygrad.data import Volume

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

LEVELS = {"skin": -300.0, "bone": 250.0}
"""In HU, at first."""
MOST_TRIANGLES = 60_000
FINEST_MM = 3.0
COARSER = 1.25
AIR = -1024.0


class Surfaces:
    """Those that pages asked for.

    Args:
        session: whose CT it is, and whom the surfaces are for.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._levels = dict(LEVELS)
        self._made: dict[str, float] = {}
        self._wanted: set[str] = set()
        self._thread: threading.Thread | None = None
        self._ended = False
        session.parts["surfaces"] = self.described

    def ask(self, name: str, level: float | None = None) -> None:
        """Make a surface at a level in HU, by default the one that it has. What is there already is not made again.

        Raises:
            InputError: no such surface, or no such level.
            MissingLibraryError: scikit-image is not installed.
        """
        if name not in LEVELS:
            raise InputError(f"Expected a surface among {', '.join(LEVELS)}. Got {name!r}.")
        if level is not None and not -1024 <= level <= 3071:
            raise InputError(f"Expected a level from -1024 to 3071 HU. Got {level:g}.")
        require("skimage", "surfaces", extra="cockpit")
        with self._session.lock:
            self._levels[name] = self._levels[name] if level is None else level
            if self._made.get(name) != self._levels[name]:
                self._wanted.add(name)
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="raygrad cockpit: surfaces", daemon=True)
                self._thread.start()
        self._tell()

    def described(self) -> dict[str, Any]:
        """For the page: the level of each, and whether it is being made."""
        return {
            name: {"level": level, "making": self._made.get(name) != level and self._thread is not None}
            for name, level in self._levels.items()
        }

    def wait(self, seconds: float) -> None:
        """Until all are made that were asked for."""
        if (thread := self._thread) is not None:
            thread.join(seconds)

    def close(self) -> None:
        """Make no more."""
        self._ended = True

    def _tell(self) -> None:
        self._session.tell({"type": "surfaces", "surfaces": self.described()})

    def _run(self) -> None:
        _be_modest()
        while True:
            with self._session.lock:
                if not self._wanted or self._ended:
                    self._thread = None
                    break
                name = next(iter(self._wanted))
                self._wanted.remove(name)
                level = self._levels[name]
            vertices, faces = surface(self._session.subject.volume, level, filled=name == "skin")
            with self._session.lock:
                self._made[name] = level
                self._session.show(mesh_frame(f"surface {name}", vertices, faces, level=level))
            self._tell()
        self._tell()


def surface(
    volume: Volume, level: float, most: int = MOST_TRIANGLES, outside: float = AIR, filled: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The closed surface around what is above a level, by marching cubes on voxels that are joined to larger ones.

    They are as large as it takes to have few triangles. Where what is above the level meets the edge of the volume, the
    surface closes it off.

    Args:
        volume: the values.
        level: between what is outside of the surface and what is inside.
        most: number of triangles.
        outside: what lies around the volume.
        filled: cavities are taken for inside, such as the lungs within the skin.

    Returns:
        Vertices (n, 3) in the volume's world, mm, float32, and triangles (m, 3), uint32, counter-clockwise from
        outside.
    """
    marching_cubes = require("skimage", "surfaces", extra="cockpit").measure.marching_cubes
    size = FINEST_MM
    while True:
        steps = [max(1, round(size / spacing)) for spacing in volume.spacing]
        values = _joined(volume.voxels, steps).numpy()
        values = np.pad(values, 1, constant_values=min(outside, level - 1.0))
        if filled:
            values = _filled(values, level)
        if not (values.min() < level < values.max()):
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint32)
        vertices, faces, _, _ = marching_cubes(values, level)
        if len(faces) <= most or max(values.shape) < 8:
            break
        size *= max(COARSER, 0.95 * (len(faces) / most) ** 0.5)  # triangles are as many as faces of voxels at it
    in_voxels = (vertices - 1.0 + 0.5) * steps - 0.5
    points = in_voxels @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    corner = points[faces]
    enclosed = np.einsum(
        "ni,ni->", corner[:, 0] - points[0], np.cross(corner[:, 1] - points[0], corner[:, 2] - points[0])
    )
    faces = faces if enclosed >= 0 else faces[:, ::-1]
    return points.astype(np.float32), faces.astype(np.uint32)


def _joined(voxels: torch.Tensor, steps: list[int]) -> torch.Tensor:
    """Means of so many voxels each way, less what is left over at the ends; slab by slab, to hold little at once."""
    x, y, z = steps
    n_slabs = max(1, voxels.shape[2] // z)
    slabs = []
    for number in range(n_slabs):
        slab = voxels[:, :, number * z : (number + 1) * z].float().mean(-1)
        size = min(x, slab.shape[0]), min(y, slab.shape[1])
        slabs.append(torch.nn.functional.avg_pool2d(slab[None, None], size)[0, 0])
    return torch.stack(slabs, -1)


def _filled(values: np.ndarray, level: float) -> np.ndarray:
    """With what lies below the level but is cut off from the outside raised above it."""
    label = require("skimage", "surfaces", extra="cockpit").measure.label
    empty = label(values < level, connectivity=1)
    return np.where((empty > 0) & (empty != empty[0, 0, 0]), level + 200.0, values)


def _be_modest() -> None:
    """This thread runs when others do not: what hands do goes first."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
