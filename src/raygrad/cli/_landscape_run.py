"""`raygrad landscape`: how the loss falls off around a pose, in pictures, tables and words."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.cli._parsing import UserError, parse_numbers
from raygrad.drr import DRR
from raygrad.landscape import Landscape, compute_landscape
from raygrad.metrics import (
    GradientDifference,
    GradientNormalizedCrossCorrelation2d,
    MultiscaleNormalizedCrossCorrelation2d,
    NormalizedCrossCorrelation2d,
)
from raygrad.pose import RigidTransform

METRICS: dict[str, Callable[[], Callable[[Tensor, Tensor], Tensor]]] = {
    "mncc": lambda: MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]),
    "ncc": NormalizedCrossCorrelation2d,
    "patch-ncc": lambda: NormalizedCrossCorrelation2d(9),
    "gradient-ncc": GradientNormalizedCrossCorrelation2d,
    "gradient-difference": GradientDifference,
}


def parse_metric(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The metric that --metric names."""
    if name not in METRICS:
        raise UserError(f"--metric is one of {', '.join(METRICS)}, not '{name}'.")
    return METRICS[name]()


def parse_slices(pairs: str | None, parameters: str | None) -> list[str | tuple[str, ...]] | None:
    """The slices of texts such as "x,y alpha,gamma" (pairs) and "x alpha" (single parameters); None for neither."""
    if pairs is None and parameters is None:
        return None
    slices: list[str | tuple[str, ...]] = []
    for word in (pairs or "").split():
        pair = tuple(word.split(","))
        if len(pair) != 2 or not all(pair):
            raise UserError(f"--pairs takes pairs of parameters such as 'x,y alpha,gamma', not '{word}'.")
        slices.append(pair)
    slices += (parameters or "").replace(",", " ").split()
    if not slices:
        raise UserError("--pairs and --parameters name no parameter; leave them out for all pairs.")
    return slices


def parse_ranges(text: str | None) -> dict[str, tuple[float, float]]:
    """The ranges of a text such as "x=30 alpha=-20:40", in mm and degrees."""
    ranges = {}
    for word in (text or "").split():
        name, _, ends = word.partition("=")
        numbers = parse_numbers(ends.replace(":", " "), "--ranges")
        if not name or len(numbers) not in (1, 2):
            raise UserError(f"--ranges takes ranges such as 'x=30 alpha=-20:40' (mm and degrees), not '{word}'.")
        ranges[name] = (-numbers[0], numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    return ranges


def save_landscape(drr: DRR, pose: RigidTransform, folder: Path, **options: Any) -> Iterator[str]:
    """Compute a landscape, write its files into a folder that exists and yield what there is to tell.

    `options` are arguments of `raygrad.landscape.compute_landscape`.

    Raises:
        ValueError: as `compute_landscape`.
        OSError: a file cannot be written.
        ImportError: matplotlib is missing.
    """
    require("matplotlib", "plots of landscapes", extra="cli").use("Agg")
    landscape = compute_landscape(drr, pose, **options)
    summary = landscape.summary()
    yield summary + "\n"
    for name in ("landscape.npz", "landscape.csv"):
        landscape.save(folder / name)
        yield str(folder / name)
    with written_whole(folder / "landscape.txt") as path:
        path.write_text(summary + "\n", encoding="utf-8")
    yield str(folder / "landscape.txt")
    yield from _draw(landscape, folder)


def _draw(landscape: Landscape, folder: Path) -> Iterator[str]:
    from matplotlib import pyplot as plt

    from raygrad.visualization import plot_landscape, plot_landscape_maps, plot_landscape_profiles

    plots = {"landscape_profiles.png": plot_landscape_profiles}
    if any(len(piece.names) == 2 for piece in landscape.slices):
        plots = {"landscape.png": plot_landscape, "landscape_maps.png": plot_landscape_maps, **plots}
    for name, plot in plots.items():
        figure = plot(landscape)
        with written_whole(folder / name) as path:
            figure.savefig(path, dpi=150)
        plt.close(figure)
        yield str(folder / name)
