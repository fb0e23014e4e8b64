"""Bodies that overlap: who takes the place of whom, exactly, and with exact derivatives."""

import math

import numpy as np
import pytest
import torch
from scene_cases import cone_views, cube, icosphere, random_rays, ray, shifted, water
from torch.autograd import gradcheck

from raygrad.geometry import RayViews
from raygrad.kernels import available_backends
from raygrad.march import Marching
from raygrad.phantoms import Box, Ellipsoid
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.scene import Body, Capsule, Cone, Cylinder, Hinge, Mesh, Scene, Spheres
from raygrad.scene import _prepared as prepared_module

WATER, METAL = 0.02, 0.3
BACKENDS = [name for name in ("cpu", "reference") if available_backends()[name][0]]
every_backend = pytest.mark.parametrize("backend", BACKENDS)


def block(**changes):
    """40 mm of water about the origin."""
    return Body(water(value=WATER), values="density", **changes)


def metal_cube(half=6.0, **changes):
    return Mesh(cube(half), material=METAL, unit="mm", **changes)


def box(half, centre=(0.0, 0.0, 0.0)):
    return Box(list(centre), [half] * 3)


@every_backend
@pytest.mark.parametrize("renderer", ["siddon", "joseph"])
def test_a_cube_of_titanium_in_a_block_of_water(backend, renderer):
    views = cone_views(20, delx=3.0, angles=((0.0, 0.0, 0.0), (0.7, 0.2, 0.1)))
    marching = Marching(renderer, backend=backend)
    alone = Scene([block()]).render(views, marching=marching)
    image = Scene([block(), metal_cube()]).render(views, marching=marching)
    source, target = views.rays()
    inner = box(6.0).line_integrals(source, target).reshape(2, 1, 20, 20)
    if renderer == "siddon":
        torch.testing.assert_close(alone.flatten(), WATER * box(20.0).line_integrals(source, target).flatten())
    assert (inner > 0).sum() > 20
    torch.testing.assert_close(image, alone + (METAL - WATER) * inner, atol=1e-9, rtol=0)


@every_backend
def test_a_cube_half_outside_of_the_ct_takes_only_what_is_there(backend):
    views = cone_views(20, delx=3.0, angles=((0.4, 0.1, 0.0),))
    pose = shifted(x=20.0)
    image = Scene([block(), metal_cube(pose=pose)]).render(views, marching=Marching("siddon", backend=backend))
    source, target = views.rays()
    outer, cut = box(20.0), Box([17.0, 0.0, 0.0], [3.0, 6.0, 6.0])
    whole = box(6.0, (20.0, 0.0, 0.0)).line_integrals(source, target)
    expected = WATER * (outer.line_integrals(source, target) - cut.line_integrals(source, target)) + METAL * whole
    torch.testing.assert_close(image.flatten(), expected.flatten(), atol=1e-9, rtol=0)


def test_the_later_of_two_balls_displaces_the_first():
    first, second = Spheres([[0, 0, 0]], 5.0, material=1.0), Spheres([[0, 0, 6]], 4.0, material=10.0)
    along = ray((0, 0, -50), (0, 0, 50))
    assert Scene([first, second]).render(along, channels=True).flatten().tolist() == pytest.approx([7.0, 80.0])
    assert Scene([second, first]).render(along, channels=True).flatten().tolist() == pytest.approx([50.0, 10.0])
    added = Scene([first, second], displace=False).render(along, channels=True)
    assert added.flatten().tolist() == pytest.approx([10.0, 80.0])


@pytest.mark.parametrize("x", [3.0, 6.9, 7.1, 30.0])
def test_solids_that_cannot_meet_need_no_order(x, monkeypatch):
    views = cone_views(30, delx=4.0, angles=((0.3, 0.4, 0.1), (0.0, 0.0, 0.0)))
    rays = RayViews(*views.rays(), views.image_shape)  # no cameras: their crossings are always put in order
    scene = Scene([metal_cube(name="cube", pose=shifted(x=-40.0)), Mesh(icosphere(4.0), material=0.5), marker()])
    poses = {"spheres": shifted(x=x)}
    ordered = []
    counted = prepared_module.owned_pieces
    monkeypatch.setattr(prepared_module, "owned_pieces", lambda found: (ordered.append(len(found)), counted(found))[1])
    image = scene.render(views, poses=poses, channels=True)
    assert ordered == ([2] if x < 7 else [1])  # balls alone, not the mesh
    torch.testing.assert_close(image, scene.render(rays, poses=poses, channels=True), atol=1e-9, rtol=0)
    assert ordered[-1] == 3


def marker():
    return Spheres([[0, 0, 0]], 3.0, material=1.0)


def solids():
    """Seven bodies of all kinds that overlap, one inside another."""
    return [
        metal_cube(5.0, name="cube"),
        Capsule((-12, 0, 1), (12, 1, 0), 2.0, material=0.7),
        Cylinder((0, -10, 0), (1, 10, 0), 3.0, material=0.2),
        Cone((0, 0, -10), (0, 1, 10), 4.0, 1.0, material=0.9),
        Spheres([[3, 3, 0], [-3, 0, 2], [0, 0, 9]], [3.0, 2.0, 1.5], material=0.4),
        Mesh(icosphere(2.5, 1), material=0.1, unit="mm", pose=shifted(3, 2, 1)),
    ]


def test_every_point_belongs_to_the_last_solid_that_it_is_in():
    rays = random_rays(150, reach=7.0)
    bodies = solids()
    image = Scene(bodies).render(rays, channels=True)[0, :, 0]
    steps = 400
    step = (rays.target - rays.source)[0]
    at = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    # Whether a point is in a body is asked of the body alone: whether a short ray about it is.
    points = (rays.source[0][:, None] + at[:, None] * step[:, None]).reshape(1, -1, 3)
    reach = step.repeat_interleave(steps, 0)[None] * 1e-7
    short = RayViews(points - reach, points + reach)
    inside = torch.stack([Scene([body]).render(short)[0, 0, 0] > 0 for body in bodies]).reshape(len(bodies), -1, steps)
    owner = torch.where(inside, torch.arange(len(bodies))[:, None, None], -1).amax(0)
    length = torch.linalg.vector_norm(step, dim=-1)
    for place, body in enumerate(bodies):
        counted = (owner == place).double().mean(-1) * length
        assert ((image[place] / body.material - counted).abs() <= 6 * length / steps).all(), body.kind
        assert (counted > 0).sum() > 5


@every_backend
def test_channels_add_up_to_the_image(backend):
    views = cone_views(12, angles=((0.3, 0.4, 0.1),), delx=3.0)
    scene = Scene([block(), *solids()])
    marching = Marching(backend=backend)
    channels = scene.render(views, channels=True, marching=marching)
    assert channels.shape == (1, 7, 12, 12)
    torch.testing.assert_close(scene.render(views, marching=marching), channels.sum(1, keepdim=True))
    assert all(channel.abs().max() > 0 for channel in channels[0])


def uneven_block(generator_seed=0):
    """A block of water whose voxels differ, and differ from 0."""
    generator = torch.Generator().manual_seed(generator_seed)
    subject = water(size=(8, 9, 7), spacing=4.0)
    density = 0.02 + 0.01 * torch.rand(8, 9, 7, dtype=torch.float64, generator=generator)
    return type(subject)(subject.volume, density=density)


@every_backend
@pytest.mark.parametrize("renderer", ["siddon", "joseph"])
@pytest.mark.parametrize("displace", [True, False])
def test_derivatives_by_each_bodys_rays_are_differences(backend, renderer, displace):
    bodies = [Body(uneven_block(), values="density"), *solids()[:4]]
    prepared = Scene(bodies, displace=displace).prepared
    rays = random_rays(60, reach=10.0, seed=5)
    marching = Marching(renderer, backend=backend)
    image, derivatives = prepared.march_with_jacobian([rays] * len(bodies), marching)
    torch.testing.assert_close(image, prepared.march([rays] * len(bodies), marching))
    generator = torch.Generator().manual_seed(2)
    for place, body in enumerate(bodies):
        direction = torch.randn(2, 1, 60, 3, dtype=torch.float64, generator=generator)
        ends = []
        for sign in (1, -1):
            moved = RayViews(
                *(end + sign * 1e-6 * along for end, along in zip(rays.parameters(), direction, strict=True))
            )
            seen = [moved if other == place else rays for other in range(len(bodies))]
            ends.append(prepared.march(seen, marching))
        expected = (ends[0] - ends[1]) / 2e-6
        by_ends = derivatives[place].by_ends
        along = (by_ends[..., :3] * direction[0][:, None] + by_ends[..., 3:] * direction[1][:, None]).sum(-1)
        assert along.abs().max() > 0.01, body.kind
        torch.testing.assert_close(along, expected, atol=2e-5, rtol=2e-4)


def test_derivatives_by_motions_are_those_of_autograd():
    views = cone_views(10, angles=((0.3, 0.4, 0.1),), delx=4.0)
    scene = Scene([Body(uneven_block(), values="density"), *solids()])
    _, derivatives = scene.render_with_jacobian(views)
    twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 1, 10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for name in ("ct", "cube", "mesh"):
        rest = scene.poses()[name]
        # Rays that move against a body are the body's motion in its own frame.
        pose = RigidTransform(rest.matrix @ se3_exp_map(-twist))
        image = scene.render(views, poses={name: pose})
        (expected,) = torch.autograd.grad((image * weights).sum(), twist)
        by_motion = derivatives[name].by_motion(torch.zeros(3, dtype=torch.float64))
        torch.testing.assert_close((by_motion * weights.reshape(1, 1, -1)).sum(-1), expected)


@pytest.mark.parametrize("displace", [True, False])
def test_poses_joints_densities_and_attenuation_have_derivatives(displace):
    rays = random_rays(8, reach=5.0, seed=4)
    base = uneven_block()
    density = base.density.data[0].clone().requires_grad_()
    attenuation = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    turn = torch.tensor([0.2], dtype=torch.float64, requires_grad=True)
    twist = torch.tensor([[0.5, 1.0, -0.5, 0.1, 0.2, 0.0]], dtype=torch.float64, requires_grad=True)

    def image(density, attenuation, turn, twist):
        scene = Scene(
            [
                Body(type(base)(base.volume, density=density), values="density"),
                metal_cube(5.0, name="cube"),
                Capsule(
                    (-12, 0, 1), (12, 1, 0), 2.0, material=attenuation, parent="cube", joint=Hinge((1, 0, 0), (0, 1, 1))
                ),
            ],
            displace=displace,
        )
        poses = {"cube": RigidTransform(se3_exp_map(twist))}
        return scene.render(rays, poses=poses, joints={"capsule": turn}, marching=Marching(backend="reference"))

    assert gradcheck(image, (density, attenuation, turn, twist), eps=1e-6, atol=1e-5, fast_mode=True)


def test_intrinsics_have_derivatives():
    lengths = [torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in (1020.0, 4.0, 0.7, -0.4)]
    scene = Scene([block(), *solids()])

    def image(sdd, delx, x0, y0):
        return scene.render(cone_views(5, delx=delx, dely=delx, sdd=sdd, x0=x0, y0=y0, angles=((0.3, 0.4, 0.1),)))

    assert gradcheck(image, lengths, eps=1e-5, atol=1e-5, fast_mode=True)


def test_single_precision_is_close_to_double():
    views = cone_views(24, delx=2.0, angles=((0.3, 0.4, 0.1),))
    exact = Scene([block(), *solids()]).render(views)
    single = water()
    coarse = Body(type(single)(single.volume, density=torch.full((20, 20, 20), WATER)), values="density")
    image = Scene([coarse, *solids()]).render(cone_views(24, delx=2.0, angles=((0.3, 0.4, 0.1),), dtype=torch.float32))
    assert image.dtype == torch.float32
    torch.testing.assert_close(image.double(), exact, atol=2e-3, rtol=0)
    assert (image - exact).abs().mean() < 1e-5


def test_faces_that_lie_on_each_other_and_bodies_that_are_one():
    along_x = ray((-100, 0.1, 0.3), (100, 0.1, 0.3))
    beside = metal_cube(pose=shifted(x=12.0), name="beside")
    assert Scene([metal_cube(), beside]).render(along_x).item() == pytest.approx(24 * METAL)
    twice = Scene([metal_cube(), Mesh(cube(6.0), material=1.0, unit="mm")]).render(along_x, channels=True)
    assert twice.flatten().tolist() == pytest.approx([0.0, 12.0])


@pytest.mark.parametrize("displace", [True, False])
def test_rays_without_length_meet_nothing_and_have_no_derivatives(displace):
    scene = Scene([block(), *solids()], displace=displace)
    still = ray((0.5, 0.3, 0.2), (0.5, 0.3, 0.2))
    with pytest.warns(UserWarning, match="No ray meets"):
        image, derivatives = scene.render_with_jacobian(still)
    assert image.item() == 0
    assert all(torch.isfinite(one.by_ends).all() for one in derivatives.values())


def test_rays_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="Expected finite rays"):
        Scene([marker()]).render(ray((0, 0, math.nan), (0, 0, 1)))


def test_views_that_are_marched_one_after_another_are_the_same(monkeypatch):
    views = cone_views(10, delx=4.0, angles=((0.3, 0.4, 0.1), (0.0, 0.0, 0.0), (1.0, 0.0, 0.2)))
    scene = Scene([block(), *solids()])
    moved = RigidTransform(torch.cat([shifted(x=float(x)).matrix for x in range(3)]))
    image, derivatives = scene.render_with_jacobian(views, poses={"cube": moved})
    monkeypatch.setattr(prepared_module, "RAYS_AT_ONCE", 100)
    again, same = scene.render_with_jacobian(views, poses={"cube": moved})
    torch.testing.assert_close(again, image)
    for name, one in derivatives.items():
        torch.testing.assert_close(same[name].by_ends, one.by_ends)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_derivatives_are_there_where_autograd_is_switched_off(without):
    views = cone_views(10, delx=4.0, angles=((0.3, 0.4, 0.1),))
    scene = Scene([block(), *solids()])
    image, derivatives = scene.render_with_jacobian(views)
    with without():
        again, same = scene.render_with_jacobian(views)
    assert torch.equal(again, image)
    assert all(torch.equal(same[name].by_ends, one.by_ends) for name, one in derivatives.items())


def test_maxima_are_refused():
    with pytest.raises(ValueError, match="Expected sums along rays"):
        Scene([block()]).render(cone_views(4), marching=Marching(reducefn="max"))


def test_the_ellipsoids_shadow_is_the_balls():
    """A closed form of another room."""
    views = cone_views(20, delx=3.0)
    source, target = views.rays()
    ball = Ellipsoid([3.0, 2.0, -1.0], [7.0, 7.0, 7.0], None, 0.5)
    image = Scene([Spheres([[3.0, 2.0, -1.0]], 7.0, material=0.5)]).render(views)
    torch.testing.assert_close(image.flatten(), ball.line_integrals(source, target).flatten())
    assert np.isclose(image.max().item(), 7.0, atol=0.1)
