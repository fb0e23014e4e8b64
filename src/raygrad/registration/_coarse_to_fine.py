"""Registration by Levenberg and Marquardt from coarse images to fine ones, with several candidates for each start."""

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from raygrad._progress import Iteration
from raygrad.geometry import UnknownGeometry
from raygrad.march import Bodies
from raygrad.physics import Physics
from raygrad.pose import RigidTransform
from raygrad.registration._exposure import EstimatedExposure
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.absorbing import Absorbing
from raygrad.registration._problem.belonging import CORRELATED, Belonging
from raygrad.registration._problem.coverage import Beyond, counting, covered, show_its_end
from raygrad.registration._problem.ct import AS_GIVEN, CTs
from raygrad.registration._problem.differences import Steps
from raygrad.registration._problem.edges import Edges
from raygrad.registration._problem.model import Model, models_of_cts
from raygrad.registration._problem.nearby import cut_out, near_shadows
from raygrad.registration._problem.polychromatic import Polychromatic
from raygrad.registration._problem.pose_problem import PoseProblem, ScaledXRay, States
from raygrad.registration._problem.pyramid import shrink_factor, shrink_image
from raygrad.registration._problem.response import as_shown, saturation
from raygrad.registration._problem.robust import trusted_pixels
from raygrad.registration._problem.similarity import GlobalCorrelation, GradientCorrelation, LocalCorrelation
from raygrad.registration._problem.subpixels import Subpixels
from raygrad.registration._problem.tissue_cts import TissueCTs
from raygrad.registration._problem.told import LESS, as_given, not_told, without
from raygrad.registration._result import CTSeen
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.batches import Batch
from raygrad.registration._solver.candidates import choose_distinct, distances, leaders, moved_by, rows_of_starts
from raygrad.registration._solver.levenberg_marquardt import Linearisation, minimise
from raygrad.registration._task import Task
from raygrad.scene import PreparedBodies
from raygrad.types import Matrices

LEAST_COST = 1e-3
"""No image is matched better than this, as far as what is known of the geometry is weighed against it."""
FINE_ENOUGH = 400
"""Pixels are divided further while there are no more than so many rays to a side of the image, and once at least."""
ROUNDS, TRUSTED_MM = 3, 0.5
"""A robust stage chooses the pixels that it trusts so many times, while the pose then moves further than that."""
FITS, FITTED_MM = 8, 0.05
"""The same where it fits a response, which makes up for a part of what a pose is off."""
COMPARED_PIXELS, DECIDED_PIXELS = 50, 100
"""Forms of the CT are compared before the first stage that is so fine, and once more from better poses."""
SHADOWED_PIXELS = 128
"""Of the longer side of images in which shadows are looked for."""
EDGES, JUDGED_PIXELS = Stage(50, GradientCorrelation(), iterations=0, tolerance=0.0, renderer="joseph"), 100
"""Where it is judged whether the patient ends with the CT in an X-ray, and from how fine images on."""


@dataclass(frozen=True)
class Candidates(Batch):
    """Poses that compete to be the answer.

    Attributes:
        start: which of the user's starts each belongs to.
        states: where each is.
    """

    start: Int[Tensor, " candidate"]
    states: States


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
        response: what X-rays show of line integrals: one of `RESPONSES`.
        xrays: of the task, as they are compared.
        saturated: what each X-ray shows where it is.
        beyond: the patient beyond each X-ray's CT, whose rays do not count; None where all count.
        absorbs: the images are of what solids absorb, see `Absorbing`.
        cts: the forms of the CT that are still to choose from; None once one is chosen, and where there are none.
        ct: which was chosen, and why.
        models: what moves, together and apart.
        model: what moves by now.
        centre: of the CT, or the main body of a scene, in mm of the world: what poses turn about.
        radius: root mean square distance of its points from its centre in mm.
        distances: of every view's sources from there, typically, in mm.
        unknowns: what of the geometry is unknown by now.
        caution: how much less one image counts beside what is known of the geometry, see `told`.
        kept: names of the intrinsics that one image does not tell, and that stay as they were given.
        exposures: how each X-ray was taken, as far as that was to be found; empty before it is.
        trace: all iterations so far.
        last_problem, last_stage: those of the stage that came last.
        stopped: the callback has ended the run.
        cut_short: and did so before the last stage.
    """

    def __init__(self, task: Task, response: str = "log", clean_ct: bool = False, coverage: bool = True) -> None:
        if task.unknowns.columns:
            for xray in task.xrays:
                xray.detector.intrinsics.check_cone(f"unknown intrinsics ({', '.join(task.unknowns.names)})")
        self.task, self.response = task, response
        self.xrays = [replace(x, image=as_shown(x.image, x.weights[None, None], response)) for x in task.xrays]
        self.saturated = [saturation(x.image, x.weights[None, None]) for x in self.xrays]
        self.beyond = [Beyond.of(x.drr) if coverage else None for x in task.xrays]
        # Now, so that what is wrong with structures is said before anything iterates.
        self.models = models_of_cts(task.xrays, task.structures, task.rigid) if task.models is None else task.models
        self.model = self.models.together
        self._given = self.models
        self.cts = _cts_of(task.xrays) if clean_ct and task.models is None else None
        self.ct: CTSeen | None = None
        # What solids of known materials absorb needs no fit; intrinsics need derivatives by the ends of rays.
        self.absorbs = self.models.is_solid and response == "transmission" and not task.unknowns.columns
        self.centre, self.radius = self.models.centre, self.models.radius
        self.caution = LESS
        self._begin()

    def _begin(self) -> None:
        """Nothing is found yet, from the starts of the X-rays on."""
        away = torch.stack([(xray.init.matrix[:, :3, 3] - self.centre).norm(dim=-1).median() for xray in self.xrays])
        self.distances: list[float] = away.tolist()
        self.unknowns, self.kept = self.task.unknowns, tuple[str, ...]()
        self.trace: list[Iteration] = []
        self.exposures: tuple[EstimatedExposure, ...] = ()
        self.stopped = self.cut_short = False

    def begun_at(self, task: Task, like: "CoarseToFine | None" = None) -> "CoarseToFine":
        """A course of the same X-rays from other starts, for which nothing of them and of the CT is made again.

        Args:
            task: the same but for starts, seed, watch and time.
            like: a course of theirs whose form of the CT, if it has chosen one for good, is the form from the outset.
        """
        other = copy(self)
        other.task = task
        other.xrays = [replace(mine, init=xray.init) for mine, xray in zip(self.xrays, task.xrays, strict=True)]
        if like is not None and like.ct is not None and like.cts is None:
            other.models, other.model, other.ct, other.cts = like.models, like.models.together, like.ct, None
        other._begin()
        return other

    def through(self, response: str) -> "CoarseToFine":
        """The same course from here on, its images seen through another response for which X-rays stay as they are."""
        other = copy(self)
        other.response, other.absorbs = response, False
        return other

    def exposed(self, exposures: Sequence[EstimatedExposure]) -> "CoarseToFine":
        """The same course from here on, its images made by another physics, one for each view."""
        other, made_by = copy(self), [exposure.physics for exposure in exposures]
        other.exposures = tuple(exposures)
        together, apart = (model and _exposed(model, made_by) for model in (self.models.together, self.models.apart))
        assert together is not None
        other.models = replace(self.models, together=together, apart=apart)
        other.model = together if self.model is self.models.together or apart is None else apart
        whole = [_by(xray.whole, physics) for xray, physics in zip(self.xrays, made_by, strict=True)]
        other.xrays = [replace(xray, whole=bodies) for xray, bodies in zip(self.xrays, whole, strict=True)]
        xrays = tuple(replace(xray, whole=bodies) for xray, bodies in zip(self.task.xrays, whole, strict=True))
        other.task = replace(self.task, xrays=xrays)
        return other

    def candidates(self, motions: Matrices) -> Candidates:
        """Every start moved by each of the motions (in the world, about its origin)."""
        motions = motions if self.models.is_rigid else motions[:1]  # the first is none
        starts, views = len(self.xrays[0].init), len(self.xrays)
        count = starts * len(motions)
        number = torch.arange(count, device=motions.device)
        still = torch.eye(4, dtype=motions.dtype, device=motions.device)
        states = States(
            number,
            self.model.begun(motions.repeat(starts, 1, 1)),
            still.expand(count, views, 4, 4).clone(),
            motions.new_zeros(count, views, 4),
        )
        return Candidates(number // len(motions), states)

    def run(self, candidates: Candidates, stages: Sequence[Stage], first: int = 0) -> Refined:
        """Take candidates through the stages, of which the first has this number; after each the best go on.

        Raises:
            ValueError: something is to move by itself, and no stage lets it.
        """
        if self.model is not self.models.apart and self.task.rigid and not any(stage.apart for stage in stages):
            raise ValueError("Expected a stage that is apart, from which on what is rigid moves by itself. Got none.")
        for number, stage in enumerate(stages, first):
            final = number + 1 == first + len(stages) or stage.pixels >= DECIDED_PIXELS or stage.apart
            if self.cts is not None and (final or (self.ct is None and stage.pixels >= COMPARED_PIXELS)):
                self.choose_ct(candidates, final)
            refined = candidates = self.refine(candidates, stage, number)
            if self.stopped:
                self.cut_short = number + 1 < first + len(stages)
                break
        return self._keep_what_is_not_told(refined, stages[-1], first + len(stages) - 1)

    def _keep_what_is_not_told(self, refined: Refined, stage: Stage, number: int) -> Refined:
        """Once more through the last stage, with the intrinsics that one image does not tell as they were given."""
        while len(self.xrays) == 1 and stage.calibrate and self.unknowns.columns and not self.stopped:
            states = refined.states.renumbered()
            names = not_told(self.last_problem, states, int(refined.at.score.argmax()))
            if not names:
                break
            self.kept, self.unknowns = (*self.kept, *names), without(self.unknowns, names)
            refined = self.refine(Candidates(refined.start, as_given(states, names)), stage, number)
        return refined

    def choose_ct(self, candidates: Candidates, final: bool) -> None:
        """Go on with the CT in the form that fits the X-rays best, as the best candidate sees it."""
        assert self.cts is not None
        pixels = DECIDED_PIXELS if final else COMPARED_PIXELS
        look, scores = Stage(pixels, LocalCorrelation(9), iterations=0, tolerance=0.0), {}
        for form in self.cts.forms:
            self.models = models_of_cts(self.task.xrays, {}, cts=self.cts, form=form)
            self.model = self.models.together
            scores[form] = self.problem(candidates, look).score(candidates.states.renumbered()).max().item()
        best = max(scores, key=lambda form: scores[form])
        self.models = self._given
        if best != AS_GIVEN:
            structures, rigid = (self.task.structures, self.task.rigid) if final else ({}, ())
            self.models = models_of_cts(self.task.xrays, structures, rigid, self.cts, best)
        self.model, self.ct = self.models.together, self.cts.seen(best, scores)
        if final:
            self.cts = None

    def refine(self, candidates: Candidates, stage: Stage, number: int) -> Refined:
        """Take candidates through one stage."""
        self.last_stage = stage
        if stage.apart:
            candidates = self._take_apart(candidates)
        plain = self.response == "log" or self.absorbs
        rounds, least = (ROUNDS, TRUSTED_MM) if plain else (FITS, FITTED_MM)
        for _ in range(rounds if stage.robust else 1):
            before = candidates
            refined = candidates = self._minimise(before, stage, number)
            if self.stopped or not stage.robust:
                break
            if self._moved(before, refined) < least:
                break
        if len(refined.start) == 1:
            return refined
        poses = self.last_problem.comparable(self._poses(refined))
        apart = distances(poses, poses, self.model.pivots[self.model.main], self.radius)
        return refined[choose_distinct(refined.start, refined.at.score, apart, stage.keep, stage.margin)]

    def _minimise(self, candidates: Candidates, stage: Stage, number: int) -> Refined:
        """Let candidates settle in the images of a stage."""
        states = candidates.states.renumbered()
        self.last_problem = problem = self.problem(Candidates(candidates.start, states), stage)
        rows = rows_of_starts(candidates.start)

        def watch(iteration: int, states: States, at: Linearisation, dampings: Tensor) -> bool:
            best = leaders(rows, at.score)
            pose = RigidTransform(problem.poses(states, 0)[best, self.model.main])
            seconds = time.perf_counter() - self.task.began
            score = problem.in_users_words(at.score[best])
            shape = problem.xrays[0].shape
            self.trace.append(Iteration(iteration, seconds, number, shape, pose, score, dampings[best]))
            self.stopped = bool(self.task.watch(self.trace[-1]))
            return self.stopped

        # A structure's excess over the tissue about it is faint: its way along what is seen worst takes longer.
        limit = stage.iterations * (2 if states.motions.shape[1] > 1 else 1)
        minimum = minimise(problem, states, limit, stage.tolerance, watch=watch)
        return Refined(candidates.start, minimum.state, minimum.at, minimum.settled, minimum.stuck)

    def _poses(self, candidates: Candidates, body: int | None = None) -> Matrices:
        """The first view's pose of each candidate, as a body sees it: by default the main one."""
        rig = self.xrays[0].init.matrix[candidates.start]
        body = self.model.main if body is None else body
        return candidates.states.motions[:, body] @ candidates.states.offsets[:, 0] @ rig

    def _moved(self, before: Candidates, after: Candidates) -> float:
        """The farthest that a body of any candidate has moved, of a CT that of its rest."""
        model = self.model
        bodies = [model.main] if model.at_rest is None else range(len(model.names))
        ways = [
            moved_by(self._poses(before, body), self._poses(after, body), model.pivots[body], model.radius_of(body))
            for body in bodies
        ]
        return torch.stack(ways).max().item()

    def problem(self, candidates: Candidates, stage: Stage) -> PoseProblem:
        """What the views see at a stage, and what of it is unknown."""
        model = self.model
        xrays = [
            replace(self._scaled(xray, distance, candidates, stage, bodies), saturated=brightest)
            for xray, distance, bodies, brightest in zip(
                self.xrays, self.distances, model.bodies, self.saturated, strict=True
            )
        ]
        xrays = self._covered(xrays, candidates, stage)
        if stage.near is not None:
            xrays = [self._near(xray, view, candidates, stage.near) for view, xray in enumerate(xrays)]
        noise = self.centre.new_zeros(len(candidates.start))
        geometry = self.unknowns if stage.calibrate else UnknownGeometry()
        problem = PoseProblem(
            tuple(xrays), stage.similarity, model.pivots, model.radii, geometry, noise, model.linkage, self.centre
        )
        if not self.absorbs:
            problem = problem.responding(candidates.states.renumbered(), self.response)
        if stage.robust:
            weights = [
                trusted_pixels(problem, candidates.states, view, model.at_rest is not None)
                for view in range(len(xrays))
            ]
            xrays = [replace(xray, weights=trusted) for xray, trusted in zip(problem.xrays, weights, strict=True)]
            problem = replace(problem, xrays=tuple(xrays))
        if model.at_rest is None and len(model.names) > 1:
            shown = sum(rows * columns for rows, columns in (xray.shape for xray in xrays))
            lacking = 2 * len(xrays) * (1 - problem.score(candidates.states.renumbered()))
            own = Belonging(model.pivots, CORRELATED * lacking.clamp_min(LEAST_COST) / shown)
            problem = replace(problem, belonging=own)
        if not geometry.is_none:
            pixels = sum(rows * columns for rows, columns in (xray.shape for xray in xrays))
            free = replace(problem, geometry=UnknownGeometry())
            cost = free.linearise(candidates.states).cost.clamp_min(LEAST_COST)
            problem = replace(problem, noise=cost / pixels * (self.caution if len(xrays) == 1 else 1.0))
        return problem

    def _covered(self, xrays: list[ScaledXRay], candidates: Candidates, stage: Stage) -> list[ScaledXRay]:
        """What the CT covers of a stage's X-rays; all of those that show it ending where it does."""
        if all(beyond is None for beyond in self.beyond):
            return xrays
        calibrated, main = bool(self.task.unknowns.columns), self.model.main
        seen = [
            covered(xray, beyond, candidates.states, view, main, calibrated)
            for view, (xray, beyond) in enumerate(zip(xrays, self.beyond, strict=True))
        ]
        too_coarse = stage == EDGES or (stage.pixels < JUDGED_PIXELS and stage.iterations)
        if too_coarse or all(one.unmasked is None for one in seen):
            return seen
        judged, states = self.problem(candidates, EDGES), candidates.states.renumbered()
        if self.response == "log":  # how a picture was processed says nothing of where the patient ends
            judged = judged.responding(states, "curve")
        return [
            counting(one, whole, show_its_end(judged, states, view))
            for view, (one, whole) in enumerate(zip(seen, xrays, strict=True))
        ]

    def _scaled(
        self, xray: PreparedXRay, distance: float, candidates: Candidates, stage: Stage, bodies: Bodies
    ) -> ScaledXRay:
        """A view's X-ray at a stage."""
        detector = xray.detector
        factor = shrink_factor(detector, stage.pixels)
        magnified = 1.0 if detector.parallel else min(1.0, distance / float(detector.sdd))
        pixel = factor * float(min(detector.delx, detector.dely)) * magnified
        shrunk = detector if factor == 1 else detector.with_intrinsics(detector.intrinsics.shrunk(factor))
        marching = xray.marching.replaced(renderer=stage.renderer or xray.marching.renderer)
        if self.absorbs:
            side = 1 if max(shrunk.height, shrunk.width) >= FINE_ENOUGH else 2
            radii = [self.model.radius_of(body) for body in range(len(self.model.names))]
            bodies = Absorbing(bodies, side, pixel, radii, distance)
        else:
            bodies, longest = bodies.coarser(pixel) if factor > 1 else bodies, max(shrunk.height, shrunk.width)
            side = min(factor, self.model.subpixels, max(2, FINE_ENOUGH // longest))
            # Derivatives by intrinsics are those of rays, whatever these see of edges.
            if (
                isinstance(bodies, PreparedBodies)
                and bodies.solids
                and bodies.volumes
                and not self.task.unknowns.columns
            ):
                steps = {place: Steps(pixel, self.model.radius_of(place), distance) for place in bodies.solids}
                bodies = Edges.among_volumes(bodies, steps, side)
            elif side > 1:
                bodies = Subpixels(bodies, side)
        rig = xray.init.matrix[candidates.start]
        return ScaledXRay(shrunk, marching, bodies, rig, *shrink_image(xray.image, xray.weights[None, None], factor))

    def _near(self, xray: ScaledXRay, view: int, candidates: Candidates, near: float) -> ScaledXRay:
        """The part of a view's X-ray that is near the shadows of what its candidates see."""
        prepared, model = self.xrays[view], self.model
        look = Stage(SHADOWED_PIXELS, GlobalCorrelation(), iterations=0, tolerance=0.0)
        seen = self._scaled(prepared, self.distances[view], candidates, look, model.bodies[view])
        problem = PoseProblem(
            (seen,) * (view + 1), look.similarity, model.pivots, model.radii, UnknownGeometry(),
            self.centre.new_zeros(len(candidates.start)), model.linkage, self.centre,
        )  # fmt: skip
        images = problem.images(candidates.states.renumbered(), view)
        away = 1.0 if seen.detector.parallel else min(1.0, self.distances[view] / float(seen.detector.sdd))
        reach = near / (away * float(min(seen.detector.delx, seen.detector.dely)))
        weights = xray.weights * near_shadows(images, candidates.start, reach, xray.shape).to(xray.weights)
        xray = replace(xray, weights=weights)
        # Of a part the pixels have another middle, about which an unknown size of theirs would change.
        return xray if self.task.unknowns.columns else cut_out(xray)

    def _take_apart(self, candidates: Candidates) -> Candidates:
        """Let every body move by itself from the motion that it has made with the others so far."""
        if self.models.apart is None or self.model is self.models.apart:
            return candidates
        self.model = self.models.apart
        states, bodies = candidates.states, len(self.model.names)
        motions = states.motions
        if motions.shape[1] < bodies:  # a CT so far, now its structures
            motions = motions.repeat(1, bodies, 1, 1)
        return replace(candidates, states=replace(states, motions=motions))


def _cts_of(xrays: Sequence[PreparedXRay]) -> CTs | TissueCTs | None:
    """The forms that there are to choose from: of tissues where images are made by a physics."""
    if all(isinstance(xray.whole, Polychromatic) for xray in xrays):
        return TissueCTs.of(xrays)
    return CTs.of([xray.drr for xray in xrays])


def _exposed(model: Model, made_by: Sequence[Physics]) -> Model:
    return replace(model, bodies=tuple(_by(one, physics) for one, physics in zip(model.bodies, made_by, strict=True)))


def _by(bodies: Bodies, physics: Physics) -> Polychromatic:
    assert isinstance(bodies, Polychromatic)
    return bodies.seen_by(physics)
