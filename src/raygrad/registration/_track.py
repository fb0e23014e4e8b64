"""A sequence of X-rays: each is registered from where the last one's bodies were found."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from raygrad._optional import require
from raygrad._progress import Status
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform
from raygrad.registration._inputs import Image
from raygrad.registration._register import register
from raygrad.registration._result import RegistrationResult
from raygrad.scene import Scene


@dataclass(frozen=True)
class Track:
    """What became of every frame.

    Attributes:
        frames: the results, in order; the poses of a frame that failed are where it came to rest.
    """

    frames: tuple[RegistrationResult, ...]

    @property
    def lost(self) -> tuple[int, ...]:
        """The numbers of the frames that did not converge."""
        return tuple(number for number, one in enumerate(self.frames) if one.status[0] is not Status.CONVERGED)

    def body_to_world(self, name: str) -> RigidTransform:
        """The poses of a body, one a frame.

        Args:
            name: of the body.
        """
        return RigidTransform(torch.cat([one.bodies[name].body_to_world.matrix for one in self.frames]))

    def summary(self) -> str:
        """A line for each frame."""
        return "\n".join(f"frame {number}: {one.summary(0).splitlines()[0]}" for number, one in enumerate(self.frames))


def track(
    frames: Iterable[Image | Sequence[Image]],
    views: ConeViews | Sequence[ConeViews],
    scene: Scene,
    *,
    predict: bool = True,
    progress: bool = False,
    on_frame: Callable[[int, RegistrationResult], bool | None] | None = None,
    **options: Any,
) -> Track:
    """Follow the bodies of a scene through a sequence of X-rays, such as implants through fluoroscopy, from one start.

    Every frame is registered from the poses that the last good one ended with, moved on as between the two last good
    ones; if that fails, from where they were. A frame that fails is told by its status, and the next goes on from the
    last good one.

    Args:
        frames: X-rays, or lists of them for several views, as `register` takes them.
        views: from where, the same for all frames, with one pose each.
        scene: with its bodies where the first frame is to be looked for.
        predict: whether bodies are expected to move on as they did.
        progress: show a progress bar over the frames.
        on_frame: called with a frame's number and result; True ends the track there.
        options: of `register`, such as `free`, `mask` or `response`.

    Raises:
        TypeError, ValueError: what `register` refuses; views with several poses; no frames.
    """
    for one in views if isinstance(views, list | tuple) else [views]:
        if isinstance(one, ConeViews) and len(one) != 1:
            raise ValueError(f"Expected views of one pose each to track from. Got {len(one)}.")
    bar = require("tqdm", "progress bars", extra="cli").tqdm(desc="track", unit=" frames") if progress else None
    results: list[RegistrationResult] = []
    here, before, steps = scene.poses(), None, 0  # the last good poses, those before them, and frames since
    try:
        for number, frame in enumerate(frames):
            steps += 1
            starts = [here]
            if predict and before is not None and steps == 1:
                starts.insert(0, {name: _moved_on(before[name], here[name]) for name in here})
            for start in starts:
                result = register(frame, views, _placed(scene, start), **options)
                if result.status[0] is Status.CONVERGED:
                    break
            if result.status[0] is Status.CONVERGED:
                found = {name: body.body_to_world for name, body in result.bodies.items()}
                before, here, steps = (here if steps == 1 and number else None), found, 0
            results.append(result)
            if bar is not None:
                bar.update()
            if on_frame is not None and on_frame(number, result):
                break
    finally:
        if bar is not None:
            bar.close()
    if not results:
        raise ValueError("Expected at least one frame to track through. Got none.")
    return Track(tuple(results))


def _moved_on(before: RigidTransform, here: RigidTransform) -> RigidTransform:
    """Where a body is once it has made the same motion again."""
    matrix, last = here.matrix.double().cpu(), RigidTransform(before.matrix.double().cpu())
    return RigidTransform(matrix @ last.inverse().matrix @ matrix)


def _placed(scene: Scene, poses: dict[str, RigidTransform]) -> Scene:
    """The scene with its bodies elsewhere: all that hangs on a body goes along, and joints are where they were."""

    def root(place: int) -> int:
        parent = scene.parents[place]
        return place if parent is None else root(parent)

    rest, placed = scene.poses(), {}
    for place, name in enumerate(scene.names):
        above = scene.names[root(place)]
        motion = poses[above].matrix.double().cpu() @ rest[above].inverse().matrix.double().cpu()
        placed[name] = RigidTransform(motion @ rest[name].matrix.detach().double().cpu())
    return scene.with_poses(placed)
