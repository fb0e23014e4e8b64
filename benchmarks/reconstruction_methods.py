"""The methods that are compared: raygrad's, and ITK-RTK's of the same kind with as many passes over the data."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from peers import rtk_reconstruction as rtk
from reconstruction_cases import PHOTONS, Case
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction import METHODS

Run = Callable[[], tuple[Tensor, list[float]]]
"""Returns the voxels (x, y, z), and the seconds from the start to the end of each iteration."""


@dataclass(frozen=True)
class Outcome:
    """A reconstruction and what it took."""

    volume: Tensor
    seconds: float
    """Wall time, with what is worked out before the first iteration, without the making of rays or ITK images."""
    seconds_each: float | None
    """Wall time of an iteration after the first, the mean; None if there was but one."""
    processor_seconds: float
    """Of all threads together: what other users of the machine inflate least."""


@dataclass(frozen=True)
class Method:
    """One algorithm of one package.

    Attributes:
        iterations: passes over all views; 1 for what is direct.
        prepare: makes the run from a case, its images, and the number of iterations. What it does is not timed.
        available: None when it can run here, else the reason why not.
    """

    name: str
    iterations: int
    prepare: Callable[[Case, Tensor, int], Run]
    available: Callable[[], str | None]

    def __call__(self, case: Case, images: Tensor, iterations: int | None = None) -> Outcome:
        """Reconstruct once."""
        run = self.prepare(case, images, iterations or self.iterations)
        began, processor_began = time.perf_counter(), time.process_time()
        volume, ends = run()
        seconds, processor = time.perf_counter() - began, time.process_time() - processor_began
        each = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
        return Outcome(volume, seconds, each, processor)


def methods() -> list[Method]:
    """Every method there is an adapter for, RTK's after raygrad's of the same kind."""
    return [
        _raygrad("fdk", 1),
        _rtk("RTK fdk", 1, lambda problem, _: rtk.fdk(problem)),
        _raygrad("sirt", 20),
        _raygrad("os_sart", 4),
        _rtk("RTK sart", 4, rtk.sart),
        _raygrad("cgls", 10),
        _rtk("RTK cg voxel-based", 10, partial(rtk.conjugate_gradient, back_projector=rtk.VOXEL_BASED)),
        _rtk("RTK cg joseph", 10, partial(rtk.conjugate_gradient, back_projector=rtk.MATCHED)),
        _raygrad("osem", 4, photons=PHOTONS),
        _raygrad("tv", 24),
        _raygrad("adam", 10, learning_rate=2e-3, n_subsets=8, nonnegative=True),
    ]


def _raygrad(name: str, iterations: int, **settings: Any) -> Method:
    def prepare(case: Case, images: Tensor, iterations: int) -> Run:
        projector = Projector(case.geometry, case.views, "joseph")
        reconstruct = METHODS[name](**settings)
        control = {} if reconstruct.default_iterations is None else {"iterations": iterations}

        def run() -> tuple[Tensor, list[float]]:
            result = reconstruct(projector, images, **control)
            return result.volume, [iteration.seconds for iteration in result.history]

        return run

    return Method(f"raygrad {name}", iterations, prepare, lambda: None)


def _rtk(name: str, iterations: int, make: Callable[[rtk.RTKProblem, int], Any]) -> Method:
    def prepare(case: Case, images: Tensor, iterations: int) -> Run:
        reconstruct = make(rtk.RTKProblem(images, case.views, case.size), iterations)
        return lambda: rtk.run(reconstruct)

    return Method(name, iterations, prepare, rtk.available)
