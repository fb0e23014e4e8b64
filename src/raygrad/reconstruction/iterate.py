"""The loop around every iterative method: stopping, progress, history, checkpoints."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raygrad.data.optional import require
from raygrad.reconstruction.checkpoint import Checkpoint
from raygrad.reconstruction.result import Iteration, ReconstructionResult, Status
from raygrad.reconstruction.solver import Solver

Callback = Callable[[Iteration, Tensor], bool | None]


def iterate(
    solver: Solver,
    *,
    iterations: int | None = None,
    tolerance: float | int = 0.0,
    residual: float | int = 0.0,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float | int = 30.0,
) -> ReconstructionResult:
    """Run an iterative method.

    Args:
        solver: the method, ready for its first step.
        iterations: at most so many, those before a checkpoint included; default: the method's own.
        tolerance: end when |x - x before| / |x| falls to this. 0: never.
        residual: end when |A x - b| / |b| falls to this, such as the noise in it (Morozov's discrepancy principle).
            0: never.
        progress: show a bar with the residual.
        callback: called with an `Iteration` and the volume (not to be written to) after every one; True ends the run.
        checkpoint: a file to keep the state in. If it exists, the run goes on from there, and ends with the same volume
            as one that was never interrupted. It is replaced as a whole, and stays when the run ends.
        checkpoint_every: seconds between two of them; 0 keeps every iteration.

    Raises:
        ValueError: numbers out of range, or a checkpoint of another problem.
        FloatingPointError: the volume is no longer finite: the steps were too long.
    """
    iterations = solver.default_iterations if iterations is None else iterations
    if iterations < 1 or not tolerance >= 0 or not residual >= 0 or not checkpoint_every >= 0:
        raise ValueError(
            "Expected at least one iteration, and tolerance, residual and checkpoint_every of at least 0. "
            f"Got {iterations}, {tolerance}, {residual} and {checkpoint_every}."
        )
    processes = solver.projector.processes
    history: list[Iteration] = []
    status = Status.OUT_OF_ITERATIONS
    with torch.no_grad():
        keeper = None if checkpoint is None else Checkpoint(checkpoint, solver)
        if keeper is not None:
            history = keeper.load()
        began = time.perf_counter() - (history[-1].seconds if history else 0.0)
        kept_at = time.perf_counter()
        previous = solver.volume.clone()
        with _bar(solver.name, iterations, len(history), progress and processes.rank == 0) as bar:
            while len(history) < iterations:
                if (ending := _ending(history, tolerance, residual)) is not None:
                    status = ending
                    break
                step = solver.step()
                size = float(solver.volume.norm())
                change = float(previous.sub_(solver.volume).norm()) / size if size > 0 else 0.0
                previous.copy_(solver.volume)
                if not change < float("inf"):
                    raise FloatingPointError(
                        f"The volume of {solver.name} is no longer finite in iteration {len(history) + 1}: "
                        "take a smaller relaxation, step or learning rate."
                    )
                seconds = time.perf_counter() - began
                history.append(Iteration(len(history) + 1, step.residual, change, step.objective, seconds))
                if bar is not None:
                    bar.set_postfix_str(f"residual {step.residual:.4g}", refresh=False)
                    bar.update()
                stopped = callback is not None and bool(callback(history[-1], solver.volume))
                done = processes.agree(stopped) or len(history) == iterations
                if keeper is not None and processes.agree(done or time.perf_counter() - kept_at >= checkpoint_every):
                    keeper.save(history)
                    kept_at = time.perf_counter()
                if processes.agree(stopped):
                    status = Status.STOPPED
                    break
            else:
                status = _ending(history, tolerance, residual) or status
    return ReconstructionResult(
        solver.volume, solver.projector, solver.name, status, tuple(history), time.perf_counter() - began
    )


def _ending(history: list[Iteration], tolerance: float, residual: float) -> Status | None:
    """Why the last iteration was enough, if it was. It depends on nothing but numbers that all processes have."""
    if not history:
        return None
    if history[-1].residual <= residual:
        return Status.FITTED
    if history[-1].change <= tolerance and len(history) > 1:
        return Status.CONVERGED
    return None


def _bar(name: str, iterations: int, done: int, progress: bool) -> Any:
    if not progress:
        return nullcontext()
    tqdm = require("tqdm", "progress bars", extra="cli").tqdm
    return tqdm(total=iterations, initial=done, desc=name, unit="it", ncols=90)
