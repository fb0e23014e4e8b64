"""Conjugate gradients against solutions that are known exactly."""

from itertools import pairwise

import pytest
import torch
from reconstruction_cases import function_of, make_scene

from raygrad.reconstruction import Cgls, Status

pytestmark = pytest.mark.usefixtures("one_thread")
cgls = function_of("cgls")


@pytest.fixture(scope="module")
def tiny():
    """A problem of 125 unknowns with noise, and its matrix."""
    projector, truth, _ = make_scene(torch.float64, n_views=9, size=5, pixels=12)
    columns = [projector(unit.view(5, 5, 5)).flatten() for unit in torch.eye(125, dtype=torch.float64)]
    images = projector(truth)
    return projector, images + 0.1 * torch.randn_like(images), torch.stack(columns, dim=1)


def test_reaches_the_least_squares_solution(tiny):
    projector, images, matrix = tiny
    exact = torch.linalg.lstsq(matrix, images.flatten()[:, None]).solution
    residual = float((matrix @ exact - images.flatten()[:, None]).norm() / images.norm())
    result = cgls(projector, images, iterations=200, tolerance=1e-12)
    assert result.status is Status.CONVERGED
    torch.testing.assert_close(result.volume.flatten()[:, None], exact, rtol=1e-6, atol=1e-8)
    assert result.residual == pytest.approx(residual, rel=1e-9)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-5), (torch.float64, 1e-14)])
def test_goes_on_beyond_convergence_without_harm(tiny, dtype, precision):
    """Rounding alone makes directions there, along which steps of the usual length would lead away again."""
    projector, images, matrix = tiny
    support = torch.rand(5, 5, 5) > 0.4
    chosen = matrix[:, support.flatten()]
    exact = torch.linalg.lstsq(chosen, images.flatten()[:, None]).solution[:, 0]
    for iterations in (100, 200, 300):
        volume = cgls(projector, images.to(dtype), support=support, iterations=iterations).volume
        torch.testing.assert_close(volume[support].double(), exact, rtol=0, atol=precision)


def test_damping_is_tikhonovs(tiny):
    projector, images, matrix = tiny
    identity = torch.eye(125, dtype=torch.float64)
    exact = torch.linalg.solve(matrix.T @ matrix + 20.0**2 * identity, matrix.T @ images.flatten())
    result = cgls(projector, images, damping=20.0, iterations=100)
    torch.testing.assert_close(result.volume.flatten(), exact, rtol=1e-6, atol=1e-8)
    objective = float((matrix @ exact - images.flatten()).square().sum() + 400 * exact.square().sum())
    assert result.history[-1].objective == pytest.approx(objective, rel=1e-9)


def test_a_support_is_the_problem_with_fewer_unknowns(tiny):
    projector, images, matrix = tiny
    support = torch.rand(5, 5, 5) > 0.4
    exact = torch.zeros(125, dtype=torch.float64)
    exact[support.flatten()] = torch.linalg.lstsq(matrix[:, support.flatten()], images.flatten()[:, None]).solution[
        :, 0
    ]
    result = cgls(projector, images, support=support, iterations=200)
    torch.testing.assert_close(result.volume.flatten(), exact, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("damping", [0.0, 20.0])
def test_nonnegative_volumes_meet_the_conditions_of_a_minimum(tiny, damping):
    """Karush, Kuhn and Tucker: no slope where a voxel is free, none that would lead below 0 where it is at 0."""
    projector, images, _ = tiny
    result = cgls(projector, images, damping=damping, nonnegative=True, iterations=200)
    descent = projector.T(images - projector(result.volume)) - damping**2 * result.volume
    scale = float(projector.T(images).abs().max())
    at_zero = result.volume == 0
    assert 10 < int(at_zero.sum()) < 115
    assert float(descent[~at_zero].abs().max()) < 1e-5 * scale
    assert float(descent[at_zero].max()) < 1e-5 * scale


@pytest.mark.parametrize("damping", [0.0, 20.0])
@pytest.mark.parametrize("restart", [None, 4])
def test_the_sum_never_grows(damping, restart):
    projector, _, images = make_scene(n_views=8, size=12, pixels=16)
    images = images + 0.05 * torch.randn_like(images)
    result = cgls(projector, images, damping=damping, restart=restart, iterations=30)
    sums = [entry.objective if damping else entry.residual for entry in result.history]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(sums))


def test_the_sum_never_grows_from_face_to_face():
    projector, _, images = make_scene(n_views=8, size=12, pixels=16)
    images = images + 0.2 * torch.randn_like(images)
    solver = Cgls(restart=5, nonnegative=True).solver(projector, images)
    at_restarts, steps = [1.0], []
    for _ in range(50):
        residual = solver.step().residual
        if torch.equal(solver.face_start, solver.volume):
            at_restarts.append(residual)
            steps.append(solver.steps_left)
    assert set(steps) == {1, 5}  # the single steps where no part of the way goes down are needed here
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(at_restarts))


def test_the_residual_that_is_carried_along_is_the_volumes():
    projector, _, images = make_scene(n_views=8, size=12, pixels=16)
    for options in ({"iterations": 60}, {"iterations": 20, "nonnegative": True}):
        result = cgls(projector, images, **options)
        true = float((projector(result.volume) - images).norm() / images.norm())
        assert result.residual == pytest.approx(true, rel=1e-3)


def test_no_other_steps_along_gradients_come_as_far():
    """Landweber's iterations stay in the same Krylov space, in which conjugate gradients find the least residual."""
    projector, _, images = make_scene(torch.float64, n_views=8, size=12, pixels=16)
    step, volume = 1.9 / projector.norm() ** 2, torch.zeros(projector.domain_shape, dtype=torch.float64)
    for _ in range(10):
        volume = volume + step * projector.T(images - projector(volume))
    landweber = float((images - projector(volume)).norm() / images.norm())
    assert cgls(projector, images, iterations=10).residual < 0.5 * landweber


def test_an_iteration_costs_one_projection_and_one_back_projection():
    projector, _, images = make_scene(n_views=4, size=8, pixels=10)
    calls = []
    project, backproject = projector._apply, projector._backproject
    projector._apply = lambda volume: calls.append("A") or project(volume)
    projector._backproject = lambda values: calls.append("T") or backproject(values)
    seen = []
    cgls(projector, images, iterations=4, callback=lambda iteration, volume: seen.append(list(calls)) or calls.clear())
    assert all(sorted(made) == ["A", "T"] for made in seen[1:])


def test_a_perfect_start_stays():
    projector, truth, images = make_scene(torch.float64, n_views=4, size=8, pixels=10)
    for nonnegative in (False, True):
        result = cgls(projector, images, start=truth, nonnegative=nonnegative)
        assert result.status is Status.FITTED or result.status is Status.CONVERGED
        torch.testing.assert_close(result.volume, truth)


def test_bad_numbers_are_refused():
    projector, _, images = make_scene(n_views=4, size=8, pixels=8)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="damping of at least 0"):
            cgls(projector, images, damping=wrong)
    with pytest.raises(ValueError, match="at least 1 iteration"):
        cgls(projector, images, restart=0)
    with pytest.raises(TypeError):
        cgls(projector, images, restart=2.5)
