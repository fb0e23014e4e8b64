"""Whole programs: one compiled graph, full precision under autocast, nothing that a GPU would be waited for."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from graph_cases import CASES, RENDERS, value_and_gradients
from pretended_gpu import DEVICE, NAME, count_traffic
from synchronisation import NoSynchronisation

from raygrad._precision import full_precision, without_autocast
from raygrad.metrics import _filters as filters
from raygrad.metrics import _volumes as volumes
from raygrad.pose import RigidTransform, convert, random_rigid_transform

BRIEF = ["multiscale ncc", "convert euler_angles", "mtre"]
DECOMPOSED = ("convert rotation_9d", "convert rotation_10d")  # by LAPACK and cuSOLVER, which report to the host

# torch.utils.checkpoint asks the one device beside the CPU for it, whatever its tensors' device.
getattr(torch, NAME).get_amp_supported_dtype = lambda: [torch.bfloat16]

every_case = pytest.mark.parametrize("name", CASES)


# Compilation


def compile_in_a_process(backend, names):
    script = Path(__file__).parent / "graph_cases.py"
    done = subprocess.run([sys.executable, script, backend, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.subprocess
def test_one_graph_gives_the_same_values_and_gradients():
    compile_in_a_process("aot_eager", BRIEF)


@pytest.mark.slow
@pytest.mark.subprocess
def test_one_graph_for_every_metric_and_every_pose():
    compile_in_a_process("aot_eager", [name for name in CASES if name not in BRIEF])


@pytest.mark.slow
@pytest.mark.subprocess
def test_one_graph_with_generated_code():
    compile_in_a_process("inductor", BRIEF)


# Autocast and half precision


@every_case
def test_autocast_changes_nothing(name):
    case = CASES[name]

    def under_autocast(*arguments):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return case.function(*arguments)

    torch.testing.assert_close(value_and_gradients(under_autocast, case.arguments), value_and_gradients(*case))


@every_case
def test_half_precision_is_computed_in_float32(name):
    """What a network gives under autocast, beside tensors in float32."""
    function, (*others, last) = CASES[name]
    half = last.bfloat16()
    value = function(*others, half)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, function(*others, half.float()), rtol=0, atol=0)


def test_a_pose_of_half_precision_would_be_off_by_millimetres():
    """The product that autocast would have rounded, and a network's parameters with their gradient's dtype."""
    rotation = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.bfloat16, requires_grad=True)
    xyz = torch.tensor([[3.0, -2.0, 851.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pose = convert(rotation, xyz, parameterization="euler_angles", convention="ZXY")
        assert (pose.rotation @ xyz[..., None]).dtype == torch.bfloat16
    assert pose.translation.norm().item() == pytest.approx(xyz.norm().item(), rel=1e-6)
    pose.translation.sum().backward()
    assert rotation.grad.dtype == torch.bfloat16


def test_decorated_functions_switch_autocast_off_where_it_is_on():
    def inside(*arguments, **more):
        return torch.is_autocast_enabled("cpu"), [tensor.dtype for tensor in (*arguments, *more.values())]

    half, single = torch.ones(1, dtype=torch.float16), torch.ones(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert without_autocast(inside)(half, more=single) == (False, [torch.float16, torch.float32])
        assert full_precision(inside)(half, more=half) == (False, [torch.float32, torch.float32])
        assert inside(half) == (True, [torch.float16])
        assert without_autocast(lambda pose: inside(pose.matrix))(random_rigid_transform()) == (False, [torch.float32])
    assert full_precision(inside)(half) == (False, [torch.float32])
    assert full_precision(inside)(torch.ones(1, device="meta")) == (False, [torch.float32])


def test_poses_of_half_precision_are_held_in_float32():
    assert RigidTransform(torch.eye(4, dtype=torch.float16)).dtype == torch.float32
    assert RigidTransform(torch.eye(4)).to(torch.bfloat16).dtype == torch.float32


# What a GPU would be waited for. Checks of values are made on the CPU only.


@every_case
def test_nothing_reads_values_or_copies_numbers(name, monkeypatch):
    """Forward and backward, so that a CUDA graph can capture both."""
    if name in DECOMPOSED:
        pytest.skip("its decomposition reports to the host that it converged")
    monkeypatch.setattr(volumes, "may_read", lambda tensor: False)
    leaves = [tensor.clone().requires_grad_() for tensor in CASES[name].arguments]
    with NoSynchronisation(copies=True):
        value = CASES[name].function(*leaves)
        torch.autograd.grad(value, leaves, torch.ones_like(value))


@every_case
def test_another_device_gives_the_same_and_is_not_waited_for(name):
    """With the branches that are not for the CPU: pooled patches, no checks of values."""
    if name in DECOMPOSED:
        pytest.skip("its decomposition reports to the host that it converged")
    function, arguments = CASES[name]
    there = [tensor.to(DEVICE).requires_grad_() for tensor in arguments]
    with count_traffic() as traffic:
        value = function(*there)
        gradients = torch.autograd.grad(value, there, torch.ones_like(value))
    assert (traffic.waits, traffic.uploads) == (0, 0), traffic.lines
    here = [tensor.clone().requires_grad_() for tensor in arguments]
    expected = function(*here)
    torch.testing.assert_close(value.cpu(), expected, rtol=1e-5, atol=1e-5)
    expected_gradients = torch.autograd.grad(expected, here, torch.ones_like(expected))
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient.cpu(), wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


@pytest.mark.parametrize(
    ("name", "most"),
    [("multiscale ncc", 65), ("convert euler_angles", 38), ("convert quaternion", 30), ("se3_exp_map", 75)],
)
def test_few_operations(name, most):
    """A GPU takes microseconds to start each, however little it does."""
    arguments = [tensor.to(DEVICE) for tensor in CASES[name].arguments]
    with NoSynchronisation() as dispatched:
        CASES[name].function(*arguments)
    assert dispatched.operations <= most


@pytest.mark.parametrize("size", [1, 2, 5, 13])
def test_pooled_patches_are_those_of_running_sums(size):
    images = torch.rand(2, 3, 17, 13, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(filters._pooled_box_mean(images, size), filters._running_box_mean(images, size))
    small = images[:1, :1, :14, :13].detach().requires_grad_()
    for box_mean in (filters._pooled_box_mean, filters._running_box_mean):
        assert torch.autograd.gradcheck(box_mean, (small, size), fast_mode=True)
        assert torch.autograd.gradgradcheck(box_mean, (small, size), fast_mode=True)


# From the pose to the gradient of an image's similarity


@pytest.mark.subprocess
def test_one_graph_from_pose_to_gradient():
    compile_in_a_process("aot_eager", RENDERS)


@pytest.mark.parametrize("name", RENDERS)
def test_autocast_leaves_renders_alone(name):
    case = RENDERS[name]

    def under_autocast(*arguments):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return case.function(*arguments)

    torch.testing.assert_close(value_and_gradients(under_autocast, case.arguments), value_and_gradients(*case))
