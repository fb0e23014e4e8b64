"""Which response an X-ray has, chosen by the data."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._problem.pose_problem import PoseProblem
from raygrad.registration._problem.response import MOST_LOGARITHMS
from raygrad.registration._problem.similarity import GradientCorrelation, Similarity
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import leaders, rows_of_starts
from raygrad.registration._task import Task

AUTO = "auto"
SLOPES = Stage(100, GradientCorrelation(), iterations=0, tolerance=0.0)
BENT = 0.03
"""Where a curve makes slopes at the end by so much more alike, line integrals are not what the X-ray shows.

Measured on X-rays of another simulator: 0.065 and 0.080 through a display's curve.
"""
AS_GOOD = 0.003
"""The end by a curve is believed unless it is so much less alike, by what the last stage compares, through curves."""
STAGES = 2
"""As many of the last stages are gone through again."""


def first_response(response: str, task: Task) -> str:
    """The response to begin with: what solids absorb, if it is X-rays of them alone, or line integrals."""
    if response != AUTO:
        return response
    solid = task.models is not None and task.models.is_solid and not task.unknowns.columns
    return "transmission" if solid and all(_may_be_logarithms(x.image, x.weights) for x in task.xrays) else "log"


def second_look(course: CoarseToFine, found: Refined, stages: Sequence[Stage]) -> tuple[CoarseToFine, Refined]:
    """The last stages again through a curve, where line integrals are not what the X-ray shows.

    Scores through different responses do not compare. So both ends are judged through the best monotone curve of each.
    """
    last = stages[-STAGES:]
    common = replace(last[-1], iterations=0, robust=False, calibrate=False, apart=False)
    if course.stopped or not all(isinstance(stage.similarity, Similarity) for stage in last):
        return course, found
    straight, bent = judged(course, found, SLOPES, "log"), judged(course, found, SLOPES, "curve")
    if not (bent - straight).max() > BENT:
        return course, found
    other = course.through("curve")
    again = other.run(Candidates(found.start, found.states), last, first=len(stages) - len(last))
    if other.stopped:
        return course, found
    best = []
    for way, ends in ((course, found), (other, again)):
        score = judged(way, ends, common, "curve")
        best.append(score[leaders(rows_of_starts(ends.start), score)])
    return (other, again) if (best[1] - best[0]).mean() > -AS_GOOD else (course, found)


def judged(course: CoarseToFine, found: Candidates, stage: Stage, response: str) -> Float[Tensor, " candidate"]:
    """How alike images are where candidates are, through a response fitted there."""
    states = found.states.renumbered()
    plain = course.problem(found, stage)
    xrays = tuple(replace(xray, response=None) for xray in plain.xrays)
    return replace(plain, xrays=xrays).responding(states, response).score(states)


def responses_of(
    course: CoarseToFine, problem: PoseProblem, entry: Int[Tensor, " entry"]
) -> tuple[dict[str, Any], ...]:
    """Every view's response by its name, with the numbers that it has for these entries."""
    if course.absorbs:
        return tuple({"name": course.response, "exponent": torch.ones(len(entry))} for _ in problem.xrays)
    fitted = [xray.response for xray in problem.xrays]
    return tuple({"name": course.response} | ({} if one is None else vars(one[entry])) for one in fitted)


def _may_be_logarithms(image: Tensor, weights: Tensor) -> bool:
    low, high = image[0, 0][weights > 0].aminmax()
    return bool(high - low <= MOST_LOGARITHMS)
