"""One call from images to a volume, and what it says beforehand of memory and time."""

import re
from dataclasses import dataclass, fields
from importlib import import_module

import pytest
import torch
from reconstruction_cases import exact_images, function_of, make_geometry, make_scene, make_views, relative_error

import raygrad
from raygrad._processes import Processes
from raygrad.projector import Projector
from raygrad.reconstruction import (
    METHODS,
    Adam,
    Calibration,
    Estimate,
    Held,
    IterativeMethod,
    OsSart,
    Resumption,
    Sirt,
    Solver,
    Status,
    UnknownGeometry,
    reconstruct,
)

pytestmark = pytest.mark.usefixtures("one_thread")
sirt = function_of("sirt")

reconstruct_module = import_module("raygrad.reconstruction._reconstruct")
estimate_module = import_module("raygrad.reconstruction._estimate")

OPTIONS = {"fdk": {}, "adam": {"iterations": 80, "nonnegative": True}, "tv": {"strength": 0.01}}


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_views=16, size=16, pixels=24)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_near_the_truth(scene, method):
    projector, truth, images = scene
    result = reconstruct(images, projector.views, make_geometry(16), method=method, **OPTIONS.get(method, {}))
    assert result.method == method
    assert result.volume.shape == truth.shape
    assert relative_error(result.volume, truth) < (0.5 if method == "fdk" else 0.35)
    assert result.status is (Status.DIRECT if method == "fdk" else Status.OUT_OF_ITERATIONS)


def test_is_the_method_on_the_projector_that_it_names(scene):
    projector, _, images = scene
    again = reconstruct(
        images[:, None], projector.views, make_geometry(16), method="sirt", iterations=3, relaxation=0.7
    )
    assert torch.equal(again.volume, sirt(projector, images, iterations=3, relaxation=0.7).volume)
    other = reconstruct(images, projector.views, make_geometry(16), method="sirt", renderer="siddon", iterations=3)
    assert other.projector.renderer == "siddon"
    assert raygrad.reconstruct is reconstruct


def test_a_method_is_a_value_and_its_name_a_shorthand(scene):
    projector, _, images = scene
    grid, options = make_geometry(16), {"iterations": 2, "tolerance": 1e-9}
    by_name = reconstruct(images, projector.views, grid, method="os_sart", n_subsets=4, relaxation=0.5, **options)
    method = OsSart(n_subsets=4, relaxation=0.5)
    assert torch.equal(by_name.volume, reconstruct(images, projector.views, grid, method=method, **options).volume)
    assert torch.equal(by_name.volume, method(projector, images, **options).volume)
    assert method == OsSart(n_subsets=4, relaxation=0.5) != OsSart()
    with pytest.raises(AttributeError, match="cannot assign to field"):
        method.n_subsets = 2


class Half(IterativeMethod):
    """Half of what is left to the sum of all images, everywhere."""

    name, held, default_iterations = "half", Held(2.0, 1.0), 3

    def solver(self, projector, images, **problem):
        return HalfSolver(self, projector, images, nonnegative=False, **problem)


class HalfSolver(Solver):
    def step(self):
        residual = self.images - self.projector(self.volume)
        self.volume += residual.sum() / self.projector(torch.ones_like(self.volume)).sum() / 2
        return self.said(residual.double().square().sum())


def test_a_method_of_ones_own_runs_as_all_others(scene, tmp_path):
    projector, _, images = scene
    half = dataclass(frozen=True)(Half)()
    result = reconstruct(images, projector.views, make_geometry(16), method=half, checkpoint=tmp_path / "state")
    assert (result.method, len(result.history), result.status) == ("half", 3, Status.OUT_OF_ITERATIONS)
    assert projector(result.volume).sum() == pytest.approx(7 / 8 * float(images.sum()), rel=1e-4)
    assert estimate_module.estimate(projector, half, trial=False).method == "half"


REFUSED = [
    ("os_sart", {"filter": "hann"}, "os_sart has no option 'filter'. It has n_subsets, relaxation, decay"),
    ("tv", {"patience": 3}, "tv has no option 'patience'"),
    ("fdk", {"iterations": 5}, "fdk has no option 'iterations'. It has filter, cutoff, nonnegative, extend."),
    ("fdk", {"checkpoint": "file"}, "fdk has no option 'checkpoint'"),
    ("fdk", {"start": torch.zeros(16, 16, 16)}, "fdk has no option 'start'"),
    (Sirt(), {"n_subsets": 3}, "sirt has no option 'n_subsets'. It has relaxation, nonnegative, start, iterations,"),
    (Sirt(), {"relaxation": 0.5}, r"Sirt(relaxation=...). Got it beside Sirt(relaxation=1.0, nonnegative=True)"),
]


@pytest.mark.parametrize(("method", "options", "words"), REFUSED)
def test_options_that_do_not_apply_are_refused_by_the_methods_name(scene, method, options, words):
    projector, _, images = scene
    with pytest.raises(TypeError, match=re.escape(words)):
        reconstruct(images, projector.views, make_geometry(16), method=method, **options)


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
def test_methods_say_what_they_are_and_what_their_options_mean(kind):
    assert METHODS[kind.name] is kind
    assert min(kind.held) >= 1
    arguments = kind.__doc__.partition("    Args:\n")[2].partition("    Raises:")[0]
    for field in fields(kind):
        assert re.search(rf"^ +{field.name}: ", arguments, re.MULTILINE), field.name


def test_volumes_and_drrs_say_where_voxels_lie(scene):
    projector, truth, images = scene
    volume = make_geometry(16).to_volume(truth)
    result = reconstruct(images, projector.views, volume, method="sirt", iterations=1)
    assert torch.equal(result.geometry.voxel_to_world, projector.volume_geometry.voxel_to_world)


def test_bad_input_is_refused_before_work(scene, monkeypatch):
    projector, _, images = scene
    monkeypatch.setattr(Projector, "_apply", lambda *_: pytest.fail("worked"))
    monkeypatch.setattr(Projector, "_backproject", lambda *_: pytest.fail("worked"))
    with pytest.raises(ValueError, match=r"method to be one of fdk, .*tv, adam\. Got 'magic'"):
        reconstruct(images, projector.views, make_geometry(16), method="magic")
    with pytest.raises(ValueError, match="renderer to be one of"):
        reconstruct(images, projector.views, make_geometry(16), renderer="magic")
    with pytest.raises(ValueError, match=r"images of shape \(16, 24, 24\)"):
        reconstruct(images[1:], projector.views, make_geometry(16), calibrate="poses", progress=True)
    with pytest.raises(ValueError, match="finite values"):
        reconstruct(images * torch.nan, projector.views, make_geometry(16))


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_is_refused_with_what_it_needs(scene, method, monkeypatch):
    projector, _, images = scene
    needed = estimate_module.estimate(projector, method, trial=False).memory
    monkeypatch.setattr(estimate_module, "available_memory", lambda: needed - 1)
    with pytest.raises(
        MemoryError, match=rf"{method} of 16 x 16 x 16 voxels .* takes about .* available.*larger voxels"
    ):
        reconstruct(images, projector.views, make_geometry(16), method=method)
    for enough in (needed, None):
        monkeypatch.setattr(estimate_module, "available_memory", lambda enough=enough: enough)
        estimate_module.check_memory(projector, method)


class Two(Processes):
    """The first of two processes; that there is another it only says."""

    count = 2


def test_processes_that_share_the_views_share_what_the_images_take(scene, monkeypatch):
    """Each holds whole volumes and its own images; those of one machine its memory."""
    projector, _, _ = scene
    alone, of_two = (estimate_module.estimate(projector, "sirt", 4, processes=p) for p in (None, Two()))
    _, stacks = METHODS["sirt"].held
    own = 8 * 24 * 24
    assert alone.memory - of_two.memory == 4 * own * (1 + stacks + estimate_module._BYTES_PER_RAY // 4)
    monkeypatch.setattr(estimate_module, "available_memory", lambda: of_two.memory)
    estimate_module.check_memory(projector, "sirt", Two())
    with pytest.raises(MemoryError, match="takes about"):
        estimate_module.check_memory(projector, "sirt")
    monkeypatch.setattr(Two, "on_this_machine", 2)
    with pytest.raises(MemoryError, match="each"):
        estimate_module.check_memory(projector, "sirt", Two())


def test_a_process_looks_at_and_moves_its_own_images_only(scene, monkeypatch):
    """The others' may be mapped to a disk; and a GPU has no place for them."""
    projector, _, images = scene
    with_poison = images.clone()
    with_poison[8:] = torch.nan
    moved, to = [], torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *args, **kw: moved.append(tuple(self.shape)) or to(self, *args, **kw)
    )
    monkeypatch.setattr(reconstruct_module, "shard", lambda projector, images, _: (projector[:8], images[:8]))
    result = reconstruct(
        with_poison, projector.views, make_geometry(16), method="sirt", iterations=1, processes=Two(), device="cpu"
    )
    assert result.volume.isfinite().all()
    assert (8, 24, 24) in moved
    assert (16, 24, 24) not in moved


def test_a_loss_of_ones_own_is_not_shared(scene):
    projector, _, images = scene
    loss = Adam(loss=torch.nn.functional.l1_loss)
    with pytest.raises(ValueError, match=r"views processes can share\. Got adam: with a loss of one's own"):
        reconstruct(images, projector.views, make_geometry(16), method=loss, processes=Two())


def test_what_there_is_to_say_comes_as_values(scene, tmp_path):
    projector, _, images = scene
    said, path = [], tmp_path / "state"
    options = {"method": "sirt", "say": said.append, "checkpoint": path}
    reconstruct(images, projector.views, make_geometry(16), iterations=2, **options)
    (expected,) = said
    assert (expected.method, expected.iterations) == ("sirt", 2)
    assert expected.seconds > 0
    said.clear()
    reconstruct(images, projector.views, make_geometry(16), iterations=3, **options)
    assert said[1:] == [Resumption(path, 2)]
    assert str(said[1]) == f"going on from iteration 2, kept in '{path}'"


def test_says_what_it_will_take_and_shows_a_bar_when_asked(scene, capsys):
    projector, _, images = scene
    reconstruct(images, projector.views, make_geometry(16), method="sirt", iterations=2)
    assert capsys.readouterr() == ("", "")
    reconstruct(images, projector.views, make_geometry(16), method="sirt", iterations=2, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "sirt: about" in err
    assert ": 2 iterations of" in err
    assert "residual" in err
    reconstruct(images, projector.views, make_geometry(16), method="fdk", progress=True)
    assert "fdk: about" in capsys.readouterr().err


def test_refined_views_are_those_of_the_result(scene, monkeypatch):
    projector, _, images = scene
    refined = make_views(16, 24, start_deg=3.0)
    asked = []

    def refine(projector, images, unknowns, progress):
        asked.append(unknowns)
        nothing = torch.zeros(16)
        volume = make_geometry(16).zeros()
        moved = torch.zeros(16, 6)
        return Calibration(refined, volume, make_geometry(16), moved, moved, {}, nothing, nothing == 0, ())

    monkeypatch.setattr(reconstruct_module, "refine", refine)
    options = {"method": "sirt", "iterations": 3}
    result = reconstruct(images, projector.views, make_geometry(16), calibrate=("poses", "sdd"), **options)
    assert asked == [UnknownGeometry.of(("poses", "sdd"))]
    assert result.views is refined
    assert result.calibration.views is refined
    assert torch.equal(result.volume, reconstruct(images, refined, make_geometry(16), **options).volume)
    assert reconstruct(images, refined, make_geometry(16), **options).calibration is None


def test_images_of_an_object_that_has_no_voxels():
    views = make_views(24, 32)
    result = reconstruct(exact_images(views), views, make_geometry(24), method="cgls", iterations=10)
    novel = make_views(3, 32, start_deg=7.0)
    assert relative_error(result.project(novel), exact_images(novel)) < 0.2


def test_memory_grows_with_volumes_images_and_precision():
    def memory(method="sirt", n_views=4, size=16, dtype=torch.float32):
        projector = Projector(make_geometry(size), make_views(n_views, 16, dtype), rays_at_once=1)
        return estimate_module.estimate(projector, method, trial=False).memory

    volume, stack = 16**3 * 4, 4 * 16**2 * 4
    held, stacks = METHODS["sirt"].held
    assert memory(size=32) - memory() == pytest.approx(7 * held * volume)
    assert memory(n_views=8) - memory() == pytest.approx((1 + stacks) * stack)
    assert memory(dtype=torch.float64) == 2 * memory()
    assert memory("fdk") < memory("sirt") < memory("tv")


def test_time_is_known_from_a_trial_only(scene):
    projector, _, _ = scene
    blind = estimate_module.estimate(projector, "sirt", 10, trial=False)
    assert blind.seconds is None
    assert blind.seconds_per_iteration is None
    assert "iterations" not in str(blind)
    for tried in (projector, projector[[0, 5]]):
        timed = estimate_module.estimate(tried, "sirt", 10)
        assert timed.seconds == 10 * timed.seconds_per_iteration > 0
        assert ": 10 iterations of" in str(timed)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.25, "0.25 s"), (90.0, "90 s"), (600.0, "10 min"), (36000.0, "10.0 h")]
)
def test_estimates_are_words_for_people(seconds, words):
    text = str(Estimate(int(2.5e9), int(64e9), seconds, 1, "tv"))
    assert text == f"tv: about 2.5 GB of memory (of 64 GB available), about {words}"
    assert str(Estimate(int(2.5e9), None, None, 1, "tv")) == "tv: about 2.5 GB of memory"
    shared = Estimate(int(2.5e9), int(64e9), None, 1, "tv", 4)
    assert str(shared) == "tv, shared by 4 processes: about 2.5 GB of memory each (of 64 GB available)"


def test_available_memory_is_what_the_machine_says():
    available = estimate_module.available_memory()
    assert available is None or available > 1e6
