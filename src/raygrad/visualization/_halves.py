"""Which parts of an X-ray disagree with the pose that was found for the whole, where to, and by how much."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from raygrad.registration import APART_MM, RegistrationResult
from raygrad.visualization._images import plot_drr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AGREE, _DOUBT, _APART = "deepskyblue", "gold", "red"
_LONGEST = 0.11  # arrow, of the image's longer side
_QUARTERS = slice(4, 8)  # of a result's parts


def plot_halves(
    xray: Tensor | Sequence[Tensor],
    result: RegistrationResult,
    start: int | None = None,
    title: str | Sequence[str] | None = None,
    axs: "Axes | Sequence[Axes] | np.ndarray | None" = None,
) -> Any:
    """Draw where the X-ray has each quarter of the patient, from where the pose that was found puts it.

    Arrows, a thick one for each quarter with its length in mm and a thin one for each sixteenth, are much longer than
    the shifts in the image, as the key says. Blue parts agree, red ones lie further away than what is called
    inconsistent, yellow ones more than half as far. Below the picture are the halves.

    Args:
        xray: (height, width) or (1, 1, height, width), or a list with one for every view, as given to `register`.
        result: what `register` returned for them.
        start: which start, by default the best.
        title: above the halves, one for all or one each.
        axs: axes to draw in, one for every view; a new figure by default.

    Returns:
        The axes, one for every view.

    Raises:
        ValueError: the result knows of no parts of this start, which did not converge; numbers of X-rays, titles or
            axes that are not those of its views.
        ImportError: matplotlib is not installed.
    """
    start = result.best if start is None else start
    halves, views = result.halves, len(result.poses)
    if halves is None or halves.worst(start) is None:
        raise ValueError(
            f"Expected a start that converged or is inconsistent, whose parts were asked. Got {result.status[start]}."
        )
    xrays = [xray] if isinstance(xray, Tensor) else list(xray)
    titles = [title] * views if title is None or isinstance(title, str) else list(title)
    if len(xrays) != views or len(titles) != views:
        raise ValueError(f"Expected an X-ray, and a title if any, of {views} view(s). Got {len(xrays)}, {len(titles)}.")
    if axs is None:
        from matplotlib import pyplot as plt

        axs = plt.subplots(1, views, figsize=(5 * views, 5.4), layout="constrained", squeeze=False)[1]
    axes = np.atleast_1d(np.asarray(axs, dtype=object)).ravel()
    if len(axes) != views:
        raise ValueError(f"Expected {views} axes, one for every view. Got {len(axes)}.")
    longest = max(float(halves.shifts[start, :, _QUARTERS].norm(dim=-1).nan_to_num().max()), APART_MM)
    for view, (ax, image, text) in enumerate(zip(axes, xrays, titles, strict=True)):
        lengths = halves.shifts[start, view, :4].norm(dim=-1).tolist()
        names = ("upper", "lower", "left", "right")
        told = ", ".join(f"{n} {mm:.2f}" for n, mm in zip(names, lengths, strict=True) if np.isfinite(mm))
        lines = [line for line in (text, f"halves: {told} mm" if told else None) if line]
        plot_drr(image.detach().cpu().reshape(1, 1, *image.shape[-2:]), "\n".join(lines), ticks=False, axs=ax)
        _draw_parts(ax, image.shape[-2:], halves.rows[start, view], halves.columns[start, view])
        _draw_arrows(ax, image.shape[-2:], halves, start, view, longest)
    return axes


def _edges(
    shape: Sequence[int], rows: Float[Tensor, " 3"], columns: Float[Tensor, "4 3"]
) -> tuple[np.ndarray, np.ndarray]:
    """Where bands and their parts begin and end, in pixels as `imshow` counts them."""
    height, width = shape
    down = np.concatenate([[0], rows.numpy(), [1]]) * height - 0.5
    right = np.concatenate([np.zeros((4, 1)), columns.numpy(), np.ones((4, 1))], axis=1) * width - 0.5
    return down, right


def _draw_parts(ax: Any, shape: Sequence[int], rows: Tensor, columns: Tensor) -> None:
    """Thin lines around the sixteenths, thick ones around the quarters."""
    down, right = _edges(shape, rows, columns)
    for band in range(4):
        for cut in (1, 2, 3):
            width = 1.2 if cut == 2 else 0.4
            ax.vlines(right[band, cut], down[band], down[band + 1], color="white", linewidth=width, alpha=0.8)
    ax.hlines(down[1:4], -0.5, shape[1] - 0.5, color="white", linewidth=[0.4, 1.2, 0.4], alpha=0.8)


def _draw_arrows(ax: Any, shape: Sequence[int], halves: Any, start: int, view: int, longest: float) -> None:
    down, right = _edges(shape, halves.rows[start, view], halves.columns[start, view])
    scale = longest / (_LONGEST * max(shape))  # mm for each pixel of an arrow
    middle = (down[:-1] + down[1:]) / 2
    columns = (right[:, :-1] + right[:, 1:]) / 2
    thin = {"angles": "xy", "scale_units": "xy", "scale": scale, "zorder": 3}
    box = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5}
    for cell, shift in enumerate(halves.cells[start, view].numpy()):
        band, column = divmod(cell, 4)
        if np.isfinite(shift).all():
            shift = shift * min(1.0, longest / max(float(np.hypot(*shift)), 1e-9))
            ax.quiver(columns[band, column], middle[band], *shift, color="0.85", width=0.003, **thin)
    for number, shift in enumerate(halves.shifts[start, view, _QUARTERS].numpy()):
        if not np.isfinite(shift).all():
            continue
        bands, half = slice(2 * (number // 2), 2 * (number // 2) + 2), number % 2
        y = down[2 * (number // 2) + 1]
        x = float(np.mean(right[bands, 2 * half + 1]))
        mm = float(np.hypot(*shift))
        color = _APART if mm > APART_MM else _DOUBT if mm > APART_MM / 2 else _AGREE
        ax.quiver(x, y, *shift, color=color, width=0.012, edgecolor="black", linewidth=0.4, **thin)
        below = y + 0.05 * shape[0] if shift[1] <= 0 else y - 0.05 * shape[0]
        ax.text(x, below, f"{mm:.2f} mm", color="white", ha="center", va="center", fontsize=9, bbox=box, zorder=4)
    x, y = 0.03 * shape[1], 0.96 * shape[0]
    ax.quiver(x, y, APART_MM, 0, color="white", width=0.006, **thin)
    beside = x + APART_MM / scale + 0.02 * shape[1]
    ax.text(beside, y, f"{APART_MM:g} mm", color="white", va="center", fontsize=8, bbox=box, zorder=4)
