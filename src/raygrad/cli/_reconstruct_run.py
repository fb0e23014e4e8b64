"""`raygrad reconstruct`: from images and their geometry to a volume in a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raygrad._processes import Processes
from raygrad.cli._parsing import UserError
from raygrad.cli._reconstruct_files import (
    describe_novel_views,
    describe_truth,
    write_history,
    write_preview,
)
from raygrad.cli._reconstruct_inputs import Problem, choose_options, select
from raygrad.data import VolumeGeometry, write_volume
from raygrad.distributed import shard
from raygrad.formats import beside, write_geometry
from raygrad.geometry import ConeViews
from raygrad.pose import RigidTransform
from raygrad.projector import Projector
from raygrad.reconstruction import METHODS, ReconstructionResult, calibrate, check_images, default_iterations, estimate

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outputs:
    """Files to write: the volume, where its state is kept meanwhile, and what else was asked for."""

    volume: Path
    checkpoint: Path
    history: Path | None = None
    preview: Path | None = None


def plan(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method that were given, as its arguments; not the volumes, which `read_problem` reads.

    Raises:
        UserError: there is no such method, or it has no such option.
    """
    if method not in METHODS:
        raise UserError(f"--method is one of {', '.join(METHODS)}, not '{method}'.")
    options = choose_options(METHODS[method], method, given)
    for volume in ("support", "start"):  # paths, whose volumes the problem has
        options.pop(volume, None)
    if "photons" in options:
        options["statistics"] = "transmission"
    return options


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
        UserError: it does not fit into memory, or diverges.
        ValueError: images, options or the checkpoint do not go together.
        OSError: a file cannot be written.
    """
    processes = Processes() if processes is None else processes
    speaker = say if processes.rank == 0 else _silent
    projector = Projector(problem.grid, problem.views[problem.used], renderer).to(device)
    images = check_images(projector, select(problem.images, problem.used)).to(device)
    if method == "osem" and "photons" not in options and images.min() < 0:
        speaker("line integrals below 0 are taken for 0: with --photons they need not be")
        images = images.clamp(min=0)
    _check_memory(projector, method)
    speaker(_describe(problem, outputs.volume))
    if processes.rank == 0:
        expected = estimate(projector, method, options.get("iterations"), processes=processes.count)
        shared = "" if processes.count == 1 else f", shared by {processes.count} processes"
        say(f"{method}{shared}: {expected}")

    every = problem.views
    if unknowns is not None:
        found = calibrate(projector, images, unknowns, progress=progress and processes.rank == 0)
        every = _with_refined(problem, found.views.to("cpu"))
        projector = projector.with_views(found.views)
        speaker(f"{found}, residual {float(found.residual.norm() / len(found.residual) ** 0.5):.3g}")
        if processes.rank == 0:
            write_geometry(beside(outputs.volume, ".geometry.json"), every, problem.names)

    settings = dict(options)
    if default_iterations(method) > 1:
        if fresh and processes.rank == 0:
            outputs.checkpoint.unlink(missing_ok=True)
        if processes.agree(outputs.checkpoint.exists()):
            kept = describe_checkpoint(outputs.checkpoint)
            speaker(f"going on from {kept}")
        settings |= {"checkpoint": outputs.checkpoint, "checkpoint_every": checkpoint_every}
        settings |= {"progress": progress and processes.rank == 0}
    volumes = {"support": problem.support, "start": problem.start}
    settings |= {name: volume for name, volume in volumes.items() if volume is not None}
    own_projector, own_images = shard(projector, images, processes)
    try:
        result = METHODS[method](own_projector, own_images, **settings)
    except FloatingPointError as error:
        raise UserError(str(error)) from error

    if processes.rank == 0:
        write_volume(result.to_volume().moved(problem.world_to_file), outputs.volume)
        outputs.checkpoint.unlink(missing_ok=True)
        say(f"{outputs.volume}: {_how_it_ended(result)}")
        _write_what_else(replace(problem, views=every), outputs, result, projector, say)
    return result


def describe_checkpoint(path: Path) -> str:
    """How many iterations a checkpoint holds, and its name.

    Raises:
        UserError: it is no checkpoint.
    """
    try:
        count = len(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["history"])
    except Exception as error:  # whatever unpickling a file of another kind raises
        raise UserError(f"'{path}' is no checkpoint of a reconstruction: remove it, or name another file.") from error
    return f"iteration {count}, kept in '{path}'"


def _write_what_else(
    problem: Problem, outputs: Outputs, result: ReconstructionResult, projector: Projector, say: Say
) -> None:
    if outputs.history is not None:
        write_history(result, outputs.history)
        say(f"{outputs.history}: residual, change and time of every iteration")
    if outputs.preview is not None:
        write_preview(result, problem.world_to_file, outputs.preview)
        say(f"{outputs.preview}: three slices")
    if problem.held_out:
        rendered = _project(projector.with_views(problem.views[problem.held_out]), result.volume)
        say(describe_novel_views(rendered, select(problem.images, problem.held_out), problem.held_out))
    if problem.truth is not None:
        say(describe_truth(result.volume.cpu(), problem.truth))


def _project(projector: Projector, volume: Tensor) -> Tensor:
    with torch.no_grad():
        return projector(volume).cpu()


def _describe(problem: Problem, output: Path) -> str:
    rows, columns = problem.views.image_shape
    grid = problem.grid
    shape = " x ".join(map(str, grid.shape))
    spacing = " x ".join(f"{length:.4g}" for length in grid.spacing)
    kept = f" ({len(problem.held_out)} more held out)" if problem.held_out else ""
    return (
        f"{len(problem.used)} views of {columns} x {rows} pixels{kept}\n"
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
        f"{result.method}, {result.status.value} after {last.number} iteration(s) and {last.seconds:.1f} s, residual "
        f"{last.residual:.4g}"
    )


def _check_memory(projector: Projector, method: str) -> None:
    wanted = estimate(projector, method, trial=False)
    if wanted.available is not None and wanted.memory > wanted.available:
        shape = " x ".join(map(str, projector.domain_shape))
        raise UserError(
            f"{method} of {shape} voxels takes {wanted}: take larger voxels (--spacing: twice as "
            "large takes an eighth), a smaller grid (--shape), fewer pixels, or --method fdk, which needs less."
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


def _silent(sentence: str) -> None:
    """Nothing: another process says it."""
