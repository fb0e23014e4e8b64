"""What one image tells of intrinsics, and what becomes of those that it does not tell."""

from dataclasses import replace

import pytest
import torch
from registration_cases import DOUBLE, EVERYTHING, make_problem, make_states
from table_cases import LUNG, Scan

from raygrad.data import read
from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform
from raygrad.registration import GlobalCorrelation, LocalCorrelation, Stage, Status, Uncertainty, register
from raygrad.registration._problem import told
from raygrad.registration._problem.told import as_given, in_plane, jointly, not_told, without
from raygrad.registration._search import default_init

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = (
    Stage(25, GlobalCorrelation(), iterations=15, tolerance=0.5),
    Stage(50, LocalCorrelation(9), iterations=15, tolerance=0.1),
    Stage(100, LocalCorrelation(9), iterations=20, tolerance=0.01, robust=True, calibrate=True),
)
OF_ONE = UnknownGeometry(sdd_mm=5.0, x0_mm=3.0, y0_mm=3.0, pixel_size=0.01)


@pytest.fixture(scope="module")
def drr():
    scan = Scan(shape=(96, 80, 40), spacing=(4.0, 4.0, 5.0)).torso(a=150)
    scan.put(scan.ellipse(40, 30, 12, 9, (-60, -20)), LUNG).put(scan.ellipse(-60, 20, 9, 14, (10, 50)), 500.0)
    scan.put(scan.ellipse(70, -20, 12, 12, (-40, 0)), 400.0).put(scan.ellipse(-20, 60, 14, 8, (30, 70)), 600.0)
    return DRR(read(scan.volume()), sdd=1000.0, height=100, delx=4.0, renderer="joseph")


def off(pose):
    moved = pose.matrix.clone()
    moved[:, :3, 3] += torch.tensor([4.0, -6.0, 3.0], dtype=DOUBLE)
    return RigidTransform(moved)


def test_an_image_without_anything_leaves_what_was_known():
    problem = make_problem(views=1, bodies=1)
    states = replace(make_states(problem), intrinsics=torch.zeros(3, 1, 4, dtype=DOUBLE))
    states.motions[..., 0, 3] += 1e5  # out of the beam
    at = jointly(problem, states, OF_ONE)
    variances = torch.linalg.pinv(at.normal, hermitian=True).diagonal(dim1=1, dim2=2)[:, 6:]
    torch.testing.assert_close(variances, OF_ONE.of_intrinsics(1).square().expand(3, 4))
    assert torch.equal(at.normal, at.scatter)
    names = not_told(replace(problem, geometry=OF_ONE), states, 0)
    assert names == ("sdd", "x0", "y0", "pixel_size")


def test_what_goes_far_is_not_told(monkeypatch):
    monkeypatch.setattr(told, "_deviations", lambda at, count: torch.zeros(len(at.cost), count, dtype=DOUBLE))
    problem = replace(make_problem(views=1, bodies=1), geometry=UnknownGeometry(sdd_mm=10.0))
    states = make_states(problem)
    near, far = (replace(states, intrinsics=torch.full((3, 1, 4), mm, dtype=DOUBLE)) for mm in (29.0, 31.0))
    assert not_told(problem, near, 1) == ()
    assert not_told(problem, far, 1) == ("sdd",)


def test_some_stay_as_given():
    assert without(EVERYTHING, ("sdd", "pixel_size")).names == ["x0", "y0"]
    assert without(EVERYTHING, ()) == EVERYTHING
    states = make_states(make_problem(views=1))
    some = as_given(states, ("x0", "pixel_size")).intrinsics
    assert torch.equal(some[..., [0, 2]], states.intrinsics[..., [0, 2]])
    assert not some[..., [1, 3]].any()


def test_depth_moves_points_across_the_rays():
    covariance = torch.zeros(1, 6, 6, dtype=DOUBLE)
    covariance[0, 1, 1], covariance[0, 2, 2] = 0.3**2, 8.0**2
    assert in_plane(Uncertainty(covariance, 100.0), 1200.0).item() == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [False, True])
def test_one_image_keeps_a_principal_point_and_says_so(drr, wrong):
    truth = default_init(drr)
    camera = DRR(drr.subject, sdd=1000.0, height=100, delx=4.0, renderer="joseph", x0=4.0 if wrong else 0.0)
    with torch.no_grad():
        xray = camera(truth.to(torch.float32)).clamp_min(0) ** 0.8
    xray = xray + 0.03 * xray.max() * torch.rand(xray.shape, generator=torch.Generator().manual_seed(0))
    unknowns = UnknownGeometry(sdd_mm=10.0, x0_mm=2.0, y0_mm=2.0)
    result = register(xray, drr, off(truth), stages=STAGES, candidates=1, unknowns=unknowns)
    assert {"x0", "y0"} <= set(result.kept)
    assert result.status == (Status.AMBIGUOUS,)
    assert result.intrinsics[0]["x0"].item() == 0.0
    deviations = result.uncertainty.standard_deviations[0]
    isocentre = torch.zeros(1, 1, 3, dtype=DOUBLE)
    found, there = (drr.detector.camera_to_world(pose).inverse()(isocentre)[0, 0] for pose in (result.pose, truth))
    assert 0.5 < deviations[0] < 3
    assert ((found - there).abs() < 3 * deviations[:3]).all()
    assert "as given" in result.summary()
    assert set(result.outcome()["as given"]) == set(result.kept)


def test_two_images_keep_nothing(drr):
    turn = torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=DOUBLE))
    turn[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=DOUBLE)
    truths = [default_init(drr), RigidTransform(turn @ default_init(drr).matrix)]
    camera = DRR(drr.subject, sdd=1008.0, height=100, delx=4.0, renderer="joseph")
    with torch.no_grad():
        xrays = [camera(truth.to(torch.float32)) for truth in truths]
    starts = [RigidTransform(truth.matrix) for truth in truths]
    result = register(xrays, [drr, drr], starts, stages=STAGES, candidates=1, unknowns="sdd")
    assert result.kept == ()
    assert result.intrinsics[0]["sdd"].item() == pytest.approx(1008.0, abs=2.0)
