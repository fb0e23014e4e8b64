"""X-rays read another way: the same registration on other images or cameras, which nobody watches."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.pose_problem import States
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import choose_distinct, distances
from raygrad.registration._solver.levenberg_marquardt import minimise
from raygrad.registration._task import Task
from raygrad.types import Matrices

Change = Callable[[PreparedXRay], PreparedXRay]


def reading(
    course: CoarseToFine, change: Change | None = None, unknowns: UnknownGeometry | None = None
) -> CoarseToFine:
    """The same views and bodies with each X-ray changed, without what watches.

    Args:
        course: whose task it is.
        change: of every X-ray.
        unknowns: of the geometry, in place of the task's.
    """
    task = course.task
    xrays = task.xrays if change is None else tuple(change(xray) for xray in task.xrays)
    geometry = task.unknowns if unknowns is None else unknowns
    other = CoarseToFine(Task(xrays, {}, geometry, models=course.models), course.response, coverage=any(course.beyond))
    other.model, other.caution = course.model, 1.0  # a doubt follows the image wherever it leads
    return other


def flipped(xray: PreparedXRay) -> PreparedXRay:
    """With the columns of the image, and of its mask, in the other order."""
    return replace(xray, image=xray.image.flip(-1), weights=xray.weights.flip(-1))


def settled(course: CoarseToFine, candidates: Candidates, stage: Stage) -> Refined:
    """Candidates as they come to rest at a stage; all of them stay."""
    states = candidates.states.renumbered()
    problem = course.problem(Candidates(candidates.start, states), stage)
    minimum = minimise(problem, states, stage.iterations, stage.tolerance)
    course.last_problem = problem
    return Refined(candidates.start, minimum.state, minimum.at, minimum.settled, minimum.stuck)


def best_of(course: CoarseToFine, refined: Refined, keep: int, margin: float) -> Refined:
    """The best that are apart, for each start."""
    poses = course.last_problem.comparable(poses_of(course, refined))
    apart = distances(poses, poses, course.model.pivots[course.model.main], course.radius)
    return refined[choose_distinct(refined.start, refined.at.score, apart, keep, margin)]


def poses_of(course: CoarseToFine, candidates: Candidates, view: int = 0) -> Matrices:
    """A view's pose of each candidate, as the main body sees it."""
    rig = course.xrays[view].init.matrix[candidates.start]
    return candidates.states.motions[:, course.model.main] @ candidates.states.offsets[:, view] @ rig


def moved(candidates: Candidates, motions: Matrices) -> Candidates:
    """Each candidate's camera moved in the world of the CT, with all bodies."""
    states = candidates.states
    return replace(candidates, states=replace(states, motions=motions[:, None] @ states.motions))


def repeated(candidates: Candidates, times: int) -> Candidates:
    """Each candidate so many times, one after the other."""
    which = torch.arange(len(candidates.start), device=candidates.start.device).repeat_interleave(times)
    return Candidates(candidates.start[which], candidates.states[which])


def joined(parts: list[Candidates]) -> Candidates:
    """All candidates, in order."""
    fields = vars(parts[0].states)
    states = States(**{name: torch.cat([getattr(part.states, name) for part in parts]) for name in fields})
    return Candidates(torch.cat([part.start for part in parts]), states)


def one_pose(matrix: Tensor) -> RigidTransform:
    """A matrix as a single pose."""
    return RigidTransform(matrix.detach()[None].clone())
