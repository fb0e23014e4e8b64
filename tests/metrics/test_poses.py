"""Distances of poses, in themselves and seen on points."""

import math

import pytest
import torch

from raygrad.metrics import (
    DoubleGeodesicSE3,
    LogGeodesicSE3,
    mean_reprojection_distance,
    mean_target_registration_error,
)
from raygrad.pose import RigidTransform, convert

TARGETS = torch.tensor([[[0.0, 0, 0], [30, 0, 0], [0, 40, -20]]], dtype=torch.float64)


def random_poses(batch_size, seed):
    rotation, xyz = torch.randn(
        2, batch_size, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).unbind()
    return convert(rotation, 100 * xyz, parameterization="axis_angle")


def pose(rotation=(0.0, 0, 0), xyz=(0.0, 0, 0)):
    rotation, xyz = (torch.tensor([x], dtype=torch.float64) for x in (rotation, xyz))
    return convert(rotation, xyz, parameterization="axis_angle")


def project(camera_to_world, points):
    """A pinhole camera with a focal length of 1000 pixels."""
    seen = camera_to_world.inverse()(points)
    return 1000 * seen[..., :2] / seen[..., 2:]


def test_geodesics_of_a_turn_and_a_shift():
    turned, shifted = pose(rotation=(0, 0, 0.3)), pose(xyz=(3, 4, 0))
    identity = pose()
    double = DoubleGeodesicSE3(1000.0)
    expected = torch.tensor([150.0, 0.0, 150.0], dtype=torch.float64)
    torch.testing.assert_close(torch.cat(double(identity, turned)), expected)
    expected = torch.tensor([0.0, 5.0, math.sqrt(25 + 1e-6)], dtype=torch.float64)
    torch.testing.assert_close(torch.cat(double(shifted, identity)), expected)
    torch.testing.assert_close(LogGeodesicSE3()(identity, turned), torch.tensor([0.3], dtype=torch.float64))
    torch.testing.assert_close(LogGeodesicSE3()(identity, shifted), torch.tensor([5.0], dtype=torch.float64))


def test_geodesics_are_symmetric_and_broadcast():
    one, many = random_poses(1, 0), random_poses(4, 1)
    for metric in (LogGeodesicSE3(), lambda a, b: torch.stack(DoubleGeodesicSE3(1000.0)(a, b), dim=-1)):
        torch.testing.assert_close(metric(one, many), metric(many, one))
        assert len(metric(one, many)) == 4
    for metric in (LogGeodesicSE3(), DoubleGeodesicSE3(1000.0)):
        with pytest.raises(ValueError, match="4 and 2"):
            metric(random_poses(2, 2), many)


def test_mtre_of_a_shift_is_its_length():
    """Seen from the camera, however the pose is turned."""
    for start in (pose(), pose(rotation=(0.4, -1, 2), xyz=(0, 850, 0))):
        moved = pose(xyz=(3, 0, 4)).compose(start)
        error = mean_target_registration_error(start, moved, TARGETS)
        torch.testing.assert_close(error, torch.tensor([5.0], dtype=torch.float64))


def test_mtre_of_a_half_turn_is_twice_the_distance_from_the_axis():
    error = mean_target_registration_error(pose(), pose(rotation=(0, 0, math.pi)), TARGETS)
    torch.testing.assert_close(error, torch.tensor([2 * (30 + 40) / 3], dtype=torch.float64))


def test_mtre_does_not_depend_on_the_world_frame():
    first, second, world = random_poses(3, 0), random_poses(3, 1), random_poses(1, 2)
    torch.testing.assert_close(
        mean_target_registration_error(first.compose(world), second.compose(world), world(TARGETS)),
        mean_target_registration_error(first, second, TARGETS),
    )


def test_reprojection_distance_of_a_shift_along_the_detector():
    near = pose(xyz=(0, 0, -500))
    beside = pose(xyz=(2, 0, -500))
    flat = torch.tensor([[[0.0, 0, 0], [10, -5, 0]]], dtype=torch.float64)
    distance = mean_reprojection_distance(near, beside, flat, project)
    torch.testing.assert_close(distance, torch.tensor([4.0], dtype=torch.float64))
    in_mm = mean_reprojection_distance(near, beside, flat, project, (0.5, 3.0))
    torch.testing.assert_close(in_mm, torch.tensor([2.0], dtype=torch.float64))


def test_derivatives():
    def metrics(rotation, xyz, points):
        moved = convert(rotation, xyz, parameterization="axis_angle")
        fixed = pose(rotation=(0.1, 0.2, -0.1), xyz=(1, 2, -500))
        return (
            LogGeodesicSE3()(fixed, moved),
            *DoubleGeodesicSE3(1000.0)(fixed, moved),
            mean_target_registration_error(fixed, moved, points),
            mean_reprojection_distance(fixed, moved, points, project),
        )

    rotation = torch.tensor([[0.3, 0.1, 0.2], [0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    xyz = torch.tensor([[5.0, 1, -480], [0, 0, -600]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(metrics, (rotation, xyz, TARGETS.clone().requires_grad_()))


def test_equal_poses_have_zero_error_and_finite_gradients():
    matrix = pose(rotation=(0.1, 0.2, -0.1), xyz=(1, 2, -500)).matrix.requires_grad_()
    same = RigidTransform(matrix.detach())
    moved = RigidTransform(matrix)
    errors = [
        LogGeodesicSE3()(same, moved),
        *DoubleGeodesicSE3(1000.0)(same, moved),
        mean_target_registration_error(same, moved, TARGETS),
        mean_reprojection_distance(same, moved, TARGETS, project),
    ]
    for error in errors:
        assert error.item() < 2e-3
        (gradient,) = torch.autograd.grad(error.sum(), matrix, retain_graph=True)
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_target_registration_error(pose(), pose(), TARGETS[0]), r"\(B, N, 3\). Got \(3, 3\)"),
        (lambda: mean_target_registration_error(pose(), pose(), TARGETS[:, :0]), "at least one point"),
        (lambda: mean_target_registration_error(random_poses(2, 0), random_poses(3, 0), TARGETS), "2 and 3"),
        (lambda: mean_reprojection_distance(pose(), pose(), TARGETS[0], project), r"\(B, N, 3\). Got \(3, 3\)"),
        (lambda: mean_reprojection_distance(pose(), pose(), TARGETS, lambda p, x: p(x)), r"\(B, N, 2\). Got"),
    ],
)
def test_wrong_points_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mtre_takes_points_and_poses_of_any_precision():
    turned, still = pose((0.3, 0.0, 0.0), (0.0, 5.0, 0.0)), pose()
    expected = mean_target_registration_error(turned, still, TARGETS)
    for first, second, points in ((turned, still.to(torch.float32), TARGETS), (turned, still, TARGETS.float())):
        torch.testing.assert_close(mean_target_registration_error(first, second, points), expected, rtol=1e-6, atol=0)
