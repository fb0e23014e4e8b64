"""What a reconstruction will take, before it begins."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch

from raygrad.projector import Projector
from raygrad.reconstruction._solver import Solver

# Volumes and stacks of images that a method holds at its peak, beside the images that it is given: what the peaks in
# benchmarks/results/reconstruction.csv (256^3 voxels, 64 views) come to, rounded up. Adam's are counted, not measured.
HELD = {
    "fdk": (1.0, 1.0),
    "sirt": (5.5, 3.0),
    "os_sart": (5.0, 2.0),
    "cgls": (5.0, 2.5),
    "osem": (5.0, 2.0),
    "tv": (14.0, 2.0),
    "adam": (6.0, 3.0),
}
_BYTES_PER_RAY = 2 * 3 * 4  # its target, and as much again while it is made; in float32


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        memory: peak in bytes, the images that are given included.
        available: bytes that this machine, or its GPU, can give; None if it does not say.
        seconds_per_iteration: by a trial of a few views; None without one.
        iterations: how many are asked for.
    """

    memory: int
    available: int | None
    seconds_per_iteration: float | None
    iterations: int

    @property
    def seconds(self) -> float | None:
        """Of all iterations."""
        return None if self.seconds_per_iteration is None else self.seconds_per_iteration * self.iterations

    def __str__(self) -> str:
        """One line for people."""
        memory = f"about {_size(self.memory)} of memory"
        if self.available is not None:
            memory += f" (of {_size(self.available)} available)"
        if self.seconds is None or self.seconds_per_iteration is None:
            return memory
        several = f": {self.iterations} iterations of {_duration(self.seconds_per_iteration)}"
        return f"{memory}, about {_duration(self.seconds)}{several * (self.iterations > 1)}"


def estimate(
    projector: Projector, method: str, iterations: int | None = None, *, trial: bool = True, processes: int = 1
) -> Estimate:
    """Estimate memory, and by the trial of a few views time.

    Args:
        projector: for which views and which volume; on the device of the views.
        method: an algorithm of `raygrad.reconstruct`.
        iterations: how many, each of one projection and one back projection of all views; by default the method's own
            number.
        trial: project a few views to know the time; it allocates two volumes.
        processes: how many will share the views, and so the time.
    """
    iterations = default_iterations(method) if iterations is None else iterations
    itemsize = projector.views.parameters()[0].element_size()
    volumes, stacks = HELD[method]
    views, rows, columns = projector.range_shape
    rays_at_once = max(rows * columns, min(projector.rays_at_once, views * rows * columns))
    memory = int(
        itemsize * (volumes * projector.volume_geometry.n_voxels + (1 + stacks) * views * rows * columns)
        + itemsize * _BYTES_PER_RAY // 4 * rays_at_once
    )
    device = projector.views.device
    available = available_memory() if device.type == "cpu" else available_memory_of_gpu(device)
    return Estimate(memory, available, _try_out(projector) / processes if trial else None, iterations)


def default_iterations(method: str) -> int:
    """How many iterations a method makes unless it is told; 1 for fdk, which makes none."""
    return next((kind.default_iterations for kind in Solver.__subclasses__() if kind.name == method), 1)


def check_memory(projector: Projector, method: str) -> None:
    """See that a reconstruction fits.

    Raises:
        MemoryError: it needs more than there is; says how much, and what to lower.
    """
    wanted = estimate(projector, method, trial=False)
    if wanted.available is not None and wanted.memory > wanted.available:
        shape = " x ".join(map(str, projector.domain_shape))
        raise MemoryError(
            f"Expected a reconstruction that fits into memory. {method} of {shape} voxels from {projector.range_shape} "
            f"pixels takes {wanted}: take larger voxels (volume_geometry.coarser(2) needs an eighth), fewer pixels, or "
            "a method that holds fewer volumes (fdk)."
        )


def available_memory_of_gpu(device: torch.device) -> int | None:
    """Bytes that are free on a GPU, and those that torch keeps there for later; None where torch does not say."""
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def available_memory() -> int | None:
    """Bytes that this process can still get, within its control group's limit; None where the system does not say."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        available = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        available = min(available, limit - used)
    except (OSError, ValueError):
        pass  # no control group, or one without a limit ("max")
    return available


@torch.no_grad()
def _try_out(projector: Projector) -> float:
    """Seconds for all views there and back: a fixed part and one that grows with the views, from 1 and 4 of them."""
    n_views = len(projector.views)
    volume = projector.zeros() + 1

    def seconds(count: int) -> float:
        chosen = torch.linspace(0, n_views - 1, count).round().long()
        few = projector[chosen]
        began = time.perf_counter()
        few.T(few(volume)).flatten()[0].item()  # a GPU has done it only when it can be read
        return time.perf_counter() - began

    seconds(1)  # threads start, memory is touched
    one = seconds(1)
    if n_views < 4:
        return one * n_views
    four = seconds(4)
    per_view = max((four - one) / 3, 0.0)
    return one + per_view * (n_views - 1)


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
