"""Rays that see the patient beyond the CT do not count: how many mm, how they fade, what becomes of poses."""

from dataclasses import replace

import pytest
import torch

from raygrad.data import Subject, Volume, load_example_ct
from raygrad.drr import DRR
from raygrad.pose import RigidTransform, convert
from raygrad.registration import (
    GlobalCorrelation,
    LevenbergMarquardt,
    LocalCorrelation,
    Stage,
    Status,
    prepare_xrays,
    register,
    search,
)
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._problem import coverage
from raygrad.registration._problem.coverage import FADED_MM, LEAST_SHARE, Beyond, faded
from raygrad.registration._solver.candidates import SearchRanges
from raygrad.registration._task import Task

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
STAGES = (
    Stage(25, GlobalCorrelation(), iterations=20, tolerance=1.0, keep=2),
    Stage(50, LocalCorrelation(9), iterations=10, tolerance=0.3, keep=2),
    Stage(100, LocalCorrelation(9), iterations=10, tolerance=0.01, robust=True),
)
DEPTH, HALF = 80.0, 48.0
"""Of the block of water in mm from front to back, and half of what was scanned of it from top to bottom."""


def make_pose(degrees=(0.0, 0.0, 0.0), xyz=(0.0, 850.0, 0.0)):
    angles, xyz = (torch.tensor([values], dtype=DOUBLE) for values in (degrees, xyz))
    return convert(torch.deg2rad(angles), xyz, parameterization="euler_angles", convention="ZXY")


AP = make_pose()
OFF = make_pose((3.0, -2.0, 2.0), (4.0, 856.0, -5.0))


def make_block(ends=False):
    """A block of water, DEPTH mm deep, scanned over 2 HALF mm of its length; or ending with air at both ends."""
    hu = torch.full((30, 30, 12), -1000.0)
    hu[8:22, 10:20] = 0.0
    hu[11:16, 12:18, 3:8] = 300.0
    if ends:
        hu[:, :, [0, 1, -2, -1]] = -1000.0
    affine = torch.diag(torch.tensor([8.0, 8.0, 8.0, 1.0], dtype=DOUBLE))
    affine[:3, 3] = torch.tensor([-116.0, -116.0, -44.0])
    return Subject(Volume(hu, affine.numpy()), orientation="AP")


def make_course(drr, xray, pose=AP, **options):
    course = CoarseToFine(Task(prepare_xrays(xray, drr, pose)), **options)
    return course, course.candidates(torch.eye(4, dtype=DOUBLE)[None])


@pytest.fixture(scope="module")
def patient():
    return load_example_ct(shape=(128, 128, 67))


@pytest.fixture(scope="module")
def short(patient):
    """22 of the patient's 67 slices."""
    affine = patient.volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [0, 0, 24]
    hu, density = (volume.voxels[:, :, 24:46] for volume in (patient.volume, patient.density))
    return Subject(Volume(hu, affine), Volume(density, affine))


def make_drr(subject, height=100):
    return DRR(subject, sdd=1020.0, height=height, delx=400.0 / height, renderer="joseph")


@pytest.fixture(scope="module")
def xray(patient):
    return make_drr(patient)(RigidTransform(AP.matrix.float())).detach()


# --- how much of him rays see ---


def test_parallel_rays_see_his_depth_above_and_below_the_scan_and_nothing_within():
    drr = DRR(make_block(), sdd=1700.0, height=25, delx=10.0, parallel=True)
    course, candidates = make_course(drr, drr(RigidTransform(AP.matrix.float())))
    (scaled,) = course.problem(candidates, Stage(25, GlobalCorrelation(), 1, 1.0)).xrays
    mm = course.beyond[0].seen(scaled, course._poses(candidates))[0, 0]
    height = (torch.arange(25) - 12).abs() * 10.0
    assert torch.allclose(mm[height > HALF + 4, 11:14], torch.tensor(DEPTH))
    assert (mm[height < HALF - 4] == 0).all()
    assert (mm[:, [0, 1, -2, -1]] == 0).all()  # beside him there is air
    clear = (height - HALF).abs() > 4
    assert torch.equal(scaled.weights[0, 0, clear, 12], (height < HALF).float()[clear])
    assert (scaled.weights[0, 0, :, 0] == 1).all()


def test_a_cone_of_rays_sees_the_length_of_its_way_beyond():
    """A ray in the middle plane leaves the scan through its top or bottom, or the block through its back."""
    drr = DRR(make_block(), sdd=1000.0, height=25, delx=15.0)
    course, candidates = make_course(drr, drr(RigidTransform(AP.matrix.float())))
    (scaled,) = course.problem(candidates, Stage(25, GlobalCorrelation(), 1, 1.0)).xrays
    mm = course.beyond[0].seen(scaled, course._poses(candidates))[0, 0, :, 12]
    slope = (torch.arange(25) - 12).abs() * 15.0 / 1000.0
    near, far = 850.0 - DEPTH / 2, 850.0 + DEPTH / 2
    wanted = (far - (HALF / slope).clamp(near, far)) * (1 + slope.square()).sqrt()
    clear = ((HALF - slope * near).abs() > 5) & ((HALF - slope * far).abs() > 5)  # voxels are 8 mm
    assert clear.sum() > 18
    assert torch.allclose(mm[clear], wanted[clear], atol=0.5)


def test_weights_fall_smoothly_from_one_to_nothing():
    mm = torch.linspace(0, 2 * FADED_MM, 401, dtype=DOUBLE)
    weights = faded(mm)
    assert weights[0] == 1
    assert (weights[mm >= FADED_MM] == 0).all()
    assert (weights.diff() <= 0).all()
    assert weights.diff(n=2).abs().max() < 8 * (mm[1] / FADED_MM) ** 2  # no edge


@pytest.mark.parametrize("up", [80.0, 115.0])
def test_a_pose_that_sees_next_to_nothing_of_the_ct_has_the_rest_back(up):
    drr = DRR(make_block(), sdd=1000.0, height=25, delx=4.0)
    course, candidates = make_course(drr, drr(RigidTransform(AP.matrix.float())))
    candidates.states.motions[:, 0, 2, 3] += up
    (scaled,) = course.problem(candidates, Stage(25, GlobalCorrelation(), 1, 1.0)).xrays
    share = float(scaled.counted[0])
    assert share < LEAST_SHARE
    assert float(scaled.weights.min()) == pytest.approx((1 - share / LEAST_SHARE) ** 2, rel=1e-5)


# --- derivatives ---


def test_gradients_are_those_of_the_cost_with_its_weights(short, xray):
    course, candidates = make_course(make_drr(short), xray, OFF)
    problem = course.problem(candidates, Stage(50, LocalCorrelation(9), 1, 1.0))
    assert problem.xrays[0].unmasked is not None
    states = candidates.states
    gradient = problem.linearise(states).gradient[0]
    for number, size in enumerate([0.05] * 3 + [5e-4] * 3):
        step = torch.zeros(1, 6, dtype=DOUBLE)
        step[0, number] = size
        after, before = (problem.linearise(problem.moved(states, way * step)).cost[0] for way in (1, -1))
        assert float(after - before) / (4 * size) == pytest.approx(float(gradient[number]), rel=0.05, abs=2e-5)


# --- registration ---


def test_a_short_ct_of_a_patient_who_goes_on_is_found(short, xray):
    drr = make_drr(short)
    result = register(xray, drr, OFF, stages=STAGES, candidates=1)
    assert result.status == (Status.CONVERGED,)
    shift = (result.pose.matrix.detach() - AP.matrix)[0, :3, 3]
    assert shift[[0, 2]].abs().max() < 0.2
    assert shift.norm() < 1.0
    assert 0.2 < float(result.counted[0]) < 0.8
    assert "% of the image counted" in result.summary()
    assert result.outcome()["share counted"] == pytest.approx(float(result.counted[0]), abs=1e-5)
    assert result.only(0).counted.shape == (1,)


def test_without_coverage_it_is_not(short, xray):
    result = register(xray, make_drr(short), OFF, stages=STAGES, candidates=1, coverage=False)
    assert result.status == (Status.NO_MATCH,)
    assert result.counted is None


def test_search_finds_it_too(short, xray):
    few = tuple(replace(stage, keep=2) for stage in STAGES)
    found = search(xray, make_drr(short), SearchRanges(degrees=10.0, mm=20.0), OFF, poses=200, keep=1, stages=few)
    assert found.status[0] is Status.CONVERGED
    assert (found.pose.matrix.detach() - AP.matrix)[0, :3, 3].norm() < 1.0
    ranges = SearchRanges(1.0, 1.0)
    method = LevenbergMarquardt(stages=few, coverage=False)
    assert register(xray, make_drr(short), OFF, ranges=ranges, method=method).counted is None


def test_an_xray_that_ends_with_the_ct_counts_whole_in_fine_images(patient, xray):
    drr = make_drr(patient)
    with_it, without = (register(xray, drr, OFF, stages=STAGES, candidates=1, coverage=on) for on in (True, False))
    assert with_it.status == without.status == (Status.CONVERGED,)
    assert with_it.counted is None
    assert torch.allclose(with_it.pose.matrix, without.pose.matrix, atol=5e-3)


def test_what_covers_all_changes_no_bit():
    drr = DRR(make_block(ends=True), sdd=1000.0, height=64, delx=4.0)
    xray = drr(RigidTransform(AP.matrix.float()))
    assert Beyond.of(drr) is None
    one, other = (register(xray, drr, OFF, stages=STAGES[:2], candidates=2, coverage=on) for on in (True, False))
    assert torch.equal(one.pose.matrix, other.pose.matrix)
    assert torch.equal(one.score, other.score)


def test_a_beam_that_meets_the_scan_alone_changes_no_bit():
    """The patient goes on, but the field is small."""
    drr = DRR(make_block(), sdd=1000.0, height=50, delx=0.8)
    xray = drr(RigidTransform(AP.matrix.float())) + torch.linspace(0, 1, 50)
    assert Beyond.of(drr) is not None
    one, other = (make_course(drr, xray, coverage=on) for on in (True, False))
    for stage in STAGES:
        first, second = (course.problem(candidates, stage).xrays[0] for course, candidates in (one, other))
        assert torch.equal(first.weights, second.weights)


def test_what_is_beyond_is_made_once_for_a_ct(monkeypatch):
    calls = []
    monkeypatch.setattr(coverage, "patient_beyond", lambda ct: calls.append(ct))
    subject = make_block()
    for height in (10, 20):
        assert Beyond.of(DRR(subject, sdd=1000.0, height=height, delx=4.0)) is None
    assert len(calls) == 1
