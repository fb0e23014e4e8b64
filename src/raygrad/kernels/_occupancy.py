"""Where a volume is empty: prepared once, so that marches can skip it."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._backends import FAST_DTYPES, load_extension


@dataclass(frozen=True)
class Occupancy:
    """Which bricks of a volume hold a value other than 0, and whose values those were.

    Attributes:
        bricks: (batch, x, y, z) bytes, 1 where a brick of 16 x 16 x 16 voxels is occupied; None where nothing is
            to be gained (on a GPU, or without compiled kernels).
        identity: tells the volume's memory and its version apart from others.
    """

    bricks: Tensor | None
    identity: tuple[Any, ...]

    def describes(self, volume: Tensor) -> bool:
        """Whether `volume` still is the tensor, with the values, that was prepared."""
        return self.identity == _identity(volume)

    def for_march_of(self, volume: Tensor) -> Tensor | None:
        """The bricks, for a march through `volume` (1 or batch, x, y, z); None when it must see every voxel.

        So must a march in a graph of torch.compile, which will be given volumes that were never prepared.

        Raises:
            ValueError: if the volume's memory or values are not those that were prepared.
        """
        if torch.compiler.is_compiling():
            return None
        if not self.describes(volume):
            raise ValueError("Expected the occupancy of this volume. Got one of another, or of earlier values of it.")
        return None if volume.requires_grad else self.bricks


def prepare(volume: Tensor) -> Occupancy:
    """Check that a volume is finite, and find its empty bricks.

    On a GPU the check waits once for all that it has to do, and finds no bricks: rays skip nothing there. While a CUDA
    graph is captured nothing may be waited for, and the check is left out; while torch.compile traces there is nothing
    to check or find yet.

    Args:
        volume: (x, y, z) or (batch, x, y, z), floating point. Any strides.

    Raises:
        ValueError: if a voxel is NaN or infinite.
    """
    if torch.compiler.is_compiling():
        return Occupancy(None, ())
    extension, _ = load_extension()
    values = volume.detach() if volume.dim() == 4 else volume.detach()[None]
    bricks, finite = None, True
    if extension is not None and values.device.type == "cpu" and values.dtype in FAST_DTYPES:
        from raygrad.kernels import _cpu

        bricks, finite = _cpu.occupied_bricks(values)
    elif not _is_captured(values.device):
        # The largest magnitude: NaN and infinity pass through, no sum overflows, and no array is made for it.
        finite = math.isfinite(torch.linalg.vector_norm(values, ord=math.inf).item())
    if not finite:
        raise ValueError("Expected a volume of finite values. Got NaN or infinite voxels.")
    return Occupancy(bricks, _identity(volume))


def _is_captured(device: torch.device) -> bool:
    """Whether what is done on a device now goes into a CUDA graph, to be done later."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _identity(volume: Tensor) -> tuple[Any, ...]:
    version = None if volume.is_inference() else volume._version  # tensors of inference mode count no writes
    return (volume.data_ptr(), version, tuple(volume.shape[-3:]), volume.stride()[-3:], volume.dtype)
