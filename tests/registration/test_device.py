"""Registration and landscapes where the volume is on another device than the CPU."""

import copy
from dataclasses import replace

import pytest
import torch
from pretended_gpu import DEVICE, count_traffic, let_kernels_serve_it
from registration_cases import EVERYTHING, START, TRUTH, TWO_STAGES, make_drr, make_subject

from raygrad.landscape import compute_landscape
from raygrad.registration import SearchRanges, Status, register, search
from raygrad.registration import _inputs as views
from raygrad.registration._solver import batches

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def drr():
    return make_drr(make_subject())


@pytest.fixture(scope="module")
def xray(drr):
    return drr(TRUTH)


@pytest.fixture
def traffic(monkeypatch):
    """Where registration and landscapes wait for the device while a function runs, and its result."""
    let_kernels_serve_it(monkeypatch)

    def lines_that_wait(function):
        with count_traffic() as counted:
            result = function()
        ours = [line for line in counted.lines if "/registration/" in line or "/landscape/" in line]
        return [line for line in ours if line.startswith("waits")], result

    return lines_that_wait


@pytest.fixture
def there(drr, xray, traffic):
    """The DRR and the X-ray on the pretended device."""
    return copy.deepcopy(drr).to(DEVICE), xray.to(DEVICE)


def same_pose(one, other):
    torch.testing.assert_close(one.pose.matrix.cpu(), other.pose.matrix, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.score.cpu(), other.score, rtol=0, atol=1e-6)
    assert one.status == other.status


@pytest.mark.parametrize("structures", [None, {"left": [1]}], ids=["whole", "parts"])
def test_a_device_finds_what_the_cpu_finds(traffic, there, drr, xray, structures):
    options = {"stages": TWO_STAGES, "candidates": 3, "unknowns": EVERYTHING, "structures": structures}
    expected = register([xray, xray], [drr, drr], [START, START], **options)
    _, found = traffic(lambda: register([there[1]] * 2, [there[0]] * 2, [START, START], **options))
    same_pose(found, expected)
    assert found.pose.device == there[1].device
    torch.testing.assert_close(found.uncertainty.covariance, expected.uncertainty.covariance, rtol=1e-3, atol=1e-9)
    assert found.summary().splitlines()[1:] == expected.summary().splitlines()[1:]


def test_a_device_is_searched_as_the_cpu_is(traffic, there, drr, xray):
    stages = [replace(stage, keep=8) for stage in TWO_STAGES]
    options = {"ranges": SearchRanges(degrees=10.0, mm=15.0), "poses": 40, "keep": 2, "stages": stages}
    _, found = traffic(lambda: search(there[1], there[0], **options, init=TRUTH))
    same_pose(found, search(xray, drr, **options, init=TRUTH))


@pytest.mark.parametrize("folder", ["/home/a/raygrad/tests", "/home/a/raygrad/.venv/lib"])
def test_only_lines_of_the_library_are_counted_as_its_own(folder):
    program = compile("there.sum().item()", f"{folder}/registration/program.py", "exec")
    with count_traffic() as counted:
        exec(program, {"there": torch.zeros(3, device=DEVICE)})
    assert counted.lines[0].endswith("in a test")


@pytest.mark.parametrize("method", ["lm", "adam", "lbfgs"])
def test_waits_do_not_grow_with_the_iterations(monkeypatch, traffic, there, method):
    monkeypatch.setattr(batches, "TOGETHER_ELSEWHERE", 1000)

    def run(iterations):
        options = {"iterations": iterations, "tolerance": 1e-12}
        if method == "lm":
            options = {"stages": [replace(stage, iterations=iterations, tolerance=0.0) for stage in TWO_STAGES[:1]]}
        lines, result = traffic(lambda: register(there[1], there[0], START, method=method, **options))
        assert len(result.trace) == iterations + 1
        return lines

    assert run(6) == run(2) != []


def test_which_problems_move_is_asked_for_now_and_then(traffic, there):
    stage = replace(TWO_STAGES[0], iterations=6, tolerance=0.0)
    lines, _ = traffic(lambda: register(there[1], there[0], START, stages=[stage]))
    assert sum("levenberg_marquardt" in line for line in lines) == 2  # after the second and the fourth


def test_waits_for_a_landscape_are_one_for_each_slice(traffic, there):
    def run(batch_size):
        options = {"parameterization": "axis_angle", "steps": 3, "batch_size": batch_size}
        return traffic(lambda: compute_landscape(there[0], START, **options))

    (lines, landscape), (more, same) = run(2), run(9)
    assert len(lines) == len(more) == 1 + 6  # the loss at the truth
    for piece, other in zip(landscape.slices, same.slices, strict=True):
        torch.testing.assert_close(torch.from_numpy(piece.loss), torch.from_numpy(other.loss), rtol=0, atol=1e-6)


# Devices without float64


def test_single_precision_is_enough_to_register(monkeypatch, drr, xray):
    monkeypatch.setattr(views, "finest_dtype", lambda device: torch.float32)
    stages = (TWO_STAGES[0], replace(TWO_STAGES[1], calibrate=False))
    result = register(xray, drr, START, stages=stages)
    assert result.pose.dtype == torch.float32
    assert result.status == (Status.CONVERGED,)
    double = register(xray, drr, START.to(torch.float64), stages=stages).pose
    torch.testing.assert_close(result.pose.matrix, TRUTH.matrix, rtol=0, atol=0.05)
    assert double.dtype == torch.float32


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)])
def test_poses_are_as_fine_as_the_device_allows(device, dtype):
    assert views.finest_dtype(torch.device(device)) == dtype
