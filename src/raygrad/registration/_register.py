"""Registration in one call: from X-rays and rough poses to the poses they were taken from."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast, overload

from raygrad.drr import DRR
from raygrad.geometry import ConeViews, UnknownGeometry
from raygrad.physics import Physics
from raygrad.pose import RigidTransform
from raygrad.registration._each_body import can_be_looked_for, each_looked_for
from raygrad.registration._exposure import Estimate, checked_estimate
from raygrad.registration._inputs import Image, as_list, prepare_xrays
from raygrad.registration._left_out import telling_what_counted
from raygrad.registration._method import Method
from raygrad.registration._methods.levenberg_marquardt import NEIGHBOURHOOD, NEIGHBOURS, LevenbergMarquardt
from raygrad.registration._methods.registry import METHODS
from raygrad.registration._options import make_method
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._progress import Callback, watched
from raygrad.registration._result import RegistrationResult
from raygrad.registration._rigid import Rigid, labels_of
from raygrad.registration._scene_inputs import models_like, prepare_scene
from raygrad.registration._search import search
from raygrad.registration._solver.candidates import SearchRanges
from raygrad.registration._task import Task
from raygrad.registration._view_ranges import ViewRanges
from raygrad.scene import Scene


@overload
def register(
    xray: Image | Sequence[Image],
    drr: DRR | Sequence[DRR],
    init: RigidTransform | Sequence[RigidTransform] | None = None,
    **options: Any,
) -> RegistrationResult: ...


@overload
def register(
    xray: Image | Sequence[Image],
    drr: ConeViews | Sequence[ConeViews],
    init: Scene,
    *,
    free: Iterable[str] | str | None = None,
    **options: Any,
) -> RegistrationResult: ...


def register(
    xray: Image | Sequence[Image],
    drr: DRR | ConeViews | Sequence[DRR] | Sequence[ConeViews],
    init: RigidTransform | Sequence[RigidTransform] | Scene | None = None,
    *,
    free: Iterable[str] | str | None = None,
    ranges: SearchRanges | ViewRanges | None = None,
    mask: Image | Sequence[Image | None] | None = None,
    auto_mask: bool = True,
    method: Method | str = "lm",
    structures: Structures | None = None,
    rigid: Rigid | None = None,
    unknowns: UnknownGeometry | str | Iterable[str] | None = None,
    physics: Physics | Sequence[Physics] | None = None,
    estimate: Estimate = (),
    callback: Callback | None = None,
    progress: bool = False,
    seed: int = 0,
    **options: Any,
) -> RegistrationResult:
    """Find the pose that an X-ray was taken from, or the poses of all bodies of a scene.

    `register(xray, drr, init)` finds from where a DRR's CT looks like the X-ray, `register(xray, views, scene)` where
    the bodies of a `raygrad.scene.Scene` are.

    The default method compares normalised images, from coarse to fine, by Levenberg and Marquardt's least squares with
    the exact Jacobian of the images; it needs neither training nor learning rates.

    Several views of one patient are given as lists of one length. The relative geometry that their initial poses
    express is kept, unless `unknowns` says how uncertain it is.

    Args:
        xray: line integrals (height, width) or (1, 1, height, width) on the DRR's detector: -log(I / I0), as
            `to_line_integrals` makes them. Any unit, brightness and contrast will do.
        drr: the camera and the CT, for each view; of a scene the view of each X-ray as `ConeViews`, whose poses are the
            starts. Where the views are in the world, and to each other, stays as it is: bodies move.
        init: where to start: poses as `drr(pose)` takes them, one or a batch, for each view. Without, the best of
            `search` is returned. Or the scene: its bodies start at their own poses.
        free: names of the scene's bodies that move, with joints in the way of these; by default all that have neither
            parent nor joint. The others stay where they are in the world, or to their parents. At first what is free
            moves as one, about the largest body; from the first stage that is `apart` on each moves by itself. From one
            start, and where no body is on a joint, each but the largest is then looked for once more, alone, from poses
            around it.
        ranges: search so far about `init`, see `search`.
        mask: weights of the pixels, 0 for those that do not count: a table, metal.
        auto_mask: leave out, beside the mask, what the X-rays themselves show not to count: what lies beyond an
            aperture, burned-in text, dead, hot and saturated pixels, see `raygrad.formats.find_hidden`. The result says
            what was left out.
        method: an object with its options, `LevenbergMarquardt(stages=...)`, `Adam(metric=...)` or
            `QuasiNewton(parameterization=...)`; or "lm", "adam" or "lbfgs" for short, with its options among `options`.
        structures: names and labels (of the subject's mask) of what moves by itself; the rest moves as one.
        rigid: what the poses are of where the patient breathes or has moved within: "spine", "pelvis" or "skull", names
            of structures or labels, of the subject's mask. All the rest moves as one beside it, and is not told of.
        unknowns: which intrinsics and relative poses are to be found too, and how well they are known; or names of
            them, "sdd", "x0", "y0", "pixel_size" or "poses", known as well as a C-arm's usually are.
        physics: make the images that X-rays are compared with by this physics, a DRR's CT being in HU, in place of the
            DRR's density: expected line integrals of its spectrum, sensor, tissues and scatter. One for all views, or
            one for each. Its other effects are not in them.
        estimate: what of the physics is found with the pose, after a first registration by it as it is, and anew from
            there: "kvp", "filtration" (all filters so many times as thick), "scatter" (its ratio) and "response" (gain
            and offset of the X-ray's numbers, or a curve where that is the response; without, they are taken to be
            -log(I / I0) as they are). Or their standard deviations by name, in kV and as shares: {"kvp": 10,
            "scatter": 0.5}; by default 20, 0.4 and 0.7. `RegistrationResult.exposures` has what was found.
        callback: called after every iteration of all starts; True ends the run.
        progress: show a progress bar.
        seed: of the candidates. The result is the same for the same seed.
        options: of a method that is given by its name.

    Returns:
        Poses, scores, a status for each start and the way there. Look at the status: a start outside the capture range
        ends as `Status.NO_MATCH`, one from which two poses fit alike as `Status.AMBIGUOUS`; `rivals` names
        it, and `advice` what would help where nothing matches. `bodies` has the poses, joints, uncertainty and status
        of each body of a scene. No status tells of an sdd or pixel size a few per cent off: a pose at another depth
        makes up for them, and the images match all the same. Along one parallel beam no image tells a
        depth: that of the start stays, `uncertainty` has it as unknown, and the status speaks of the other five
        motions.

    Raises:
        TypeError, ValueError: what `prepare_xrays` refuses; unknown methods, options or structures, and what the method
            cannot find; of a scene: free bodies that are not in it, or cannot move; ranges or structures, which are a
            DRR's; to estimate what no physics is given for, or what the given one does not have.

    Warns:
        RegistrationWarning: the X-ray looks inverted, or a start does not see the CT; see `prepare_xrays`.
    """
    began = time.perf_counter()
    chosen = make_method(method, options)
    asked = checked_estimate(estimate, physics)
    of_drrs = {"ranges": ranges, "structures": structures, "rigid": rigid, "physics": physics}
    scene, cameras = _scene_of(drr, init, of_drrs, free)
    geometry = UnknownGeometry() if unknowns is None else UnknownGeometry.of(unknowns)
    _check_that_it_finds(chosen, structures or rigid, geometry, bodies=scene is not None, estimate=bool(asked))
    if scene is not None:
        seen, models = prepare_scene(xray, cameras, scene, free, mask, auto_mask)
        with watched(callback, progress, f"register ({chosen.name})") as watch:

            def run(scene: Scene, free: Sequence[str], method: Method) -> RegistrationResult:
                return method(Task(seen, {}, geometry, seed, watch, began, models_like(seen, scene, free)))

            found = chosen(Task(seen, {}, geometry, seed, watch, began, models))
            if geometry.is_none and can_be_looked_for(scene, chosen, len(seen[0].init)):
                found = each_looked_for(found, scene, models.together, cast(LevenbergMarquardt, chosen), run)
            return telling_what_counted(found, seen)
    drr, init = cast(DRR | Sequence[DRR], drr), cast(RigidTransform | Sequence[RigidTransform] | None, init)
    if init is None or ranges is not None:
        found = search(
            xray,
            drr,
            ranges,
            init,
            mask=mask,
            auto_mask=auto_mask,
            structures=structures,
            rigid=rigid,
            unknowns=geometry,
            physics=physics,
            estimate=asked,
            callback=callback,
            progress=progress,
            seed=seed,
            **_of_a_search(chosen),
        )
        return found.only(0)
    xrays = prepare_xrays(xray, drr, init, mask, auto_mask, physics)
    labels = labels_of(as_list(drr)[0].subject, rigid)
    with watched(callback, progress, f"register ({chosen.name})") as watch:
        task = Task(xrays, structures or {}, geometry, seed, watch, began, rigid=labels, estimate=asked)
        return telling_what_counted(chosen(task), xrays)


def _scene_of(views: Any, init: Any, of_drrs: Mapping[str, Any], free: Any) -> tuple[Scene | None, Any]:
    """The scene and its views, if it is one that is to be registered."""
    first = views[0] if isinstance(views, list | tuple) and views else views
    if not isinstance(first, ConeViews) and not isinstance(init, Scene):
        if free is not None:
            raise ValueError("Expected free bodies of a scene, register(xray, views, scene, free=...). Got a DRR.")
        return None, None
    if not isinstance(first, ConeViews) or not isinstance(init, Scene):
        kinds = f"{type(first).__name__} and {type(init).__name__}"
        raise TypeError(
            "Expected X-rays, their ConeViews and a raygrad.scene.Scene, or X-rays, DRRs and poses. "
            f"Got {kinds} as second and third."
        )
    if wrong := [name for name, value in of_drrs.items() if value]:
        hint = "Body(ct, labels=...) is a structure of a scene; a search needs a DRR."
        raise ValueError(f"Expected no {' or '.join(wrong)} beside a scene. Got {of_drrs[wrong[0]]}: {hint}")
    return init, views


def _check_that_it_finds(
    method: Method, structures: Any, geometry: UnknownGeometry, bodies: bool = False, estimate: bool = False
) -> None:
    asked = {
        "structures": bool(structures),
        "unknowns": not geometry.is_none,
        "bodies": bodies,
        "estimate": estimate,
    }
    if missing := [name for name, wanted in asked.items() if wanted and name not in method.finds]:
        able = [name for name, kind in METHODS.items() if set(missing) <= set(kind.finds)]
        raise ValueError(f"Expected method {' or '.join(able)} for {' and '.join(missing)}. Got {method.name!r}.")


def _of_a_search(method: Method) -> dict[str, Any]:
    """The options that a search takes over from a method."""
    if not isinstance(method, LevenbergMarquardt):
        raise ValueError(f"Expected method='lm' to search, without a start or with ranges. Got {method.name!r}.")
    if method.candidates != NEIGHBOURS or method.neighbourhood != NEIGHBOURHOOD:
        raise ValueError(
            "Expected no candidates about each start for a search, which draws poses of its own: raygrad.search has "
            f"'poses' and 'ranges'. Got {method}."
        )
    taken = ("stages", "similarity", "response", "clean_ct", "coverage", "advise")
    return {name: getattr(method, name) for name in taken}
