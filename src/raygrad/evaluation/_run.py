"""Runs registrations from seeded starts and measures how each of them ended."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from raygrad import registration
from raygrad._optional import require
from raygrad.data import Subject
from raygrad.evaluation._conditions import CONDITIONS, Case, conditions_of, forget_patients, make_case, make_drr
from raygrad.evaluation._deviations import Ratios, measure_ratios
from raygrad.evaluation._starts import VIEWS, Errors, draw_motions, make_generator, measure_errors, motion_about
from raygrad.pose import RigidTransform


@dataclass(frozen=True)
class Start:
    """Where one registration starts from.

    Attributes:
        number: from 0; the same number is the same motion under every condition.
        poses: camera_to_world of every view; one motion takes all from the true ones.
        numbers: turns about x, y, z in degrees and shifts in mm that the motion is made of, see `draw_motions`.
        degrees, mm: the ranges that these were drawn from.
    """

    number: int
    poses: tuple[RigidTransform, ...]
    numbers: tuple[float, ...]
    degrees: float | int
    mm: float | int


@dataclass(frozen=True)
class Outcome:
    """What a registration method hands back.

    Attributes:
        pose: of the first view.
        seconds: wall time of the one call.
        status: how it ended, in the method's own words; empty for methods that do not say.
        score: similarity at the end.
        iterations: how many were made.
        spine_pose: of the first view as the spine is seen from, where the method was asked for it.
        covariance: of the pose, as `raygrad.registration.Uncertainty` has it; None for methods that do not say.
        halves: by how many mm the worst half of the image disagrees; None where none was asked.
        note: anything that a reader of the results should know.
    """

    pose: RigidTransform
    seconds: float
    status: str = ""
    score: float = float("nan")
    iterations: int = 0
    spine_pose: RigidTransform | None = None
    covariance: Tensor | None = None
    halves: float | None = None
    note: str = ""


WRONG_MM = 2.0
"""In plane: a pose further off should never be accepted."""


@dataclass(frozen=True)
class Row:
    """One registration, and how it ended: a line of the CSV.

    Attributes:
        method, condition, view: what was tried: see `METHODS`, `CONDITIONS` and `VIEWS`.
        start: number of the start.
        degrees, mm: how far starts lie from the truth, on every axis.
        turn_x, turn_y, turn_z, shift_x, shift_y, shift_z: how far this one does, in degrees and mm.
        start_mtre, mtre: error of the start and of the end, in mm.
        in_plane, depth, rotation_deg: the parts of the error at the end, in mm and degrees.
        spine_mtre, spine_in_plane: the same of a spine or a vertebra that moves by itself.
        ratio_in_plane, ratio_depth, ratio_turn: errors over their standard deviations, see `measure_ratios`.
        halves: by how many mm the worst half of the image disagrees with the whole.
        status, score, seconds, iterations: of the result.
        success: the errors are below the condition's limits; where no rigid pose is right, or it was not accepted.
        accepted: the status says converged.
        false_success: it was accepted, and the error in plane is above `WRONG_MM`, the spine's included.
        false_alarm: the errors are below the limits, and the status says otherwise.
        note: what there is to say beside.
    """

    method: str
    condition: str
    view: str
    start: int
    degrees: float
    mm: float
    turn_x: float
    turn_y: float
    turn_z: float
    shift_x: float
    shift_y: float
    shift_z: float
    start_mtre: float
    mtre: float
    in_plane: float
    depth: float
    rotation_deg: float
    spine_mtre: float | None
    spine_in_plane: float | None
    ratio_in_plane: float | None
    ratio_depth: float | None
    ratio_turn: float | None
    halves: float | None
    status: str
    success: bool
    accepted: bool
    false_success: bool
    false_alarm: bool
    score: float
    seconds: float
    iterations: int
    note: str


COLUMNS = [field.name for field in fields(Row)]
Solver = Callable[[Case, Start], Outcome]


def register_from(case: Case, start: Start) -> Outcome:
    """Run `raygrad.registration.register` from this one start."""
    return _call(case, start)


def search_around(case: Case, start: Start) -> Outcome:
    """Run `raygrad.registration.register` as a search of the ranges about the start, in which the true pose lies."""
    return _call(case, start, ranges=registration.SearchRanges(degrees=(start.degrees,) * 3, mm=(start.mm,) * 3))


def _call(case: Case, start: Start, **options: Any) -> Outcome:
    if case.spine_labels:
        options["structures"] = {"spine": list(case.spine_labels)}
    drrs = [case.drr] * len(case.xrays)
    began = time.perf_counter()
    result = registration.register(
        list(case.xrays), drrs, list(start.poses), mask=None if case.masks is None else list(case.masks), **options
    )
    seconds = time.perf_counter() - began
    best = result.best
    spine = result.structures.get("spine")
    worst = None if result.halves is None else result.halves.worst(best)
    return Outcome(
        pose=RigidTransform(result.pose[best]).cpu(),
        seconds=seconds,
        status=str(result.status[best]),
        score=result.score[best].item(),
        iterations=sum(iteration.number > 0 for iteration in result.trace),
        spine_pose=None if spine is None else RigidTransform(spine[0][best]).cpu(),
        covariance=None if result.uncertainty is None else result.uncertainty.covariance[best],
        halves=None if worst is None else worst[1],
    )


METHODS: dict[str, Solver] = {"register": register_from, "search": search_around}


def draw_starts(
    case: Case, count: int, degrees: float | int, mm: float | int, seed: int, truth_in_range: bool = False
) -> list[Start]:
    """The starts of a case; they depend on the seed, the ranges and the view alone.

    A start is the true pose moved by a drawn motion. With `truth_in_range` it is the other way about: the true pose is
    the start moved by it, and turns are drawn as a search draws them: so it lies within the ranges about the start.
    """
    generator = make_generator(seed, "starts", case.view, f"{degrees:g}", f"{mm:g}")
    motions, numbers = draw_motions(count, degrees, mm, generator, vectors=truth_in_range)
    centre = torch.tensor(case.centre, dtype=torch.float64)
    starts = []
    for number in range(count):
        motion = motion_about(centre, RigidTransform(motions.matrix[number : number + 1]))
        motion = motion.inverse() if truth_in_range else motion
        poses = tuple(pose.compose(motion).to(case.drr.density.dtype) for pose in case.poses)
        starts.append(Start(number, poses, tuple(numbers[number].tolist()), degrees, mm))
    return starts


def run_start(case: Case, start: Start, solver: Solver, method: str) -> Row:
    """Register from one start and measure the errors."""
    outcome = solver(case, start)
    errors = measure_errors(outcome.pose, case.poses[0], case.points)
    spine = None
    if case.spine_points is not None:
        # A method that knows no structures takes the spine along with the body.
        spine = measure_errors(outcome.spine_pose or outcome.pose, case.spine_poses[0], case.spine_points)
    accepted = outcome.status == str(registration.Status.CONVERGED)
    right = is_right(case.condition, errors, spine)
    refused = CONDITIONS[case.condition].may_refuse and not accepted
    ratios = _ratios(case, outcome)
    turn_x, turn_y, turn_z, shift_x, shift_y, shift_z = start.numbers
    return Row(
        method=method,
        condition=case.condition,
        view=case.view,
        start=start.number,
        degrees=float(start.degrees),
        mm=float(start.mm),
        turn_x=turn_x,
        turn_y=turn_y,
        turn_z=turn_z,
        shift_x=shift_x,
        shift_y=shift_y,
        shift_z=shift_z,
        start_mtre=measure_errors(start.poses[0], case.poses[0], case.points).mtre,
        mtre=errors.mtre,
        in_plane=errors.in_plane,
        depth=errors.depth,
        rotation_deg=errors.rotation_deg,
        spine_mtre=None if spine is None else spine.mtre,
        spine_in_plane=None if spine is None else spine.in_plane,
        ratio_in_plane=ratios and ratios.in_plane,
        ratio_depth=ratios and ratios.depth,
        ratio_turn=ratios and ratios.turn,
        halves=outcome.halves,
        status=outcome.status,
        success=right or refused,
        accepted=accepted,
        false_success=accepted and any(of.in_plane > WRONG_MM for of in (errors, spine) if of is not None),
        false_alarm=right and not refused and outcome.status != "" and not accepted,
        score=outcome.score,
        seconds=outcome.seconds,
        iterations=outcome.iterations,
        note=outcome.note,
    )


def is_right(condition: str, errors: Errors, spine: Errors | None = None) -> bool:
    """Whether the errors are below the condition's limits, the spine's too where it has moved."""
    limits = CONDITIONS[condition]
    return all(
        (limits.mtre is None or of.mtre < limits.mtre) and (limits.in_plane is None or of.in_plane < limits.in_plane)
        for of in (errors, spine)
        if of is not None
    )


def _ratios(case: Case, outcome: Outcome) -> Ratios | None:
    if outcome.covariance is None:
        return None
    camera = case.drr.detector.camera_to_world(outcome.pose)
    return measure_ratios(outcome.pose, case.poses[0], outcome.covariance, camera, case.drr.subject.volume.get_center())


def evaluate(
    subject: Subject,
    conditions: Sequence[str] | None = None,
    views: Sequence[str] = tuple(VIEWS),
    starts: int = 20,
    degrees: float | int | None = None,
    mm: float | int | None = None,
    *,
    seed: int = 0,
    method: str = "register",
    solver: Solver | None = None,
    give_masks: bool = True,
    on_case: Callable[[Case], None] | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Iterator[Row]:
    """Register from seeded starts under every condition and view, one call for each start.

    Args:
        subject: the CT; for some conditions with a labelmap and named structures.
        conditions: letters of `CONDITIONS`, in the order in which they run; by default all that the CT allows.
        views: names of `VIEWS`.
        starts: registrations for each condition and view.
        degrees, mm: how far starts are from the truth: uniform within +-degrees and +-mm on every axis; by default as
            the condition has it.
        seed: of all that is random: the same seed, the same images and starts.
        method: "register" from each start, or "search" about it; or the name of `solver`.
        solver: registers in another way.
        give_masks: tell the registration where the collimator is.
        on_case: called with the X-rays of each condition and view before they are registered.
        device: what registers.
        progress: show a progress bar that counts the successes.

    Yields:
        A row for every registration, when it is done.

    Raises:
        ValueError: an unknown condition, view or method, or numbers that draw no starts.
    """
    if solver is None and method not in METHODS:
        raise ValueError(f"Expected a method among {', '.join(METHODS)}. Got {method!r}.")
    conditions = conditions_of(subject) if conditions is None else conditions
    for kind, known, given in (("condition", CONDITIONS, conditions), ("view", VIEWS, views)):
        for name in given:
            if name not in known:
                raise ValueError(f"Expected a {kind} among {', '.join(known)}. Got {name!r}.")
    if starts < 1 or (degrees or 0) < 0 or (mm or 0) < 0:
        raise ValueError(f"Expected at least 1 start and ranges of at least 0. Got {starts}, {degrees} and {mm}.")
    drr = make_drr(subject).to(device)
    rows = _rows(
        (make_case(condition, view, subject, seed, drr) for condition in conditions for view in views),
        lambda case: draw_starts(case, starts, *_ranges(case, degrees, mm), seed, truth_in_range=method == "search"),
        solver or METHODS[method],
        method,
        give_masks,
        on_case,
    )
    return _with_progress(rows, len(conditions) * len(views) * starts) if progress else rows


def _ranges(case: Case, degrees: float | None, mm: float | None) -> tuple[float, float]:
    """How far starts are, where it is not said as the condition has it."""
    usual = CONDITIONS[case.condition]
    return usual.degrees if degrees is None else degrees, usual.mm if mm is None else mm


def _with_progress(rows: Iterator[Row], total: int) -> Iterator[Row]:
    successes = 0
    with require("tqdm", "progress bars", extra="cli").tqdm(total=total, ncols=90, unit="") as bar:
        for number, row in enumerate(rows, start=1):
            successes += row.success
            bar.set_description(f"{row.method} {row.condition} {row.view}")
            bar.set_postfix_str(f"{successes}/{number} right")
            bar.update()
            yield row


def _rows(
    cases: Iterable[Case],
    starts_of: Callable[[Case], list[Start]],
    solver: Solver,
    method: str,
    give_masks: bool,
    on_case: Callable[[Case], None] | None,
) -> Iterator[Row]:
    for case in cases:
        if on_case is not None:
            on_case(case)
        told = case if give_masks else case.without_masks()
        for start in starts_of(case):
            yield run_start(told, start, solver, method)
    forget_patients()
