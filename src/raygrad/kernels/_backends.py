"""Which implementation marches the rays, and why: a record for each.

A new backend is a record in `BACKENDS` and a folder with the operators of `_ops/`.
"""

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._reference import RENDERERS, SAMPLERS

FAST_DTYPES = (torch.float32, torch.float64)
"""What the compiled kernels compute in."""
GPU_DEVICES = ("cuda", "xpu")
"""What Triton compiles for: NVIDIA's and AMD's devices are "cuda", Intel's "xpu"."""
OLDEST_TRITON = (3, 3)
"""The first whose kernels take and make named tuples."""


@dataclass(frozen=True)
class Backend:
    """An implementation of the marches.

    Attributes:
        module: where its operators are, imported when the first is needed; None where plain torch is called instead.
        devices: types of the devices that volumes on which "auto" gives to it.
        dtypes: of the volumes that it reads.
        renderers: those that it has.
        describe: whether it can be used on this machine, and a sentence that says why.
        objection: why it cannot serve a volume, where dtype and renderer are right; None if it can.
    """

    module: str | None
    devices: Collection[str]
    dtypes: Collection[torch.dtype]
    renderers: Collection[str]
    describe: Callable[[], tuple[bool, str]]
    objection: Callable[[Tensor], str | None]


@torch.compiler.assume_constant_result
def load_extension() -> tuple[Any, str]:
    """The compiled extension (None without one) and a sentence about it."""
    return _load_extension()


@cache
def _load_extension() -> tuple[Any, str]:
    try:
        extension = import_extension()
    except ImportError as error:
        return None, f"the compiled extension is missing ({error}); install raygrad with a C++17 compiler at hand"
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_go_on_alone)
    return extension, f"compiled kernels, {extension.instruction_set()} instructions, {extension.threading()}"


def _go_on_alone() -> None:
    """In a forked child the threads of OpenMP's pool are gone, torch's and ours, and would be waited for for ever."""
    torch.set_num_threads(1)


def import_extension() -> Any:
    """The compiled extension; ImportError without one."""
    return importlib.import_module("raygrad.kernels._cpu._march")


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


def _describe_cpu() -> tuple[bool, str]:
    extension, sentence = load_extension()
    return extension is not None, f"float32 and float64 on the CPU: {sentence}"


def _objection_to_cpu(volume: Tensor) -> str | None:
    extension, sentence = load_extension()
    if volume.device.type == "mps":
        return "Triton does not compile for Apple's GPUs; on the CPU (`.to('cpu')`) it is faster"
    if volume.device.type != "cpu":
        return f"the cpu backend needs the volume on the CPU, not on {volume.device}"
    return sentence if extension is None else None


def _describe_gpu() -> tuple[bool, str]:
    triton, sentence = find_triton()
    devices = [name for name in GPU_DEVICES if getattr(torch, name).is_available()]
    where = f"on {', '.join(devices)}" if devices else "no GPU found"
    if interpreted():
        where = "interpreted on the CPU (TRITON_INTERPRET=1)"
    usable = triton and bool(devices or interpreted())
    return usable, f"float16, bfloat16, float32 and float64 volumes on a GPU: {sentence}, {where}"


def _objection_to_gpu(volume: Tensor) -> str | None:
    found, sentence = find_triton()
    if not found:
        return sentence
    if volume.device.type not in BACKENDS["gpu"].devices and not (volume.device.type == "cpu" and interpreted()):
        return f"the gpu backend needs the volume on a GPU, not on {volume.device}"
    return None


BACKENDS = {
    "cpu": Backend(
        module="raygrad.kernels._cpu",
        devices=("cpu",),
        dtypes=FAST_DTYPES,
        renderers=("siddon", "trilinear", "joseph"),
        describe=_describe_cpu,
        objection=_objection_to_cpu,
    ),
    "gpu": Backend(
        module="raygrad.kernels._gpu",
        devices=GPU_DEVICES,
        dtypes=(torch.float16, torch.bfloat16, *FAST_DTYPES),
        renderers=("siddon", "trilinear", "joseph"),
        describe=_describe_gpu,
        objection=_objection_to_gpu,
    ),
    "reference": Backend(
        module=None,
        devices=(),
        dtypes=(),  # any floating point
        renderers=RENDERERS,
        describe=lambda: (True, "plain torch on any device, differentiable any number of times, slow"),
        objection=lambda volume: None,
    ),
}
"""All backends by their names, those for "auto" first."""


def available_backends() -> dict[str, tuple[bool, str]]:
    """Every backend's name, whether it can be used here, and a sentence that says why."""
    return {name: backend.describe() for name, backend in BACKENDS.items()}


def choose_backend(backend: str, volume: Tensor, renderer: str = "siddon") -> str:
    """The backend that "auto" stands for with this volume and renderer, or the one that was asked for.

    "auto" is the fast backend of the volume's device, or, where that cannot serve, the reference: a warning says why,
    once.

    Raises:
        ValueError: for unknown names, or when the backend that was asked for cannot serve this volume here, or lacks
            the renderer.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise ValueError(f"Expected backend to be one of auto, {', '.join(BACKENDS)}. Got {backend!r}.")
    if renderer not in SAMPLERS:
        raise ValueError(f"Expected renderer to be one of {', '.join(SAMPLERS)}. Got {renderer!r}.")
    if backend == "reference":
        return backend
    chosen = _backend_of_device(volume.device.type) if backend == "auto" else backend
    objection = _objection(chosen, volume, renderer)
    if objection is None:
        return chosen
    if backend != "auto":
        raise ValueError(f"backend={backend!r} cannot be used: {objection}.")
    if not torch.compiler.is_compiling():
        say_once(f"raygrad marches rays with its slow reference, because {objection}.")
    return "reference"


def _backend_of_device(device: str) -> str:
    """The fast backend for a type of device: the CPU's, which then says why it is not, where there is none."""
    for name, backend in BACKENDS.items():
        if device in backend.devices:
            return name
    return "cpu"


def _objection(name: str, volume: Tensor, renderer: str) -> str | None:
    """Why a backend cannot serve this volume."""
    backend = BACKENDS[name]
    if renderer not in backend.renderers:
        return f"the {name} backend has no {renderer!r}, but {', '.join(backend.renderers)}"
    objection = backend.objection(volume)
    if objection is None and volume.dtype not in backend.dtypes:
        dtypes = [str(dtype).removeprefix("torch.") for dtype in backend.dtypes]
        return f"the {name} backend reads {', '.join(dtypes[:-1])} and {dtypes[-1]}, not {volume.dtype}"
    return objection


@cache
def say_once(message: str) -> None:
    """Warn, at the user's line, the first time that there is this to say."""
    frame = _frame_of_user()
    warnings.warn_explicit(message, RuntimeWarning, frame.f_code.co_filename, frame.f_lineno)


def _frame_of_user() -> FrameType:
    """The first frame that is not ours, nor of what may lie between: modules of torch's, decorators."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    return frame


def _is_between(module: str) -> bool:
    return module.partition(".")[0] in ("raygrad", "torch", "contextlib", "functools", "jaxtyping", "beartype")
