"""Memory on a GPU: when there is not enough, how much was needed, what for, and what to lower."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LOWER = {
    "the image": "the number of poses in a batch, or of pixels (height, width)",
    "the derivatives": "the number of poses in a batch, of labels (mask_to_channels) or of pixels (height, width)",
    "the sums of each label": "the number of poses in a batch, of labels (mask_to_channels) or of pixels",
    "the volume gradient": "the number of voxels, or the number of volumes in a batch",
}


def allocate(what: str, make: Callable[..., Tensor], *arguments: Any, **options: Any) -> Tensor:
    """`make(*arguments, **options)`, and when memory runs out an error that says what to lower.

    Raises:
        torch.cuda.OutOfMemoryError: there is not enough memory for `what`, one of `LOWER`.
    """
    try:
        return make(*arguments, **options)
    except torch.cuda.OutOfMemoryError as error:
        given = arguments[0]
        shape = tuple(given.shape if isinstance(given, Tensor) else given)
        needed = torch.Size(shape).numel() * options["dtype"].itemsize
        raise torch.cuda.OutOfMemoryError(
            f"Expected {needed / 2**30:.2f} GiB of free memory for {what}, {shape} of {options['dtype']}. "
            f"Lower {LOWER[what]}. {error}"
        ) from error
