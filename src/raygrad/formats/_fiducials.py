"""Slicer's fiducials: points with labels in .mrk.json and .fcsv files, in LPS or RAS as the file itself says.

The formats are those of Slicer's documentation of markups: `coordinateSystem` and `controlPoints` with their `position`
in JSON of the markups schema, and a table of text whose remarks name the `CoordinateSystem` and the `columns`.
"""

import csv
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import suffix_of, written_whole
from raygrad.formats._registry import json_in
from raygrad.formats._text import remarks_of, text_of

# .fcsv files of Slicer before 4.11 write numbers for the names.
_TO_RAS = {"LPS": (-1.0, -1.0, 1.0), "RAS": (1.0, 1.0, 1.0), "1": (-1.0, -1.0, 1.0), "0": (1.0, 1.0, 1.0)}
_SUFFIXES = (".mrk.json", ".fcsv")
_SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
_COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc", "associatedNodeID")


class Fiducials(NamedTuple):
    """Points in RAS+ mm of the CT's own file, and a label for each: `raygrad.read(ct, fiducials=found.points)`."""

    points: Float[Tensor, "point 3"]
    labels: tuple[str, ...]


def read_fiducials(path: str | os.PathLike[str]) -> Fiducials:
    """Read the points of a .mrk.json or .fcsv file of Slicer's; points that are not placed yet are left out.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not such a file, does not say whether it is LPS or RAS, has another unit than mm, or holds a
            point (whose label is said) that is no three numbers.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of fiducials '{path}'.")
    content = json_in(path)
    found = _of_table(path) if content is None else _of_json(path, content)
    points = []
    for label, position, system in found:
        signs = _TO_RAS.get(str(system))
        if signs is None:
            raise InputError(f"Expected LPS or RAS as coordinate system. Got {system!r} in '{path}'.")
        try:
            point = [float(number) for number in position]
        except (TypeError, ValueError):
            point = []
        if len(point) != 3 or not all(map(math.isfinite, point)):
            raise InputError(f"Expected three numbers for the point {label!r}. Got {position} in '{path}'.")
        points.append([sign * number for sign, number in zip(signs, point, strict=True)])
    return Fiducials(torch.tensor(points, dtype=torch.float64).reshape(-1, 3), tuple(label for label, _, _ in found))


def _of_json(path: Path, content: Any) -> list[tuple[str, Any, Any]]:
    """Label, position and coordinate system of every point."""
    markups = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(markups, list) or not all(isinstance(markup, dict) for markup in markups):
        raise InputError(f"Expected markups of Slicer's. Got '{path}', which has none.")
    found = []
    for markup in markups:
        if markup.get("coordinateUnits", "mm") not in ("mm", ["mm", "UCUM", "millimeter"]):
            raise InputError(f"Expected points in mm. Got {markup['coordinateUnits']!r} in '{path}'.")
        for point in markup.get("controlPoints", []):
            if point.get("positionStatus", "defined") == "defined":
                label = str(point.get("label", ""))
                found.append((label, point.get("position"), markup.get("coordinateSystem")))
    return found


def _of_table(path: Path) -> list[tuple[str, Any, Any]]:
    """Label, position and coordinate system of every point."""
    text = text_of(path) or ""
    said = remarks_of(text)
    columns = said.get("columns", "").split(",")
    if not {"x", "y", "z"}.issubset(columns):
        raise InputError(f"Expected Slicer's .fcsv, with a line '# columns = id,x,y,z,...'. Got '{path}'.")
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    found = []
    for row in csv.reader(lines):
        point = dict(zip(columns, row, strict=False))
        found.append((point.get("label", ""), [point.get(axis) for axis in "xyz"], said.get("CoordinateSystem")))
    return found


def write_fiducials(
    path: str | os.PathLike[str], points: Tensor | np.ndarray, labels: Sequence[str] | None = None
) -> None:
    """Write points to a .mrk.json or .fcsv file, in LPS as Slicer does, whole or not at all.

    Args:
        path: its name ends in .mrk.json or .fcsv.
        points: (point, 3) in RAS+ mm of the CT's own file.
        labels: one a point; "F-1", "F-2" and so on by default.

    Raises:
        ValueError: points of another shape or not finite, or as many labels as there are not points.
        InputError: another suffix.
        OSError: the file cannot be written.
    """
    path = Path(path).expanduser()
    array = np.asarray(points.detach().cpu() if isinstance(points, Tensor) else points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or not np.isfinite(array).all():
        raise ValueError(f"Expected finite points of shape (point, 3). Got shape {array.shape}.")
    labels = [f"F-{number}" for number in range(1, len(array) + 1)] if labels is None else list(labels)
    if len(labels) != len(array):
        raise ValueError(f"Expected a label for each of {len(array)} points. Got {len(labels)}.")
    suffix = suffix_of(path, _SUFFIXES)
    if suffix is None:
        raise InputError(f"Expected a file name that ends in {' or '.join(_SUFFIXES)}. Got '{path}'.")
    write = _write_json if suffix == ".mrk.json" else _write_table
    with written_whole(path) as unfinished:
        write(unfinished, (array * _TO_RAS["LPS"]).tolist(), labels)


def _write_json(path: Path, positions: list[list[float]], labels: Sequence[str]) -> None:
    points = [
        {"id": str(number), "label": label, "position": position, "positionStatus": "defined"}
        for number, (label, position) in enumerate(zip(labels, positions, strict=True), start=1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
    path.write_text(json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=2), encoding="utf-8")


def _write_table(path: Path, positions: list[list[float]], labels: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("# Markups fiducial file version = 5.0\n# CoordinateSystem = LPS\n")
        file.write(f"# columns = {','.join(_COLUMNS)}\n")
        rows = csv.writer(file, lineterminator="\n")
        for number, (label, position) in enumerate(zip(labels, positions, strict=True), start=1):
            rows.writerow([number, *position, 0, 0, 0, 1, 1, 1, 0, label, "", ""])
