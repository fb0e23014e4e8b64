"""SIRT against its own definition."""

from itertools import pairwise

import pytest
import torch
from reconstruction_cases import function_of, make_scene

pytestmark = pytest.mark.usefixtures("one_thread")
sirt = function_of("sirt")


def test_steps_are_those_of_the_definition():
    projector, _, images = make_scene(torch.float64, n_views=6, size=10, pixels=12)
    volume = torch.zeros_like(projector.T(images))
    rows, columns = projector(torch.ones_like(volume)), projector.T(torch.ones_like(images))
    for _ in range(3):
        weighted = torch.where(rows > 0, (images - projector(volume)) / rows, 0.0)
        volume = (volume + 0.7 * torch.where(columns > 0, projector.T(weighted) / columns, 0.0)).clamp(min=0)
    torch.testing.assert_close(sirt(projector, images, relaxation=0.7, iterations=3).volume, volume)


def test_the_weighted_residual_never_grows():
    projector, _, images = make_scene(torch.float64, n_views=6, size=10, pixels=12)
    images = images + 0.2 * torch.rand_like(images)
    lengths = projector(torch.ones_like(projector.T(images)))
    weights = torch.where(lengths > 0, 1 / lengths, 0.0)
    values = []
    sirt(
        projector,
        images,
        relaxation=1.9,
        nonnegative=False,
        iterations=30,
        callback=lambda iteration, x: values.append(float((weights * (projector(x) - images) ** 2).sum())),
    )
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(values))


@pytest.mark.parametrize("relaxation", [0.0, 2.0, -1.0, float("nan")])
def test_relaxations_that_do_not_converge_are_refused(relaxation):
    projector, _, images = make_scene(n_views=4, size=8, pixels=8)
    with pytest.raises(ValueError, match="between 0 and 2"):
        sirt(projector, images, relaxation=relaxation)
