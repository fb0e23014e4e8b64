"""`raygrad register`: from a CT, X-rays and rough poses to where the X-rays were taken from."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from raygrad import registration
from raygrad._errors import InputError
from raygrad._files import readable
from raygrad.cli._cut_out import PICTURE
from raygrad.cli._register_inputs import Task
from raygrad.cli._register_scene import MeshFile, pictures_of, register_scene, say_where, scene_of
from raygrad.cli._warnings import passing_on_warnings
from raygrad.data import Subject
from raygrad.formats import View, write_poses
from raygrad.geometry import UnknownGeometry
from raygrad.pose import RigidTransform
from raygrad.registration import RegistrationResult, SearchRanges, Status, ViewRanges
from raygrad.visualization import save_registration

_OPTIONS = {
    Status.STALLED: "Or try --method adam.",
    Status.OUT_OF_ITERATIONS: "--init {pose}",
    Status.AMBIGUOUS: "",
    Status.INCONSISTENT: "See halves.png; --rigid spine (with --labelmap), --mask, --sdd, --delx.",
    Status.NO_MATCH: "See overlay.png; --search view, or sphere; --values, --sdd, --delx, --orientation; --mask.",
}
ADVICE = {status: f"{text} {_OPTIONS[status]}".rstrip() for status, text in registration.WHAT_TO_DO.items()}
"""What to do when a registration ended otherwise than converged; `pose` is the file that was written."""

WRITTEN = (
    *("pose.json", "overlay.png", "difference.png", "convergence.png", "halves.png", "trace.csv", "convergence.gif"),
    PICTURE,
)
"""The files of the folder."""

TURNED_OVER = {
    "line-integrals": ("intensity", "inverted-display"),
    "intensity": ("inverted-intensity", "line-integrals"),
    "inverted-intensity": ("intensity",),
    "display": ("inverted-display",),
    "inverted-display": ("display",),
}
"""What numbers may be that are the wrong way round."""
_COARSE = 32  # pixels a side that are enough to see which way round an X-ray is


def describe(task: Task) -> str:
    """What the X-ray and its camera are taken to be."""
    camera = task.view.intrinsics
    start = ""
    if task.header is not None:
        degrees, mm = max(task.header.pose_deg), max(task.header.pose_mm)
        start = f"; starts from its header, known to {degrees:.3g} degrees and {mm:.3g} mm"
    sentence = (
        f"{task.view.xray}: {camera.width} x {camera.height} pixels of {camera.delx:.4g} x {camera.dely:.4g} mm, "
        f"{camera.sdd:g} mm from {'where parallel rays begin' if camera.parallel else 'the source'}{start}"
    )
    if task.hidden is None or task.hidden.nothing:
        return sentence
    return f"{sentence}\n{task.view.xray}: left out: {task.hidden} (--no-auto-mask keeps it)"


def register_to_folder(
    subject: Subject,
    tasks: Sequence[Task],
    folder: Path,
    *,
    method: str = "lm",
    response: str = "auto",
    keep_table: bool = False,
    renderer: str = "joseph",
    device: torch.device | str = "cpu",
    search: SearchRanges | ViewRanges | None = None,
    structures: Mapping[str, Sequence[int]] | None = None,
    rigid: Sequence[str | int] | None = None,
    meshes: Sequence[MeshFile] = (),
    unknowns: UnknownGeometry | None = None,
    exposed: Mapping[str, Any] | None = None,
    seed: int = 0,
    animation: bool = True,
    progress: bool = False,
    say: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> bool:
    """Register the X-rays to the subject, write what was found into a folder, and say whether it can be trusted.

    Args:
        subject: the CT, of the tasks' orientation.
        tasks: from `prepare`.
        folder: it exists.
        renderer: of `raygrad.drr.DRR`.
        device: what computes.
        search: how far the poses may be off, to search all that; with meshes, for the CT alone.
        meshes: of `parse_meshes`, which are found with the CT, on the CPU.
        method, response, structures, rigid, unknowns, seed, progress: of `raygrad.registration.register`.
        exposed: of `physics_options`: by what X-ray system images are made.
        keep_table: compare with the CT's density as it is.
        animation: write it, which takes a second or two.
        say, warn: what to do with sentences.

    Returns:
        Whether the best start converged, and with meshes whether that determines all of them.

    Raises:
        ValueError: the X-rays cannot be registered, see `register`.
        OSError: a file cannot be written.
    """
    if (structures or rigid) and subject.mask is None:
        raise InputError(
            f"--{'structure' if structures else 'rigid'} needs --labelmap, the image that says "
            "which voxel belongs to which structure."
        )
    if rigid and meshes:
        raise InputError("--rigid goes without --mesh: what is found with meshes is said by --structure.")
    scene = scene_of(subject, structures or {}, meshes) if meshes else None
    drrs = [task.view.make_drr(subject, renderer=renderer).to(device) for task in tasks]
    xrays, inits, masks = [task.image for task in tasks], [task.view.pose for task in tasks], [t.mask for t in tasks]
    # The files were looked at as they are stored, which says more than their line integrals.
    options: dict[str, Any] = {"method": method, "seed": seed, "progress": progress, "auto_mask": False}
    asked = {"ranges": search, "structures": structures, "rigid": rigid, "unknowns": unknowns}
    options |= {name: value for name, value in asked.items() if value}
    if keep_table and method == "lm":
        options["clean_ct"] = False
    options |= exposed or {}
    if response != "auto":
        options["response"] = response
    if any(mask is not None for mask in masks):
        options["mask"] = masks
    with passing_on_warnings(warn):
        doubt_what_the_numbers_are(tasks, subject, warn)
        if scene is None:
            result = registration.register(xrays, drrs, inits, **options)
        else:
            begun = inits
            if search:
                found = registration.register(xrays, drrs, inits, **options | {"structures": None, "unknowns": None})
                begun = [RigidTransform(pose[found.best]) for pose in found.poses]
            result = register_scene(scene, tasks, drrs, begun, **{k: v for k, v in options.items() if k != "ranges"})

    left_out = ["" if t.hidden is None or t.hidden.nothing else str(t.hidden) for t in tasks]
    result_of_files = replace(result, hidden=tuple(left_out))
    write_poses(
        folder / "pose.json",
        _found(tasks, result),
        {"method": method, **result_of_files.outcome()},
        subject.file_to_world,
    )
    names = [readable(str(task.view.xray)) for task in tasks]
    pictures = None if scene is None else pictures_of(scene, drrs, inits, result)
    files = save_registration(
        folder, xrays, drrs, result, inits, masks, names, animation and scene is None, pictures=pictures
    )
    say(result.summary())
    for number, (task, lengths) in enumerate(zip(tasks, result.intrinsics, strict=False)):
        known = result.intrinsics_deviations[number] if result.intrinsics_deviations else {}
        found_lengths = ", ".join(
            f"{name} {value[result.best].item():.5g}"
            + (f" +- {known[name][result.best].item():.2g}" if name in known else "")
            for name, value in lengths.items()
        )
        say(f"{task.view.xray}: found {found_lengths} mm")
    status, sure = result.status[result.best], True
    if scene is not None:
        sure = say_where(scene, result, say)
    elif structures:
        for name, moved in registration.displacements(result, subject, structures).items():
            say(f"{name}: {moved.mm:.2f} mm and {moved.degrees:.2f} degrees from where the CT has it")
    if status in ADVICE:
        say(ADVICE[status].format(pose=folder / "pose.json"))
    say(f"{folder}: {', '.join(['pose.json', *files])}")
    return sure and status is Status.CONVERGED


def doubt_what_the_numbers_are(tasks: Sequence[Task], subject: Subject, warn: Callable[[str], None]) -> None:
    """Say aloud where an X-ray shows the CT far better turned over, and nobody has said what its numbers are."""
    for task in tasks:
        if task.taken_for is None:
            continue
        camera = task.view.intrinsics
        coarse = camera.resampled(min(camera.height, _COARSE), min(camera.width, _COARSE))
        with torch.no_grad():
            rendered = replace(task.view, intrinsics=coarse).make_drr(subject)(task.view.pose)
        found = registration.polarity(task.image, rendered, task.mask)
        if found.inverted:
            others = " or ".join(TURNED_OVER[task.taken_for])
            warn(
                f"{task.view.xray} was taken for {task.taken_for}, as its header says or for want of one, but is far "
                f"more like the CT turned over (correlation {found.opposite:.2f}, not {found.alike:.2f}). It is "
                f"registered as it was taken: if bone is dark in overlay.png, say --values {others}."
            )
            warnings.filterwarnings("ignore", ".* looks inverted", registration.RegistrationWarning)


def _found(tasks: Sequence[Task], result: RegistrationResult) -> list[View]:
    """The views with the poses, and the intrinsics that were unknown, that the best start ended with."""
    found = []
    for number, task in enumerate(tasks):
        lengths: dict[str, Any] = {}
        if result.intrinsics:
            lengths = {name: float(value[result.best]) for name, value in result.intrinsics[number].items()}
        pose = RigidTransform(result.poses[number][result.best].detach())
        found.append(replace(task.view, pose=pose, intrinsics=replace(task.view.intrinsics, **lengths)))
    return found
