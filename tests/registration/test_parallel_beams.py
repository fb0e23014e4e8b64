"""Registration to X-rays by parallel beams, which tell all of a pose but how deep it lies."""

import math

import pytest
import torch
from registration_cases import make_drr, make_subject

from raygrad import register, search
from raygrad.pose import RigidTransform, convert
from raygrad.registration import RegistrationWarning, SearchRanges, Status, prepare_xrays
from raygrad.registration._problem.depth import at_depth, depth_of, without_depth
from raygrad.registration._search import default_init
from raygrad.registration._solver.levenberg_marquardt import Linearisation

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64


def make_pose(rotation=(0.0, 0.0, 0.0), xyz=(0.0, 850.0, 0.0)):
    angles, translation = torch.tensor([rotation], dtype=DOUBLE), torch.tensor([xyz], dtype=DOUBLE)
    return convert(angles, translation, parameterization="euler_angles", convention="ZXY")


TRUTH = make_pose((0.05, -0.1, 0.08), (4.0, 850.0, -6.0))


@pytest.fixture(scope="module")
def drr():
    return make_drr(make_subject(), parallel=True)


@pytest.fixture(scope="module")
def xray(drr):
    return drr(TRUTH)


def test_all_of_a_pose_is_found_but_its_depth_which_stays_the_starts(drr, xray):
    result = register(xray, drr, make_pose())
    assert result.status == (Status.CONVERGED,)
    torch.testing.assert_close(result.pose.matrix, TRUTH.matrix, rtol=0, atol=1e-3)
    motion, deviation = result.uncertainty.weakest()
    assert motion[2].item() == pytest.approx(1.0)
    assert deviation == pytest.approx(1e6)
    assert (result.uncertainty.standard_deviations[0, [0, 1, 3, 4, 5]] < 1e-3).all()
    deeper = register(xray, drr, make_pose(xyz=(0.0, 790.0, 0.0)))
    shift = TRUTH.matrix[0, :3, 3] - deeper.pose.matrix[0, :3, 3]
    beam = drr.detector.camera_to_world(TRUTH).matrix[0, :3, 2]
    assert deeper.status == (Status.CONVERGED,)
    torch.testing.assert_close(shift, -60 * beam, rtol=0, atol=1e-3)


def test_rounding_is_no_way_along_the_beam(drr):
    """Which for a beam along an axis of the world is an unknown by itself."""
    truth = make_pose(xyz=(4.0, 850.0, -6.0))
    result = register(drr(truth), drr, make_pose())
    assert result.status == (Status.CONVERGED,)
    depths = torch.cat([iteration.pose.matrix for iteration in result.trace])[:, 1, 3]
    assert (depths - 850).abs().max() < 25  # that of a candidate's start
    torch.testing.assert_close(result.pose.matrix, truth.matrix, rtol=0, atol=1e-3)


def test_starts_at_several_depths_are_no_rivals(drr, xray):
    result = search(xray, drr, SearchRanges(15, 40), poses=512, keep=2)
    assert result.status[0] is Status.CONVERGED
    torch.testing.assert_close(result.pose.matrix[0, :3, :3], TRUTH.matrix[0, :3, :3], rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_methods_by_gradients_find_it_too(drr, xray, method):
    result = register(xray, drr, make_pose(), method=method)
    points = torch.tensor([[[30.0, 0.0, -20.0], [-10.0, 25.0, 40.0]]], dtype=DOUBLE)
    apart = drr.perspective_projection(result.pose, points) - drr.perspective_projection(TRUTH, points)
    assert apart.abs().max() < 0.1  # pixels of 8 mm


def test_a_view_that_is_far_off_is_no_match(drr, xray):
    result = register(xray, drr, make_pose((3.0, 0.0, 0.0)))
    assert result.status == (Status.NO_MATCH,)


@pytest.mark.parametrize("other", ["parallel", "cone"])
def test_a_second_view_tells_the_depth(drr, xray, other):
    turn = make_pose((math.radians(80), 0.0, 0.0), (0.0, 0.0, 0.0))
    second = drr if other == "parallel" else make_drr(drr.subject)
    motion = make_pose((0.04, 0.02, -0.05), (5.0, -12.0, 7.0))
    starts = [make_pose(), make_pose().compose(turn)]
    truths = [start.compose(motion) for start in starts]
    result = register([drr(truths[0]), second(truths[1])], [drr, second], starts)
    assert result.status == (Status.CONVERGED,)
    for found, truth in zip(result.poses, truths, strict=True):
        torch.testing.assert_close(found.matrix, truth.matrix, rtol=0, atol=2e-2)
    assert result.uncertainty.weakest()[1] < 1


def test_views_along_one_beam_from_both_sides_tell_no_depth(drr):
    starts = [make_pose(), make_pose((math.pi, 0.0, 0.0))]
    motion = make_pose((0.04, 0.02, -0.05), (5.0, 0.0, 7.0))
    truths = [start.compose(motion) for start in starts]
    result = register([drr(truth) for truth in truths], [drr, drr], starts)
    assert result.status == (Status.CONVERGED,)
    assert result.uncertainty.weakest()[1] == pytest.approx(1e6)
    relative = (result.poses[1].matrix @ result.poses[0].matrix.inverse())[0, :3, 3]
    torch.testing.assert_close(relative, (truths[1].matrix @ truths[0].matrix.inverse())[0, :3, 3], rtol=0, atol=2e-2)


def test_unknown_intrinsics_are_refused_and_structures_move(drr, xray):
    for run in (lambda: register(xray, drr, make_pose(), unknowns="sdd"), lambda: search(xray, drr, unknowns="x0")):
        with pytest.raises(ValueError, match=r"Expected a cone beam for unknown intrinsics .* Got a parallel beam"):
            run()
    result = register(xray, drr, make_pose(), structures={"half": [1]})
    torch.testing.assert_close(result.structures["half"][0].matrix, TRUTH.matrix, rtol=0, atol=2e-2)


def test_a_linearisation_without_depth_has_no_step_along_the_beam():
    draw = torch.Generator().manual_seed(0)
    beams = torch.nn.functional.normalize(torch.randn(3, 2, 3, generator=draw, dtype=DOUBLE), dim=-1)
    jacobian = torch.randn(3, 40, 13, generator=draw, dtype=DOUBLE)
    normal, gradient = jacobian.mT @ jacobian, torch.randn(3, 13, generator=draw, dtype=DOUBLE)
    at = without_depth(Linearisation(gradient[:, 0], gradient, normal, normal, gradient[:, 0]), beams)
    step = torch.linalg.solve(at.normal, -at.gradient)
    along = (step[:, :12].reshape(3, 2, 2, 3)[:, :, 0] * beams).sum(-1)
    assert along.abs().max() < 1e-12
    # What a problem of unknowns across the beam alone would do.
    for one in range(3):
        across = torch.eye(13, dtype=DOUBLE)
        for body in range(2):
            place = slice(6 * body, 6 * body + 3)
            across[place, place] -= torch.outer(beams[one, body], beams[one, body])
        basis = torch.linalg.svd(across)[0][:, :11]
        expected = -basis @ torch.linalg.solve(basis.T @ normal[one] @ basis, basis.T @ gradient[one])
        torch.testing.assert_close(step[one], expected)


def test_depth_is_taken_along_the_beam():
    poses = RigidTransform(torch.cat([TRUTH.matrix, make_pose().matrix])).matrix[:, None]
    beams = torch.nn.functional.normalize(torch.tensor([[[1.0, 2, 3]], [[0, -1, 0]]], dtype=DOUBLE), dim=-1)
    point = torch.tensor([1.0, -2.0, 5.0], dtype=DOUBLE)
    moved = at_depth(7.0, point, poses, beams)
    torch.testing.assert_close(depth_of(point, moved, beams), torch.full((2, 1), 7.0, dtype=DOUBLE))
    assert torch.linalg.cross((moved - poses)[..., :3, 3], beams).abs().max() < 1e-9
    torch.testing.assert_close(moved[..., :3, :3], poses[..., :3, :3])


def test_rays_that_begin_in_the_ct_are_warned_of(drr, xray):
    start = make_pose(xyz=(70.0, 55.0, 0.0))  # beside the CT, but the plane in which rays begin cuts it
    with pytest.warns(RegistrationWarning, match="Where rays of the parallel beam begin is inside the CT"):
        prepare_xrays(xray, drr, start)


def test_a_search_without_a_start_begins_with_the_ct_halfway(drr, xray):
    assert default_init(drr).matrix[0, :3, 3].tolist() == pytest.approx([0.0, 510.0, 0.0], abs=1e-6)


def test_poses_of_views_are_unknown_too(drr):
    turn = make_pose((math.radians(80), 0.0, 0.0), (0.0, 0.0, 0.0))
    starts = [make_pose(), make_pose().compose(turn)]
    motion, slip = make_pose((0.04, 0.02, -0.05), (5.0, -12.0, 7.0)), make_pose((0.01, -0.005, 0.0), (1.0, 2.0, -1.5))
    truths = [starts[0].compose(motion), starts[1].compose(slip).compose(motion)]
    result = register([drr(truth) for truth in truths], [drr, drr], starts, unknowns="poses")
    assert result.status == (Status.CONVERGED,)
    points = torch.tensor([[[30.0, 0.0, -20.0], [-10.0, 25.0, 40.0]]], dtype=DOUBLE)
    for found, truth in zip(result.poses, truths, strict=True):
        apart = drr.perspective_projection(found, points) - drr.perspective_projection(truth, points)
        assert apart.abs().max() < 0.1  # pixels of 8 mm
