"""A reconstruction that is watched while it goes on, and can be ended at once."""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from raygrad._cockpit._jobs import Job
from raygrad._cockpit._sweep import HELD_OUT, USED, SweepSession
from raygrad._cockpit._sweep_drawing import project
from raygrad._cockpit._sweep_made import Made
from raygrad._cockpit._sweep_pictures import Compared
from raygrad._errors import InputError, Interrupted
from raygrad._progress import Iteration
from raygrad.projector import Projector
from raygrad.reconstruction import Method, estimate, reconstruct

TELL_S, SHOW_S = 0.1, 0.25
"""Progress is told, and the volume shown, no more often than this."""
FEWEST = 2
"""Views that there have to be to reconstruct from."""


def start(session: SweepSession, method: Method, iterations: int | None, renderer: str) -> None:
    """Begin to reconstruct from the views in use.

    Raises:
        InputError: too few views are in use, iterations that the method does not make, or something else is being done.
    """
    used = session.numbers_of(USED)
    if len(used) < FEWEST:
        raise InputError(f"Expected at least {FEWEST} views to reconstruct from. Got {len(used)}: put some in use.")
    if iterations is not None and method.default_iterations is None:
        raise InputError(f"Expected no iterations of {method.name}, which makes none. Got {iterations}.")
    if iterations is not None and iterations < 1:
        raise InputError(f"Expected at least one iteration. Got {iterations}.")
    session.jobs.start("Reconstruction", lambda job: _Run(session, job, method, iterations, renderer, used).run())


def needs(session: SweepSession, method: Method, renderer: str) -> str:
    """What a reconstruction will take of memory, in words."""
    projector = Projector(session.grid, session.sweep.views[session.numbers_of(USED)], renderer)
    return estimate(projector, method, trial=False).needs


class _Run:
    """One reconstruction."""

    def __init__(
        self, session: SweepSession, job: Job, method: Method, iterations: int | None, renderer: str, used: list[int]
    ) -> None:
        self.session, self.job, self.method, self.iterations, self.used = session, job, method, iterations, used
        self.count = iterations or method.default_iterations
        self.held_out = session.numbers_of(HELD_OUT)
        unseen = tuple(sorted(set(range(session.n_views)) - set(used)))
        self.like: dict[str, Any] = {
            "grid": session.grid,
            "method": method.name,
            "renderer": renderer,
            "unseen": unseen,
        }
        self.told = self.shown = 0.0
        self.points: list[tuple[int, float | None, float]] = []
        self.volume: Tensor | None = None

    def run(self) -> None:
        """Reconstruct, and show what comes."""
        session, sweep = self.session, self.session.sweep
        session.history.clear()
        session.tell_state()
        self.job.tell(text=f"{self.method.name}: getting ready", share=0.0)
        images = sweep.images if len(self.used) == session.n_views else sweep.images[torch.tensor(self.used)]
        settings: dict[str, Any] = {}
        if self.method.default_iterations is not None:
            settings = {"iterations": self.iterations, "callback": self._watch}
            if sweep.mask is not None:
                settings["mask"] = sweep.mask[torch.tensor(self.used)]
        if self.method.name == "osem" and getattr(self.method, "photons", None) is None and images.min() < 0:
            images = images.clamp(min=0)  # as `raygrad reconstruct` does, and says
        try:
            result = reconstruct(
                images,
                sweep.views[self.used],
                self.like["grid"],
                method=self.method,
                renderer=self.like["renderer"],
                device=sweep.device,
                interrupt=lambda: self.job.cancelled,
                say=self._say,
                **settings,
            )
        except Interrupted:
            self._leave("cancelled")
            return
        except FloatingPointError as error:
            self._leave("failed")
            raise InputError(str(error)) from error
        except Exception:
            self._leave("failed")
            raise
        self._tell()
        status = "cancelled" if self.job.cancelled else str(result.status)
        last = result.history[-1] if result.history else None
        made = Made(result.volume.cpu(), **self.like, seconds=result.seconds, status=status)
        if last is not None:
            made = replace(made, iteration=last.number, residual=last.residual)
        with session.drawing.reading:
            session.keep(made)
        self._compare(made)

    def _leave(self, status: str) -> None:
        """It ended early: what was shown last stays."""
        self._tell()
        if self.volume is not None and self.session.made is not None:
            self.session.keep(replace(self.session.made, status=status))

    def _say(self, event: Any) -> None:
        self.job.tell(text=str(event))

    def _watch(self, iteration: Iteration, volume: Tensor) -> bool:
        """An iteration is done."""
        now = time.perf_counter()
        point = (iteration.number, iteration.residual, round(iteration.seconds, 3))
        self.points.append(point)
        self.session.history.append(point)
        if now - self.told >= TELL_S:
            self._tell()
        if now - self.shown >= SHOW_S:
            self._show(iteration, volume)
        return self.job.cancelled

    def _tell(self) -> None:
        self.told = time.perf_counter()
        points, self.points = self.points, []
        if points:
            number, residual, _ = points[-1]
            text = f"{self.method.name}: iteration {number} of {self.count}, residual {residual:.4g}"
            self.job.tell(text=text, share=number / (self.count or number))
            self.session.tell({"type": "points", "points": [list(point) for point in points]})

    def _show(self, iteration: Iteration, volume: Tensor) -> None:
        """Copy the volume to where it is shown from, unless that is being read: the next one will do as well."""
        session = self.session
        if not session.drawing.reading.acquire(blocking=False):
            return
        try:
            if self.volume is None:
                made = session.made
                same = made is not None and made.volume.shape == volume.shape and made.volume.dtype == volume.dtype
                self.volume = made.volume if same and made is not None else torch.empty_like(volume, device="cpu")
            self.volume.copy_(volume)
            session.keep(
                Made(
                    self.volume,
                    **self.like,
                    iteration=iteration.number,
                    residual=iteration.residual,
                    seconds=iteration.seconds,
                )
            )
        finally:
            session.drawing.reading.release()
        self.shown = time.perf_counter()

    def _compare(self, made: Made) -> None:
        """The held-out views beside their DRRs, one by one."""
        session, found = self.session, []
        for number in self.held_out:
            if self.job.tell(text=f"held-out view {number + 1}"):
                break
            rendered, measured = project(made, session.sweep.views[[number]]), session.sweep.images[number]
            if session.sweep.mask is not None:
                rendered, measured = (image * session.sweep.mask[number] for image in (rendered, measured))
            found.append({"view": number, **Compared.of(rendered, measured).described()})
        if found:
            session.keep(replace(made, compared=tuple(found)))
