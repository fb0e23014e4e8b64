"""LEAP's modular beams: its parameter file, and the arguments of its `set_modularbeam` as arrays of a NPZ file.

They are those of LEAP's documentation of `set_modularbeam`: the source, the centre of the detector, and unit vectors
along which the rows (`rowVectors`, from row to row) and the columns (`colVectors`, from column to column) follow one
another. The world's axes are taken as they are, in mm, with the origin at the centre of rotation.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad._files import load_arrays, written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._numpy import is_numpy, shapes_in
from raygrad.formats._pinholes import pixel_size_of
from raygrad.formats._text import text_of
from raygrad.geometry import ConeViews, cone_vectors_of, views_of_cone_vectors

_VECTORS = ("sourcePositions", "moduleCenters", "colVectors", "rowVectors")
_NUMBERS = ("numRows", "numCols", "pixelHeight", "pixelWidth")


def _sniff(path: Path) -> bool:
    if is_numpy(path):
        return set(shapes_in(path, "")).issuperset(_VECTORS)
    return "geometry" in _parameters(text_of(path))


def _parameters(text: str | None) -> dict[str, str]:
    """What stands in lines `name = value` of a text of no others but remarks."""
    lines = [line for line in (text or "").splitlines() if line.strip() and not line.startswith("#")]
    if not all("=" in line for line in lines):
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The views of modular beams.

    Raises:
        InputError: numbers are missing, the beams are of another geometry or the detector is curved, or a view is no
            camera.
    """
    content: dict[str, Any] = dict(load_arrays(path, "") if is_numpy(path) else _parameters(text_of(path)))
    kind = str(content.get("geometry", "modular")).lower()
    if kind != "modular" or str(content.get("detectorType", "flat")).lower() != "flat":
        raise InputError(
            f"Expected modular beams on flat detectors. Got {kind} in '{path}': convert_to_modularbeam makes them."
        )
    try:
        vectors = [_numbers(content[name]).reshape(-1, 3) for name in _VECTORS]
        rows, columns, height, width = (float(_numbers(content[name]).item()) for name in _NUMBERS)
        source, middle, across, down = torch.from_numpy(np.stack(vectors, axis=1)).unbind(1)
    except KeyError as error:
        raise InputError(f"Expected {', '.join((*_NUMBERS, *_VECTORS))}. Got no {error} in '{path}'.") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected three numbers a view of each vector. Got others in '{path}': {error}.") from error
    across = width * torch.nn.functional.normalize(across, dim=-1)
    down = height * torch.nn.functional.normalize(down, dim=-1)
    try:
        return views_of_cone_vectors(torch.cat([source, middle, across, down], dim=-1), int(rows), int(columns))
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _numbers(value: Any) -> np.ndarray:
    return np.asarray(value.split(",") if isinstance(value, str) else value, dtype=np.float64)


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    """Write the arguments of `set_modularbeam`, numAngles too, as arrays.

    Raises:
        InputError: pixels that are no rectangles of one size; the number of the view is said.
    """
    width, height = pixel_size_of(views)
    source, middle, across, down = cone_vectors_of(views).reshape(-1, 4, 3).unbind(1)
    vectors = (source, middle, across / width, down / height)
    rows, columns = views.image_shape
    arrays: dict[str, Any] = dict(zip(_NUMBERS, (rows, columns, height, width), strict=True))
    arrays |= {name: vector.numpy() for name, vector in zip(_VECTORS, vectors, strict=True)}
    with written_whole(path) as unfinished:
        np.savez(unfinished, numAngles=np.array(len(views)), **arrays)


LEAP = GEOMETRIES.add(
    GeometryFormat("LEAP's modular beams", (".npz", ".txt", ".cfg"), _sniff, _read, _write, written=(".npz",))
)
