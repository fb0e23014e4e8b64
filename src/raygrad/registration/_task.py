"""What a method of registration is given: X-rays, what is to be found, and who watches."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raygrad._progress import Iteration
from raygrad.geometry import UnknownGeometry
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.bodies import Structures
from raygrad.registration._problem.model import Models
from raygrad.registration._progress import Callback


def _go_on(iteration: Iteration) -> None:
    """Watch nothing, and end nothing."""


@dataclass(frozen=True, eq=False)
class Task:
    """X-rays whose poses are to be found; everything in it has been checked.

    Attributes:
        xrays: one or more, each with its camera, its weights and its starts.
        structures: names and labels of what moves by itself.
        unknowns: what of the geometry is unknown beside the poses, and how well it is known.
        seed: of random numbers.
        watch: to be called after every iteration; True ends the run.
        began: when the run began, by `time.perf_counter`.
        models: what the X-rays show, of a scene; None where each has a DRR, which says so.
        rigid: labels of what the poses are of; none for the patient as a whole.
        estimate: what of the X-rays' physics is to be found, and how well it is known: standard deviations by name.
    """

    xrays: tuple[PreparedXRay, ...]
    structures: Structures = field(default_factory=dict)
    unknowns: UnknownGeometry = field(default_factory=UnknownGeometry)
    seed: int = 0
    watch: Callback = _go_on
    began: float = field(default_factory=time.perf_counter)
    models: Models | None = None
    rigid: Sequence[int] = ()
    estimate: Mapping[str, float] = field(default_factory=dict)
