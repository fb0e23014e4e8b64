"""Three whole tasks on a device, timed: a registration, a loss landscape, a reconstruction by Adam.

python benchmarks/tasks.py --device cuda

Each is what a user writes, and ends on the host. It runs once before it is timed, so that nothing is compiled any more.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from statistics import median

import torch
from devices import name_of, require_device, software_of
from on_device import OnDevice
from report import verdict

from raygrad.data import Subject
from raygrad.drr import DRR
from raygrad.evaluation import evaluate
from raygrad.landscape import compute_landscape
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d
from raygrad.pose import convert

ITERATIONS = 100

SPARSE = range(1, 13)
SPARSE_HELP = f"every N-th image and iteration of the tasks, up to {SPARSE[-1]}, to try them out"
"""The option of `gpu.py` too."""


@dataclass(frozen=True)
class Task:
    """A task's times, and what is to be reached.

    Attributes:
        seconds: wall time of every run, but for the first.
        result: what it came to, in a few words: a fast wrong answer is none.
        at_least, aim: seconds.
        whole: all of it was run, so that it can be held against them.
    """

    what: str
    seconds: tuple[float, ...]
    result: str
    at_least: float
    aim: float
    whole: bool = True


def run_tasks(subject: Subject, device: torch.device, repeats: int = 5, sparse: int = 1) -> list[Task]:
    """Time all three; `sparse` above 1 takes every so many-th image and iteration only, to try the code out."""
    tasks = []
    for run in (_registration, _landscape, _landscape_one_by_one, _adam):
        try:
            tasks.append(run(subject, device, repeats, sparse))
        except Exception as error:  # the others, and the renders after them, go on
            tasks.append(Task(run.__name__.strip("_"), (), f"{type(error).__name__}: {error}", nan, nan, whole=False))
    return tasks


def tasks_table(tasks: list[Task]) -> str:
    """All tasks in Markdown."""
    lines = ["| task | median, s | runs | at least | aim | | result |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for task in tasks:
        seconds = median(task.seconds) if task.seconds else nan
        said = verdict(seconds, task.at_least, task.aim, small=True) if task.whole else "not all was run"
        lines.append(
            f"| {task.what} | {seconds:.4g} | {len(task.seconds)} | {task.at_least:g} | {task.aim:g} | {said} "
            f"| {task.result} |"
        )
    return "\n".join(lines)


def _registration(subject: Subject, device: torch.device, repeats: int, sparse: int) -> Task:
    """The clean condition of `registration.py`, AP, from its first starts."""
    rows = list(evaluate(subject, "a", ["ap"], repeats + 1, 20, 30, solver=OnDevice("register", device)))[1:]
    good = sum(row.success for row in rows)
    return Task(
        "one registration, clean, AP, from within 20 deg and 30 mm",
        tuple(row.seconds for row in rows),
        f"{good} of {len(rows)} below 0.1 mm, median {median(row.mtre for row in rows):.2g} mm",
        at_least=0.1,
        aim=0.02,
    )


def _landscape(subject: Subject, device: torch.device, repeats: int, sparse: int) -> Task:
    """The first seed's 2816 images by `compute_landscape`."""
    drr = _make_drr(subject, device)
    pose = _seed_pose(device)
    shifts, wide, narrow = _seed_deviations(sparse)
    ranges = dict.fromkeys(("x", "y", "z"), shifts) | {"alpha": wide, "beta": wide, "gamma": narrow}

    def run() -> float:
        landscape = compute_landscape(drr, *pose, parameterization="euler_angles", convention="ZYX", ranges=ranges)
        return min(float(piece.loss.min()) for piece in landscape.slices)

    seconds, lowest = _time(run, repeats)
    count = 3 * len(shifts) ** 2 + len(wide) ** 2 + 2 * len(wide) * len(narrow)
    result = f"lowest loss {lowest:.4f}"
    return Task(f"the landscape of {count} images, by compute_landscape", seconds, result, 2.0, 0.5, sparse == 1)


def _landscape_one_by_one(subject: Subject, device: torch.device, repeats: int, sparse: int) -> Task:
    """The same images word for word as the first seed asks for them: one call, one score to the host, each."""
    drr = _make_drr(subject, device)
    criterion = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5])
    rotation, translation = _seed_pose(device)
    shifts, wide, narrow = _seed_deviations(sparse)
    axes = [(3, shifts, 4, shifts), (3, shifts, 5, shifts), (4, shifts, 5, shifts)]
    axes += [(0, wide, 1, wide), (0, wide, 2, narrow), (1, wide, 2, narrow)]

    def render(numbers: list[float]) -> torch.Tensor:
        rotations = torch.tensor([numbers[:3]], device=device)
        translations = torch.tensor([numbers[3:]], device=device)
        return drr(rotations, translations, parameterization="euler_angles", convention="ZYX")

    def run() -> float:
        truth = [*rotation[0].tolist(), *translation[0].tolist()]
        target = render(truth)
        scores = []
        for first, moves, second, others in axes:
            for move in moves.tolist():
                for other in others.tolist():
                    numbers = list(truth)
                    numbers[first] += move
                    numbers[second] += other
                    scores.append(criterion(target, render(numbers)).item())
        return max(scores)

    # Long, and its own repetition thousands of times over.
    seconds, best = _time(run, min(repeats, 2))
    what = "the same, image by image as the first seed has it"
    return Task(what, seconds, f"highest score {best:.4f}", 2.0, 0.5, sparse == 1)


def _adam(subject: Subject, device: torch.device, repeats: int, sparse: int) -> Task:
    """The second seed: a volume from one X-ray, 100 iterations, without its pictures."""
    drr = _make_drr(subject, device)
    rotation, translation = _seed_pose(device)
    with torch.no_grad():
        wanted = drr(rotation, translation, parameterization="euler_angles", convention="ZXY")
        wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    pose = convert(rotation, translation, parameterization="euler_angles", convention="ZXY")

    def run() -> float:
        density = torch.nn.Parameter(torch.zeros(*subject.volume.spatial_shape, device=device))
        optimiser = torch.optim.Adam([density], lr=1e-3)
        criterion = torch.nn.MSELoss()
        losses = []
        for _ in range(ITERATIONS // sparse):
            optimiser.zero_grad()
            source, target = drr.detector(pose, None)
            image = drr.reshape_transform(drr.render(density, source, target), batch_size=len(pose))
            loss = criterion(image, wanted)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses[-1] / losses[0]

    seconds, left = _time(run, repeats)
    what = f"the second seed, {ITERATIONS // sparse} iterations of Adam"
    return Task(what, seconds, f"{left:.2g} of the loss is left", 1.5, 0.4, sparse == 1)


def _make_drr(subject: Subject, device: torch.device) -> DRR:
    return DRR(subject, sdd=1020.0, height=200, delx=2.0).to(device)


def _seed_pose(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(1, 3, device=device), torch.tensor([[0.0, 850.0, 0.0]], device=device)


def _seed_deviations(sparse: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of every translation in mm; of the first two angles and of the third in radians."""
    shifts = torch.arange(-15.0, 16.0, step=2 * sparse)
    wide = torch.arange(-torch.pi / 4, torch.pi / 4, step=0.05 * sparse)
    narrow = torch.arange(-torch.pi / 8, torch.pi / 8, step=0.05 * sparse)
    return shifts, wide, narrow


def _time(run: Callable[[], float], repeats: int) -> tuple[tuple[float, ...], float]:
    """Wall seconds of every run but the first, and what the last returned: a number on the host, so all is done."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        value = run()
        seconds.append(time.perf_counter() - start)
    return tuple(seconds[1:]), value


def main() -> None:
    """Run the tasks and print their table."""
    parser = argparse.ArgumentParser(description="Times three whole tasks on a device (see benchmarks/README.md).")
    parser.add_argument("--device", default="cuda", help="cpu, cuda or xpu (default: cuda)")
    parser.add_argument("--repeats", type=int, default=5, help="runs after the first (default: 5)")
    parser.add_argument("--sparse", type=int, choices=SPARSE, default=1, metavar="N", help=SPARSE_HELP)
    options = parser.parse_args()
    device = require_device(options.device)
    from scene import load_subject

    subject, what = load_subject()
    print(f"{what}\n{name_of(device)}; {software_of(device)}\n")
    print(tasks_table(run_tasks(subject, device, options.repeats, options.sparse)))


if __name__ == "__main__":
    main()
