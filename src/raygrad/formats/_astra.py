"""ASTRA's `cone_vec`: twelve numbers a view.

They are those of ASTRA's documentation, "3D geometries: cone_vec": the source, the centre of the detector, the vector u
from detector pixel (0, 0) to (0, 1) and v from (0, 0) to (1, 0), where the first index is the row. The world's axes are
taken as they are, x to the patient's right, y to the front, z up, in mm; by default a volume's centre is at (0, 0, 0).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raygrad._errors import InputError
from raygrad._files import load_arrays, save_array, written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat, detector_size
from raygrad.formats._numpy import is_numpy, shapes_in
from raygrad.formats._text import remarks_of, rows_of, text_of, write_rows
from raygrad.geometry import ConeViews, cone_vectors_of, views_of_cone_vectors

# The names of ASTRA's own dictionary of a geometry.
_TYPE, _VECTORS, _ROWS, _COLUMNS = "type", "Vectors", "DetectorRowCount", "DetectorColCount"
_NOTE = "ASTRA's cone_vec: source, centre of the detector, step of a column, step of a row; mm"


def _sniff(path: Path) -> bool:
    if is_numpy(path):
        shape = shapes_in(path, _VECTORS).get(_VECTORS, ())
        return len(shape) == 2 and shape[1] == 12
    text = text_of(path)
    return text is not None and {len(row) for row in rows_of(text) or ()} == {12}


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """Cone vectors, as an array (view, 12) named `Vectors` (or alone in a NPY file), or as rows of text.

    Rows and columns are `DetectorRowCount` and `DetectorColCount`, arrays or remarks, or else those of the images.

    Raises:
        InputError: it is not such a file, its beams are parallel, rows and columns are missing, or vectors (of which
            view is said) make no camera.
    """
    content: dict[str, Any]
    if is_numpy(path):
        content = dict(load_arrays(path, _VECTORS))
    else:
        text = text_of(path) or ""
        content = {_VECTORS: rows_of(text), **remarks_of(text)}
    try:
        vectors = np.asarray(content[_VECTORS], dtype=np.float64)
        rows, columns = (float(content[name]) if name in content else None for name in (_ROWS, _COLUMNS))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"Expected 12 numbers a view, and whole numbers of rows and columns. Got others in '{path}'."
        ) from error
    kind = str(content.get(_TYPE, ""))
    if "parallel" in kind or (vectors.ndim == 2 and np.allclose(np.linalg.norm(vectors[:, :3], axis=1), 1, atol=1e-6)):
        raise InputError(
            f"Expected a cone beam, ASTRA's cone_vec. Got '{path}', of {kind or 'sources 1 mm from the origin'}: "
            "parallel3d_vec has the direction of the rays there, and what raygrad.geometry.ParallelViews takes."
        )
    height, width, _ = detector_size(path, frames, rows, columns, delx=1.0)
    try:
        return views_of_cone_vectors(vectors, height, width)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    vectors = cone_vectors_of(views).numpy()
    rows, columns = views.image_shape
    counts = {_ROWS: rows, _COLUMNS: columns}
    suffix = path.suffix.lower()
    if suffix == ".txt":
        write_rows(path, vectors.tolist(), counts, _NOTE)
        return
    with written_whole(path) as unfinished:
        if suffix == ".npy":
            save_array(unfinished, vectors)
        else:
            arrays: dict[str, Any] = {_VECTORS: vectors, **counts}
            np.savez(unfinished, **arrays)


ASTRA = GEOMETRIES.add(
    GeometryFormat(
        "ASTRA's cone_vec",
        (".npy", ".npz", ".txt"),
        _sniff,
        _read,
        _write,
        written=(".npy", ".npz", ".txt"),
    )
)
