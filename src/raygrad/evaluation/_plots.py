"""Pictures of an evaluation: the capture-range curve, the errors, and the X-rays of every condition."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.evaluation._conditions import CONDITIONS, Case
from raygrad.evaluation._report import capture_range
from raygrad.evaluation._run import Row


def plot_capture_range(rows: Sequence[Row], path: Path, width: float | int = 10.0) -> None:
    """Success rate against the start's mTRE, and final against initial mTRE, a curve for each method and condition.

    Args:
        rows: of an evaluation.
        path: of the picture.
        width: of the bins that starts are counted in, in mm.
    """
    figure, (rates, errors) = _pyplot().subplots(1, 2, figsize=(13, 4.8), layout="constrained")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.method, row.condition), []).append(row)
    markers = dict(zip(dict.fromkeys(method for method, _ in groups), "osD^v", strict=False))
    for number, ((method, condition), group) in enumerate(groups.items()):
        colour = _pyplot().get_cmap("tab20")(list(CONDITIONS).index(condition))
        bins = capture_range(group, width)
        aside = (number - (len(groups) - 1) / 2) * 0.08 * width  # so that intervals do not hide each other
        middle = [(of.start + of.stop) / 2 + aside for of in bins]
        rate, low, high = (np.array([getattr(of, name) for of in bins]) for name in ("rate", "low", "high"))
        label = f"{method} {condition}: {CONDITIONS[condition].what} (n = {len(group)})"
        mark = markers.get(method, "x")
        rates.errorbar(
            middle,
            rate,
            [rate - low, high - rate],
            fmt=f"{mark}-" if mark == "o" else f"{mark}--",
            ms=4,
            lw=1.2,
            capsize=2,
            color=colour,
            label=label,
        )
        errors.scatter(
            [row.start_mtre for row in group], [row.mtre for row in group], s=9, marker=mark, color=colour, alpha=0.6
        )
        if (limit := CONDITIONS[condition].mtre) is not None:
            errors.axhline(limit, color=colour, lw=0.8, ls=":")
    rates.set(xlabel="mTRE of the start (mm)", ylabel="success rate, 95 % interval", ylim=(-0.03, 1.03))
    rates.legend(fontsize=7)
    errors.set(xlabel="mTRE of the start (mm)", ylabel="mTRE at the end (mm); dotted: the limit", yscale="log")
    for axes in (rates, errors):
        axes.grid(alpha=0.3)
    _save(figure, path, 130)


def plot_deviations(rows: Sequence[Row], path: Path) -> None:
    """Whether standard deviations are true: the share of accepted poses whose error is below so many of them.

    A curve for each condition, of errors in plane and in depth; dotted, where the median of true ones would be, dashed
    what they should stay below in 95 %.

    Args:
        rows: of an evaluation.
        path: of the picture.
    """
    names = ("ratio_in_plane", "ratio_depth", "ratio_turn")
    figure, panels = _pyplot().subplots(1, 3, figsize=(15, 4.4), layout="constrained")
    for axes, name in zip(panels, names, strict=True):
        for condition in dict.fromkeys(row.condition for row in rows):
            known = [getattr(row, name) for row in rows if row.condition == condition and row.accepted]
            ratios = np.sort([ratio for ratio in known if ratio is not None])
            if len(ratios):
                colour = _pyplot().get_cmap("tab20")(list(CONDITIONS).index(condition))
                shares = (np.arange(len(ratios)) + 1) / len(ratios)
                axes.step(ratios.clip(1e-2), shares, where="post", color=colour, label=condition)
        axes.axvline(0.8, color="k", lw=0.8, ls=":")
        axes.axvline(3.0, color="k", lw=0.8, ls="--")
        axes.set(xscale="log", xlabel=f"error / standard deviation, {name[6:].replace('_', ' ')}", ylim=(0, 1.03))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of accepted poses")
    if panels[-1].get_legend_handles_labels()[0]:
        panels[-1].legend(fontsize=7)
    _save(figure, path, 110)


def plot_cases(cases: Sequence[Case], path: Path) -> None:
    """The X-rays of some cases side by side, each from its least to its greatest value within the collimator.

    Args:
        cases: see `make_case`.
        path: of the picture.
    """
    pictures = [(case, view) for case in cases for view in range(len(case.xrays))]
    columns = min(6, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, axes = _pyplot().subplots(
        rows, columns, figsize=(2.7 * columns, 3.0 * rows), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (case, view) in zip(axes.flat, pictures, strict=False):
        image = case.xrays[view][0, 0]
        shown = image if case.masks is None else image[case.masks[view] > 0]
        ax.imshow(image.numpy(), cmap="gray", vmin=shown.min().item(), vmax=shown.max().item())
        ax.set_title(
            f"{case.condition}, {case.view}" + (f", view {view + 1}" if len(case.xrays) > 1 else ""), fontsize=9
        )
    _save(figure, path, 110)


def _save(figure: Any, path: Path, dpi: int) -> None:
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=dpi)
    _pyplot().close(figure)


def _pyplot() -> Any:
    require("matplotlib", "plots", extra="plot").use("Agg")
    from matplotlib import pyplot

    return pyplot
