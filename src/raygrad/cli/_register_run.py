"""`raygrad register`: from a CT, X-rays and rough poses to where the X-rays were taken from."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from raygrad import registration
from raygrad.cli._parsing import UserError
from raygrad.cli._register_files import ADVICE, describe_structures, save_registration
from raygrad.cli._register_inputs import Task
from raygrad.data import Subject
from raygrad.registration import Calibration, SearchRanges, Status


def describe(task: Task) -> str:
    """What the X-ray and its camera are taken to be."""
    camera = task.view.intrinsics
    return (
        f"{task.view.xray}: {camera.width} x {camera.height} pixels of {camera.delx:.4g} x {camera.dely:.4g} mm, "
        f"{camera.sdd:g} mm from the source"
    )


def register_to_folder(
    subject: Subject,
    tasks: Sequence[Task],
    folder: Path,
    *,
    method: str = "lm",
    renderer: str = "joseph",
    device: torch.device | str = "cpu",
    search: SearchRanges | None = None,
    structures: Mapping[str, Sequence[int]] | None = None,
    calibration: Calibration | None = None,
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
        method: of `raygrad.registration.register`.
        renderer: of `raygrad.drr.DRR`.
        device: what computes.
        search: how far the poses may be off, to search all that.
        structures, calibration: of `raygrad.registration.register`.
        seed: of the poses that are tried.
        animation: write it, which takes a second or two.
        progress: show a progress bar.
        say, warn: what to do with sentences.

    Returns:
        Whether the best start converged.

    Raises:
        ValueError: the X-rays cannot be registered, see `register`.
        OSError: a file cannot be written.
    """
    if structures and subject.mask is None:
        raise UserError("--structure needs --labelmap, the image that says which voxel belongs to which structure.")
    drrs = [task.view.make_drr(subject, renderer=renderer).to(device) for task in tasks]
    xrays, inits = [task.image for task in tasks], [task.view.pose for task in tasks]
    masks = [task.mask for task in tasks] if any(task.mask is not None for task in tasks) else None
    options: dict[str, Any] = {"method": method, "mask": masks, "seed": seed, "progress": progress}
    asked = {"ranges": search, "structures": structures, "calibration": calibration}
    options |= {name: value for name, value in asked.items() if value}
    with _passing_on_warnings(warn):
        result = registration.register(xrays, drrs, inits, **options)

    files = save_registration(folder, tasks, drrs, result, method, animation)
    status = result.status[result.best]
    say(result.summary())
    for task, lengths in zip(tasks, result.intrinsics, strict=False):
        found_lengths = ", ".join(f"{name} {value[result.best].item():.5g}" for name, value in lengths.items())
        say(f"{task.view.xray}: found {found_lengths} mm")
    for name, found in describe_structures(result, subject, structures or {}).items():
        say(f"{name}: {found.millimetres:.2f} mm and {found.degrees:.2f} degrees from where the CT has it")
    if status in ADVICE:
        say(ADVICE[status].format(pose=folder / "pose.json"))
    say(f"{folder}: {', '.join(files)}")
    return status is Status.CONVERGED


@contextmanager
def _passing_on_warnings(warn: Callable[[str], None]) -> Iterator[None]:
    """Pass each different warning on once, at the end, even of a call that raises an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for message in dict.fromkeys(str(warning.message) for warning in caught):
                warn(message)
