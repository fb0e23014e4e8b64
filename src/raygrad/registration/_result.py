"""What a registration found, how it got there, and how far it can be trusted."""

import csv
from dataclasses import dataclass, field, replace
from enum import Enum
from os import PathLike

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.pose import RigidTransform
from raygrad.types import Scores

AXES = ("x", "y", "depth", "about x", "about y", "about depth")
"""The six motions of a camera: along and about its own axes, of which the third is the beam."""


class Status(str, Enum):
    """How a registration ended. Only `CONVERGED` is a success."""

    CONVERGED = "converged"
    """No step that still matters lowers the cost, and the images match."""
    STALLED = "stalled"
    """No step lowers the cost, though its gradient says that one should."""
    OUT_OF_ITERATIONS = "ran out of iterations"
    """The pose was still moving when the last iteration was spent."""
    AMBIGUOUS = "ambiguous"
    """Another pose, clearly apart from this one, matches as well; or the image leaves a direction undetermined."""
    NO_MATCH = "no match"
    """It came to rest where the images do not match: the start was outside the capture range, or the X-ray does not
    show this CT."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Iteration:
    """One iteration of all starts together, as callbacks and the trace get it.

    Attributes:
        stage: the number of the stage, from 0: stages go from coarse images to fine ones.
        number: the number of the iteration within its stage, from 0, which is where the stage began.
        pixels: rows and columns of the images at this stage.
        pose: every start's pose after this iteration (of the first view).
        score: every start's similarity after this iteration (start,), higher is more alike; scores of different
            stages measure different things.
        damping: Levenberg and Marquardt's damping of every start (start,), None for other methods.
        seconds: time since the registration began.
    """

    stage: int
    number: int
    pixels: tuple[int, int]
    pose: RigidTransform
    score: Scores
    damping: Scores | None
    seconds: float


@dataclass(frozen=True)
class Uncertainty:
    """How well the image determines the pose, of every start.

    Motions are small: a translation in mm along, and a rotation in radians about, the axes of the (first) camera
    through the CT's isocentre, in the order of `AXES`.

    Attributes:
        covariance: of the six motions (start, 6, 6), in float64 on the CPU.
        radius: what makes rotations comparable to translations: mm that a radian moves a typical point of the CT.
    """

    covariance: Float[Tensor, "start 6 6"]
    radius: float

    @property
    def standard_deviations(self) -> Float[Tensor, "start 6"]:
        """Of each motion by itself: mm for the first three, radians for the others."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()

    def weakest(self, start: int = 0) -> tuple[Float[Tensor, " 6"], float]:
        """The motion that the image determines least, rotations in mm at `radius`, and its standard deviation in mm.

        The motion has length 1 and its largest component is positive.
        """
        scale = torch.tensor([1.0] * 3 + [self.radius] * 3).to(self.covariance)
        variances, motions = torch.linalg.eigh(self.covariance[start] * scale[:, None] * scale)
        motion = motions[:, -1]
        return motion * motion[motion.abs().argmax()].sign(), variances[-1].clamp_min(0).sqrt().item()


@dataclass(frozen=True)
class RegistrationResult:
    """Where the X-rays were taken from, of every start.

    Attributes:
        poses: camera_to_world of every view, each with one pose per start; `pose` is the first view's.
        score: similarity at the end (start,): the correlation of what the last stage compares, at most 1.
        status: how each start ended.
        trace: all iterations, in order.
        seconds: wall time.
        uncertainty: how well the images determine the pose; None for methods that do not say.
        intrinsics: of every view, the calibrated quantities (start,) by the names of `DRR`'s arguments; empty where
            nothing was calibrated.
        structures: the poses of every view for each structure that moved by itself, by its name.
    """

    poses: tuple[RigidTransform, ...]
    score: Scores
    status: tuple[Status, ...]
    trace: tuple[Iteration, ...]
    seconds: float
    uncertainty: Uncertainty | None = None
    intrinsics: tuple[dict[str, Tensor], ...] = ()
    structures: dict[str, tuple[RigidTransform, ...]] = field(default_factory=dict)

    @property
    def pose(self) -> RigidTransform:
        """The first view's pose of every start."""
        return self.poses[0]

    @property
    def converged(self) -> Bool[Tensor, " start"]:
        """Which starts succeeded."""
        return torch.tensor([status is Status.CONVERGED for status in self.status])

    @property
    def best(self) -> int:
        """The start with the highest score among those that converged, or among all if none did."""
        score = self.score.cpu()
        converged = self.converged
        return int((score.masked_fill(~converged, -torch.inf) if converged.any() else score).argmax())

    def only(self, start: int) -> "RegistrationResult":
        """The result of one start alone; the trace stays whole."""
        one = slice(start, start + 1)
        uncertainty = self.uncertainty
        return replace(
            self,
            poses=tuple(RigidTransform(pose[one]) for pose in self.poses),
            score=self.score[one],
            status=self.status[one],
            uncertainty=uncertainty and Uncertainty(uncertainty.covariance[one], uncertainty.radius),
            intrinsics=tuple({name: values[one] for name, values in view.items()} for view in self.intrinsics),
            structures={n: tuple(RigidTransform(p[one]) for p in poses) for n, poses in self.structures.items()},
        )

    def summary(self, start: int | None = None) -> str:
        """A start's outcome in a few lines, by default that of the best."""
        start = self.best if start is None else start
        lines = [f"{self.status[start]}, score {self.score[start].item():.4f}, {self.seconds:.2f} s"]
        if self.uncertainty is not None:
            deviations = self.uncertainty.standard_deviations[start].tolist()
            across, depth = max(deviations[:2]), deviations[2]
            turn = torch.rad2deg(torch.tensor(max(deviations[3:]))).item()
            lines.append(f"standard deviation {across:.2g} mm in plane, {depth:.2g} mm in depth, {turn:.2g} degrees")
            motion, deviation = self.uncertainty.weakest(start)
            lines.append(f"least determined: {_describe(motion)} ({deviation:.2g} mm)")
        return "\n".join(lines)

    def save_trace(self, path: str | PathLike) -> None:
        """Write the trace as CSV: a row for each iteration and start; poses as camera_to_world, row by row.

        Raises:
            OSError: the file cannot be written.
        """
        matrix = [f"m{row}{column}" for row in range(3) for column in range(4)]
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["stage", "iteration", "start", "rows", "columns", "score", "damping", "seconds", *matrix])
            for it in self.trace:
                for start, (score, pose) in enumerate(zip(it.score.tolist(), it.pose.matrix[:, :3], strict=True)):
                    damping = "" if it.damping is None else f"{it.damping[start].item():.6g}"
                    head = [it.stage, it.number, start, *it.pixels, f"{score:.8g}", damping, f"{it.seconds:.6f}"]
                    writer.writerow([*head, *(f"{value:.9g}" for value in pose.flatten().tolist())])

    def __repr__(self) -> str:
        ends = ", ".join(f"{self.status.count(status)} {status}" for status in Status if status in self.status)
        return f"RegistrationResult({len(self.status)} start(s): {ends}; {self.seconds:.2f} s)"


def _describe(motion: Tensor) -> str:
    """The parts of a motion that make up most of it, such as 'depth' or 'x with about y'."""
    parts = sorted(zip(motion.abs().tolist(), AXES, strict=True), reverse=True)
    return " with ".join(name for size, name in parts if size > 0.4)
