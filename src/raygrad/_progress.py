"""How a run ended, and what its callbacks, traces and histories are made of: the same for every method."""

from dataclasses import dataclass
from enum import Enum

from raygrad.pose import RigidTransform
from raygrad.types import Scores


class Status(str, Enum):
    """How a run ended."""

    CONVERGED = "converged"
    """Of a registration: no step that still matters lowers the cost, and the images match. Of a reconstruction: the
    volume changed less than was asked for."""
    FITTED = "fitted"
    """The residual of a reconstruction fell to what was asked for."""
    DIRECT = "direct"
    """Computed in one pass, not by iterations."""
    STALLED = "stalled"
    """No step lowers the cost, though its gradient says that one should."""
    OUT_OF_ITERATIONS = "ran out of iterations"
    """It was still moving when the last iteration was spent."""
    STOPPED = "stopped"
    """The callback ended it."""
    AMBIGUOUS = "ambiguous"
    """Another pose, clearly apart from this one, matches as well; or the image leaves a direction undetermined."""
    INCONSISTENT = "inconsistent"
    """The images match, but halves of them tell poses clearly apart: something moved within the patient (breathing), or
    the geometry or the patient is another."""
    NO_MATCH = "no match"
    """It came to rest where the images do not match: the start was outside the capture range, or the X-ray does not
    show this CT."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Iteration:
    """One iteration, as callbacks get it and traces and histories keep it; None for what a method does not know.

    Attributes:
        number: of the iteration within its stage: from 0, which is where the stage began, in a registration; from 1 in
            a reconstruction.
        seconds: time since the run began; with a checkpoint, of all its runs.
        stage: the number of the stage, from 0: stages go from coarse images to fine ones.
        pixels: rows and columns of the images at this stage.
        pose: every start's pose after this iteration (of the first view).
        score: every start's similarity after this iteration (start,), higher is more alike; scores of different
            stages measure different things.
        damping: Levenberg and Marquardt's damping of every start (start,).
        residual: |A x - b| / |b| as the method knows it without another projection: of the volume that the iteration
            began with, or, where the method carries the residual along (cgls), ended with.
        change: |x - x before| / |x| of a volume.
        objective: what the method minimises, if it is more than the residual.
        step_mm: the longest step of a view's geometry: its translation, or the arc at the volume's edge.
    """

    number: int
    seconds: float
    stage: int = 0
    pixels: tuple[int, int] | None = None
    pose: RigidTransform | None = None
    score: Scores | None = None
    damping: Scores | None = None
    residual: float | None = None
    change: float | None = None
    objective: float | None = None
    step_mm: float | None = None
