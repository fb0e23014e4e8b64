"""From the candidates that are left to what users get: the best pose of each start, and whether to believe it."""

import time

import torch
from torch import Tensor

from raygrad.pose import RigidTransform
from raygrad.registration._coarse_to_fine import CoarseToFine, Refined
from raygrad.registration._problem.pose_problem import CALIBRATABLE, Scene, Unknowns
from raygrad.registration._problem.similarity import GradientCorrelation
from raygrad.registration._problem.uncertainty import estimate_uncertainty
from raygrad.registration._result import RegistrationResult, Status
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import leaders, rows_of_starts

LOOK = Stage(50, GradientCorrelation(), iterations=0, tolerance=0.0)
MATCH = 0.86
"""Correlation of slopes, as `LOOK` sees them, from which an X-ray is taken to show the CT from this pose.

Measured on the phantom and a chest CT under the conditions of `raygrad evaluate registration` and with 500 photons a
pixel: right poses have more than 0.91, spoilt images included; where a registration came to rest elsewhere it is less
than 0.76, and 0.81 for a view from behind, mirrored.
"""
EQUAL = 1.1
"""A pose is as good as another whose score lacks at most so many times less to 1."""
UNDETERMINED_MM = 20.0
"""The image leaves a direction undetermined whose standard deviation is larger."""


def conclude(course: CoarseToFine, candidates: Refined) -> RegistrationResult:
    """The result of the last stage: the best candidate of every start, those close to it as its rivals."""
    best = leaders(rows_of_starts(candidates.start), candidates.at.score)
    rivals = torch.bincount(candidates.start.cpu()) > 1  # the last stage keeps what is apart and as good
    return describe(course, candidates[best], rivals)


def describe(course: CoarseToFine, candidates: Refined, rivalled: Tensor) -> RegistrationResult:
    """A result with an entry for every candidate."""
    match = course.scene(candidates, LOOK).score(candidates.unknowns.renumbered())
    scene, unknowns = course.last_scene, candidates.unknowns
    uncertainty = estimate_uncertainty(scene, unknowns, candidates.at)
    vague = torch.tensor([uncertainty.weakest(entry)[1] > UNDETERMINED_MM for entry in range(len(unknowns))])
    ends = (match, candidates.settled, candidates.stuck, rivalled.cpu() | vague)
    views = range(len(scene.sights))
    poses = [scene.poses(unknowns, view) for view in views]
    return RegistrationResult(
        tuple(RigidTransform(pose[:, 0]) for pose in poses),
        candidates.at.score,
        tuple(_decide(*end) for end in zip(*(values.tolist() for values in ends), strict=True)),
        tuple(course.trace),
        time.perf_counter() - course.began,
        uncertainty,
        tuple(_intrinsics(course, scene, unknowns, view) for view in views) if scene.calibration.columns else (),
        {
            name: tuple(RigidTransform(pose[:, number]) for pose in poses)
            for number, name in enumerate(course.structures, start=1)
            if number < len(scene.pivots)
        },
    )


def _decide(match: float, settled: bool, stuck: bool, rivalled: bool) -> Status:
    if not match >= MATCH:
        return Status.NO_MATCH
    if rivalled:
        return Status.AMBIGUOUS
    if stuck:
        return Status.STALLED
    return Status.CONVERGED if settled else Status.OUT_OF_ITERATIONS


def _intrinsics(course: CoarseToFine, scene: Scene, unknowns: Unknowns, view: int) -> dict[str, Tensor]:
    """The calibrated quantities of a view by the names of `DRR`'s arguments."""
    detector = course.views[view].drr.detector
    sdd, x0, y0, size = unknowns.intrinsics[:, view].unbind(-1)
    found = {
        "sdd": detector.sdd + sdd,
        "x0": detector.centre_x + x0,
        "y0": detector.centre_y + y0,
        "delx": detector.delx * size.exp(),
        "dely": detector.dely * size.exp(),
    }
    names = [name for column in scene.calibration.columns for name in CALIBRATABLE[column]]
    return {name: found[name] for name in names}
