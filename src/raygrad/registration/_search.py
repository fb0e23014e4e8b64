"""Registration without a start: many poses are scored at low resolution, and the best of them refined."""

import time
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry, about
from raygrad.physics import Physics
from raygrad.pose import RigidTransform
from raygrad.registration._chosen_response import AUTO
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine
from raygrad.registration._doubts.doubted import doubted
from raygrad.registration._estimated_exposure import with_exposures
from raygrad.registration._exposure import Estimate, checked_estimate
from raygrad.registration._inputs import Image, as_list, prepare_xrays
from raygrad.registration._left_out import telling_what_counted
from raygrad.registration._methods.levenberg_marquardt import LevenbergMarquardt
from raygrad.registration._outcome import EQUAL, describe
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._problem.similarity import Metric, Similarity
from raygrad.registration._progress import Callback, watched
from raygrad.registration._result import RegistrationResult
from raygrad.registration._rigid import Rigid, labels_of
from raygrad.registration._schedule import Stage, search_schedule
from raygrad.registration._solver.candidates import SAME, SearchRanges, choose_distinct, distances, spread
from raygrad.registration._sweep import sweep
from raygrad.registration._task import Task
from raygrad.registration._view_ranges import ViewRanges

POSES = 8192
"""Poses that are scored."""
REFINED = 192
"""The best of them, clearly apart, that are refined; more only if more are to be kept."""
SWEPT, MOST_SWEPT, SWEPT_SHARE = 64, 256, 0.1
"""The same of a sweep: this share of the poses that it finds, within these."""
KEPT = 4
"""Poses that are returned."""


def search(
    xray: Image | Sequence[Image],
    drr: DRR | Sequence[DRR],
    ranges: SearchRanges | ViewRanges | None = None,
    init: RigidTransform | Sequence[RigidTransform] | None = None,
    *,
    mask: Image | Sequence[Image | None] | None = None,
    auto_mask: bool = True,
    structures: Structures | None = None,
    rigid: Rigid | None = None,
    unknowns: UnknownGeometry | str | Iterable[str] | None = None,
    physics: Physics | Sequence[Physics] | None = None,
    estimate: Estimate = (),
    stages: Sequence[Stage] | None = None,
    similarity: Similarity | Metric | None = None,
    response: str = "auto",
    clean_ct: bool = True,
    coverage: bool = True,
    keep: int | None = None,
    poses: int | None = None,
    advise: bool = True,
    callback: Callback | None = None,
    progress: bool = False,
    seed: int = 0,
) -> RegistrationResult:
    """Find the pose that an X-ray was taken from, from little: rank the poses that explain it.

    A Sobol sequence fills `SearchRanges` with poses; all are scored on images of 25 x 25 pixels. `ViewRanges`, which
    may be as wide as the whole sphere, are swept: the first X-ray is found by correlation on wide images from all
    directions, at every shift, depth and turn in plane. The best that are clearly apart go through the stages of
    `LevenbergMarquardt`, fewer at each.

    Args:
        xray, drr, mask, auto_mask, structures, rigid, unknowns, physics, estimate, callback, progress: as for
            `register`.
        ranges: how far from `init` to search; by default 60 degrees and 100 mm to each side of every axis of the world.
            `ViewRanges()`: 45, 45 and 15 degrees and 150 mm by the image's own axes at any depth;
            `ViewRanges.sphere()`: from all sides.
        init: the middle of the search, one pose for each view. By default the DRR's own view (AP, PA) of the CT's
            centre, from 5/6 of the source-to-detector distance, or 1/2 for a parallel beam.
        stages: what is compared from coarse to fine, and how many poses go on from each; by default
            `search_schedule(keep)`.
        similarity: compared in all stages in place of their own, see `LevenbergMarquardt`.
        response: what X-rays show of line integrals, see `LevenbergMarquardt`; "auto" is "log" here.
        clean_ct: try the CT's attenuation, without the table, in place of the DRR's density, see `LevenbergMarquardt`.
        coverage: rays that see the patient beyond the CT do not count, see `LevenbergMarquardt`.
        keep: how many poses to return, if so many are apart and in the running to the end: by default 4, or what the
            last of your own stages keeps.
        poses: how many are scored of `SearchRanges`, by default 8192.
        advise: try what would help where nothing matches, see `Advice`.
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
    if poses is not None and isinstance(ranges, ViewRanges):
        raise ValueError(f"Expected no number of poses beside ViewRanges, which are swept in steps. Got {poses}.")
    poses = POSES if poses is None else poses
    if keep < 1 or poses < keep:
        raise ValueError(f"Expected at least one pose to keep, and more to score. Got keep={keep} and poses={poses}.")
    schedule = method.schedule(search_schedule(keep))
    for number, stage in enumerate(schedule):
        if stage.keep < keep:
            raise ValueError(
                f"Expected stages that keep at least keep={keep} poses. Got {stage.keep} in stage {number}."
            )
    ranges = SearchRanges() if ranges is None else ranges
    if not isinstance(ranges, SearchRanges | ViewRanges):
        expected = "SearchRanges(degrees, mm) or ViewRanges(degrees, mm, depth)"
        raise TypeError(f"Expected ranges as {expected}. Got {type(ranges).__name__}.")
    motions = spread(ranges, poses, seed) if isinstance(ranges, SearchRanges) else None
    geometry = UnknownGeometry() if unknowns is None else UnknownGeometry.of(unknowns)
    began = time.perf_counter()
    asked = checked_estimate(estimate, physics)
    xrays = prepare_xrays(xray, drr, default_init(drr) if init is None else init, mask, auto_mask, physics)
    if len(xrays[0].init) != 1:
        raise ValueError(f"Expected one pose as the middle of the search. Got {len(xrays[0].init)}.")
    labels = labels_of(as_list(drr)[0].subject, rigid)
    with torch.no_grad(), watched(callback, progress, "search") as watch:
        task = Task(xrays, structures or {}, geometry, seed, watch, began, rigid=labels, estimate=asked)
        course = CoarseToFine(task, "log" if response == AUTO else response, clean_ct, coverage)
        if isinstance(ranges, ViewRanges):
            promising = _swept(course, xrays[0], ranges)
        else:
            assert motions is not None  # of SearchRanges
            candidates = course.candidates(about(course.centre, motions.to(course.centre)))
            promising = _most_promising(course, candidates, schedule[0], max(REFINED, schedule[0].keep))
        course, ranked = with_exposures(course, course.run(promising, schedule), schedule)
        ranked = ranked[ranked.at.score.argsort(descending=True, stable=True)[:keep]]
        result = describe(course, ranked, _rivalled(ranked.at.score))
        return telling_what_counted(doubted(course, ranked, result, advise), xrays)


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


def _swept(course: CoarseToFine, xray: PreparedXRay, ranges: ViewRanges) -> Candidates:
    """The best poses of a sweep that are apart; further views follow the first."""
    found = sweep(xray, ranges, course.centre)
    count = min(max(SWEPT, round(SWEPT_SHARE * len(found.poses))), MOST_SWEPT)
    score, poses = found.score[: 4 * count], found.poses[: 4 * count]
    apart = distances(poses, poses, course.centre.cpu(), course.radius)
    best = choose_distinct(torch.zeros(len(score)).long(), score, apart, count, margin=float("inf"))
    begun = xray.init.matrix[0]
    return course.candidates(poses[best].to(begun) @ torch.linalg.inv(begun))


def _rivalled(score: Tensor) -> Tensor:
    """The best is rivalled by a second one that is as good, and so is that."""
    as_good = score >= score[0] - ((EQUAL - 1) * (1 - score[0])).clamp_min(SAME)
    return as_good & (as_good.sum() > 1)
