"""3D Slicer's segmentations, .seg.nrrd: layers of labels, with every segment's name in the header."""

from typing import Any

import numpy as np

from raygrad._errors import InputError
from raygrad.data._segments import BACKGROUND, Segments
from raygrad.data._simpleitk import affine_of
from raygrad.data._volume import Volume


def is_segmentation(image: Any) -> bool:
    """Whether a SimpleITK image's header names segments."""
    return bool(image.HasMetaDataKey("Segment0_ID") or image.HasMetaDataKey("Segment0_Name"))


def segments_of(image: Any, array: np.ndarray) -> Segments:
    """The segments of an image that names them.

    A segment keeps the number that its layer has for it unless an earlier segment has that; then it gets the next one
    that is free. Slicer before version 4.11 has a layer for each segment, and says neither layer nor number.

    Args:
        image: of SimpleITK, for its header.
        array: its numbers (z, y, x), or (z, y, x, layer).

    Raises:
        InputError: the header contradicts itself or the image.
    """
    if array.dtype.kind not in "iu" or array.min() < 0:
        raise InputError(f"Expected segments as whole numbers from 0. Got {array.dtype} from {array.min()}.")
    array = array if array.ndim == 4 else array[..., None]
    described = _described(image)
    for name, layer, value in described:
        if not 0 <= layer < array.shape[-1] or value < 1:
            raise InputError(f"Expected segments in the file's {array.shape[-1]} layers. '{name}' is not: damaged?")
    numbers = _numbers([value for _, _, value in described])
    layers = []
    for index in range(array.shape[-1]):
        stored = array[..., index]
        to_number = np.zeros(int(stored.max()) + 1, np.int32)
        for (_, layer, value), number in zip(described, numbers, strict=True):
            if layer == index and value < len(to_number):
                to_number[value] = number
        layers.append(Volume(to_number[stored].T, affine_of(image)))
    names = {number: name for (name, _, _), number in zip(described, numbers, strict=True)}
    return Segments(tuple(layers), {0: BACKGROUND} | names)


def _described(image: Any) -> list[tuple[str, int, int]]:
    """Name, layer, and number in that layer, of every segment."""
    found: list[tuple[str, int, int]] = []

    def text(key: str, default: str) -> str:
        key = f"Segment{len(found)}_{key}"
        return image.GetMetaData(key).strip() if image.HasMetaDataKey(key) else default

    while image.HasMetaDataKey(f"Segment{len(found)}_ID") or image.HasMetaDataKey(f"Segment{len(found)}_Name"):
        name = text("Name", text("ID", ""))
        try:
            found.append((name, int(text("Layer", str(len(found)))), int(text("LabelValue", "1"))))
        except ValueError as error:
            raise InputError(f"Expected segments with whole numbers. '{name}' has none: is it damaged?") from error
    return found


def _numbers(values: list[int]) -> list[int]:
    free = max(values) + 1
    numbers: list[int] = []
    for value in values:
        taken = value in numbers
        numbers.append(free if taken else value)
        free += taken
    return numbers
