"""Each body of a scene looked for by itself, once all were found together: beside a CT a small one is easily lost.

Where an implant begins farther from its shadow than it is wide, the CT finds its place without it, and the images match
so well that nothing seems wrong. So every body but the largest is looked for once more, alone, from poses around it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from raygrad._progress import Status
from raygrad.pose import RigidTransform
from raygrad.registration._methods.levenberg_marquardt import LevenbergMarquardt
from raygrad.registration._problem.model import Model
from raygrad.registration._problem.similarity import GlobalCorrelation, LocalCorrelation
from raygrad.registration._result import BodyStatus, RegistrationResult
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import moved_by
from raygrad.scene import Fixed, Free, Scene

COARSE = (
    Stage(25, GlobalCorrelation(), iterations=0, tolerance=1.0, keep=8, margin=50.0),
    Stage(25, GlobalCorrelation(), iterations=6, tolerance=1.0, keep=2, margin=5.0),
    Stage(50, LocalCorrelation(9), iterations=15, tolerance=0.3),
    Stage(100, LocalCorrelation(9), iterations=6, tolerance=0.2),
)
LOOK = (replace(COARSE[-1], iterations=0),)
"""How alike the images are at this stage where the body is."""
CANDIDATES = 32
"""That a body is looked for by itself in these stages, and from so many poses around it."""
ELSEWHERE_MM = 2.0
"""What a body has to move by, on average over its points, to be tried from there with all others."""

Run = Callable[[Scene, Sequence[str], LevenbergMarquardt], RegistrationResult]
"""Registers a scene, of which these are free, by a method."""


def can_be_looked_for(scene: Scene, method: object, starts: int) -> bool:
    """Whether each body can be put anywhere and all be found again from there.

    Args:
        scene: that is registered; where bodies are on joints their own poses are what these turn about.
        method: by which; whose stages are said is to go through these alone.
        starts: how many there are.
    """
    loose = all(isinstance(scene.joint(name), Free | Fixed) for name in scene.names)
    return loose and starts == 1 and isinstance(method, LevenbergMarquardt) and method.stages is None


def each_looked_for(
    found: RegistrationResult, scene: Scene, model: Model, method: LevenbergMarquardt, run: Run
) -> RegistrationResult:
    """The result of one start, or a better one: with a body where it was found by itself.

    Args:
        found: the result.
        scene: that was registered.
        model: of its bodies.
        method: by which.
        run: does it again.
    """
    free = [name for name, body in found.bodies.items() if body.status[0] is not BodyStatus.FIXED]
    look = replace(method, stages=LOOK, candidates=1, response="log", advise=False)
    coarse = replace(method, stages=COARSE, candidates=CANDIDATES, response="log", advise=False)
    for name in free:
        place = scene.place_of(name)
        if place == model.main or found.status[0] is Status.STOPPED:
            continue
        poses = {one: RigidTransform(body.body_to_world.matrix.double().cpu()) for one, body in found.bodies.items()}
        here = scene.with_poses(poses)
        alone = run(here, [name], coarse)
        if alone.score[0] <= run(here, [name], look).score[0]:
            continue
        before, after = found.bodies[name].poses[0].matrix, alone.bodies[name].poses[0].matrix
        if moved_by(before, after, model.pivots[place], model.radius_of(place)).item() < ELSEWHERE_MM:
            continue
        poses[name] = RigidTransform(alone.bodies[name].body_to_world.matrix.double().cpu())
        again = run(scene.with_poses(poses), free, replace(method, candidates=1))
        if again.score[0] > found.score[0]:
            found = again
    return found
