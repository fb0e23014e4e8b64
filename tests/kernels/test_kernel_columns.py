"""Images whose columns stand along the contiguous axis have a march of their own, which gives what the others give."""

import math

import pytest
import torch

from raygrad import kernels
from raygrad.geometry._views import ConeViews, RayViews
from raygrad.geometry.trajectories import circular, helical, parallel

SHAPE = (19, 17, 21)
WORLD_TO_VOXEL = torch.linalg.inv(
    torch.tensor(
        [[2.0, 0, 0, -18.0], [0, 2.5, 0, -20.0], [0, 0, 3.0, -29.0], [0, 0, 0, 1]],
        dtype=torch.float64,
    )
)


def scan(delx=4.0, dely=4.0, n_views=7, **system):
    system = {"sdd": 300.0, "sid": 200.0, "height": 34, "width": 21, "y0": 3.0, "start_deg": 11.0} | system
    return circular(n_views, delx=delx, dely=dely, dtype=torch.float64, **system)


def shifted(views, fraction):
    """Rays that begin, or with a negative fraction end, inside the volume."""
    source, target = views.rays()
    middle = source + abs(fraction) * (target - source)
    return RayViews(middle, target, views.image_shape) if fraction > 0 else RayViews(source, middle, views.image_shape)


SCANS = {
    "pixels finer than voxels": lambda: scan(dely=1.0, delx=2.0),
    "pixels as voxels": lambda: scan(),
    "pixels coarser than voxels": lambda: scan(dely=11.0),
    "pixels much coarser than voxels": lambda: scan(dely=40.0),
    "pixels much finer than voxels": lambda: scan(dely=0.02),
    "a helix": lambda: helical(
        7, pitch=30.0, turns=1.5, sdd=300.0, sid=200.0, height=34, width=21, delx=4.0, dtype=torch.float64
    ),
    "parallel beams": lambda: parallel(7, height=34, width=21, delx=2.2, start_deg=11.0, dtype=torch.float64),
    "beginning inside": lambda: shifted(scan(), 0.66),
    "ending inside": lambda: shifted(scan(), -0.68),
    "mostly beside": lambda: scan(x0=60.0, y0=40.0),
    "a leaning axis": lambda: scan(axis=(0.1, 0.2, 1.0)),
    "along z": lambda: scan(axis=(1.0, 0.0, 0.0)),
}


def march(views, volume, images, **options):
    source, target = views.rays()
    options |= {"renderer": "joseph", "image_width": views.image_shape[1]}
    source, target = source.to(volume), target.to(volume)
    return (
        kernels.project(volume, source, target, WORLD_TO_VOXEL, **options),
        kernels.backproject(images, volume, source, target, WORLD_TO_VOXEL, **options),
    )


def random_pair(views, dtype=torch.float64, batch=()):
    generator = torch.Generator().manual_seed(5)
    volume = torch.rand(*batch, *SHAPE, dtype=dtype, generator=generator)
    return volume, torch.randn(len(views), 1, math.prod(views.image_shape), dtype=dtype, generator=generator)


@pytest.mark.parametrize("name", SCANS)
def test_it_equals_the_reference(name):
    views = SCANS[name]()
    volume, images = random_pair(views)
    for own, specified in zip(
        march(views, volume, images), march(views, volume, images, backend="reference"), strict=True
    ):
        assert specified.abs().max() > 0
        torch.testing.assert_close(own, specified, rtol=1e-9, atol=1e-9 * float(specified.abs().max()))


@pytest.mark.parametrize("name", SCANS)
def test_single_precision_loses_little(name):
    views = SCANS[name]()
    volume, images = random_pair(views)
    rounded = march(views, volume.float(), images.float())
    for own, exact in zip(rounded, march(views, volume, images), strict=True):
        assert (own - exact).abs().max() <= 3e-5 * exact.abs().max()


@pytest.mark.parametrize("name", SCANS)
@pytest.mark.parametrize(("dtype", "mismatch"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_its_adjoint_is_exact(name, dtype, mismatch):
    views = SCANS[name]()
    volume, images = random_pair(views, dtype)
    projected, spread = march(views, volume, images)
    image_side, volume_side = (projected.double() * images).sum(), (volume.double() * spread).sum()
    scale = projected.double().norm() * images.double().norm()
    assert scale > 0
    assert abs(image_side - volume_side) <= mismatch * scale


def test_memory_order_makes_no_difference():
    views = scan()
    volume, images = random_pair(views)
    x_fastest = volume.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    for own, other in zip(march(views, volume, images), march(views, x_fastest, images), strict=True):
        torch.testing.assert_close(own, other)


def test_each_view_may_have_its_own_volume():
    views = scan()
    volumes, images = random_pair(views, batch=(7,))
    projected, spread = march(views, volumes, images)
    for view in range(7):
        alone = march(views[[view]], volumes[view], images[[view]])
        torch.testing.assert_close(projected[[view]], alone[0])
        torch.testing.assert_close(spread[view], alone[1])


def test_empty_bricks_are_skipped_and_nothing_else():
    views = scan(height=40, width=40)
    volume = torch.zeros(70, 60, 50, dtype=torch.float64)
    volume[20:30, 40:44, 3:9] = torch.rand(10, 4, 6, dtype=torch.float64)
    world_to_voxel = torch.diag(torch.tensor([1.0, 1, 1, 1], dtype=torch.float64))
    world_to_voxel[:3, 3] = torch.tensor([35.0, 30, 25])
    source, target = views.rays()
    options = {"renderer": "joseph", "image_width": 40}
    through_all = kernels.project(volume, source, target, world_to_voxel, **options)
    skipping = kernels.project(volume, source, target, world_to_voxel, occupancy=kernels.prepare(volume), **options)
    assert through_all.max() > 0
    assert torch.equal(through_all, skipping)


def test_the_result_does_not_depend_on_the_number_of_threads():
    views = scan()
    volume, images = random_pair(views, torch.float32)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(march(views, volume, images))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_single_ray_out_of_line_is_marched_where_it_is():
    views = scan()
    source, target = views.rays()
    bent = target.clone()
    bent[3, 21 * 17 + 5] += torch.tensor([3.0, -2.0, 1.0])
    volume, images = random_pair(views)
    rays = RayViews(source, bent, views.image_shape)
    own, specified = march(rays, volume, images), march(rays, volume, images, backend="reference")
    for fast, slow in zip(own, specified, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9 * float(slow.abs().max()))


def test_views_of_a_scan_are_taken_in_any_dtype_of_their_poses():
    views = scan()
    single = ConeViews(views.detector, views.pose.to(torch.float32))
    volume, images = random_pair(views, torch.float32)
    for own, exact in zip(march(single, volume, images), march(views, volume.double(), images.double()), strict=True):
        assert (own - exact).abs().max() <= 1e-4 * exact.abs().max()
