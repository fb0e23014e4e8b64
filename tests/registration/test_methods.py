"""Methods of registration: values with their options, short names for them, and what each is refused."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from registration_cases import START, TRUTH, TWO_STAGES, make_drr, make_subject

from raygrad.pose import RigidTransform
from raygrad.registration import (
    Adam,
    Iteration,
    LevenbergMarquardt,
    Method,
    QuasiNewton,
    RegistrationResult,
    SearchRanges,
    Status,
    register,
    search,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def drr():
    return make_drr(make_subject())


@pytest.fixture(scope="module")
def xray(drr):
    return drr(TRUTH)


@dataclass(frozen=True, kw_only=True)
class Blind(Method):
    """Finds nothing, and says how far off it may be."""

    name: ClassVar[str] = "blind"
    steps: int = 2

    def __call__(self, task):
        (xray,) = task.xrays
        score = torch.zeros(len(xray.init))
        trace = [Iteration(number, 0.0, 0, (1, 1), xray.init, score) for number in range(self.steps)]
        stopped = any(task.watch(iteration) for iteration in trace)
        return RegistrationResult((xray.init,), score, (Status.STOPPED if stopped else Status.NO_MATCH,), (), 0.0)


def test_a_method_of_ones_own_is_taken(drr, xray):
    seen = []
    result = register(xray, drr, START, method=Blind(steps=3), callback=seen.append)
    assert result.status == (Status.NO_MATCH,)
    assert len(seen) == 3
    torch.testing.assert_close(result.pose.matrix, START.matrix.double(), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"method lm for structures\. Got 'blind'"):
        register(xray, drr, START, method=Blind(), structures={"spine": [1]})


def test_a_method_says_the_same_by_its_name(drr, xray):
    by_name = register(xray, drr, START, stages=TWO_STAGES, candidates=4)
    as_object = register(xray, drr, START, method=LevenbergMarquardt(stages=list(TWO_STAGES), candidates=4))
    assert torch.equal(by_name.pose.matrix, as_object.pose.matrix)
    assert LevenbergMarquardt(stages=list(TWO_STAGES)).stages == TWO_STAGES
    few = {"iterations": 2, "parameterization": "rotation_6d"}
    by_name = register(xray, drr, START, method="adam", **few)
    as_object = register(xray, drr, START, method=Adam(**few))
    assert torch.equal(by_name.pose.matrix, as_object.pose.matrix)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"method": "newton"}, ValueError, "method to be one of lm, adam, lbfgs"),
        ({"method": 3}, TypeError, "method"),
        ({"method": LevenbergMarquardt}, TypeError, "method"),
        ({"method": "adam", "structures": {"spine": [1]}}, ValueError, "method lm for structures. Got 'adam'"),
        ({"method": QuasiNewton(), "unknowns": "sdd"}, ValueError, "method lm for unknowns. Got 'lbfgs'"),
        ({"method": "adam", "ranges": SearchRanges()}, ValueError, "method='lm' to search.*Got 'adam'"),
        ({"learning_rate": 1.0}, TypeError, "lm has no option 'learning_rate'. It has stages, similarity, candidates"),
        (
            {"method": "adam", "candidates": 0},
            TypeError,
            "adam has no option 'candidates'. It has metric, parameterization",
        ),
        ({"method": Adam(), "iterations": 3}, TypeError, r"where the method is made, Adam\(iterations=...\)"),
        ({"candidates": 0}, ValueError, "at least one candidate"),
        ({"candidates": 4, "ranges": SearchRanges()}, ValueError, "no candidates.*for a search"),
        ({"stages": ()}, ValueError, "at least one stage"),
        ({"stages": TWO_STAGES[0]}, TypeError, "stages"),
        ({"stages": [25, 50]}, TypeError, "stages"),
        ({"unknowns": "gantry"}, ValueError, "poses, sdd, x0"),
        ({"structures": {"ghost": [9999]}}, ValueError, "voxels of the structure 'ghost'"),
        ({"structures": {"one": [1], "two": [1]}}, ValueError, "1 in 'one' and 'two'"),
        ({"mask": torch.zeros(20, 20)}, ValueError, "at least 1% of the image"),
        ({"ranges": SearchRanges(degrees=-5.0)}, ValueError, "ranges of one or three"),
    ],
)
def test_bad_arguments_are_refused_before_anything_iterates(drr, xray, arguments, kind, message):
    def callback(iteration):
        pytest.fail("it iterates")

    with pytest.raises(kind, match=message):
        register(xray, drr, START, callback=callback, **arguments)


def test_searches_that_are_none_are_refused(drr, xray):
    with pytest.raises(ValueError, match="at least one pose to keep"):
        search(xray, drr, keep=0)
    with pytest.raises(ValueError, match="keep=5 and poses=4"):
        search(xray, drr, keep=5, poses=4)
    with pytest.raises(ValueError, match=r"stages that keep at least keep=2 poses\. Got 1 in stage 1"):
        search(xray, drr, keep=2, stages=TWO_STAGES)
    with pytest.raises(ValueError, match=r"one pose as the middle of the search\. Got 2"):
        search(xray, drr, init=RigidTransform(START.matrix.expand(2, 4, 4)))
    with pytest.raises(ValueError, match="pose for each of 2 views"):
        search([xray, xray], [drr, drr])
