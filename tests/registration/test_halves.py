"""Halves of the image: they agree where nothing moved within the patient, and are said not to where something did."""

from dataclasses import replace

import pytest
import torch

from raygrad.data import Subject, Volume, load_example_ct
from raygrad.drr import DRR
from raygrad.metrics import NormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.registration import (
    FeatureSimilarity,
    LocalCorrelation,
    Stage,
    Status,
    UnknownGeometry,
    prepare_xrays,
    register,
)
from raygrad.registration._agreement import PARTS
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._outcome import APART_MM
from raygrad.registration._problem import halves as halves
from raygrad.registration._problem.halves import disagreements, least_share
from raygrad.registration._task import Task

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
SIDE = 100
STAGES = (
    Stage(50, LocalCorrelation(9), iterations=10, tolerance=0.3, keep=2),
    Stage(100, LocalCorrelation(9), iterations=10, tolerance=0.01, robust=True),
)
"""From close by."""


def make_pose(degrees=(0.0, 0.0, 0.0), xyz=(0.0, 850.0, 0.0)):
    angles, xyz = (torch.tensor([values], dtype=DOUBLE) for values in (degrees, xyz))
    return convert(torch.deg2rad(angles), xyz, parameterization="euler_angles", convention="ZXY")


AP, LATERAL = make_pose(), make_pose((90.0, 0.0, 0.0))
MOTION = make_pose((3.0, -2.0, 2.0), (4.0, 856.0, -5.0)).matrix @ AP.inverse().matrix


def off(pose):
    return RigidTransform(MOTION @ pose.matrix)


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(128, 128, 67))


@pytest.fixture(scope="module")
def breathed(subject):
    """The same patient, the lower half of whom is two slices (9 mm) further down."""
    data = subject.density.data.clone()
    middle = data.shape[3] // 2
    data[..., : middle - 2] = data[..., 2:middle].clone()
    volume = subject.density
    return Subject(subject.volume, Volume(data, volume.affine))


def make_drr(subject):
    return DRR(subject, sdd=1020.0, height=SIDE, delx=4.0, renderer="joseph")


def take(subject, pose=AP):
    return make_drr(subject)(RigidTransform(pose.matrix.float())).detach()


def test_halves_agree_on_a_patient_who_kept_still(subject):
    result = register(take(subject), make_drr(subject), off(AP), stages=STAGES, candidates=1)
    assert result.status == (Status.CONVERGED,)
    assert result.halves.mm.shape == (1, len(PARTS))
    assert result.halves.worst()[1] < 0.05
    assert result.halves.moved_most() is None
    assert "parts of the image agree to 0.00 mm in plane" in result.summary()


@pytest.mark.parametrize("views", [1, 2])
def test_a_patient_who_breathed_is_inconsistent(subject, breathed, views):
    poses = [AP, LATERAL][:views]
    xrays, drrs = [take(breathed, pose) for pose in poses], [make_drr(subject)] * views
    start = [RigidTransform(torch.cat([off(pose).matrix, pose.matrix])) for pose in poses]
    result = register(xrays, drrs, start, stages=STAGES, candidates=1)
    assert result.status == (Status.INCONSISTENT,) * 2
    assert not result.converged.any()
    part, mm = result.halves.worst(1)
    assert "upper" in part or "lower" in part
    assert mm > 1.5 * APART_MM
    half, moved = result.halves.moved_most(1)
    assert half in ("upper", "lower")
    assert moved > 1.2
    assert f"parts of the image disagree by {mm:.2f} mm" in result.summary(1)
    assert f"the {half} half alone moves the pose by {moved:.1f} mm" in result.summary(1)
    told = result.outcome(1)["halves"]
    assert told[f"{part} (mm)"] == pytest.approx(mm, rel=1e-4)
    assert told["pose moved by one half alone"][f"{half} (mm)"] == pytest.approx(moved, rel=1e-4)
    assert torch.equal(result.only(1).halves.mm, result.halves.mm[1:])
    # What lies lower in the X-ray than the pose puts it is pointed down to.
    lower = result.halves.shifts[1, 0, PARTS.index("lower")]
    upper = result.halves.shifts[1, 0, PARTS.index("upper")]
    assert lower[1] > 0 > upper[1]


def test_starts_that_did_not_converge_are_not_asked(subject):
    starts = RigidTransform(torch.cat([make_pose((0.0, 0.0, 100.0)).matrix, AP.matrix]))
    result = register(take(subject), make_drr(subject), starts, stages=STAGES, candidates=1)
    assert result.status == (Status.NO_MATCH, Status.CONVERGED)
    assert result.halves.mm[0].isnan().all()
    assert result.halves.mm[1].isfinite().all()
    assert result.halves.worst(0) is None
    assert "halves" not in result.outcome(0)
    lost = register(take(subject), make_drr(subject), make_pose((0.0, 0.0, 100.0)), stages=STAGES, candidates=1)
    assert lost.halves is None


def test_a_metric_tells_of_no_halves(subject):
    stages = [Stage(50, NormalizedCrossCorrelation2d(), iterations=10, tolerance=0.1)]
    result = register(take(subject), make_drr(subject), AP, stages=stages, candidates=1)
    assert result.status == (Status.CONVERGED,)
    assert result.halves is None


def problem_of(subject, poses, at, geometry=None):
    """A problem whose X-rays were taken from poses, and states elsewhere."""
    drr = make_drr(subject)
    inits = [RigidTransform(at @ pose.matrix) for pose in poses]
    xrays = prepare_xrays([take(subject, pose) for pose in poses], [drr] * len(poses), inits)
    course = CoarseToFine(Task(xrays, unknowns=geometry or UnknownGeometry()))
    candidates = course.candidates(torch.eye(4, dtype=DOUBLE)[None])
    stage = Stage(SIDE, LocalCorrelation(9), iterations=0, tolerance=0.0, calibrate=geometry is not None)
    return course.problem(candidates, stage), candidates.states


@pytest.mark.parametrize(
    "geometry", [None, UnknownGeometry(sdd_mm=5.0, pose_mm=2.0, pose_deg=1.0)], ids=["known", "unknown"]
)
def test_every_half_of_a_right_image_tells_the_way_back(subject, geometry):
    """A motion along x is as long in the AP view's plane, and none in the lateral one's, whose beam it is along."""
    shift = se3_exp_map(torch.tensor([[1.5, 0.0, 0.0, 0.0, 0.0, 0.0]], dtype=DOUBLE))
    mm = disagreements(*problem_of(subject, [AP], shift))
    torch.testing.assert_close(mm, torch.full((1, 4), 1.5, dtype=DOUBLE), rtol=0.03, atol=0)
    both = disagreements(*problem_of(subject, [AP, LATERAL], shift, geometry))
    assert (both > 0.4).all()
    assert (both < 1.2).all()
    assert (disagreements(*problem_of(subject, [AP, LATERAL], torch.eye(4, dtype=DOUBLE), geometry)) < 1e-3).all()


def test_a_half_that_sees_too_little_is_not_asked(subject, monkeypatch):
    """What is least told of is a direction, whatever the units of the axes."""
    whole = torch.tensor([[[4.0, 1.0], [1.0, 900.0]]], dtype=DOUBLE)
    assert least_share(0.3 * whole, whole).item() == pytest.approx(0.3)
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=DOUBLE)
    part = turn @ torch.diag(torch.tensor([0.5, 0.001], dtype=DOUBLE)) @ turn.mT
    assert least_share(part[None], torch.eye(2, dtype=DOUBLE)[None]).item() == pytest.approx(0.001)
    monkeypatch.setattr(halves, "LEAST_TOLD", 0.9)
    assert disagreements(*problem_of(subject, [AP], torch.eye(4, dtype=DOUBLE))).isnan().all()


def test_a_half_without_a_pixel_is_not_asked(subject):
    """All that counts is in one row, which cannot be cut."""
    problem, states = problem_of(subject, [AP], torch.eye(4, dtype=DOUBLE))
    weights = torch.zeros(1, 1, SIDE, SIDE)
    weights[..., SIDE // 2, :] = 1.0
    xray = replace(problem.xrays[0], weights=weights)
    mm = disagreements(replace(problem, xrays=(xray,)), states)
    assert mm[0, 0].isnan()
    assert (mm.nan_to_num() < 0.1).all()


def test_features_of_no_pixels_tell_of_no_halves(subject):
    similarity = FeatureSimilarity(lambda images: images[:, :, ::10, ::10])
    problem, states = problem_of(subject, [AP], torch.eye(4, dtype=DOUBLE))
    assert disagreements(replace(problem, similarity=similarity), states).isnan().all()
