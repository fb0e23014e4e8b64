"""The same numbers as DiffDRR 0.6.1, whose users bring their poses along."""

import pytest
import torch
from other_projects import import_peer

import raygrad.pose
from raygrad.pose import PARAMETERIZATIONS, RigidTransform, convert, random_rigid_transform

pytestmark = pytest.mark.peers
diffdrr_pose = import_peer("diffdrr.pose")

SIZES = {"quaternion": 4, "quaternion_adjugate": 10, "rotation_6d": 6, "rotation_9d": 9, "rotation_10d": 10}
CONVENTIONS = ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "XYX", "XZX", "YXY", "YZY", "ZXZ", "ZYZ"]


def close(actual, expected, tolerance):
    torch.testing.assert_close(actual, expected.to(actual.dtype), rtol=tolerance, atol=tolerance)


def parameters(name, batch_size=20):
    generator = torch.Generator().manual_seed(0)
    rotation = torch.randn(batch_size, SIZES.get(name, 3), generator=generator, dtype=torch.float64)
    return rotation, 100 * torch.randn(batch_size, 3, generator=generator, dtype=torch.float64)


def poses(batch_size=20):
    matrix = random_rigid_transform(batch_size, torch.Generator().manual_seed(1)).matrix.double()
    ours = RigidTransform(matrix)
    return ours, diffdrr_pose.RigidTransform(matrix)


@pytest.mark.parametrize("name", [name for name in PARAMETERIZATIONS if name not in ("matrix", "euler_angles")])
def test_parameters_make_the_same_pose(name):
    rotation, xyz = parameters(name)
    tolerance = 1e-9
    if name in ("rotation_10d", "quaternion_adjugate"):  # DiffDRR takes these two in float32 only
        rotation, xyz, tolerance = rotation.float(), xyz.float(), 1e-4
    expected = diffdrr_pose.convert(rotation, xyz, parameterization=name)
    close(convert(rotation, xyz, parameterization=name).matrix, expected.matrix, tolerance)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("degrees", [False, True])
def test_euler_angles(convention, degrees):
    rotation, xyz = parameters("euler_angles")
    rotation = 60 * rotation if degrees else rotation
    kind = {"parameterization": "euler_angles", "convention": convention, "degrees": degrees}
    ours, theirs = convert(rotation, xyz, **kind), diffdrr_pose.convert(rotation, xyz, **kind)
    close(ours.matrix, theirs.matrix, 1e-10)
    for mine, other in zip(ours.convert(**kind), theirs.convert(**kind), strict=True):
        close(mine, other, 1e-6)


@pytest.mark.parametrize("name", [name for name in PARAMETERIZATIONS if name != "euler_angles"])
def test_poses_have_the_same_parameters(name):
    ours, theirs = poses()
    for mine, other in zip(ours.convert(name), theirs.convert(name), strict=True):
        close(mine, other, 1e-6)


def test_the_group_and_its_action():
    ours, theirs = poses()
    points = torch.randn(20, 5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    close(ours.inverse().matrix, theirs.inverse().matrix, 1e-10)
    close(ours(points), theirs(points), 1e-10)
    close(ours.inverse().compose(ours).matrix, theirs.inverse().compose(theirs).matrix, 1e-10)
    other = RigidTransform(ours.matrix.flip(0))
    close(ours.compose(other).matrix, theirs.compose(diffdrr_pose.RigidTransform(other.matrix)).matrix, 1e-10)
    close(ours.get_se3_log(), theirs.get_se3_log(), 1e-6)
    close(ours[3], theirs[3], 0)
    assert len(ours) == len(theirs)


def test_helpers_with_the_same_names():
    ours, _ = poses()
    q = raygrad.pose.matrix_to_quaternion(ours.rotation)
    for name, argument in [
        ("matrix_to_rotation_9d", ours.rotation),
        ("rotation_9d_to_matrix", torch.randn(5, 9, dtype=torch.float64)),
        ("quaternion_to_rotation_10d", q),
        ("quaternion_to_quaternion_adjugate", q),
        ("quaternion_to_matrix", q),
        ("matrix_to_quaternion", ours.rotation),
        ("rotation_6d_to_matrix", torch.randn(5, 6, dtype=torch.float64)),
        ("matrix_to_rotation_6d", ours.rotation),
        ("so3_log_map", ours.rotation),
    ]:
        close(getattr(raygrad.pose, name)(argument), getattr(diffdrr_pose, name)(argument), 1e-6)
    close(
        raygrad.pose.make_matrix(ours.rotation, ours.translation),
        diffdrr_pose.make_matrix(ours.rotation, ours.translation),
        0,
    )
