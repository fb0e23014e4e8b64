"""Coarse to fine: which images are compared at each stage, and how."""

from dataclasses import dataclass

from raygrad.registration._problem.similarity import GlobalCorrelation, LocalCorrelation, Similarity


@dataclass(frozen=True)
class Stage:
    """One stage of a registration.

    Attributes:
        pixels: of the longer side of the image, at least, if the detector has as many.
        similarity: what is compared.
        iterations: at most so many.
        tolerance: a pose has settled when it moves by less than this, in mm.
        keep: at most so many different poses of each start go on to the next stage.
        margin: and only those whose score lacks at most so many times as much to 1 as the best one's.
        robust: pixels that do not fit at the stage's beginning count less (Tukey's biweight).
        calibrate: geometry that is not known exactly moves too.
        apart: structures move by themselves from here on.
        renderer: how rays are marched; None for the DRR's own way.
    """

    pixels: int
    similarity: Similarity
    iterations: int
    tolerance: float
    keep: int = 1
    margin: float = 3.0
    robust: bool = False
    calibrate: bool = False
    apart: bool = False
    renderer: str | None = "joseph"


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
