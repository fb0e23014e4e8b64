"""What the machine does where a person says so: register, snap, search, from where everything is, on all views."""

import math
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from raygrad._cockpit._certainty import described
from raygrad._cockpit._jobs import Job
from raygrad._cockpit._placement import CT, Placement
from raygrad._cockpit._registering_bodies import on_the_way, placed_by, register_bodies
from raygrad._errors import InputError
from raygrad.drr import DRR
from raygrad.pose import RigidTransform
from raygrad.registration import (
    WHAT_TO_DO,
    BodyResult,
    Iteration,
    LevenbergMarquardt,
    LocalCorrelation,
    Refiner,
    RegistrationResult,
    SearchRanges,
    Stage,
    Status,
    ViewRanges,
    default_schedule,
    few_steps,
    search,
)

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

ByViews = Callable[[tuple[int, ...], list[RigidTransform], Callable[..., Any]], RegistrationResult]
"""Registers views that belong together, from poses, followed by a callback."""
UNKNOWNS = ("sdd", "x0", "y0", "pixel_size", "poses")
RESPONSES = ("auto", "log", "transmission", "curve")
SHOWN_S = 0.05
"""While something is registered, the anatomy moves along so often at most."""
LOOK = (Stage(100, LocalCorrelation(9), iterations=0, tolerance=0.0),)
"""Of a pose as it is."""
GOOD, DOUBTFUL = (Status.CONVERGED,), (Status.AMBIGUOUS, Status.INCONSISTENT, Status.OUT_OF_ITERATIONS, Status.STOPPED)
ENDED = {
    Status.CONVERGED: "The images match, and nothing else that was tried fits as well.",
    Status.STOPPED: "It was stopped, and is where it was best until then.",
}
SNAPPED = {
    Status.CONVERGED: "The images match. Register makes it finer, and looks for what else would fit.",
    Status.OUT_OF_ITERATIONS: "A few steps closer. Snap again, or register.",
}


@dataclass(frozen=True)
class Options:
    """What a person says of how to register.

    Attributes:
        unknowns: of the geometry, names of `UNKNOWNS`.
        response: of `RESPONSES`.
    """

    unknowns: tuple[str, ...] = ()
    response: str = "auto"


@dataclass(eq=False)
class Found:
    """What was found last.

    Attributes:
        name: of what found it.
        views: of which.
        result: what it is.
        placement: where it put everything.
        warned: what the verb warned of.
        certainty: of each body, as `raygrad._cockpit._certainty.described` has it.
    """

    name: str
    views: tuple[int, ...]
    result: RegistrationResult
    placement: Placement
    warned: list[str] = field(default_factory=list)
    certainty: dict[str, dict[str, Any]] = field(default_factory=dict)


class Registering:
    """Registers what a session has open, from where it is.

    Views that are linked are registered together; each one that is not by itself, as nobody knows how it stands.
    """

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.options = Options()
        self.found: list[Found] = []
        self._refiners: dict[tuple[int, ...], tuple[tuple[Any, ...], Refiner]] = {}
        self._last: Placement | None = None
        self._shown = 0.0
        self._busy = threading.Lock()
        self._prepared = False
        session.parts["registering"] = self.described
        session.parts["certainty"] = self.certainty

    # --- what may be asked for

    def prepare(self) -> None:
        """Prepare X-rays and CT while nobody waits for it, so that the first snap is as quick as the others; once."""
        with self._session.lock:
            if self._prepared or self._session.bodies.scene is not None:
                return
            self._prepared = True

        def work() -> None:
            with self._busy, suppress(ValueError, TypeError), warnings.catch_warnings():  # said when it is asked for
                warnings.simplefilter("ignore")
                now = self._session.placement
                for views in self._groups(now):
                    self.refiner(views).refine([now.pose(view) for view in views])

        threading.Thread(target=work, name="raygrad cockpit: preparing", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Until nothing is prepared or registered any more, or so long."""
        if self._busy.acquire(timeout=seconds):
            self._busy.release()

    def register(self) -> None:
        """Start a whole registration."""
        if self._session.bodies.scene is not None:
            self._start("Register", None, self._of_bodies(None))
        else:
            self._start("Register", lambda refiner, init, watch: refiner.register(init, callback=watch))

    def snap(self) -> None:
        """Start a few steps."""
        if self._session.bodies.scene is not None:
            self._start("Snap", None, self._of_bodies(few_steps()))
        else:
            self._start("Snap", lambda refiner, init, watch: refiner.refine(init, callback=watch))

    def search(self, ranges: SearchRanges | ViewRanges) -> None:
        """Start a search of poses so far from here."""

        def found(views: tuple[int, ...], init: list[RigidTransform], watch: Callable[..., Any]) -> RegistrationResult:
            images, masks = self._images(views)
            drrs, options = self._drrs(views), self.options
            result = search(
                images, drrs, ranges, init, mask=masks, auto_mask=False, callback=watch,
                unknowns=options.unknowns or None, response=options.response,
            )  # fmt: skip
            return result

        self._start("Search", None, found)

    def look(self) -> None:
        """Start a look at how well the X-rays determine where everything is, which moves nothing."""

        def work(job: Job) -> None:
            job.tell(text="how well it is determined")
            now, found = self._session.placement, []
            by_bodies = None if self._session.bodies.scene is None else self._of_bodies(LOOK)
            for views in self._groups(now, together_only=by_bodies is not None):
                init = [now.pose(view) for view in views]
                with self._busy:
                    if by_bodies is not None:
                        result = by_bodies(views, init, lambda _: job.cancelled)
                    else:
                        result = self.refiner(views).refine(init, LOOK)
                found.append(self._finished("Look", views, result, now, []))
            for one in found:
                self._keep(one)

        self._session.jobs.start("Certainty", work)

    def set(self, options: Options) -> None:
        """Say how to register from now on.

        Raises:
            InputError: something there is not.
        """
        if unknown := [name for name in options.unknowns if name not in UNKNOWNS]:
            raise InputError(f"Expected unknowns among {', '.join(UNKNOWNS)}. Got {unknown[0]!r}.")
        if options.response not in RESPONSES:
            raise InputError(f"Expected a response among {', '.join(RESPONSES)}. Got {options.response!r}.")
        self.options = options
        self._session.tell_state()

    def take_rival(self, number: int) -> None:
        """Put the CT where another reading of the X-rays has it: one that is listed with the last result.

        Raises:
            InputError: there is no such one.
        """
        others = [(one, pose) for one in self.found for _, _, pose in _others(one.result)]
        if not 0 <= number < len(others):
            raise InputError(f"Expected the number of one of {len(others)} other poses. Got {number}.")
        (found, pose), before = others[number], self._session.placement
        self._session.place(before.with_pose(found.views[0], pose))
        self._session.history.record("Another pose", before)

    # --- what the page shows

    def described(self) -> dict[str, Any]:
        """Options, and what was found."""
        now = self._session.placement
        return {
            "unknowns": list(self.options.unknowns),
            "response": self.options.response,
            "typed": self._session.files.opened.options.get("search"),
            "found": [self._told(one, now) for one in self.found],
        }

    def certainty(self) -> dict[str, Any] | None:
        """Of the last result, while everything is where that has put it."""
        now = self._session.placement
        selected = self._session.selected
        fresh = [one.certainty[selected] for one in self.found if one.placement is now and selected in one.certainty]
        if not fresh:
            return None
        views = [next((one["views"][v] for one in fresh if one["views"][v]), None) for v in range(len(now.cameras))]
        return {"text": fresh[0]["text"], "motions": fresh[0]["motions"], "views": views}

    # --- how

    def refiner(self, views: tuple[int, ...]) -> Refiner:
        """X-rays and CT ready to be registered; made anew where something of them is another."""
        session, options = self._session, self.options
        xrays = [session.xrays[view] for view in views]
        key = (*xrays, *(session.placement.intrinsics[view] for view in views), options)
        known = self._refiners.get(views)
        if known is None or len(known[0]) != len(key) or any(a is not b for a, b in zip(known[0], key, strict=True)):
            images, masks = self._images(views)
            made = Refiner(
                images,
                self._drrs(views),
                [session.placement.pose(view) for view in views],
                mask=masks,
                auto_mask=False,  # files were looked at as they are stored
                unknowns=options.unknowns or None,
                method=LevenbergMarquardt(response=options.response),
            )
            known = self._refiners[views] = (key, made)
        return known[1]

    def _images(self, views: Sequence[int]) -> tuple[list[torch.Tensor], list[torch.Tensor | None] | None]:
        xrays = [self._session.xrays[view] for view in views]
        masks = [xray.mask for xray in xrays]
        return [xray.image for xray in xrays], masks if any(mask is not None for mask in masks) else None

    def _drrs(self, views: Sequence[int]) -> list[DRR]:
        session = self._session
        cameras = session.placement.intrinsics
        return [replace(session.xrays[v].view, intrinsics=cameras[v]).make_drr(session.subject) for v in views]

    def _of_bodies(self, stages: Sequence[Stage] | None) -> ByViews:
        """What registers the bodies that are free, by stages of a few steps or by all."""

        def work(views: tuple[int, ...], _: list[RigidTransform], watch: Callable[..., Any]) -> RegistrationResult:
            session, options = self._session, self.options
            images, masks = self._images(views)
            scene, placement = session.bodies.scene, self._last or session.placement
            assert scene is not None
            return register_bodies(
                scene, session.bodies.free, placement, views, images, masks, session.subject.orientation,
                options.unknowns, options.response, watch, stages,
            )  # fmt: skip

        return work

    def _groups(self, placement: Placement, together_only: bool = False) -> list[tuple[int, ...]]:
        """Which views are registered together; bodies are found by those alone that stand to each other as is known.

        Raises:
            InputError: there is none such.
        """
        together = tuple(view for view in range(len(placement.cameras)) if view not in placement.unlinked)
        if together_only:
            if not together:
                raise InputError("Bodies are found in views that are linked. Link at least one.")
            return [together]
        return [*([together] if together else []), *((view,) for view in sorted(placement.unlinked))]

    def _start(
        self,
        name: str,
        by_refiner: Callable[[Refiner, list[RigidTransform], Any], RegistrationResult] | None,
        by_views: ByViews | None = None,
    ) -> None:
        session = self._session

        def work(job: Job) -> None:
            of_bodies = session.bodies.scene is not None and name != "Search"
            groups, found = self._groups(session.placement, of_bodies), []
            before = self._last = session.placement
            job.tell(text="Preparing X-rays and CT …")
            try:
                for number, views in enumerate(groups):
                    placed = self._last
                    init = [placed.pose(view) for view in views]
                    watch = self._watch(job, placed, views, number, len(groups), of_bodies)
                    with self._busy, warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        if by_refiner is not None:
                            result = by_refiner(self.refiner(views), init, watch)
                        else:
                            assert by_views is not None
                            result = by_views(views, init, watch)
                    warned = [str(one.message) for one in caught if issubclass(one.category, UserWarning)]
                    end = _ended(placed, views, result)
                    if not self._show(end):
                        break
                    found.append(self._finished(name, views, result, end, warned))
                    if job.cancelled:
                        break
            finally:
                if self._last is not before:
                    session.history.record(name, before)
                for one in found:
                    self._keep(replace(one, placement=self._last) if self._last is session.placement else one)
                self._last = None

        session.jobs.start(name, work)

    def _watch(
        self, job: Job, before: Placement, views: tuple[int, ...], number: int, count: int, of_bodies: bool
    ) -> Callable[[Iteration], bool]:
        """What follows a registration, and ends it."""
        last, furthest = len(default_schedule()), 0

        def watch(iteration: Iteration) -> bool:
            nonlocal furthest
            pose, score, pixels = iteration.pose, iteration.score, iteration.pixels
            goes_on = iteration.stage >= furthest  # else one of several bodies is looked for by itself, once more
            furthest = max(furthest, iteration.stage)
            if pose is None or score is None or pixels is None or time.monotonic() - self._shown <= SHOWN_S:
                return job.cancelled
            self._shown = time.monotonic()
            best = int(score.argmax())
            share = min(1.0, (furthest + min(iteration.number / 10, 1.0) * goes_on) / last)
            alike = score[best].item()
            text = f"{pixels[0]} × {pixels[1]} pixels, similarity {alike:.3f}"
            job.tell(text=text, share=(number + share) / count, stage=iteration.stage, score=alike)
            if job.cancelled or not goes_on:
                return job.cancelled
            placed = self._on_the_way(before, views[0], RigidTransform(pose[best]), of_bodies)
            return placed is not None and not self._show(placed)

        return watch

    def _on_the_way(self, before: Placement, view: int, pose: RigidTransform, of_bodies: bool) -> Placement | None:
        return on_the_way(before, self._session.bodies.free, view, pose) if of_bodies else before.with_pose(view, pose)

    def _show(self, placement: Placement) -> bool:
        """Put everything there, unless somebody else has moved it meanwhile; whether that was done."""
        session = self._session
        with session.lock:
            if session.placement is not self._last:
                return False
            self._last = placement
            session.place(placement)
        return True

    def _finished(
        self, name: str, views: tuple[int, ...], result: RegistrationResult, placement: Placement, warned: list[str]
    ) -> Found:
        session, known = self._session, {CT: result.uncertainty}
        if CT in result.bodies:
            known = {body: one.uncertainty for body, one in result.bodies.items()}
        certainty = {
            body: described(
                one, result.best, placement, session.centre(body, placement), views, session.subject.orientation
            )
            for body, one in known.items()
            if one is not None
        }
        return Found(name, views, result, placement, warned, certainty)

    def _keep(self, found: Found) -> None:
        others = [one for one in self.found if one.views != found.views and one.placement is found.placement]
        self.found = [*others, found]

    def _told(self, found: Found, now: Placement) -> dict[str, Any]:
        result, best = found.result, found.result.best
        status = result.status[best]
        text = ENDED.get(status) or WHAT_TO_DO.get(status, "")
        if found.name == "Snap":
            text = SNAPPED.get(status, text)
        if found.name == "Look":
            text = "How well the X-rays determine where it is now. Nothing was moved."
        advice = result.advice[best] if result.advice else None
        return {
            "name": found.name,
            "views": list(found.views),
            "status": str(status),
            "kind": "good" if status in GOOD else "warn" if status in DOUBTFUL or found.name == "Look" else "bad",
            "text": text,
            "score": _rounded(result.score[best].item(), 4),
            "seconds": round(result.seconds, 2),
            "fresh": found.placement is now,
            "others": [{"name": name, "score": _rounded(score, 4)} for name, score, _ in _others(result)],
            "advice": None if advice is None else advice.summary(),
            "lengths": _lengths(result, best),
            "response": str(result.responses[0]["name"]) if result.responses else None,
            "bodies": [{"name": body, "text": one.summary(best)} for body, one in _beside(result).items()],
            "warned": found.warned,
        }


def _others(result: RegistrationResult) -> list[tuple[str, float, RigidTransform]]:
    """Rivals of the result, and what else a search has found."""
    best = result.best
    rivals = [(rival.name, rival.score, rival.pose) for rival in (result.rivals[best] if result.rivals else ())]
    more = [
        (f"pose {start + 1} of the search", result.score[start].item(), RigidTransform(result.poses[0][start]))
        for start in range(len(result.status))
        if start != best
    ]
    return rivals + more


def _beside(result: RegistrationResult) -> Mapping[str, BodyResult]:
    """What a registration of several bodies says of each."""
    return result.bodies if CT in result.bodies else {}


def _ended(placement: Placement, views: Sequence[int], result: RegistrationResult) -> Placement:
    """Everything as a result has it, intrinsics and relative poses included."""
    if CT in result.bodies:
        return placed_by(placement, views, result)
    poses = [RigidTransform(pose[result.best]) for pose in result.poses]
    lengths = [{name: float(value[result.best]) for name, value in one.items()} for one in result.intrinsics]
    return placement.with_poses(views, poses, lengths)


def _lengths(result: RegistrationResult, best: int) -> list[str]:
    """What was found of the geometry, a line a view."""
    lines = []
    for number, lengths in enumerate(result.intrinsics):
        known: Mapping[str, Any] = result.intrinsics_deviations[number] if result.intrinsics_deviations else {}
        parts = [
            f"{name} {value[best].item():.5g}" + (f" ± {known[name][best].item():.2g}" if name in known else "")
            for name, value in lengths.items()
        ]
        lines.append(f"{', '.join(parts)} mm")
    return lines


def _rounded(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
