"""Adam over all voxels: the steps of the loop that one would write by hand, for any loss and regulariser."""

from functools import partial

import pytest
import torch
from reconstruction_cases import function_of, make_scene, relative_error

from raygrad import metrics
from raygrad.reconstruction import total_variation

pytestmark = pytest.mark.usefixtures("one_thread")
adam = function_of("adam")


@pytest.fixture(scope="module")
def scene():
    return make_scene(torch.float64, n_views=6, size=8, pixels=10)


def by_hand(projector, images, loss, steps, subsets=((slice(None)),), regulariser=None, constrain=None, rate=1e-3):
    """Torch's plain optimiser over the autograd of the projector: volume, and what every step began with."""
    volume = torch.nn.Parameter(torch.zeros(projector.domain_shape, dtype=images.dtype))
    optimizer = torch.optim.Adam([volume], lr=rate, foreach=False, fused=False)
    values = []
    for step in range(steps):
        chosen = subsets[step % len(subsets)]
        optimizer.zero_grad()
        value = loss(projector[chosen](volume), images[chosen])
        if regulariser is not None:
            value = value + regulariser(volume)
        value.backward()
        optimizer.step()
        if constrain is not None:
            with torch.no_grad():
                volume.copy_(constrain(volume))
        values.append(float(value.detach()))
    return volume.detach(), values


def test_makes_the_steps_of_torch_adam(scene):
    projector, _, images = scene
    expected, values = by_hand(projector, images, torch.nn.functional.mse_loss, 20)
    result = adam(projector, images, iterations=20)
    torch.testing.assert_close(result.volume, expected, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close([entry.objective for entry in result.history], values, rtol=1e-10, atol=0)
    residuals = [(value * images.numel()) ** 0.5 / float(images.norm()) for value in values]
    torch.testing.assert_close([entry.residual for entry in result.history], residuals, rtol=1e-10, atol=0)
    assert float(result.volume.min()) < 0, "no voxel is kept from falling below 0 unless asked"


def test_takes_any_loss_and_regulariser(scene):
    projector, _, images = scene
    similarity = metrics.NormalizedCrossCorrelation2d()

    def loss(rendered, images):
        return (1 - similarity(rendered[:, None], images[:, None])).mean()

    def smooth(volume):
        return 1e-3 * total_variation(volume, projector.volume_geometry.spacing, smoothing=1e-4)

    start = torch.full(projector.domain_shape, 0.01, dtype=torch.float64)
    for regulariser in (None, smooth):
        settings = {"loss": loss, "regulariser": regulariser, "iterations": 10}
        assert torch.equal(adam(projector, images, **settings).volume, adam(projector, images, **settings).volume)
        expected, values = by_hand(projector, images, loss, 10, regulariser=regulariser)
        result = adam(projector, images, **settings)
        torch.testing.assert_close(result.volume, expected, rtol=1e-8, atol=1e-12)
        torch.testing.assert_close([entry.objective for entry in result.history], values, rtol=1e-9, atol=1e-12)
    better = adam(projector, images, loss=loss, start=start, iterations=30)
    assert better.history[-1].objective < 0.2 * better.history[0].objective


def test_a_loss_of_ones_own_that_is_the_mean_squared_error_changes_nothing(scene):
    projector, _, images = scene
    given = adam(projector, images, loss=torch.nn.functional.mse_loss, iterations=5)
    torch.testing.assert_close(given.volume, adam(projector, images, iterations=5).volume)


def test_subsets_take_turns(scene):
    projector, _, images = scene
    turns = ([0, 2, 4], [1, 3, 5])
    expected, values = by_hand(projector, images, torch.nn.functional.mse_loss, 12, subsets=turns)
    result = adam(projector, images, n_subsets=2, iterations=6)
    torch.testing.assert_close(result.volume, expected, rtol=1e-9, atol=1e-14)
    objectives = [(first + second) / 2 for first, second in zip(values[::2], values[1::2], strict=True)]
    torch.testing.assert_close([entry.objective for entry in result.history], objectives)


def test_voxels_are_constrained_after_each_step(scene):
    projector, truth, images = scene
    support = truth > 0
    support[3] = False

    def constrain(volume):
        return volume.clamp(min=0) * support

    lowest = []
    result = adam(
        projector,
        images,
        iterations=12,
        learning_rate=0.01,
        nonnegative=True,
        support=support,
        callback=lambda iteration, volume: lowest.append(float(volume.min())),
    )
    assert min(lowest) >= 0
    assert (result.volume[~support] == 0).all()
    expected, _ = by_hand(projector, images, torch.nn.functional.mse_loss, 12, constrain=constrain, rate=0.01)
    torch.testing.assert_close(result.volume, expected, rtol=1e-9, atol=1e-14)


def test_comes_near_the_truth_from_images_as_a_drr_renders_them():
    projector, truth, images = make_scene(n_views=16, size=16, pixels=24, method="siddon")
    result = adam(projector, images[:, None], nonnegative=True, iterations=80)
    assert result.residual < 0.08
    assert relative_error(result.volume, truth) < 0.25
    assert torch.equal(result.volume, adam(projector, images, nonnegative=True, iterations=80).volume)


def test_neither_images_nor_start_are_written_to(scene):
    projector, truth, images = scene
    kept = images.clone(), truth.clone()
    adam(projector, images, start=truth, n_subsets=2, iterations=2)
    adam(projector, images, start=truth, iterations=2)
    assert torch.equal(images, kept[0])
    assert torch.equal(truth, kept[1])


@pytest.mark.parametrize("n_subsets", [1, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(scene, tmp_path, n_subsets):
    projector, _, images = scene
    solve = partial(adam, projector, images, n_subsets=n_subsets, regulariser=torch.linalg.vector_norm, iterations=9)
    start = torch.full(projector.domain_shape, 0.01, dtype=torch.float64)
    whole = solve(start=start)
    path = tmp_path / "state.pt"
    stop = {"checkpoint_every": 0, "callback": lambda iteration, volume: iteration.number == 4}
    stopped = solve(start=start, checkpoint=path, **stop)
    assert len(stopped.history) == 4
    resumed = solve(start=start, checkpoint=path)
    assert torch.equal(resumed.volume, whole.volume)
    assert [entry.objective for entry in resumed.history] == [entry.objective for entry in whole.history]
    for other in ({"learning_rate": 1e-2}, {"loss": torch.nn.functional.mse_loss}, {"regulariser": None}):
        with pytest.raises(ValueError, match="other settings"):
            solve(start=start, checkpoint=path, **other)


def test_functions_that_return_no_scalar_are_refused(scene):
    projector, _, images = scene

    def by_pixel(rendered, images):
        return (rendered - images).square()

    def constant(rendered, images):
        return torch.ones(())

    def number(rendered, images):
        return 1.0

    for loss, got in ((by_pixel, r"one of shape \(6, 10, 10\)"), (constant, r"shape \(\)"), (number, "float")):
        with pytest.raises(ValueError, match=f"{loss.__name__} to return a tensor of one value.*{got}"):
            adam(projector, images, loss=loss)
    with pytest.raises(ValueError, match="return a tensor of one value"):
        adam(projector, images, regulariser=lambda volume: volume.square())


def test_bad_input_is_refused(scene):
    projector, _, images = scene
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive learning rate"):
            adam(projector, images, learning_rate=wrong)
    with pytest.raises(ValueError, match="1 to 6 subsets"):
        adam(projector, images, n_subsets=7)
    with pytest.raises(Exception, match=r"as functions|[Tt]ype-check"):
        adam(projector, images, loss="mse")
    with pytest.raises(ValueError, match="images of shape"):
        adam(projector, images[:, :, None])
