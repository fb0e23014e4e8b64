"""Scenes as a whole: meshes converge to the bodies that they stand for, nothing leaks, moving a body is moving the
camera the other way, and metal in a CT is what metal voxels become when they are small enough.
"""

import numpy as np
import pytest
import torch
from scene_cases import check_nothing_leaks, cone_views, cube, icosphere, rays_through, shifted

from raygrad.data import Subject, Volume
from raygrad.geometry import RayViews
from raygrad.kernels import project_mesh
from raygrad.march import Marching
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.scene import Body, Capsule, Cylinder, Mesh, Scene, Spheres

pytestmark = pytest.mark.filterwarnings("error")


def turned(line, around):
    """The closed surface that a line (radius, z) from pole to pole sweeps about z, its corners on the true surface."""
    line = np.array(line, dtype=float)
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    rings = [np.stack([r * np.cos(angle), r * np.sin(angle), np.full(around, z)], axis=1) for r, z in line[1:-1]]
    points = np.concatenate([*rings, [[0, 0, line[0, 1]], [0, 0, line[-1, 1]]]])
    number = np.arange(around * len(rings)).reshape(len(rings), around)
    low, high = number[:-1], number[1:]
    low_next, high_next = np.roll(low, -1, axis=1), np.roll(high, -1, axis=1)
    sides = [np.stack([low, low_next, high_next], -1), np.stack([low, high_next, high], -1)]
    first, last = np.full(around, len(points) - 2), np.full(around, len(points) - 1)
    caps = [np.stack([np.roll(number[0], -1), number[0], first], -1)]
    caps.append(np.stack([number[-1], np.roll(number[-1], -1), last], -1))
    return points, np.concatenate([part.reshape(-1, 3) for part in (*sides, *caps)])


def ball(rounds):
    """A ball of edges of 31 mm / 2^rounds, and the true one."""
    return icosphere(30.0, rounds), Spheres([[0.0, 0.0, 0.0]], 30.0, material=1.0, name="body")


def cylinder(rounds):
    """A prism of 8 * 2^rounds sides."""
    prism = turned([(0, -40), (18, -40), (18, 40), (0, 40)], 8 * 2**rounds)
    return prism, Cylinder((0, 0, -40), (0, 0, 40), 18.0, material=1.0, name="body")


def capsule(rounds):
    """Both in one."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 4 * 2**rounds + 1)
    lower, upper = angles[angles <= 0], angles[angles >= 0]
    line = [(18 * np.cos(a), 18 * np.sin(a) - 25) for a in lower] + [
        (18 * np.cos(a), 18 * np.sin(a) + 25) for a in upper
    ]
    return turned(line, 8 * 2**rounds), Capsule((0, 0, -25), (0, 0, 25), 18.0, material=1.0, name="body")


def image_and_gradient(body, views, weights):
    """The image, and how its weighted sum changes with the body's motions: by mm, and by turns that move it by mm."""
    motion = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    twist = motion / torch.tensor([1.0, 1.0, 1.0, 30.0, 30.0, 30.0])
    start = shifted(3.0, -2.0, 1.0, turn=(0.3, 0.5, -0.2)).matrix
    image = Scene([body]).render(views, poses={"body": RigidTransform(start @ se3_exp_map(twist))})
    (gradient,) = torch.autograd.grad((image * weights).sum(), motion)
    return image.detach(), gradient


@pytest.mark.parametrize("make", [ball, cylinder, capsule])
def test_images_and_their_derivatives_converge_at_order_2(make):
    views = cone_views(300, delx=0.4, angles=((0.3, 0.2, 0.1),))
    _, true = make(1)
    rows, columns = (torch.linspace(0, 3, n, dtype=torch.float64) for n in views.image_shape)
    image, _ = image_and_gradient(true, views, rows[:, None] * columns)
    # Weights fade out at the body's edge, where its thickness is a root, and derivatives of pixels have no bound.
    weights = (torch.cos(rows)[:, None] + torch.sin(1.3 * columns + 0.2)) * image.square()
    _, gradient = image_and_gradient(true, views, weights)
    errors = []
    for rounds in (1, 2, 3):
        mesh, _ = make(rounds)
        found, by_motion = image_and_gradient(Mesh(mesh, material=1.0, name="body"), views, weights)
        apart = torch.linalg.vector_norm(found - image) / torch.linalg.vector_norm(image)
        errors.append((apart.item(), ((by_motion - gradient).norm() / gradient.norm()).item()))
    rates = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    # Where facets are no wider than a few pixels their sum is no integral, hence the margin about 2.
    assert (rates > 1.6).all(), (errors, rates)
    assert (rates < 2.4).all(), (errors, rates)


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_nothing_leaks_out_of_a_ball(count):
    points, faces = (torch.from_numpy(part) for part in icosphere(25.0, 3))
    source, target = rays_through(points, count, seed=1)
    thickness = project_mesh(points, faces, source, target)[0]
    check_nothing_leaks(points, faces, source, target, thickness)
    # Between the ball about it and the ball in it.
    rays = RayViews(source, target)
    outer, inner = (Scene([Spheres([[0, 0, 0]], r, material=1.0)]).render(rays).flatten() for r in (25.0, 24.8))
    assert not thickness[outer == 0].any()
    assert (thickness <= outer + 1e-9).all()
    assert (thickness >= inner - 1e-9).all()


def test_a_turned_mesh_is_seen_as_from_a_camera_turned_the_other_way():
    points, faces = capsule(2)[0]
    motion = shifted(7.0, 12.0, -9.0, turn=(0.7, -0.4, 1.1))
    views = cone_views(40, delx=3.0, angles=((0.2, 0.1, 0.0), (1.4, -0.3, 0.2)))
    turned_points = motion(torch.from_numpy(points)[None])[0]
    at_rest = Scene([Mesh((points, faces), name="body")])
    seen = Scene([Mesh((turned_points, faces))]).render(views)
    assert seen.max() > 1
    torch.testing.assert_close(at_rest.render(views.moved(motion.inverse())), seen, atol=1e-9, rtol=0)
    torch.testing.assert_close(at_rest.render(views, poses={"body": motion}), seen, atol=1e-9, rtol=0)
    # With the CT around it, both have to move.
    density = torch.rand(10, 11, 12, dtype=torch.float64) * 0.02
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = -40.0
    tissue = Body(Subject(Volume(torch.zeros(10, 11, 12), affine), density=density), values="density", name="ct")
    both = Scene([tissue, Mesh((points, faces), name="body")])
    together = both.render(views, poses={"body": motion, "ct": motion})
    torch.testing.assert_close(together, both.render(views.moved(motion.inverse())), atol=1e-9, rtol=0)


def test_metal_voxels_converge_to_displaced_tissue():
    """A block of tissue with a plate and a screw in it as solids, and as finer and finer voxels."""
    tissue, side, n = torch.rand(12, 12, 12, dtype=torch.float64) * 0.03, 4.0, 12
    plate, screw = 0.001, 0.06  # hardly more than a hole, so that what is taken away counts
    pose = shifted(2.0, 1.0, -3.0, turn=(0.5, 0.3, -0.2))
    half, head, tip, radius = torch.tensor([9.0, 4.0, 12.0]).double(), (-4.0, -15.0, 0.0), (3.0, 12.0, 4.0), 2.5

    def subject(values, size):
        affine = np.diag([size, size, size, 1.0])
        affine[:3, 3] = -n * side / 2 + size / 2
        return Subject(Volume(torch.zeros(values.shape), affine), density=values)

    corners, faces = cube(1.0)
    metal = [
        Mesh((corners * half.numpy(), faces), material=plate, pose=pose),
        Capsule(head, tip, radius, material=screw, pose=pose),
    ]
    views = cone_views(60, delx=1.2, angles=((0.3, 0.2, 0.1),))
    siddon = Marching("siddon")
    exact = Scene([Body(subject(tissue, side), values="density"), *metal]).render(views, marching=siddon)
    errors = []
    for finer in (1, 2, 4, 8):
        size = side / finer
        values = tissue
        for axis in range(3):
            values = values.repeat_interleave(finer, axis)
        centre = (torch.arange(n * finer, dtype=torch.float64) + 0.5) * size - n * side / 2
        points = pose.inverse()(torch.stack(torch.meshgrid(*[centre] * 3, indexing="ij"), -1).reshape(1, -1, 3))[0]
        start, end = torch.tensor(head).double(), torch.tensor(tip).double()
        along = ((points - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
        in_screw = (points - start - along[:, None] * (end - start)).norm(dim=1) <= radius
        in_plate = (points.abs() <= half).all(1)
        values = torch.where(in_plate.reshape(values.shape), plate, values)
        values = torch.where(in_screw.reshape(values.shape), screw, values)
        painted = Scene([Body(subject(values, size), values="density")]).render(views, marching=siddon)
        errors.append(((painted - exact).abs().mean() / exact.mean()).item())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (rates > 0.85).all(), (errors, rates)  # voxels are either metal or not: order 1
    assert errors[-1] < 0.002, errors
