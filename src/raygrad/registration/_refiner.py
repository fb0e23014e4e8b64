"""X-rays and their CT, prepared once and registered as often as wanted: from wherever a hand has put it."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch

from raygrad._progress import Status
from raygrad.drr import DRR
from raygrad.geometry import UnknownGeometry, about
from raygrad.physics import Physics
from raygrad.pose import RigidTransform
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.registration._exposure import Estimate, checked_estimate
from raygrad.registration._inputs import Image, as_list, check_pose, prepare_xrays, refine
from raygrad.registration._inspection import inspect_start
from raygrad.registration._left_out import telling_what_counted
from raygrad.registration._methods.levenberg_marquardt import LevenbergMarquardt
from raygrad.registration._outcome import conclude
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._progress import Callback, watched
from raygrad.registration._result import RegistrationResult
from raygrad.registration._rigid import Rigid, labels_of
from raygrad.registration._schedule import Stage, few_steps
from raygrad.registration._solver.candidates import spread
from raygrad.registration._task import Task

_MATCHED = (Status.CONVERGED, Status.AMBIGUOUS, Status.INCONSISTENT, Status.OUT_OF_ITERATIONS)


class Refiner:
    """X-rays and their CT, prepared once, to be registered again and again.

    `register` looks at X-rays, cuts the table out of the CT and makes coarse copies of it every time anew, or some of
    it; here all of that is kept. What a registration that matched has found out of them is kept too, for `refine`:
    which form of the CT fits, and whether the X-rays show line integrals or a curve of them.

    Args:
        xray, drr, mask, auto_mask, structures, rigid, unknowns, physics, estimate: as for `register`.
        init: poses to look at the X-rays from, for each view, for instance the first to be registered from.
        method: with its options.

    Raises:
        TypeError, ValueError: what `register` refuses.

    Warns:
        RegistrationWarning: as `register`.
    """

    def __init__(
        self,
        xray: Image | Sequence[Image],
        drr: DRR | Sequence[DRR],
        init: RigidTransform | Sequence[RigidTransform],
        *,
        mask: Image | Sequence[Image | None] | None = None,
        auto_mask: bool = True,
        structures: Structures | None = None,
        rigid: Rigid | None = None,
        unknowns: UnknownGeometry | str | Iterable[str] | None = None,
        physics: Physics | Sequence[Physics] | None = None,
        estimate: Estimate = (),
        method: LevenbergMarquardt | None = None,
    ) -> None:
        self.method = LevenbergMarquardt() if method is None else method
        asked = checked_estimate(estimate, physics)
        self._xrays = prepare_xrays(xray, drr, init, mask, auto_mask, physics)
        self._looked_at = [xray.init for xray in self._xrays]
        geometry = UnknownGeometry() if unknowns is None else UnknownGeometry.of(unknowns)
        labels = labels_of(as_list(drr)[0].subject, rigid)
        self._task = Task(self._xrays, structures or {}, geometry, rigid=labels, estimate=asked)
        with torch.no_grad():
            self._fresh = self.method.course(self._task)
        self._matched: CoarseToFine | None = None
        self._response = "log"

    def register(
        self,
        init: RigidTransform | Sequence[RigidTransform],
        *,
        callback: Callback | None = None,
        progress: bool = False,
        seed: int = 0,
    ) -> RegistrationResult:
        """The result of `raygrad.register` from these poses, the same to the last bit.

        Args:
            init: where to start, for each view.
            callback, progress, seed: as for `register`.

        Raises:
            TypeError, ValueError: poses that are none, or from which no X-ray shows the CT.
        """
        with torch.no_grad(), watched(callback, progress, "register (lm)") as watch:
            course = self._begun(init, watch, seed)
            result = self.method.along(course)
            self._keep(course, result)
            return telling_what_counted(result, course.task.xrays)

    def refine(
        self,
        init: RigidTransform | Sequence[RigidTransform],
        stages: Sequence[Stage] | None = None,
        *,
        callback: Callback | None = None,
    ) -> RegistrationResult:
        """A few steps from these poses, for as little time as that takes: no other starts, and no doubts of the end.

        At first it is what `register` gives with these stages, `candidates=1`, and `response="log"` for "auto", but
        for rivals and advice. After a registration that matched, the CT is in the form that fitted from the outset, and
        the X-rays are seen as they were then.

        Args:
            init: where to start, for each view.
            stages: by default `few_steps()`.
            callback: as for `register`.

        Raises:
            TypeError, ValueError: as for `register`; no stages.
        """
        stages = (
            self.method.schedule(few_steps()) if stages is None else replace(self.method, stages=stages).schedule(())
        )
        with torch.no_grad(), watched(callback, False, "refine") as watch:
            course = self._begun(init, watch, 0, self._matched)
            if self._matched is not None and self._response == "curve" and course.response == "log":
                course = course.through("curve")
            here = about(course.centre, spread(self.method.neighbourhood, 1, 0).to(course.centre))
            result = conclude(course, course.run(course.candidates(here), stages))
            if self._matched is None:
                self._keep(course, result)
            return telling_what_counted(result, course.task.xrays)

    def _begun(self, init: Any, watch: Callback, seed: int, like: CoarseToFine | None = None) -> CoarseToFine:
        began = time.perf_counter()
        poses = as_list(init)
        if len(poses) != len(self._xrays):
            raise ValueError(f"Expected poses of {len(self._xrays)} view(s) to start from. Got {len(poses)}.")
        names = [f" of view {number}" if len(poses) > 1 else "" for number in range(len(poses))]
        starts = max(len(check_pose(pose, name)) for pose, name in zip(poses, names, strict=True))
        xrays = []
        for xray, pose, name, before in zip(self._xrays, poses, names, self._looked_at, strict=True):
            if len(pose) not in (1, starts):
                raise ValueError(f"Expected {starts} starts or one as initial poses{name}. Got {len(pose)}.")
            one = replace(xray, init=refine(pose, starts, before.device))
            if not torch.equal(one.init.matrix, before.matrix):
                inspect_start(one, name)
            xrays.append(one)
        self._looked_at = [xray.init for xray in xrays]
        task = replace(self._task, xrays=tuple(xrays), seed=seed, watch=watch, began=began)
        return self._fresh.begun_at(task, like)

    def _keep(self, course: CoarseToFine, result: RegistrationResult) -> None:
        """Remember what was found out of X-rays and CT, if that can be believed."""
        if result.status[result.best] in _MATCHED and course.cts is None:
            self._matched = course
            self._response = str(result.responses[0]["name"]) if result.responses else course.response
