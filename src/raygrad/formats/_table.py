"""Views as a table for spreadsheets and programs of one's own: one line a view, in CSV (RFC 4180)."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from raygrad._errors import InputError
from raygrad._files import NAMES_AS_BYTES, written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._views import View, join_views, right_handed, rigid_matrix, split_views
from raygrad.geometry import ConeViews, Intrinsics
from raygrad.pose import RigidTransform

_LENGTHS = ("sdd_mm", "height", "width", "delx_mm", "dely_mm", "x0_mm", "y0_mm")
_MATRIX = tuple(f"camera_to_world_{row}{column}" for row in range(3) for column in range(4))
_COLUMNS = ("view", "xray", *_LENGTHS, "reverse_x_axis", *_MATRIX)


def _sniff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(2000).strip() == ",".join(_COLUMNS).encode()


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_COLUMNS)
    for number, view in enumerate(split_views(views, names), start=1):
        camera_to_world, camera = right_handed(view)
        lengths = [getattr(camera, name.removesuffix("_mm")) for name in _LENGTHS]
        mirrored = str(camera.reverse_x_axis).lower()
        lines.writerow([number, view.xray or "", *lengths, mirrored, *camera_to_world.matrix[0, :3].flatten().tolist()])
    with written_whole(path) as unfinished:
        unfinished.write_text(text.getvalue(), encoding="utf-8", errors=NAMES_AS_BYTES)


def _read(path: Path, frames: Frames | None) -> ConeViews:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Expected a table in UTF-8. Got '{path}', which is damaged: {error}.") from error
    if not lines:
        raise InputError(f"Expected a table with a line for each view. Got '{path}', which has none.")
    return join_views([_view(line, f"View {number} of '{path}'") for number, line in enumerate(lines, 1)], f"'{path}'")


def _view(line: dict[str, str], where: str) -> View:
    mirrored = {"true": True, "false": False}.get(line.get("reverse_x_axis") or "")
    if mirrored is None:
        got = line.get("reverse_x_axis")
        raise InputError(f"{where} has reverse_x_axis {got!r}, which is neither true nor false.")
    try:
        numbers = [float(line[name]) for name in _MATRIX]
        height, width = int(line["height"]), int(line["width"])
        sdd, delx, dely, x0, y0 = (float(line[name]) for name in _LENGTHS if name.endswith("_mm"))
        matrix = rigid_matrix([numbers[:4], numbers[4:8], numbers[8:], [0.0, 0.0, 0.0, 1.0]])
        intrinsics = Intrinsics(sdd, height, width, delx, dely, x0, y0, mirrored)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where} is not as it should be. {error}") from error
    return View(RigidTransform(matrix), intrinsics, None, line.get("xray") or None)


TABLE = GEOMETRIES.add(GeometryFormat("a table of views", (".csv",), _sniff, _read, _write))
