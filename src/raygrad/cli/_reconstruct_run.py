"""`raygrad reconstruct`: from images and their geometry to a volume in a file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from raygrad._errors import InputError
from raygrad._processes import Processes
from raygrad.cli._reconstruct_files import (
    describe_novel_views,
    describe_truth,
    write_history,
    write_preview,
)
from raygrad.cli._reconstruct_inputs import Problem, select
from raygrad.data import VolumeGeometry, write_volume
from raygrad.formats import beside, write_geometry
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform
from raygrad.reconstruction import METHODS, Calibration, ReconstructionResult, Resumption, reconstruct

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """Files to write: the volume, where its state is kept meanwhile, and what else was asked for."""

    volume: Path
    checkpoint: Path
    history: Path | None = None
    preview: Path | None = None


def reconstruct_to_files(
    problem: Problem,
    outputs: Outputs,
    *,
    method: str,
    renderer: str,
    device: torch.device | str = "cpu",
    options: dict[str, Any],
    unknowns: tuple[str, ...] | None = None,
    fresh: bool = False,
    checkpoint_every: float = 30.0,
    processes: Processes | None = None,
    progress: bool = False,
    say: Say = print,
) -> ReconstructionResult:
    """Reconstruct, and write the volume and what goes with it.

    Args:
        problem: from `read_problem`.
        outputs: the volume's file is replaced at the end, when the checkpoint goes.
        method, renderer, unknowns: see `raygrad.reconstruct`; `unknowns` are refined first.
        device: what computes.
        options: the method's, from `plan`.
        fresh: begin anew, whatever the checkpoint holds.
        checkpoint_every: seconds between two checkpoints.
        processes: those that share the views. The first one writes and speaks.
        progress: show a bar.
        say: what to do with sentences.

    Raises:
        InputError: it does not fit into memory, or diverges.
        ValueError: images, options or the checkpoint do not go together.
        OSError: a file cannot be written.
    """
    processes = Processes() if processes is None else processes
    is_first = processes.rank == 0
    images, every = select(problem.images, problem.used), problem.views
    if method == "osem" and "photons" not in options and images.min() < 0:
        if is_first:
            say("line integrals below 0 are taken for 0: with --photons they need not be")
        images = images.clamp(min=0)
    if is_first:
        say(_describe(problem, outputs.volume))
    settings = dict(options)
    if METHODS[method].default_iterations is not None:
        if fresh and is_first and outputs.checkpoint.exists():
            Resumption.of(outputs.checkpoint)  # raises where it is none: not ours to remove
            outputs.checkpoint.unlink()
        settings |= {"checkpoint": outputs.checkpoint, "checkpoint_every": checkpoint_every, "start": problem.start}

    def tell(event: Any) -> None:
        nonlocal every
        if isinstance(event, Calibration):
            every = _with_refined(problem, event.views.to("cpu"))
            write_geometry(beside(outputs.volume, ".geometry.json"), every, problem.names)
        say(str(event))

    try:
        result = reconstruct(
            images,
            problem.views[problem.used],
            problem.grid,
            method=method,
            renderer=renderer,
            mask=None if problem.mask is None else select(problem.mask, problem.used),
            support=problem.support,
            calibrate=unknowns,
            device=device,
            processes=processes,
            progress=progress,
            say=tell,
            **settings,
        )
    except FloatingPointError as error:
        raise InputError(str(error)) from error
    except MemoryError as error:
        raise InputError(f"{error} Say so with --spacing, --shape and --method.") from error

    if is_first:
        write_volume(result.to_volume().moved(problem.world_to_file), outputs.volume)
        outputs.checkpoint.unlink(missing_ok=True)
        say(f"{outputs.volume}: {_how_it_ended(result)}")
        _write_what_else(replace(problem, views=every), outputs, result, say)
    return result


def _write_what_else(problem: Problem, outputs: Outputs, result: ReconstructionResult, say: Say) -> None:
    if outputs.history is not None:
        write_history(result, outputs.history)
        say(f"{outputs.history}: residual, change and time of every iteration")
    if outputs.preview is not None:
        write_preview(result, problem.world_to_file, outputs.preview)
        say(f"{outputs.preview}: three slices")
    if problem.held_out:
        rendered = result.project(problem.views[problem.held_out]).cpu()
        measured = select(problem.images, problem.held_out)
        if problem.mask is not None:
            rendered, measured = (each * select(problem.mask, problem.held_out) for each in (rendered, measured))
        say(describe_novel_views(rendered, measured, problem.held_out))
    if problem.truth is not None:
        say(describe_truth(result.volume.cpu(), problem.truth))


def _describe(problem: Problem, output: Path) -> str:
    rows, columns = problem.views.image_shape
    grid = problem.grid
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{length:.4g}" for length in grid.spacing)
    kept = f" ({len(problem.held_out)} more held out)" if problem.held_out else ""
    hidden = 0.0 if problem.mask is None else 100 - 100 * float(problem.mask.float().mean())
    left_out = f", {hidden:.2g} % of which do not count" if hidden else ""
    return (
        f"{len(problem.used)} views of {columns} x {rows} pixels{left_out}{kept}\n"
        f"{output}: {shape} voxels of {spacing} mm, centre at {_centre(grid, problem)} mm: {problem.grid_is}"
    )


def _centre(grid: VolumeGeometry, problem: Problem) -> str:
    centre = problem.world_to_file[:3, :3] @ grid.centre.numpy() + problem.world_to_file[:3, 3]
    return ", ".join(f"{length:.4g}" for length in (centre.round(3) + 0.0).tolist())


def _how_it_ended(result: ReconstructionResult) -> str:
    if not result.history:
        return f"{result.method}, {result.seconds:.1f} s"
    last = result.history[-1]
    return (
        f"{result.method}, {result.status} after {last.number} iteration(s) and {last.seconds:.1f} s, residual "
        f"{last.residual:.4g}"
    )


def _with_refined(problem: Problem, refined: ConeViews) -> ConeViews:
    """All views, those that were used as they were refined; the held out ones keep their poses."""
    given = problem.views
    pose = given.pose.matrix.clone()
    pose[problem.used] = refined.pose.matrix
    calibration = None
    if refined.calibration is not None and given.calibration is not None:
        calibration = given.calibration.clone()
        calibration[problem.used] = refined.calibration
    return ConeViews(refined.detector, RigidTransform(pose), calibration)
