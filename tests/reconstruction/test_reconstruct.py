"""One call from images to a volume, and what it says beforehand of memory and time."""

from importlib import import_module

import pytest
import torch
from reconstruction_cases import exact_images, make_geometry, make_scene, make_views, relative_error

import raygrad
from raygrad.projector import Projector
from raygrad.reconstruction import Calibration, Status, reconstruct, sirt
from raygrad.reconstruction._reconstruct import METHODS

pytestmark = pytest.mark.usefixtures("one_thread")

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
    with pytest.raises(ValueError, match="method to be one of siddon"):
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
    assert asked == [("poses", "sdd")]
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
    held, stacks = estimate_module.HELD["sirt"]
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
    text = str(estimate_module.Estimate(int(2.5e9), int(64e9), seconds, 1))
    assert text == f"about 2.5 GB of memory (of 64 GB available), about {words}"
    assert str(estimate_module.Estimate(int(2.5e9), None, None, 1)) == "about 2.5 GB of memory"


def test_available_memory_is_what_the_machine_says():
    available = estimate_module.available_memory()
    assert available is None or available > 1e6
