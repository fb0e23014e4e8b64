"""A result after doubts: with the rivals of what converged, and advice where nothing matched."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._progress import Status
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._doubts.advice import advise
from raygrad.registration._doubts.readings import moved, settled
from raygrad.registration._doubts.rivals import find_rivals
from raygrad.registration._outcome import EQUAL, describe
from raygrad.registration._result import BodyStatus, RegistrationResult


def doubted(
    course: CoarseToFine, candidates: Refined, result: RegistrationResult, with_advice: bool = True
) -> RegistrationResult:
    """The result, where a rival that is clearly better has taken the place of an answer.

    A start that converged is ambiguous if a rival is as good, or if the X-ray read another way matches better; one that
    is inconsistent stays so, with its rivals. Where no start matched the best one gets advice, which changes no answer.

    Args:
        course: of the registration, at its end.
        candidates: the entries of the result.
        result: as `describe` gives it.
        with_advice: whether to advise.
    """
    if course.stopped or not _is_one(course):
        return result
    matched = [status in (Status.CONVERGED, Status.INCONSISTENT) for status in result.status]
    if any(matched):
        if course.task.models is not None:  # solids are symmetric in ways of their own
            return result
        return _rivalled(course, candidates, result, matched)
    best = result.best
    # The images of solids are so fine that trials of them would take half a minute.
    if not with_advice or course.absorbs or result.status[best] is not Status.NO_MATCH:
        return result
    advice = advise(course, candidates, best)
    return replace(result, advice=tuple(advice if start == best else None for start in range(len(result.status))))


def _is_one(course: CoarseToFine) -> bool:
    """A CT, with structures or without, or one body that may move in any way."""
    return course.task.models is None or (course.models.is_rigid and len(course.model.names) == 1)


def _rivalled(
    course: CoarseToFine, candidates: Refined, result: RegistrationResult, asked: list[bool]
) -> RegistrationResult:
    found = find_rivals(course, candidates, asked, EQUAL)
    if found.better:
        result = _taken_over(course, candidates, result, found.better)
    status = tuple(
        Status.AMBIGUOUS if rivals and status is Status.CONVERGED else status
        for status, rivals in zip(result.status, found.rivals, strict=True)
    )
    result = replace(result, status=status, rivals=found.rivals)
    if not any(found.rivals):
        return result
    bodies = {
        name: replace(
            body,
            status=tuple(
                BodyStatus.NOT_CONVERGED if rivals and status is BodyStatus.CONVERGED else status
                for status, rivals in zip(body.status, found.rivals, strict=True)
            ),
        )
        for name, body in result.bodies.items()
    }
    return replace(result, bodies=bodies)


def _taken_over(
    course: CoarseToFine, candidates: Refined, result: RegistrationResult, better: dict[int, Float[Tensor, "4 4"]]
) -> RegistrationResult:
    """The result with better poses in place of answers, all of them at rest in the last stage."""
    motions = torch.eye(4).to(candidates.states.motions).repeat(len(candidates.start), 1, 1)
    for start, motion in better.items():
        motions[start] = motion
    begun = moved(Candidates(candidates.start, candidates.states), motions)
    ambiguous = [status is Status.AMBIGUOUS for status in result.status]
    return describe(course, settled(course, begun, course.last_stage), torch.tensor(ambiguous))
