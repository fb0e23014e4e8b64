"""Which implementation marches the rays, and why."""

import importlib
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

BACKENDS = ("auto", "cpu", "reference")
FAST_DTYPES = (torch.float32, torch.float64)


@cache
def load_extension() -> tuple[Any, str]:
    """The compiled extension (None without one) and a sentence about it."""
    try:
        extension = importlib.import_module("raygrad.kernels._march")
    except ImportError as error:
        return None, f"the compiled extension is missing ({error}); install raygrad with a C++17 compiler at hand"
    return extension, f"compiled kernels, {extension.instruction_set()} instructions, {extension.threading()}"


def available_backends() -> dict[str, tuple[bool, str]]:
    """Every backend's name, whether it can be used here, and a sentence that says why."""
    extension, sentence = load_extension()
    return {
        "cpu": (extension is not None, f"float32 and float64 on the CPU: {sentence}"),
        "reference": (True, "plain torch on any device, differentiable any number of times, slow"),
    }


def choose_backend(backend: str, volume: Tensor) -> str:
    """The backend that "auto" stands for with this volume, or the one that was asked for.

    Raises:
        ValueError: for an unknown name, or when the backend cannot serve this volume here.
    """
    if backend not in BACKENDS:
        raise ValueError(f"Expected backend to be one of {', '.join(BACKENDS)}. Got {backend!r}.")
    if backend == "reference":
        return backend
    extension, sentence = load_extension()
    objection = None
    if extension is None:
        objection = sentence
    elif volume.device.type != "cpu":
        objection = f"the cpu backend needs the volume on the CPU, not on {volume.device}"
    elif volume.dtype not in FAST_DTYPES:
        objection = f"the cpu backend computes in float32 and float64, not {volume.dtype}"
    if objection is None:
        return "cpu"
    if backend == "cpu":
        raise ValueError(f"backend='cpu' cannot be used: {objection}.")
    if extension is None and volume.device.type == "cpu":
        _say_once(f"raygrad marches rays with its slow reference, because {sentence}.")
    return "reference"


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
