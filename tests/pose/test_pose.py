"""Poses: round trips, group laws, and derivatives where parameterizations are singular."""

import math
import pickle
from itertools import product

import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from raygrad.pose import (
    PARAMETERIZATIONS,
    RigidTransform,
    convert,
    find_parameterization,
    make_matrix,
    random_rigid_transform,
    se3_exp_map,
    se3_log_map,
    so3_exp_map,
    so3_log_map,
)

MOVING = [a + b + c for a, b, c in product("XYZ", repeat=3) if a != b != c]
CONVENTIONS = MOVING + [convention.lower() for convention in MOVING]
SMOOTH = [name for name in PARAMETERIZATIONS if name != "euler_angles"]
TINY_ANGLES = [0.0, 1e-12, 1e-8, 1e-5, 1e-3, 0.09, 0.11, 0.4999, 0.5001]


def random_pose(batch_size=1, seed=0, dtype=torch.float64):
    return random_rigid_transform(batch_size, torch.Generator().manual_seed(seed)).to(dtype)


def rotation_vectors(angles, dtype=torch.float64):
    axis = torch.tensor([[6.0, -3.0, 2.0]], dtype=dtype) / 7
    return torch.tensor(angles, dtype=dtype)[:, None] * axis


def arguments(name):
    return {"parameterization": name, "convention": "ZXY" if name == "euler_angles" else None}


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# What the parameters mean


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_convert_gives_the_pose_back(name, dtype):
    pose = random_pose(7, dtype=dtype)
    again = convert(*pose.convert(**arguments(name)), **arguments(name))
    assert again.dtype == dtype
    torch.testing.assert_close(again.rotation, pose.rotation.to(dtype), rtol=0, atol=2e-6)
    torch.testing.assert_close(again.translation, pose.translation, rtol=0, atol=3e-6 * 400)
    if dtype == torch.float64:
        close(again.matrix, pose.to(dtype).matrix, 1e-5)  # random_rigid_transform is orthonormal to float32


@pytest.mark.parametrize("name", [name for name in PARAMETERIZATIONS if name != "se3_log_map"])
def test_the_camera_is_at_rotated_xyz(name):
    pose = random_pose(3)
    rotation, xyz = pose.convert(**arguments(name))
    made = convert(rotation, xyz, **arguments(name))
    close(made.translation, (made.rotation @ xyz[:, :, None])[..., 0], 1e-10)


def test_a_whole_matrix_is_the_pose_itself():
    matrix = random_pose(2).matrix
    assert convert(matrix, parameterization="matrix").matrix is matrix
    assert convert(matrix[0], parameterization="matrix").matrix.shape == (1, 4, 4)


def test_one_quarter_turn_in_every_parameterization():
    """About z by 90 degrees, written out by hand."""
    half = math.sqrt(0.5)
    q = torch.tensor([half, 0, 0, half], dtype=torch.float64)
    rows, columns = torch.triu_indices(4, 4)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    by_hand = {
        "axis_angle": torch.tensor([0, 0, math.pi / 2], dtype=torch.float64),
        "euler_angles": torch.tensor([math.pi / 2, 0, 0], dtype=torch.float64),
        "matrix": turn,
        "quaternion": q,
        "quaternion_adjugate": torch.outer(q, q)[rows, columns],
        "rotation_6d": turn[:2].flatten(),
        "rotation_9d": turn.flatten(),
        "rotation_10d": -torch.outer(q, q)[rows, columns],
        "se3_log_map": torch.tensor([0, 0, math.pi / 2], dtype=torch.float64),
    }
    assert set(by_hand) == set(PARAMETERIZATIONS)
    for name, parameters in by_hand.items():
        pose = convert(parameters[None], torch.zeros(1, 3, dtype=torch.float64), **arguments(name))
        close(pose.rotation[0], turn)
        close(pose.convert(**arguments(name))[0][0], parameters)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_euler_angles_agree_with_roma(convention):
    angles = torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 12 - 6
    pose = convert(
        angles, torch.zeros(1, 3, dtype=torch.float64), **arguments("euler_angles") | {"convention": convention}
    )
    close(pose.rotation, roma.euler_to_rotmat(convention, angles))
    back = pose.convert("euler_angles", convention)[0]
    close(back, roma.rotmat_to_euler(convention, pose.rotation), 1e-9)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("offset", [0.0, 1e-7, 1e-4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_euler_angles_survive_gimbal_lock(convention, offset, dtype):
    """At the lock the outer angles are not unique, but they must still make the same rotation."""
    lock = 0.0 if convention[0] == convention[2] else math.pi / 2
    angles = torch.tensor([[0.3, lock - offset, -1.1]], dtype=dtype)
    pose = convert(angles, torch.zeros(1, 3, dtype=dtype), parameterization="euler_angles", convention=convention)
    matrix = pose.matrix.clone().requires_grad_()
    parameters = RigidTransform(matrix).convert("euler_angles", convention)
    again = convert(*parameters, parameterization="euler_angles", convention=convention)
    torch.testing.assert_close(again.rotation, pose.rotation, rtol=0, atol=5 * torch.finfo(dtype).eps)
    (gradient,) = torch.autograd.grad(parameters[0].sum(), matrix)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["euler_angles", "axis_angle", "se3_log_map"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degrees_are_degrees_wherever_there_are_angles(name, dtype):
    pose = random_pose(5, dtype=dtype)
    radians, xyz = pose.convert(**arguments(name))
    degrees, same_xyz = pose.convert(**arguments(name), degrees=True)
    assert torch.equal(degrees, torch.rad2deg(radians))
    assert torch.equal(same_xyz, xyz)
    again = convert(degrees, xyz, **arguments(name), degrees=True)
    assert torch.equal(again.matrix, convert(torch.deg2rad(degrees), xyz, **arguments(name)).matrix)
    torch.testing.assert_close(again.matrix, pose.matrix, rtol=0, atol=2e-3)  # random poses are orthonormal to float32


def test_a_quarter_turn_is_90_degrees():
    for name, angles in (("euler_angles", [90.0, 0, 0]), ("axis_angle", [0, 0, 90.0]), ("se3_log_map", [0, 0, 90.0])):
        pose = convert(torch.tensor([angles]).double(), torch.zeros(1, 3).double(), **arguments(name), degrees=True)
        close(pose.rotation[0], torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64))


@pytest.mark.parametrize("name", [name for name in PARAMETERIZATIONS if not find_parameterization(name).has_angles])
def test_degrees_of_what_has_no_angles_are_refused(name):
    pose = random_pose()
    with pytest.raises(ValueError, match=f"angles: axis_angle, euler_angles, se3_log_map. Got '{name}'"):
        pose.convert(name, degrees=True)
    with pytest.raises(ValueError, match=f"Got '{name}'"):
        convert(*pose.convert(name), parameterization=name, degrees=True)
    with pytest.raises(ValueError, match="Got 'matrix'"):
        convert(pose.matrix, parameterization="matrix", degrees=True)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
def test_the_table_says_what_convert_takes(name):
    row = find_parameterization(name)
    assert row.name == name
    assert random_pose().convert(**arguments(name))[0].shape[1:] == row.shape
    assert row.names == () if name == "matrix" else (len(row.names),) == row.shape


def test_quaternions_need_no_unit_length():
    q = torch.tensor([[0.2, -0.4, 0.1, 0.7]], dtype=torch.float64)
    xyz = torch.zeros(1, 3, dtype=torch.float64)
    close(
        convert(q, xyz, parameterization="quaternion").matrix,
        convert(-3.7 * q, xyz, parameterization="quaternion").matrix,
    )


def test_a_turn_of_pi_about_every_axis():
    for axis in torch.cat([torch.eye(3), torch.tensor([[1.0, 1, 1], [1, -2, 0.5]])]).double():
        vector = math.pi * axis / axis.norm()
        matrix = so3_exp_map(vector[None])
        log = so3_log_map(matrix)
        close(log.norm(dim=-1), torch.tensor([math.pi], dtype=torch.float64))
        close(so3_exp_map(log), matrix)


# Precision and derivatives at the identity and near pi


@pytest.mark.parametrize("angle", [*TINY_ANGLES, 2.0, 3.0, math.pi - 1e-3, math.pi - 1e-6])
def test_logarithm_inverts_exponential_to_the_last_digits(angle):
    for dtype in (torch.float32, torch.float64):
        vector = rotation_vectors([angle], dtype)
        twist = torch.cat([torch.tensor([[30.0, -850.0, 5.0]], dtype=dtype), vector], dim=-1)
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(so3_log_map(so3_exp_map(vector)), vector, rtol=4 * eps, atol=4 * eps * angle)
        torch.testing.assert_close(se3_log_map(se3_exp_map(twist)), twist, rtol=8 * eps, atol=850 * 8 * eps)


def test_float32_exponential_against_float64():
    vectors = rotation_vectors([*TINY_ANGLES, 1.0, 2.0, 3.0, 3.1415])
    twist = torch.cat([torch.full_like(vectors, 100), vectors], dim=-1).float()
    exact = torch.linalg.matrix_exp(hat(twist.double()))
    torch.testing.assert_close(se3_exp_map(twist).double(), exact, rtol=0, atol=100 * 3e-7)
    torch.testing.assert_close(so3_exp_map(twist[:, 3:]).double(), exact[:, :3, :3], rtol=0, atol=3e-7)


def hat(twist):
    """The 4 x 4 matrix of a twist, entry by entry."""
    matrix = torch.zeros(len(twist), 4, 4, dtype=twist.dtype)
    for row, column, entry, sign in [(0, 1, 5, -1), (0, 2, 4, 1), (1, 2, 3, -1)]:
        matrix[:, row, column] = sign * twist[:, entry]
        matrix[:, column, row] = -sign * twist[:, entry]
    matrix[:, :3, 3] = twist[:, :3]
    return matrix


def test_exponential_is_the_matrix_exponential():
    twist = torch.randn(20, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    close(se3_exp_map(twist), torch.linalg.matrix_exp(hat(twist)))
    close(so3_exp_map(twist[:, 3:]), torch.linalg.matrix_exp(hat(twist)[:, :3, :3]))


@pytest.mark.parametrize("angle", [*TINY_ANGLES, 2.0, math.pi - 1e-3, math.pi - 1e-6, math.pi])
def test_derivatives_of_the_exponential(angle):
    twist = torch.cat([torch.tensor([[3.0, -8.0, 5.0]], dtype=torch.float64), rotation_vectors([angle])], dim=-1)
    twist.requires_grad_()
    assert gradcheck(se3_exp_map, twist)
    assert gradgradcheck(se3_exp_map, twist)


def test_second_derivative_of_a_rotation_at_zero():
    """cos about x: R_yy = 1 - (x^2 + z^2) / 2 to second order."""
    hessian = torch.autograd.functional.hessian(
        lambda v: so3_exp_map(v[None])[0, 1, 1], torch.zeros(3, dtype=torch.float64)
    )
    close(hessian, torch.diag(torch.tensor([-1.0, 0.0, -1.0], dtype=torch.float64)))


@pytest.mark.parametrize("angle", [*TINY_ANGLES, 2.0, math.pi - 1e-3, math.pi - 1e-5])
def test_derivatives_of_the_logarithm(angle):
    twist = torch.cat([torch.tensor([[3.0, -8.0, 5.0]], dtype=torch.float64), rotation_vectors([angle])], dim=-1)
    matrix = se3_exp_map(twist).requires_grad_()
    assert gradcheck(se3_log_map, matrix, eps=1e-7, atol=1e-5)
    # On the group itself: log(exp(x) exp(twist)) is x + twist at a twist of zero, and the pair is the identity map.
    jacobian = torch.autograd.functional.jacobian(lambda x: se3_log_map(se3_exp_map(x)), twist)[0, :, 0]
    close(jacobian, torch.eye(6, dtype=torch.float64), 1e-8)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 1e-2])
def test_second_derivatives_of_the_logarithm_at_the_identity(angle):
    matrix = make_matrix(so3_exp_map(rotation_vectors([angle])), torch.tensor([[3.0, -8.0, 5.0]]).double())
    assert gradgradcheck(se3_log_map, matrix.requires_grad_())


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-3])
def test_float32_derivatives_near_the_identity(angle):
    vector = rotation_vectors([angle], torch.float32).requires_grad_()
    twist = torch.cat([torch.tensor([[3.0, -8.0, 5.0]]), vector], dim=-1)
    jacobian = torch.autograd.functional.jacobian(lambda x: se3_log_map(se3_exp_map(x)), twist)[0, :, 0]
    torch.testing.assert_close(jacobian, torch.eye(6), rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", PARAMETERIZATIONS)
@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-3, 1.0, math.pi - 1e-3])
def test_derivatives_of_every_parameterization(name, angle):
    """Both ways, at the identity, beside it, and near pi."""
    pose = RigidTransform(make_matrix(so3_exp_map(rotation_vectors([angle])), torch.tensor([[1.0, 2, 3]]).double()))
    rotation, xyz = (x.detach().clone().requires_grad_() for x in pose.convert(**arguments(name)))
    assert gradcheck(lambda r, t: convert(r, t, **arguments(name)).matrix, (rotation, xyz), atol=2e-5)

    def back(twist):
        return RigidTransform(pose.matrix @ se3_exp_map(twist)).convert(**arguments(name))

    assert gradcheck(back, torch.zeros(1, 6, dtype=torch.float64).requires_grad_(), eps=1e-7, atol=2e-5)


# The group


components = st.floats(-1.0, 1.0, allow_nan=False)
twists = st.tuples(*[components] * 6)


def transform(twist):
    twist = torch.tensor([twist], dtype=torch.float64) * torch.tensor([100.0, 100, 100, 1.8, 1.8, 1.8])
    return RigidTransform(se3_exp_map(twist))


@settings(max_examples=30, deadline=None)
@given(twists, twists, twists)
def test_group_laws(a, b, c):
    a, b, c = transform(a), transform(b), transform(c)
    points = torch.tensor([[[1.0, -2.0, 3.0], [0.0, 50.0, 7.0]]], dtype=torch.float64)
    identity = torch.eye(4, dtype=torch.float64)[None]
    close(a.compose(b).compose(c).matrix, a.compose(b.compose(c)).matrix, 1e-10)
    close(a.compose(a.inverse()).matrix, identity, 1e-10)
    close(a.compose(b).inverse().matrix, b.inverse().compose(a.inverse()).matrix, 1e-10)
    close(a.compose(b)(points), b(a(points)), 1e-10)
    close(a.inverse()(a(points)), points, 1e-10)
    close(RigidTransform(se3_exp_map(-a.get_se3_log())).matrix, a.inverse().matrix, 1e-9)


@settings(max_examples=30, deadline=None)
@given(twists, st.sampled_from(PARAMETERIZATIONS))
def test_round_trips(twist, name):
    pose = transform(twist)
    close(convert(*pose.convert(**arguments(name)), **arguments(name)).matrix, pose.matrix, 1e-9)


def test_a_batch_of_one_serves_the_other():
    one, many, points = random_pose(1, seed=1), random_pose(4, seed=2), torch.randn(1, 5, 3).double()
    for first, second in [(one, many), (many, one)]:
        composed = first.compose(second)
        assert len(composed) == 4
        close(composed.matrix, second.matrix @ first.matrix)
        close(composed(points), second(first(points)), 1e-9)
    close(one(points.expand(4, 5, 3)), one(points).expand(4, 5, 3))
    for name in PARAMETERIZATIONS:
        rotation, xyz = many.convert(**arguments(name))
        assert len(convert(rotation, xyz[:1], **arguments(name))) == 4
        assert len(convert(rotation[:1], xyz, **arguments(name))) == 4


def test_points_move_as_columns():
    pose = random_pose(2)
    points = torch.randn(2, 6, 3).double()
    moved = pose(points)
    assert moved.is_contiguous()
    homogeneous = torch.cat([points, torch.ones(2, 6, 1).double()], dim=-1)
    close(moved, (pose.matrix @ homogeneous.mT).mT[..., :3], 1e-10)


# The class


def test_dtypes_and_indices():
    pose = random_pose(3)
    assert pose.to(torch.float32).dtype == torch.float32
    assert pose.cpu().device == torch.device("cpu") == pose.device
    assert torch.equal(pose[1], pose.matrix[1])
    assert len(pose) == len(list(pose)) == 3
    assert pose.compose(pose.to(torch.float32)).dtype == torch.float64
    assert torch.equal(pickle.loads(pickle.dumps(pose)).matrix, pose.matrix)
    assert not RigidTransform(pose.matrix.requires_grad_()).detach().matrix.requires_grad
    with pytest.raises(AttributeError):
        pose.matrix = pose.matrix


def test_random_transforms_follow_their_generator():
    first, second = (random_rigid_transform(2, torch.Generator().manual_seed(5)).matrix for _ in range(2))
    assert torch.equal(first, second)


def test_inference_mode_leaves_no_trace():
    """What convert keeps between calls must not have been made under inference mode."""
    rotation, xyz = torch.zeros(1, 3), torch.ones(1, 3)
    with torch.inference_mode():
        convert(rotation, xyz, **arguments("euler_angles"))
    rotation.requires_grad_()
    convert(rotation, xyz, **arguments("euler_angles")).matrix.sum().backward()
    assert rotation.grad.isfinite().all()


class CountOperations(TorchDispatchMode):
    """Counts what torch is asked to do: a small pose costs as many launches, whatever its batch."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_a_pose_costs_few_operations():
    """It stands before every render of a few milliseconds, so an operation counts (about 2 microseconds each)."""
    rotation, xyz, reorient = torch.zeros(1, 3), torch.ones(1, 3), identity_pose()
    for call, most in [
        (lambda: convert(rotation, xyz, **arguments("euler_angles")), 40),
        (lambda: reorient.compose(reorient), 8),
        (lambda: reorient(torch.ones(1, 4, 3)), 20),
    ]:
        with CountOperations() as operations:
            call()
        assert operations.count <= most


ZERO = torch.zeros(1, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: convert(ZERO, ZERO, parameterization="euler"),
            "Expected a parameterization among axis_angle, .*'euler'",
        ),
        (lambda: identity_pose().convert("euler"), "Expected a parameterization among axis_angle"),
        (lambda: convert(ZERO, parameterization="axis_angle"), "Expected rotation and translation.*Got 1"),
        (lambda: convert(ZERO, ZERO, parameterization="euler_angles"), "convention of Euler angles.*None"),
        (lambda: convert(ZERO, ZERO, parameterization="euler_angles", convention="XXY"), "'XXY'"),
        (lambda: convert(ZERO, ZERO, parameterization="euler_angles", convention="Xyz"), "'Xyz'"),
        (lambda: convert(ZERO, ZERO, parameterization="euler_angles", convention="ABC"), "'ABC'"),
        (lambda: convert(ZERO, ZERO, parameterization="quaternion"), r"rotation of shape \(B, 4\).*\(1, 3\)"),
        (lambda: convert(ZERO[0], ZERO, parameterization="axis_angle"), r"rotation of shape \(B, 3\).*\(3,\)"),
        (lambda: convert(ZERO, ZERO[0], parameterization="axis_angle"), r"translation of shape \(B, 3\)"),
        (lambda: convert(ZERO.expand(2, 3), ZERO.expand(3, 3), parameterization="axis_angle"), "2 and 3"),
        (lambda: convert(torch.eye(3), parameterization="matrix"), r"\(B, 4, 4\). Got \(1, 3, 3\)"),
        (lambda: make_matrix(ZERO, ZERO), r"rotations \(B, 3, 3\)"),
        (lambda: make_matrix(torch.eye(3).expand(2, 3, 3), ZERO.expand(3, 3)), "2 and 3"),
        (lambda: identity_pose(2).compose(identity_pose(3)), "2 and 3"),
        (lambda: identity_pose(2)(torch.zeros(3, 1, 3)), "3 and 2"),
        (lambda: identity_pose()(ZERO), r"points of shape \(B, N, 3\). Got \(1, 3\)"),
    ],
)
def test_wrong_shapes_and_names_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RigidTransform(torch.eye(4, dtype=torch.int64)), "int64"),
        (lambda: convert(ZERO.int(), ZERO, parameterization="axis_angle"), "rotation of 'axis_angle'.*int32"),
        (lambda: convert(ZERO, ZERO.double(), parameterization="axis_angle"), "one dtype.*float32 and torch.float64"),
        (lambda: identity_pose()(torch.zeros(1, 1, 3, dtype=torch.float64)), "float64"),
    ],
)
def test_wrong_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def identity_pose(batch_size=1):
    return RigidTransform(torch.eye(4).expand(batch_size, 4, 4))
