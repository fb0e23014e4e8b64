"""Iterations of registration and batches of landscapes ask for no value of a tensor: no GPU is waited for."""

from dataclasses import replace

import pytest
import torch
from registration_cases import (
    EVERYTHING,
    START,
    TRUTH,
    TWO_STAGES,
    make_drr,
    make_problem,
    make_states,
    make_subject,
)
from synchronisation import NoSynchronisation
from torch.utils._python_dispatch import _disable_current_modes

from raygrad import kernels
from raygrad.geometry import Detector, UnknownGeometry
from raygrad.landscape import _compute as landscape_module
from raygrad.landscape import compute_landscape
from raygrad.metrics import NormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform
from raygrad.registration import (
    FeatureSimilarity,
    GlobalCorrelation,
    GradientCorrelation,
    LocalCorrelation,
    Status,
    WeightedSum,
    register,
)
from raygrad.registration import _coarse_to_fine as coarse_to_fine
from raygrad.registration._methods import gradient_ascent
from raygrad.registration._solver import batches
from raygrad.registration._solver.levenberg_marquardt import minimise

pytestmark = pytest.mark.usefixtures("one_thread")

SIMILARITIES = [
    GlobalCorrelation(),
    GradientCorrelation(),
    LocalCorrelation(5),
    WeightedSum((GlobalCorrelation(), LocalCorrelation(5)), (0.5, 0.5)),
]


@pytest.fixture(scope="module")
def drr():
    return make_drr(make_subject())


@pytest.fixture(scope="module")
def xray(drr):
    return drr(TRUTH)


@pytest.fixture
def unjudged_kernels(monkeypatch):
    """What the kernels and the detector check on the CPU by reading values is another matter."""

    def unjudged(function):
        def call(*args, **options):
            with _disable_current_modes():
                return function(*args, **options)

        return call

    for name in ("project", "project_with_jacobian"):
        monkeypatch.setattr(kernels, name, unjudged(getattr(kernels, name)))
    monkeypatch.setattr(Detector, "forward", unjudged(Detector.forward))


@pytest.fixture
def never_asked(monkeypatch):
    """No question is asked about which problems have come to rest."""
    monkeypatch.setitem(batches.TOGETHER, "cpu", 1000)


def minimise_judged(problem, *args, **options):
    """`minimise`, in which nothing may wait once the constants of a stage are known."""
    problem.linearise(args[0])
    with NoSynchronisation(copies=True) as judge:
        minimum = minimise(problem, *args, **options)
    assert judge.operations > 100
    return minimum


@pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)
@pytest.mark.parametrize("geometry", [UnknownGeometry(), EVERYTHING], ids=["known", "calibrated"])
def test_iterations_of_the_least_squares_wait_for_nothing(unjudged_kernels, never_asked, similarity, geometry):
    problem = make_problem(similarity=similarity, geometry=geometry)
    weights = torch.rand(3, 1, *problem.xrays[0].shape, dtype=torch.float64)
    problem = replace(problem, xrays=(replace(problem.xrays[0], weights=weights), problem.xrays[1]))
    minimum = minimise_judged(problem, make_states(problem), 4, 1e-9)
    assert minimum.iterations == 4


@pytest.mark.parametrize(
    "similarity", [NormalizedCrossCorrelation2d(), FeatureSimilarity(torch.tanh)], ids=["metric", "features"]
)
def test_iterations_by_autograd_wait_for_nothing(unjudged_kernels, never_asked, similarity):
    """But for the eigenvalues of a few numbers, for which torch itself waits on a GPU."""
    problem = make_problem(similarity=similarity, geometry=EVERYTHING)
    assert minimise_judged(problem, make_states(problem), 3, 1e-9).iterations == 3


def test_starts_of_which_some_have_settled_wait_for_nothing(unjudged_kernels, never_asked):
    problem = make_problem(views=1, bodies=1, geometry=UnknownGeometry())
    settled = minimise(problem, make_states(problem), 20, 0.1).state
    mixed = settled.overwritten(torch.tensor([1]), make_states(problem)[torch.tensor([1])])
    minimum = minimise_judged(problem, mixed, 3, 0.1)
    assert minimum.settled.tolist() == [True, False, True]


def test_a_whole_registration_waits_for_nothing_while_it_iterates(
    monkeypatch, unjudged_kernels, never_asked, drr, xray
):
    """Two views, several starts and candidates, calibration, robust weights, and the trace that is kept of it."""
    monkeypatch.setattr(coarse_to_fine, "minimise", minimise_judged)
    starts = RigidTransform(torch.cat([START.matrix, TRUTH.matrix]))
    result = register([xray, xray], [drr, drr], [starts, starts], stages=TWO_STAGES, candidates=3, unknowns=EVERYTHING)
    assert result.status == (Status.CONVERGED,) * 2


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
@pytest.mark.parametrize("parameterization", [None, "quaternion"])
def test_descents_wait_for_nothing_while_they_iterate(
    monkeypatch, unjudged_kernels, never_asked, drr, xray, method, parameterization
):
    def judged(iterations):
        with NoSynchronisation(copies=True):
            yield from range(iterations)

    monkeypatch.setattr(gradient_ascent, "range", judged, raising=False)
    starts = RigidTransform(torch.cat([START.matrix, TRUTH.matrix]))
    mask = torch.ones(xray.shape[2:])
    mask[:3] = 0
    result = register(
        [xray, xray],
        [drr, drr],
        [starts, starts],
        mask=[mask, None],
        method=method,
        parameterization=parameterization,
        iterations=5,
    )
    assert len(result.trace) == 6
    assert (result.score > result.trace[0].score).any()


def test_batches_of_a_landscape_wait_for_nothing(monkeypatch, unjudged_kernels, drr):
    def judged(function):
        def call(*args):
            with NoSynchronisation(copies=True):
                return function(*args)

        return call

    for name in ("_render", "_measure_loss"):
        monkeypatch.setattr(landscape_module, name, judged(getattr(landscape_module, name)))
    landscape = compute_landscape(drr, START, parameterization="axis_angle", steps=3, batch_size=4)
    assert len(landscape.slices) == 6
