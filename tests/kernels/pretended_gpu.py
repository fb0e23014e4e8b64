"""A GPU that is not there: tensors that live in the CPU's memory and refuse what a GPU's refuse.

`torch.zeros(3, device=DEVICE)` or `.to(DEVICE)` makes one. Operations on them run on the CPU, autograd included, and
raise where a CUDA device raises: when tensors of both devices meet, when numpy asks for their memory, when a generator
of the CPU's fills them. `count_traffic` counts what such a device costs beside its arithmetic: waiting for its values,
and copies to it. Rays are marched by the compiled kernels of the CPU, in place of Triton's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from traceback import walk_stack

import pytest
import torch
from synchronisation import READS_VALUES
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

import raygrad
from raygrad.kernels import _backends, sums_in
from raygrad.kernels._ops.cameras import contract_in_torch
from raygrad.kernels._rays import rays_of_cameras

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip("this version of torch makes no device in Python", allow_module_level=True)

NAME = "pretended"


class _Module(backend_registration._DummyBackendModule):
    """What `torch.cuda` is to CUDA, as far as torch asks for it: also on the CPU, once there is an accelerator."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        torch.set_rng_state(state)

    def device(self, device: object) -> nullcontext:
        return nullcontext()


backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
DEVICE = torch.device(NAME, 0)

aten = torch.ops.aten
WAITS = READS_VALUES | {aten.linalg_lstsq, aten._linalg_eigh, aten._linalg_svd, aten.bincount}
"""Of the last ones CUDA's implementations read values while they run."""
COPIES = {aten.copy_, aten._to_copy}
FILLS = {aten.fill, aten.fill_, aten.masked_fill, aten.masked_fill_}
INDEXES = {aten.index, aten.index_put, aten.index_put_}
"""These take tensors of the CPU as CUDA does: of any shape, without axes as all pointwise arithmetic, as positions."""
PACKAGE = os.path.join(os.path.dirname(raygrad.__file__), "")
MATRIX = 16
"""Values of an argument of raygrad's operators that may lie on the CPU, whence it travels with a kernel's launch."""


@dataclass
class Traffic:
    """What was counted, bytes that were uploaded, and for each wait or copy the line of raygrad's that asked for it."""

    waits: int = 0
    uploads: int = 0
    uploaded: int = 0
    lines: list[str] = field(default_factory=list)

    def note(self, kind: str, function: object, size: int) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.uploaded += size
        self.lines.append(f"{kind}: {function} in {_line_of_raygrad()}")


_counting: list[Traffic] = []


@contextmanager
def count_traffic() -> Iterator[Traffic]:
    """Count the waits for the device (downloads among them) and the uploads to it."""
    _counting.append(Traffic())
    try:
        yield _counting[-1]
    finally:
        _counting.pop()


def let_kernels_serve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let raygrad take the pretended device for one that its GPU kernels are compiled for."""
    gpu = _backends.BACKENDS["gpu"]
    monkeypatch.setitem(_backends.BACKENDS, "gpu", replace(gpu, devices=(*gpu.devices, NAME)))
    monkeypatch.setattr(_backends, "find_triton", lambda: (True, "none is needed"))


class PretendedTensor(Tensor):
    """A tensor of the pretended device; `on_cpu` holds its values."""

    on_cpu: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, on_cpu: Tensor):
        return Tensor._make_wrapper_subclass(
            cls,
            on_cpu.shape,
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=DEVICE,
        )

    def __init__(self, on_cpu: Tensor) -> None:
        self.on_cpu = on_cpu

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})

    def data_ptr(self) -> int:
        return self.on_cpu.data_ptr()

    def tolist(self) -> list:
        return self.cpu().tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *args, **kwargs):
        self.numpy()

    def __deepcopy__(self, memo):
        memo[id(self)] = copy = self.detach().clone().requires_grad_(self.requires_grad)
        return copy

    def __reduce_ex__(self, protocol):
        _note("waits", "pickle")
        return _restore, (self.on_cpu.detach().clone(), self.requires_grad)

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"PretendedTensor({self.on_cpu})"


def _restore(values: Tensor, requires_grad: bool) -> Tensor:
    return values.to(DEVICE).requires_grad_(requires_grad)


def _run(function, args, kwargs):
    """An operation of the dispatcher on the tensors' values, if the device has it."""
    if function.namespace == "raygrad":
        _check_march(function, args)
    else:
        _check_devices(function, args, kwargs)
        _check_options(function, kwargs)
    _count(function.overloadpacket, args, kwargs)
    there = _is_elsewhere(kwargs)
    on_cpu = _inside(kwargs) if there or "device" not in kwargs else {**_inside(kwargs), "device": torch.device("cpu")}
    inside = _rounded(function, _inside(args))
    result = INSTEAD.get(function.overloadpacket, function)(*inside, **on_cpu)
    if function is aten.copy_.default and not isinstance(args[0], PretendedTensor):
        return args[0]
    if there:  # `.to("cpu")` is a copy, though both lie in the same memory
        return result.clone() if result is inside[0] else result
    result = tree_map(lambda leaf: PretendedTensor(leaf) if isinstance(leaf, Tensor) else leaf, result)
    if (out := kwargs.get("out")) is not None and out.shape != out.on_cpu.shape:  # it was resized, as by torch.arange
        out.data = PretendedTensor(out.on_cpu)
    return return_and_correct_aliasing(function, args, kwargs, result)


def _is_elsewhere(kwargs) -> bool:
    """Whether a result is asked for on another device."""
    return kwargs.get("device") is not None and torch.device(kwargs["device"]).type != NAME


def _inside(tree):
    """The same arguments for the CPU: values of tensors, and its own kernels."""

    def on_cpu(leaf):
        if isinstance(leaf, PretendedTensor):
            return leaf.on_cpu
        return "cpu" if isinstance(leaf, str) and leaf == "gpu" else leaf

    return tree_map(on_cpu, tree)


def _rounded(function, args):
    """Rays in the dtype that the kernels of the CPU take them in; those of a GPU take any."""
    if function.namespace != "raygrad":
        return args
    named = {argument.name: value for argument, value in _named(function, args)}
    volume = named.get("volume", named.get("gradient"))
    if volume is None:  # a mesh, whose rays are brought to one dtype before
        return args
    return [value.to(sums_in(volume.dtype)) if name in ("source", "target") else value for name, value in named.items()]


def _is_stranger(value) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, PretendedTensor)


def _check_devices(function, args, kwargs) -> None:
    packet, leaves = function.overloadpacket, tree_leaves((args, kwargs))
    for generator in leaves:
        if isinstance(generator, torch.Generator) and generator.device.type != NAME:
            raise RuntimeError(f"Expected a {NAME!r} device type for generator but found {generator.device.type!r}")
    if packet in COPIES:
        return
    strangers = [leaf for leaf in leaves if _is_stranger(leaf)]
    if packet in INDEXES and not _is_stranger(args[0]):  # positions may come from the CPU
        strangers = [tensor for tensor in strangers if not any(tensor is index for index in args[1])]
    takes_numbers = packet in INDEXES | FILLS or torch.Tag.pointwise in function.tags
    written = [value for argument, value in _named(function, args) if _is_written(argument)]
    if any(tensor.dim() > 0 or not takes_numbers for tensor in strangers) or any(map(_is_stranger, written)):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! ({function}, shapes {[tuple(tensor.shape) for tensor in strangers]})"
        )


def _named(function, args) -> list:
    return list(zip(function._schema.arguments, args, strict=False))


def _is_written(argument) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _check_options(function, kwargs) -> None:
    if function is aten.linalg_lstsq.default and kwargs.get("driver") not in (None, "gels"):
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels) on a GPU")


def _check_march(function, args) -> None:
    for argument, value in _named(function, args):
        if _is_stranger(value) and value.numel() > MATRIX:
            raise RuntimeError(f"Expected {argument.name} of {function} on {DEVICE}. Got it on the CPU.")


def _count(packet, args, kwargs) -> None:
    if packet is aten.copy_ and _is_stranger(args[0]):
        _note("waits", packet)
    elif packet is aten.copy_ and _is_stranger(args[1]):
        _note("uploads", packet, args[1].nbytes)
    elif packet in WAITS or (packet is aten._to_copy and _is_elsewhere(kwargs)):
        _note("waits", packet)
    elif packet is aten.repeat_interleave and kwargs.get("output_size") is None:
        _note("waits", packet)
    elif packet in INDEXES:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            _note("waits", f"{packet} by a mask")
        if strangers := [index for index in indices if _is_stranger(index)]:
            _note("uploads", f"{packet} by positions on the CPU", sum(index.nbytes for index in strangers))


def _march_cameras(volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings):
    rays = _rays(volume, camera_to_world, pixel_to_camera, height, width)
    return torch.ops.raygrad.march(volume, *rays, world_to_voxel, labels, None, width, *settings)


def _march_cameras_with_jacobian(
    volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings
):
    rays = _rays(volume, camera_to_world, pixel_to_camera, height, width)
    return torch.ops.raygrad.march_with_jacobian(volume, *rays, world_to_voxel, labels, None, width, *settings)


def _march_cameras_adjoint(
    cotangent, volume, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings
):
    rays = _rays(volume, camera_to_world, pixel_to_camera, height, width)
    return torch.ops.raygrad.march_adjoint(cotangent, volume, *rays, world_to_voxel, labels, width, *settings)


def _march_cameras_adjoint_into(
    cotangent, gradient, camera_to_world, pixel_to_camera, world_to_voxel, labels, height, width, *settings
):
    rays = _rays(gradient, camera_to_world, pixel_to_camera, height, width)
    torch.ops.raygrad.march_adjoint_into(cotangent, gradient, *rays, world_to_voxel, labels, width, *settings)


def _contract_cameras(cotangent, jacobian, height, width, backend):
    return contract_in_torch(cotangent, jacobian, height, width)


def _rays(volume, camera_to_world, pixel_to_camera, height, width):
    ends = rays_of_cameras(camera_to_world.double(), pixel_to_camera.double(), height, width)
    return [points.to(sums_in(volume.dtype)) for points in ends]


INSTEAD = {
    torch.ops.raygrad.march_cameras: _march_cameras,
    torch.ops.raygrad.march_cameras_with_jacobian: _march_cameras_with_jacobian,
    torch.ops.raygrad.march_cameras_adjoint: _march_cameras_adjoint,
    torch.ops.raygrad.march_cameras_adjoint_into: _march_cameras_adjoint_into,
    torch.ops.raygrad.contract_cameras: _contract_cameras,
    aten._conj: aten.conj_physical,
    aten._neg_view: aten.neg,
}
"""For operators that GPUs alone have; and for those that leave a note to conjugate or negate values later, which torch
does not look for in here."""


def _note(kind: str, what: object, size: int = 0) -> None:
    if _counting:
        _counting[-1].note(kind, what, size)


def _line_of_raygrad() -> str:
    """The innermost line of the library: not of a test, which may lie in a clone's folder of the same name."""
    for frame, number in walk_stack(None):
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"/{frame.f_code.co_filename.removeprefix(PACKAGE)}:{number}".replace(os.sep, "/")
    return "a test"


def _make(function, *args, **kwargs):
    """What torch asks of a device without a tensor at hand: memory, and copies between devices."""
    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves((args, kwargs))):
        return PretendedTensor(function(*args, **{**kwargs, "device": "cpu"}))
    return _run(function, args, kwargs)


_every_operation, _copies = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
_every_operation.fallback(_make, "PrivateUse1")
_copies.impl("copy_", lambda *args: _run(aten.copy_.default, args, {}), "PrivateUse1")  # as torch.tensor calls it
