"""Projection matrices as text: 3 x 4 numbers a view, or K and [R | t].

Three rows of four numbers are a view: the matrix from (x, y, z, 1) in world mm to (u w, v w, w), where u and v count
columns and rows from the outer corner of the first pixel. Where three rows of three numbers come before them, these
are K, upper triangular, and the rows of four are [R | t] of the views that follow, up to the next K.
Remarks `# height = 1024`, `# width = 1024` and `# delx = 0.4` say what else the images' file has to.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from raygrad._errors import InputError
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat, detector_size
from raygrad.formats._pinholes import Pinholes, matrices_of, pixel_width_of, views_of_pinholes
from raygrad.formats._projection_matrices import views_of_matrices
from raygrad.formats._text import remarks_of, rows_of, text_of, write_rows
from raygrad.geometry import ConeViews

_NUMBERS = ("height", "width", "delx")


def _sniff(path: Path) -> bool:
    text = text_of(path)
    rows = rows_of(text) if text is not None else None
    return bool(rows) and {len(row) for row in rows or ()} in ({4}, {3, 4})


def _read(path: Path, frames: Frames | None) -> ConeViews:
    text = text_of(path) or ""
    rows, remarks = rows_of(text), remarks_of(text)
    lengths = [len(row) for row in rows or ()]
    blocks = [lengths[i : i + 3] for i in range(0, len(lengths), 3)]
    if not rows or not blocks or any(block not in ([3, 3, 3], [4, 4, 4]) for block in blocks) or 4 not in lengths:
        raise InputError(f"Expected rows of 4 numbers, three a view, perhaps after 3 x 3 of K. Got others in '{path}'.")
    values = torch.zeros(len(blocks), 3, 4, dtype=torch.float64)
    for number, row in enumerate(rows):
        values[number // 3, number % 3, : len(row)] = torch.tensor(row, dtype=torch.float64)
    try:
        height, width, delx = (float(remarks[name]) if name in remarks else None for name in _NUMBERS)
    except ValueError as error:
        raise InputError(f"Expected {', '.join(_NUMBERS)} as numbers in the remarks of '{path}'. {error}.") from error
    size = detector_size(path, frames, height, width, delx)
    is_intrinsic = [block[0] == 3 for block in blocks]
    try:
        if not any(is_intrinsic):
            return views_of_matrices(values, *size)
        if not is_intrinsic[0]:
            raise ValueError("Expected K before the first [R | t].")
        intrinsic, of_views = values[0, :, :3], []
        for block, alone in zip(values, is_intrinsic, strict=True):
            if alone:
                intrinsic = block[:, :3]
            else:
                of_views.append((intrinsic, block[:, :3], block[:, 3]))
        parts = [torch.stack(part) for part in zip(*of_views, strict=True)]
        return views_of_pinholes(Pinholes(*parts), *size)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    rows, columns = views.image_shape
    remarks = {"height": rows, "width": columns, "delx": pixel_width_of(views)}
    note = "three rows a view: (x, y, z, 1) in world mm to pixels, (0, 0) the outer corner of the first"
    write_rows(path, matrices_of(views).flatten(0, 1).tolist(), remarks, note)


TEXT_MATRICES = GEOMETRIES.add(GeometryFormat("projection matrices as text", (".txt", ".dat"), _sniff, _read, _write))
