"""Slices through the CT and its labelmap, where the pages' crosshair is, and where the beams cross them.

A slice lies along two voxel axes. It is shown as radiologists look: axial ones from the feet, coronal ones from the
front, sagittal ones from the patient's left; so the right of the patient (of a sagittal slice the front) is at column
0, and the front (of the others the head) at row 0.
"""

import colorsys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad._cockpit._beams import outline
from raygrad._cockpit._frame import Frame
from raygrad._cockpit._placement import CT
from raygrad._errors import InputError
from raygrad.data import Subject, Volume

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The voxel axis that goes through each plane."""


class Slices:
    """One slice of each plane, through a point that all pages share.

    Args:
        session: whose CT it is, and whom the images are for.

    Attributes:
        indices: the voxel (i, j, k) of the crosshair, in RAS+ order.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        subject = session.subject
        self._volume = subject.volume.to_canonical()
        self._labels = None if subject.mask is None else subject.mask.to_canonical()
        self._structures = structures_of(subject)
        x, y, z = self._volume.spatial_shape
        self.indices = (x // 2, y // 2, z // 2)
        session.parts["slices"] = self.described
        session.parts["outlines"] = self.outlines
        self._show(PLANES)

    def look(self, indices: tuple[int, int, int]) -> None:
        """Put the crosshair on a voxel: those slices are shown that are new.

        Raises:
            InputError: there is no such voxel.
        """
        shape = self._volume.spatial_shape
        if not all(0 <= index < n for index, n in zip(indices, shape, strict=True)):
            raise InputError(f"Expected a voxel within {' x '.join(map(str, shape))}. Got {list(indices)}.")
        with self._session.lock:
            changed = [plane for plane, axis in PLANES.items() if indices[axis] != self.indices[axis]]
            self.indices = indices
            self._session.tell({"type": "looked", "indices": list(indices)})
            self.tell_outlines()
            self._show(changed)

    def tell_outlines(self) -> None:
        """Tell the pages where the beams cross the slices: something moved."""
        self._session.tell({"type": "outlines", "outlines": self.outlines()})

    def outlines(self) -> dict[str, list[list[list[float]]]]:
        """The corners (u, v) of each view's beam in each slice, in its pixels from the first one's outer corner."""
        session, shape = self._session, self._volume.spatial_shape
        placement = session.placement
        world_to_body = placement.bodies[CT].inverse()
        to_voxel = self._volume.world_to_voxel
        corners: dict[str, list[list[list[float]]]] = {plane: [] for plane in PLANES}
        for view, intrinsics in enumerate(placement.intrinsics):
            camera_to_body = placement.camera_to_world(view, session.subject.orientation).compose(world_to_body)
            camera_to_voxel = (to_voxel @ camera_to_body.matrix[0]).numpy()
            for plane, axis in PLANES.items():
                points = outline(intrinsics.detached(), camera_to_voxel, axis, float(self.indices[axis]))
                columns, rows = axes_of(axis)
                flipped = [[shape[columns] - 0.5 - p[columns], shape[rows] - 0.5 - p[rows]] for p in points.tolist()]
                corners[plane].append(flipped)
        return corners

    def described(self) -> dict[str, Any]:
        """For the page."""
        return {
            "indices": list(self.indices),
            "shape": list(self._volume.spatial_shape),
            "voxel_to_world": self._volume.voxel_to_world.tolist(),
            "labelled": self._labels is not None,
            "structures": self._structures,
        }

    def _show(self, planes: Any) -> None:
        for plane in planes:
            axis = PLANES[plane]
            header = {"plane": plane, "index": self.indices[axis]}
            values = slice_of(self._volume, axis, self.indices[axis])
            self._session.show(Frame(f"slice {plane}", _as_int16(values), header))
            if self._labels is not None:
                labels = slice_of(self._labels, axis, self.indices[axis])
                self._session.show(Frame(f"labels {plane}", _as_labels(labels), header))


def axes_of(axis: int) -> tuple[int, int]:
    """The voxel axes that run against the columns and against the rows of a slice across this axis."""
    columns, rows = {0: (1, 2), 1: (0, 2), 2: (0, 1)}[axis]
    return columns, rows


def slice_of(volume: Volume, axis: int, index: int) -> np.ndarray:
    """The voxels of a slice as an image (rows, columns), of a volume in RAS+ order."""
    return volume.voxels.select(axis, index).T.flip((0, 1)).numpy()


def structures_of(subject: Subject) -> dict[str, dict[str, str]]:
    """Name and colour of every label that has a name, by its number."""
    named = subject.structures if isinstance(subject.structures, Mapping) else {}
    return {
        str(int(label)): {"name": str(name).replace("_", " "), "colour": colour_of(int(label))}
        for label, name in named.items()
        if int(label) != 0
    }


def colour_of(label: int) -> str:
    """A colour as "#rrggbb". Labels whose numbers are near have hues that are not: the golden angle apart."""
    red, green, blue = colorsys.hls_to_rgb(label * 0.381966 % 1.0, 0.45 + 0.15 * (label % 3), 0.75)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _as_int16(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.int16:
        return values
    values = np.round(values) if values.dtype.kind == "f" else values
    return np.clip(values, -32768, 32767).astype(np.int16)


def _as_labels(labels: np.ndarray) -> np.ndarray:
    return labels if labels.dtype == np.uint8 else np.clip(labels, 0, 65535).astype(np.uint16)
