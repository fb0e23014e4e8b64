"""What a result says: in numbers, in words, in a file, of all starts and of one."""

import csv
import json
import math
from dataclasses import replace

import pytest
import torch
from registration_cases import make_drr, make_subject

from raygrad.data import Subject
from raygrad.geometry import Detector, UnknownGeometry
from raygrad.march import Marching, Prepared
from raygrad.pose import RigidTransform, random_rigid_transform, se3_exp_map
from raygrad.registration import Iteration, RegistrationResult, Status, Uncertainty, displacements
from raygrad.registration._outcome import MATCH, UNDETERMINED_MM, _decide
from raygrad.registration._problem.pose_problem import PoseProblem, ScaledXRay, States
from raygrad.registration._problem.similarity import GlobalCorrelation
from raygrad.registration._problem.uncertainty import estimate_uncertainty
from raygrad.registration._problem.volumes import Volumes
from raygrad.registration._result import AXES
from raygrad.registration._solver.levenberg_marquardt import Linearisation

DOUBLE = torch.float64
STARTS = 3


def poses(seed=0):
    return random_rigid_transform(STARTS, generator=torch.Generator().manual_seed(seed))


def covariance(*deviations):
    """Independent motions, the same for every start: mm, then radians."""
    return torch.diag(torch.tensor(deviations, dtype=DOUBLE) ** 2).expand(STARTS, 6, 6)


@pytest.fixture
def result():
    trace = tuple(
        Iteration(number, 0.5, stage, (50, 40), poses(number), torch.tensor([0.1, 0.2, 0.3]) + number / 10, damping)
        for stage, number, damping in ((0, 0, torch.tensor([1.0, 2.0, 1e-7])), (0, 1, None), (1, 0, None))
    )
    return RegistrationResult(
        (poses(1), poses(2)),
        torch.tensor([0.7, 0.95, 0.9]),
        (Status.NO_MATCH, Status.AMBIGUOUS, Status.CONVERGED),
        trace,
        1.25,
        Uncertainty(covariance(0.1, 0.2, 3.0, 1e-3, 2e-3, 1e-3) * torch.tensor([1.0, 4, 9])[:, None, None], 100.0),
        ({"sdd": torch.tensor([1.0, 2, 3])}, {"sdd": torch.tensor([4.0, 5, 6])}),
        {"spine": (poses(3), poses(4))},
    )


def test_only_what_converged_is_a_success(result):
    assert [status for status in Status if status is Status.CONVERGED] == [Status.CONVERGED]
    assert result.converged.tolist() == [False, False, True]
    assert result.best == 2  # though the ambiguous one has a higher score
    none = RegistrationResult(result.poses, result.score, (Status.NO_MATCH,) * STARTS, (), 0.1)
    assert none.best == 1
    assert not none.converged.any()


def test_the_pose_is_that_of_the_first_view(result):
    assert result.pose is result.poses[0]


def test_one_start_alone_keeps_all_that_is_its(result):
    one = result.only(1)
    assert one.status == (Status.AMBIGUOUS,)
    assert one.score.tolist() == pytest.approx([0.95])
    for mine, whole in zip(one.poses, result.poses, strict=True):
        assert torch.equal(mine.matrix, whole.matrix[1:2])
    assert torch.equal(one.uncertainty.covariance, result.uncertainty.covariance[1:2])
    assert one.uncertainty.radius == 100.0
    assert [view["sdd"].tolist() for view in one.intrinsics] == [[2.0], [5.0]]
    assert torch.equal(one.structures["spine"][1].matrix, result.structures["spine"][1].matrix[1:2])
    assert one.trace == result.trace
    assert result.only(STARTS - 1).best == 0
    bare = RegistrationResult(result.poses, result.score, result.status, (), 0.1).only(0)
    assert bare.uncertainty is None
    assert bare.intrinsics == ()


def test_the_summary_says_in_words_what_matters(result):
    best, other = result.summary(), result.summary(0)
    assert best.startswith("converged, score 0.9000, 1.25 s")
    assert "standard deviation 0.6 mm in plane, 9 mm in depth, 0.34 degrees" in best
    assert "least determined: depth (9 mm)" in best
    assert other.startswith("no match, score 0.7000")
    assert "3 mm in depth" in other
    bare = RegistrationResult(result.poses, result.score, result.status, (), 0.1)
    assert bare.summary() == "converged, score 0.9000, 0.10 s"


def test_how_the_starts_ended_is_seen_at_once(result):
    assert repr(result) == "RegistrationResult(3 start(s): 1 converged, 1 ambiguous, 1 no match; 1.25 s)"
    assert str(Status.OUT_OF_ITERATIONS) == "ran out of iterations"
    assert f"{Status.STALLED}" == "stalled"


def test_the_trace_is_written_row_by_row(result, tmp_path):
    path = tmp_path / "trace.csv"
    result.save_trace(path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == len(result.trace) * STARTS
    expected = ((iteration, start) for iteration in result.trace for start in range(STARTS))
    for row, (iteration, start) in zip(rows, expected, strict=True):
        numbers = [int(row[name]) for name in ("stage", "iteration", "start")]
        assert numbers == [iteration.stage, iteration.number, start]
        assert (row["rows"], row["columns"]) == ("50", "40")
        assert float(row["score"]) == pytest.approx(iteration.score[start].item())
        matrix = [[float(row[f"m{i}{j}"]) for j in range(4)] for i in range(3)]
        torch.testing.assert_close(torch.tensor(matrix), iteration.pose.matrix[start, :3], rtol=1e-6, atol=1e-6)
        if iteration.damping is None:
            assert row["damping"] == ""
        else:
            assert float(row["damping"]) == pytest.approx(iteration.damping[start].item(), rel=1e-4)


def test_the_way_of_a_start_is_read_from_the_trace(result):
    for start in range(STARTS):
        way = result.path(start)
        expected = torch.stack([iteration.pose.matrix[start] for iteration in result.trace])
        torch.testing.assert_close(way.matrix, expected)
        torch.testing.assert_close(result.scores(start), torch.tensor([0.1, 0.2, 0.1]) + 0.1 * start)
        # The second view lies to the first as it does in the end.
        to_first = torch.linalg.solve(result.poses[0].matrix[start], result.poses[1].matrix[start])
        torch.testing.assert_close(result.path(start, view=1).matrix, way.matrix @ to_first, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(result.path().matrix, result.path(result.best).matrix)
    with pytest.raises(ValueError, match=r"trace of the result's 1 start\(s\)\. Got one of 3"):
        result.only(1).path()


def test_an_outcome_is_numbers_and_texts_for_a_file(result):
    outcome = result.outcome()
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
    assert (outcome["status"], outcome["score"], outcome["starts"]) == ("converged", pytest.approx(0.9), STARTS)
    assert outcome["standard_deviations"]["depth (mm)"] == pytest.approx(9.0)
    assert outcome["standard_deviations"]["about y (degrees)"] == pytest.approx(math.degrees(6e-3), rel=1e-4)
    expected = result.structures["spine"][1].matrix[2].double()
    torch.testing.assert_close(
        torch.tensor(outcome["structures"]["spine"]["poses"][1], dtype=DOUBLE), expected, rtol=0, atol=1e-8
    )
    lost = replace(result, score=torch.full((STARTS,), math.nan), uncertainty=None, structures={}).outcome(0)
    assert lost == {"status": "no match", "score": None, "starts": STARTS, "seconds": 1.25}


def test_a_trace_that_cannot_be_written_is_an_os_error(result, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        result.save_trace(tmp_path / "nowhere" / "trace.csv")


# Uncertainty


def test_the_weakest_motion_is_the_longest_axis_of_the_ellipsoid():
    """Depth goes with the turn about y: neither alone says how far off both can be."""
    direction = torch.tensor([0.0, 0.0, 0.8, 0.0, 0.6, 0.0], dtype=DOUBLE)
    scaled = 0.01 * torch.eye(6, dtype=DOUBLE) + 25.0 * torch.outer(direction, direction)
    per_mm = torch.tensor([1.0] * 3 + [1 / 80.0] * 3, dtype=DOUBLE)
    uncertainty = Uncertainty((scaled * per_mm * per_mm[:, None])[None], 80.0)
    motion, deviation = uncertainty.weakest()
    torch.testing.assert_close(motion, direction, rtol=0, atol=1e-6)
    assert deviation == pytest.approx(math.sqrt(25.01))
    assert uncertainty.standard_deviations[0, 4].item() == pytest.approx(math.sqrt(0.01 + 25 * 0.36) / 80)
    flipped = Uncertainty(uncertainty.covariance.flip(1).flip(2), 80.0).weakest()[0]
    assert flipped[flipped.abs().argmax()] > 0


@pytest.mark.parametrize("axis", range(6))
def test_every_axis_is_called_by_its_name(axis):
    deviations = [0.1] * 3 + [1e-3] * 3
    deviations[axis] *= 20
    uncertainty = Uncertainty(covariance(*deviations), 100.0)
    result = RegistrationResult((poses(),), torch.ones(STARTS), (Status.CONVERGED,) * STARTS, (), 1.0, uncertainty)
    assert f"least determined: {AXES[axis]} (2 mm)" in result.summary()


def make_problem(pose):
    """A view, of which only the axes matter here."""
    reorient = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    detector = Detector(1020.0, 4, 4, 9.0, 9.0, 0.0, 0.0, reorient)
    body = Prepared.of(torch.ones(2, 2, 2), torch.eye(4, dtype=DOUBLE))
    xray = ScaledXRay(detector, Marching(), Volumes([body]), pose, torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4))
    still = torch.eye(4, dtype=DOUBLE).expand(1, 1, 4, 4)
    noise = torch.zeros(1, dtype=DOUBLE)
    problem = PoseProblem((xray,), GlobalCorrelation(), torch.zeros(1, 3, dtype=DOUBLE), 70.0, UnknownGeometry(), noise)
    return problem, States(torch.arange(1), still, still, torch.zeros(1, 1, 4, dtype=DOUBLE))


def linearisation(normal, scatter):
    zeros = torch.zeros(1, dtype=DOUBLE)
    return Linearisation(zeros, torch.zeros(1, len(normal), dtype=DOUBLE), normal[None], scatter[None], zeros)


def random_symmetric(size, seed):
    root = torch.randn(size, 2 * size, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return root @ root.T


def test_the_covariance_is_the_sandwich_in_the_cameras_axes():
    pose = se3_exp_map(torch.tensor([[3.0, -5.0, 8.0, 0.4, -0.3, 0.9]], dtype=DOUBLE))
    problem, states = make_problem(pose)
    normal, scatter = random_symmetric(6, 0), random_symmetric(6, 1)
    uncertainty = estimate_uncertainty(problem, states, linearisation(normal, scatter))
    world = torch.linalg.inv(normal) @ scatter @ torch.linalg.inv(normal)
    axes = (pose[0] @ problem.xrays[0].detector.reorient.matrix[0].double())[:3, :3]
    both = torch.block_diag(axes, axes)
    torch.testing.assert_close(uncertainty.covariance[0], both.T @ world @ both, rtol=1e-9, atol=1e-12)
    assert uncertainty.radius == 70.0
    # A twist along the beam alone is depth alone.
    beam = torch.cat([axes[:, 2], torch.zeros(3, dtype=DOUBLE)])
    alone = estimate_uncertainty(
        problem, states, linearisation(torch.eye(6, dtype=DOUBLE), 4 * torch.outer(beam, beam))
    )
    expected = torch.tensor([0.0, 0, 2, 0, 0, 0], dtype=DOUBLE)
    torch.testing.assert_close(alone.standard_deviations[0], expected, rtol=0, atol=1e-6)


def test_geometry_that_is_unknown_too_makes_the_pose_less_certain():
    problem, states = make_problem(torch.eye(4, dtype=DOUBLE)[None])
    normal = random_symmetric(8, 2)
    known = estimate_uncertainty(problem, states, linearisation(normal[:6, :6], normal[:6, :6]))
    unknown = estimate_uncertainty(problem, states, linearisation(normal, normal))
    assert unknown.covariance.shape == (1, 6, 6)
    assert (unknown.standard_deviations > known.standard_deviations).all()


def test_a_motion_that_nothing_depends_on_makes_no_nan():
    problem, states = make_problem(torch.eye(4, dtype=DOUBLE)[None])
    normal = random_symmetric(6, 3)
    normal[2] = normal[:, 2] = 0
    uncertainty = estimate_uncertainty(problem, states, linearisation(normal, normal))
    assert uncertainty.covariance.isfinite().all()


# Status


@pytest.mark.parametrize(
    ("match", "settled", "stuck", "rivalled", "status"),
    [
        (0.95, True, False, False, Status.CONVERGED),
        (0.95, False, False, False, Status.OUT_OF_ITERATIONS),
        (0.95, False, True, False, Status.STALLED),
        (0.95, True, False, True, Status.AMBIGUOUS),
        (MATCH - 0.01, True, False, False, Status.NO_MATCH),
        (MATCH - 0.01, True, False, True, Status.NO_MATCH),
        (math.nan, True, False, False, Status.NO_MATCH),
    ],
)
def test_the_status_is_the_worst_that_can_be_said(match, settled, stuck, rivalled, status):
    assert _decide(match, settled, stuck, rivalled) is status
    assert UNDETERMINED_MM > 0


def test_what_the_callback_ended_is_called_so():
    assert _decide(0.95, False, False, False, interrupted=True) is Status.STOPPED
    assert _decide(0.5, False, False, True, interrupted=True) is Status.STOPPED


# Displacements


def test_a_structure_has_moved_as_a_camera_would_have_moved_the_other_way():
    drr = make_drr(make_subject())
    rest = se3_exp_map(torch.tensor([[3.0, -5.0, 8.0, 0.4, -0.3, 0.9]], dtype=DOUBLE))
    inside = torch.nonzero(drr.mask == 1).double().mean(0)
    voxel_to_world = drr.subject.volume.voxel_to_world
    centre = voxel_to_world[:3, :3] @ inside + voxel_to_world[:3, 3]
    motion = se3_exp_map(torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.1]], dtype=DOUBLE))
    motion[:, :3, 3] = centre - motion[:, :3, :3] @ centre + torch.tensor([3.0, 0.0, 4.0], dtype=DOUBLE)
    moved = {"left": (RigidTransform(motion.inverse() @ rest),)}
    result = RegistrationResult((RigidTransform(rest),), torch.ones(1), (Status.CONVERGED,), (), 0.1, structures=moved)
    found = displacements(result, drr.subject, {"left": [1]})
    assert found["left"].mm == pytest.approx(5.0, abs=1e-6)
    assert found["left"].degrees == pytest.approx(math.degrees(0.1), abs=1e-6)
    plain = Subject(drr.subject.volume, drr.subject.density)
    with pytest.raises(ValueError, match="subject with a mask"):
        displacements(result, plain, {"left": [1]})
