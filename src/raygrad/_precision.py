"""Full precision where half would ruin the result: poses, correlations, structural similarity.

Under torch.autocast matrix products and convolutions run in bfloat16 or float16. With the eight bits of bfloat16 a
camera at 850 mm is somewhere within 4 mm, and a local correlation, a difference of nearly equal numbers, is noise.

Call `backward()` outside of autocast, as torch asks for too: what it does inside is up to torch.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

_HALF = (torch.float16, torch.bfloat16)
WITHOUT_FLOAT64 = ("mps", "xpu")
"""Types of devices that have no float64, or not all of which have."""
Function = TypeVar("Function", bound=Callable[..., Any])


def at_least_single(value: Any) -> Any:
    """Tensors of half precision as float32; everything else as it is."""
    return value.float() if isinstance(value, Tensor) and value.dtype in _HALF else value


def without_autocast(function: Function) -> Function:
    """Decorate a function that torch.autocast has to leave alone.

    It is switched off for the device of the first argument that has one: a tensor, a pose, a DRR.
    """

    @functools.wraps(function)
    def undisturbed(*args: Any, **kwargs: Any) -> Any:
        for argument in (*args, *kwargs.values()):
            device = getattr(argument, "device", None)
            if isinstance(device, torch.device):
                if not (torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)):
                    break
                with torch.autocast(device.type, enabled=False):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return undisturbed  # type: ignore[return-value]


def full_precision(function: Function) -> Function:
    """Decorate a function that computes in float32 or float64: tensors of half precision arrive as float32.

    torch.autocast is off within, see :func:`without_autocast`.
    """
    undisturbed = without_autocast(function)

    @functools.wraps(function)
    def widened(*args: Any, **kwargs: Any) -> Any:
        args = tuple(at_least_single(value) for value in args)
        return undisturbed(*args, **{name: at_least_single(value) for name, value in kwargs.items()})

    return widened  # type: ignore[return-value]
