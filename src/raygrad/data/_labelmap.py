"""Labelmaps: which structure each voxel belongs to."""

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from raygrad._errors import InputError
from raygrad._memory import extremes, x_fastest
from raygrad.data._resample import resample
from raygrad.data._volume import Volume

_TYPES = (torch.uint8, torch.int16, torch.int32)


def as_labels(labelmap: Volume) -> Volume:
    """The labelmap in the smallest of uint8, int16 and int32 that holds its labels.

    Tools often save labels as floating-point numbers; they are taken if they are whole.

    Raises:
        ValueError: a label is negative, not whole, or above the range of int32.
    """
    labels = labelmap.data
    lowest, highest = extremes(labels)
    if labels.is_floating_point() and not torch.equal(labels, labels.round()):
        raise ValueError("Expected a labelmap of whole numbers. Got fractions: is this the labelmap, not the CT?")
    fitting = [dtype for dtype in _TYPES if highest <= torch.iinfo(dtype).max]
    if lowest < 0 or not fitting:
        raise ValueError(f"Expected labels from 0 to {torch.iinfo(torch.int32).max}. Got {lowest:g} to {highest:g}.")
    return Volume(labels.to(fitting[0]), labelmap.affine)


def on_grid_of(volume: Volume, *labelmaps: Volume) -> list[Volume]:
    """The labels at the voxel centres of a volume, by the nearest label voxel; 0 outside of the labelmap.

    Raises:
        InputError: the labelmaps have labels, but none of them lies in the volume.
    """
    on_grid = [_on_grid_of(volume, labelmap) for labelmap in labelmaps]
    if any(labelmap.data.any() for labelmap in labelmaps) and not any(labels.data.any() for labels in on_grid):
        raise InputError(
            "Expected a labelmap that overlaps the volume. "
            f"Got labels within {labelmaps[0].get_bounds()} mm for a volume within {volume.get_bounds()} mm."
        )
    return on_grid


def _on_grid_of(volume: Volume, labelmap: Volume) -> Volume:
    if labelmap.has_grid_of(volume):
        return Volume(x_fastest(labelmap.voxels), volume.affine)  # the same place but for the file's rounding
    return resample(labelmap, volume.spatial_shape, volume.affine, nearest=True)


def select(labelmap: Volume, labels: int | Sequence[int]) -> Bool[Tensor, "1 x y z"]:
    """Where the labelmap has one of the given labels.

    Raises:
        ValueError: none of the labels occurs. A warning names those missing when only some are.
    """
    wanted = [labels] if isinstance(labels, int) else [int(label) for label in labels]
    selected = torch.zeros_like(labelmap.data, dtype=torch.bool)
    missing = []
    for label in wanted:
        of_label = labelmap.data == label
        if not of_label.any():
            missing.append(label)
        selected |= of_label
    if len(missing) == len(wanted):
        present = torch.unique(labelmap.data).tolist()
        raise ValueError(f"Expected labels that the labelmap has, out of {present}. Got {wanted}.")
    if missing:
        warnings.warn(f"The labelmap has no voxel of the labels {missing}.", stacklevel=3)
    return selected


def keep(image: Volume, selected: Bool[Tensor, "1 x y z"]) -> Volume:
    """The image with 0 wherever nothing is selected."""
    return Volume(image.data * selected, image.affine)
