"""Plots of loss landscapes: surfaces, heat maps and profiles."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.landscape import SYMBOLS, Landscape, Slice, measure_slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANDSCAPE_FILES = tuple(f"landscape{end}" for end in (".png", "_maps.png", "_profiles.png", ".npz", ".csv", ".txt"))
"""What `save_landscape` writes."""
_MAP = "rainbow"


def plot_landscape(landscape: Landscape, figure: "Figure | None" = None) -> "Figure":
    """Draw every pair of parameters as a surface over its contours, three in a row.

    Slices over parameters of the same units share the scale of the loss, whose lower end is the least loss of all.

    Args:
        landscape: of which at least one slice has two parameters.
        figure: to draw in; a new one by default.

    Returns:
        The figure.

    Raises:
        ValueError: no slice has two parameters.
        ImportError: matplotlib is not installed.
    """
    pairs = _pairs(landscape)
    columns, rows = min(3, len(pairs)), math.ceil(len(pairs) / 3)
    figure = _new_figure(4.6 * columns, 4.4 * rows) if figure is None else figure
    figure.subplots_adjust(left=0.03, right=0.93, bottom=0.05, top=0.97, wspace=0.18, hspace=0.1)
    for number, piece in enumerate(pairs):
        axes: Any = figure.add_subplot(rows, columns, number + 1, projection="3d")
        low, high = _limits(landscape, piece)
        grid = np.meshgrid(*piece.deviations, indexing="ij")
        if min(piece.loss.shape) > 1:
            levels = np.linspace(low, high, 16)
            axes.contourf(*grid, piece.loss, zdir="z", offset=low, levels=levels, cmap=_MAP, alpha=0.5)
        axes.plot_surface(*grid, piece.loss, rstride=1, cstride=1, cmap=_MAP, vmin=low, vmax=high)
        axes.set(xlabel=piece.labels[0], ylabel=piece.labels[1], zlim=(low, high))
        axes.locator_params(nbins=5)
        axes.tick_params(labelsize=8)
        axes.zaxis.set_rotate_label(False)
        axes.set_zlabel("loss", rotation=90)
    return figure


def plot_landscape_maps(landscape: Landscape, figure: "Figure | None" = None) -> "Figure":
    """Draw every pair of parameters as a heat map with contours, three in a row.

    A cross marks the truth and a circle the least loss.
    Arguments, result and errors are those of `plot_landscape`.
    """
    pairs = _pairs(landscape)
    columns, rows = min(3, len(pairs)), math.ceil(len(pairs) / 3)
    figure = _new_figure(4.6 * columns, 4.0 * rows, layout="constrained") if figure is None else figure
    for number, piece in enumerate(pairs):
        axes = figure.add_subplot(rows, columns, number + 1)
        low, high = _limits(landscape, piece)
        first, second = piece.deviations
        picture = axes.pcolormesh(
            first, second, piece.loss.T, cmap=_MAP, vmin=low, vmax=high, shading="nearest", rasterized=True
        )
        axes.contour(first, second, piece.loss.T, levels=np.linspace(low, high, 16), colors="black", linewidths=0.4)
        measures = measure_slice(piece)
        axes.plot(0, 0, "k+", markersize=11, markeredgewidth=1.8, label="truth")
        axes.plot(*measures.minimum, "ko", fillstyle="none", markersize=9, markeredgewidth=1.8, label="least loss")
        axes.set(xlabel=piece.labels[0], ylabel=piece.labels[1])
        if number == 0:
            axes.legend(loc="upper left", fontsize=8)
        if number % 3 == columns - 1 or number == len(pairs) - 1:
            figure.colorbar(picture, ax=axes, label="loss")
    return figure


def plot_landscape_profiles(landscape: Landscape, figure: "Figure | None" = None) -> "Figure":
    """Draw the loss along each parameter through the truth; parameters of one unit share an axes.

    Arguments, result and errors are those of `plot_landscape`, but slices of one parameter serve as well as two.
    """
    units = dict.fromkeys(landscape.truth.unit(name) for name in landscape.names)
    figure = _new_figure(5.6 * len(units), 4.2, layout="constrained") if figure is None else figure
    for number, unit in enumerate(units):
        axes = figure.add_subplot(1, len(units), number + 1)
        for name in landscape.names:
            if landscape.truth.unit(name) == unit:
                plot_profile(landscape.profile(name), axes)
        axes.axvline(0, color="grey", linewidth=0.8, linestyle=":")
        axes.set(xlabel=f"deviation from the truth ({unit})" if unit else "deviation from the truth", ylabel="loss")
        axes.legend(title=None, frameon=False)
    return figure


def save_landscape(landscape: Landscape, folder: "str | os.PathLike[str]") -> list[Path]:
    """Write all there is of a landscape into a folder that exists, each file whole or not at all.

    landscape.npz is what `Landscape.load` reads, landscape.csv has a row for each image and landscape.txt the summary.
    landscape_profiles.png and, if two parameters move together anywhere, landscape.png and landscape_maps.png are the
    plots of this module.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
        ImportError: matplotlib is not installed.
    """
    folder, files = Path(folder), []
    for suffix in (".npz", ".csv", ".txt"):
        files.append(folder / f"landscape{suffix}")
        landscape.save(files[-1])
    plots = {"landscape_profiles.png": plot_landscape_profiles}
    if any(len(piece.names) == 2 for piece in landscape.slices):
        plots = {"landscape.png": plot_landscape, "landscape_maps.png": plot_landscape_maps, **plots}
    for name, plot in plots.items():
        figure = plot(landscape)
        files.append(folder / name)
        with written_whole(files[-1]) as unfinished:
            figure.savefig(unfinished, dpi=150)
        require("matplotlib.pyplot", "plots", extra="plot").close(figure)
    return files


def plot_profile(profile: Slice, axes: "Axes") -> None:
    """Draw a profile, the loss along one parameter, into given axes.

    Raises:
        ValueError: the slice has two parameters.
    """
    if len(profile.names) != 1:
        raise ValueError(f"Expected a slice of one parameter. Got {', '.join(profile.names)}.")
    axes.plot(profile.deviations[0], profile.loss, marker=".", label=SYMBOLS.get(profile.names[0], profile.names[0]))


def _pairs(landscape: Landscape) -> Sequence[Slice]:
    pairs = [piece for piece in landscape.slices if len(piece.names) == 2]
    if not pairs:
        raise ValueError("Expected a landscape with a slice of two parameters. Got profiles only.")
    return pairs


def _limits(landscape: Landscape, piece: Slice) -> tuple[float, float]:
    """The least loss of all slices, and the greatest of those over parameters of the same units."""
    low = float(np.nanmin([np.nanmin(other.loss) for other in landscape.slices] + [landscape.loss_at_truth]))
    alike = [other.loss for other in _pairs(landscape) if other.units == piece.units]
    high = float(np.nanmax([np.nanmax(loss) for loss in alike]))
    return low, max(high, low + 1e-6)


def _new_figure(width: float, height: float, **options: Any) -> "Figure":
    plt = require("matplotlib.pyplot", "plots", extra="plot")
    return plt.figure(figsize=(width, height), **options)
