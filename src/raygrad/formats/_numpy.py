"""NPY and NPZ files: arrays of numbers, such as the images of a sweep."""

from pathlib import Path

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad._files import load_arrays, save_array, written_whole
from raygrad.formats._images import IMAGES, ImageFormat, Pixels, full_scale_of

_MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")  # an array; a ZIP file of arrays, and one of none


def is_numpy(path: Path) -> bool:
    """Whether a file begins as NPY and NPZ files do."""
    with path.open("rb") as file:
        return file.read(6).startswith(_MAGIC)


def shapes_in(path: Path, alone: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of a file by their names, as `load_arrays` has them; none if it is no such file."""
    if not is_numpy(path):
        return {}
    try:
        return {name: array.shape for name, array in load_arrays(path, alone).items()}
    except InputError:
        return {}


def _read(path: Path) -> Pixels:
    content = load_arrays(path, "images")
    array = next(iter(content.values())) if len(content) == 1 else content.get("images")
    if array is None or array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "biuf":
        found = ", ".join(f"{name}: {value.dtype} {value.shape}" for name, value in content.items()) or "nothing"
        raise InputError(f"Expected real numbers (view, height, width) named 'images'. Got {found} in '{path}'.")
    spacing = None
    if "spacing" in content:
        given = content["spacing"].ravel()
        if given.shape != (2,) or given.dtype.kind not in "iuf" or not (given > 0).all():
            raise InputError(f"Expected a pixel's width and height in mm as 'spacing'. Got {given} in '{path}'.")
        spacing = (float(given[0]), float(given[1]))
    images = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return Pixels(images, spacing, full_scale=full_scale_of(array.dtype))


def _write(path: Path, images: np.ndarray, spacing: tuple[float, float], origin: tuple[float, float] | None) -> None:
    with written_whole(path) as unfinished:
        save_array(unfinished, images)


NUMPY = IMAGES.add(
    ImageFormat("NumPy's arrays", (".npy", ".npz"), is_numpy, _read, _write, (".npy",), one_by_one=False)
)
