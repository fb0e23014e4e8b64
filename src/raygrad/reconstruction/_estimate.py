"""What a reconstruction will take, before it begins."""

import math
import time
from dataclasses import dataclass

import torch

from raygrad._memory import available_memory, size_in_words
from raygrad._processes import Processes
from raygrad.projector import Projector
from raygrad.reconstruction._method import Method
from raygrad.reconstruction._options import find_method

_BYTES_PER_RAY = 2 * 3 * 4  # its target, and as much again while it is made; in float32


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        memory: peak in bytes of each process, its images included.
        available: bytes that this machine, or its GPU, can give each process; None if it does not say.
        seconds_per_iteration: by a trial of a few views; None without one.
        iterations: how many are asked for.
        method: the method's name.
        processes: how many share the views.
    """

    memory: int
    available: int | None
    seconds_per_iteration: float | None
    iterations: int
    method: str
    processes: int = 1

    @property
    def seconds(self) -> float | None:
        """Of all iterations."""
        return None if self.seconds_per_iteration is None else self.seconds_per_iteration * self.iterations

    @property
    def fits(self) -> bool:
        """Whether there is as much memory, as far as anybody says."""
        return self.available is None or self.memory <= self.available

    @property
    def needs(self) -> str:
        """Memory and time, for people."""
        memory = f"about {size_in_words(self.memory)} of memory{' each' * (self.processes > 1)}"
        if self.available is not None:
            memory += f" (of {size_in_words(self.available)} available)"
        if self.seconds is None or self.seconds_per_iteration is None:
            return memory
        several = f": {self.iterations} iterations of {_duration(self.seconds_per_iteration)}"
        return f"{memory}, about {_duration(self.seconds)}{several * (self.iterations > 1)}"

    def __str__(self) -> str:
        """One line for people."""
        shared = "" if self.processes == 1 else f", shared by {self.processes} processes"
        return f"{self.method}{shared}: {self.needs}"


def estimate(
    projector: Projector,
    method: Method | str,
    iterations: int | None = None,
    *,
    trial: bool = True,
    processes: Processes | None = None,
) -> Estimate:
    """Estimate memory, and by the trial of a few views time.

    Args:
        projector: for which views, all of them, and which volume; on the device that will compute.
        method: a method of `raygrad.reconstruction`, or the name of one.
        iterations: how many, each of one projection and one back projection of all views; by default the method's own
            number.
        trial: project a few views to know the time; it allocates two volumes.
        processes: those that will share the views: each holds whole volumes, and its part of the images. Those of one
            machine share its memory.
    """
    processes = Processes() if processes is None else processes
    kind = find_method(method) if isinstance(method, str) else type(method)
    iterations = (kind.default_iterations or 1) if iterations is None else iterations
    itemsize = projector.views.parameters()[0].element_size()
    views, rows, columns = projector.range_shape
    images = math.ceil(views / processes.count) * rows * columns
    stacks = kind.held.stacks + (2.0 if projector.mask is not None else 0.0)  # without what the mask hides, and A.T's
    rays_at_once = max(rows * columns, min(projector.rays_at_once, images))
    memory = int(
        itemsize * (kind.held.volumes * projector.volume_geometry.n_voxels + (1 + stacks) * images)
        + itemsize * _BYTES_PER_RAY // 4 * rays_at_once
    )
    seconds = _try_out(projector) / processes.count if trial else None
    available = _available(projector.views.device, processes)
    return Estimate(memory, available, seconds, iterations, kind.name, processes.count)


def check_memory(projector: Projector, method: Method | str, processes: Processes | None = None) -> None:
    """See that a reconstruction fits.

    Raises:
        MemoryError: it needs more than there is; says how much, and what to lower.
    """
    wanted = estimate(projector, method, trial=False, processes=processes)
    if not wanted.fits:
        shape = " x ".join(map(str, projector.domain_shape))
        raise MemoryError(
            f"Expected a reconstruction that fits into memory. {wanted.method} of {shape} voxels from "
            f"{projector.range_shape} pixels takes {wanted.needs}: take larger voxels (twice as large take an eighth), "
            "a smaller grid, fewer pixels, or a method that holds fewer volumes (fdk)."
        )


def _available(device: torch.device, processes: Processes) -> int | None:
    if device.type != "cpu":
        return available_memory_of_gpu(device)
    available = available_memory()
    return None if available is None else available // processes.on_this_machine


def available_memory_of_gpu(device: torch.device) -> int | None:
    """Bytes that are free on a GPU, and those that torch keeps there for later; None where torch does not say."""
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


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


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
