"""What a registration sees: how images change with every unknown, and the least squares made of that."""

import math
from dataclasses import replace

import pytest
import torch
from registration_cases import AP, DOUBLE, EVERYTHING, make_problem, make_states, see

from raygrad.geometry import Detector, UnknownGeometry
from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map
from raygrad.registration._outcome import ARGUMENTS
from raygrad.registration._problem import pose_problem as pose_problem
from raygrad.registration._problem.comparison import SQUARE
from raygrad.registration._problem.similarity import GlobalCorrelation, GradientCorrelation, LocalCorrelation
from raygrad.registration._solver.levenberg_marquardt import Problem

pytestmark = pytest.mark.usefixtures("one_thread")


def count_unknowns(problem):
    views = len(problem.xrays)
    relative = 6 * (views - 1) if problem.geometry.has_poses else 0
    return 6 * len(problem.pivots) + relative + views * len(problem.geometry.columns)


def along(problem, states, number, h):
    """The states after a step of length h along one unknown."""
    step = torch.zeros(len(states), count_unknowns(problem), dtype=DOUBLE)
    step[:, number] = h
    return problem.moved(states, step)


GEOMETRIES = {
    "none": UnknownGeometry(),
    "all": EVERYTHING,
    "some": UnknownGeometry(x0_mm=3.0, y0_mm=3.0, pixel_size=0.01),
    "poses": UnknownGeometry(pose_deg=1.0, pose_mm=4.0),
}


@pytest.mark.parametrize(
    ("views", "bodies", "geometry", "similarity"),
    [
        (1, 1, "none", LocalCorrelation(5)),
        (1, 2, "none", GlobalCorrelation()),
        (1, 1, "all", GlobalCorrelation()),
        (2, 1, "some", GlobalCorrelation()),
        (2, 2, "poses", GlobalCorrelation()),
        (2, 2, "all", GlobalCorrelation()),
        (2, 2, "all", GradientCorrelation()),
    ],
    ids=str,
)
def test_derivatives_by_every_unknown_are_those_of_the_features(views, bodies, geometry, similarity):
    problem = make_problem(views, bodies, similarity, GEOMETRIES[geometry], entries=2)
    states = make_states(problem)
    felt = torch.zeros(count_unknowns(problem))
    for view in range(views):
        features, _ = problem.features(states, view)
        plain, _ = problem.features(states, view, derivatives=False)
        torch.testing.assert_close(features[:, :1], plain, rtol=0, atol=1e-12)
        assert features.shape[1] == 1 + count_unknowns(problem)
        for number in range(count_unknowns(problem)):
            h = 1e-7  # so short that hardly a ray crosses from one voxel into the next, where Joseph's slopes jump
            ends = (problem.features(along(problem, states, number, s * h), view, False)[0][:, 0] for s in (1, -1))
            difference = torch.sub(*ends) / (2 * h)
            scale = max(float(difference.abs().max()), 1e-6)
            torch.testing.assert_close(features[:, 1 + number], difference, rtol=0, atol=2e-3 * scale)
            felt[number] += float(difference.abs().max() > 1e-6)
    assert (felt > 0).all()  # or the comparison said nothing


def test_a_step_turns_bodies_about_their_pivots_and_views_about_the_first():
    problem = make_problem()
    states = make_states(problem)
    step = 0.1 * torch.randn(3, count_unknowns(problem), generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    moved = problem.moved(states, step)
    for entry in range(3):
        twists = step[entry, :18].reshape(3, 6)
        before = [*states.motions[entry], states.offsets[entry, 1]]
        after = [*moved.motions[entry], moved.offsets[entry, 1]]
        for twist, start, end, pivot in zip(twists, before, after, [*problem.pivots, problem.pivots[0]], strict=True):
            turn = end @ torch.linalg.inv(start)
            expected = se3_exp_map(twist[None])[0]
            torch.testing.assert_close(turn[:3, :3], expected[:3, :3], rtol=0, atol=1e-12)
            torch.testing.assert_close(turn[:3, :3] @ pivot + turn[:3, 3], pivot + expected[:3, 3], rtol=0, atol=1e-9)
        added = (moved.intrinsics - states.intrinsics)[entry].flatten()
        torch.testing.assert_close(added, step[entry, 18:], rtol=0, atol=1e-12)
    assert torch.equal(moved.offsets[:, 0], states.offsets[:, 0])
    still = problem.moved(states, torch.zeros_like(step))
    torch.testing.assert_close(still.motions, states.motions, rtol=0, atol=1e-12)


def test_geometry_that_is_not_calibrated_stays():
    problem = make_problem(geometry=UnknownGeometry(x0_mm=1.0, y0_mm=1.0))
    states = make_states(problem)
    moved = problem.moved(states, torch.ones(3, count_unknowns(problem), dtype=DOUBLE))
    assert torch.equal(moved.offsets, states.offsets)
    expected = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=DOUBLE).expand(3, 2, 4)
    torch.testing.assert_close(moved.intrinsics - states.intrinsics, expected)
    assert [ARGUMENTS[name] for name in problem.geometry.names] == [("x0",), ("y0",)]


def test_a_step_is_as_long_as_its_longest_motion():
    problem = make_problem()
    step = torch.zeros(1, count_unknowns(problem), dtype=DOUBLE)
    step[:, 18:] = 100.0  # geometry has no length
    assert problem.step_length(step).item() == 0
    step[:, 6:9] = torch.tensor([3.0, 4.0, 0.0])
    assert problem.step_length(step).item() == pytest.approx(5.0)
    step[:, 3:6] = torch.tensor([0.0, 0.0, 0.2])
    assert problem.step_length(step).item() == pytest.approx(12.0)  # 60 mm a radian


def test_images_are_those_of_the_intrinsics_as_drr_takes_them():
    """What is added to sdd, x0, y0 and the size means what `Detector`'s arguments do."""
    problem = make_problem(views=1, bodies=1)
    states = make_states(problem)
    xray = problem.xrays[0]
    detector, (body,) = xray.detector, xray.bodies.parts
    for entry, image in enumerate(problem.images(states, 0)):
        sdd, x0, y0, size = states.intrinsics[entry, 0].tolist()
        pixel = [float(side) * math.exp(size) for side in (detector.delx, detector.dely)]
        other = Detector(
            detector.sdd + sdd, *xray.shape, *pixel, detector.centre_x + x0, detector.centre_y + y0, AP,
            reverse_x_axis=detector.reverse_x_axis,
        )  # fmt: skip
        pose = RigidTransform(states.motions[entry] @ states.offsets[entry, 0] @ xray.rig[entry])
        expected = see(body, other, pose.matrix, xray.marching).reshape(1, *xray.shape)
        torch.testing.assert_close(image, expected, rtol=1e-9, atol=1e-9)


# Least squares


@pytest.mark.parametrize("similarity", [GlobalCorrelation(), GradientCorrelation(), LocalCorrelation(5)], ids=str)
def test_a_linearisation_holds_what_the_features_say(similarity):
    problem = make_problem(similarity=similarity, geometry=UnknownGeometry())
    states = make_states(problem)
    at = problem.linearise(states)
    cost, gradient, normal, scatter, score = (torch.zeros_like(part) for part in vars(at).values())
    for view, xray in enumerate(problem.xrays):
        moving, fixed = problem.features(states, view)
        residual, jacobian = moving[:, 0] - fixed[:, 0], moving[:, 1:]
        cost += residual.square().sum(1)
        gradient += (jacobian * residual[:, None]).sum(2)
        normal += jacobian @ jacobian.mT
        score += (moving[:, 0] * fixed[:, 0]).sum(1) / moving[:, 0].norm(dim=1) / fixed[:, 0].norm(dim=1) / 2
        pulls = similarity.per_pixel(jacobian * residual[:, None], xray.shape)
        for rows in pulls.split(SQUARE, dim=2):
            for square in rows.split(SQUARE, dim=3):
                pull = square.sum((2, 3))
                scatter += pull[:, :, None] * pull[:, None]
    for part, expected in zip(vars(at).values(), (cost, gradient, normal, scatter, score), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(problem.score(states), score)


@pytest.mark.parametrize("noise", [1e-6, 0.1], ids=["images weigh more", "what is known weighs more"])
@pytest.mark.parametrize("geometry", [c for c in GEOMETRIES if c != "none"])
def test_the_gradient_is_that_of_the_cost(geometry, noise):
    """That of the prior on relative poses but for half the angle that they are off by: a few hundredths."""
    problem = make_problem(geometry=GEOMETRIES[geometry], noise=noise)
    states = make_states(problem)
    at = problem.linearise(states)
    for number in range(count_unknowns(problem)):
        h = 1e-6
        costs = [problem.linearise(along(problem, states, number, s * h)).cost for s in (1, -1)]
        difference = (costs[0] - costs[1]) / (2 * h)
        scale = 2 * (at.cost * at.normal[:, number, number]).sqrt()
        assert ((2 * at.gradient[:, number] - difference).abs() < 0.02 * scale).all()


def test_what_is_known_weighs_as_its_standard_deviation_says():
    noise = 1e-3
    problem = make_problem(noise=noise)
    states = make_states(problem)
    free = replace(problem, noise=torch.zeros(3, dtype=DOUBLE))
    for entry in range(3):
        intrinsics = states.intrinsics[entry] / torch.tensor([5.0, 3.0, 3.0, 0.01], dtype=DOUBLE)
        # By how much the second view's pose differs: a twist about the bodies' centre.
        centre = problem.pivots[0]
        about = states.offsets[entry, 1].clone()
        about[:3, 3] += about[:3, :3] @ centre - centre
        twist = se3_log_map(about[None])[0] / torch.tensor([4.0] * 3 + [math.radians(1.0)] * 3, dtype=DOUBLE)
        expected = noise * (intrinsics.square().sum() + twist.square().sum())
        added = problem.linearise(states).cost[entry] - free.linearise(states).cost[entry]
        torch.testing.assert_close(added, expected, rtol=1e-9, atol=0)


def test_a_prior_does_not_depend_on_where_the_world_has_its_origin():
    """Relative poses turn about the CT's centre: a metre from the origin a degree there would be 17 mm here."""
    costs = []
    for origin in ((0.0, 0.0, 0.0), (40.0, -70.0, 1000.0)):
        problem = make_problem(origin=origin, geometry=UnknownGeometry(pose_deg=1.0, pose_mm=4.0), noise=0.1)
        costs.append(problem.linearise(make_states(problem)).cost)
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-6, atol=0)


def test_a_batch_is_its_entries_one_by_one():
    problem = make_problem(similarity=LocalCorrelation(5))
    weights = torch.rand(3, 1, *problem.xrays[0].shape, dtype=DOUBLE)
    problem = replace(problem, xrays=(replace(problem.xrays[0], weights=weights), problem.xrays[1]))
    states = make_states(problem)
    together = problem.linearise(states)
    for entry in (2, 0, 1):
        alone = problem.linearise(states[entry : entry + 1])
        for part, expected in zip(vars(together).values(), vars(alone).values(), strict=True):
            torch.testing.assert_close(part[entry : entry + 1], expected, rtol=1e-11, atol=1e-12)
    some = torch.tensor([2, 0])
    torch.testing.assert_close(
        problem.linearise(states[some]).gradient, together.gradient[some], rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("rays", [1, 264, 10_000])
def test_groups_change_nothing(monkeypatch, rays):
    problem = make_problem()
    states = make_states(problem)
    at, score = problem.linearise(states), problem.score(states)
    monkeypatch.setattr(pose_problem, "RAYS_AT_ONCE", rays)
    assert len(problem._groups(states)) == {1: 3, 264: 2, 10_000: 1}[rays]
    again = problem.linearise(states)
    for part, expected in zip(vars(again).values(), vars(at).values(), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(problem.score(states), score, rtol=1e-12, atol=0)


def test_it_is_a_problem_whose_states_can_be_replaced():
    problem = make_problem()
    states, other = make_states(problem), make_states(problem, seed=8)
    assert isinstance(problem, Problem)
    index = torch.tensor([2, 0])
    changed = states.overwritten(index, other[index])
    assert len(changed) == 3
    for mine, theirs, result in zip(*(vars(u).values() for u in (states, other, changed)), strict=True):
        assert torch.equal(result, torch.stack([theirs[0], mine[1], theirs[2]]))
