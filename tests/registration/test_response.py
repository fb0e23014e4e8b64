"""What an X-ray makes of line integrals: fitted, differentiated, and poses that are found through it."""

from dataclasses import replace

import pytest
import torch
from registration_cases import DOUBLE, EVERYTHING, START, TRUTH, make_problem, make_states, make_subject

from raygrad.drr import DRR
from raygrad.metrics import NormalizedCrossCorrelation2d
from raygrad.registration import (
    GlobalCorrelation,
    GradientCorrelation,
    LevenbergMarquardt,
    LocalCorrelation,
    SearchRanges,
    Stage,
    Status,
    register,
    search,
    to_line_integrals,
)
from raygrad.registration._problem.response import (
    KNOTS,
    _isotonic,
    as_shown,
    fit_curve,
    fit_exponent,
    saturation,
)
from raygrad.registration._problem.robust import trusted_pixels

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE, PIXEL = 48, 10 / 3
STAGES = (
    Stage(12, GlobalCorrelation(), iterations=10, tolerance=0.5, keep=2),
    Stage(24, GlobalCorrelation(), iterations=15, tolerance=0.1, keep=2),
    Stage(48, LocalCorrelation(9), iterations=15, tolerance=0.01, robust=True),
)
FITTED = ("transmission", "curve")


def paths(entries=2, side=24, seed=0):
    """Line integrals from 0 to 5."""
    generator = torch.Generator().manual_seed(seed)
    return 5 * torch.rand(entries, 1, side, side, generator=generator, dtype=DOUBLE)


def everything(images):
    return torch.ones_like(images[:1])


# Derivatives


@pytest.mark.parametrize("similarity", [GradientCorrelation(), LocalCorrelation(5)], ids=str)
@pytest.mark.parametrize("response", FITTED)
def test_derivatives_by_every_unknown_go_through_the_response(response, similarity):
    problem = make_problem(1, 2, similarity, EVERYTHING, entries=2)
    states = make_states(problem)
    problem = problem.responding(states, response)
    derivatives = problem.features(states, 0)[0][:, 1:]
    h = 1e-7  # so short that hardly a ray crosses from one voxel into the next, where Joseph's slopes jump
    for number, found in enumerate(derivatives.unbind(1)):
        step = torch.zeros(2, derivatives.shape[1], dtype=DOUBLE)
        step[:, number] = h
        ends = (problem.features(problem.moved(states, sign * step), 0, False)[0][:, 0] for sign in (1, -1))
        difference = torch.sub(*ends) / (2 * h)
        assert difference.abs().max() > 1e-6
        torch.testing.assert_close(found, difference, rtol=0, atol=2e-3 * float(difference.abs().max()))


@pytest.mark.parametrize("response", FITTED)
def test_a_response_has_the_derivative_that_it_claims(response):
    image = paths()
    xray = image[:1].sin() + image[:1]
    weights = everything(image)
    fitted = (
        fit_curve(image, xray, weights)
        if response == "curve"
        else fit_exponent(image, xray, weights, lambda tried: -(tried.exponent - 0.5).abs())
    )
    entry = torch.arange(2)
    for beyond in (0.0, 2.0):  # longer paths than those that it was fitted to
        at = image + beyond
        slope = fitted(torch.cat([at, torch.ones_like(at)], 1), entry)[:, 1]
        after, before = (fitted(at + h, entry)[:, 0] for h in (1e-6, -1e-6))
        torch.testing.assert_close(slope, (after - before) / 2e-6, rtol=1e-4, atol=1e-6)
        assert (slope > 0).all()


# Fits


def test_the_isotonic_regression_is_the_best_of_all():
    """Against pooling adjacent violators, which is another way to the one solution."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(5, 9, generator=generator, dtype=DOUBLE) + torch.arange(9) * 0.3
    counts = torch.rand(5, 9, generator=generator, dtype=DOUBLE) + 0.1
    for row, weights, found in zip(values.tolist(), counts.tolist(), _isotonic(values, counts), strict=True):
        pools = []
        for value, weight in zip(row, weights, strict=True):
            pools.append((value, weight, 1))
            while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
                (b, m, j), (a, n, i) = pools.pop(), pools.pop()
                pools.append(((a * n + b * m) / (n + m), n + m, i + j))
        expected = [value for value, _, count in pools for _ in range(count)]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=DOUBLE), rtol=1e-10, atol=1e-10)


def test_the_exponent_is_found():
    image = paths()
    true = torch.tensor([0.4, 1.7], dtype=DOUBLE)
    xray = -torch.expm1(-true[:, None, None, None] * image)

    def score(tried):
        shown = tried(image, torch.arange(2))
        return torch.stack(
            [torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1] for a, b in zip(shown, xray, strict=True)]
        )

    torch.testing.assert_close(
        fit_exponent(image, xray[:1], everything(image), score).exponent, true, rtol=0.02, atol=0
    )
    half = fit_exponent(
        2 * image, xray[:1], everything(image), lambda tried: score(replace(tried, exponent=2 * tried.exponent))
    )
    torch.testing.assert_close(
        half.exponent, fit_exponent(image, xray[:1], everything(image), score).exponent / 2, rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("display", ["gamma", "sigmoid", "straight"])
def test_a_display_curve_is_found(display):
    image = paths(entries=2, side=48)
    shown = {"gamma": (image / 5) ** 0.5, "sigmoid": torch.sigmoid(2 * (image - 2.5)), "straight": image / 5}[display]
    fitted = fit_curve(image[:1], shown[:1], everything(image))
    found = fitted(image[:1], torch.zeros(1, dtype=torch.long)).flatten()
    correlation = torch.corrcoef(torch.stack([found, shown[0].flatten()]))[0, 1]
    assert correlation > 0.9985
    assert (fitted.values.diff(dim=1) > 0).all()
    assert fitted.values.shape == (1, KNOTS)


def test_brightness_and_contrast_pass_through_a_curve():
    image = paths(entries=1)
    xray, weights, entry = image.sqrt(), everything(image), torch.zeros(1, dtype=torch.long)
    plain = fit_curve(image, xray, weights)(image, entry)
    torch.testing.assert_close(fit_curve(image, 30 * xray + 7, weights)(image, entry), 30 * plain + 7)
    torch.testing.assert_close(fit_curve(4 * image, xray, weights)(4 * image, entry), plain)


@pytest.mark.parametrize("response", FITTED)
def test_what_sees_nothing_or_the_opposite_is_fitted_all_the_same(response):
    """A start beside the patient has no contrast, and one behind it may fall where the X-ray rises."""
    image = torch.cat([torch.zeros(1, 1, 8, 8, dtype=DOUBLE), paths(1, 8)])
    xray, entry = 5 - image[1:], torch.arange(2)
    if response == "curve":
        fitted = fit_curve(image, xray, everything(image))
    else:
        fitted = fit_exponent(
            image, xray, everything(image), lambda tried: tried(image, entry).flatten(1).std(dim=1) * torch.nan
        )
    found = fitted(torch.cat([image, image], dim=1), entry)
    assert found.isfinite().all()
    assert found[1, 0].std() > 0


def test_line_integrals_become_what_is_absorbed():
    counts = torch.tensor([[[[1000.0, 500.0, 10.0, 0.0]]]], dtype=DOUBLE)
    weights = torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]], dtype=DOUBLE)
    shown = as_shown(to_line_integrals(counts), weights, "transmission")
    torch.testing.assert_close(shown[..., :3], 1 - counts[..., :3] / 1000)
    hidden = to_line_integrals(counts).masked_fill(weights == 0, -1e6)
    assert as_shown(hidden, weights, "transmission").isfinite().all()
    for response in ("log", "curve"):
        assert as_shown(hidden, weights, response) is hidden


# Problems


def test_line_integrals_themselves_need_no_response():
    problem = make_problem()
    assert problem.responding(make_states(problem), "log") is problem


@pytest.mark.parametrize("response", FITTED)
def test_entries_have_responses_of_their_own_however_they_are_grouped(response, monkeypatch):
    problem = make_problem(views=2, bodies=1, entries=3)
    states = make_states(problem)
    together = problem.responding(states, response)
    expected = together.score(states)
    monkeypatch.setattr("raygrad.registration._problem.pose_problem.RAYS_AT_ONCE", 150)
    apart = problem.responding(states, response)
    torch.testing.assert_close(apart.score(states), expected)
    torch.testing.assert_close(together.score(states[1:]), expected[1:])
    assert (expected >= problem.score(states) - 1e-3).all()


@pytest.mark.parametrize("response", FITTED)
def test_what_is_empty_is_told_from_what_is_seen_whatever_the_response(response):
    problem = make_problem(views=1, bodies=1)
    states = make_states(problem)
    trusted = trusted_pixels(problem.responding(states, response), states, 0, where_seen=True)
    assert trusted.isfinite().all()
    assert trusted.amax() > 0.5


# Registration


@pytest.fixture(scope="module")
def drr():
    return DRR(make_subject(), 1020.0, SIDE, PIXEL, renderer="joseph")


def off(result, drr):
    """How far the result's points are from the truth, in mm, across the rays."""
    points = torch.tensor([[40.0, 0, 0], [-40, 0, 0], [0, 40, 0], [0, -40, 0], [0, 0, 40], [0, 0, -40]])[None]
    found, true = (drr.perspective_projection(pose, points) for pose in (result.pose.to(torch.float32), TRUTH))
    return (found - true).norm(dim=-1).mean().item() * PIXEL * 850 / 1020


def overexposed(drr):
    """Counts of a beam of which little comes through, with an offset, saturated in air and nearly so at its edges."""
    integrals = drr(TRUTH)
    transmitted = torch.exp(-9 * integrals / integrals.max())
    return (1000 * transmitted + 60).clamp(max=600)


def test_transmission_sees_through_an_offset_and_saturation(drr):
    xray = to_line_integrals(overexposed(drr))
    few = {"stages": STAGES, "candidates": 4}
    errors = [off(register(xray, drr, START, response=name, **few), drr) for name in ("log", "transmission")]
    assert errors[0] > 1.0
    assert errors[1] < 0.05, errors


@pytest.mark.parametrize("response", ["log", *FITTED])
def test_a_right_response_finds_the_pose(drr, response):
    integrals = drr(TRUTH)
    xray = integrals * 4 / integrals.max()
    if response == "curve":
        xray = 255 * torch.sigmoid(2 * (xray - 1.5))
    result = register(xray, drr, START, stages=STAGES, candidates=4, response=response)
    assert off(result, drr) < (0.001 if response == "log" else 0.1)
    assert result.status == (Status.CONVERGED,)


def test_a_display_curve_is_seen_through(drr):
    integrals = drr(TRUTH)
    xray = torch.sigmoid(9 * (integrals / integrals.max() - 0.3))
    errors = [
        off(register(xray, drr, START, stages=STAGES, candidates=4, response=response), drr)
        for response in ("log", "curve")
    ]
    assert errors[1] < 0.5 * errors[0], errors


def test_the_scale_of_intensities_changes_nothing(drr):
    counts = overexposed(drr)
    few = {"stages": STAGES[:2], "response": "transmission"}
    plain = register(to_line_integrals(counts), drr, START, **few)
    brighter = register(to_line_integrals(counts, air=5000.0), drr, START, **few)
    torch.testing.assert_close(brighter.pose.matrix, plain.pose.matrix, rtol=0, atol=1e-2)


def test_saturated_pixels_are_those_that_are_all_alike():
    xray, weights = torch.rand(1, 1, 20, 20, dtype=DOUBLE), torch.ones(1, 1, 20, 20)
    assert saturation(xray, weights) == -torch.inf  # one lowest pixel is no saturation
    assert saturation(xray.clamp_min(0.3), weights) == 0.3
    weights[xray <= 0.3] = 0
    assert saturation(xray.clamp_min(0.3), weights) == -torch.inf


def test_what_is_saturated_pulls_at_nothing():
    image, entry = paths(), torch.arange(2)
    xray = -torch.expm1(-image[:1].clamp_min(2.0))
    weights = everything(image)
    fitted = fit_exponent(image, xray, weights, lambda tried: -(tried.exponent - 1).abs(), saturation(xray, weights))
    shown, slope = fitted(torch.cat([image, torch.ones_like(image)], 1), entry)[0]
    saturated = image[0, 0] < 1.98
    assert (slope[saturated] == 0).all()
    assert (slope[image[0, 0] > 2.02] > 0).all()
    torch.testing.assert_close(shown, xray[0, 0], rtol=0.02, atol=0)


@pytest.mark.parametrize("response", FITTED)
def test_metrics_and_searches_take_a_response(drr, response):
    xray = to_line_integrals(overexposed(drr))
    metric = NormalizedCrossCorrelation2d()
    result = register(xray, drr, START, stages=STAGES[1:2], similarity=metric, response=response, candidates=1)
    assert off(result, drr) < off(register(xray, drr, START, stages=STAGES[1:2], similarity=metric, candidates=1), drr)
    few = {"ranges": SearchRanges(degrees=8.0, mm=20.0), "poses": 64, "keep": 1, "stages": STAGES, "response": response}
    found = search(xray, drr, **few)
    assert found.score[0] > search(xray, drr, **few | {"response": "log"}).score[0]


def test_what_is_no_response_is_refused(drr):
    with pytest.raises(ValueError, match=r"one of log, transmission, curve, auto\. Got 'linear'"):
        LevenbergMarquardt(response="linear")
    with pytest.raises(ValueError, match=r"one of log, transmission, curve, auto\. Got 'linear'"):
        search(drr(TRUTH), drr, response="linear")
    with pytest.raises(TypeError, match="adam has no option 'response'"):
        register(drr(TRUTH), drr, START, method="adam", response="curve")
    display = 255 * drr(TRUTH) / drr(TRUTH).max()
    with pytest.raises(ValueError, match=r"line integrals .* response='transmission'\. Got values from 0 to 255"):
        register(display, drr, START, response="transmission")
