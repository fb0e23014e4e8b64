"""What `raygrad register` writes: the pose, pictures, the trace and an animation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import roma
import torch

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.cli._register_inputs import Task
from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.evaluation import select_labels
from raygrad.formats import View, write_poses
from raygrad.pose import RigidTransform
from raygrad.registration import AXES, RegistrationResult, Status
from raygrad.visualization import animate, plot_convergence, plot_difference, plot_overlay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ADVICE = {
    Status.STALLED: "The pose is not to be trusted. Start elsewhere, or try --method adam.",
    Status.OUT_OF_ITERATIONS: "It was still moving. Go on from where it stopped: --init {pose}",
    Status.AMBIGUOUS: "Another pose fits as well, or a direction stays open. Add an X-ray from another direction, or "
    "start closer to the truth.",
    Status.NO_MATCH: "The images do not match: start closer or search (--search 60,100); check that bone is bright in "
    "overlay.png (else --values), --sdd, --delx and --orientation; hide what the CT lacks with --mask.",
}
"""What to do when a registration ended otherwise than converged; `pose` is the file that was written."""


def save_registration(
    folder: Path,
    tasks: Sequence[Task],
    drrs: Sequence[DRR],
    result: RegistrationResult,
    method: str,
    animation: bool = True,
) -> list[str]:
    """Write everything about a result's best start into a folder, each file whole or not at all.

    Returns:
        The names of the files.

    Raises:
        OSError: a file cannot be written.
        ImportError: matplotlib is not installed.
    """
    require("matplotlib", "pictures of the registration", extra="cli")
    start = result.best
    found = [_found_view(view, task, result, start) for view, task in enumerate(tasks)]
    write_poses(folder / "pose.json", found, describe_outcome(result, method))
    with written_whole(folder / "trace.csv") as unfinished:
        result.save_trace(unfinished)
    pictures = {
        "overlay.png": _draw_overlay(tasks, drrs, found),
        "difference.png": _draw_difference(tasks, drrs, found),
        "convergence.png": _draw_convergence(result),
    }
    for name, figure in pictures.items():
        with written_whole(folder / name) as unfinished:
            figure.savefig(unfinished, dpi=110)
    names = ["pose.json", "trace.csv", *pictures]
    if animation:
        with written_whole(folder / "convergence.gif") as unfinished:
            images, starts = [task.image for task in tasks], [task.view.pose for task in tasks]
            animate(unfinished, images, drrs, result, init=starts, mask=[task.mask for task in tasks])
        names.append("convergence.gif")
    return names


def describe_outcome(result: RegistrationResult, method: str) -> dict[str, Any]:
    """How the best start ended, in numbers and texts for `write_poses`; None for a number that is not finite."""
    start = result.best
    outcome: dict[str, Any] = {
        "method": method,
        "status": str(result.status[start]),
        "score": _finite(result.score[start].item()),
        "starts": len(result.status),
        "seconds": round(result.seconds, 3),
    }
    if result.uncertainty is not None:
        deviations = result.uncertainty.standard_deviations[start].tolist()
        outcome["standard_deviations"] = {
            "of": "small motions along (mm) and about (degrees) the first camera's axes through the isocentre",
            **{f"{axis} (mm)": _finite(mm) for axis, mm in zip(AXES[:3], deviations[:3], strict=True)},
            **{
                f"{axis} (degrees)": _finite(math.degrees(turn))
                for axis, turn in zip(AXES[3:], deviations[3:], strict=True)
            },
        }
    if result.structures:
        outcome["structures"] = {
            name: {"poses": [_rows(pose.matrix[start]) for pose in poses]} for name, poses in result.structures.items()
        }
    return outcome


class Displacement(NamedTuple):
    """How far a structure is from where the CT has it: its centre in mm, and its turn in degrees."""

    millimetres: float
    degrees: float


def describe_structures(
    result: RegistrationResult, subject: Subject, structures: Mapping[str, Sequence[int]]
) -> dict[str, Displacement]:
    """How far each structure has moved against the rest of the patient, at the best start's end.

    A camera sees a structure that has moved as a camera moved the other way sees it where the CT has it.
    """
    start, moved = result.best, {}
    for name, poses in result.structures.items():
        centre = torch.nonzero(select_labels(subject, list(structures[name]))).double().mean(dim=0)
        voxel_to_world = subject.volume.voxel_to_world
        centre = voxel_to_world[:3, :3] @ centre + voxel_to_world[:3, 3]
        rest, own = (RigidTransform(pose[start].double().cpu()) for pose in (result.pose, poses[0]))
        motion = own.inverse().compose(rest)
        shift = motion(centre[None, None])[0, 0] - centre
        turn = roma.rotmat_geodesic_distance(motion.rotation[0], torch.eye(3, dtype=torch.float64))
        moved[name] = Displacement(shift.norm().item(), torch.rad2deg(turn).item())
    return moved


def _rows(matrix: torch.Tensor) -> list[list[float]]:
    return torch.round(matrix.double().cpu(), decimals=9).tolist()


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _found_view(number: int, task: Task, result: RegistrationResult, start: int) -> View:
    """The view with the pose, and the calibrated intrinsics, that the best start ended with."""
    pose = RigidTransform(result.poses[number][start].detach())
    calibrated = result.intrinsics[number] if result.intrinsics else {}
    lengths: dict[str, Any] = {name: float(value[start]) for name, value in calibrated.items()}
    return replace(task.view, pose=pose, intrinsics=replace(task.view.intrinsics, **lengths))


def _render(drr: DRR, view: View) -> torch.Tensor:
    pose = view.pose.to(drr.density)
    if view.intrinsics != drr.detector.intrinsics.detached():
        drr = view.make_drr(drr.subject, renderer=drr.renderer).to(drr.device)
    with torch.no_grad():
        return drr(pose).cpu()


def _figure(rows: int, columns: int) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * columns, 4.3 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _draw_overlay(tasks: Sequence[Task], drrs: Sequence[DRR], found: Sequence[View]) -> "Figure":
    figure, axes = _figure(len(tasks), 4)
    for row, task, drr, after in zip(axes, tasks, drrs, found, strict=True):
        xray, start, end = task.image, _render(drr, task.view), _render(drr, after)
        plot_overlay(xray, xray, title=str(after.xray), axs=row[0])
        plot_overlay(xray, start, title="X-ray (orange) and start (blue)", axs=row[1], mask=task.mask)
        plot_overlay(xray, end, title="X-ray (orange) and registered (blue)", axs=row[2], mask=task.mask)
        tiled = "X-ray and registered, tile by tile"
        plot_overlay(xray, end, title=tiled, axs=row[3], style="checkerboard", mask=task.mask)
    return figure


def _draw_difference(tasks: Sequence[Task], drrs: Sequence[DRR], found: Sequence[View]) -> "Figure":
    figure, axes = _figure(len(tasks), 2)
    for row, task, drr, after in zip(axes, tasks, drrs, found, strict=True):
        rendered = torch.cat([_render(drr, task.view), _render(drr, after)])
        titles = [f"{after.xray} minus start", f"{after.xray} minus registered, colours alike"]
        plot_difference(task.image.expand_as(rendered), rendered, title=titles, axs=row, mask=task.mask)
    return figure


def _draw_convergence(result: RegistrationResult) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    plot_convergence(result, axs=figure.subplots(1, 2))
    return figure
