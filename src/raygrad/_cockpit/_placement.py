"""Where everything is: what a person moves, what a registration finds, what undo brings back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from raygrad.geometry import Detector, Intrinsics
from raygrad.pose import RigidTransform, make_reorient

CT = "CT"
"""The name of the body that the whole CT is."""


@dataclass(frozen=True, eq=False)
class Placement:
    """Cameras stand in the world; bodies, the CT first of all, move in it. Every pose is one, in float64.

    Attributes:
        cameras: the pose of each view, as a `raygrad.formats.View` has it.
        intrinsics: of each view.
        bodies: body_to_world of each body by its name, in mm. A structure's own frame is the CT's.
        unlinked: views of which nobody knows how they stand to the others. Where the CT moves in another view, their
            cameras go along, so that what they show stays; where it moves in one of them, its camera moves instead.
    """

    cameras: tuple[RigidTransform, ...]
    intrinsics: tuple[Intrinsics, ...]
    bodies: Mapping[str, RigidTransform]
    unlinked: frozenset[int] = frozenset()

    def pose(self, view: int, body: str = CT) -> RigidTransform:
        """The camera of a view as a body sees it: for the CT what `raygrad.DRR` takes."""
        return self.cameras[view].compose(self.bodies[body].inverse())

    def relative(self, body: str) -> RigidTransform:
        """Where a body is in the CT: body_to_ct."""
        return self.bodies[body].compose(self.bodies[CT].inverse())

    def outcome(self) -> dict[str, Any]:
        """How everything came to be there, for files: of bodies beside the CT where in it they are."""
        beside = {name: {"body_to_world": self.relative(name).matrix[0].tolist()} for name in self.bodies if name != CT}
        return {"status": "placed in the cockpit"} | ({"bodies": beside} if beside else {})

    def with_pose(self, view: int, pose: RigidTransform) -> "Placement":
        """Everything moved so that a view has that pose, and linked views stand to each other as they do."""
        pose, to_world = _float64(pose), self.bodies[CT]
        if view in self.unlinked:
            return self._with_camera(view, pose.compose(to_world))
        there = pose.inverse().compose(self.cameras[view])
        return self.moved(to_world.inverse().compose(there))

    def with_poses(
        self,
        views: Sequence[int],
        poses: Sequence[RigidTransform],
        intrinsics: Sequence[Mapping[str, float]] = (),
    ) -> "Placement":
        """Everything as a registration of some views has it: the first one's camera stays, all else follows.

        Args:
            views: that were registered.
            poses: of each.
            intrinsics: what was found of each one's, by name.
        """
        found = self.with_pose(views[0], poses[0])
        for view, pose in zip(views[1:], poses[1:], strict=True):
            found = found._with_camera(view, _float64(pose).compose(found.bodies[CT]))
        lengths = dict(zip(views, intrinsics, strict=False))
        changed = (one.replaced(**lengths.get(view, {})) for view, one in enumerate(found.intrinsics))
        return replace(found, intrinsics=tuple(changed) if intrinsics else found.intrinsics)

    def with_body(self, body: str, body_to_world: RigidTransform) -> "Placement":
        """The same with one body elsewhere."""
        return replace(self, bodies={**self.bodies, body: _float64(body_to_world)})

    def moved(self, motion: RigidTransform, body: str = CT, view: int | None = None) -> "Placement":
        """A body moved in the world by a motion, as seen in a view; with the CT go all other bodies.

        Bodies stand to the CT as they do whatever views are linked: another one's motion is seen in all.

        Args:
            motion: of the body against the view's camera, in the world.
            body: its name.
            view: in which it moves; None for all that are linked.
        """
        motion = _float64(motion)
        if body != CT:
            return self.with_body(body, self.bodies[body].compose(motion))
        if view in self.unlinked:
            return self._with_cameras({view: motion.inverse()})
        bodies = {name: pose.compose(motion) for name, pose in self.bodies.items()}
        return replace(self._with_cameras(dict.fromkeys(self.unlinked, motion)), bodies=bodies)

    def with_views(self, cameras: Sequence[RigidTransform], intrinsics: Sequence[Intrinsics]) -> "Placement":
        """The same with further views after these, which stand in the world."""
        return replace(self, cameras=(*self.cameras, *cameras), intrinsics=(*self.intrinsics, *intrinsics))

    def of_views(self, chosen: Sequence[int]) -> "Placement":
        """The same with these views alone, in this order."""
        return replace(
            self,
            cameras=tuple(self.cameras[view] for view in chosen),
            intrinsics=tuple(self.intrinsics[view] for view in chosen),
            unlinked=frozenset(chosen.index(view) for view in self.unlinked if view in chosen),
        )

    def linking(self, view: int, linked: bool) -> "Placement":
        """The same where this view stands to the others as it does now, or as nobody knows."""
        return replace(self, unlinked=self.unlinked - {view} if linked else self.unlinked | {view})

    def _with_camera(self, view: int, camera: RigidTransform) -> "Placement":
        return replace(self, cameras=(*self.cameras[:view], camera, *self.cameras[view + 1 :]))

    def _with_cameras(self, motions: Mapping[int, RigidTransform]) -> "Placement":
        moved = (
            camera.compose(motions[view]) if view in motions else camera for view, camera in enumerate(self.cameras)
        )
        return replace(self, cameras=tuple(moved))

    def camera_to_world(self, view: int, orientation: str | None) -> RigidTransform:
        """The whole pose of a camera, orientation first: source at the origin, detector at z = sdd."""
        reorient = RigidTransform(make_reorient(orientation).double())
        return reorient.compose(self.cameras[view])

    def detector(self, view: int, orientation: str | None, largest: int | None = None) -> Detector:
        """The detector of a view, with at most so many rows and columns over the same area."""
        intrinsics = self.intrinsics[view]
        return Detector.of(fitting(intrinsics, largest), make_reorient(orientation))


def fitting(intrinsics: Intrinsics, largest: int | None) -> Intrinsics:
    """The same area in at most so many rows and columns."""
    scale = 1.0 if largest is None else largest / max(intrinsics.shape)
    if scale >= 1:
        return intrinsics
    return intrinsics.resampled(max(1, round(intrinsics.height * scale)), max(1, round(intrinsics.width * scale)))


def _float64(pose: RigidTransform) -> RigidTransform:
    return pose.detach().to("cpu", torch.float64)
