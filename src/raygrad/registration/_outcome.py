"""From the candidates that are left to what users get: the best pose of each start, and whether to believe it."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from raygrad._progress import Status
from raygrad.pose import RigidTransform
from raygrad.registration._body_results import UNDETERMINED_MM, results_of_bodies
from raygrad.registration._chosen_response import responses_of
from raygrad.registration._coarse_to_fine import CoarseToFine, Refined
from raygrad.registration._problem.halves import disagreements
from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._problem.similarity import GradientCorrelation, Similarity
from raygrad.registration._problem.uncertainty import estimate_uncertainty
from raygrad.registration._result import HALVES, Halves, RegistrationResult
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import leaders, rows_of_starts

LOOK = Stage(50, GradientCorrelation(), iterations=0, tolerance=0.0)
MATCH = 0.86
"""Correlation of slopes, as `LOOK` sees them, from which an X-ray is taken to show the CT from this pose.

Measured on the phantom and a chest CT under the conditions of `raygrad evaluate registration` and with 500 photons a
pixel: right poses have more than 0.91, spoilt images included; where a registration came to rest elsewhere it is less
than 0.76, and 0.81 for a view from behind, mirrored.
"""
SOLID_LOOK = Stage(512, GradientCorrelation(), iterations=0, tolerance=0.0, near=8.0)
SOLID_MATCH = 0.58
"""The same of solids alone, where bones behind them have slopes too.

Measured on fluoroscopy of knee implants: within 2 degrees of the published poses 0.66 to 0.77 for femoral components
and 0.56 to 0.62 for tibial trays; elsewhere 0.47 to 0.54, but 0.57 for a tray that is turned to where its other side
casts nearly the same shadow. So some right trays are refused.
"""
HALVED_PIXELS = 100
APART_MM = 0.8
"""Halves of the image are inconsistent where one alone moves the pose further in plane.

Measured on X-rays of a chest CT by a simulator that shares no code with raygrad: of right poses 0.03 to 0.3 mm, 0.55
where the CT has a table that the X-ray lacks; where the diaphragm had moved by 10 mm, 1.07 mm and more.
"""
EQUAL = 1.1
"""A pose is as good as another whose score lacks at most so many times less to 1."""


def conclude(course: CoarseToFine, candidates: Refined) -> RegistrationResult:
    """The result of the last stage: the best candidate of every start, those close to it as its rivals."""
    best = leaders(rows_of_starts(candidates.start), candidates.at.score)
    rivals = torch.bincount(candidates.start.cpu()) > 1  # the last stage keeps what is apart and as good
    return describe(course, candidates[best], rivals)


def describe(course: CoarseToFine, candidates: Refined, rivalled: Tensor) -> RegistrationResult:
    """A result with an entry for every candidate."""
    look, line = (SOLID_LOOK, SOLID_MATCH) if course.absorbs else (LOOK, MATCH)
    match = course.problem(candidates, look).score(candidates.states.renumbered()) + (MATCH - line)
    problem, states = course.last_problem, candidates.states
    main = course.model.main
    uncertainty = estimate_uncertainty(problem, states, candidates.at, main)
    vague = torch.tensor([uncertainty.weakest(entry)[1] > UNDETERMINED_MM for entry in range(len(states))])
    if problem.is_flat:
        uncertainty = uncertainty.without_depth()
    settled, stuck = candidates.settled, candidates.stuck
    if course.absorbs:  # differences promise no less than half a pixel: no step that gains is rest
        settled, stuck = settled | stuck, torch.zeros_like(stuck)
    interrupted = (~(settled | stuck) | course.cut_short) & course.stopped
    ends = (match, settled, stuck, rivalled.cpu() | vague, interrupted)
    views = range(len(problem.xrays))
    status = tuple(_decide(*end) for end in zip(*(values.tolist() for values in ends), strict=True))
    halves = _halves(course, candidates, [end is Status.CONVERGED for end in status])
    if halves is not None:
        worst = [halves.worst(entry) for entry in range(len(states))]
        torn = [half is not None and half[1] > APART_MM for half in worst]
        status = tuple(Status.INCONSISTENT if is_torn else end for end, is_torn in zip(status, torn, strict=True))
    sure = tuple(end in (Status.CONVERGED, Status.AMBIGUOUS) for end in status)  # ambiguous for the main body's sake
    sure = tuple(end and not rival for end, rival in zip(sure, rivalled.tolist(), strict=True))
    bodies = results_of_bodies(course.model, problem, states, candidates.at, sure)
    return RegistrationResult(
        tuple(RigidTransform(problem.found(states, view)[:, main]) for view in views),
        problem.in_users_words(candidates.at.score),
        status,
        tuple(course.trace),
        time.perf_counter() - course.task.began,
        uncertainty,
        tuple(_intrinsics(course, problem, states, view) for view in views) if problem.geometry.columns else (),
        {name: bodies[name].poses for name in course.task.structures if name in bodies},
        bodies,
        halves,
        responses_of(course, problem, states.entry),
    )


def _halves(course: CoarseToFine, candidates: Refined, asked: list[bool]) -> Halves | None:
    """Whether halves of the image agree, of the candidates that are asked."""
    similarity = course.last_problem.similarity
    if not any(asked) or not isinstance(similarity, Similarity) or course.absorbs:
        return None  # nothing moves within a solid, and half of one tells of the bones behind it
    chosen = torch.tensor(asked)
    some = candidates[chosen.to(candidates.start.device)]
    # What was calibrated stays as it was found, and counts.
    problem = course.problem(some, Stage(HALVED_PIXELS, similarity, iterations=0, tolerance=0.0))
    problem = replace(problem, geometry=course.task.unknowns)
    where_seen = course.model.at_rest is not None
    apart = disagreements(problem, some.states.renumbered(), course.model.main, where_seen)
    mm = torch.full((len(asked), len(HALVES)), torch.nan, dtype=torch.float64)
    mm[chosen] = apart.cpu().double()
    return Halves(mm)


def _decide(match: float, settled: bool, stuck: bool, rivalled: bool, interrupted: bool = False) -> Status:
    if interrupted:
        return Status.STOPPED
    if not match >= MATCH:
        return Status.NO_MATCH
    if rivalled:
        return Status.AMBIGUOUS
    if stuck:
        return Status.STALLED
    return Status.CONVERGED if settled else Status.OUT_OF_ITERATIONS


ARGUMENTS = {"sdd": ("sdd",), "x0": ("x0",), "y0": ("y0",), "pixel_size": ("delx", "dely")}
"""The arguments of `DRR` that unknown intrinsics stand for."""


def _intrinsics(course: CoarseToFine, problem: PoseProblem, states: States, view: int) -> dict[str, Tensor]:
    """The intrinsics of a view that were unknown, by the names of `DRR`'s arguments."""
    assumed = course.xrays[view].detector.intrinsics
    sdd, x0, y0, size = states.intrinsics[:, view].unbind(-1)
    found = {
        "sdd": assumed.sdd + sdd,
        "x0": assumed.x0 + x0,
        "y0": assumed.y0 + y0,
        "delx": assumed.delx * size.exp(),
        "dely": assumed.dely * size.exp(),
    }
    return {name: found[name] for unknown in problem.geometry.names for name in ARGUMENTS[unknown]}
