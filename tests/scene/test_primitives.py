"""Capsules, cylinders, cones and balls: how many mm of a ray are in them, exactly."""

import math

import pytest
import torch
from scene_cases import cone_views, random_rays, ray
from torch.autograd import gradcheck

from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.scene import Capsule, Cone, Cylinder, Scene, Spheres

EXACT = {"atol": 1e-9, "rtol": 0}


def thickness(solid_of, source, target, **changes):
    scene = Scene([solid_of(**changes)], displace=False)
    return scene.render(ray(source, target)).item()


def capsule(**changes):
    return Capsule((0, 0, -10), (0, 0, 10), 3.0, material=1.0, **changes)


def cylinder(**changes):
    return Cylinder((0, 0, -10), (0, 0, 10), 3.0, material=1.0, **changes)


def cone(**changes):
    return Cone((0, 0, -10), (0, 0, 10), 1.0, 5.0, material=1.0, **changes)


def spheres(**changes):
    return Spheres([[0, 0, 0], [0, 0, 10]], [3.0, 2.0], material=1.0, **changes)


FAR = 1000.0
R8 = math.sqrt(8)


@pytest.mark.parametrize(
    ("solid", "source", "target", "expected"),
    [
        (capsule, (0, 0, -FAR), (0, 0, FAR), 26.0),
        (capsule, (FAR, 0, 0), (-FAR, 0, 0), 6.0),
        (capsule, (1, FAR, 0), (1, -FAR, 0), 2 * R8),
        (capsule, (1, FAR, 12), (1, -FAR, 12), 4.0),  # through a round end: radius^2 = 9 - 4, at 1 mm from its middle
        (capsule, (0, 0, 0), (0, 0, FAR), 13.0),
        (capsule, (0, 0, -2), (0, 0, 3), 5.0),
        (capsule, (4, FAR, 0), (4, -FAR, 0), None),
        (cylinder, (0, 0, -FAR), (0, 0, FAR), 20.0),
        (cylinder, (2, 1, -FAR), (2, 1, FAR), 20.0),
        (cylinder, (FAR, 1, 5), (-FAR, 1, 5), 2 * R8),
        (cylinder, (0, 0, 12), (0, 0, -FAR), 20.0),
        (cylinder, (-20, 0, -20), (20, 0, 20), 6 * math.sqrt(2)),
        (cylinder, (-1, 0, 0), (1, 0, 0), 2.0),
        (cone, (0, 0, -FAR), (0, 0, FAR), 20.0),
        (cone, (FAR, 0, 5), (-FAR, 0, 5), 8.0),  # the radius there is 4
        (cone, (FAR, 2, 5), (-FAR, 2, 5), 2 * math.sqrt(12)),
        (cone, (3, 0, -FAR), (3, 0, FAR), 10.0),  # the radius is 3 at z = 0
        (cone, (0, 0, 0), (FAR, 0, 0), 3.0),
        (cone, (1, 0, 5), (2, 0, 5), 1.0),
        (spheres, (0, 0, -FAR), (0, 0, FAR), 10.0),
        (spheres, (1, FAR, 0), (1, -FAR, 0), 2 * R8),
        (spheres, (0, 0, 0), (0, 0, 10), 5.0),
        (spheres, (-0.5, 0, 0), (0.5, 0, 0), 1.0),
    ],
)
def test_thickness_is_exact(solid, source, target, expected):
    if expected is None:
        with pytest.warns(UserWarning, match="No ray meets"):
            assert thickness(solid, source, target) == 0.0
    else:
        assert thickness(solid, source, target) == pytest.approx(expected, abs=1e-9)


def inside(kind, points):
    """Whether points (..., 3) are in the shapes above, by what these are."""
    x, y, z = points.unbind(-1)
    across = torch.hypot(x, y)
    if kind == "capsule":
        return torch.linalg.vector_norm(torch.stack([x, y, z - z.clamp(-10, 10)]), dim=0) < 3
    if kind == "cylinder":
        return (across < 3) & (z.abs() < 10)
    if kind == "cone":
        return (across < 3 + z / 5) & (z.abs() < 10)
    away = torch.stack([x, y, z - 10])
    return (torch.linalg.vector_norm(points, dim=-1) < 3) | (torch.linalg.vector_norm(away, dim=0) < 2)


@pytest.mark.parametrize("solid", [capsule, cylinder, cone, spheres])
def test_thickness_is_that_of_points_counted_along_rays(solid):
    rays = random_rays(300)
    steps = 2000
    at = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    points = rays.source[0][:, None] + at[:, None] * (rays.target - rays.source)[0][:, None]
    length = torch.linalg.vector_norm((rays.target - rays.source)[0], dim=-1)
    counted = inside(solid.__name__, points).double().mean(1) * length
    rendered = Scene([solid()]).render(rays)[0, 0, 0]
    assert (counted > 0).sum() > 20
    assert ((rendered - counted).abs() <= 2.01 * length / steps).all()


def test_balls_that_overlap_are_one():
    two = Spheres([[0, 0, 0], [0, 0, 2]], 3.0, material=1.0)
    assert Scene([two]).render(ray((0, 0, -50), (0, 0, 50))).item() == pytest.approx(8.0, abs=1e-9)


def test_a_cone_of_one_radius_is_a_cylinder_and_one_with_a_tip_ends_there():
    rays = random_rays(300)
    like = Cone((0, 0, -10), (0, 0, 10), 3.0, 3.0, material=1.0)
    torch.testing.assert_close(Scene([like]).render(rays), Scene([cylinder()]).render(rays), **EXACT)
    tip = Cone((0, 0, 0), (0, 0, 10), 0.0, 5.0, material=1.0)
    mirrored = ray((-FAR, 0, -5), (FAR, 0, -5))
    with pytest.warns(UserWarning, match="No ray meets"):
        assert Scene([tip]).render(mirrored).item() == 0.0
    assert Scene([tip]).render(ray((-FAR, 0, 5), (FAR, 0, 5))).item() == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (Capsule, [(0.3, -0.2, -7.0), (0.5, 1.0, 8.0), 3.0]),
        (Cylinder, [(0.3, -0.2, -7.0), (0.5, 1.0, 8.0), 3.0]),
        (Cone, [(0.3, -0.2, -7.0), (0.5, 1.0, 8.0), 2.0, 4.0]),
        (Cone, [(0.3, -0.2, -7.0), (0.5, 1.0, 8.0), 5.0, 0.5]),
        (Spheres, [((0.2, 0.1, -3.0), (0.4, -0.5, 1.5)), (3.0, 2.5)]),
    ],
)
def test_every_number_of_a_solid_has_its_derivative(make, parameters):
    parameters = [torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in parameters]
    attenuation = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    rays = random_rays(20, reach=5.0, seed=3)
    ends = [end.clone().requires_grad_() for end in rays.parameters()]

    def image(attenuation, source, target, *parameters):
        return Scene([make(*parameters, material=attenuation)]).render(type(rays)(source, target))

    assert (image(attenuation, *ends, *parameters) > 0).sum() > 4
    assert gradcheck(image, (attenuation, *ends, *parameters), eps=1e-6, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("solid", [capsule, cylinder, cone, spheres])
def test_twists_that_no_image_shows_leave_the_image_as_it_is(solid):
    views = cone_views(24, delx=2.0, angles=((0.3, 0.4, 0.1),))
    scene = Scene([solid()])
    twists = solid().unseen
    assert len(twists) == 1
    moved = RigidTransform(se3_exp_map(0.7 * twists))
    image = scene.render(views)
    name = scene.names[0]
    torch.testing.assert_close(scene.render(views, poses={name: moved}), image, atol=1e-9, rtol=0)
    other = RigidTransform(se3_exp_map(torch.tensor([[1.0, 2.0, 1.0, 0.1, 0.2, 0.1]], dtype=torch.float64)))
    assert (scene.render(views, poses={name: other}) - image).abs().max() > 0.1


def test_what_of_balls_cannot_be_seen():
    assert len(Spheres([[1, 2, 3]], 1.0).unseen) == 3
    assert len(Spheres([[1, 2, 3], [2, 2, 3], [5, 2, 3]], 1.0).unseen) == 1
    assert len(Spheres([[1, 2, 3], [2, 2, 3], [5, 2, 4]], 1.0).unseen) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Capsule((0, 0, 0), (0, 0, 0), 1.0), "two ends"),
        (lambda: Capsule((0, 0, 0), (0, 0, 1), 0.0), "positive"),
        (lambda: Cylinder((0, 0, 0), (0, 0, math.nan), 1.0), "finite"),
        (lambda: Cylinder((0, 0), (0, 1), 1.0), "three numbers"),
        (lambda: Cone((0, 0, 0), (0, 0, 1), 0.0, 0.0), "one end at least"),
        (lambda: Cone((0, 0, 0), (0, 0, 1), -1.0, 2.0), "at least 0"),
        (lambda: Spheres([], 1.0), "at least one ball"),
        (lambda: Spheres([[0, 0, 0]], [1.0, 2.0]), "one or 1"),
        (lambda: Spheres([[0, 0, 0]], -1.0), "positive"),
        (lambda: Capsule((0, 0, 0), (0, 0, 1), 1.0, material="unobtainium"), "titanium"),
    ],
)
def test_what_makes_no_solid_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
