"""A registration in a folder: the pictures that say whether to believe it, its trace, and the way there as a film."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.drr import DRR
from raygrad.pose import RigidTransform
from raygrad.registration import RegistrationResult
from raygrad.types import Images
from raygrad.visualization._halves import plot_halves
from raygrad.visualization._registration import animate, plot_convergence, plot_difference, plot_overlay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Mask = Float[Tensor, "height width"]


def render_registered(drr: DRR, result: RegistrationResult, start: int | None = None, view: int = 0) -> Images:
    """What a view sees from the pose, and with the intrinsics, that a registration found.

    Args:
        drr: of the view, as it was given to `register`.
        result: of `register`.
        start: which start, by default the best.
        view: which of the views.

    Returns:
        (1, 1, height, width), on the CPU.
    """
    start = result.best if start is None else start
    found = result.intrinsics[view] if result.intrinsics else {}
    intrinsics = drr.detector.intrinsics.replaced(**{name: float(value[start]) for name, value in found.items()})
    return _render(drr, RigidTransform(result.poses[view][start]), intrinsics if found else None)


def save_registration(
    folder: str | os.PathLike[str],
    xray: Images | Sequence[Images],
    drr: DRR | Sequence[DRR],
    result: RegistrationResult,
    init: RigidTransform | Sequence[RigidTransform],
    mask: Sequence[Mask | None] | None = None,
    names: Sequence[str] | None = None,
    animation: bool = True,
    pictures: Sequence[tuple[Images, Images]] | None = None,
) -> list[str]:
    """Write pictures of a result's best start into a folder, and the trace of all, each file whole or not at all.

    `overlay.png` shows the X-ray with what its mask hides, and under the rendered image before and after,
    `difference.png` what is left, `halves.png`, where the start converged or its parts are inconsistent, which of them
    disagree and by how much (`plot_halves`), `convergence.png` the way there and `convergence.gif` the same as a film;
    `trace.csv` has it in numbers.

    Args:
        folder: it exists.
        xray: (1, 1, height, width), or a list with one for every view, as given to `register`.
        drr, init: as given to `register`, for each view.
        result: what `register` returned for them.
        mask: of every view, (height, width) or None; by default `result.masks`.
        names: of the X-rays, for the titles.
        animation: write the film, which takes a second or two.
        pictures: of every view, what is drawn for the start and the end, in place of what the DRRs render: images of a
            scene.

    Returns:
        The names of the files.

    Raises:
        ValueError: numbers of X-rays, DRRs, starts and views that differ.
        OSError: a file cannot be written.
        ImportError: matplotlib is not installed.
    """
    require("matplotlib", "pictures of the registration", extra="cli")
    xrays = [xray] if isinstance(xray, Tensor) else list(xray)
    drrs = [drr] if isinstance(drr, DRR) else list(drr)
    inits = [init] if isinstance(init, RigidTransform) else list(init)
    views = len(result.poses)
    masks = list(result.masks or [None] * views) if mask is None else list(mask)
    titles = [f"X-ray {number}" for number in range(1, views + 1)] if names is None else list(names)
    if {len(xrays), len(drrs), len(inits), len(masks), len(titles)} != {views}:
        raise ValueError(
            f"Expected an X-ray, a DRR and a start, and a mask and name if any, for each of {views} view(s). Got "
            f"{len(xrays)}, {len(drrs)}, {len(inits)}, {len(masks)} and {len(titles)}."
        )
    folder, start = Path(folder), result.best
    if pictures is None:
        before = [_render(d, RigidTransform(i[start if len(i) > 1 else 0])) for d, i in zip(drrs, inits, strict=True)]
        after = [render_registered(drr, result, start, view) for view, drr in enumerate(drrs)]
    else:
        before, after = ([pair[end] for pair in pictures] for end in (0, 1))
    rows = list(zip(xrays, before, after, masks, titles, strict=True))
    drawn = {
        "overlay.png": _draw_overlay(rows),
        "difference.png": _draw_difference(rows),
        "convergence.png": _draw_convergence(result),
    }
    if result.halves is not None and result.halves.worst(start) is not None:
        drawn["halves.png"] = _draw_halves(xrays, result, start, titles)
    with written_whole(folder / "trace.csv") as unfinished:
        result.save_trace(unfinished)
    for name, figure in drawn.items():
        with written_whole(folder / name) as unfinished:
            figure.savefig(unfinished, dpi=110)
    written = ["trace.csv", *drawn]
    if animation:
        with written_whole(folder / "convergence.gif") as unfinished:
            animate(unfinished, xrays, drrs, result, init=inits, mask=masks)
        written.append("convergence.gif")
    return written


def _render(drr: DRR, pose: RigidTransform, intrinsics: Any = None) -> Images:
    detector = drr.detector if intrinsics is None else drr.detector.with_intrinsics(intrinsics)
    with torch.no_grad():
        image = drr.render(drr.density, *detector(pose.to(drr.density)))
    return image.reshape(1, 1, detector.height, detector.width).cpu()


def _figure(rows: int, columns: int) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * columns, 4.3 * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _draw_overlay(rows: Sequence[tuple[Images, Images, Images, Mask | None, str]]) -> "Figure":
    figure, axes = _figure(len(rows), 4)
    for row, (xray, before, after, mask, title) in zip(axes, rows, strict=True):
        plot_overlay(xray, xray, title=title, axs=row[0])
        _outline(row[0], mask)
        plot_overlay(xray, before, title="X-ray (orange) and start (blue)", axs=row[1], mask=mask)
        plot_overlay(xray, after, title="X-ray (orange) and registered (blue)", axs=row[2], mask=mask)
        tiled = "X-ray and registered, tile by tile"
        plot_overlay(xray, after, title=tiled, axs=row[3], style="checkerboard", mask=mask)
    return figure


def _outline(ax: Any, mask: Mask | None) -> None:
    """Draw around what a mask hides."""
    hidden = None if mask is None else mask.cpu() == 0
    if hidden is not None and hidden.any():
        ax.contour(hidden.float().numpy(), [0.5], colors="red", linewidths=0.8)


def _draw_difference(rows: Sequence[tuple[Images, Images, Images, Mask | None, str]]) -> "Figure":
    figure, axes = _figure(len(rows), 2)
    for row, (xray, before, after, mask, title) in zip(axes, rows, strict=True):
        rendered = torch.cat([before, after])
        titles = [f"{title} minus start", f"{title} minus registered, colours alike"]
        plot_difference(xray.expand_as(rendered), rendered, title=titles, axs=row, mask=mask)
    return figure


def _draw_halves(xrays: Sequence[Images], result: RegistrationResult, start: int, titles: Sequence[str]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(xrays), 6.6), layout="constrained")
    plot_halves(xrays, result, start, titles, figure.subplots(1, len(xrays), squeeze=False))
    return figure


def _draw_convergence(result: RegistrationResult) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    plot_convergence(result, axs=figure.subplots(1, 2))
    return figure
