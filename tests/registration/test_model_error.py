"""How far poses are said to be off holds what the model gets wrong, not noise alone."""

import numpy as np
import pytest
import torch
from registration_cases import far, grid
from torch.nn import functional

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry
from raygrad.phantoms._shapes import Gaussian, Phantom
from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map
from raygrad.registration import LocalCorrelation, Stage, prepare_xrays, register
from raygrad.registration._agreement import PARTS
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._problem import model_error
from raygrad.registration._problem.model_error import LEAST_REACH, with_model_error
from raygrad.registration._problem.parts import _cut, parts_of
from raygrad.registration._problem.uncertainty import estimate_covariance
from raygrad.registration._task import Task

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
SIDE, PIXEL = 60, 4.0
STAGE = Stage(SIDE, LocalCorrelation(9), iterations=12, tolerance=0.003, robust=True)


def patient(seed, voxels=27):
    """Blobs of 4 to 14 mm."""
    draw = np.random.default_rng(seed)
    spots = [Gaussian(draw.uniform(-60, 60, 3), draw.uniform(4, 14, 3), value=draw.uniform(0.3, 1)) for _ in range(24)]
    shape, voxel_to_world = (voxels,) * 3, grid((voxels,) * 3, (160.0 / voxels,) * 3)
    density = Phantom(spots).voxelize(shape, voxel_to_world, 1)
    return Subject(Volume(density, voxel_to_world), density)


def make_drr(subject):
    return DRR(subject, 1020.0, SIDE, PIXEL, renderer="joseph")


def smooth(image, reach):
    side = 2 * reach + 1
    return functional.avg_pool2d(functional.pad(image, [reach] * 4, mode="replicate"), side, stride=1)


def x_ray_of(seed, pose):
    """By two energies, with scatter, quanta, a display and a table, of a CT finer than the one that is registered."""
    fine = DRR(patient(seed, 40), 1020.0, 2 * SIDE, PIXEL / 2)
    with torch.no_grad():
        line = functional.avg_pool2d(fine(RigidTransform(pose.float())), 2)
    column = torch.arange(SIDE) + 0.4 * torch.arange(SIDE)[:, None]
    table = torch.sigmoid(column - 30.0) * torch.sigmoid(44.0 - column)
    line = line * (4 / line.max()) + 0.4 * table
    generator = torch.Generator().manual_seed(seed)
    hard, soft, scatter, display = torch.rand(4, generator=generator).tolist()
    primary = 0.6 * torch.exp(-line * (1.5 + 0.4 * soft)) + 0.4 * torch.exp(-line * (0.5 + 0.4 * hard))
    behind = primary + 0.3 * scatter * smooth(primary * (1 - primary), 10)
    line = -(torch.poisson(1e6 * behind, generator=generator).clamp_min(1) / 1e6).log()
    return line.clamp_min(0) ** (0.6 + 0.8 * display)


def test_errors_are_as_large_as_the_deviations_say():
    """Over many patients, views, spectra and scatters; by noise alone, deviations are far too small in depth."""
    ratios, by_noise = [], []
    for seed in range(16):
        drr, truth = make_drr(patient(seed)), far(1, seed)
        start = RigidTransform(se3_exp_map(torch.tensor([[1.0, -1, 2, 0.01, 0.01, -0.01]], dtype=DOUBLE)) @ truth)
        xray = x_ray_of(seed, truth)
        result = register(xray, drr, start, stages=[STAGE], candidates=1)
        axes = drr.detector.camera_to_world(result.pose).matrix[0, :3, :3]
        twist = se3_log_map(result.pose.matrix @ truth.inverse())[0]
        error = torch.cat([twist[:3] @ axes, twist[3:] @ axes]).abs()
        ratios.append(error / result.uncertainty.standard_deviations[0])
        by_noise.append(error / noise_alone(xray, drr, result.pose))
    ratio, without = torch.stack(ratios), torch.stack(by_noise)
    assert 0.15 < ratio.median() < 2  # on the safe side for so few blobs
    assert ratio.quantile(0.95) < 3
    assert without.quantile(0.95) > 2 * ratio.quantile(0.95)


def noise_alone(xray, drr, pose):
    problem, states = problem_of([xray], [drr], [pose])
    at = problem.linearise(states)
    axes = drr.detector.camera_to_world(pose).matrix[0, :3, :3]
    both = torch.block_diag(axes, axes)
    return (both.T @ estimate_covariance(at)[0] @ both).diagonal().sqrt()


def problem_of(xrays, drrs, poses, geometry=None):
    prepared = prepare_xrays(xrays, drrs, poses)
    course = CoarseToFine(Task(prepared, unknowns=geometry or UnknownGeometry()))
    candidates = course.candidates(torch.eye(4, dtype=DOUBLE)[None])
    stage = Stage(SIDE, LocalCorrelation(9), iterations=0, tolerance=0.0, calibrate=geometry is not None)
    return course.problem(candidates, stage), candidates.states


def render(drr, pose):
    with torch.no_grad():
        return drr(RigidTransform(pose.float()))


@pytest.fixture(scope="module")
def drr():
    return make_drr(patient(0))


def test_parts_point_to_where_the_x_ray_has_them(drr):
    """The patient is further to the right, or lower, where the camera goes left or up: by as many mm in every part."""
    pose = far(1, 0)
    axes = drr.detector.camera_to_world(RigidTransform(pose)).matrix[0, :3, :3]
    steps = drr.detector.intrinsics.pixel_to_camera(axes)[:3, :2]
    for number in (0, 1):
        direction = axes @ functional.normalize(steps[:, number], dim=0)
        moved = pose.clone()
        moved[0, :3, 3] -= direction
        xray = render(drr, moved)
        lower = xray[0, 0].sum(number).double()
        before = render(drr, pose)[0, 0].sum(number).double()
        place = torch.arange(SIDE, dtype=DOUBLE)
        assert (lower * place).sum() / lower.sum() > (before * place).sum() / before.sum()
        parts = parts_of(*problem_of([xray], [drr], [RigidTransform(pose)])).joined()
        assert parts.shifts.shape == (1, 1, len(PARTS), 2)
        expected = torch.zeros(8, 2, dtype=DOUBLE)
        expected[:, number] = 1.0
        torch.testing.assert_close(parts.shifts[0, 0], expected, rtol=0, atol=0.12)
        assert parts.seen.all()


def test_parts_say_about_as_much_as_each_other(drr):
    told = torch.zeros(1, 2, 8, 8)
    told[:, 0] = 1.0
    told[:, 1, :, :4] = 1.0
    label, rows, columns = _cut(told)
    assert rows.tolist() == [[0.25, 0.5, 0.75]]
    assert label[0, 0].tolist()[0] == 0
    assert (label[0, :, 0] == torch.tensor([0, 0, 4, 4, 8, 8, 12, 12])).all()
    assert (columns[0] == columns[0, :1]).all()
    assert columns[0, 0, 1] < 0.5  # the left half tells of both shifts
    parts = parts_of(*problem_of([render(drr, far(1, 1))], [drr], [RigidTransform(far(1, 0))]))
    share = parts.tells.diagonal(dim1=-2, dim2=-1).sum(-1)[0, 0]
    assert share.shape == (16,)
    assert (share / share.sum() > 0.02).all()
    torch.testing.assert_close(parts.joined().tells[:, :, :2].sum(2), parts.tells.sum(2))


def test_the_variance_in_plane_grows_by_that_of_the_parts(drr):
    """The shape stays; depth alone gets more, by the body's outline."""
    problem, states = problem_of([x_ray_of(0, far(1, 0))], [drr], [RigidTransform(far(1, 0))])
    at = problem.linearise(states)
    more, parts = with_model_error(problem, states, at)
    before, after = estimate_covariance(at)[0], estimate_covariance(more)[0]
    across = torch.zeros(6, 2, dtype=DOUBLE)
    across[:3] = parts.across[0, 0]
    in_plane = [(across.T @ covariance @ across).trace() / 2 for covariance in (before, after)]
    chance, square = parts.chance_squares[0, 0], parts.mean_squares[0, 0]
    wrong = model_error.IN_COMMON**2 * (square - chance).clamp_min(0)
    assert wrong > 0
    assert (in_plane[1] - in_plane[0]).item() == pytest.approx(
        (wrong + model_error.HIDDEN**2 * chance).item(), rel=1e-3
    )
    beam = torch.zeros(6, dtype=DOUBLE)
    beam[:3] = problem.beams(problem.poses(states, 0))[0, 0]
    rest = after - before * (in_plane[1] / in_plane[0])
    depth = model_error.OUTLINE**2 * wrong * (parts.away[0, 0] / max(problem.radius_of(0), LEAST_REACH)) ** 2
    torch.testing.assert_close(rest, depth * torch.outer(beam, beam), rtol=1e-2, atol=1e-6)


def test_geometry_that_no_image_tells_is_as_uncertain_as_it_was(drr):
    """One view says next to nothing of a principal point and a shift apart: that is as well known as before."""
    geometry = UnknownGeometry(x0_mm=0.5, sdd_mm=3.0)
    problem, states = problem_of([render(drr, far(1, 0))], [drr], [RigidTransform(far(1, 0))], geometry)
    more, _ = with_model_error(problem, states, problem.linearise(states))
    deviations = estimate_covariance(more)[0].diagonal().sqrt()[6:]
    torch.testing.assert_close(deviations, torch.tensor([3.0, 0.5], dtype=DOUBLE), rtol=0.3, atol=0)


def test_what_was_calibrated_is_told_with_its_deviation(drr):
    """Two views, of which the second is not where it was said to be, and an sdd that is 4 mm longer than assumed."""
    poses = [far(1, 0), far(1, 0, view=1)]
    true = DRR(patient(0), 1024.0, SIDE, PIXEL, renderer="joseph")
    turned = se3_exp_map(torch.tensor([[0.5, -0.4, 0.3, 0.0, 0.0, 0.0]], dtype=DOUBLE)) @ poses[1]
    xrays = [render(true, poses[0]), render(true, turned)]
    geometry = UnknownGeometry(sdd_mm=10.0, pose_mm=1.0, pose_deg=0.5)
    stage = Stage(SIDE, LocalCorrelation(9), iterations=20, tolerance=1e-3, calibrate=True)
    starts = [RigidTransform(pose) for pose in poses]
    result = register(xrays, [drr] * 2, starts, stages=[stage], candidates=1, unknowns=geometry)
    assert [set(view) for view in result.intrinsics_deviations] == [{"sdd"}] * 2
    for found, deviation in zip(result.intrinsics, result.intrinsics_deviations, strict=True):
        assert 0 < deviation["sdd"].item() <= 10.5
        assert abs(found["sdd"].item() - 1024.0) < 3 * deviation["sdd"].item()
    assert result.relative_deviations.shape == (1, 1, 6)
    assert (result.relative_deviations[..., :3] <= 1.05).all()
    assert torch.equal(result.only(0).relative_deviations, result.relative_deviations)
    found, deviation = result.outcome(0)["intrinsics"][1]["sdd"]
    assert found == pytest.approx(result.intrinsics[1]["sdd"].item(), rel=1e-5)
    assert deviation == pytest.approx(result.intrinsics_deviations[1]["sdd"].item(), rel=1e-4)
    known = register(xrays[0], drr, starts[0], stages=[STAGE], candidates=1)
    assert known.intrinsics_deviations == ()
    assert known.relative_deviations is None
