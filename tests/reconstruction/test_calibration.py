"""Calibration: derivatives by poses and intrinsics, and perturbations that are found again."""

import math
from dataclasses import replace

import pytest
import roma
import torch

from raygrad.data import VolumeGeometry
from raygrad.geometry.trajectories import circular, parallel
from raygrad.march import Marching, Prepared
from raygrad.phantoms._shapes import Ellipsoid, Gaussian, Phantom
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.projector import Projector
from raygrad.reconstruction import UnknownGeometry, calibrate
from raygrad.reconstruction._calibration.elimination import Elimination, solve_jointly
from raygrad.reconstruction._calibration.sweep import Sweep

pytestmark = pytest.mark.usefixtures("one_thread")

GEOMETRY = VolumeGeometry.centred((24, 24, 24), 8.0)
POSES = {"pose_mm": 2.0, "pose_deg": math.degrees(0.02)}
EVERYTHING = UnknownGeometry(**POSES, sdd_mm=5.0, x0_mm=2.0, y0_mm=2.0, pixel_size=0.01)


@pytest.fixture(scope="module")
def body():
    """Blobs of many sizes and places within 80 mm, in 1/mm."""
    generator = torch.Generator().manual_seed(3)
    blobs = [Ellipsoid((0.0, 0.0, 0.0), (70.0, 60.0, 75.0), value=0.01)]
    for _ in range(30):
        place = (torch.rand(3, generator=generator) - 0.5) * 90
        size = 8 + 10 * torch.rand(3, generator=generator)
        blobs.append(Gaussian(place.tolist(), size.tolist(), value=0.02))
    voxels = Phantom(blobs).voxelize(GEOMETRY.shape, GEOMETRY.voxel_to_world)
    return GEOMETRY.zeros().copy_(voxels)


def sweep_of(n_views=16, pixels=48, **system):
    options = {"sdd": 900.0, "sid": 600.0, "height": pixels, "delx": 360.0 / pixels, "dtype": torch.float64} | system
    return circular(n_views, **options)


def disturbed(views, degrees=1.0, mm=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([mm] * 3 + [math.radians(degrees)] * 3, dtype=torch.float64)
    twists = torch.randn(len(views), 6, generator=generator, dtype=torch.float64) * scale
    return replace(views, pose=RigidTransform(se3_exp_map(twists) @ views.pose.matrix))


def pose_errors(found, true):
    """How far each view sees points 50 mm from where they are, across its beam, on average: mm.

    The best motion of all views together is taken off first. Along the beam an error of 1 mm shifts no such point by
    more than 0.1 mm.
    """
    points = 50 * torch.tensor([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=torch.float64)
    seen = found.pose(true.pose.inverse()(points.expand(len(true), 8, 3)))
    rotation, translation = roma.rigid_points_registration(seen.flatten(0, 1), points.repeat(len(true), 1))
    error = seen @ rotation.T + translation - points
    beam = true.pose.translation[:, None] / true.pose.translation.norm(dim=1)[:, None, None]
    return (error - (error * beam).sum(-1, keepdim=True) * beam).norm(dim=-1).mean(1)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("per_view", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_are_those_of_the_images(body, factor, per_view, reverse):
    views = disturbed(sweep_of(3, 13, x0=7.0, y0=-5.0, reverse_x_axis=reverse))
    if per_view:
        views = replace(views, calibration=views.detector.calibration.matrix.double().repeat(3, 1, 1))
    pivot = torch.tensor([5.0, -8.0, 11.0], dtype=torch.float64)
    volume, options = Prepared(body.double(), GEOMETRY.world_to_voxel), (factor, Marching("joseph"), 10**6)
    generator = torch.Generator().manual_seed(1)
    size = 3 * 6 + 4
    sweep = Sweep.of(views, pivot, EVERYTHING)
    scale = sweep.deviations()
    start = sweep.moved(0.3 * scale * torch.randn(size, generator=generator))
    images, by_twist, by_intrinsics = start.linearise(volume, *options)
    step = 1e-5 * scale * torch.randn(size, generator=generator, dtype=torch.float64)
    ahead, behind = (start.moved(sign * step).linearise(volume, *options)[0] for sign in (1, -1))
    predicted = (by_twist.mT @ step[:18].view(3, 6, 1))[..., 0] + by_intrinsics.mT @ step[18:]
    # Joseph's weights have kinks where a ray passes a voxel's centre: a few rays may straddle one.
    error = ((ahead - behind) / 2 - predicted).abs() / predicted.abs().max()
    assert error.median() < 1e-8
    assert error.quantile(0.9) < 1e-5
    assert images.abs().max() > 0.1


def test_coarse_views_see_the_middle_of_joined_pixels():
    views = sweep_of(2, 13, x0=7.0, y0=-5.0)
    sweep = Sweep.of(views, torch.zeros(3), EVERYTHING)
    fine = views.rays()[1].unflatten(1, (13, 13))[:, :12, :12].reshape(2, 4, 3, 4, 3, 3).mean((2, 4))
    torch.testing.assert_close(sweep.views(3).rays()[1], fine.flatten(1, 2))
    torch.testing.assert_close(sweep.views().rays()[1], views.rays()[1])


def test_refined_views_have_the_rays_of_the_sweep():
    views = disturbed(sweep_of(3, 9, x0=3.0))
    for given in (views, replace(views, calibration=views.detector.calibration.matrix.double().repeat(3, 1, 1))):
        sweep = Sweep.of(given, torch.zeros(3), EVERYTHING)
        step = 0.5 * sweep.deviations()
        moved = sweep.moved(step)
        torch.testing.assert_close(moved.refined().rays(), moved.views().rays(), atol=1e-4, rtol=1e-6)
        torch.testing.assert_close(moved.departure(), step)


def test_free_motions_leave_images_as_they_are_when_the_volume_goes_along():
    """The scale too: all twice as far and twice as large, of half the values."""
    views = sweep_of(5, 9)
    body = Ellipsoid((10.0, 5.0, 0.0), (40.0, 30.0, 20.0), value=1.0)
    larger = Ellipsoid((11.0, 5.5, 0.0), (44.0, 33.0, 22.0), value=1 / 1.1)
    further = views.pose.matrix.clone()
    further[:, :3, 3] *= 1.1
    farther = replace(views, pose=RigidTransform(further))
    torch.testing.assert_close(larger.line_integrals(*farther.rays()), body.line_integrals(*views.rays()))
    sweep = Sweep.of(views, torch.zeros(3), UnknownGeometry(**POSES))
    free = sweep.free_motions() * sweep.deviations()[:, None]
    radial = torch.nn.functional.pad(views.source, (0, 3)).flatten()
    for motion in (radial, torch.tensor([1.0, 2, 3, 4, 5, 6], dtype=torch.float64).repeat(5)):
        fitted = torch.linalg.lstsq(free, motion[:, None]).solution
        torch.testing.assert_close((free @ fitted)[:, 0], motion)


def test_elimination_solves_for_volume_and_geometry_at_once():
    """As a dense solver does, with no unknown left out."""
    generator = torch.Generator().manual_seed(0)
    geometry = VolumeGeometry.centred((3, 3, 3), 20.0)
    projector = Projector(geometry, sweep_of(4, 6, delx=18.0))
    columns = torch.eye(27, dtype=torch.float64).reshape(27, 3, 3, 3)
    matrix = torch.stack([projector(column).flatten() for column in columns], dim=1)
    by_view, shared, residual = (torch.randn(4, n, 36, generator=generator, dtype=torch.float64) for n in (2, 1, 1))
    jacobian = torch.zeros(4, 36, 9, dtype=torch.float64)
    for view in range(4):
        jacobian[view, :, 2 * view : 2 * view + 2] = by_view[view].T
    jacobian[:, :, 8] = shared[:, 0]
    jacobian = jacobian.flatten(0, 1)
    deviations = torch.rand(9, generator=generator, dtype=torch.float64) + 0.5
    departure = torch.rand(9, generator=generator, dtype=torch.float64)
    nothing = torch.zeros(9, 0, dtype=torch.float64)
    damping = torch.zeros(5, dtype=torch.float64)
    elimination = Elimination(by_view, shared, deviations, departure, 0.7, nothing, damping)
    change, step = solve_jointly(projector, elimination, residual[:, 0], iterations=60)

    known = math.sqrt(0.7) * torch.diag(1 / deviations)
    rows = torch.cat([torch.cat([matrix, jacobian], 1), torch.cat([torch.zeros(9, 27, dtype=torch.float64), known], 1)])
    right = torch.cat([residual.flatten(), -known @ departure])
    expected = torch.linalg.lstsq(rows, right[:, None]).solution[:, 0]
    torch.testing.assert_close(change.flatten(), expected[:27], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(step, expected[27:], rtol=1e-5, atol=1e-7)


def test_poses_are_found_again(body):
    true = sweep_of()
    images = Projector(GEOMETRY, true)(body)
    given = disturbed(true)
    found = calibrate(Projector(GEOMETRY, given), images, rounds=7)
    assert pose_errors(given, true).mean() > 2
    assert pose_errors(found.views, true).mean() < 0.15  # a fiftieth of a voxel
    assert found.views.pose.matrix.dtype == torch.float64
    expected = torch.linalg.inv(given.pose.matrix)
    torch.testing.assert_close(se3_exp_map(found.moved), found.views.pose.matrix @ expected, atol=1e-6, rtol=0)
    assert found.moved.mean(0).abs().max() < 0.05  # the sweep as a whole stays
    assert found.residual.max() < 0.02
    assert found.history[-1].residual < found.history[1].residual / 3


def test_true_poses_stay(body):
    true = sweep_of()
    found = calibrate(Projector(GEOMETRY, true), Projector(GEOMETRY, true)(body), rounds=4)
    assert pose_errors(found.views, true).mean() < 0.1
    assert pose_errors(found.views, true).max() < 0.5


def test_intrinsics_are_found_again(body):
    true = sweep_of(sdd=905.0, x0=3.0, y0=-2.0)
    images = Projector(GEOMETRY, true)(body)
    unknowns = UnknownGeometry(sdd_mm=10.0, x0_mm=5.0, y0_mm=5.0)
    found = calibrate(Projector(GEOMETRY, sweep_of()), images, unknowns, iterations=16, rounds=5)
    assert list(found.intrinsics) == ["sdd", "x0", "y0"]
    assert found.intrinsics["x0"] == pytest.approx(3.0, abs=0.05)
    assert found.views.detector.centre_x == pytest.approx(3.0, abs=0.05)
    assert found.intrinsics["y0"] == pytest.approx(-2.0, abs=0.1)
    # Another sdd looks almost like another size of the volume: the rest comes slowly.
    assert found.intrinsics["sdd"] == pytest.approx(5.0, abs=1.5)
    torch.testing.assert_close(found.views.pose.matrix, true.pose.matrix)
    assert found.moved.abs().max() < 1e-6


def test_noise_does_not_throw_views_off(body):
    true = sweep_of()
    images = Projector(GEOMETRY, true)(body)
    images = images + 0.02 * images.max() * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    given = disturbed(true)
    found = calibrate(Projector(GEOMETRY, given), images, rounds=6, iterations=4)
    assert pose_errors(found.views, true).mean() < 0.4 * pose_errors(given, true).mean()
    assert pose_errors(found.views, true).max() < pose_errors(given, true).mean()
    assert (found.moved_deviation > 0).all()


def test_callback_ends_it(body):
    true = sweep_of(4, 24)
    images = Projector(GEOMETRY, true)(body)
    rounds = []
    found = calibrate(Projector(GEOMETRY, true), images, callback=lambda one: rounds.append(one) or len(rounds) == 2)
    assert found.history == tuple(rounds)
    assert [(one.stage, one.number, one.pixels) for one in rounds] == [(0, 1, (24, 24)), (0, 2, (24, 24))]
    assert "views settled" in repr(found)


def test_bad_input_is_refused(body):
    views = sweep_of(4, 24)
    projector = Projector(GEOMETRY, views)
    images = projector(body)
    flat = parallel(4, height=24, delx=10.0)
    with pytest.raises(TypeError, match=r"Expected ConeViews.*Got ParallelViews"):
        calibrate(Projector(GEOMETRY, flat), images)
    with pytest.raises(ValueError, match="at least two views"):
        calibrate(projector[:1], images[:1])
    with pytest.raises(ValueError, match="Expected images of shape"):
        calibrate(projector, images[:2])
    for unknowns in ("angles", [], UnknownGeometry()):
        with pytest.raises(ValueError, match=r"Expected (unknowns among|geometry that is unknown)"):
            calibrate(projector, images, unknowns)
    for factors in ([], [1, 2], [0], [100]):
        with pytest.raises(ValueError, match="whole factors"):
            calibrate(projector, images, factors=factors)
    with pytest.raises(ValueError, match="at least one round"):
        calibrate(projector, images, rounds=0)
    elsewhere = replace(
        views, pose=RigidTransform(views.pose.matrix + torch.eye(4)[:, :1] @ torch.tensor([[0, 0, 0, 9e3]]))
    )
    with pytest.raises(ValueError, match="see nothing"):
        calibrate(Projector(GEOMETRY, elsewhere), images)
