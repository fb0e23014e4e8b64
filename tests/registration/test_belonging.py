"""What is known of a structure's motion beforehand: it belongs to the patient."""

import math
from dataclasses import replace

import pytest
import torch
from registration_cases import DOUBLE, make_drr, make_problem, make_states, make_subject

from raygrad.geometry import UnknownGeometry, about
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.registration import BodyStatus, LocalCorrelation, Stage, prepare_xrays
from raygrad.registration._body_results import _status_of
from raygrad.registration._coarse_to_fine import LEAST_COST, CoarseToFine
from raygrad.registration._problem.belonging import CORRELATED, Belonging
from raygrad.registration._search import default_init
from raygrad.registration._task import Task

NOISE = 2e-5


def with_prior(**options):
    problem = make_problem(views=1, geometry=UnknownGeometry(), **options)
    noise = torch.full((len(problem.noise),), NOISE, dtype=DOUBLE)
    return replace(problem, belonging=Belonging(problem.pivots, noise))


def prior_at(problem, states):
    return problem.belonging.linearise(states.entry, states.motions, problem.unknowns)


def test_bodies_that_moved_as_one_cost_nothing():
    problem = with_prior()
    states = make_states(problem)
    together = replace(states, motions=states.motions[:, :1].expand(-1, 2, 4, 4).clone())
    at = prior_at(problem, together)
    assert at.cost.abs().max() < 1e-12 * NOISE
    assert at.gradient.abs().max() < 1e-9 * NOISE
    step = torch.zeros(3, 12, dtype=DOUBLE)
    step[:, :6] = torch.tensor([3.0, -2.0, 1.0, 0.02, 0.01, -0.03], dtype=DOUBLE)
    # The second body's own way along with the first: the twist about its own pivot that moves it as the first.
    w, v = step[:, 3:6], step[:, :3]
    step[:, 6:9] = v + torch.linalg.cross(w, (problem.pivots[1] - problem.pivots[0]).expand_as(w))
    step[:, 9:12] = w
    still = replace(together, motions=torch.eye(4, dtype=DOUBLE).expand(3, 2, 4, 4).clone())
    normal = prior_at(problem, still).normal
    assert (step[:, None] @ normal @ step[..., None]).abs().max() < 1e-12


@pytest.mark.parametrize(("number", "size"), [(0, 10.0), (2, -10.0), (4, math.radians(5.0))])
def test_a_deviation_costs_the_variance_of_a_residual(number, size):
    problem = with_prior()
    states = make_states(problem)
    twist = torch.zeros(1, 6, dtype=DOUBLE)
    twist[0, number] = size
    motions = states.motions.clone()
    motions[:, 1] = about(problem.pivots[1], se3_exp_map(twist)) @ motions[:, 0]
    assert prior_at(problem, replace(states, motions=motions)).cost.tolist() == pytest.approx([NOISE] * 3, rel=1e-9)


def test_the_gradient_is_that_of_the_cost():
    problem = with_prior()
    states = make_states(problem)
    # Little has moved, as the derivative of the logarithm is taken to be 1.
    motions = states.motions.clone()
    twist = torch.tensor([[0.2, -0.1, 0.3, 1e-3, -2e-3, 1e-3]], dtype=DOUBLE)
    motions[:, 1] = about(problem.pivots[1], se3_exp_map(twist)) @ motions[:, 0]
    states = replace(states, motions=motions)
    at, h = prior_at(problem, states), 1e-5
    for number in range(12):
        step = torch.zeros(3, 12, dtype=DOUBLE)
        step[:, number] = h
        up, down = (prior_at(problem, problem.moved(states, sign * step)).cost for sign in (1, -1))
        torch.testing.assert_close((up - down) / (4 * h), at.gradient[:, number], rtol=2e-3, atol=2e-3 * NOISE)
    assert torch.equal(at.normal * NOISE, at.scatter)


def test_a_problem_adds_it_to_what_images_say():
    problem = with_prior()
    states = make_states(problem)
    alone, both = replace(problem, belonging=None).linearise(states), problem.linearise(states)
    prior = prior_at(problem, states)
    torch.testing.assert_close(both.cost, alone.cost + prior.cost)
    torch.testing.assert_close(both.normal, alone.normal + prior.normal)
    torch.testing.assert_close(both.score, alone.score)
    torch.testing.assert_close(both.scatter, alone.scatter + prior.scatter)


def test_a_body_is_determined_where_every_motion_is_narrowed():
    prior = torch.tensor([10.0] * 3 + [math.radians(5.0)] * 3, dtype=DOUBLE).square().diag()
    half = prior.clone()
    half[:5, :5] /= 9
    nothing = torch.full((6, 6), torch.inf, dtype=DOUBLE)
    belonging = Belonging(torch.zeros(2, 3, dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE))
    assert belonging.is_narrowed(torch.stack([prior, prior / 4, half, nothing])) == [False, True, False, False]
    assert _status_of(0, True, True, None, True, narrowed=False) is BodyStatus.UNDETERMINED
    assert _status_of(0, True, True, None, True, narrowed=True) is BodyStatus.CONVERGED


def test_structures_have_it_from_where_they_move_apart():
    drr = make_drr(make_subject())
    truth = default_init(drr)
    with torch.no_grad():
        xray = drr(RigidTransform(truth.matrix.float()))
    course = CoarseToFine(Task(prepare_xrays(xray, drr, truth), {"half": [1]}))
    stage = Stage(24, LocalCorrelation(9), iterations=1, tolerance=0.1)
    none = torch.eye(4, dtype=DOUBLE)[None]
    assert course.problem(course.candidates(none), stage).belonging is None
    course.model = course.models.apart
    own = course.problem(course.candidates(none), stage).belonging
    assert own is not None
    assert own.pivots.shape == (2, 3)
    # Where all fits, what lacks is the least that any image does.
    pixels = course.problem(course.candidates(none), stage).xrays[0].image.numel()
    torch.testing.assert_close(own.noise, torch.tensor([CORRELATED * LEAST_COST / pixels], dtype=DOUBLE))
