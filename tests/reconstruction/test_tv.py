"""Total variation: its discrete gradient, the values that are known, and the minimiser that others find too."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from reconstruction_cases import function_of, make_scene, relative_error

from raygrad.reconstruction import TotalVariation, total_variation
from raygrad.reconstruction._methods.total_variation import divergence, gradient, gradient_bound, limit_

pytestmark = pytest.mark.usefixtures("one_thread")
tv = function_of("tv")

SPACING = (0.5, 2.0, 3.0)


@pytest.fixture(scope="module")
def scene():
    """5^3 voxels and 600 noisy pixels: small enough to be solved otherwise."""
    projector, truth, images = make_scene(torch.float64, n_views=6, size=5, pixels=10)
    return (
        projector,
        truth,
        images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1)).double(),
    )


def explicit(projector):
    """The projector as a matrix of pixels and voxels."""
    units = torch.eye(math.prod(projector.domain_shape), dtype=torch.float64)
    return torch.stack([projector(unit.view(projector.domain_shape)).flatten() for unit in units], dim=1)


def chambolle_pock(projector, images, penalty, weights=1.0, iterations=3000):
    """The non-negative minimiser by the textbook's algorithm, of steps that are the same for all voxels and pixels."""
    spacing = projector.volume_geometry.spacing
    matrix = explicit(projector) * torch.as_tensor(weights, dtype=torch.float64).expand_as(images).reshape(-1, 1).sqrt()
    pixels = (images * torch.as_tensor(weights, dtype=torch.float64).sqrt()).flatten()
    scale = float(torch.linalg.matrix_norm(matrix, 2)) / gradient_bound(spacing) ** 0.5
    step = 0.99 / (2**0.5 * float(torch.linalg.matrix_norm(matrix, 2)))
    volume = ahead = torch.zeros(projector.domain_shape, dtype=torch.float64)
    misfit, edges = torch.zeros_like(pixels), torch.zeros(3, *volume.shape, dtype=torch.float64)
    for _ in range(iterations):
        misfit = (misfit + step * (matrix @ ahead.flatten() - pixels)) / (1 + step)
        edges = limit_(edges + step * scale * gradient(ahead, spacing), penalty / scale)
        slope = (matrix.T @ misfit).view_as(volume) - scale * divergence(edges, spacing)
        before, volume = volume, (volume - step * slope).clamp(min=0)
        ahead = 2 * volume - before
    return volume


def objective(projector, images, penalty, volume):
    variation = float(total_variation(volume, projector.volume_geometry.spacing))
    return 0.5 * float((projector(volume) - images).square().sum()) + penalty * variation


def test_divergence_is_minus_the_adjoint_of_the_gradient():
    volume, field = torch.randn(4, 5, 6).double(), torch.randn(3, 4, 5, 6).double()
    spread, gathered = (gradient(volume, SPACING) * field).sum(), (volume * divergence(field, SPACING)).sum()
    torch.testing.assert_close(spread, -gathered, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_ramp_is_its_slope_and_0_at_the_end():
    ramp = torch.arange(5.0).view(1, 5, 1).expand(4, 5, 6) * 3
    field = gradient(ramp, SPACING)
    assert (field[1, :, :-1] == 3 / SPACING[1]).all()
    field[1, :, :-1] = 0
    assert float(field.abs().max()) < 1e-6  # two products that cancel, up to rounding


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING])
def test_the_gradient_is_no_longer_than_its_bound_which_large_grids_come_near(spacing):
    volume = torch.stack(torch.meshgrid(*[torch.arange(16)] * 3, indexing="ij")).sum(0) % 2 * 2.0 - 1  # a checkerboard
    quotient = float(gradient(volume, spacing).square().sum() / volume.square().sum())
    assert 0.9 * gradient_bound(spacing) < quotient <= gradient_bound(spacing)


def test_vectors_are_shortened_to_the_limit_and_shorter_ones_are_left_alone():
    field = torch.tensor([[3.0, 0.3], [4.0, 0.4], [0.0, 0.0]]).view(3, 2, 1, 1)
    limited = limit_(field.clone(), 1.0)
    torch.testing.assert_close(limited[:, 0, 0, 0], torch.tensor([0.6, 0.8, 0.0]))
    torch.testing.assert_close(limited[:, 1, 0, 0], field[:, 1, 0, 0])
    assert (limit_(field, 0.0) == 0).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING])
def test_total_variation_of_a_box_is_known(spacing):
    """Forward differences see a face between two voxels once; at edges and corners of the box several at one voxel."""
    volume = torch.zeros(9, 10, 11, dtype=torch.float64)
    volume[2:6, 3:8, 4:7] = 0.7
    sides, per_mm = (4, 5, 3), [1 / length for length in spacing]
    expected = 0.0
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        first, second = (sides[other] for other in others)
        low, high = first * second, (first - 1) * (second - 1)  # faces towards lower and higher indices
        expected += (low + high) * per_mm[axis]
        expected += (sides[axis] - 1) * math.hypot(*(per_mm[other] for other in others))  # voxels at one high edge
    expected += math.hypot(*per_mm)  # the voxel at the highest corner
    torch.testing.assert_close(float(total_variation(volume, spacing)), 0.7 * expected)


def test_total_variation_counts_gradients_per_mm():
    volume = torch.rand(4, 5, 6).double()
    torch.testing.assert_close(total_variation(volume, (2.0, 2.0, 2.0)), total_variation(volume) / 2)
    torch.testing.assert_close(total_variation(3 * volume, SPACING), 3 * total_variation(volume, SPACING))
    expected = gradient(volume, SPACING).norm(dim=0).sum()
    torch.testing.assert_close(total_variation(volume, SPACING), expected)


def test_the_derivative_of_total_variation():
    volume = torch.rand(3, 4, 3, dtype=torch.float64, requires_grad=True)
    for smoothing in (0.0, 0.1):
        assert torch.autograd.gradcheck(partial(total_variation, spacing=SPACING, smoothing=smoothing), (volume,))
    flat = torch.ones(3, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(partial(total_variation, spacing=SPACING, smoothing=0.1), (flat,))
    (slope,) = torch.autograd.grad(total_variation(flat), flat)
    assert (slope == 0).all()


def test_smoothing_takes_from_every_gradient_at_most_itself():
    volume = torch.rand(4, 5, 6).double()
    sharp, smooth = total_variation(volume), total_variation(volume, smoothing=0.01)
    assert float(sharp) - 0.01 * volume.numel() < float(smooth) < float(sharp)
    assert float(total_variation(torch.ones(3, 3, 3), smoothing=0.5)) == 0


def test_volumes_without_a_total_variation_are_refused():
    for wrong in (
        {"volume": torch.ones(3, 3), "spacing": (1.0, 1.0, 1.0)},
        {"volume": torch.ones(3, 3, 3), "spacing": (1.0, 1.0)},
        {"volume": torch.ones(3, 3, 3), "spacing": (1.0, 0.0, 1.0)},
        {"volume": torch.ones(3, 3, 3), "smoothing": -1.0},
    ):
        with pytest.raises(Exception, match=r"three positive spacings|[Tt]ype-check"):
            total_variation(**wrong)


@pytest.mark.parametrize(("n_subsets", "iterations"), [(1, 200), (3, 100)])
def test_finds_the_minimiser_that_the_textbook_algorithm_finds(scene, n_subsets, iterations):
    projector, _, images = scene
    expected = chambolle_pock(projector, images, penalty=200.0)
    result = tv(projector, images, penalty=200.0, n_subsets=n_subsets, iterations=iterations)
    assert relative_error(result.volume, expected) < 1e-3
    values = [objective(projector, images, 200.0, volume) for volume in (result.volume, expected)]
    assert abs(values[0] / values[1] - 1) < 1e-4
    assert objective(projector, images, 200.0, 0.99 * expected) > values[1]


@pytest.mark.parametrize("off", [{"strength": 0}, {"penalty": 0.0}])
def test_without_a_penalty_it_is_least_squares_of_volumes_not_below_0(scene, off):
    scipy_optimize = pytest.importorskip("scipy.optimize")
    projector, _, images = scene
    _, least = scipy_optimize.nnls(explicit(projector).numpy(), images.flatten().numpy())
    result = tv(projector, images, **off, n_subsets=3, iterations=120)
    missing = float((projector(result.volume) - images).norm())
    assert least <= missing < 1.0001 * least
    assert float(result.volume.min()) == 0


def test_weights_weigh_squares(scene):
    projector, _, images = scene
    weights = torch.rand(images.shape, generator=torch.Generator().manual_seed(2)).double() + 0.1
    weighted = tv(projector, images, penalty=100.0, weights=weights, n_subsets=1, iterations=200).volume
    assert relative_error(weighted, chambolle_pock(projector, images, 100.0, weights)) < 1e-3
    once, doubled = (
        tv(projector, images, penalty=scale * 100.0, weights=scale * weights, n_subsets=1, iterations=20).volume
        for scale in (1, 2)
    )
    assert relative_error(doubled, once) < 1e-6


def test_a_view_of_no_weight_does_not_matter(scene):
    projector, _, images = scene
    weights = torch.ones_like(images)
    weights[1] = 0
    solve = partial(tv, projector, penalty=100.0, weights=weights, n_subsets=3, iterations=40)
    spoilt = images.clone()
    spoilt[1] += 50 * torch.rand(images.shape[1:]).double()
    assert torch.equal(solve(images).volume, solve(spoilt).volume)
    others = [0, 2, 3, 4, 5]
    alone = tv(projector[others], images[others], penalty=100.0, n_subsets=1, iterations=40).volume
    few = tv(projector, images, penalty=100.0, weights=weights, n_subsets=1, iterations=40).volume
    assert relative_error(few, alone) < 1e-6


def test_the_penalty_stands_in_the_objective(scene):
    projector, _, images = scene
    result = tv(projector, images, penalty=50.0, n_subsets=1, iterations=200)
    assert result.history[-1].objective == pytest.approx(objective(projector, images, 50.0, result.volume), rel=1e-6)
    assert result.history[-1].residual == pytest.approx(relative_error(projector(result.volume), images), rel=1e-6)


@pytest.mark.parametrize("scale", [2.0, 1e-3])
def test_a_strength_has_no_units(scale):
    """Images of another unit, or millimetres that are inches, give the same volume in that unit."""
    projector, _, images = make_scene(torch.float64, n_views=6, size=8, pixels=10)
    images = images + 0.05 * torch.randn_like(images)
    solve = partial(tv, projector, strength=0.5, iterations=15)
    torch.testing.assert_close(solve(scale * images).volume, scale * solve(images).volume)


def test_twice_the_noise_is_twice_the_penalty():
    projector, _, images = make_scene(torch.float64, n_views=6, size=8, pixels=40)
    noise = torch.randn_like(images)
    penalties = [
        TotalVariation(strength=strength).solver(projector, images + sigma * noise).penalty
        for sigma, strength in ((0.5, 1.0), (1.0, 1.0), (0.5, 3.0))
    ]
    assert penalties[1] / penalties[0] == pytest.approx(2, rel=0.1)
    assert penalties[2] / penalties[0] == pytest.approx(3)
    weights = torch.full_like(images, 4.0)  # the noise of weight 1 is twice that of the images, the slope four times
    weighted = TotalVariation(weights=weights).solver(projector, images + 0.5 * noise).penalty
    assert weighted / penalties[0] == pytest.approx(4)


def test_the_penalty_of_a_strength_is_the_slope_that_noise_makes():
    """3 root mean square slopes of noise alone, times a voxel's edge, as computed from many draws of noise."""
    projector, _, images = make_scene(torch.float64, n_views=6, size=8, pixels=24)
    noise = 0.5 * torch.randn(40, *images.shape, dtype=torch.float64)
    solver = TotalVariation().solver(projector, noise[0])
    slopes = torch.stack([projector.T(draw) for draw in noise])
    seen = projector.T(torch.ones_like(images)) > 0
    edge = projector.volume_geometry.spacing[0]
    assert solver.penalty == pytest.approx(3 * float(slopes[:, seen].square().mean().sqrt()) * edge, rel=0.15)


def test_fewer_edges_than_least_squares_and_nearer_to_the_truth():
    projector, truth, images = make_scene(n_views=12, size=16, pixels=24)
    noisy = images + 0.15 * torch.randn_like(images)
    smooth, rough = (tv(projector, noisy, strength=strength).volume for strength in (0.1, 0.0))
    assert float(total_variation(smooth)) < 0.8 * float(total_variation(rough))
    assert relative_error(smooth, truth) < 0.95 * relative_error(rough, truth)


def test_constraints_hold_exactly(scene):
    projector, truth, images = scene
    support = truth > 0
    support[2] = False
    lowest = []
    result = tv(
        projector,
        images,
        support=support,
        start=torch.full_like(truth, 0.01),
        iterations=8,
        callback=lambda iteration, volume: lowest.append(float(volume.min())),
    )
    assert min(lowest) >= 0
    assert (result.volume[~support] == 0).all()
    assert (result.volume[support] > 0).any()
    assert float(tv(projector, images - 5, nonnegative=False, iterations=8).volume.min()) < 0


@pytest.mark.parametrize("n_subsets", [1, 2])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(scene, tmp_path, n_subsets):
    projector, _, images = scene
    solve = partial(tv, projector, images, n_subsets=n_subsets, iterations=9)
    whole = solve()
    path = tmp_path / "state.pt"
    stopped = solve(checkpoint=path, checkpoint_every=0, callback=lambda iteration, volume: iteration.number == 4)
    assert len(stopped.history) == 4
    resumed = solve(checkpoint=path)
    assert torch.equal(resumed.volume, whole.volume)
    assert [entry.objective for entry in resumed.history] == [entry.objective for entry in whole.history]
    for other in ({"strength": 2.0}, {"penalty": 1.0}, {"weights": 2 * torch.ones_like(images)}, {"n_subsets": 3}):
        with pytest.raises(ValueError, match="other settings"):
            solve(checkpoint=path, **other)


def test_bad_input_is_refused(scene):
    projector, _, images = scene
    for wrong in ({"strength": -1.0}, {"penalty": -1.0}, {"strength": np.inf}, {"penalty": np.nan}):
        with pytest.raises(ValueError, match="strength, or penalty, of at least 0"):
            tv(projector, images, **wrong)
    with pytest.raises(ValueError, match="weights of the images' shape"):
        tv(projector, images, weights=torch.ones_like(images[1:]))
    for wrong in (-torch.ones_like(images), torch.zeros_like(images), torch.full_like(images, torch.inf)):
        with pytest.raises(ValueError, match="finite weights of at least 0, and some above"):
            tv(projector, images, weights=wrong)
    with pytest.raises(ValueError, match="1 to 6 subsets"):
        tv(projector, images, n_subsets=7)
    with pytest.raises(TypeError):
        tv(projector, images, n_subsets=1.5)


def test_images_too_narrow_to_show_noise_need_a_penalty():
    narrow = make_scene(n_views=4, size=6, pixels=2)
    with pytest.raises(ValueError, match="at least 3 columns"):
        tv(narrow[0], narrow[2])
    assert tv(narrow[0], narrow[2], penalty=1.0, iterations=2).volume.isfinite().all()
    assert tv(narrow[0], narrow[2], strength=0, iterations=2).volume.isfinite().all()
