"""Bodies that move with one another: how images change with every unknown, and what steps make of poses."""

import math
from dataclasses import replace

import pytest
import torch
from registration_cases import DOUBLE, EVERYTHING, make_problem, make_states

from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map
from raygrad.registration._problem.linkage import Linkage, seen_part, way_of
from raygrad.registration._problem.similarity import GlobalCorrelation
from raygrad.registration._problem.uncertainty import estimate_covariance, estimate_uncertainty

pytestmark = pytest.mark.usefixtures("one_thread")

POINT, AXIS = torch.tensor([45.0, -64.0, 21.0], dtype=DOUBLE), torch.tensor([0.6, 0.0, 0.8], dtype=DOUBLE)


def turns(axes, pitch=0.0):
    """Twists of turns about axes through the point, with a way along them."""
    axes = torch.as_tensor(axes, dtype=DOUBLE).reshape(-1, 3)
    v = torch.linalg.cross(POINT.expand_as(axes), axes) + axes * pitch / (2 * math.pi)
    return torch.cat([v, axes], dim=1)


NO_WAY = torch.zeros(0, 6, dtype=DOUBLE)
JOINTS = {
    "hinge": turns(AXIS),
    "ball": turns(torch.eye(3)),
    "slide": torch.cat([AXIS, torch.zeros(3, dtype=DOUBLE)])[None],
    "screw": turns(AXIS, pitch=25.0),
    "fixed": NO_WAY,
}


def linked(twists, free_root=True, **options):
    """A problem of two bodies, the second of which moves by twists in its own frame against the first."""
    problem = make_problem(**options)
    root = None if free_root else way_of(NO_WAY, problem.pivots[0])
    return replace(problem, linkage=Linkage((None, 0), (root, way_of(twists, problem.pivots[1]))))


def along(problem, states, number, h):
    step = torch.zeros(len(states), sum(problem._block_sizes), dtype=DOUBLE)
    step[:, number] = h
    return problem.moved(states, step)


def assert_derivatives(problem):
    states = make_states(problem)
    felt = torch.zeros(sum(problem._block_sizes))
    for view in range(len(problem.xrays)):
        stack = problem.stack(states, view)
        assert stack.shape[1] == 1 + len(felt)
        for number in range(len(felt)):
            h = 1e-7
            ends = [problem.images(along(problem, states, number, s * h), view)[:, 0] for s in (1, -1)]
            difference = (ends[0] - ends[1]) / (2 * h)
            scale = max(float(difference.abs().max()), 1e-3)
            torch.testing.assert_close(stack[:, 1 + number], difference, rtol=0, atol=2e-3 * scale)
            felt[number] += float(difference.abs().max() > 1e-6)
    assert (felt > 0).all()


@pytest.mark.parametrize("joint", JOINTS)
def test_derivatives_by_joints_geometry_and_poses_are_those_of_the_images(joint):
    assert_derivatives(linked(JOINTS[joint], geometry=EVERYTHING, entries=1))


def test_derivatives_of_two_free_bodies_are_those_of_the_images():
    assert_derivatives(make_problem(geometry=EVERYTHING, entries=1))
    problem = make_problem(geometry=EVERYTHING, entries=1)
    assert_derivatives(replace(problem, linkage=Linkage((None, 0), (None, None))))  # free against its parent


def test_derivatives_of_what_stands_in_the_world_are_those_of_the_geometry():
    assert_derivatives(linked(JOINTS["hinge"], free_root=False, geometry=EVERYTHING, entries=1))


def test_a_chain_reaches_its_end():
    """Three bodies in a row, numbered so that children come before their parents."""
    problem = make_problem(bodies=2, geometry=UnknownGeometry(), entries=2)
    xrays = [replace(x, bodies=type(x.bodies)([*x.bodies.parts, x.bodies.parts[1]])) for x in problem.xrays]
    pivots = torch.cat([problem.pivots, problem.pivots[1:] + 3.0])
    ways = (way_of(JOINTS["ball"], pivots[0]), way_of(JOINTS["hinge"], pivots[1]), None)
    problem = replace(problem, xrays=tuple(xrays), pivots=pivots, linkage=Linkage((1, 2, None), ways))
    assert problem.links.downwards == [2, 1, 0]
    assert_derivatives(problem)


@pytest.mark.parametrize("joint", JOINTS)
def test_steps_stay_within_the_joint(joint):
    problem = linked(JOINTS[joint], geometry=UnknownGeometry())
    states = make_states(problem)
    step = 0.2 * torch.randn(3, sum(problem._block_sizes), generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    moved = problem.moved(states, step)

    def child_to_parent(motions):
        return motions[:, 0] @ torch.linalg.inv(motions[:, 1])

    # child_to_parent becomes itself times the exponential of the joint's twists.
    change = torch.linalg.inv(child_to_parent(states.motions)) @ child_to_parent(moved.motions)
    expected = se3_exp_map(step[:, 6:] @ JOINTS[joint])
    torch.testing.assert_close(change, expected, rtol=0, atol=1e-9)


def test_a_twist_by_every_unknown_is_how_poses_change():
    problem = linked(JOINTS["screw"], geometry=UnknownGeometry())
    states = make_states(problem)
    h = 1e-6
    for body in (0, 1):
        twists = problem.links.twist_of(body, states.motions, problem.pivots)
        assert twists.shape == (3, 6, 7)
        for number in range(7):
            after, before = (along(problem, states, number, s * h).motions[:, body] for s in (1, -1))
            change = after @ torch.linalg.inv(before)
            change[:, :3, 3] += change[:, :3, :3] @ problem.pivots[body] - problem.pivots[body]
            torch.testing.assert_close(twists[:, :, number], se3_log_map(change) / (2 * h), rtol=0, atol=1e-5)


def test_what_no_image_shows_is_no_unknown():
    """Of a rod the turn about its own axis: five unknowns are left of six, none of a hinge about it."""
    rod = turns(AXIS)
    pivot = torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)
    way, kept = seen_part(way_of(torch.eye(6, dtype=DOUBLE), pivot), way_of(rod, pivot), 30.0)
    assert (way.shape, kept.shape) == ((6, 5), (6, 5))
    spanned = torch.linalg.matrix_rank(torch.cat([way, way_of(rod, pivot)], dim=1))
    assert spanned == 6
    hinge, _ = seen_part(way_of(rod, pivot), way_of(rod, pivot), 30.0)
    assert hinge.shape == (6, 0)
    ball, kept = seen_part(way_of(JOINTS["ball"], pivot), way_of(rod, pivot), 30.0)
    assert (ball.shape, kept.shape) == ((6, 2), (3, 2))
    torch.testing.assert_close(way_of(JOINTS["ball"], pivot) @ kept, ball)
    assert (AXIS @ kept).abs().max() < 1e-9


def test_a_childs_covariance_holds_what_its_parent_leaves_open():
    """The spread of the child's motion where the unknowns are drawn by their covariance, and of a fixed child too."""
    for joint in ("hinge", "fixed"):
        problem = linked(JOINTS[joint], geometry=UnknownGeometry(), similarity=GlobalCorrelation())
        states = make_states(problem)[:1]
        at = problem.linearise(states)
        covariance = estimate_covariance(at)[0]
        generator = torch.Generator().manual_seed(0)
        values, axes = torch.linalg.eigh(covariance)
        drawn = 1e-3 * torch.randn(4000, len(values), generator=generator, dtype=DOUBLE) * values.clamp_min(0).sqrt()
        steps = drawn @ axes.mT
        many = states[torch.zeros(4000, dtype=torch.long)]
        before, after = (RigidTransform(s.motions[:, 1]) for s in (many, problem.moved(many, steps)))
        change = before.inverse().compose(after).matrix.clone()
        change[:, :3, 3] += change[:, :3, :3] @ problem.pivots[1] - problem.pivots[1]
        camera = problem.xrays[0].detector.camera_to_world(RigidTransform(problem.poses(states, 0)[:, 1])).rotation[0]
        twists = se3_log_map(change).unflatten(1, (2, 3)) @ camera
        spread = 1e6 * torch.cov(twists.flatten(1).mT)
        found = estimate_uncertainty(problem, states, at, body=1).covariance[0]
        scale = found.diagonal().sqrt()
        torch.testing.assert_close(spread / scale / scale[:, None], found / scale / scale[:, None], rtol=0, atol=0.08)
