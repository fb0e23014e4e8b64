"""The loop around every iterative method: stopping, progress, history, checkpoints."""

import math
import operator
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raygrad._optional import require
from raygrad._progress import Iteration, Status
from raygrad.reconstruction._checkpoint import Checkpoint
from raygrad.reconstruction._result import ReconstructionResult
from raygrad.reconstruction._solver import Solver, Step

Callback = Callable[[Iteration, Tensor], bool | None]

READ_EVERY = 10
"""Iterations whose numbers are read from a GPU together, where nobody looks at each: to read is to wait for it."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """When a run of iterations ends, what it shows, and what it keeps.

    Attributes:
        iterations: at most so many, those before a checkpoint included; default: the method's own number.
        tolerance: end when |x - x before| / |x| falls to this. 0: never.
        residual: end when |A x - b| / |b| falls to this, such as the noise in it (Morozov's discrepancy principle).
            0: never. (On a GPU a run without a tolerance, residual, bar or callback is looked at every 10 iterations.)
        progress: show a bar with the residual.
        callback: called with an `Iteration` and the volume (not to be written to) after every one; True ends the run.
        checkpoint: a file to keep the state in. If it exists, the run goes on from there, and ends with the same volume
            as one that was never interrupted. It is replaced as a whole, and stays when the run ends.
        checkpoint_every: seconds between two of them; 0 keeps every iteration.

    Raises:
        TypeError, ValueError: numbers of another kind, or out of range.
    """

    iterations: int | None = None
    tolerance: float | int = 0.0
    residual: float | int = 0.0
    progress: bool = False
    callback: Callback | None = None
    checkpoint: str | Path | None = None
    checkpoint_every: float | int = 30.0

    def __post_init__(self) -> None:
        if self.iterations is not None and operator.index(self.iterations) < 1:
            raise ValueError(f"Expected at least one iteration. Got {self.iterations}.")
        for name in ("tolerance", "residual", "checkpoint_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Expected a {name} of at least 0. Got {getattr(self, name)}.")

    @classmethod
    def of(cls, options: Mapping[str, Any], method: str) -> "Control":
        """The control with these options, for a method of this name.

        Raises:
            TypeError: there is nothing of such a name.
            ValueError: numbers out of range.
        """
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in options if name not in known]:
            raise TypeError(f"A run of {method} has no option {unknown[0]!r}. It has {', '.join(known)}.")
        return cls(**options)


def iterate(solver: Solver, control: Control = Control()) -> ReconstructionResult:
    """Run an iterative method, from the state that its solver is in.

    Args:
        solver: the method, ready for its first step.
        control: when to end, what to show and to keep.

    Raises:
        ValueError: a checkpoint of another problem.
        FloatingPointError: the volume is no longer finite: the steps were too long.
    """
    iterations = solver.method.default_iterations if control.iterations is None else control.iterations
    assert iterations is not None
    tolerance, residual, callback = control.tolerance, control.residual, control.callback
    processes = solver.projector.processes
    history: list[Iteration] = []
    status = Status.OUT_OF_ITERATIONS
    with torch.no_grad():
        keeper = None if control.checkpoint is None else Checkpoint(control.checkpoint, solver)
        if keeper is not None:
            history = keeper.load()
        log = _Log(solver, history)
        kept_at = time.perf_counter()
        on_gpu = solver.volume.device.type != "cpu"
        at_once = READ_EVERY if on_gpu and not (tolerance or residual or control.progress or callback) else 1
        shown = control.progress and processes.rank == 0
        with _bar(solver.name, iterations, len(history), shown) as bar:
            while log.count < iterations:
                if (ending := _ending(history, tolerance, residual)) is not None:
                    status = ending
                    break
                log.add(solver.step())
                if log.count % at_once == 0 or log.count == iterations:
                    log.read()
                if bar is not None:
                    bar.set_postfix_str(f"residual {history[-1].residual:.4g}", refresh=False)
                    bar.update()
                stopped = callback is not None and bool(callback(history[-1], solver.volume))
                done = processes.agree(stopped) or log.count == iterations
                due = done or time.perf_counter() - kept_at >= control.checkpoint_every
                if keeper is not None and processes.agree(due):
                    log.read()
                    keeper.save(history)
                    kept_at = time.perf_counter()
                if processes.agree(stopped):
                    status = Status.STOPPED
                    break
            else:
                status = _ending(history, tolerance, residual) or status
    return ReconstructionResult(solver.volume, solver.projector, solver.name, status, tuple(history), log.seconds())


class _Log:
    """Writes the history of a solver, whose latest numbers may still be on their way.

    Attributes:
        history: the iterations that were read.
    """

    def __init__(self, solver: Solver, history: list[Iteration]) -> None:
        self.solver, self.history = solver, history
        self.unread: list[Tensor] = []
        self.has_objective = False
        self.previous = solver.volume.clone()
        self.began = time.perf_counter() - (history[-1].seconds if history else 0.0)

    @property
    def count(self) -> int:
        """Iterations so far."""
        return len(self.history) + len(self.unread)

    def seconds(self) -> float:
        """Since the start, over all runs."""
        return time.perf_counter() - self.began

    def add(self, step: Step) -> None:
        """Take the numbers of an iteration and of what it made of the volume."""
        size, change = self.solver.volume.norm(), self.previous.sub_(self.solver.volume).norm()
        self.previous.copy_(self.solver.volume)
        objective = math.nan if step.objective is None else step.objective
        numbers = (step.residual, objective, size, change)
        self.unread.append(
            torch.stack([n.double() if isinstance(n, Tensor) else size.new_full((), n).double() for n in numbers])
        )
        self.has_objective = step.objective is not None

    def read(self) -> None:
        """Wait for the numbers. What several iterations took together is shared out evenly.

        Raises:
            FloatingPointError: the volume is no longer finite.
        """
        if not self.unread:
            return
        rows = torch.stack(self.unread).tolist()
        self.unread.clear()
        before = self.history[-1].seconds if self.history else 0.0
        each = (self.seconds() - before) / len(rows)
        for position, (residual, objective, size, difference) in enumerate(rows, start=1):
            number, change = len(self.history) + 1, 0.0 if size == 0 else difference / size
            if not change < math.inf:
                raise FloatingPointError(
                    f"The volume of {self.solver.name} is no longer finite in iteration {number}: "
                    "take a smaller relaxation, step or learning rate."
                )
            goal = objective if self.has_objective else None
            seconds = before + position * each
            self.history.append(Iteration(number, seconds, residual=residual, change=change, objective=goal))


def _ending(history: list[Iteration], tolerance: float, residual: float) -> Status | None:
    """Why the last iteration was enough, if it was. It depends on nothing but numbers that all processes have."""
    if not history:
        return None
    last = history[-1]
    if last.residual is not None and last.residual <= residual:
        return Status.FITTED
    if last.change is not None and last.change <= tolerance and len(history) > 1:
        return Status.CONVERGED
    return None


def _bar(name: str, iterations: int, done: int, progress: bool) -> Any:
    if not progress:
        return nullcontext()
    tqdm = require("tqdm", "progress bars", extra="cli").tqdm
    return tqdm(total=iterations, initial=done, desc=name, unit="it", ncols=90)
