"""Least squares by any metric and by features of one's own: derivatives, scale, masks, and poses that are found."""

from dataclasses import replace

import pytest
import torch
from registration_cases import DOUBLE, EVERYTHING, make_problem, make_states
from torch.nn import functional

from raygrad.data import load_example_ct
from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry
from raygrad.metrics import (
    GradientDifference,
    GradientNormalizedCrossCorrelation2d,
    MultiscaleNormalizedCrossCorrelation2d,
    MutualInformation,
    NormalizedCrossCorrelation2d,
    StructuralSimilarity2d,
    mean_target_registration_error,
    sobel,
)
from raygrad.pose import RigidTransform, convert
from raygrad.registration import (
    FeatureSimilarity,
    GlobalCorrelation,
    LevenbergMarquardt,
    LocalCorrelation,
    QuasiNewton,
    SearchRanges,
    Stage,
    Status,
    WeightedSum,
    default_schedule,
    register,
    search,
)
from raygrad.registration._problem.comparison import ByMetric, _made_positive, compare_by
from raygrad.registration._problem.similarity import hide

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE, TOP = 64, 120.0
MUTUAL, SSIM = MutualInformation(sigma=0.02, num_bins=64), StructuralSimilarity2d()


def negative_mean_square(fixed, moving):
    return -(fixed - moving).square().mean((1, 2, 3))


METRICS = {
    "ncc": NormalizedCrossCorrelation2d(),
    "multiscale ncc": MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]),
    "gradient ncc": GradientNormalizedCrossCorrelation2d(),
    "gradient difference": GradientDifference(),
    "mutual information": lambda fixed, moving: MUTUAL(fixed / TOP, moving / TOP),
    "ssim": lambda fixed, moving: SSIM(fixed / TOP, moving / TOP),
    "mean square": negative_mean_square,
}


def slopes(images):
    return sobel(images, padding=1)


# Derivatives


def make_stack(batch=2, unknowns=3, side=16, seed=0):
    """Smooth images from 0 to about TOP with tangents, and an X-ray like them."""
    generator = torch.Generator().manual_seed(seed)
    stack = torch.rand(batch, 2 + unknowns, side + 4, side + 4, generator=generator, dtype=DOUBLE)
    stack = TOP * functional.avg_pool2d(stack, 5, stride=1)
    xray, stack = stack[:1, :1], stack[:, 1:]
    stack[:, :1] = 0.98 * xray + 0.02 * stack[:, :1]
    weights = torch.rand(1, 1, side, side, generator=generator, dtype=DOUBLE)
    weights[..., :3, :] = 0
    return xray, stack, weights


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_slopes_and_curvatures_are_those_of_the_cost(metric):
    xray, stack, weights = make_stack()
    comparison = compare_by(metric, [(xray, weights)])
    fixed = comparison.of_xrays(xray, weights)

    def look(step):
        moved = stack.clone()
        moved[:, 0] += torch.einsum("k,bkhw->bhw", step, stack[:, 1:])
        return comparison.linearise(moved, weights, fixed, like=stack)

    at, h = look(torch.zeros(3, dtype=DOUBLE)), 1e-4
    torch.testing.assert_close(comparison.score(stack[:, :1], weights, fixed), at.score)
    torch.testing.assert_close(at.cost, 2 * (1 - at.score))
    ends = [[look(sign * h * axis) for sign in (1, -1)] for axis in torch.eye(3, dtype=DOUBLE)]
    slope = torch.stack([(up.cost - down.cost) / (4 * h) for up, down in ends], dim=1)
    torch.testing.assert_close(at.gradient, slope, rtol=1e-4, atol=1e-7)
    hessian = torch.stack([(up.gradient - down.gradient) / (2 * h) for up, down in ends], dim=1)
    image, tangents = hide(stack, weights).flatten(2).split([1, 3], dim=1)
    contrast = (image - image.mean(2, keepdim=True)).norm(dim=2)[:, 0]
    expected = _made_positive((hessian + hessian.mT) / 2, slope, tangents.norm(dim=2), contrast)
    torch.testing.assert_close(at.normal, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_correlation_as_a_metric_and_as_features_costs_the_same():
    """|f - m|^2 = 2 (1 - NCC): cost, slope and score are those of `GlobalCorrelation`, at the truth the matrix too."""
    problem = make_problem(geometry=UnknownGeometry())
    problem = replace(problem, xrays=tuple(replace(x, weights=torch.ones_like(x.image)) for x in problem.xrays))
    states = make_states(problem)
    by_features = problem.linearise(states)
    by_metric = replace(problem, similarity=NormalizedCrossCorrelation2d(eps=1e-12)).linearise(states)
    for name in ("cost", "gradient", "score"):
        torch.testing.assert_close(getattr(by_metric, name), getattr(by_features, name), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(problem.score(states), by_metric.score, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mutual information", "mean square", "ncc"])
def test_the_gradient_by_every_unknown_is_that_of_the_cost(name):
    """Two views, two bodies, and geometry that is not known."""
    problem = make_problem(similarity=METRICS[name], geometry=EVERYTHING, entries=2)
    states = make_states(problem)
    at = problem.linearise(states)
    unknowns = at.gradient.shape[1]
    for number in range(0, unknowns, 3):
        h = 1e-6
        step = torch.zeros(2, unknowns, dtype=DOUBLE)
        step[:, number] = h
        costs = [problem.linearise(problem.moved(states, sign * step)).cost for sign in (1, -1)]
        difference = (costs[0] - costs[1]) / (2 * h)
        scale = 2 * (at.cost * at.normal[:, number, number]).sqrt()
        assert ((2 * at.gradient[:, number] - difference).abs() < 0.02 * scale).all()


def test_scores_are_told_as_the_metric_gives_them():
    problem = make_problem(similarity=negative_mean_square, geometry=UnknownGeometry(), entries=2)
    states = make_states(problem)
    expected = torch.stack(
        [
            negative_mean_square(hide(xray.image, xray.weights), hide(problem.images(states, view), xray.weights))
            for view, xray in enumerate(problem.xrays)
        ]
    ).mean(0)
    score = problem.score(states)
    assert (score < 1).all()
    torch.testing.assert_close(problem.in_users_words(score), expected)
    correlation = replace(problem, similarity=GlobalCorrelation())
    assert correlation.in_users_words(score) is score


# The matrix in place of second derivatives


def random_case(seed=0, unknowns=4):
    generator = torch.Generator().manual_seed(seed)
    hessian = torch.randn(2, unknowns, unknowns, generator=generator, dtype=DOUBLE)
    slope, lengths = (torch.rand(2, unknowns, generator=generator, dtype=DOUBLE) + 0.1 for _ in range(2))
    return hessian + hessian.mT, slope, lengths, torch.full((2,), 3.0, dtype=DOUBLE)


def test_a_step_goes_down_and_changes_the_image_by_no_more_than_its_contrast():
    hessian, slope, lengths, contrast = random_case()
    for curved in (hessian, torch.zeros_like(hessian)):
        matrix = _made_positive(curved, slope, lengths, contrast)
        assert (torch.linalg.eigvalsh(matrix) > 0).all()
        step = -torch.linalg.solve(matrix, slope)
        assert ((step * slope).sum(1) < 0).all()
        assert ((step * lengths).norm(dim=1) <= contrast + 1e-9).all()


def test_a_cost_that_curves_upwards_keeps_its_curvature():
    root, slope, lengths, contrast = random_case()
    hessian = root @ root.mT
    matrix = _made_positive(hessian, 1e-9 * slope, lengths, contrast)
    torch.testing.assert_close(matrix, hessian, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(_made_positive(-hessian, 1e-9 * slope, lengths, contrast), matrix)


def test_units_do_not_matter_and_what_is_not_felt_stays_out():
    hessian, slope, lengths, contrast = random_case()
    unit = torch.tensor([1.0, 1e3, 1e-2, 1.0], dtype=DOUBLE)
    other = _made_positive(hessian * unit * unit[:, None], slope * unit, lengths * unit, contrast)
    expected = _made_positive(hessian, slope, lengths, contrast) * unit * unit[:, None]
    torch.testing.assert_close(other, expected, rtol=1e-9, atol=1e-12)
    felt = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=DOUBLE)
    matrix = _made_positive(hessian * felt * felt[:, None], slope * felt, lengths * felt, contrast)
    assert (matrix[:, 2] == 0).all()
    assert (matrix[:, :, 2] == 0).all()
    some = torch.tensor([0, 1, 3])
    parts = hessian[:, some][:, :, some], slope[:, some], lengths[:, some], contrast
    torch.testing.assert_close(matrix[:, some][:, :, some], _made_positive(*parts), rtol=1e-9, atol=1e-9)


# Registrations


def make_pose(rot_deg=((0.0, 0.0, 0.0),), xyz=((0.0, 850.0, 0.0),)):
    rot, xyz = torch.tensor(rot_deg, dtype=DOUBLE), torch.tensor(xyz, dtype=DOUBLE)
    return convert(torch.deg2rad(rot), xyz, parameterization="euler_angles", convention="ZXY")


TRUTH, LATERAL = make_pose(), make_pose(((90.0, 0.0, 0.0),))
STARTS = make_pose(((4.0, -3.0, 3.0), (-4.0, -3.0, -3.0)), ((5.0, 857.0, -6.0), (-5.0, 845.0, 4.0)))
TARGETS = 100 * (2 * torch.rand(1, 50, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) - 1)


def error(pose, truth=TRUTH):
    return mean_target_registration_error(pose, truth, TARGETS)


@pytest.fixture(scope="module")
def drr():
    """Its images are from 0 to about TOP."""
    drr = DRR(load_example_ct(shape=(64, 64, 33)), 1020.0, SIDE, 400 / SIDE, renderer="joseph")
    drr.density *= TOP / drr(TRUTH).max()
    return drr


@pytest.fixture(scope="module")
def xray(drr):
    return drr(TRUTH)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_finds_the_pose(drr, xray, metric):
    result = register(xray, drr, STARTS, similarity=metric, candidates=1)
    assert (error(STARTS) > 8).all()
    assert (error(result.pose) < 0.1).all()
    assert result.status == (Status.CONVERGED,) * 2
    assert len(result.trace) < 60
    expected = metric(xray.expand(2, -1, -1, -1), drr(result.pose)).double()
    torch.testing.assert_close(result.score, expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(result.trace[-1].score, result.score)
    deviations = result.uncertainty.standard_deviations
    assert (deviations > 0).all()
    assert (deviations < 0.2).all()


def test_the_maximum_is_the_metrics_own_where_it_is_not_the_truth(drr, xray):
    """Mutual information by a wide kernel is highest 4 mm away, and by gradient ascent too."""
    wide = MutualInformation(sigma=0.1, num_bins=32)

    def metric(fixed, moving):
        return wide(fixed / TOP, moving / TOP)

    by_squares = register(xray, drr, STARTS, similarity=metric, candidates=1, coverage=False)  # as the ascent
    by_ascent = register(xray, drr, STARTS, method=QuasiNewton(metric=metric, match=0.0, iterations=60))
    assert (error(by_squares.pose) > 3).all()
    assert (error(by_squares.pose, by_ascent.pose) < 0.3).all()
    assert (by_squares.score >= by_ascent.score - 1e-5).all()


def test_a_metric_without_curvature_is_descended_too(drr, xray):
    result = register(
        xray, drr, STARTS, similarity=lambda fixed, moving: -(fixed - moving).abs().mean((1, 2, 3)), candidates=1
    )
    assert (error(result.pose) < 0.2).all()


def test_candidates_and_searches_work_with_a_metric(drr, xray):
    stages = [
        Stage(25, negative_mean_square, iterations=12, tolerance=0.5, keep=8, margin=20.0),
        Stage(64, negative_mean_square, iterations=12, tolerance=0.01, keep=2),
    ]
    far = make_pose(((9.0, -8.0, 8.0),), ((9.0, 860.0, -9.0),))
    result = register(xray, drr, far, stages=stages, candidates=8)
    assert error(result.pose).item() < 0.1
    assert result.status == (Status.CONVERGED,)
    found = search(xray, drr, SearchRanges(15.0, 20.0), poses=64, stages=stages)
    assert error(RigidTransform(found.pose[:1])).item() < 0.1
    assert found.status[0] is Status.CONVERGED


def test_two_views_and_geometry_that_is_not_known(drr, xray):
    camera = DRR(drr.subject, 1028.0, SIDE, 400 / SIDE, renderer="joseph")
    xrays = [camera(TRUTH), camera(LATERAL)]
    motion = STARTS.matrix[:1] @ TRUTH.inverse().matrix
    starts = [RigidTransform(motion @ pose.matrix) for pose in (TRUTH, LATERAL)]
    stages = [
        Stage(32, NormalizedCrossCorrelation2d(), iterations=12, tolerance=0.3),
        Stage(64, NormalizedCrossCorrelation2d(), iterations=20, tolerance=0.003, calibrate=True),
    ]
    unknowns = UnknownGeometry(sdd_mm=10.0)
    result = register(
        xrays, [drr, drr], starts, method=LevenbergMarquardt(stages=stages, candidates=1), unknowns=unknowns
    )
    assert error(result.pose).item() < 0.2
    assert result.intrinsics[0]["sdd"].item() == pytest.approx(1028.0, abs=1.0)


@pytest.mark.parametrize(
    "similarity", [NormalizedCrossCorrelation2d(), FeatureSimilarity(slopes)], ids=["metric", "features"]
)
def test_what_a_mask_hides_does_not_count(drr, xray, similarity):
    mask = torch.ones(SIDE, SIDE)
    mask[:, :10] = mask[20:26, 30:36] = 0
    broken = torch.where(mask > 0, xray, 500.0)
    result = register(broken, drr, STARTS, mask=mask, similarity=similarity, candidates=1)
    assert (error(result.pose) < 0.3).all()
    assert result.converged.all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "similarity", [NormalizedCrossCorrelation2d(), FeatureSimilarity(slopes)], ids=["metric", "features"]
)
def test_derivatives_are_taken_whatever_the_callers_mode(drr, xray, similarity, mode):
    with mode():
        stages = [Stage(32, similarity, iterations=8, tolerance=0.1)]
        result = register(drr(TRUTH), drr, STARTS, stages=stages, candidates=1)
    assert not result.pose.matrix.requires_grad
    assert (error(result.pose) < 0.5).all()


# What is no metric


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()


class Twice(Once):
    @staticmethod
    def backward(ctx, gradient):
        return Once.apply(gradient)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda fixed, moving: (fixed - moving).square().mean((1, 2, 3)), "higher for images that are more alike"),
        (lambda fixed, moving: MUTUAL(fixed * 1000, moving * 1000), "within the metric"),
        (lambda fixed, moving: (fixed - moving).square().mean(), r"1 scores for as many images\. Got \(\)"),
        (lambda fixed, moving: negative_mean_square(fixed, moving.detach()), "have a gradient"),
        (lambda fixed, moving: negative_mean_square(fixed, Twice.apply(moving)), "differentiated twice"),
    ],
    ids=["distance", "range", "one number", "no gradient", "one derivative"],
)
def test_what_is_no_metric_is_told_so(drr, xray, metric, message):
    with pytest.raises(ValueError, match=message):
        register(xray, drr, STARTS, similarity=metric, candidates=1)


def test_metrics_have_no_pixels_to_trust():
    with pytest.raises(ValueError, match="features in a robust stage"):
        Stage(25, negative_mean_square, iterations=1, tolerance=1.0, robust=True)
    robust = Stage(25, GlobalCorrelation(), iterations=1, tolerance=1.0, robust=True)
    assert not robust.compared_by(negative_mean_square).robust
    assert robust.compared_by(LocalCorrelation(5)).robust
    problem = make_problem(similarity=negative_mean_square, geometry=UnknownGeometry())
    with pytest.raises(TypeError, match="similarity with features"):
        problem.features(make_states(problem), 0)
    assert isinstance(problem.comparison, ByMetric)


# Features of one's own


@pytest.mark.parametrize("hidden", [0, 7], ids=["all", "a part"])
def test_features_of_ones_own_are_those_of_the_similarity_of_the_same_kind(hidden):
    """Images less their mean: `GlobalCorrelation`."""
    stack = make_stack()[1]
    weights = torch.ones(1, 1, *stack.shape[2:], dtype=DOUBLE)
    weights[..., :hidden] = 0
    own = FeatureSimilarity(lambda images: images - images.mean((2, 3), keepdim=True))
    built_in = GlobalCorrelation()
    torch.testing.assert_close(own(stack, weights), built_in(stack, weights))
    torch.testing.assert_close(own(stack[:, :1], weights), built_in(stack[:, :1], weights))
    shape = (stack.shape[2], stack.shape[3])
    assert own.count(stack[:1, :1]) == built_in.count(stack[:1, :1])
    values = own(stack, weights)
    assert torch.equal(own.per_pixel(values, shape), built_in.per_pixel(values, shape))


@pytest.mark.parametrize(
    "function",
    [
        slopes,
        lambda images: functional.conv2d(images, torch.ones(3, 1, 5, 5, dtype=images.dtype), stride=2).tanh(),
        lambda images: images.flatten(1).square().cumsum(1)[:, ::7],
    ],
    ids=["maps", "smaller maps", "vectors"],
)
def test_tangents_of_ones_own_features_are_their_derivatives(function):
    _, stack, weights = make_stack()
    stack = stack / TOP
    similarity, h = FeatureSimilarity(function), 1e-6
    features = similarity(stack, weights)
    assert features.shape[2] == similarity.count(stack[:1, :1])
    for number in range(1, stack.shape[1]):
        ends = [similarity(stack[:, :1] + sign * h * stack[:, number : number + 1], weights)[:, 0] for sign in (1, -1)]
        torch.testing.assert_close(features[:, number], (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-8)
    for one in (similarity, WeightedSum((GlobalCorrelation(), similarity), (0.5, 0.5))):
        features = one(stack, weights)
        pulls = one.per_pixel(features, (stack.shape[2], stack.shape[3]))
        torch.testing.assert_close(pulls.sum((2, 3)), features.sum(2))


def test_features_of_ones_own_find_the_pose_robustly(drr, xray):
    wired = xray.clone()
    wired[..., 20:, 31] += 0.4 * TOP
    method = LevenbergMarquardt(similarity=FeatureSimilarity(slopes), candidates=1)
    trusting = replace(method, stages=[replace(stage, robust=False) for stage in default_schedule()])
    assert (error(register(wired, drr, STARTS, method=trusting).pose) > 0.15).all()
    assert (error(register(wired, drr, STARTS, method=method).pose) < 0.05).all()


def test_a_feature_counts_as_much_as_its_pixel():
    _, stack, weights = make_stack()
    shape = (stack.shape[2], stack.shape[3])
    for similarity in (GlobalCorrelation(), FeatureSimilarity(lambda images: torch.cat([images, images**2], dim=1))):
        shares = []
        for less in (1.0, 0.25):
            weights[..., 8, 8] = less
            squares = similarity.per_pixel(similarity(stack, weights)[:, :1].square(), shape)[..., 8, 8:10]
            shares.append(squares[..., 0] / squares[..., 1] * weights[..., 8, 9])
        torch.testing.assert_close(shares[1], 0.25 * shares[0], rtol=0.1, atol=0)


def test_features_that_are_none_are_told_so(drr, xray):
    with pytest.raises(ValueError, match=r"features of \d+ images, each its own\. Got \(\)"):
        register(xray, drr, STARTS, similarity=FeatureSimilarity(torch.sum), candidates=1)
    vectors = FeatureSimilarity(lambda images: images.flatten(1)[:, ::5])
    with pytest.raises(ValueError, match="features of every pixel for a robust stage"):
        register(xray, drr, STARTS, similarity=vectors, candidates=1)
