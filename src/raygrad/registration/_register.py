"""Registration in one call: from X-rays and rough poses to the poses they were taken from."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from raygrad.drr import DRR
from raygrad.geometry import Calibration, about
from raygrad.pose import RigidTransform
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._descend import descend
from raygrad.registration._inputs import Image, make_views
from raygrad.registration._outcome import conclude
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._progress import Callback, watched
from raygrad.registration._result import RegistrationResult
from raygrad.registration._schedule import Stage, default_schedule
from raygrad.registration._search import search
from raygrad.registration._solver import first_order as descent
from raygrad.registration._solver.candidates import SearchRanges, spread

METHODS = ("lm", *descent.METHODS)
NEIGHBOURHOOD = SearchRanges(degrees=20.0, mm=30.0)
"""How far from a start the other candidates of its neighbourhood lie."""
NEIGHBOURS = 16
"""Candidates for each start, itself included: at 25 pixels a side all of them cost about as much as one at 200."""


def register(
    xray: Image | Sequence[Image],
    drr: DRR | Sequence[DRR],
    init: RigidTransform | Sequence[RigidTransform] | None = None,
    *,
    ranges: SearchRanges | None = None,
    mask: Image | Sequence[Image | None] | None = None,
    method: str = "lm",
    structures: Structures | None = None,
    calibration: Calibration | None = None,
    stages: Sequence[Stage] | None = None,
    candidates: int = NEIGHBOURS,
    callback: Callback | None = None,
    progress: bool = False,
    seed: int = 0,
    **options: Any,
) -> RegistrationResult:
    """Find the pose that an X-ray was taken from.

    The default method compares normalised images, from coarse to fine, by Levenberg and Marquardt's least squares with
    the exact Jacobian of the projector; it needs neither training nor learning rates. Images are Joseph's projections
    whatever the DRR's renderer is, since they change smoothly with the pose. Around each start some more candidates
    are tried at the coarsest level, and the best go on.

    Several views of one patient are given as lists of one length. The relative geometry that their initial poses
    express is kept, unless `calibration` says how uncertain it is.

    Args:
        xray: line integrals (height, width) or (1, 1, height, width) on the DRR's detector: -log(I / I0), as
            `to_line_integrals` makes them. Any unit, brightness and contrast will do.
        drr: the camera and the CT, for each view.
        init: where to start: poses as `drr(pose)` takes them, one or a batch, for each view. Without, the best of
            `search` is returned.
        ranges: search so far about `init`, see `search`.
        mask: weights of the pixels, 0 for those that do not count: beyond the collimator, a table, metal.
        method: "lm"; or "adam" or "lbfgs", gradient descent on any metric in any parameterization, with the `options`
            of `raygrad.registration.gradient.descend`.
        structures: names and labels (of the subject's mask) of what moves by itself; the rest moves as one.
        calibration: which intrinsics and relative poses are to be found too, and how well they are known.
        stages: what is compared from coarse to fine, by default `default_schedule()`.
        candidates: poses tried for each start, itself included.
        callback: called after every iteration of all starts; True ends the run.
        progress: show a progress bar.
        seed: of the candidates. The result is the same for the same seed.
        options: of the method.

    Returns:
        Poses, scores, a status for each start and the way there. Look at the status: a start outside the capture range
        ends as `Status.NO_MATCH`, one from which two poses fit alike as `Status.AMBIGUOUS`. No status tells of a wrong
        sdd or pixel size: a pose at another depth makes up for them, and the images match all the same.

    Raises:
        TypeError, ValueError: what `make_views` refuses; unknown methods, options or structures.

    Warns:
        RegistrationWarning: the X-ray looks inverted, or a start does not see the CT; see `make_views`.
    """
    if method not in METHODS:
        raise ValueError(f"Expected a method among {', '.join(METHODS)}. Got {method!r}.")
    if method != "lm" and (init is None or ranges or structures or calibration or stages):
        raise ValueError(f"Expected method='lm' for ranges, structures, calibration or stages. Got {method!r}.")
    if method == "lm" and options:
        raise TypeError(f"Expected no further options for method='lm'. Got {sorted(options)}.")
    if init is None or ranges is not None:
        found = search(
            xray,
            drr,
            ranges,
            init,
            mask=mask,
            structures=structures,
            calibration=calibration,
            stages=stages,
            callback=callback,
            progress=progress,
            seed=seed,
        )
        return found.only(0)
    began = time.perf_counter()
    views = make_views(xray, drr, init, mask)
    if method != "lm":
        return descend(views, method=method, callback=callback, progress=progress, **options)
    motions = spread(NEIGHBOURHOOD, candidates, seed)
    with torch.no_grad(), watched(callback, progress) as watch:
        course = CoarseToFine(views, structures or {}, calibration or Calibration(), watch, began)
        around = course.candidates(about(course.centre, motions.to(course.centre)))
        return conclude(course, course.run(around, default_schedule() if stages is None else stages))
