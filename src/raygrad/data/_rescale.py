"""Stored numbers of many slices to one array of those meant, each slice by its own slope and intercept."""

from pathlib import Path

import numpy as np

from raygrad._dicom import read_dataset, stored_pixels
from raygrad.data._slices import Slice

_WHOLE = (np.int16, np.int32)
_LARGEST = 2**31  # of slopes and intercepts, so that sums and products stay within int64


def rescaled(slices: list[Slice]) -> np.ndarray:
    """The numbers (slice, row, column), in the order of the slices.

    Whole numbers where every slope and intercept is whole, in the smaller of int16 and int32 that holds them; else
    float32. One file's pixels are held at a time.

    Raises:
        InputError: a file is damaged or cannot be decoded.
    """
    whole = all(_is_whole(piece.slope) and _is_whole(piece.intercept) for piece in slices)
    array = np.empty((len(slices), slices[0].rows, slices[0].columns), _WHOLE[0] if whole else np.float32)
    of_file: dict[Path, list[int]] = {}
    for index, piece in enumerate(slices):
        of_file.setdefault(piece.path, []).append(index)
    for path, indices in of_file.items():
        frames = stored_pixels(read_dataset(path, pixels=True), path)
        for index in indices:
            piece = slices[index]
            array = _with(array, index, frames[piece.frame or 0], piece.slope, piece.intercept)
    return array


def _is_whole(value: float) -> bool:
    return value.is_integer() and abs(value) < _LARGEST


def _with(array: np.ndarray, index: int, stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """The array with a slice put in, in a larger type if that slice needs it."""
    needed = np.dtype(np.float32)
    values: np.ndarray
    if array.dtype.kind == "i" and stored.dtype.kind in "iu":
        values = stored.astype(np.int64) * int(slope) + int(intercept)
        ends = (values.min(), values.max())
        fitting = [kind for kind in _WHOLE if np.iinfo(kind).min <= ends[0] and ends[1] <= np.iinfo(kind).max]
        needed = np.promote_types(array.dtype, fitting[0]) if fitting else needed
    else:
        values = stored.astype(np.float64) * slope + intercept
    array = array.astype(needed, copy=False)
    array[index] = values
    return array


def at_even_steps(array: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Slices at even steps between the first and the last, interpolated linearly between neighbours, in float32.

    The step is the least of the slices' own, but for those less than a quarter of the mean.
    """
    gaps = np.diff(heights)
    count = min(round(float((heights[-1] - heights[0]) / gaps.min())), 4 * len(gaps)) + 1
    even = np.empty((count, *array.shape[1:]), np.float32)
    for index, height in enumerate(np.linspace(heights[0], heights[-1], count)):
        below = int(np.clip(np.searchsorted(heights, height, "right") - 1, 0, len(gaps) - 1))
        part = (height - heights[below]) / gaps[below]
        even[index] = array[below] * (1 - part) + array[below + 1] * part
    return even
