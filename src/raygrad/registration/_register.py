"""Registration in one call: from X-rays and rough poses to the poses they were taken from."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform
from raygrad.registration._inputs import Image, prepare_xrays
from raygrad.registration._method import Method
from raygrad.registration._methods.levenberg_marquardt import NEIGHBOURHOOD, NEIGHBOURS, LevenbergMarquardt
from raygrad.registration._methods.registry import METHODS
from raygrad.registration._options import make_method
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._progress import Callback, watched
from raygrad.registration._result import RegistrationResult
from raygrad.registration._search import search
from raygrad.registration._solver.candidates import SearchRanges
from raygrad.registration._task import Task


def register(
    xray: Image | Sequence[Image],
    drr: DRR | Sequence[DRR],
    init: RigidTransform | Sequence[RigidTransform] | None = None,
    *,
    ranges: SearchRanges | None = None,
    mask: Image | Sequence[Image | None] | None = None,
    method: Method | str = "lm",
    structures: Structures | None = None,
    unknowns: UnknownGeometry | str | Iterable[str] | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    seed: int = 0,
    **options: Any,
) -> RegistrationResult:
    """Find the pose that an X-ray was taken from.

    The default method compares normalised images, from coarse to fine, by Levenberg and Marquardt's least squares with
    the exact Jacobian of the images; it needs neither training nor learning rates.

    Several views of one patient are given as lists of one length. The relative geometry that their initial poses
    express is kept, unless `unknowns` says how uncertain it is.

    Args:
        xray: line integrals (height, width) or (1, 1, height, width) on the DRR's detector: -log(I / I0), as
            `to_line_integrals` makes them. Any unit, brightness and contrast will do.
        drr: the camera and the CT, for each view.
        init: where to start: poses as `drr(pose)` takes them, one or a batch, for each view. Without, the best of
            `search` is returned.
        ranges: search so far about `init`, see `search`.
        mask: weights of the pixels, 0 for those that do not count: beyond the collimator, a table, metal.
        method: an object with its options, `LevenbergMarquardt(stages=...)`, `Adam(metric=...)` or
            `QuasiNewton(parameterization=...)`; or "lm", "adam" or "lbfgs" for short, with its options among `options`.
        structures: names and labels (of the subject's mask) of what moves by itself; the rest moves as one.
        unknowns: which intrinsics and relative poses are to be found too, and how well they are known; or names of
            them, "sdd", "x0", "y0", "pixel_size" or "poses", known as well as a C-arm's usually are.
        callback: called after every iteration of all starts; True ends the run.
        progress: show a progress bar.
        seed: of the candidates. The result is the same for the same seed.
        options: of a method that is given by its name.

    Returns:
        Poses, scores, a status for each start and the way there. Look at the status: a start outside the capture range
        ends as `Status.NO_MATCH`, one from which two poses fit alike as `Status.AMBIGUOUS`. No status tells of a wrong
        sdd or pixel size: a pose at another depth makes up for them, and the images match all the same. Along one
        parallel beam no image tells a depth: that of the start stays, `uncertainty` has it as unknown, and the status
        speaks of the other five motions.

    Raises:
        TypeError, ValueError: what `prepare_xrays` refuses; unknown methods, options or structures, and what the method
            cannot find.

    Warns:
        RegistrationWarning: the X-ray looks inverted, or a start does not see the CT; see `prepare_xrays`.
    """
    began = time.perf_counter()
    chosen = make_method(method, options)
    geometry = UnknownGeometry() if unknowns is None else UnknownGeometry.of(unknowns)
    _check_that_it_finds(chosen, structures, geometry)
    if init is None or ranges is not None:
        found = search(
            xray,
            drr,
            ranges,
            init,
            mask=mask,
            structures=structures,
            unknowns=geometry,
            callback=callback,
            progress=progress,
            seed=seed,
            **_of_a_search(chosen),
        )
        return found.only(0)
    xrays = prepare_xrays(xray, drr, init, mask)
    with watched(callback, progress, f"register ({chosen.name})") as watch:
        return chosen(Task(xrays, structures or {}, geometry, seed, watch, began))


def _check_that_it_finds(method: Method, structures: Structures | None, geometry: UnknownGeometry) -> None:
    asked = {"structures": bool(structures), "unknowns": not geometry.is_none}
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
    return {"stages": method.stages, "similarity": method.similarity}
