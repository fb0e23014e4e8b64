"""The checks that metrics make of what they compare."""

import torch
from torch import Tensor

from raygrad._precision import at_least_single
from raygrad.types import Images

Number = float | int


def checked_images(x1: Tensor, x2: Tensor, smallest_side: int = 1) -> tuple[Images, Images]:
    """Two batches of images (B, C, H, W) of one shape; a batch of one is repeated for the other.

    Images of half precision become float32.

    Raises:
        TypeError: not floating-point tensors, or of two dtypes.
        ValueError: other shapes, or a side shorter than `smallest_side` pixels.
    """
    for name, image in (("x1", x1), ("x2", x2)):
        if not isinstance(image, Tensor) or not image.is_floating_point():
            got = f"a tensor of {image.dtype}" if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"Expected a floating-point tensor as {name}. Got {got}.")
        if image.ndim != 4:
            raise ValueError(f"Expected {name} of shape (B, C, H, W). Got {tuple(image.shape)}.")
    x1, x2 = at_least_single(x1), at_least_single(x2)
    if x1.dtype != x2.dtype:
        raise TypeError(f"Expected images of one dtype. Got {x1.dtype} and {x2.dtype}.")
    if x1.shape[1:] != x2.shape[1:] or (len(x1) != len(x2) and 1 not in (len(x1), len(x2))):
        raise ValueError(
            "Expected images of one shape, of which only the batch may be 1. "
            f"Got {tuple(x1.shape)} and {tuple(x2.shape)}."
        )
    if min(x1.shape[2:]) < smallest_side:
        raise ValueError(f"Expected images of at least {smallest_side} pixels a side. Got {tuple(x1.shape[2:])}.")
    first, second = torch.broadcast_tensors(x1, x2)
    return first, second


def may_read(tensor: Tensor) -> bool:
    """Whether a check may look at a tensor's values.

    Not on a GPU, which it would wait for and whose work it would keep out of CUDA graphs, and not while torch compiles.
    """
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()
