"""Registration without a start: many poses are scored at low resolution, and the best of them refined."""

import time
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry, about
from raygrad.pose import RigidTransform
from raygrad.registration._chosen_response import AUTO
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine
from raygrad.registration._inputs import Image, prepare_xrays
from raygrad.registration._methods.levenberg_marquardt import LevenbergMarquardt
from raygrad.registration._outcome import EQUAL, describe
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._problem.similarity import Metric, Similarity
from raygrad.registration._progress import Callback, watched
from raygrad.registration._result import RegistrationResult
from raygrad.registration._schedule import Stage, search_schedule
from raygrad.registration._solver.candidates import SAME, SearchRanges, choose_distinct, distances, spread
from raygrad.registration._task import Task

POSES = 8192
"""Poses that are scored."""
REFINED = 192
"""The best of them, clearly apart, that are refined; more only if more are to be kept."""
KEPT = 4
"""Poses that are returned."""


def search(
    xray: Image | Sequence[Image],
    drr: DRR | Sequence[DRR],
    ranges: SearchRanges | None = None,
    init: RigidTransform | Sequence[RigidTransform] | None = None,
    *,
    mask: Image | Sequence[Image | None] | None = None,
    structures: Structures | None = None,
    unknowns: UnknownGeometry | str | Iterable[str] | None = None,
    stages: Sequence[Stage] | None = None,
    similarity: Similarity | Metric | None = None,
    response: str = "auto",
    keep: int | None = None,
    poses: int = POSES,
    callback: Callback | None = None,
    progress: bool = False,
    seed: int = 0,
) -> RegistrationResult:
    """Find the pose that an X-ray was taken from, from little: rank the poses that explain it.

    A Sobol sequence fills the ranges with poses; all are scored on images of 25 x 25 pixels, and the best that are
    clearly apart go through the stages of `LevenbergMarquardt`, fewer at each.

    Args:
        xray, drr, mask, structures, unknowns, callback, progress: as for `register`.
        ranges: how far from `init` to search; by default 60 degrees and 100 mm to each side of every axis.
        init: the middle of the search, one pose for each view. By default the DRR's own view (AP, PA) of the CT's
            centre, from 5/6 of the source-to-detector distance, or 1/2 for a parallel beam.
        stages: what is compared from coarse to fine, and how many poses go on from each; by default
            `search_schedule(keep)`.
        similarity: compared in all stages in place of their own, see `LevenbergMarquardt`.
        response: what X-rays show of line integrals, see `LevenbergMarquardt`; "auto" is "log" here.
        keep: how many poses to return, if so many are apart and in the running to the end: by default 4, or what the
            last of your own stages keeps.
        poses: how many are scored.
        seed: of the poses. The result is the same for the same seed.

    Returns:
        An entry for each pose, best first. The first is `Status.AMBIGUOUS` if the second matches as well. The trace
        follows the best one of every iteration.

    Raises:
        TypeError, ValueError: as for `register`; more than one start; ranges or numbers that make no search; stages of
            which one keeps fewer poses than are asked for.
    """
    method = LevenbergMarquardt(stages=stages, similarity=similarity, response=response)
    if keep is None:
        keep = KEPT if method.stages is None else method.stages[-1].keep
    if keep < 1 or poses < keep:
        raise ValueError(f"Expected at least one pose to keep, and more to score. Got keep={keep} and poses={poses}.")
    schedule = method.schedule(search_schedule(keep))
    for number, stage in enumerate(schedule):
        if stage.keep < keep:
            raise ValueError(
                f"Expected stages that keep at least keep={keep} poses. Got {stage.keep} in stage {number}."
            )
    ranges = SearchRanges() if ranges is None else ranges
    if not isinstance(ranges, SearchRanges):
        raise TypeError(f"Expected ranges as SearchRanges(degrees, mm). Got {type(ranges).__name__}.")
    twists = spread(ranges, poses, seed)
    geometry = UnknownGeometry() if unknowns is None else UnknownGeometry.of(unknowns)
    began = time.perf_counter()
    xrays = prepare_xrays(xray, drr, default_init(drr) if init is None else init, mask)
    if len(xrays[0].init) != 1:
        raise ValueError(f"Expected one pose as the middle of the search. Got {len(xrays[0].init)}.")
    with torch.no_grad(), watched(callback, progress, "search") as watch:
        task = Task(xrays, structures or {}, geometry, seed, watch, began)
        course = CoarseToFine(task, "log" if response == AUTO else response)
        candidates = course.candidates(about(course.centre, twists.to(course.centre)))
        promising = _most_promising(course, candidates, schedule[0], max(REFINED, schedule[0].keep))
        ranked = course.run(promising, schedule)
        ranked = ranked[ranked.at.score.argsort(descending=True, stable=True)[:keep]]
        return describe(course, ranked, _rivalled(ranked.at.score))


def default_init(drr: DRR | Sequence[DRR]) -> RigidTransform:
    """The pose from which a DRR looks at the CT's centre along its orientation's axis, from 5/6 of sdd away.

    A parallel beam, which magnifies nothing, has the CT halfway, where neither end of its rays is in it.

    Raises:
        ValueError: several DRRs, whose relative geometry no default can know.
    """
    if isinstance(drr, Sequence):
        if len(drr) != 1:
            raise ValueError(f"Expected init with a pose for each of {len(drr)} views: it says how they lie. Got none.")
        drr = drr[0]
    pose = torch.eye(4, dtype=torch.float64)
    beam = drr.detector.reorient.matrix[0, :3, 2].cpu().double()
    centre = torch.tensor(drr.subject.volume.get_center(), dtype=torch.float64)
    away = 1 / 2 if drr.detector.parallel else 5 / 6
    pose[:3, 3] = centre - beam * float(drr.detector.sdd) * away
    return RigidTransform(pose)


def _most_promising(course: CoarseToFine, candidates: Candidates, stage: Stage, count: int) -> Candidates:
    """The candidates with the highest scores among those that are apart, at most so many."""
    problem = course.problem(candidates, stage)
    score = problem.score(candidates.states)
    best = score.argsort(descending=True, stable=True)[: 8 * count]
    pose = problem.comparable(problem.poses(candidates.states[best], 0)[:, 0])
    apart = distances(pose, pose, course.centre, course.radius)
    start = torch.zeros_like(best)
    return candidates[best[choose_distinct(start, score[best], apart, count, margin=float("inf"))]]


def _rivalled(score: Tensor) -> Tensor:
    """The best is rivalled by a second one that is as good, and so is that."""
    as_good = score >= score[0] - ((EQUAL - 1) * (1 - score[0])).clamp_min(SAME)
    return as_good & (as_good.sum() > 1)
