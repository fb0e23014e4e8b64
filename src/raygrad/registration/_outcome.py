"""From the candidates that are left to what users get: the best pose of each start, and whether to believe it."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from raygrad._progress import Status
from raygrad.pose import RigidTransform
from raygrad.registration._agreement import APART_MM, Halves
from raygrad.registration._body_results import UNDETERMINED_MM, results_of_bodies
from raygrad.registration._calibrated import ARGUMENTS, deviations_of_geometry
from raygrad.registration._chosen_response import judged, responses_of
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._prepared import beams_of
from raygrad.registration._problem.coverage import counted_in
from raygrad.registration._problem.halves import disagreements
from raygrad.registration._problem.model_error import with_model_error
from raygrad.registration._problem.parts import Parts, agreement
from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._problem.similarity import GradientCorrelation, Similarity
from raygrad.registration._problem.told import IN_PLANE_MM, KEPT_IN_PLANE_MM, in_plane, jointly
from raygrad.registration._problem.uncertainty import estimate_uncertainty
from raygrad.registration._result import RegistrationResult
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import leaders, rows_of_starts

LOOK = Stage(50, GradientCorrelation(), iterations=0, tolerance=0.0)
MATCH = 0.86
"""Correlation of slopes, as `LOOK` sees them, from which an X-ray is taken to show the CT from this pose.

Measured on the phantom and a chest CT under the conditions of `raygrad evaluate registration` and with 500 photons a
pixel: right poses have more than 0.91, spoilt images included; where a registration came to rest elsewhere it is less
than 0.76, and 0.81 for a view from behind, mirrored. By another simulator, with the patient beyond the CT or a
display's curve, right poses have 0.98 to 0.99 through a curve (0.91 to 0.98 without), 0.92 to 0.95 with the diaphragm
10 mm lower; rests elsewhere up to 0.72, one close by 0.77, views from behind 0.65 to 0.70. Robust weights would lift
wrong poses to 0.85.
"""
SOLID_LOOK = Stage(512, GradientCorrelation(), iterations=0, tolerance=0.0, near=8.0)
SOLID_MATCH = 0.58
"""The same of solids alone, where bones behind them have slopes too.

Measured on fluoroscopy of knee implants: within 2 degrees of the published poses 0.66 to 0.77 for femoral components
and 0.56 to 0.62 for tibial trays; elsewhere 0.47 to 0.54, but 0.57 for a tray that is turned to where its other side
casts nearly the same shadow. So some right trays are refused.
"""
HALVED_PIXELS = 100
BEYOND_CHANCE = 2.0
"""Noise is set aside up to so many standard deviations."""
EQUAL = 1.1
"""A pose is as good as another whose score lacks at most so many times less to 1."""


def best_of_starts(candidates: Refined) -> Refined:
    """The best candidate of every start."""
    return candidates[leaders(rows_of_starts(candidates.start), candidates.at.score)]


def conclude(course: CoarseToFine, candidates: Refined) -> RegistrationResult:
    """The result of the last stage: the best candidate of every start, those close to it as its rivals."""
    rivals = torch.bincount(candidates.start.cpu()) > 1  # the last stage keeps what is apart and as good
    return describe(course, best_of_starts(candidates), rivals)


def match_of(course: CoarseToFine, candidates: Candidates, calibrate: bool = False) -> Tensor:
    """How well the images match where candidates are, and with the geometry found: to be `MATCH` at least.

    Those of a CT are seen through the monotone curve by which they are most alike: a display curve, saturation or
    scatter say nothing against a pose.
    """
    candidates = Candidates(candidates.start, candidates.states.renumbered())
    if course.absorbs:
        look = replace(SOLID_LOOK, calibrate=calibrate)
        return course.problem(candidates, look).score(candidates.states) + (MATCH - SOLID_MATCH)
    look = replace(LOOK, calibrate=calibrate)
    if course.response == "log" and course.model.at_rest is None:
        return judged(course, candidates, look, "curve")
    return course.problem(candidates, look).score(candidates.states)


def describe(course: CoarseToFine, candidates: Refined, rivalled: Tensor) -> RegistrationResult:
    """A result with an entry for every candidate."""
    match = match_of(course, candidates)
    problem, states = course.last_problem, candidates.states
    main = course.model.main
    at, parts = with_model_error(problem, states, candidates.at, main)
    known_by_one = len(problem.xrays) == 1 and bool(course.task.unknowns.columns)
    if known_by_one:
        problem = replace(problem, geometry=course.task.unknowns)
        at = jointly(problem, states.renumbered(), problem.geometry)
    uncertainty = estimate_uncertainty(problem, states, at, main)
    vague = torch.tensor([uncertainty.weakest(entry)[1] > UNDETERMINED_MM for entry in range(len(states))])
    if known_by_one:
        vague |= in_plane(uncertainty, course.distances[0]) > (KEPT_IN_PLANE_MM if course.kept else IN_PLANE_MM)
    if problem.is_flat:
        uncertainty = uncertainty.without_depth()
    settled, stuck = candidates.settled, candidates.stuck
    if course.absorbs:  # differences promise no less than half a pixel: no step that gains is rest
        settled, stuck = settled | stuck, torch.zeros_like(stuck)
    interrupted = (~(settled | stuck) | course.cut_short) & course.stopped
    ends = (match, settled, stuck, rivalled.cpu() | vague, interrupted)
    views = range(len(problem.xrays))
    status = tuple(_decide(*end) for end in zip(*(values.tolist() for values in ends), strict=True))
    halves, torn = _halves(course, candidates, parts, [end is Status.CONVERGED for end in status])
    status = tuple(Status.INCONSISTENT if is_torn else end for end, is_torn in zip(status, torn.tolist(), strict=True))
    sure = tuple(end in (Status.CONVERGED, Status.AMBIGUOUS) for end in status)  # ambiguous for the main body's sake
    sure = tuple(end and not rival for end, rival in zip(sure, rivalled.tolist(), strict=True))
    bodies = results_of_bodies(course.model, problem, states, at, sure)
    of_intrinsics, of_poses = deviations_of_geometry(problem, at, [xray.detector for xray in course.xrays])
    poses = tuple(RigidTransform(problem.found(states, view)[:, main]) for view in views)
    return RegistrationResult(
        poses,
        problem.in_users_words(candidates.at.score),
        status,
        tuple(course.trace),
        time.perf_counter() - course.task.began,
        uncertainty,
        tuple(_intrinsics(course, problem, states, view) for view in views) if problem.geometry.columns else (),
        structures={name: bodies[name].poses for name in course.task.structures if name in bodies},
        bodies=bodies,
        halves=halves,
        intrinsics_deviations=of_intrinsics,
        relative_deviations=of_poses,
        counted=counted_in(problem.xrays, states),
        beams=beams_of(course.xrays, poses) if course.task.models is None else (),
        ct=course.ct,
        exposures=course.exposures,
        kept=course.kept,
        responses=responses_of(course, problem, states.entry),
    )


def _halves(
    course: CoarseToFine, candidates: Refined, parts: Parts | None, asked: list[bool]
) -> tuple[Halves | None, Tensor]:
    """Whether parts of the image agree, of the candidates that are asked, and which are inconsistent.

    Of these also how far one half alone moves the pose.
    """
    similarity = course.last_problem.similarity
    # Nothing moves within a solid, and half of one tells of the bones behind it.
    if not any(asked) or not isinstance(similarity, Similarity) or parts is None or course.absorbs:
        return None, torch.zeros(len(asked), dtype=torch.bool)
    chosen = torch.tensor(asked)
    torn, given = agreement(parts, ~chosen, APART_MM, BEYOND_CHANCE)
    if torn.any():
        some = candidates[torn.to(candidates.start.device)]
        # What was calibrated stays as it was found, and counts.
        problem = course.problem(some, Stage(HALVED_PIXELS, similarity, iterations=0, tolerance=0.0))
        problem = replace(problem, geometry=course.task.unknowns, belonging=None)
        where_seen = course.model.at_rest is not None
        alone = disagreements(problem, some.states.renumbered(), course.model.main, where_seen).cpu().double()
        given.alone_mm[torn] = alone
    return given, torn


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
