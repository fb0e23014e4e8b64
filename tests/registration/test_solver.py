"""Levenberg and Marquardt's method on problems whose minima are known."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from raygrad.registration._solver import batches
from raygrad.registration._solver.batches import Batch
from raygrad.registration._solver.levenberg_marquardt import (
    LEAST_DAMPING,
    MOST_DAMPING,
    Linearisation,
    Problem,
    minimise,
)

DOUBLE = torch.float64
AP = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
Residuals = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Point(Batch):
    """Where each problem of a batch is."""

    x: torch.Tensor


class LeastSquares:
    """Residuals (residual,) of a point (unknown,), the same for all problems of a batch."""

    def __init__(self, residuals: Residuals) -> None:
        self.residuals = residuals
        self.seen = 0

    def linearise(self, state):
        self.seen += len(state.x)
        rows = []
        for x in state.x:
            r = self.residuals(x)
            jacobian = torch.autograd.functional.jacobian(self.residuals, x)
            rows.append((r @ r, jacobian.T @ r, jacobian.T @ jacobian, torch.zeros_like(jacobian.T @ jacobian), -r @ r))
        return Linearisation(*(torch.stack(column) for column in zip(*rows, strict=True)))

    def moved(self, state, step):
        return Point(state.x + step)

    def step_length(self, step):
        return step.norm(dim=1)


def points(*rows):
    return Point(torch.tensor(rows, dtype=DOUBLE))


def rosenbrock(x):
    """Rosenbrock, Computer Journal 3, 1960: a curved valley with its floor's minimum at (1, 1)."""
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def test_the_problem_is_what_the_minimiser_takes():
    assert isinstance(LeastSquares(rosenbrock), Problem)


# Minima


def test_one_undamped_step_solves_a_linear_problem():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(9, 4, generator=generator, dtype=DOUBLE)
    matrix[:, 2] *= 1e4  # unknowns in other units
    target = torch.randn(9, generator=generator, dtype=DOUBLE)
    problem = LeastSquares(lambda x: matrix @ x - target)
    minimum = minimise(problem, points([0.0] * 4, [5.0, -3, 2, 1]), 1, 1e-9, damping=0.0)
    expected = torch.linalg.lstsq(matrix, target[:, None]).solution[:, 0].expand(2, 4)
    torch.testing.assert_close(minimum.state.x, expected, rtol=1e-9, atol=1e-12)
    assert minimum.iterations == 1
    assert not minimum.settled.any()  # that it was the last step only the next would show
    assert minimise(problem, minimum.state, 1, 1e-6).settled.all()


@pytest.mark.parametrize("start", [[-1.2, 1.0], [3.0, -4.0], [0.0, 0.0], [-5.0, 30.0], [1.0, 1.0]])
def test_rosenbrocks_valley_is_followed_to_its_minimum(start):
    minimum = minimise(LeastSquares(rosenbrock), points(start), 100, 1e-8)
    torch.testing.assert_close(minimum.state.x, torch.ones(1, 2, dtype=DOUBLE), rtol=0, atol=1e-8)
    assert minimum.settled.all()
    assert not minimum.stuck.any()
    assert minimum.iterations < 60


def test_a_circle_is_fitted_through_points_off_it():
    """Geometric fit, whose residuals do not vanish; the minimum by brute force has no lower neighbour."""
    angle = torch.linspace(0, 4, 12, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(1)
    spots = torch.stack([3 + 5 * angle.cos(), -2 + 5 * angle.sin()], 1)
    spots = spots + 0.1 * torch.randn(12, 2, generator=generator, dtype=DOUBLE)
    problem = LeastSquares(lambda x: (spots - x[:2]).norm(dim=1) - x[2])
    minimum = minimise(problem, points([0.0, 0.0, 1.0], [10.0, -10.0, 2.0], [3.0, -2.0, 20.0]), 100, 1e-9)
    assert minimum.settled.all()
    torch.testing.assert_close(minimum.state.x, minimum.state.x[:1].expand(3, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(minimum.state.x[0], torch.tensor([3.0, -2.0, 5.0], dtype=DOUBLE), rtol=0, atol=0.3)
    assert minimum.at.gradient.abs().max() < 1e-7
    around = minimum.state.x[0] + 1e-3 * torch.randn(50, 3, generator=generator, dtype=DOUBLE)
    assert (problem.linearise(Point(around)).cost > minimum.at.cost[0]).all()


def test_what_is_returned_belongs_together():
    problem = LeastSquares(rosenbrock)
    for iterations in (0, 1, 3, 7):
        minimum = minimise(problem, points([-1.2, 1.0], [3.0, -4.0], [1.0, 1.0]), iterations, 1e-8)
        again = problem.linearise(minimum.state)
        for part, expected in zip(vars(minimum.at).values(), vars(again).values(), strict=True):
            torch.testing.assert_close(part, expected, rtol=0, atol=0)


def test_a_batch_goes_as_its_problems_would_alone():
    starts = [[-1.2, 1.0], [3.0, -4.0], [1.0, 1.0], [0.9, 0.7], [-5.0, 30.0]]
    together = minimise(LeastSquares(rosenbrock), points(*starts), 12, 1e-6)
    for number, start in enumerate(starts):
        alone = minimise(LeastSquares(rosenbrock), points(start), 12, 1e-6)
        torch.testing.assert_close(together.state.x[number], alone.state.x[0], rtol=0, atol=1e-12)
        assert together.settled[number] == alone.settled[0]
    assert together.settled.tolist().count(True) not in (0, 5)


def test_problems_that_have_settled_cost_nothing_more():
    problem = LeastSquares(rosenbrock)
    minimise(problem, points([1.0, 1.0], [-1.2, 1.0]), 30, 1e-6)
    both = problem.seen
    problem.seen = 0
    minimise(problem, points([-1.2, 1.0]), 30, 1e-6)
    assert both == problem.seen + 2  # where the other began, and the one step that showed it had arrived


@pytest.mark.parametrize("together", [2, 5, 100])
def test_what_has_come_to_rest_stays_though_nobody_asks(monkeypatch, together):
    starts = points([1.0, 1.0], [-1.2, 1.0], [0.9, 0.7], [3.0, -4.0])
    expected = minimise(LeastSquares(rosenbrock), starts, 30, 1e-6)
    dampings = []

    def watch(number, state, at, damping):
        dampings.append(damping.tolist())
        return False

    monkeypatch.setitem(batches.TOGETHER, "cpu", together)
    minimum = minimise(LeastSquares(rosenbrock), starts, 30, 1e-6, watch=watch)
    assert torch.equal(minimum.state.x, expected.state.x)
    for part, same in zip(vars(minimum.at).values(), vars(expected.at).values(), strict=True):
        assert torch.equal(part, same)
    assert torch.equal(minimum.settled, expected.settled)
    assert torch.equal(minimum.stuck, expected.stuck)
    assert expected.iterations <= minimum.iterations < expected.iterations + together
    assert all(damping[0] == dampings[1][0] for damping in dampings[1:])


def test_the_cost_never_rises():
    costs = []

    def watch(number, state, at, dampings):
        costs.append(at.cost.clone())
        assert state.x.shape == (3, 2)
        assert ((dampings >= LEAST_DAMPING) & (dampings <= MOST_DAMPING)).all()
        return False

    minimise(LeastSquares(rosenbrock), points([-1.2, 1.0], [3.0, -4.0], [-5.0, 30.0]), 25, 1e-9, watch=watch)
    assert len(costs) > 10
    assert (torch.stack(costs).diff(dim=0) <= 0).all()


# How it ends


def test_without_iterations_nothing_is_claimed():
    minimum = minimise(LeastSquares(rosenbrock), points([-1.2, 1.0]), 0, 1e-6)
    assert torch.equal(minimum.state.x, points([-1.2, 1.0]).x)
    assert (minimum.iterations, minimum.settled.item(), minimum.stuck.item()) == (0, False, False)


def test_running_out_of_iterations_is_neither_settled_nor_stuck():
    minimum = minimise(LeastSquares(rosenbrock), points([-1.2, 1.0]), 4, 1e-6)
    assert minimum.iterations == 4
    assert not minimum.settled.any()
    assert not minimum.stuck.any()


def test_at_a_minimum_one_step_settles():
    for tolerance in (1e-6, 0.0):
        minimum = minimise(LeastSquares(rosenbrock), points([1.0, 1.0]), 10, tolerance)
        assert minimum.iterations == 1
    minimum = minimise(LeastSquares(lambda x: x**2 + 1), points([0.0]), 10, 1e-6)  # a cost that does not vanish
    assert minimum.settled.all()


class Misled(LeastSquares):
    """A derivative that promises what no step keeps, such as a renderer with another one's gradient would give."""

    def linearise(self, state):
        at = super().linearise(state)
        return replace(at, gradient=-at.gradient)


def test_a_derivative_that_is_none_gets_stuck_not_settled():
    problem = Misled(lambda x: torch.stack([x[0] - 3, x[1] + 2]))
    for tolerance in (1e-3, 0.0):
        minimum = minimise(problem, points([0.0, 0.0]), 40, tolerance)
        assert minimum.stuck.all()
        assert not minimum.settled.any()
        assert minimum.iterations < 20
        assert torch.equal(minimum.state.x, points([0.0, 0.0]).x)


def test_a_step_that_is_short_for_its_damping_does_not_settle_while_it_helps():
    """Along a valley so curved that only short steps follow it."""
    problem = LeastSquares(lambda x: torch.stack([30 * (x[1] - torch.sin(5 * x[0])), 2 - x[0]]))
    minimum = minimise(problem, points([-2.0, math.sin(-10.0)]), 1000, 1e-3, damping=1e4)
    assert minimum.settled.all()
    torch.testing.assert_close(minimum.state.x[0, 0].item(), 2.0, rtol=0, atol=0.05)


def test_a_crease_gets_stuck_where_steps_of_one_side_do_not_help():
    """|x| + x / 10 as a residual that stays positive: the linearisation of either side points across the crease."""
    problem = LeastSquares(lambda x: 1 + 10 * x.abs() + x)
    minimum = minimise(problem, points([1.0], [-0.7]), 200, 1e-6)
    assert minimum.stuck.all()
    assert minimum.state.x.abs().max() < 0.05


def test_an_unknown_that_nothing_depends_on_stays():
    problem = LeastSquares(lambda x: torch.stack([x[0] - 3, (x[0] - 3) * 2 + 0 * x[1]]))
    minimum = minimise(problem, points([0.0, 7.0]), 30, 1e-8)
    assert minimum.settled.all()
    torch.testing.assert_close(minimum.state.x, points([3.0, 7.0]).x, rtol=0, atol=1e-7)
    nothing = minimise(LeastSquares(lambda x: 0 * x + 1), points([1.0, 2.0]), 30, 1e-8)
    assert torch.equal(nothing.state.x, points([1.0, 2.0]).x)


def test_unknowns_that_only_act_together_share_the_step():
    problem = LeastSquares(lambda x: torch.stack([x[0] + x[1] - 4, x[2] - 1]))
    minimum = minimise(problem, points([0.0, 0.0, 0.0]), 50, 1e-8)
    assert minimum.settled.all()
    torch.testing.assert_close(minimum.state.x, points([2.0, 2.0, 1.0]).x, rtol=0, atol=1e-6)


def test_a_matrix_that_rounding_left_without_a_factor_does_no_harm():
    class Rounded(LeastSquares):
        def linearise(self, state):
            at = super().linearise(state)
            at.normal[:, 0, 1] = at.normal[:, 1, 0] = at.normal[:, 0, 0] * 1.001
            return at

    problem = Rounded(lambda x: torch.stack([x[0] + x[1] - 4, x[0] + x[1] - 2]))
    minimum = minimise(problem, points([0.0, 5.0]), 100, 1e-6, damping=1e-6)
    assert minimum.state.x.isfinite().all()
    torch.testing.assert_close(minimum.state.x.sum().item(), 3.0, rtol=0, atol=1e-3)


def test_steps_do_not_depend_on_the_units_of_the_unknowns():
    """Marquardt's scaling: the same problem in mm and radians, or in metres and degrees."""
    units = torch.tensor([1e-3, 57.3], dtype=DOUBLE)
    one = minimise(LeastSquares(rosenbrock), points([-1.2, 1.0]), 8, 0.0, damping=0.5)
    other = minimise(LeastSquares(lambda x: rosenbrock(x / units)), Point(points([-1.2, 1.0]).x * units), 8, 0.0, 0.5)
    torch.testing.assert_close(other.state.x / units, one.state.x, rtol=1e-9, atol=0)


def test_damping_falls_after_gains_and_grows_ever_faster_without():
    dampings: list[float] = []

    def watch(number, state, at, damping):
        dampings.append(damping.item())
        return False

    minimise(LeastSquares(lambda x: x - 3), points([0.0]), 3, 1e-30, damping=1.0, watch=watch)
    assert dampings[0] == 1.0
    assert dampings == sorted(dampings, reverse=True)
    dampings.clear()
    minimise(Misled(lambda x: x - 3), points([0.0]), 5, 0.0, damping=1.0, watch=watch)
    assert dampings == [1.0, 2.0, 8.0, 64.0, 1024.0, 32768.0]


@pytest.mark.parametrize("last", [0, 1, 4])
def test_a_watch_that_says_so_ends_it(last):
    numbers = []

    def watch(number, state, at, dampings):
        numbers.append(number)
        return number == last

    minimum = minimise(LeastSquares(rosenbrock), points([-1.2, 1.0]), 50, 1e-9, watch=watch)
    assert numbers == list(range(last + 1))
    assert minimum.iterations == last
