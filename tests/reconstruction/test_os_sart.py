"""Ordered subsets: between SIRT and SART, and faster than the one."""

import pytest
import torch
from reconstruction_cases import function_of, make_scene, relative_error

pytestmark = pytest.mark.usefixtures("one_thread")
os_sart = function_of("os_sart")
sirt = function_of("sirt")


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_views=16, size=20, pixels=24)


def test_one_subset_is_sirt(scene):
    projector, _, images = scene
    volume = os_sart(projector, images, n_subsets=1, relaxation=0.8, decay=1.0, iterations=4).volume
    assert torch.equal(volume, sirt(projector, images, relaxation=0.8, iterations=4).volume)


def test_one_view_a_subset_is_sart():
    projector, _, images = make_scene(torch.float64, n_views=4, size=8, pixels=10)
    volume = torch.zeros_like(projector.T(images))
    ones = torch.ones_like(images)
    columns = torch.stack([projector[[view]].T(ones[[view]]) for view in range(4)]).amax(0)
    for relaxation in (0.5, 0.45):
        for view in (0, 2, 1, 3):  # by bit reversal
            one = projector[[view]]
            missing, lengths = images[[view]] - one(volume), one(torch.ones_like(volume))
            update = one.T(torch.where(lengths > 0, missing / lengths, 0.0))
            volume = (volume + relaxation * torch.where(columns > 0, update / columns, 0.0)).clamp(min=0)
    result = os_sart(projector, images, n_subsets=4, relaxation=0.5, decay=0.9, iterations=2)
    torch.testing.assert_close(result.volume, volume)


def test_subsets_come_about_as_many_times_as_far(scene):
    projector, truth, images = scene
    slow = sirt(projector, images, iterations=24)
    fast = os_sart(projector, images, n_subsets=8, decay=1.0, iterations=4)
    assert relative_error(fast.volume, truth) < 1.05 * relative_error(slow.volume, truth)


def test_voxels_that_few_views_see_do_not_overshoot():
    """Half the views see a corner of the volume only: steps scaled by the mean subset would be far too long there."""
    projector, _, _ = make_scene(n_views=8, size=16, pixels=16)
    poses = projector.views.pose.matrix.clone()
    poses[1:, 2, 3] += 95.0
    projector = projector.with_views(type(projector.views)(projector.views.detector, type(projector.views.pose)(poses)))
    images = projector(torch.ones(projector.domain_shape))
    result = os_sart(projector, images, n_subsets=8, relaxation=1.9, decay=1.0, iterations=20)
    assert result.residual < 0.05
    assert float(result.volume.max()) < 10


def test_a_decay_lets_contradicting_subsets_settle(scene):
    projector, _, images = scene
    noisy = images + 0.3 * torch.randn_like(images)
    circling, settled = (os_sart(projector, noisy, n_subsets=8, decay=decay, iterations=14) for decay in (1.0, 0.7))
    assert settled.history[-1].change < circling.history[-1].change / 10


def test_bad_numbers_are_refused(scene):
    projector, _, images = scene
    for wrong in ({"relaxation": 2.0}, {"relaxation": 0.0}, {"decay": 0.0}, {"decay": 1.1}):
        with pytest.raises(ValueError, match="relaxation between 0 and 2 and a decay"):
            os_sart(projector, images, **wrong)
    with pytest.raises(ValueError, match="at least 1 subset"):
        os_sart(projector, images, n_subsets=0)
    with pytest.raises(ValueError, match="1 to 16 subsets"):
        os_sart(projector, images, n_subsets=17)
    with pytest.raises(TypeError):
        os_sart(projector, images, n_subsets=2.5)
