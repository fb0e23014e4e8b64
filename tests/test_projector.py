"""The projector as a linear operator: laws, gradients, groups of views."""

import pytest
import torch

from raygrad import kernels
from raygrad.data import VolumeGeometry
from raygrad.geometry._detector import Detector
from raygrad.geometry._views import ConeViews, RayViews
from raygrad.geometry.trajectories import circular
from raygrad.phantoms._shapes import Gaussian
from raygrad.pose import RigidTransform, convert
from raygrad.projector import Projector

pytestmark = pytest.mark.usefixtures("one_thread")
METHODS = ("siddon", "joseph", "trilinear")


def sweep(n_views=6, rows=10, columns=12, dtype=torch.float64, pose_grad=False):
    turns = 0.37 + torch.arange(n_views, dtype=dtype) * 1.1  # no ray runs along a plane of voxel centres
    angles = torch.stack([turns, 0.1 * turns, torch.zeros_like(turns)], dim=-1)
    pose = convert(
        angles,
        torch.tensor([[0.0, 300.0, 0.0]], dtype=dtype).expand(n_views, 3),
        parameterization="euler_angles",
        convention="ZXY",
    ).matrix
    reorient = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    detector = Detector(450.0, rows, columns, 5.0, 5.0, 1.0, 2.0, reorient, reverse_x_axis=True)
    return ConeViews(detector, RigidTransform(pose.requires_grad_(pose_grad)))


def projector(method="joseph", dtype=torch.float64, **settings):
    return Projector(VolumeGeometry.centred((14, 12, 10), 3.0), sweep(dtype=dtype), method, **settings)


def random_pair(operator, dtype=torch.float64):
    volume = operator.volume_geometry.zeros(dtype).copy_(torch.rand(operator.domain_shape))
    return volume, torch.rand(operator.range_shape, dtype=dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "mismatch"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("rays_at_once", [1, 300, 1 << 22], ids=["single views", "groups", "all at once"])
def test_the_adjoint_is_exact(method, dtype, mismatch, rays_at_once):
    operator = projector(method, dtype, rays_at_once=rays_at_once)
    x, y = random_pair(operator, dtype)
    image_side = (operator(x).double() * y).sum()
    volume_side = (x.double() * operator.T(y)).sum()
    assert image_side > 1
    assert abs(image_side - volume_side) <= mismatch * image_side


@pytest.mark.parametrize("rays_at_once", [1, 1 << 22], ids=["single views", "all at once"])
@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("method", METHODS)
def test_the_adjoint_writes_where_it_is_told(method, backend, rays_at_once):
    geometry = VolumeGeometry.centred((9, 10, 11), (1.0, 1.2, 2.0))
    views = circular(3, sdd=200.0, sid=100.0, height=5, delx=4.0)
    projector = Projector(geometry, views, method, n_points=20, backend=backend, rays_at_once=rays_at_once)
    images = torch.rand(projector.range_shape)
    for out in (torch.full(projector.domain_shape, 7.0), torch.full((11, 10, 9), 7.0).permute(2, 1, 0)):
        assert projector.T(images.requires_grad_(), out=out) is out
        torch.testing.assert_close(out, projector.T(images).detach())
        assert not out.requires_grad
    with pytest.raises(ValueError, match=r"output of shape \(9, 10, 11\) and torch.float32"):
        projector.T(images, out=torch.zeros(9, 10, 12))
    with pytest.raises(ValueError, match=r"Got \(9, 10, 11\) and torch.float64"):
        projector.T(images, out=torch.zeros(9, 10, 11, dtype=torch.float64))


@pytest.mark.parametrize("method", METHODS)
def test_groups_of_views_give_the_images_of_the_kernel(method):
    operator = projector(method, rays_at_once=250)
    x, y = random_pair(operator)
    source, target = operator.views.rays()
    geometry = operator.volume_geometry
    image = kernels.project(x, source, target, geometry.world_to_voxel, renderer=method)
    torch.testing.assert_close(operator(x).flatten(1), image[:, 0])
    volume = kernels.backproject(y.flatten(1)[:, None], x, source, target, geometry.world_to_voxel, renderer=method)
    torch.testing.assert_close(operator.T(y), volume)


def test_it_is_a_linear_operator_with_a_domain_and_a_range():
    operator = projector()
    x, y = random_pair(operator)
    assert operator.domain_shape == operator.T.range_shape == (14, 12, 10)
    assert operator.range_shape == operator.T.domain_shape == (6, 10, 12)
    assert operator.T.T is operator
    torch.testing.assert_close(operator(3 * x + x.flip(0)), 3 * operator(x) + operator(x.flip(0)))
    torch.testing.assert_close(operator.T(2 * y - y.flip(1)), 2 * operator.T(y) - operator.T(y.flip(1)))


def test_it_integrates_a_smooth_phantom():
    phantom = Gaussian((1.0, -2.0, 3.0), (4.0, 5.0, 6.0))
    operator = Projector(VolumeGeometry.centred((48, 48, 48), 1.0), sweep(), "joseph")
    volume = phantom.voxelize(operator.domain_shape, operator.volume_geometry.voxel_to_world, dtype=torch.float64)
    exact = phantom.line_integrals(*operator.views.rays()).reshape(operator.range_shape)
    assert (operator(volume) - exact).norm() < 0.01 * exact.norm()


def test_its_norm_is_the_largest_singular_value():
    operator = Projector(VolumeGeometry.centred((5, 4, 3), 8.0), sweep(n_views=4, rows=6, columns=7))
    columns = [operator(unit.reshape(5, 4, 3)).flatten() for unit in torch.eye(60, dtype=torch.float64)]
    exact = float(torch.linalg.svdvals(torch.stack(columns))[0])
    assert operator.norm(iterations=200) == pytest.approx(exact, rel=1e-4)
    assert operator.T.norm() == pytest.approx(exact, rel=1e-2)


def test_gradients_of_both_directions_are_the_other_one():
    operator = projector(rays_at_once=250)
    x, y = random_pair(operator)
    x.requires_grad_(), y.requires_grad_()
    (operator(x) * y.detach()).sum().backward()
    torch.testing.assert_close(x.grad, operator.T(y).detach())
    (operator.T(y) * x.detach()).sum().backward()
    torch.testing.assert_close(y.grad, operator(x).detach())
    small = Projector(VolumeGeometry.centred((4, 3, 3), 10.0), sweep(n_views=2, rows=3, columns=4), rays_at_once=1)
    assert torch.autograd.gradcheck(small, torch.rand(4, 3, 3, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradgradcheck(small, torch.rand(4, 3, 3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("rays_at_once", [1, 1 << 22], ids=["single views", "all at once"])
@pytest.mark.parametrize("unknown", ["poses", "sdd", "rays"])
def test_gradients_flow_to_what_makes_the_rays(unknown, rays_at_once):
    geometry = VolumeGeometry.centred((6, 5, 4), 8.0)
    generator = torch.Generator().manual_seed(1)
    volume = torch.rand(geometry.shape, dtype=torch.float64, generator=generator)
    views = sweep(n_views=3, rows=4, columns=5)
    source, target = views.rays()

    def render(value):
        if unknown == "poses":
            return Projector(geometry, ConeViews(views.detector, RigidTransform(value)), rays_at_once=rays_at_once)(
                volume
            )
        if unknown == "rays":
            return Projector(geometry, RayViews(source, value, (4, 5)), rays_at_once=rays_at_once)(volume)
        own = views.detector
        detector = Detector(value, 4, 5, 5.0, 5.0, 1.0, 2.0, own.reorient, reverse_x_axis=True)
        return Projector(geometry, ConeViews(detector, views.pose), rays_at_once=rays_at_once)(volume)

    start = {"poses": views.pose.matrix, "rays": target, "sdd": torch.tensor(450.0, dtype=torch.float64)}[unknown]
    assert torch.autograd.gradcheck(render, start.detach().clone().requires_grad_(), atol=1e-4)


def test_gradients_reach_volume_and_poses_together():
    views = sweep(pose_grad=True)
    geometry = VolumeGeometry.centred((14, 12, 10), 3.0)
    volume = torch.rand(geometry.shape, dtype=torch.float64).requires_grad_()
    gradients = []
    for rays_at_once in (200, 1 << 22):
        image = Projector(geometry, views, rays_at_once=rays_at_once)(volume)
        gradients.append(torch.autograd.grad((image**2).sum(), [volume, views.pose.matrix]))
    for streamed, at_once in zip(*gradients, strict=True):
        assert streamed.abs().max() > 0
        torch.testing.assert_close(streamed, at_once)


def test_some_views_make_a_projector_of_their_own():
    operator = projector()
    x, _ = random_pair(operator)
    torch.testing.assert_close(operator[[4, 1]](x), operator(x)[[4, 1]])
    assert operator[2:].range_shape == (4, 10, 12)


@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_subsets_share_the_views_among_them(count):
    operator = projector()
    x, _ = random_pair(operator)
    images = operator(x)
    subsets = operator.subsets(count)
    assert len(subsets) == count
    assert sorted(torch.cat([positions for _, positions in subsets]).tolist()) == list(range(6))
    for subset, positions in subsets:
        torch.testing.assert_close(subset(x), images[positions])


def test_neighbouring_subsets_are_far_apart():
    firsts = [
        int(positions[0]) for _, positions in Projector(VolumeGeometry.centred((3, 3, 3), 1.0), sweep(8)).subsets(8)
    ]
    assert firsts == [0, 4, 2, 6, 1, 5, 3, 7]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: projector("nearest"), ValueError, "Expected renderer to be one of siddon, trilinear, joseph"),
        (lambda: projector(rays_at_once=0), ValueError, "rays_at_once of at least 1"),
        (lambda: Projector(VolumeGeometry.centred((3, 3, 3), 1.0), sweep().rays()), TypeError, "views"),
        (lambda: projector()(torch.zeros(3, 3, 3)), ValueError, r"of shape \(14, 12, 10\). Got \(3, 3, 3\)"),
        (lambda: projector().T(torch.zeros(6, 12, 10)), ValueError, r"of shape \(6, 10, 12\). Got \(6, 12, 10\)"),
        (lambda: projector()(torch.full((14, 12, 10), torch.nan)), ValueError, "finite"),
        (lambda: projector().subsets(7), ValueError, "Expected 1 to 6 subsets"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.filterwarnings("ignore:`torch.jit.script(_method)?` is deprecated:FutureWarning")  # torch's own call
@pytest.mark.parametrize("rays_at_once", [300, 1 << 22], ids=["groups", "all at once"])
def test_forward_mode_is_the_operator_itself(rays_at_once):
    operator = projector(rays_at_once=rays_at_once)
    volume, images = random_pair(operator)
    change = torch.rand_like(volume)
    _, along = torch.func.jvp(operator, (volume,), (change,))
    torch.testing.assert_close(along, operator(change))
    _, back = torch.func.jvp(operator.T, (images,), (operator(change),))
    torch.testing.assert_close(back, operator.T(operator(change)))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(volume, change)
        tangent = torch.autograd.forward_ad.unpack_dual(operator(dual)).tangent
    torch.testing.assert_close(tangent, operator(change))
    (gradient,) = torch.func.vjp(operator, volume)[1](images)
    torch.testing.assert_close(gradient, operator.T(images))
