"""What is told of doubts: rivals of the answer, and what was tried where the images did not match."""

from dataclasses import dataclass
from typing import Any

from raygrad.pose import RigidTransform


@dataclass(frozen=True, eq=False)
class Rival:
    """Another reading of the X-rays that matches as well as the answer, or better.

    Attributes:
        name: what it is: "from behind", "one vertebra up: T8 for T9", "X-ray mirrored", "pixels of 1.86 mm".
        pose: the first view's camera_to_world, one pose.
        score: as `RegistrationResult.score` counts it.
    """

    name: str
    pose: RigidTransform
    score: float

    def outcome(self) -> dict[str, Any]:
        """In numbers and texts; the pose row by row."""
        rows = self.pose.matrix[0].double().cpu()
        return {"name": self.name, "score": float(f"{self.score:.6g}"), "pose": rows.tolist()}


@dataclass(frozen=True, eq=False)
class Trial:
    """What was tried where the images did not match.

    Attributes:
        name: what was changed: "mirrored", "inverted", "mask", ...
        hint: how to do so.
        match: how well the images matched then, at most 1.
        helps: whether that is well enough.
        pose: where: the first view's camera_to_world, one pose.
    """

    name: str
    hint: str
    match: float
    helps: bool
    pose: RigidTransform


@dataclass(frozen=True, eq=False)
class Advice:
    """What would help where the images did not match; the answer is as it was.

    Attributes:
        match: how well the images matched as they were given.
        line: how well they have to.
        trials: what was tried, in order; what is alike is all tried, and no more once something helps.
    """

    match: float
    line: float
    trials: tuple[Trial, ...]

    @property
    def helps(self) -> Trial | None:
        """What brings the match farthest above the line; None if nothing that was tried does."""
        return max((trial for trial in self.trials if trial.helps), key=lambda trial: trial.match, default=None)

    def summary(self) -> str:
        """What would help, and what was tried, in a line or two."""
        found = self.helps
        others = ", ".join(f"{trial.name} {trial.match:.2f}" for trial in self.trials if trial is not found)
        tried = f"tried as well: {others}" if others else ""
        if found is None:
            return (
                f"nothing that was tried helps (match {self.match:.2f}; {self.line:.2f} is needed): another patient, "
                f"another part of the body, or much that the CT does not show?\n{tried}"
            )
        says = f"what would help: {found.name}: {found.match:.2f} instead of {self.match:.2f} ({found.hint})"
        return f"{says}\n{tried}" if tried else says

    def outcome(self) -> dict[str, Any]:
        """In numbers and texts."""
        found = self.helps
        return {
            "match": round(self.match, 4),
            "needed": self.line,
            "helps": None if found is None else found.name,
            "how": None if found is None else found.hint,
            "tried": {trial.name: round(trial.match, 4) for trial in self.trials},
        }
