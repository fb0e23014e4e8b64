"""Registers bodies one by one or together: as a scene, in which a chosen few move."""

from collections.abc import Callable, Sequence

from torch import Tensor

from raygrad._cockpit._placement import CT, Placement
from raygrad._errors import InputError
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform
from raygrad.registration import Iteration, LevenbergMarquardt, RegistrationResult, Stage, register
from raygrad.scene import Scene
from raygrad.types import Images


def register_bodies(
    scene: Scene,
    free: frozenset[str],
    placement: Placement,
    views: Sequence[int],
    images: Sequence[Images],
    masks: Sequence[Tensor | None] | None,
    orientation: str | None,
    unknowns: Sequence[str],
    response: str,
    watch: Callable[[Iteration], bool],
    stages: Sequence[Stage] | None = None,
) -> RegistrationResult:
    """Find where bodies are that are free; the others stay in the CT, or where the CT stands still, in the world.

    Args:
        scene: of all bodies.
        free: names of those that move.
        placement: where everything is at first.
        views: which are compared.
        images: their X-rays.
        masks: of these, if any has one.
        orientation: of the CT.
        unknowns, response: of `raygrad._cockpit._registering.Options`.
        watch: follows it, and ends it.
        stages: of a few steps from there, without other starts and without doubts; None for a whole registration.

    Raises:
        InputError: a view is parallel.
    """
    if any(placement.intrinsics[view].parallel for view in views):
        raise InputError(
            "Bodies are found in views of a point source. Put them back to register the CT in parallel beams."
        )
    if stages is None:
        method = LevenbergMarquardt(response=response)
    else:
        response = "log" if response == "auto" else response
        method = LevenbergMarquardt(response=response, stages=stages, candidates=1, advise=False)
    return register(
        list(images),
        [ConeViews(placement.detector(view, orientation), placement.cameras[view]) for view in views],
        scene.with_poses({name: placement.bodies[name] for name in scene.names}),
        free=[name for name in scene.names if name in free],
        mask=None if masks is None else list(masks),
        auto_mask=False,  # files were looked at as they are stored
        unknowns=tuple(unknowns) or None,
        method=method,
        callback=watch,
    )


def placed_by(placement: Placement, views: Sequence[int], result: RegistrationResult) -> Placement:
    """Everything as a registration of bodies has it: in the CT where that has them, and the CT as the views see it."""
    best, ct = result.best, result.bodies[CT]
    lengths = [{name: float(value[best]) for name, value in one.items()} for one in result.intrinsics]
    found = placement.with_poses(views, [RigidTransform(pose[best]) for pose in ct.poses], lengths)
    for name, body in result.bodies.items():
        if name != CT:
            in_ct = RigidTransform(body.relative_to(ct).matrix[best][None].double().cpu())
            found = found.with_body(name, in_ct.compose(found.bodies[CT]))
    return found


def on_the_way(placement: Placement, free: frozenset[str], view: int, pose: RigidTransform) -> Placement | None:
    """Everything as an iteration has it, whose pose is that of what moves at first as one; None where that is unclear.

    Args:
        placement: where everything was at first.
        free: names of the bodies that move.
        view: the first that is compared.
        pose: of the camera, as the main body sees it.
    """
    if CT in free:
        return placement.with_pose(view, pose)
    if len(free) > 1:
        return None
    (name,) = free
    pose = RigidTransform(pose.matrix.double().cpu())
    return placement.with_body(name, pose.inverse().compose(placement.cameras[view]))
