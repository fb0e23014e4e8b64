"""`check_backend` passes raygrad's backends, and fails each way of computing something else."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from raygrad.kernels import BACKENDS, GPU_DEVICES, RENDERERS, _cpu, available_backends
from raygrad.testing import check_backend

pytestmark = pytest.mark.usefixtures("one_thread")
HAS_GPU = any(getattr(torch, device).is_available() for device in GPU_DEVICES)
needs_extension = pytest.mark.skipif(not available_backends()["cpu"][0], reason=available_backends()["cpu"][1])
needs_gpu_kernels = pytest.mark.skipif(not available_backends()["gpu"][0], reason=available_backends()["gpu"][1])
in_time = () if HAS_GPU else (pytest.mark.slow,)  # launches by the hundred, of interpreted kernels


@needs_extension
@pytest.mark.parametrize("renderer", ["siddon", "joseph", "trilinear"])
def test_the_cpus_backend_is_one(renderer):
    check_backend("cpu", renderers=[renderer])


@needs_gpu_kernels
@pytest.mark.parametrize(("backend", "renderer"), [("gpu", renderer) for renderer in RENDERERS])
@pytest.mark.parametrize("marked", [pytest.param(None, marks=in_time, id="")])
def test_the_gpus_backend_is_one(backend, renderer, marked):
    check_backend(backend, renderers=[renderer])


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_reference_keeps_its_own_promises(renderer):
    check_backend("reference", renderers=[renderer])


def times(factor):
    """A march whose images are that many times as bright."""
    return lambda *arguments: factor * _cpu.march(*arguments)


def derivatives(change):
    """A march whose derivatives are changed."""

    def march_with_jacobian(*arguments):
        image, jacobian = _cpu.march_with_jacobian(*arguments)
        return image, change(jacobian)

    return march_with_jacobian


def beside(cotangent, gradient, *arguments):
    """An adjoint that clears all memory from the first to the last voxel of its output."""
    last = sum((size - 1) * stride for size, stride in zip(gradient.shape, gradient.stride(), strict=True))
    torch.as_strided(gradient, (last + 1,), (1,)).zero_()
    _cpu.march_adjoint_into(cotangent, gradient, *arguments)


def without_labels(volume, source, target, affine, labels, bricks, width, n_channels, *settings):
    image = volume.new_zeros(max(len(volume), len(target)), n_channels, target.shape[1])
    image[:, :1] = _cpu.march(volume, source, target, affine, None, bricks, width, 1, *settings)
    return image


def always_sums(*arguments):
    *inputs, reducefn = arguments
    return _cpu.march(*inputs, "sum")


def skips_too_much(volume, source, target, affine, labels, bricks, *rest):
    return _cpu.march(volume, source, target, affine, labels, bricks, *rest) * (1.0 if bricks is None else 0.5)


def from_the_other_end(volume, *arguments):
    return _cpu.march(volume.flip(-1), *arguments)


def twice(volume, *arguments):
    for _ in range(2):
        _cpu.add_voxel_driven_(volume, *arguments)


BROKEN = {
    "a thousandth too bright": ({"march": times(1.001)}, "the reference's image"),
    "not quite zero": ({"march": lambda *a: _cpu.march(*a) + 1e-12}, "exact zeros in the greatest value"),
    "always sums": ({"march": always_sums}, "the reference's image .*max"),
    "skips too much": ({"march": skips_too_much}, "with air that may be skipped"),
    "no structures": ({"march": without_labels}, "the reference's image .*structures"),
    "z the other way": ({"march": from_the_other_end}, "the reference's image"),
    "the wrong sign": ({"march_with_jacobian": derivatives(torch.neg)}, "derivatives by both ends"),
    "ends exchanged": ({"march_with_jacobian": derivatives(lambda j: j.roll(3, -1))}, "derivatives by both ends"),
    "no adjoint": ({"march_adjoint": lambda *a: 1.001 * _cpu.march_adjoint(*a)}, "gradient for the volume|A x, y"),
    "memory beside": ({"march_adjoint_into": beside}, "memory beside the output left alone"),
    "added twice": ({"add_voxel_driven_": twice}, "voxel-driven"),
}


@pytest.fixture
def backend_of(monkeypatch):
    """Makes a backend of the CPU's functions with others in the place of some."""

    def make(name, functions):
        module = f"raygrad_backend_{name.replace(' ', '_')}"
        own = {key: getattr(_cpu, key) for key in dir(_cpu) if not key.startswith("__")}
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**(own | functions)))
        monkeypatch.setitem(BACKENDS, name, replace(BACKENDS["cpu"], module=module))
        return name

    return make


@needs_extension
def test_a_backend_of_ones_own_is_one(backend_of):
    check_backend(backend_of("my own", {}), renderers=["siddon"])


@needs_extension
@pytest.mark.parametrize("name", BROKEN)
def test_what_computes_something_else_fails(name, backend_of):
    functions, message = BROKEN[name]
    with pytest.raises(AssertionError, match=message):
        check_backend(backend_of(name, functions), renderers=["siddon"])


def test_what_is_not_there_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="Expected a backend among cpu, gpu, reference"):
        check_backend("tpu")
    monkeypatch.setitem(BACKENDS, "cpu", replace(BACKENDS["cpu"], describe=lambda: (False, "out of order")))
    with pytest.raises(ValueError, match="Got 'cpu', out of order"):
        check_backend("cpu")
