"""How X-rays were taken, found in turn with the pose."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from raygrad.physics import Physics
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._exposure import EstimatedExposure
from raygrad.registration._problem.beam import pixel_of
from raygrad.registration._problem.exposure import RESPONSE, image_by_numbers, numbers_of, with_numbers
from raygrad.registration._problem.exposure_fit import AS_GIVEN, CURVE, STRAIGHT, fit_exposure
from raygrad.registration._problem.polychromatic import Polychromatic
from raygrad.registration._problem.similarity import GlobalCorrelation
from raygrad.registration._schedule import Stage

LOOK = Stage(200, GlobalCorrelation(), iterations=0, tolerance=0.0)
"""Images by which exposures are fitted."""
ROUNDS, STAGES = 2, 2
"""How often exposure and pose are found in turn, and by how many of the last stages the pose is."""
OFF_MM = 1.0
"""How far a pose may be off while exposures are fitted, as a standard deviation; radians by the CT's radius."""


def with_exposures(course: CoarseToFine, found: Refined, stages: Sequence[Stage]) -> tuple[CoarseToFine, Refined]:
    """What of the physics is to be estimated, at the best candidate's pose, and the last stages again with that.

    Args:
        course: at its end.
        found: the candidates that are left.
        stages: all of them.
    """
    estimate, last = course.task.estimate, stages[-STAGES:]
    if not estimate or course.stopped:
        return course, found
    given = [_physics_of(xray.whole) for xray in course.xrays]
    for _ in range(ROUNDS):
        before = course.exposures or (None,) * len(given)
        views = enumerate(zip(given, before, strict=True))
        exposures = [_exposure(course, found, view, *physics) for view, physics in views]
        other = course.exposed(exposures)
        again = other.run(Candidates(found.start, found.states), last, first=len(stages) - len(last))
        if other.stopped:
            return course, found
        course, found = other, again
    return course, found


def _exposure(
    course: CoarseToFine, found: Refined, view: int, given: Physics, before: EstimatedExposure | None = None
) -> EstimatedExposure:
    """How a view's X-ray was taken, as it is seen from the best candidate, and was thought to be before."""
    best = found.at.score.argmax().reshape(1)
    states = found.states[best].renumbered()
    problem = course.problem(Candidates(found.start[best], states), LOOK)
    xray = problem.xrays[view]
    plain = replace(problem, xrays=tuple(replace(one, response=None) for one in problem.xrays))
    by_pose = plain.stack(states, view)[0, 1:]
    bodies = xray.bodies
    assert isinstance(bodies, Polychromatic)
    cameras = problem.cameras(states, view)
    numbers = numbers_of(given, course.task.estimate)
    paths = bodies.path_lengths(cameras, xray.marching)
    names, beam = [number.name for number in numbers], bodies.seen_by(given).beam
    lines = image_by_numbers(beam, names, paths, pixel_of(cameras[0]))
    transmission = course.response == "transmission"
    given_as = course.task.xrays[view]
    open_field = float(given_as.image[given_as.weights[None, None] > 0].min())  # see `as_shown`

    def image_of(values: Tensor) -> Tensor:
        return -torch.expm1(open_field - lines(values)) if transmission else lines(values)

    if transmission:
        by_pose = by_pose * torch.exp(open_field - plain.images(states, view)[0])
    response = AS_GIVEN if RESPONSE not in course.task.estimate else CURVE if course.response == "curve" else STRAIGHT
    off = torch.tensor([OFF_MM] * 3 + [OFF_MM / course.radius] * 3, dtype=torch.float64).repeat(len(by_pose) // 6)
    weights = xray.weights[0, 0]
    begin = {} if before is None else before.values
    fitted = fit_exposure(image_of, numbers, xray.image[0, 0], weights, by_pose, off, response, begin)
    physics = with_numbers(given, {number.name: fitted.values[number.name] for number in numbers})
    return EstimatedExposure(physics, fitted.values, fitted.deviations, fitted.told, fitted.error)


def _physics_of(bodies: object) -> Physics:
    assert isinstance(bodies, Polychromatic)
    return bodies.beam.physics
