"""Coarse to fine: which images are compared at each stage, and how."""

from dataclasses import dataclass, replace
from typing import Any

from raygrad.kernels import RENDERERS
from raygrad.registration._problem.similarity import (
    GlobalCorrelation,
    GradientCorrelation,
    LocalCorrelation,
    Metric,
    Similarity,
    WeightedSum,
)


@dataclass(frozen=True)
class Stage:
    """One stage of a registration.

    Attributes:
        pixels: of the longer side of the image, at least, if the detector has as many.
        similarity: what images are compared by: features, such as `LocalCorrelation(9)` or a `FeatureSimilarity`, or a
            metric (fixed, moving) -> scores, such as those of `raygrad.metrics`.
        iterations: at most so many; twice as many while structures move by themselves.
        tolerance: a pose has settled when it moves by less than this, in mm.
        keep: at most so many different poses of each start go on to the next stage.
        margin: and only those whose score lacks at most so many times as much to 1 as the best one's.
        robust: pixels that do not fit at the stage's beginning count less (Tukey's biweight).
        calibrate: geometry that is not known exactly moves too.
        apart: structures move by themselves from here on.
        renderer: how rays are marched; None for the DRR's own way.
        near: pixels count on the shadows of what is seen, and so many mm around them, as far as all poses of a start
            have them there; None for the whole image. For bodies without what is around them, such as implants alone.

    Raises:
        TypeError, ValueError: numbers out of range, an unknown renderer, a robust stage without features.
    """

    pixels: int
    similarity: Similarity | Metric
    iterations: int
    tolerance: float | int
    keep: int = 1
    margin: float | int = 3.0
    robust: bool = False
    calibrate: bool = False
    apart: bool = False
    renderer: str | None = "joseph"
    near: float | int | None = None

    def __post_init__(self) -> None:
        if not callable(self.similarity):
            raise TypeError(f"Expected a similarity or metric, which is called. Got {self.similarity!r}.")
        least = {"pixels": 1, "iterations": 0, "tolerance": 0, "keep": 1, "margin": 1}
        for name, lowest in least.items():
            if not getattr(self, name) >= lowest:
                raise ValueError(f"Expected {name} of a stage of at least {lowest}. Got {getattr(self, name)}.")
        if self.near is not None and not self.near > 0:
            raise ValueError(f"Expected near of a stage as a positive length in mm, or None. Got {self.near}.")
        if self.robust and not isinstance(self.similarity, Similarity):
            raise ValueError(
                "Expected features in a robust stage, to see which pixels do not fit. "
                f"Got the metric {self.similarity!r}."
            )
        if self.renderer is not None and self.renderer not in RENDERERS:
            raise ValueError(f"Expected a renderer among {', '.join(RENDERERS)}, or None. Got {self.renderer!r}.")

    def compared_by(self, similarity: Similarity | Metric) -> "Stage":
        """The same stage with another similarity; not robust by a metric, which does not tell of pixels."""
        return replace(self, similarity=similarity, robust=self.robust and isinstance(similarity, Similarity))


def default_schedule(keep: int = 1) -> tuple[Stage, ...]:
    """From 25 pixels a side to 200; from whole images, which see far, to patches, which see through a bias.

    Args:
        keep: how many poses of each start are wanted in the end. One more goes on while it is as good as they are.
    """
    few = keep + 1
    return (
        Stage(25, GlobalCorrelation(), iterations=6, tolerance=1.0, keep=6 * keep, margin=20.0),
        Stage(25, GlobalCorrelation(), iterations=25, tolerance=1.0, keep=4 * keep, margin=5.0),
        Stage(50, GlobalCorrelation(), iterations=20, tolerance=0.5, keep=3 * keep),
        Stage(50, LocalCorrelation(9), iterations=15, tolerance=0.3, keep=few, margin=2.0),
        Stage(100, LocalCorrelation(9), iterations=12, tolerance=0.1, keep=few, margin=1.5, calibrate=True, apart=True),
        Stage(
            200, LocalCorrelation(9), iterations=10, tolerance=0.01, keep=few, margin=1.1, robust=True, calibrate=True
        ),
    )


def scene_schedule() -> tuple[Stage, ...]:
    """`default_schedule` for a scene: all of its bodies settle in the finest images before pixels are distrusted.

    The pixels of a wire that is still off by its own width are those that fit least: a robust stage would leave them
    out, and the wire where it is.
    """
    *others, last = default_schedule()
    return (*others, replace(last, robust=False), last)


def solid_schedule() -> tuple[Stage, ...]:
    """For solids alone, implants without a CT, as X-rays show what they absorb: outlines, near their own shadows.

    What else there is of the patient is in the image, and not in the model. Slopes see outlines through it, and far
    from the solids nothing is to be learned. Most poses about a start are looked at only once.
    """
    far = WeightedSum((GlobalCorrelation(), GradientCorrelation()), (0.5, 0.5))
    slopes = GradientCorrelation()
    return (
        Stage(64, far, iterations=0, tolerance=1.0, keep=4, margin=20.0, near=20.0),
        Stage(64, far, iterations=8, tolerance=1.0, keep=3, margin=5.0, near=15.0),
        Stage(128, far, iterations=8, tolerance=0.3, keep=2, margin=2.0, near=12.0, apart=True),
        Stage(256, slopes, iterations=10, tolerance=0.2, keep=2, margin=1.3, near=10.0),
        Stage(512, slopes, iterations=15, tolerance=0.1, keep=2, margin=1.1, near=8.0, calibrate=True),
    )


def search_schedule(keep: int = 4) -> tuple[Stage, ...]:
    """`default_schedule` for a search: from the hundreds of poses that it begins with more go on at first."""
    first, second, *others = default_schedule(keep)
    return (replace(first, keep=max(first.keep, 64)), replace(second, keep=max(second.keep, 16)), *others)


def few_steps() -> tuple[Stage, ...]:
    """From where a hand has put a CT to close to where it belongs, in a fraction of a second."""
    return (
        Stage(25, GlobalCorrelation(), iterations=8, tolerance=1.0),
        Stage(50, GlobalCorrelation(), iterations=5, tolerance=0.5),
        Stage(100, LocalCorrelation(9), iterations=4, tolerance=0.1, calibrate=True, apart=True),
    )


def check_stages(stages: Any) -> tuple[Stage, ...]:
    """The stages as a tuple.

    Raises:
        TypeError, ValueError: there is none, or something else.
    """
    if isinstance(stages, Stage) or not hasattr(stages, "__iter__"):
        raise TypeError(f"Expected stages as a sequence of raygrad.registration.Stage. Got {type(stages).__name__}.")
    stages = tuple(stages)
    if not stages:
        raise ValueError("Expected at least one stage. Got none.")
    for stage in stages:
        if not isinstance(stage, Stage):
            raise TypeError(f"Expected stages as raygrad.registration.Stage. Got {type(stage).__name__}.")
    return stages
