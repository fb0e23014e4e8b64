"""Registration from end to end: poses, structures and geometry that are found, and failures that are called so."""

import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from registration_cases import see

from raygrad.data import Subject, Volume, load_example_ct
from raygrad.drr import DRR
from raygrad.metrics import mean_target_registration_error
from raygrad.phantoms._shapes import Ellipsoid, Phantom
from raygrad.pose import RigidTransform, convert, se3_exp_map, se3_log_map
from raygrad.registration import (
    LocalCorrelation,
    RegistrationWarning,
    SearchRanges,
    Stage,
    Status,
    UnknownGeometry,
    default_schedule,
    register,
    search,
)
from raygrad.registration._problem.bodies import middle, separate_bodies, whole_body

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
SIDE = 100
TARGETS = 100 * (2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)).double() - 1)
QUICK = (
    Stage(25, LocalCorrelation(9), iterations=10, tolerance=0.5, keep=2),
    Stage(50, LocalCorrelation(9), iterations=10, tolerance=0.01),
)
"""For what does not depend on accuracy."""


def make_pose(rot_deg=(0.0, 0.0, 0.0), xyz=(0.0, 850.0, 0.0)):
    rot, xyz = (torch.tensor(values, dtype=DOUBLE).reshape(-1, 3) for values in (rot_deg, xyz))
    return convert(torch.deg2rad(rot), xyz, parameterization="euler_angles", convention="ZXY")


AP, LATERAL = make_pose(), make_pose((90.0, 0.0, 0.0))
MOTION = make_pose((12.0, -10.0, 8.0), (15.0, 870.0, -15.0)).matrix @ AP.inverse().matrix
"""Of the patient, who lies 10 degrees and 15 mm off what was thought, on every axis."""


def off(pose):
    """A start from which a pose is looked for."""
    return RigidTransform(MOTION @ pose.matrix)


def error(pose, truth=AP, targets=TARGETS):
    """The mean target registration error in mm of every start."""
    return mean_target_registration_error(pose, truth, targets)


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(128, 128, 67))


def make_drr(subject, **options):
    return DRR(subject, **{"sdd": 1020.0, "height": SIDE, "delx": 400.0 / SIDE, "renderer": "joseph"} | options)


@pytest.fixture(scope="module")
def drr(subject):
    return make_drr(subject)


def take(drr, pose=AP):
    return drr(RigidTransform(pose.matrix.to(drr.dtype))).detach()


@pytest.fixture(scope="module")
def xray(drr):
    return take(drr)


@pytest.fixture(scope="module")
def found(drr, xray):
    """From one start, with all that a result tells."""
    return register(xray, drr, off(AP))


def assert_found(result, truth=AP, mm=0.3):
    assert result.status == (Status.CONVERGED,) * len(result.status)
    assert (error(result.pose, truth) < mm).all()


# What is found


def test_a_pose_is_found(found):
    assert error(off(AP)) > 20
    assert_found(found, mm=0.01)
    assert found.score.item() == pytest.approx(1, abs=1e-4)
    assert 0 < found.seconds < 60


def test_lateral_views_are_found_whatever_renders_them(subject, drr):
    """Siddon's image is not Joseph's: what is compared is not what is seen, as with real X-rays."""
    xray = take(make_drr(subject, renderer="siddon"), LATERAL)
    starts = make_pose([(78.0, 10.0, -8.0), (100.0, -12.0, 14.0)], [(-15.0, 840.0, 15.0), (18.0, 860.0, -20.0)])
    result = register(xray, drr, starts)
    assert_found(result, LATERAL)
    assert len(result.pose) == len(result.status) == len(result.score) == 2
    alone = register(xray, drr, RigidTransform(starts.matrix[:1]))
    assert error(alone.pose, result.only(0).pose) < 0.02  # neighbours of the batch do not matter


def test_two_views_find_one_motion_of_the_patient(drr, xray):
    result = register([xray, take(drr, LATERAL)], [drr, drr], [off(AP), off(LATERAL)])
    assert_found(result, mm=0.01)
    assert (error(result.poses[1], LATERAL) < 0.01).all()
    relative = [second.matrix.inverse() @ first.matrix for first, second in ((AP, LATERAL), result.poses)]
    torch.testing.assert_close(relative[1], relative[0], rtol=0, atol=1e-9)  # was given, and is kept


@pytest.mark.parametrize(
    ("orientation", "options"),
    [
        ("PA", {}),
        (None, {}),
        ("AP", {"height": 80, "width": 120, "delx": 3.5, "dely": 5.0}),
        ("AP", {"x0": 20.0, "y0": -15.0, "reverse_x_axis": False, "reshape": False}),
    ],
    ids=["PA", "none", "anisotropic", "off centre"],
)
def test_every_camera_will_do(subject, orientation, options):
    other = Subject(subject.volume, subject.density, orientation=orientation)
    drr = make_drr(other, **options)
    beam = drr.detector.reorient.matrix[0, :3, 2].double()
    truth = torch.eye(4, dtype=DOUBLE)
    truth[:3, 3] = -850 * beam
    truth = RigidTransform(truth)
    assert_found(register(take(drr, truth).reshape(drr.detector.height, drr.detector.width), drr, off(truth)), truth)


def test_a_ct_far_from_the_worlds_origin_is_turned_about_its_own_centre(subject, xray):
    """As files have it that were not centred: registration goes the same way, elsewhere."""
    shift = torch.eye(4, dtype=DOUBLE)
    shift[:3, 3] = torch.tensor([800.0, -300.0, 1200.0])
    moved = Subject(subject.volume.moved(shift), subject.density.data)
    drr = make_drr(moved)
    truth = RigidTransform(shift @ AP.matrix)
    # Weights rounded elsewhere would make another of two equal candidates the leader for a while.
    found = register(xray, make_drr(subject), off(AP), coverage=False)
    result = register(xray, drr, RigidTransform(shift @ off(AP).matrix), coverage=False)
    assert result.status == (Status.CONVERGED,)
    assert error(result.pose, truth, TARGETS + shift[:3, 3]) < 0.05
    for here, there in zip(found.trace[:5], result.trace[:5], strict=True):
        torch.testing.assert_close(there.score, here.score, rtol=0, atol=1e-4)
        torch.testing.assert_close(there.pose.matrix, shift @ here.pose.matrix, rtol=0, atol=0.1)


def test_double_precision_and_gradients_of_the_density_do_not_matter(subject, xray, found):
    drr = make_drr(subject).double()
    drr.density.requires_grad_()
    result = register(xray, drr, off(AP), stages=QUICK)
    assert_found(result, mm=1.0)
    assert not result.pose.matrix.requires_grad
    assert not result.score.requires_grad
    assert drr.density.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_without_autograd(subject, drr, xray, mode):
    with mode():
        assert_found(register(xray, drr, off(AP), stages=QUICK), mm=1.0)
        camera = make_drr(Subject(subject.volume, subject.density.data * 2))  # made in there too
        assert_found(register(take(camera), camera, off(AP), stages=QUICK), mm=1.0)


def test_the_same_seed_gives_the_same_result_and_others_the_same_pose(drr, xray, found):
    again, other = register(xray, drr, off(AP)), register(xray, drr, off(AP), seed=1)
    assert torch.equal(again.pose.matrix, found.pose.matrix)
    assert torch.equal(again.score, found.score)
    assert [len(it.score) for it in again.trace] == [len(it.score) for it in found.trace]
    assert error(other.pose, found.pose) < 0.01
    assert not torch.equal(other.trace[3].pose.matrix, found.trace[3].pose.matrix)


# Structures and geometry


def test_a_spine_that_moved_by_itself_is_found(subject, drr):
    labels = [label for label, name in subject.structures.items() if "vertebra" in name or "spin" in name.lower()]
    labels = [label for label in labels if bool((drr.mask == label).any())]
    rest, spine = separate_bodies(drr, {"spine": labels})
    motion = torch.eye(4, dtype=DOUBLE)
    motion[:3, 3] = torch.tensor([2.0, 0.5, 2.0])  # where the camera is, seen from the spine
    image = sum(
        whole_image(drr, body, RigidTransform(pose)) for body, pose in ((rest, AP.matrix), (spine, motion @ AP.matrix))
    )
    result = register(image, drr, off(AP), structures={"spine": labels})
    assert result.status == (Status.CONVERGED,)
    assert error(result.pose) < 0.3
    seen = middle(spine) + 0.3 * TARGETS
    assert error(AP, RigidTransform(motion @ AP.matrix), seen) > 2.5
    assert error(result.structures["spine"][0], RigidTransform(motion @ AP.matrix), seen) < 0.8
    of_the_spine = register(image, drr, off(AP), rigid=labels)
    torch.testing.assert_close(of_the_spine.pose.matrix, result.structures["spine"][0].matrix, rtol=0, atol=1e-3)
    assert of_the_spine.uncertainty.weakest()[1] > result.uncertainty.weakest()[1]  # there is less of it
    assert of_the_spine.structures == of_the_spine.bodies == {}


def whole_image(drr, body, pose):
    """What a DRR's camera sees of one body."""
    return see(body, drr.detector, pose.matrix).reshape(1, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("truth", "unknowns"),
    [
        ({"sdd": 1028.0}, UnknownGeometry(sdd_mm=10.0)),
        ({"x0": 3.0, "y0": -3.0}, UnknownGeometry(x0_mm=5.0, y0_mm=5.0)),
        ({"delx": 4.04, "dely": 4.04}, UnknownGeometry(pixel_size=0.02)),
    ],
    ids=["sdd", "principal point", "pixel size"],
)
def test_geometry_that_is_not_known_exactly_is_found_from_two_views(subject, drr, truth, unknowns):
    camera = make_drr(subject, **truth)
    xrays, starts = [take(camera, AP), take(camera, LATERAL)], [off(AP), off(LATERAL)]
    assumed = register(xrays, [drr, drr], starts)
    result = register(xrays, [drr, drr], starts, unknowns=unknowns)
    assert result.status == (Status.CONVERGED,)
    assert error(result.pose) < 0.1
    assert error(result.pose) < 0.5 * error(assumed.pose)
    for view in result.intrinsics:
        assert view.keys() == truth.keys()
        for name, value in truth.items():
            assert view[name].item() == pytest.approx(value, abs=0.05 if name != "sdd" else 0.3)
    assert assumed.intrinsics == ()


def test_a_relative_pose_that_is_not_known_exactly_is_found(drr, xray):
    tilt = se3_exp_map(torch.tensor([[2.0, -1.0, 1.5, 0.01, -0.015, 0.01]], dtype=DOUBLE))
    starts = [off(AP), RigidTransform(MOTION @ tilt @ LATERAL.matrix)]
    result = register(
        [xray, take(drr, LATERAL)], [drr, drr], starts, unknowns=UnknownGeometry(pose_deg=1.0, pose_mm=3.0)
    )
    assert result.status == (Status.CONVERGED,)
    assert error(result.pose) < 0.1
    assert error(result.poses[1], LATERAL) < 0.1


# Faults of the X-ray


def test_what_a_mask_hides_does_not_matter(drr, xray, found):
    spoilt, mask = xray.clone(), torch.ones(SIDE, SIDE)
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = (row - 70) ** 2 + (column - 25) ** 2 < 15**2
    spoilt[0, 0, disc] += 1.5 * xray.max()
    mask[disc] = 0
    assert error(register(spoilt, drr, off(AP)).pose) > 0.1
    assert_found(register(spoilt, drr, off(AP), mask=mask), mm=0.02)


def test_wires_brightness_and_contrast_are_forgiven(drr, xray):
    wired = 0.02 * xray + 3
    wired[..., 20:, 31] += 0.4 * wired.max()
    assert_found(register(wired, drr, off(AP)), mm=0.05)
    unaware = [replace(stage, robust=False) for stage in default_schedule()]
    assert error(register(wired, drr, off(AP), stages=unaware).pose) > 0.1


def test_trusted_pixels_are_chosen_anew_while_the_pose_moves(drr, xray):
    stage = Stage(100, LocalCorrelation(9), iterations=30, tolerance=0.01, robust=True)

    def beginnings(init):
        trace = register(xray, drr, init, candidates=1, stages=[stage]).trace
        return sum(iteration.number == 0 for iteration in trace)

    assert beginnings(make_pose((3.0, 3.0, -3.0))) > 1
    assert beginnings(make_pose()) == 1


# Failures that are called so


def test_an_inverted_x_ray_is_warned_of_and_not_found(drr, xray):
    with pytest.warns(RegistrationWarning, match="looks inverted"):
        result = register(xray.max() - xray, drr, off(AP), stages=QUICK)
    assert result.status == (Status.NO_MATCH,)


def test_noise_and_another_anatomy_do_not_match(subject, drr):
    upside_down = make_drr(Subject(subject.volume, subject.density.data.flip(3)))
    noise = torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    for xray in (noise, take(upside_down)):
        assert register(xray, drr, off(AP), stages=QUICK).status == (Status.NO_MATCH,)


def test_starts_too_far_away_do_not_match_and_leave_others_alone(drr, xray):
    starts = RigidTransform(torch.cat([make_pose((0.0, 0.0, 100.0)).matrix, off(AP).matrix]))
    result = register(xray, drr, starts)
    assert result.status == (Status.NO_MATCH, Status.CONVERGED)
    assert result.converged.tolist() == [False, True]
    assert result.best == 1
    assert error(result.pose)[0] > 20
    assert error(result.pose)[1] < 0.01


@pytest.mark.parametrize(
    "shape",
    [
        Ellipsoid((0, 0, 0), (90, 90, 90)),
        Phantom([Ellipsoid((0, 0, 0), (60, 60, 100)), Ellipsoid((0, 0, 50), (30, 30, 30))]),
    ],
    ids=["ball", "spinning top"],
)
def test_a_body_that_looks_the_same_from_elsewhere_is_ambiguous(shape):
    voxel_to_world = np.diag([4.0, 4.0, 4.0, 1.0])
    voxel_to_world[:3, 3] = -126
    density = shape.voxelize((64, 64, 64), voxel_to_world)
    drr = make_drr(Subject(Volume(density, voxel_to_world), density))
    xray = shape.line_integrals(*drr.detector(AP)).reshape(SIDE, SIDE)
    result = register(xray, drr, make_pose((20.0, 5.0, 5.0)))
    assert result.status == (Status.AMBIGUOUS,)
    assert result.score.item() > 0.99


def test_a_run_that_is_cut_short_says_so(drr, xray):
    *stages, last = default_schedule()
    result = register(xray, drr, off(AP), stages=[*stages, replace(last, iterations=0)])
    assert result.status == (Status.OUT_OF_ITERATIONS,)


def test_the_mirrored_view_from_behind_is_no_match(drr, xray):
    result = register(xray, drr, make_pose((170.0, 10.0, 0.0)))
    assert result.status[0] is Status.NO_MATCH


def test_a_start_in_the_isocentre_is_told_of_and_does_no_harm(drr, xray):
    with pytest.warns(RegistrationWarning, match="source is inside the CT"):
        result = register(xray, drr, make_pose(xyz=(0.0, 0.0, 0.0)), candidates=1)
    assert result.status[0] is not Status.CONVERGED


# Search


def test_a_search_finds_the_pose_from_nothing_and_ranks(drr):
    truth = make_pose((15.0, -10.0, 8.0), (20.0, 880.0, -15.0))
    xray = take(drr, truth)
    ranges = SearchRanges(degrees=25.0, mm=40.0)
    stages = [
        replace(stage, margin=50.0, iterations=20, keep=keep) for stage, keep in zip(QUICK, (64, 16), strict=True)
    ]
    result = search(xray, drr, ranges, poses=512, keep=3, stages=stages, coverage=False)  # no fine stage
    assert error(result.pose, truth)[0] < 1.0
    assert result.status[0] is Status.CONVERGED
    assert result.score.tolist() == sorted(result.score.tolist(), reverse=True)
    assert len(result.pose) in (2, 3)
    assert error(result.pose, truth)[1:].min() > 3  # others are apart
    assert (result.trace[0].score.shape, result.trace[0].pixels) == ((1,), (25, 25))
    few, again = (search(xray, drr, ranges, poses=32, keep=2, stages=stages[:1]) for _ in range(2))
    assert torch.equal(again.pose.matrix, few.pose.matrix)


@pytest.mark.parametrize("init", [None, make_pose((5.0, 3.0, -4.0))], ids=["no start", "about a start"])
def test_registration_without_a_good_start_searches(drr, xray, monkeypatch, init):
    monkeypatch.setattr(sys.modules["raygrad.registration._register"], "search", partial(search, poses=256))
    monkeypatch.setattr(sys.modules["raygrad.registration._search"], "REFINED", 24)
    stages = [replace(QUICK[0], keep=24), QUICK[1]]
    result = register(xray, drr, init, ranges=SearchRanges(12.0, 20.0), stages=stages)
    assert_found(result, mm=1.0)
    assert len(result.pose) == 1


# The way there


def test_a_callback_sees_every_iteration_and_may_end_the_run(drr, xray, found):
    seen = []

    def stop(iteration):
        seen.append(iteration)
        return len(seen) == 5

    result = register(xray, drr, off(AP), callback=stop)
    assert len(seen) == len(result.trace) == 5
    assert all(one is other for one, other in zip(seen, result.trace, strict=True))
    assert result.status == (Status.STOPPED,)
    stages = [(it.stage, it.number) for it in found.trace]
    assert stages == sorted(stages)
    assert {stage for stage, _ in stages} == set(range(6))
    assert [it.seconds for it in found.trace] == sorted(it.seconds for it in found.trace)
    assert found.trace[0].pixels == (25, 25)
    assert found.trace[-1].pixels == (100, 100)
    torch.testing.assert_close(found.trace[-1].pose.matrix, found.pose.matrix)


@pytest.mark.parametrize(("left", "status"), [(0, Status.CONVERGED), (1, Status.STOPPED), (12, Status.STOPPED)])
def test_who_had_come_to_rest_is_not_called_stopped(drr, xray, found, left, status):
    """A run that is ended so many iterations before its end: within the last stage, or before it."""
    seen = []

    def stop(iteration):
        seen.append(iteration)
        return len(seen) == len(found.trace) - left

    result = register(xray, drr, off(AP), callback=stop)
    assert result.status == (status,)
    assert len(result.trace) == len(found.trace) - left


def test_progress_is_shown(drr, xray, capsys):
    register(xray, drr, off(AP), stages=QUICK, progress=True)
    assert "50 x 50 pixels, score 0.9" in capsys.readouterr().err


# Uncertainty


def test_predicted_deviations_are_those_of_repeated_x_rays(subject):
    """Noise, not its realisation, decides how far poses scatter; depth is the weakest.

    Deviations are a few times larger, for noise hides what the model of real X-rays gets wrong.
    """
    drr = make_drr(subject, height=50, delx=8.0)
    clean = take(drr)
    stages = [Stage(50, LocalCorrelation(9), iterations=10, tolerance=1e-3)]
    generator = torch.Generator().manual_seed(0)
    twists, predicted = [], []
    axes = (AP.matrix[0] @ drr.detector.reorient.matrix[0].double())[:3, :3]
    centre = middle(whole_body(drr))
    for _ in range(16):
        noisy = clean + 0.01 * clean.max() * torch.randn(clean.shape, generator=generator)
        result = register(noisy, drr, AP, stages=stages, candidates=1)
        motion = result.pose.matrix @ AP.matrix.inverse()
        motion[:, :3, 3] += motion[:, :3, :3] @ centre - centre
        twist = se3_log_map(motion)[0]
        twists.append(torch.cat([twist[:3] @ axes, twist[3:] @ axes]))
        predicted.append(result.uncertainty.standard_deviations[0])
    scatter = torch.stack(twists).square().mean(0).sqrt()
    ratio = scatter / torch.stack(predicted).mean(0)
    assert (ratio > 0.2).all()
    assert (ratio < 1).all()
    assert scatter[:3].argmax() == 2
    assert result.uncertainty.weakest()[1] >= predicted[-1][2]
