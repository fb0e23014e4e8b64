"""Where a volume is empty: prepared once, so that marches can skip it."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raygrad._memory import memory_order
from raygrad.kernels._backends import FAST_DTYPES, load_extension
from raygrad.kernels._ops.dispatch import has_tangent, outside_of_transforms, unwrapped


@dataclass(frozen=True)
class Occupancy:
    """Which bricks of a volume hold a value other than 0, and whose values those were.

    Attributes:
        bricks: (batch, x, y, z) bytes, 1 where a brick of 16 x 16 x 16 voxels is occupied; None where nothing is
            to be gained (on a GPU, or without compiled kernels).
        identity: tells the volume's memory and its version apart from others.
        palette: bytes that begin with `bricks`, of several volumes in which few different sets of values occur: the
            table of these, and each voxel's number in it. None elsewhere.
    """

    bricks: Tensor | None
    identity: tuple[Any, ...]
    palette: Tensor | None = None

    def describes(self, volume: Tensor) -> bool:
        """Whether `volume` still is the tensor, with the values, that was prepared."""
        return self.identity == _identity(volume)

    def for_march_of(self, volume: Tensor) -> Tensor | None:
        """Bricks or palette, for a march through `volume` (1 or batch, x, y, z); None when it must see every voxel.

        So must a march in a graph of torch.compile, which will be given volumes that were never prepared, and one
        through many volumes at once, as `torch.func.vmap` makes them.

        Raises:
            ValueError: if the volume's memory or values are not those that were prepared.
        """
        if torch.compiler.is_compiling():
            return None
        own = unwrapped(volume)
        if own is None:
            return None
        if not self.describes(own):
            raise ValueError("Expected the occupancy of this volume. Got one of another, or of earlier values of it.")
        if volume.requires_grad or has_tangent(volume):
            return None
        return self.bricks if self.palette is None else self.palette


def prepare(volume: Tensor) -> Occupancy:
    """Check that a volume is finite, and find its empty bricks.

    On a GPU the check waits once for all that it has to do, and finds no bricks: rays skip nothing there. While a CUDA
    graph is captured nothing may be waited for, and the check is left out; while torch.compile traces there is nothing
    to check or find yet.

    Of two to eight volumes, which may be seen along the same rays, the sets of values that voxels have are numbered as
    well, if there are no more than 65536, as in the materials of a CT whose HU are whole numbers. Marches then read the
    numbers, two bytes a voxel, and look the values up.

    Args:
        volume: (x, y, z) or (batch, x, y, z), floating point. Any strides.

    Raises:
        ValueError: if a voxel is NaN or infinite.
    """
    if torch.compiler.is_compiling():
        return Occupancy(None, ())
    own = unwrapped(volume)
    if own is None:
        return Occupancy(None, ())
    with outside_of_transforms():
        values = own.detach() if own.dim() == 4 else own.detach()[None]
        bricks, finite = _look_at(values)
        if not finite:
            raise ValueError("Expected a volume of finite values. Got NaN or infinite voxels.")
        palette = None if bricks is None or not 2 <= len(values) <= 8 else _find_palette(values, bricks)
    return Occupancy(bricks, _identity(own), palette)


def _find_palette(values: Tensor, bricks: Tensor) -> Tensor | None:
    """Bytes of the bricks, the palette and each voxel's number in it; None if there is none, or voxels have gaps."""
    if not memory_order(values[0])[0].is_contiguous():
        return None
    from raygrad.kernels import _cpu

    return _cpu.find_palette(values, bricks)


def _look_at(values: Tensor) -> tuple[Tensor | None, bool]:
    """The occupied bricks, and whether all values are finite."""
    extension, _ = load_extension()
    if extension is not None and values.device.type == "cpu" and values.dtype in FAST_DTYPES:
        from raygrad.kernels import _cpu

        return _cpu.occupied_bricks(values)
    if _is_captured(values.device):
        return None, True
    # The largest magnitude: NaN and infinity pass through, no sum overflows, and no array is made for it.
    return None, math.isfinite(torch.linalg.vector_norm(values, ord=math.inf).item())


def _is_captured(device: torch.device) -> bool:
    """Whether what is done on a device now goes into a CUDA graph, to be done later."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _identity(volume: Tensor) -> tuple[Any, ...]:
    version = None if volume.is_inference() else volume._version  # tensors of inference mode count no writes
    several = volume.dim() == 4 and len(volume) > 1  # one volume is the same with an axis for it and without
    where = (volume.shape, volume.stride()) if several else (volume.shape[-3:], volume.stride()[-3:])
    return (volume.data_ptr(), version, *where, volume.dtype)
