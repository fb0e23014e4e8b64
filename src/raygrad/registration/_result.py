"""What a registration found, how it got there, and how far it can be trusted."""

import csv
import math
from dataclasses import dataclass, field, replace
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._files import written_whole
from raygrad._progress import Iteration, Status
from raygrad.data import Volume
from raygrad.geometry import name_view, positioner_angles
from raygrad.pose import RigidTransform
from raygrad.registration._agreement import HALVES as HALVES
from raygrad.registration._agreement import Halves as Halves
from raygrad.registration._doubts.told import Advice, Rival
from raygrad.registration._exposure import EstimatedExposure
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


@dataclass(frozen=True, eq=False)
class CTSeen:
    """What of the CT the X-rays were compared with: `register` takes the form that fits them best.

    Attributes:
        form: "as given", the density of the DRR; "attenuation of the patient", without the table and all else that is
            not attached; or "attenuation of all".
        scores: of every form that was tried, at the pose so far (local correlation).
        litres: the volume of what was cut out.
        share: how much of all attenuation that was.
        cut_out: 1 for the voxels that went, else 0, for `raygrad.visualization.plot_cut_out`; None if none did.
    """

    form: str
    scores: dict[str, float]
    litres: float = 0.0
    share: float = 0.0
    cut_out: Volume | None = None

    def summary(self) -> str:
        """In one line."""
        others = ", ".join(f"{name} {score:.4f}" for name, score in self.scores.items() if name != self.form)
        gone = f", {self.litres:.2g} litres cut out ({self.share:.1%} of all)" if self.cut_out is not None else ""
        return f"CT: {self.form}{gone}; fits with {self.scores[self.form]:.4f} ({others})"

    def outcome(self) -> dict[str, Any]:
        """In numbers and texts."""
        scores = {name: _finite(score) for name, score in self.scores.items()}
        return {"form": self.form, "scores": scores, "cut out (litres)": _finite(self.litres)}


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
        halves: whether halves and quarters of the image agree; None for methods that do not ask, and where no start
            converged.
        beams: which way every view looks, from the source to the detector (start, 3), unit vectors in the CT's world;
            empty for scenes, and methods that do not say.
        ct: which form of the CT the X-rays were compared with; None where there was nothing to choose.
        kept: names of the unknown intrinsics that one image does not tell from the pose, or would drive far from what
            is known of them: they stay as they were given, and `uncertainty` has what that leaves open.
        counted: the share of the image, of what the mask shows, whose rays see no more of the patient than the CT has
            (start,): the others do not count. Of several views the mean; None where all of it counts, at every start.
        rivals: of every start, what matches as well as its pose, where it would have converged otherwise, and what
            matches better with the X-ray read another way; empty for methods that do not ask.
        advice: of every start, what was tried where nothing matched: of the best one, if none converged. Empty for
            methods that do not ask, and where some start matched.
        intrinsics_deviations: the standard deviations (start,) of what `intrinsics` has.
        relative_deviations: of how the second view and each further one lies to the first (start, view - 1, 6), where
            that was unknown: mm along and radians about the world's axes through the middle of what was registered.
        masks: the weights that the pixels of every view (height, width) were compared by, from 0 to 1: of the mask that
            was given, without what was found to be hidden. On the CPU.
        hidden: in words what was found to be hidden in every view, beside the mask; empty where that is nothing.
        responses: what each view's X-ray shows of line integrals: "name", and the numbers that were fitted to every
            start, "exponent" (start,) or the knots' "spacing" and "values" of a curve; empty for methods without.
        exposures: how each view's X-ray was taken, where that was to be estimated, as the best start sees it.
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
    beams: tuple[Float[Tensor, "start 3"], ...] = ()
    ct: CTSeen | None = None
    kept: tuple[str, ...] = ()
    counted: Scores | None = None
    rivals: tuple[tuple[Rival, ...], ...] = ()
    advice: tuple[Advice | None, ...] = ()
    intrinsics_deviations: tuple[dict[str, Tensor], ...] = ()
    relative_deviations: Float[Tensor, "start view 6"] | None = None
    masks: tuple[Float[Tensor, "_ _"], ...] = ()
    hidden: tuple[str, ...] = ()
    responses: tuple[dict[str, Any], ...] = ()
    exposures: tuple[EstimatedExposure, ...] = ()

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
            halves=self.halves and self.halves.only(start),
            beams=tuple(beam[one] for beam in self.beams),
            counted=None if self.counted is None else self.counted[one],
            rivals=self.rivals[one],
            advice=self.advice[one],
            intrinsics_deviations=tuple(
                {name: values[one] for name, values in view.items()} for view in self.intrinsics_deviations
            ),
            relative_deviations=None if self.relative_deviations is None else self.relative_deviations[one],
            responses=tuple(
                {name: value[one] if isinstance(value, Tensor) else value for name, value in view.items()}
                for view in self.responses
            ),
        )

    def view_names(self, start: int | None = None) -> tuple[str, ...]:
        """What a radiographer calls each view: AP, PA, left or right lateral, or the oblique, by `name_view`.

        Args:
            start: of which start, by default the best.
        """
        start = self.best if start is None else start
        return tuple(name_view(beam[start].tolist()) for beam in self.beams)

    def summary(self, start: int | None = None) -> str:
        """A start's outcome in a few lines, by default that of the best."""
        start = self.best if start is None else start
        lines = [f"{self.status[start]}, score {self.score[start].item():.4f}, {self.seconds:.2f} s"]
        if self.beams:
            lines.append(f"seen from: {'; '.join(self.view_names(start))}")
        if self.uncertainty is not None:
            lines.append(_precision(self.uncertainty, start))
            motion, deviation = self.uncertainty.weakest(start)
            lines.append(f"least determined: {_describe(motion)} ({deviation:.2g} mm)")
        if self.halves is not None and (line := self.halves.summary(self.status[start] is Status.INCONSISTENT, start)):
            lines.append(line)
        if self.ct is not None:
            lines.append(self.ct.summary())
        if self.kept:
            lines.append(f"as given, as one image does not tell it from the pose: {', '.join(self.kept)}")
        if self.counted is not None and (share := self.counted[start].item()) < 0.995:
            lines.append(f"{share:.0%} of the image counted: the rest shows the patient beyond the CT")
        if self.rivals:
            lines += [f"as good or better: {rival.name} (score {rival.score:.4f})" for rival in self.rivals[start]]
        if self.advice and (advice := self.advice[start]) is not None:
            lines.append(advice.summary())
        for view, exposure in enumerate(self.exposures):
            lines.append(f"exposure{f' of view {view}' if len(self.exposures) > 1 else ''}: {exposure.summary()}")
        for view, text in enumerate(self.hidden):
            lines += [f"left out{f' of view {view}' if len(self.hidden) > 1 else ''}: {text}"] if text else []
        lines += [f"{name}: {body.summary(start)}" for name, body in self.bodies.items()]
        return "\n".join(lines)

    def outcome(self, start: int | None = None) -> dict[str, Any]:
        """A start's outcome in numbers and texts, by default that of the best: what is kept beside a pose in a file.

        Numbers that are not finite are None. Intrinsics stand beside their standard deviations. Poses of structures are
        camera_to_world, row by row, one for each view.
        """
        start = self.best if start is None else start
        outcome: dict[str, Any] = {
            "status": str(self.status[start]),
            "score": _finite(self.score[start].item()),
            "starts": len(self.status),
            "seconds": round(self.seconds, 3),
        }
        if self.beams:
            angles = [positioner_angles(beam[start].tolist()) for beam in self.beams]
            outcome["views"] = [
                {"name": name, "primary (degrees)": _finite(primary), "secondary (degrees)": _finite(secondary)}
                for name, (primary, secondary) in zip(self.view_names(start), angles, strict=True)
            ]
        if self.uncertainty is not None:
            outcome["standard_deviations"] = _deviations(self.uncertainty, start, "the isocentre")
        if self.halves is not None and self.halves.worst(start) is not None:
            outcome["halves"] = self.halves.outcome(start)
        if self.kept:
            outcome["as given"] = list(self.kept)
        if self.ct is not None:
            outcome["ct"] = self.ct.outcome()
        if self.counted is not None:
            outcome["share counted"] = _finite(self.counted[start].item())
        if self.rivals and self.rivals[start]:
            outcome["rivals"] = [rival.outcome() for rival in self.rivals[start]]
        if self.advice and (advice := self.advice[start]) is not None:
            outcome["advice"] = advice.outcome()
        if self.intrinsics_deviations:
            outcome["intrinsics"] = [
                {
                    name: [_finite(found[name][start].item()), _finite(deviation[start].item())]
                    for name, deviation in deviations.items()
                }
                for found, deviations in zip(self.intrinsics, self.intrinsics_deviations, strict=True)
            ]
        if self.exposures:
            outcome["exposures"] = [exposure.outcome() for exposure in self.exposures]
        if any(self.hidden):
            outcome["left_out"] = list(self.hidden)
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
        with written_whole(Path(path)) as unfinished, open(unfinished, "w", newline="") as file:
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
