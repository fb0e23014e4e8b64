"""The laws of expectation maximisation and of surrogates: what is conserved, and what never falls."""

from itertools import pairwise

import pytest
import torch
from reconstruction_cases import counts, function_of, make_scene, relative_error
from torch.func import grad

from raygrad.reconstruction._methods.transmission import optimal_curvature

pytestmark = pytest.mark.usefixtures("one_thread")
osem = function_of("osem")
sirt = function_of("sirt")


@pytest.fixture(scope="module")
def scene():
    return make_scene(torch.float64, n_views=12, size=12, pixels=16)


def never_grow(values):
    return all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(values))


def test_one_subset_is_the_step_of_shepp_and_vardi(scene):
    projector, _, images = scene
    ones = torch.ones_like(images)
    sensitivity = projector.T(ones)
    volume = torch.full(projector.domain_shape, 0.01, dtype=torch.float64)
    expected = projector(volume)
    ratio = torch.where(expected > 0, images / expected, 0.0)
    exact = torch.where(sensitivity > 0, volume * projector.T(ratio) / sensitivity, volume)
    torch.testing.assert_close(osem(projector, images, n_subsets=1, start=volume, iterations=1).volume, exact)


def test_one_subset_conserves_counts(scene):
    projector, _, images = scene
    counted = torch.poisson(images * 3)
    totals = []
    osem(
        projector,
        counted,
        n_subsets=1,
        iterations=5,
        callback=lambda iteration, volume: totals.append(float(projector(volume).sum())),
    )
    # Counts where no ray crosses a voxel are lost.
    seen = float(counted[projector(torch.ones(projector.domain_shape, dtype=torch.float64)) > 0].sum())
    assert totals == pytest.approx([seen] * 5, rel=1e-9)


def test_the_likelihood_of_emission_never_falls_with_one_subset(scene):
    projector, _, images = scene
    history = osem(projector, torch.poisson(images * 3), n_subsets=1, iterations=40).history
    assert never_grow([entry.objective for entry in history])
    assert history[-1].objective < 0.5 * history[0].objective


@pytest.mark.parametrize("photons", [20.0, 1e5])
@pytest.mark.parametrize("level", [None, 0.0, 0.2])
def test_the_likelihood_of_transmission_never_falls_with_one_subset(scene, photons, level):
    """Also from starts that are far too thin or too thick, where parabolas of other curvatures overshoot."""
    projector, _, images = scene
    start = None if level is None else torch.full(projector.domain_shape, level, dtype=torch.float64)
    options = {"statistics": "transmission", "photons": photons, "counts": True, "n_subsets": 1, "start": start}
    history = osem(projector, counts(images, photons), iterations=25, **options).history
    assert never_grow([entry.objective for entry in history])
    assert history[-1].objective < 0.8 * history[0].objective


def test_the_objective_is_the_distance_to_a_perfect_fit(scene):
    projector, truth, images = scene
    first = osem(projector, images, n_subsets=1, start=truth, iterations=1).history[0]
    assert first.objective == pytest.approx(0.0, abs=1e-9)
    options = {"statistics": "transmission", "photons": 1e3, "n_subsets": 1, "iterations": 1}
    assert osem(projector, images, start=truth, **options).history[0].objective == pytest.approx(0.0, abs=1e-6)
    start = torch.full(projector.domain_shape, 0.01, dtype=torch.float64)
    measured, expected = counts(images, 1e3), 1e3 * torch.exp(-projector(start))
    poisson = torch.distributions.Poisson
    exact = poisson(measured.clamp(min=1e-300)).log_prob(measured) - poisson(expected).log_prob(measured)
    first = osem(projector, measured, start=start, counts=True, **options).history[0]
    assert first.objective == pytest.approx(float(exact.sum()), rel=1e-9)


def test_parabolas_touch_the_likelihood_and_lie_above_its_negative():
    lengths = torch.linspace(0, 12, 200, dtype=torch.float64)
    at = torch.tensor([0.0, 1e-3, 0.029, 0.031, 0.5, 3.0, 9.0], dtype=torch.float64)[:, None]
    photons, measured = torch.tensor(100.0, dtype=torch.float64), 7.0

    def negative(length):
        return photons * torch.exp(-length) + measured * length

    slope = measured - photons * torch.exp(-at)
    curvature = optimal_curvature(at, photons)
    parabola = negative(at) + slope * (lengths - at) + curvature / 2 * (lengths - at) ** 2
    assert (parabola >= negative(lengths) - 1e-9).all()
    # The least such: for a curvature 1 % lower the parabola cuts through at 0, where it touches now.
    lower = negative(at) - slope * at + 0.99 * curvature / 2 * at**2
    assert (lower[4:] < negative(torch.zeros(()).double())).all()
    assert float(grad(grad(lambda length: negative(length)))(torch.zeros(()).double())) == pytest.approx(100.0)
    assert float(optimal_curvature(torch.tensor(0.0), torch.tensor(100.0))) == 100.0


def test_subsets_come_about_as_many_times_as_far(scene):
    projector, truth, images = scene
    for options in ({}, {"statistics": "transmission", "photons": 1e4}):
        slow = osem(projector, images, n_subsets=1, iterations=24, **options)
        fast = osem(projector, images, n_subsets=6, iterations=5, **options)
        assert relative_error(fast.volume, truth) < 1.1 * relative_error(slow.volume, truth)


def test_counts_and_their_line_integrals_are_one_problem(scene):
    projector, _, images = scene
    options = {"statistics": "transmission", "photons": 500.0, "iterations": 4}
    of_lines = osem(projector, images, **options)
    of_counts = osem(projector, 500 * torch.exp(-images), counts=True, **options)
    torch.testing.assert_close(of_lines.volume, of_counts.volume)


def test_photons_may_differ_from_pixel_to_pixel(scene):
    projector, truth, images = scene
    filtered = 1e4 * torch.linspace(0.2, 1.0, 16, dtype=torch.float64).expand(16, 16)
    options = {"statistics": "transmission", "counts": True, "n_subsets": 1, "start": truth, "iterations": 1}
    fits = osem(projector, filtered * torch.exp(-images), photons=filtered, **options)
    assert fits.history[0].objective == pytest.approx(0.0, abs=1e-6)
    assert osem(projector, filtered * torch.exp(-images), photons=1e4, **options).history[0].objective > 1e3


def test_at_few_photons_transmission_statistics_come_nearest():
    """At the iteration that is best for each method: with 30 photons a ray, many rays lose all or all but a few."""
    projector, truth, images = make_scene(n_views=16, size=16, pixels=20)
    left = counts(images, 30.0)
    assert (left == 0).any()

    def least_error(method, images, **options):
        errors = []
        method(projector, images, callback=lambda step, volume: errors.append(relative_error(volume, truth)), **options)
        return min(errors)

    lines = torch.log(30 / left.clamp(min=0.5))
    transmission = least_error(osem, left, statistics="transmission", photons=30.0, counts=True, iterations=15)
    assert transmission < 0.9 * least_error(sirt, lines, iterations=60)
    assert transmission < least_error(osem, lines.clamp(min=0), iterations=10)


def test_bad_statistics_are_refused(scene):
    projector, truth, images = scene
    with pytest.raises(ValueError, match="emission, transmission"):
        osem(projector, images, statistics="gaussian")
    with pytest.raises(ValueError, match="not below 0"):
        osem(projector, images - 1)
    with pytest.raises(ValueError, match="start with voxels above 0"):
        osem(projector, images, start=truth * 0)
    with pytest.raises(ValueError, match="statistics='transmission' only"):
        osem(projector, images, statistics="emission", photons=100.0)
    transmission = {"statistics": "transmission"}
    with pytest.raises(ValueError, match="Expected photons"):
        osem(projector, images, **transmission)
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive number of photons"):
            osem(projector, images, photons=wrong, **transmission)
    with pytest.raises(ValueError, match="photons as a number or shape"):
        osem(projector, images, photons=torch.ones(3, 3), **transmission)
    with pytest.raises(ValueError, match="counts that are not below 0"):
        osem(projector, images - 1, photons=10.0, counts=True, **transmission)
