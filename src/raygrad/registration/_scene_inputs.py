"""The X-rays of a registration of a scene, each with its view; checked before anything iterates."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from raygrad.geometry import ConeViews
from raygrad.march import Marching
from raygrad.pose import RigidTransform
from raygrad.registration._inputs import Image, as_list, check_pose, for_each_view, make_image, make_weights, refine
from raygrad.registration._inspection import inspect_start
from raygrad.registration._left_out import leave_out
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.at_rest import AtRest
from raygrad.registration._problem.model import Models
from raygrad.registration._problem.scenes import bodies_that_move, models_of_scene
from raygrad.scene import Scene


def prepare_scene(
    xray: Image | Sequence[Image],
    views: ConeViews | Sequence[ConeViews],
    scene: Scene,
    free: Iterable[str] | str | None = None,
    mask: Image | Sequence[Image | None] | None = None,
    auto_mask: bool = True,
) -> tuple[tuple[PreparedXRay, ...], Models]:
    """Check everything that a registration of a scene is given, and bring it to one form.

    Args:
        xray: as for `prepare_xrays`.
        views: of each X-ray; poses are the starts.
        scene: what is seen.
        free: names of the bodies that move.
        mask, auto_mask: as for `prepare_xrays`.

    Raises:
        TypeError: an argument of another kind.
        ValueError: what `prepare_xrays` refuses; views with calibrations of their own; no such bodies, or none
            that moves.

    Warns:
        RegistrationWarning: as for `prepare_xrays`.
    """
    xrays, cameras = as_list(xray), as_list(views)
    masks, names = for_each_view(
        {"X-ray(s)": xrays, "view(s)": cameras},
        mask,
        "one X-ray and ConeViews, or equally long lists of them",
        "Several starts of one X-ray are one ConeViews of several poses.",
    )
    for camera, name in zip(cameras, names, strict=True):
        _check_views(camera, name)
    starts = max(len(check_pose(camera.pose, name)) for camera, name in zip(cameras, names, strict=True))
    models = models_of_scene(scene, bodies_that_move(scene, free), len(xrays))
    assert models.together.at_rest is not None
    whole, marching = AtRest(scene.prepared, models.together.at_rest), Marching()
    x, y, z = models.centre.tolist()

    prepared = []
    for image, camera, shown, name in zip(xrays, cameras, masks, names, strict=True):
        if len(camera) not in (1, starts):
            raise ValueError(f"Expected {starts} starts or one as poses{name}. Got {len(camera)}.")
        like = _look(whole, camera, marching)
        weights = make_weights(shown, camera.detector, like, name)
        values = make_image(image, weights, camera.detector, name)
        init = refine(camera.pose, starts, like.device)
        one = PreparedXRay(values, weights, init, camera.detector.on(like.device), whole, marching, (x, y, z))
        prepared.append(leave_out(one) if auto_mask else one)
    for one, name in zip(prepared, names, strict=True):
        inspect_start(one, name)
    like = prepared[0].init.matrix
    return tuple(prepared), models.on(like.device, like.dtype)


def models_like(prepared: Sequence[PreparedXRay], scene: Scene, free: Iterable[str]) -> Models:
    """The models of a scene whose bodies have been moved, with X-rays that were prepared for it.

    Args:
        prepared: by `prepare_scene`.
        scene: the same bodies.
        free: names of those that move.
    """
    like = prepared[0].init.matrix
    return models_of_scene(scene, bodies_that_move(scene, free), len(prepared)).on(like.device, like.dtype)


def _check_views(views: Any, name: str) -> None:
    if not isinstance(views, ConeViews):
        raise TypeError(f"Expected the view{name} as raygrad.geometry.ConeViews. Got {type(views).__name__}.")
    if views.calibration is not None:
        raise ValueError(f"Expected a view{name} with its detector's own intrinsics. Got calibrations for each pose.")


def _look(whole: AtRest, views: ConeViews, marching: Marching) -> torch.Tensor:
    """A few pixels, to see in which dtype and on which device images come."""
    few = views.detector.with_intrinsics(views.detector.intrinsics.detached().resampled(2, 2))
    pose = RigidTransform(views.pose.matrix[:1].detach().double())
    return whole.march([ConeViews(few, pose)], marching).detach()
