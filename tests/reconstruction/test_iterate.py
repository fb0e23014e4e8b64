"""What all iterative methods share: stopping, constraints, starts, checkpoints, and saying no to bad input."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from reconstruction_cases import function_of, make_scene, relative_error

from raygrad.reconstruction import Sirt, Solver, Status, Step, iterate
from raygrad.reconstruction._inner_products import inner_product

pytestmark = pytest.mark.usefixtures("one_thread")
sirt = function_of("sirt")
os_sart = function_of("os_sart")
cgls = function_of("cgls")
osem = function_of("osem")

METHODS = {
    "sirt": sirt,
    "os_sart": partial(os_sart, n_subsets=4),
    "cgls": cgls,
    "cgls on faces": partial(cgls, nonnegative=True, restart=3),
    "osem": partial(osem, n_subsets=4),
    "osem of transmission": partial(osem, statistics="transmission", photons=1e4, n_subsets=4),
}
method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_views=12, size=16, pixels=20)


def stop_after(number):
    return lambda iteration, volume: iteration.number == number


@method
def test_comes_near_what_consistent_images_show(scene, method):
    projector, truth, images = scene
    result = method(projector, images, iterations=30)
    assert result.status is Status.OUT_OF_ITERATIONS
    assert [entry.number for entry in result.history] == list(range(1, 31))
    assert result.residual < 0.06
    assert relative_error(result.volume, truth) < 0.4
    assert float((projector(result.volume) - images).norm() / images.norm()) <= result.residual * 1.001


@method
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(scene, method, tmp_path):
    projector, _, images = scene
    whole = method(projector, images, iterations=9)
    stopped = method(projector, images, iterations=9, checkpoint=tmp_path / "state.pt", callback=stop_after(5))
    assert stopped.status is Status.STOPPED
    assert len(stopped.history) == 5
    resumed = method(projector, images, iterations=9, checkpoint=tmp_path / "state.pt")
    assert torch.equal(resumed.volume, whole.volume)
    assert [entry.residual for entry in resumed.history] == [entry.residual for entry in whole.history]
    assert [entry.objective for entry in resumed.history] == [entry.objective for entry in whole.history]
    finished = method(projector, images, iterations=9, checkpoint=tmp_path / "state.pt")
    assert torch.equal(finished.volume, whole.volume)


KILLED = """
import os, signal, sys
import torch
from reconstruction_cases import make_scene
from raygrad.reconstruction import OsSart
torch.set_num_threads(1)
projector, _, images = make_scene(n_views=12, size=16, pixels=20)
def kill(iteration, volume):
    if iteration.number == 4:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
OsSart()(projector, images, iterations=7, checkpoint=sys.argv[1], checkpoint_every=0, callback=kill)
"""


@pytest.mark.subprocess
def test_a_run_that_was_killed_goes_on_to_the_same_bits(scene, tmp_path):
    path = [str(Path(__file__).parents[1] / "cases"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "state.pt"], env=environment, check=False)
    assert killed.returncode == -getattr(signal, "SIGKILL", -1)
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]
    projector, _, images = scene
    seen = []
    resumed = os_sart(
        projector,
        images,
        iterations=7,
        checkpoint=tmp_path / "state.pt",
        callback=lambda iteration, volume: seen.append(iteration.number),
    )
    assert seen == [4, 5, 6, 7]
    assert torch.equal(resumed.volume, os_sart(projector, images, iterations=7).volume)


def test_checkpoints_of_another_problem_are_refused(scene, tmp_path):
    projector, truth, images = scene
    path = tmp_path / "state.pt"
    os_sart(projector, images, iterations=2, checkpoint=path)
    with pytest.raises(ValueError, match="other settings"):
        os_sart(projector, images, iterations=3, checkpoint=path, relaxation=0.5)
    with pytest.raises(ValueError, match="other images"):
        os_sart(projector, images * 2, iterations=3, checkpoint=path)
    with pytest.raises(ValueError, match="other start"):
        os_sart(projector, images, iterations=3, checkpoint=path, start=truth)
    with pytest.raises(ValueError, match="other method"):
        sirt(projector, images, iterations=3, checkpoint=path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="Expected a checkpoint of a reconstruction"):
        os_sart(projector, images, iterations=3, checkpoint=path)
    with pytest.raises(ValueError, match="a folder that exists"):
        os_sart(projector, images, iterations=3, checkpoint=tmp_path / "nowhere" / "state.pt")


@method
def test_ends_at_a_residual_or_when_little_changes(scene, method):
    projector, _, images = scene
    fitted = method(projector, images, iterations=60, residual=0.2)
    assert fitted.status is Status.FITTED
    assert fitted.residual <= 0.2 < fitted.history[-2].residual
    converged = method(projector, images, iterations=60, tolerance=0.2)
    assert converged.status is Status.CONVERGED
    assert converged.history[-1].change <= 0.2


@method
def test_voxels_outside_the_support_are_exactly_zero(scene, method):
    projector, truth, images = scene
    support = truth > 0
    support[5] = False
    result = method(projector, images, iterations=5, support=support, start=torch.full_like(truth, 0.01))
    assert (result.volume[~support] == 0).all()
    assert (result.volume[support] != 0).any()


@pytest.mark.parametrize("method", [METHODS[name] for name in METHODS if name != "cgls"])
def test_no_voxel_is_below_zero(scene, method):
    projector, _, images = scene
    noisy = (images + 0.3 * torch.randn_like(images)).clamp(min=0)
    lowest = []
    method(projector, noisy, iterations=8, callback=lambda iteration, volume: lowest.append(float(volume.min())))
    assert min(lowest) >= 0


@method
def test_goes_on_from_a_start_which_it_leaves_alone(scene, method):
    projector, truth, images = scene
    start = truth + 0.001
    kept = start.clone()
    result = method(projector, images, iterations=3, start=start)
    assert torch.equal(start, kept)
    from_nothing = method(projector, images, iterations=3).volume
    assert relative_error(result.volume, truth) < 0.2 * relative_error(from_nothing, truth)


@method
def test_works_in_float64_and_takes_images_as_a_drr_renders_them(method):
    projector, _, images = make_scene(torch.float64, n_views=8, size=12, pixels=16)
    result = method(projector, images[:, None], iterations=2)
    assert result.volume.dtype == torch.float64
    assert torch.equal(result.volume, method(projector, images, iterations=2).volume)


@method
def test_shows_a_bar_with_the_residual_when_asked(scene, method, capsys):
    projector, _, images = scene
    method(projector, images, iterations=2)
    assert capsys.readouterr().err == ""
    method(projector, images, iterations=2, progress=True)
    assert "residual" in capsys.readouterr().err


@method
def test_bad_input_is_refused(scene, method):
    projector, truth, images = scene
    refused = partial(pytest.raises, ValueError)
    with refused(match="images of shape"):
        method(projector, images[1:])
    with refused(match=r"finite values. Got NaN or infinity in those of views \[3\]"):
        method(projector, torch.where(torch.arange(12)[:, None, None] == 3, torch.nan, images))
    with refused(match="Got zeros only"):
        method(projector, torch.zeros_like(images))
    with pytest.raises(TypeError, match="float32 or float64"):
        method(projector, images.int())
    with refused(match="support of shape"):
        method(projector, images, support=torch.ones(3, 3, 3))
    with refused(match="at least one voxel"):
        method(projector, images, support=torch.zeros_like(truth))
    with refused(match="start of shape"):
        method(projector, images, start=truth[1:])
    with refused(match="start of finite values"):
        method(projector, images, start=truth * torch.nan)
    with refused(match="at least one iteration"):
        method(projector, images, iterations=0)
    with refused(match="tolerance of at least 0"):
        method(projector, images, tolerance=-1.0)
    with pytest.raises(TypeError, match="has no option 'patience'"):
        method(projector, images, patience=3)


@method
def test_views_that_see_nothing_are_refused(scene, method):
    projector, _, images = scene
    poses = projector.views.pose.matrix.clone()
    poses[[2, 7], 2, 3] += 5000.0
    astray = projector.with_views(type(projector.views)(projector.views.detector, type(projector.views.pose)(poses)))
    with pytest.raises(ValueError, match=r"2 that see nothing of it: \[2, 7\]"):
        method(astray, images)


def test_a_volume_that_grows_beyond_all_numbers_is_an_error(scene):
    class Diverging(Solver):
        def step(self):
            self.volume.add_(1.0).mul_(1e15)
            return Step(1.0)

    projector, _, images = scene
    with pytest.raises(FloatingPointError, match="no longer finite in iteration 2"):
        iterate(Diverging(Sirt(), projector, images, nonnegative=False))


def test_inner_products_of_many_terms_keep_their_digits():
    volume = torch.rand(110, 100, 90).permute(2, 1, 0)
    exact = (volume.double() ** 2).sum()
    assert inner_product(volume, volume).dtype == torch.float64
    assert abs(float(inner_product(volume, volume) / exact) - 1) < 1e-6
    assert float(inner_product(volume[:0], volume[:0])) == 0
