"""Structures that may overlap, as tools for segmentation save them: layers of labels, and a name for each."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad.data._labelmap import as_labels, on_grid_of
from raygrad.data._volume import Volume

BACKGROUND = "background"


@dataclass(frozen=True)
class Segments:
    """Structures by their numbers.

    Attributes:
        layers: labelmaps on one grid; a number is in one of them only, and structures of one layer do not overlap.
        names: the name of each number, also of those that no voxel has.
    """

    layers: tuple[Volume, ...]
    names: dict[int, str]


def packed(structures: Iterable[tuple[int, Mapping[int, np.ndarray]]], shape: Sequence[int]) -> list[np.ndarray]:
    """Layers (plane, row, column), as few as keep structures apart when each goes to the first where it has room.

    Args:
        structures: the number of each, and where it is, by the planes that it is in.
        shape: of a layer.
    """
    layers: list[np.ndarray] = []
    for number, planes in structures:
        for layer in layers:
            if not any((layer[plane] > 0)[inside].any() for plane, inside in planes.items()):
                break
        else:
            layer = np.zeros(shape, np.uint8 if number < 256 else np.int32)
            layers.append(layer)
        if number > np.iinfo(layer.dtype).max:
            index = next(index for index, other in enumerate(layers) if other is layer)
            layer = layers[index] = layer.astype(np.int32)
        for plane, inside in planes.items():
            layer[plane][inside] = number
    return layers or [np.zeros(shape, np.uint8)]


def merged_on(volume: Volume, segments: Segments, labels: int | Sequence[int] | None) -> Volume:
    """One labelmap on the volume's grid, of the structures that `labels` names, or all.

    Where structures overlap, voxels are the smallest one's, and a warning says so.

    Raises:
        InputError: the segments have none of the labels, or all lie outside of the volume.
    """
    wanted = None if labels is None else {labels} if isinstance(labels, int) else {int(label) for label in labels}
    if wanted is not None and not wanted & {0, *segments.names}:
        known = ", ".join(f"{number} ({name})" for number, name in segments.names.items())
        raise InputError(f"Expected labels that the labelmap has, out of {known}. Got {sorted(wanted)}.")
    layers = on_grid_of(volume, *(as_labels(layer) for layer in segments.layers))
    if len(layers) == 1:
        return layers[0]
    if wanted is not None and 0 not in wanted:
        layers = [_only(layer, wanted) for layer in layers]
    return _merged(layers)


def _only(layer: Volume, wanted: set[int]) -> Volume:
    kept = torch.zeros_like(layer.data)
    for label in wanted:
        if label <= torch.iinfo(layer.data.dtype).max:
            kept[layer.data == label] = label
    return Volume(kept, layer.affine)


def _merged(layers: Sequence[Volume]) -> Volume:
    kind = max((layer.data.dtype for layer in layers), key=lambda dtype: torch.iinfo(dtype).max)
    merged = layers[0].data.to(kind, copy=True)
    sizes = torch.stack([torch.bincount(layer.data.flatten(), minlength=_most(layers) + 1) for layer in layers]).sum(0)
    shared = 0
    for layer in layers[1:]:
        here = layer.data > 0
        both = here & (merged > 0)
        below, above = merged[both].long(), layer.data[both].long()
        merged[here] = layer.data[here].to(kind)
        merged[both] = torch.where(sizes[above] < sizes[below], above, below).to(kind)
        shared += int(both.sum())
    if shared:
        warnings.warn(
            f"Structures overlap. {shared} voxels that several have are the smallest one's in the mask; "
            "`labels` takes structures as a whole.",
            stacklevel=5,
        )
    return Volume(merged, layers[0].affine)


def _most(layers: Sequence[Volume]) -> int:
    return max(int(layer.data.max()) for layer in layers)
