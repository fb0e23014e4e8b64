"""Hands move the anatomy: what is under the pointer stays there, and the centre where turns are about it."""

import pytest
import torch

from raygrad._cockpit import _moves as moves
from raygrad.geometry import Detector, Intrinsics
from raygrad.pose import RigidTransform, convert, make_reorient

CAMERA = Intrinsics(sdd=1000.0, height=200, width=180, delx=1.5, dely=1.4, x0=6.0, y0=-9.0)
CENTRE = torch.tensor([5.0, -12.0, 20.0], dtype=torch.float64)
VIEWS = [("AP", True, False), ("PA", True, False), (None, False, False), ("AP", True, True)]


@pytest.fixture(params=VIEWS, ids=["AP", "PA", "none", "parallel"])
def view(request):
    orientation, reverse, parallel = request.param
    camera = CAMERA.replaced(reverse_x_axis=reverse, parallel=parallel)
    rotation, translation = (
        torch.tensor([[0.2, -0.1, 0.3]]).double(),
        torch.tensor([[15.0, -840.0 if orientation == "PA" else 840.0, -8.0]]).double(),
    )
    pose = convert(rotation, translation, parameterization="euler_angles", convention="ZXY")
    detector = Detector.of(camera, make_reorient(orientation))
    return detector.camera_to_world(pose), camera


def pixel_of(view, point):
    camera_to_world, camera = view
    return tuple(camera.project(camera_to_world.inverse()(point[None, None]))[0, 0].tolist())


def test_shifts_keep_what_is_as_deep_as_the_centre_under_the_pointer(view):
    start = pixel_of(view, CENTRE)
    end = (start[0] + 17.0, start[1] - 23.5)
    motion = moves.shift(*view, CENTRE, start, end)
    assert pixel_of(view, motion(CENTRE[None, None])[0, 0]) == pytest.approx(end, abs=1e-9)


def test_rolls_keep_the_bearing_of_the_pointer_and_the_centre(view):
    middle = pixel_of(view, CENTRE)
    depth = view[0].matrix[0, :3, 2]
    across = view[0].matrix[0, :3, 0] * 40
    start = pixel_of(view, CENTRE + across)
    motion = moves.roll(*view, CENTRE, start, (middle[0] + 30.0 / 1.5, middle[1] + 30.0 / 1.4))
    moved = motion((CENTRE + across)[None, None])[0, 0]
    u, v = pixel_of(view, moved)
    assert (u - middle[0]) * 1.5 == pytest.approx((v - middle[1]) * 1.4, abs=1e-6)
    assert u > middle[0]
    torch.testing.assert_close(motion(CENTRE[None, None])[0, 0], CENTRE)
    assert abs((moved - CENTRE) @ depth) < 1e-9


def test_turns_take_what_is_nearer_the_source_along_with_the_pointer(view):
    start = pixel_of(view, CENTRE)
    end = (start[0] + 0.01, start[1] + 0.02)
    near = CENTRE - 100.0 * view[0].matrix[0, :3, 2]
    motion = moves.turn(*view, CENTRE, start, end)
    moved = motion(near[None, None])[0, 0] - near
    expected = moves.shift(*view, CENTRE, start, end).translation[0]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(motion(CENTRE[None, None])[0, 0], CENTRE)


def test_depth_goes_along_the_ray_through_the_centre(view):
    motion = moves.deepen(*view, CENTRE, 1.1)
    moved = motion(CENTRE[None, None])[0, 0]
    assert pixel_of(view, moved) == pytest.approx(pixel_of(view, CENTRE), abs=1e-9)
    source = view[0].matrix[0, :3, 3]
    distance = torch.linalg.norm(CENTRE - source)
    expected = distance if view[1].parallel else 1.1 * distance
    torch.testing.assert_close(torch.linalg.norm(moved - source), expected)


def test_steps_go_right_and_down_as_the_view_shows_it(view):
    u, v = pixel_of(view, CENTRE)
    for axis, way in (("right", (1, 0)), ("down", (0, 1))):
        moved = pixel_of(view, moves.step(*view, CENTRE, axis, 2.0)(CENTRE[None, None])[0, 0])
        step = (moved[0] - u, moved[1] - v)
        assert step[way.index(1)] > 1
        assert abs(step[way.index(0)]) < 1e-9


def test_locked_axes_do_not_move(view):
    motion = moves.shift(*view, CENTRE, (50.0, 60.0), (80.0, 90.0)).compose(moves.step(*view, CENTRE, "yaw", 9.0))
    allowed = moves.unlocked(view[0], CENTRE, motion, {"right", "yaw"})
    step = view[0].matrix[0, :3, :3].T @ (allowed(CENTRE[None, None])[0, 0] - CENTRE)
    assert step[0].abs() < 1e-9
    assert step[1].abs() > 1
    torch.testing.assert_close(allowed.rotation, torch.eye(3, dtype=torch.float64)[None])
    same = moves.unlocked(view[0], CENTRE, motion, {"roll"})
    torch.testing.assert_close(same.matrix, motion.matrix, rtol=0, atol=1e-9)


def test_motions_are_rigid(view):
    for motion in (moves.turn(*view, CENTRE, (3.0, 4.0), (90.0, 7.0)), moves.step(*view, CENTRE, "roll", 30.0)):
        assert isinstance(motion, RigidTransform)
        assert torch.linalg.det(motion.rotation[0]).item() == pytest.approx(1.0)
