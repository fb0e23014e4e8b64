"""Joints: motions by a few numbers, in the frame of the parent."""

import math

import pytest
import torch
from scene_cases import shifted
from torch.autograd import gradcheck

from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.scene import Ball, Fixed, Free, Hinge, Screw, Slide

JOINTS = [
    Free(),
    Fixed(),
    Hinge((1, 2, 3), (0, 1, 1)),
    Ball((4, 0, -1)),
    Slide((1, 0, 2)),
    Screw((1, 0, 0), (0, 0, 2), 5),
]
by_kind = pytest.mark.parametrize("joint", JOINTS, ids=lambda joint: type(joint).__name__)


def moved(joint, values, point):
    return joint.motion(torch.tensor(values, dtype=torch.float64))(torch.tensor([[point]], dtype=torch.float64))[0, 0]


def test_a_hinge_turns_about_its_axis():
    joint = Hinge((1, 0, 0), (0, 0, 3))
    assert moved(joint, [math.pi / 2], (2.0, 0.0, 5.0)).tolist() == pytest.approx([1, 1, 5])
    assert moved(joint, [1.0], (1.0, 0.0, 7.0)).tolist() == pytest.approx([1, 0, 7])


def test_a_screw_goes_along_its_axis_by_its_pitch():
    joint = Screw((1, 0, 0), (0, 0, 3), pitch=4)
    assert moved(joint, [math.pi / 2], (2.0, 0.0, 5.0)).tolist() == pytest.approx([1, 1, 6])
    assert moved(joint, [2 * math.pi], (2.0, 0.0, 5.0)).tolist() == pytest.approx([2, 0, 9])


def test_a_slide_goes_along_its_axis_in_mm():
    assert moved(Slide((0, 3, 4)), [10.0], (1.0, 1.0, 1.0)).tolist() == pytest.approx([1, 7, 9])


def test_a_ball_leaves_its_point():
    joint = Ball((1, 2, 3))
    assert moved(joint, [0.4, -0.7, 0.2], (1.0, 2.0, 3.0)).tolist() == pytest.approx([1, 2, 3])
    assert moved(joint, [0, 0, math.pi / 2], (2.0, 2.0, 3.0)).tolist() == pytest.approx([1, 3, 3])


@by_kind
def test_values_of_a_motion_are_those_that_made_it(joint):
    values = torch.linspace(-0.4, 0.7, joint.n_values, dtype=torch.float64)[None]
    torch.testing.assert_close(joint.values_of(joint.motion(values)), values)
    assert torch.equal(joint.motion(values * 0).matrix, torch.eye(4, dtype=torch.float64)[None])


@by_kind
def test_twists_in_the_childs_frame_are_the_same_motion(joint):
    rest = shifted(10, -3, 5, turn=(0.3, 0.8, -0.2))
    values = torch.linspace(-0.4, 0.7, joint.n_values, dtype=torch.float64)
    own = se3_exp_map((values @ joint.twists_of_child(rest))[None])
    torch.testing.assert_close(joint.motion(values).matrix @ rest.matrix, rest.matrix @ own)


@by_kind
def test_motions_have_derivatives(joint):
    values = torch.linspace(-0.4, 0.7, joint.n_values, dtype=torch.float64).requires_grad_()
    if joint.n_values:
        assert gradcheck(lambda values: joint.motion(values).matrix, (values,))


def test_values_may_be_one_number_or_one_set_for_each_view():
    assert len(Hinge((0, 0, 0), (0, 0, 1)).motion(0.5)) == 1
    assert len(Ball((0, 0, 0)).motion(torch.zeros(4, 3))) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hinge((0, 0, 0), (0, 0, 0)), "direction"),
        (lambda: Hinge((0, 0), (0, 0, 1)), "three finite numbers"),
        (lambda: Slide((0, math.inf, 0)), "three finite numbers"),
        (lambda: Screw((0, 0, 0), (0, 0, 1), math.nan), "pitch"),
        (lambda: Hinge((0, 0, 0), (0, 0, 1)).motion([1.0, 2.0]), "Expected 1 values of a Hinge"),
        (lambda: Free().motion([1.0, 2.0]), "Expected 6 values of a Free"),
    ],
)
def test_what_makes_no_joint_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_joints_are_values():
    assert Hinge((0, 0, 0), (0, 0, 2)) == Hinge((0, 0, 0), (0, 0, 1))
    assert isinstance(Fixed().motion([]), RigidTransform)
