"""Where everything is: what views see follows from it, and comes back from a registration."""

import pytest
import torch
from cockpit_cases import CAMERA, motion, pose

from raygrad._cockpit._placement import CT, Placement
from raygrad.pose import RigidTransform


def same(one, other):
    torch.testing.assert_close(one.matrix, other.matrix, rtol=0, atol=1e-9)


@pytest.fixture
def placement():
    cameras = (pose(1, 2, 3, 4, 800, 6), pose(90, 5, -4, 3, 850, 2), pose(40, 1, 1, 0, 900, 9))
    bodies = {CT: motion(3, 2, 1, 10, -20, 5), "femur": motion(-8, 3, 5, 1, 2, 3)}
    return Placement(cameras, (CAMERA,) * 3, bodies)


def test_poses_of_a_registration_come_back_and_the_first_camera_stays(placement):
    poses = [pose(7, 2, 1, 3, 820, 4), pose(80, 5, 1, 3, 840, 2), pose(33, 2, 2, 5, 890, 1)]
    lengths = [{"sdd": 1234.0}, {}, {"x0": 3.0}]
    found = placement.with_poses((0, 1, 2), poses, lengths)
    for view, expected in enumerate(poses):
        same(found.pose(view), expected)
    same(found.cameras[0], placement.cameras[0])
    assert [(one.sdd, one.x0) for one in found.intrinsics] == [
        (1234.0, CAMERA.x0),
        (CAMERA.sdd, CAMERA.x0),
        (CAMERA.sdd, 3.0),
    ]


def test_poses_of_some_views_leave_the_others_as_they_stand(placement):
    poses = [pose(80, 5, 1, 3, 840, 2), pose(33, 2, 2, 5, 890, 1)]
    found = placement.with_poses((1, 2), poses)
    same(found.pose(1), poses[0])
    same(found.pose(2), poses[1])
    same(found.cameras[0], placement.cameras[0])
    assert found.intrinsics == placement.intrinsics


def test_one_view_is_as_asked_and_cameras_stay(placement):
    wanted = pose(7, 2, 1, 3, 820, 4)
    found = placement.with_pose(1, wanted)
    same(found.pose(1), wanted)
    for view in range(3):
        same(found.cameras[view], placement.cameras[view])
    before = placement.bodies["femur"].compose(placement.bodies[CT].inverse())
    same(found.bodies["femur"].compose(found.bodies[CT].inverse()), before)


def test_an_unlinked_view_is_as_asked_and_all_else_stays(placement):
    wanted = pose(7, 2, 1, 3, 820, 4)
    found = placement.linking(1, False).with_pose(1, wanted)
    same(found.pose(1), wanted)
    for view in (0, 2):
        same(found.pose(view), placement.pose(view))
    same(found.bodies[CT], placement.bodies[CT])


def test_with_the_ct_go_all_bodies(placement):
    before = placement.pose(0, "femur").inverse().compose(placement.pose(0))
    moved = placement.moved(motion(5, 5, 5, 10, 10, 10))
    same(moved.pose(0, "femur").inverse().compose(moved.pose(0)), before)
    alone = placement.moved(motion(5, 5, 5, 10, 10, 10), "femur")
    same(alone.pose(0), placement.pose(0))


def test_what_moves_in_an_unlinked_view_moves_there_alone_and_as_if_it_were_linked(placement):
    push = motion(5, -3, 2, 12, 7, -9)
    unlinked = placement.linking(1, False)
    there = unlinked.moved(push, CT, view=1)
    same(there.pose(1), placement.moved(push).pose(1))
    for view in (0, 2):
        same(there.pose(view), placement.pose(view))
    elsewhere = unlinked.moved(push, CT, view=0)
    same(elsewhere.pose(1), placement.pose(1))
    for view in (0, 2):
        same(elsewhere.pose(view), placement.moved(push).pose(view))
    for name in (CT, "femur"):  # bodies stand to each other as before
        same(there.pose(1, name), placement.moved(push).pose(1, name))


def test_a_structure_moves_in_all_views_whatever_is_linked(placement):
    push = motion(5, -3, 2, 12, 7, -9)
    moved = placement.linking(1, False).moved(push, "femur", view=1)
    for view in range(3):
        same(moved.pose(view), placement.pose(view))
        same(moved.pose(view, "femur"), placement.moved(push, "femur").pose(view, "femur"))


def test_linking_again_changes_no_image(placement):
    moved = placement.linking(2, False).moved(motion(5, 0, 0, 9, 9, 9), CT, view=2)
    again = moved.linking(2, True)
    assert again.unlinked == frozenset()
    same(again.pose(2), moved.pose(2))
    assert isinstance(again.pose(2), RigidTransform)
