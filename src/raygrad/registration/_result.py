"""What a registration found, how it got there, and how far it can be trusted."""

import csv
import math
from dataclasses import dataclass, field, replace
from enum import Enum
from os import PathLike
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._progress import Iteration, Status
from raygrad.pose import RigidTransform
from raygrad.types import Scores


class BodyStatus(str, Enum):
    """How it ended for one body of several."""

    CONVERGED = "converged"
    """The registration converged, and the images determine where the body is."""
    NOT_CONVERGED = "not converged"
    """The registration did not, or other poses match as well: see its own status."""
    UNDETERMINED = "undetermined"
    """The images leave a direction of it undetermined."""
    NOT_SEEN = "not seen"
    """No pixel that counts changes when it moves: it is outside the beam, hidden, or inside another body."""
    FIXED = "fixed"
    """It was not to move, in the world or against its parent."""

    def __str__(self) -> str:
        return self.value


AXES = ("x", "y", "depth", "about x", "about y", "about depth")
"""The six motions of a camera: along and about its own axes, of which the third is the beam."""
UNSEEN_MM = 1e6
"""The standard deviation of a depth that no image tells."""


@dataclass(frozen=True)
class Uncertainty:
    """How well the image determines the pose, of every start.

    Motions are small: a translation in mm along, and a rotation in radians about, the axes of the (first) camera
    through the CT's isocentre, or through a body's own middle, in the order of `AXES`.

    Attributes:
        covariance: of the six motions (start, 6, 6), in float64 on the CPU. Infinite where nothing is seen.
        radius: what makes rotations comparable to translations: mm that a radian moves a typical point of the CT.
    """

    covariance: Float[Tensor, "start 6 6"]
    radius: float

    @property
    def standard_deviations(self) -> Float[Tensor, "start 6"]:
        """Of each motion by itself: mm for the first three, radians for the others."""
        return self.covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()

    def without_depth(self) -> "Uncertainty":
        """The same of images that do not tell the third motion, along the beam, at all."""
        covariance = self.covariance.clone()
        covariance[:, 2], covariance[:, :, 2] = 0.0, 0.0
        covariance[:, 2, 2] = UNSEEN_MM**2
        return Uncertainty(covariance, self.radius)

    def weakest(self, start: int = 0) -> tuple[Float[Tensor, " 6"], float]:
        """The motion that the image determines least, rotations in mm at `radius`, and its standard deviation in mm.

        The motion has length 1 and its largest component is positive.
        """
        scale = torch.tensor([1.0] * 3 + [self.radius] * 3).to(self.covariance)
        if not self.covariance[start].isfinite().all():
            least = self.covariance[start].diagonal().argmax()
            return torch.eye(6).to(scale)[least], math.inf
        variances, motions = torch.linalg.eigh(self.covariance[start] * scale[:, None] * scale)
        motion = motions[:, -1]
        return motion * motion[motion.abs().argmax()].sign(), variances[-1].clamp_min(0).sqrt().item()


HALVES = ("upper", "lower", "left", "right")
"""Of the image as it is shown: row 0 is above, column 0 at the left."""


@dataclass(frozen=True)
class Halves:
    """Whether halves of the image tell the same pose as the whole, of every start that converged.

    Attributes:
        mm: how far each of `HALVES` alone, of all views together, moves the CT, or the main body of a scene, across the
            rays, on average (start, 4), on the CPU. NaN for starts that did not converge, and for halves that see too
            little.
    """

    mm: Float[Tensor, "start half"]

    def worst(self, start: int = 0) -> tuple[str, float] | None:
        """The half that disagrees most with the whole image, and by how many mm; None if no half could be asked.

        Args:
            start: of which start.
        """
        known = {name: mm for name, mm in zip(HALVES, self.mm[start].tolist(), strict=True) if math.isfinite(mm)}
        return max(known.items(), key=lambda half: half[1]) if known else None


@dataclass(frozen=True)
class BodyResult:
    """Where one body of several is, of every start.

    Attributes:
        poses: camera_to_body of every view, each with one pose per start: what `RegistrationResult.poses` are of the
            main body.
        body_to_world: where it is, one per start: of a scene in the world that the views were given in, of a structure
            in the CT's world.
        status: what became of it at each start.
        uncertainty: of its motions about its own middle, whatever else was found beside it; without what is unseen.
            None for what stands still in the world.
        joint: the values of its joint (start, value), as the joint counts them; none for bodies that move freely.
        joint_deviations: the standard deviations of these.
        unseen: twists [v | w] in its own frame that change no image, and were not looked for (twist, 6): of a wire
            the turn about its own axis.
    """

    poses: tuple[RigidTransform, ...]
    body_to_world: RigidTransform
    status: tuple[BodyStatus, ...]
    uncertainty: Uncertainty | None
    joint: Float[Tensor, "start value"]
    joint_deviations: Float[Tensor, "start value"]
    unseen: Float[Tensor, "twist 6"]

    def relative_to(self, other: "BodyResult") -> RigidTransform:
        """The map from this body's frame to another's, of every start: a cup in the pelvis.

        Args:
            other: of the same result.
        """
        return self.body_to_world.compose(other.body_to_world.inverse())

    def only(self, start: int) -> "BodyResult":
        """The result of one start alone.

        Args:
            start: its number.
        """
        one = slice(start, start + 1)
        uncertainty = self.uncertainty
        return BodyResult(
            tuple(RigidTransform(pose[one]) for pose in self.poses),
            RigidTransform(self.body_to_world[one]),
            self.status[one],
            uncertainty and Uncertainty(uncertainty.covariance[one], uncertainty.radius),
            self.joint[one],
            self.joint_deviations[one],
            self.unseen,
        )

    def summary(self, start: int = 0) -> str:
        """What became of it, in one line.

        Args:
            start: of which start.
        """
        parts = [str(self.status[start])]
        if self.uncertainty is not None and self.status[start] is not BodyStatus.NOT_SEEN:
            parts.append(_precision(self.uncertainty, start))
        if self.joint.shape[1]:
            pairs = zip(self.joint[start].tolist(), self.joint_deviations[start].tolist(), strict=True)
            parts.append("joint " + ", ".join(f"{value:.5g} +- {deviation:.2g}" for value, deviation in pairs))
        if len(self.unseen):
            parts.append(f"{len(self.unseen)} motion(s) not looked for, which no image shows")
        return "; ".join(parts)

    def outcome(self, start: int = 0) -> dict[str, Any]:
        """What became of it, in numbers and texts; poses row by row.

        Args:
            start: of which start.
        """
        outcome: dict[str, Any] = {
            "status": str(self.status[start]),
            "poses": [_rows(pose.matrix[start]) for pose in self.poses],
            "body_to_world": _rows(self.body_to_world.matrix[start]),
        }
        if self.uncertainty is not None:
            outcome["standard_deviations"] = _deviations(self.uncertainty, start, "the body's own middle")
        if self.joint.shape[1]:
            outcome["joint"] = [_finite(value) for value in self.joint[start].tolist()]
            outcome["joint_deviations"] = [_finite(value) for value in self.joint_deviations[start].tolist()]
        if len(self.unseen):
            outcome["unseen"] = [[_finite(value) for value in twist] for twist in self.unseen.tolist()]
        return outcome


@dataclass(frozen=True)
class RegistrationResult:
    """Where the X-rays were taken from, of every start.

    Attributes:
        poses: camera_to_world of every view, each with one pose per start; `pose` is the first view's. Of a scene they
            are in the frame of its main body, the largest of those that move: for a CT that is its world.
        score: similarity at the end (start,): the correlation of what the last stage compares, at most 1, or what the
            user's own metric says.
        status: how each start ended.
        trace: all iterations, in order.
        seconds: wall time.
        uncertainty: how well the images determine the pose; None for methods that do not say.
        intrinsics: of every view, those that were unknown (start,) by the names of `DRR`'s arguments; empty where all
            were known.
        structures: the poses of every view for each structure that moved by itself, by its name.
        bodies: what became of each body of a scene, or of each structure, by its name.
        halves: whether halves of the image agree; None for methods that do not ask, and where no start converged.
        responses: what each view's X-ray shows of line integrals: "name", and the numbers that were fitted to every
            start, "exponent" (start,) or the knots' "spacing" and "values" of a curve; empty for methods without.
    """

    poses: tuple[RigidTransform, ...]
    score: Scores
    status: tuple[Status, ...]
    trace: tuple[Iteration, ...]
    seconds: float
    uncertainty: Uncertainty | None = None
    intrinsics: tuple[dict[str, Tensor], ...] = ()
    structures: dict[str, tuple[RigidTransform, ...]] = field(default_factory=dict)
    bodies: dict[str, BodyResult] = field(default_factory=dict)
    halves: Halves | None = None
    responses: tuple[dict[str, Any], ...] = ()

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
            bodies={name: body.only(start) for name, body in self.bodies.items()},
            halves=self.halves and Halves(self.halves.mm[one]),
            responses=tuple(
                {name: value[one] if isinstance(value, Tensor) else value for name, value in view.items()}
                for view in self.responses
            ),
        )

    def summary(self, start: int | None = None) -> str:
        """A start's outcome in a few lines, by default that of the best."""
        start = self.best if start is None else start
        lines = [f"{self.status[start]}, score {self.score[start].item():.4f}, {self.seconds:.2f} s"]
        if self.uncertainty is not None:
            lines.append(_precision(self.uncertainty, start))
            motion, deviation = self.uncertainty.weakest(start)
            lines.append(f"least determined: {_describe(motion)} ({deviation:.2g} mm)")
        if self.halves is not None and (worst := self.halves.worst(start)) is not None:
            agree = "disagree by" if self.status[start] is Status.INCONSISTENT else "agree to"
            lines.append(f"halves of the image {agree} {worst[1]:.2f} mm in plane (worst: the {worst[0]} one)")
        lines += [f"{name}: {body.summary(start)}" for name, body in self.bodies.items()]
        return "\n".join(lines)

    def outcome(self, start: int | None = None) -> dict[str, Any]:
        """A start's outcome in numbers and texts, by default that of the best: what is kept beside a pose in a file.

        Numbers that are not finite are None. Poses of structures are camera_to_world, row by row, one for each view.
        """
        start = self.best if start is None else start
        outcome: dict[str, Any] = {
            "status": str(self.status[start]),
            "score": _finite(self.score[start].item()),
            "starts": len(self.status),
            "seconds": round(self.seconds, 3),
        }
        if self.uncertainty is not None:
            outcome["standard_deviations"] = _deviations(self.uncertainty, start, "the isocentre")
        if self.halves is not None and self.halves.worst(start) is not None:
            pairs = zip(HALVES, self.halves.mm[start].tolist(), strict=True)
            outcome["halves"] = {
                "of": "how far halves of the image alone move the pose in plane",
                **{f"{name} (mm)": _finite(mm) for name, mm in pairs},
            }
        if self.structures:
            outcome["structures"] = {
                name: {"poses": [_rows(pose.matrix[start]) for pose in poses]}
                for name, poses in self.structures.items()
            }
        if self.bodies:
            outcome["bodies"] = {name: body.outcome(start) for name, body in self.bodies.items()}
        return outcome

    # --- the way there ---

    def path(self, start: int | None = None, view: int = 0) -> RigidTransform:
        """A start's poses after every iteration, by default the best one's; those of a search are its leaders'.

        Those of further views are taken to lie to the first view's as they do in the end.

        Raises:
            ValueError: a result of some starts alone, whose trace is that of all.
        """
        start = self.best if start is None else start
        column = self._column(start)
        first = torch.stack([it.pose.matrix[column] for it in self.trace if it.pose is not None])
        if view == 0:
            return RigidTransform(first)
        to_first = RigidTransform(self.poses[0][start]).inverse().matrix @ self.poses[view][start]
        return RigidTransform(first @ to_first)

    def scores(self, start: int | None = None) -> Float[Tensor, " iteration"]:
        """A start's score after every iteration, on the CPU; errors are those of `path`."""
        column = self._column(self.best if start is None else start)
        return torch.stack([it.score[column] for it in self.trace if it.score is not None]).cpu()

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
                assert it.pose is not None
                assert it.score is not None
                assert it.pixels is not None
                for start, (score, pose) in enumerate(zip(it.score.tolist(), it.pose.matrix[:, :3], strict=True)):
                    damping = "" if it.damping is None else f"{it.damping[start].item():.6g}"
                    head = [it.stage, it.number, start, *it.pixels, f"{score:.8g}", damping, f"{it.seconds:.6f}"]
                    writer.writerow([*head, *(f"{value:.9g}" for value in pose.flatten().tolist())])

    def _column(self, start: int) -> int:
        """Which column of the trace tells of a start: its own, or the only one of a search, that of its leader."""
        columns = 1 if not self.trace or self.trace[0].score is None else len(self.trace[0].score)
        if columns not in (1, len(self.status)):
            raise ValueError(
                f"Expected a trace of the result's {len(self.status)} start(s). Got one of {columns}: draw the whole "
                "result, and say which start."
            )
        return 0 if columns == 1 else start

    def __repr__(self) -> str:
        ends = ", ".join(f"{self.status.count(status)} {status}" for status in Status if status in self.status)
        return f"RegistrationResult({len(self.status)} start(s): {ends}; {self.seconds:.2f} s)"


def _precision(uncertainty: Uncertainty, start: int) -> str:
    deviations = uncertainty.standard_deviations[start].tolist()
    across, depth = max(deviations[:2]), deviations[2]
    turn = torch.rad2deg(torch.tensor(max(deviations[3:]))).item()
    return f"standard deviation {across:.2g} mm in plane, {depth:.2g} mm in depth, {turn:.2g} degrees"


def _deviations(uncertainty: Uncertainty, start: int, middle: str) -> dict[str, Any]:
    deviations = uncertainty.standard_deviations[start].tolist()
    shifts, turns = zip(AXES[:3], deviations[:3], strict=True), zip(AXES[3:], deviations[3:], strict=True)
    return {
        "of": f"small motions along (mm) and about (degrees) the first camera's axes through {middle}",
        **{f"{axis} (mm)": _finite(mm) for axis, mm in shifts},
        **{f"{axis} (degrees)": _finite(math.degrees(turn)) for axis, turn in turns},
    }


def _describe(motion: Tensor) -> str:
    """The parts of a motion that make up most of it, such as 'depth' or 'x with about y'."""
    parts = sorted(zip(motion.abs().tolist(), AXES, strict=True), reverse=True)
    return " with ".join(name for size, name in parts if size > 0.4)


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _rows(matrix: Tensor) -> list[list[float]]:
    return torch.round(matrix.double().cpu(), decimals=9).tolist()
