"""Registration by Levenberg and Marquardt from coarse images to fine ones, with several candidates for each start."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from raygrad.geometry import Calibration
from raygrad.pose import RigidTransform
from raygrad.registration._inputs import View
from raygrad.registration._problem.bodies import Structures, middle, reach, separate_bodies, whole_body
from raygrad.registration._problem.pose_problem import Scene, Sight, Unknowns
from raygrad.registration._problem.pyramid import Camera, Pyramid, shrink_detector, shrink_factor, shrink_image
from raygrad.registration._problem.robust import trusted_pixels
from raygrad.registration._progress import Callback
from raygrad.registration._result import Iteration
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.batches import Batch
from raygrad.registration._solver.candidates import choose_distinct, distances, leaders, moved_by, rows_of_starts
from raygrad.registration._solver.levenberg_marquardt import Linearisation, minimise
from raygrad.types import Matrices

LEAST_COST = 1e-3
"""No image is matched better than this, as far as what is known of the geometry is weighed against it."""
ROUNDS, TRUSTED_MM = 3, 0.5
"""A robust stage chooses the pixels that it trusts so many times, while the pose then moves further than that."""


@dataclass(frozen=True)
class Candidates(Batch):
    """Poses that compete to be the answer.

    Attributes:
        start: which of the user's starts each belongs to.
        unknowns: where each is.
    """

    start: Int[Tensor, " candidate"]
    unknowns: Unknowns


@dataclass(frozen=True)
class Refined(Candidates):
    """Candidates that have been through a stage.

    Attributes:
        at: what the images say where each is.
        settled, stuck: how the minimisation ended for each, see `Minimum`.
    """

    at: Linearisation
    settled: Bool[Tensor, " candidate"]
    stuck: Bool[Tensor, " candidate"]


class CoarseToFine:
    """The views of a registration at every level, and the way from one to the next.

    Attributes:
        centre: of the CT, in mm of the world: what poses turn about.
        radius: root mean square distance of the CT's points from its centre in mm.
        distances: of every view's sources from there, typically, in mm.
        began: when the registration began, by `time.perf_counter`.
        trace: all iterations so far.
        last_scene: that of the stage that came last.
        stopped: the callback has ended the run.
    """

    def __init__(
        self,
        views: tuple[View, ...],
        structures: Structures,
        calibration: Calibration,
        callback: Callback,
        began: float,
    ) -> None:
        self.views = views
        self.structures = structures
        self.calibration = calibration
        self.callback = callback
        self.whole = [Pyramid(whole_body(view.drr)) for view in views]
        self.parts: list[list[Pyramid]] = []
        if structures:
            self._separate()  # now, so that what is wrong with them is said before anything iterates
        body = self.whole[0].finest
        self.centre, self.radius = middle(body).to(views[0].init.matrix), reach(body)
        away = torch.stack([(view.init.matrix[:, :3, 3] - self.centre).norm(dim=-1).median() for view in views])
        self.distances: list[float] = away.tolist()
        self.trace: list[Iteration] = []
        self.stopped = False
        self.began = began

    def candidates(self, motions: Matrices) -> Candidates:
        """Every start moved by each of the motions (in the world, about its origin)."""
        starts, views = len(self.views[0].init), len(self.views)
        count = starts * len(motions)
        number = torch.arange(count, device=motions.device)
        still = torch.eye(4, dtype=motions.dtype, device=motions.device)
        unknowns = Unknowns(
            number,
            motions.repeat(starts, 1, 1)[:, None],
            still.expand(count, views, 4, 4).clone(),
            motions.new_zeros(count, views, 4),
        )
        return Candidates(number // len(motions), unknowns)

    def run(self, candidates: Candidates, stages: Sequence[Stage]) -> Refined:
        """Take candidates through the stages; after each the best go on."""
        if not stages:
            raise ValueError("Expected at least one stage. Got none.")
        for number, stage in enumerate(stages):
            refined = candidates = self.refine(candidates, stage, number)
            if self.stopped:
                break
        return refined

    def refine(self, candidates: Candidates, stage: Stage, number: int) -> Refined:
        """Take candidates through one stage."""
        if stage.apart:
            candidates = self._take_apart(candidates)
        for _ in range(ROUNDS if stage.robust else 1):
            before = candidates
            refined = candidates = self._minimise(before, stage, number)
            if self.stopped or not stage.robust:
                break
            if moved_by(self._poses(before), self._poses(refined), self.centre, self.radius).max() < TRUSTED_MM:
                break
        if len(refined.start) == 1:
            return refined
        poses = self._poses(refined)
        apart = distances(poses, poses, self.centre, self.radius)
        return refined[choose_distinct(refined.start, refined.at.score, apart, stage.keep, stage.margin)]

    def _minimise(self, candidates: Candidates, stage: Stage, number: int) -> Refined:
        """Let candidates settle in the images of a stage."""
        unknowns = candidates.unknowns.renumbered()
        self.last_scene = scene = self.scene(Candidates(candidates.start, unknowns), stage)
        rows = rows_of_starts(candidates.start)

        def watch(iteration: int, unknowns: Unknowns, at: Linearisation, dampings: Tensor) -> bool:
            best = leaders(rows, at.score)
            pose = RigidTransform(scene.poses(unknowns, 0)[best, 0])
            seconds = time.perf_counter() - self.began
            shape = scene.sights[0].shape
            self.trace.append(Iteration(number, iteration, shape, pose, at.score[best], dampings[best], seconds))
            self.stopped = bool(self.callback(self.trace[-1]))
            return self.stopped

        minimum = minimise(scene, unknowns, stage.iterations, stage.tolerance, watch=watch)
        return Refined(candidates.start, minimum.state, minimum.at, minimum.settled, minimum.stuck)

    def _poses(self, candidates: Candidates) -> Matrices:
        """The first view's pose of each candidate."""
        rig = self.views[0].init.matrix[candidates.start]
        return candidates.unknowns.motions[:, 0] @ candidates.unknowns.offsets[:, 0] @ rig

    def scene(self, candidates: Candidates, stage: Stage) -> Scene:
        """What the views see at a stage, and what of it is unknown."""
        apart = candidates.unknowns.motions.shape[1] > 1
        pyramids = self._separate() if apart else [[pyramid] for pyramid in self.whole]
        centres = [middle(part.finest).to(self.centre) for part in pyramids[0][1:]]
        sights = [
            self._sight(view, distance, candidates, stage, parts)
            for view, distance, parts in zip(self.views, self.distances, pyramids, strict=True)
        ]
        noise = self.centre.new_zeros(len(candidates.start))
        pivots = torch.stack([self.centre, *centres])
        calibration = self.calibration if stage.calibrate else Calibration()
        scene = Scene(tuple(sights), stage.similarity, pivots, self.radius, calibration, noise)
        if stage.robust:
            weights = [trusted_pixels(scene, candidates.unknowns, view) for view in range(len(sights))]
            sights = [replace(sight, weights=trusted) for sight, trusted in zip(sights, weights, strict=True)]
            scene = replace(scene, sights=tuple(sights))
        if calibration != Calibration():
            pixels = sum(rows * columns for rows, columns in (sight.shape for sight in sights))
            free = replace(scene, calibration=Calibration())
            cost = free.linearise(candidates.unknowns).cost.clamp_min(LEAST_COST)
            scene = replace(scene, noise=cost / pixels)
        return scene

    def _sight(
        self, view: View, distance: float, candidates: Candidates, stage: Stage, parts: Sequence[Pyramid]
    ) -> Sight:
        detector = view.drr.detector
        factor = shrink_factor(detector, stage.pixels)
        pixel = factor * float(min(detector.delx, detector.dely)) * min(1.0, distance / float(detector.sdd))
        camera = Camera(shrink_detector(detector, factor), stage.renderer or view.drr.renderer, view.drr.backend)
        bodies = tuple(part.finest if factor == 1 else part.level(pixel) for part in parts)
        rig = view.init.matrix[candidates.start]
        return Sight(camera, bodies, rig, *shrink_image(view.xray, view.weights[None, None], factor))

    def _take_apart(self, candidates: Candidates) -> Candidates:
        """Give every structure the motion that it has made with the rest so far."""
        unknowns = candidates.unknowns
        if not self.structures or unknowns.motions.shape[1] > 1:
            return candidates
        motions = unknowns.motions.repeat(1, 1 + len(self.structures), 1, 1)
        return replace(candidates, unknowns=replace(unknowns, motions=motions))

    def _separate(self) -> list[list[Pyramid]]:
        if not self.parts:
            bodies = (separate_bodies(view.drr, self.structures) for view in self.views)
            self.parts = [[Pyramid(body) for body in parts] for parts in bodies]
        return self.parts
