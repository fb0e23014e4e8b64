"""Which implementation marches the rays, and why."""

import importlib
import importlib.util
import os
import warnings
from functools import cache
from typing import Any

import torch
from torch import Tensor

BACKENDS = ("auto", "cpu", "gpu", "reference")
FAST_DTYPES = (torch.float32, torch.float64)
"""What the compiled kernels compute in."""
GPU_DEVICES = ("cuda", "xpu")
"""What Triton compiles for: NVIDIA's and AMD's devices are "cuda", Intel's "xpu"."""
GPU_DTYPES = (*FAST_DTYPES, torch.float16, torch.bfloat16)
OLDEST_TRITON = (3, 3)
"""The first whose kernels take and make named tuples."""


@torch.compiler.assume_constant_result
def load_extension() -> tuple[Any, str]:
    """The compiled extension (None without one) and a sentence about it."""
    return _load_extension()


@cache
def _load_extension() -> tuple[Any, str]:
    try:
        extension = importlib.import_module("raygrad.kernels._march")
    except ImportError as error:
        return None, f"the compiled extension is missing ({error}); install raygrad with a C++17 compiler at hand"
    return extension, f"compiled kernels, {extension.instruction_set()} instructions, {extension.threading()}"


def sums_in(dtype: torch.dtype) -> torch.dtype:
    """The dtype of the rays and images of a volume of this dtype: never less than float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python on the CPU, which is for tests and debuggers."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


@torch.compiler.assume_constant_result
def find_triton() -> tuple[bool, str]:
    """Whether there is a Triton that the GPU kernels can be compiled with, and a sentence about it."""
    return _find_triton()


@cache
def _find_triton() -> tuple[bool, str]:
    if importlib.util.find_spec("triton") is None:
        return False, "Triton is missing (PyTorch for Linux with CUDA, ROCm or XPU brings it along)"
    version = importlib.import_module("triton").__version__
    oldest = ".".join(map(str, OLDEST_TRITON))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_TRITON:
        return False, f"Triton {version} is too old; {oldest} or newer is needed"
    return True, f"Triton {version}"


def available_backends() -> dict[str, tuple[bool, str]]:
    """Every backend's name, whether it can be used here, and a sentence that says why."""
    extension, sentence = load_extension()
    triton, triton_sentence = find_triton()
    devices = [name for name in GPU_DEVICES if getattr(torch, name).is_available()]
    where = f"on {', '.join(devices)}" if devices else "no GPU found"
    if interpreted():
        where = "interpreted on the CPU (TRITON_INTERPRET=1)"
    return {
        "cpu": (extension is not None, f"float32 and float64 on the CPU: {sentence}"),
        "gpu": (
            triton and bool(devices or interpreted()),
            f"float16, bfloat16, float32 and float64 volumes on a GPU: {triton_sentence}, {where}",
        ),
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
    if backend == "gpu" or (backend == "auto" and volume.device.type in GPU_DEVICES):
        chosen, objection = "gpu", _objection_to_gpu(volume)
    else:
        chosen, objection = "cpu", _objection_to_cpu(volume)
    if objection is None:
        return chosen
    if backend != "auto":
        raise ValueError(f"backend={backend!r} cannot be used: {objection}.")
    if not torch.compiler.is_compiling():
        _say_once(f"raygrad marches rays with its slow reference, because {objection}.")
    return "reference"


def _objection_to_cpu(volume: Tensor) -> str | None:
    """Why the compiled kernels cannot serve this volume."""
    extension, sentence = load_extension()
    if volume.device.type == "mps":
        return "Triton does not compile for Apple's GPUs; on the CPU (`.to('cpu')`) it is faster"
    if volume.device.type != "cpu":
        return f"the cpu backend needs the volume on the CPU, not on {volume.device}"
    if volume.dtype not in FAST_DTYPES:
        return f"the cpu backend computes in float32 and float64, not {volume.dtype}"
    return sentence if extension is None else None


def _objection_to_gpu(volume: Tensor) -> str | None:
    """Why the Triton kernels cannot serve this volume."""
    found, sentence = find_triton()
    if not found:
        return sentence
    if volume.device.type not in GPU_DEVICES and not (volume.device.type == "cpu" and interpreted()):
        return f"the gpu backend needs the volume on a GPU, not on {volume.device}"
    if volume.dtype not in GPU_DTYPES:
        return f"the gpu backend reads float16, bfloat16, float32 and float64, not {volume.dtype}"
    return None


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
