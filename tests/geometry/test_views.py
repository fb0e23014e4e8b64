"""Views and the grids that they look at: where rays run, and the matrices that say the same."""

import math

import pytest
import torch

from raygrad.data import Volume, VolumeGeometry, load_example_ct
from raygrad.drr import DRR
from raygrad.geometry._detector import Detector
from raygrad.geometry._views import ConeViews, ParallelViews, RayViews
from raygrad.pose import convert, random_rigid_transform

pytestmark = pytest.mark.usefixtures("one_thread")


def cone_views(n_views=5, calibration=None, reverse_x_axis=True, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    pose = random_rigid_transform(n_views, generator=generator).to(dtype)
    reorient = random_rigid_transform(1, generator=generator).matrix[0]
    detector = Detector(1000.0, 6, 9, 1.5, 2.0, 7.0, -4.0, reorient, reverse_x_axis=reverse_x_axis)
    return ConeViews(detector, pose, calibration)


def parallel_views(n_views=4):
    generator = torch.Generator().manual_seed(4)
    axes = random_rigid_transform(n_views, generator=generator).matrix[:, :3, :3].double()
    centre = 50 * torch.randn(n_views, 3, generator=generator, dtype=torch.float64)
    # Neither perpendicular to the rays nor to each other.
    across, down = 1.2 * axes[..., 0] + 0.2 * axes[..., 2], 0.8 * axes[..., 1] + 0.1 * axes[..., 0]
    return ParallelViews(axes[..., 2], centre, across, down, 6, 9, 400.0)


def pixels(views):
    rows, columns = views.image_shape
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([column, row], dim=-1).reshape(1, -1, 2).double()


@pytest.mark.parametrize("reverse_x_axis", [True, False])
@pytest.mark.parametrize("fraction", [1.0, 0.3])
def test_every_point_of_a_ray_is_mapped_to_its_own_pixel(reverse_x_axis, fraction):
    views = cone_views(reverse_x_axis=reverse_x_axis)
    source, target = views.rays()
    points = source + fraction * (target - source)
    projected = torch.nn.functional.pad(points, (0, 1), value=1.0) @ views.world_to_pixel.mT
    torch.testing.assert_close(
        projected[..., :2] / projected[..., 2:], pixels(views).expand(5, -1, -1), atol=1e-9, rtol=0
    )
    depth = projected[..., 2]
    torch.testing.assert_close(depth, torch.full_like(depth, 1000.0 * fraction), atol=1e-9, rtol=0)


def test_calibrations_stand_in_for_the_intrinsics_view_by_view():
    views = cone_views()
    other = Detector(800.0, 6, 9, 1.0, 1.0, 0.0, 3.0, views.detector.reorient, reverse_x_axis=True)
    own, others = views.detector.calibration.matrix.double(), other.calibration.matrix.double()
    mixed = ConeViews(views.detector, views.pose, torch.cat([own, others, own, others, others]))
    plain = ConeViews(other, views.pose)
    for view, like in enumerate([views, plain, views, plain, plain]):
        torch.testing.assert_close(mixed.rays()[1][view], like.rays()[1][view])
        torch.testing.assert_close(mixed.world_to_pixel[view], like.world_to_pixel[view])


def test_the_source_is_where_the_rays_start():
    views = cone_views()
    torch.testing.assert_close(views.source, views.rays()[0][:, 0])


def test_parallel_rays_keep_their_pixel_and_their_direction():
    views = parallel_views()
    source, target = views.rays()
    torch.testing.assert_close(target - source, (400.0 * views.direction[:, None]).expand_as(target))
    for points in (source, target):
        projected = torch.nn.functional.pad(points, (0, 1), value=1.0) @ views.world_to_pixel.mT
        torch.testing.assert_close(projected[..., :2], pixels(views).expand(4, -1, -1), atol=1e-9, rtol=0)
        torch.testing.assert_close(projected[..., 2], torch.ones_like(projected[..., 2]))


@pytest.mark.parametrize("indices", [slice(1, 3), [2, 0], torch.tensor([1])], ids=["slice", "list", "tensor"])
@pytest.mark.parametrize("make", [cone_views, parallel_views, lambda: RayViews(*parallel_views().rays(), (6, 9))])
def test_some_of_the_views_have_their_own_rays(make, indices):
    views = make()
    for some, all_of_them in zip(views[indices].rays(), views.rays(), strict=True):
        assert torch.equal(some, all_of_them[indices])
    assert views[indices].image_shape == views.image_shape


def test_groups_hold_all_views_in_their_order_and_no_more_rays_than_asked_for():
    views = cone_views(n_views=7)
    groups = views.split(rays_at_once=3 * 54 + 10)
    assert [len(group) for group in groups] == [3, 3, 1]
    assert torch.equal(torch.cat([group.rays()[1] for group in groups]), views.rays()[1])
    assert [len(group) for group in views.split(rays_at_once=1)] == [1] * 7


def test_views_of_a_drr_are_the_rays_that_it_renders():
    drr = DRR(load_example_ct(shape=(32, 32, 17)), sdd=1020.0, height=8, delx=30.0)
    pose = convert(
        torch.zeros(1, 3), torch.tensor([[0.0, 850.0, 0.0]]), parameterization="euler_angles", convention="ZXY"
    )
    views = ConeViews.of(drr, pose)
    for own, drawn in zip(views.rays(), drr.detector(pose), strict=True):
        assert torch.equal(own, drawn)


def test_bad_views_are_refused():
    views, parallel = cone_views(), parallel_views()
    with pytest.raises(TypeError):
        ConeViews(views.detector, views.pose.matrix)
    with pytest.raises(ValueError, match=r"Expected calibrations of shape \(5, 4, 4\). Got \(2, 4, 4\)"):
        ConeViews(views.detector, views.pose, torch.eye(4).expand(2, 4, 4))
    sparse = Detector(1000.0, 6, 9, 1.5, 2.0, 0.0, 0.0, torch.eye(4), n_subsample=5)
    with pytest.raises(ValueError, match="all its pixels"):
        ConeViews(sparse, views.pose)
    with pytest.raises((ValueError, TypeError), match="centre"):
        ParallelViews(parallel.direction, parallel.centre[:2], parallel.across, parallel.down, 6, 9, 400.0)
    with pytest.raises(ValueError, match="span a plane"):
        ParallelViews(parallel.direction, parallel.centre, parallel.across, parallel.across, 6, 9, 400.0)
    with pytest.raises(ValueError, match="positive length"):
        ParallelViews(parallel.direction, parallel.centre, parallel.across, parallel.down, 6, 9, 0.0)
    source, target = parallel.rays()
    with pytest.raises((ValueError, TypeError), match="source"):
        RayViews(source[:2], target)
    with pytest.raises(ValueError, match="Expected 5 x 9 rays a view"):
        RayViews(source, target, (5, 9))


def test_a_coarser_grid_fills_the_same_box():
    rotation = convert(torch.tensor([[0.3, -0.2, 0.5]]), torch.tensor([[5.0, 6.0, 7.0]]), parameterization="axis_angle")
    affine = rotation.matrix[0].double() @ torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    fine = VolumeGeometry((9, 8, 7), affine)
    coarse = fine.coarser(2)
    assert coarse.shape == (5, 4, 4)
    torch.testing.assert_close(coarse.corners(), fine.corners())
    assert fine.spacing == pytest.approx((1.0, 2.0, 3.0))


def test_a_centred_grid_has_its_middle_there():
    geometry = VolumeGeometry.centred((4, 5, 6), (1.0, 2.0, 3.0), centre=(10.0, 20.0, 30.0))
    assert geometry.centre.tolist() == pytest.approx([10.0, 20.0, 30.0])
    assert (geometry.corners().amax(0) - geometry.corners().amin(0)).tolist() == pytest.approx([4.0, 10.0, 18.0])
    assert geometry.zeros().shape == (4, 5, 6)


def test_grids_are_taken_from_whatever_has_one():
    volume = Volume(torch.zeros(3, 4, 5), torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0])))
    geometry = VolumeGeometry.of(volume)
    assert geometry.shape == (3, 4, 5)
    assert VolumeGeometry.of(geometry) is geometry
    subject = load_example_ct(shape=(32, 32, 17))
    drr = DRR(subject, sdd=1020.0, height=8, delx=30.0)
    for source in (subject, drr):
        assert torch.equal(VolumeGeometry.of(source).voxel_to_world, subject.volume.voxel_to_world)
    assert geometry.to_volume(torch.ones(3, 4, 5)).has_grid_of(volume)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VolumeGeometry((3, 4), torch.eye(4)), "three whole numbers"),
        (lambda: VolumeGeometry((3, 4, 0), torch.eye(4)), "three whole numbers"),
        (lambda: VolumeGeometry((3, 4, 5), torch.zeros(4, 4)), "affine"),
        (lambda: VolumeGeometry.centred((3, 4, 5), -1.0), "positive spacings"),
        (lambda: VolumeGeometry.centred((3, 4, 5), 1.0).coarser(0), "positive factor"),
        (lambda: VolumeGeometry.centred((3, 4, 5), 1.0).to_volume(torch.zeros(5, 4, 3)), "of shape"),
        (lambda: VolumeGeometry.centred((3, 4, 5), math.nan), "positive spacings"),
    ],
)
def test_bad_grids_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_grid_is_not_taken_from_a_bare_tensor():
    with pytest.raises(TypeError, match="Expected a VolumeGeometry, Volume, Subject or DRR"):
        VolumeGeometry.of(torch.zeros(3, 4, 5))
