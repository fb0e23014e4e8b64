"""Slices of volumes, and how a reconstruction got there, with matplotlib."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad.data import Volume
from raygrad.reconstruction import ReconstructionResult
from raygrad.visualization._images import _new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLANES = ("axial", "coronal", "sagittal")
_SIDES = (("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I"))  # left, right, top, bottom of each plane


def plot_slices(
    volume: Volume | ReconstructionResult,
    centre: Sequence[float | int] | None = None,
    axs: "Sequence[Axes] | np.ndarray | None" = None,
    cmap: str = "gray",
    **imshow_kwargs: Any,
) -> Any:
    """Draw the axial, the coronal and the sagittal slice through a point, as radiologists look at them.

    The patient's right is on the left of the axial and coronal slice, front on the left of the sagittal one, the head
    up. Axes are in world mm. Volumes whose axes lean are drawn along the closest axes of the world.

    Args:
        volume: what to draw.
        centre: x, y, z in world mm, inside the volume; its middle by default.
        axs: three axes to draw in; a new figure by default.
        cmap, imshow_kwargs: passed to `matplotlib.axes.Axes.imshow`; `vmin` and `vmax` are the volume's extremes by
            default, the same for all three.

    Returns:
        The axes.

    Raises:
        ValueError: the point is outside the volume, or there are not three axes.
        ImportError: matplotlib is not installed.
    """
    if isinstance(volume, ReconstructionResult):
        volume = volume.to_volume()
    volume = volume.to_canonical()
    voxels, affine = volume.voxels, volume.affine
    middle = np.array(volume.get_center() if centre is None else centre, dtype=float)
    index = np.round((np.linalg.inv(affine) @ [*middle, 1.0])[:3]).astype(int)
    if not all(0 <= i < n for i, n in zip(index, voxels.shape, strict=True)):
        raise ValueError(f"Expected a point inside the volume, {volume.get_bounds()} mm. Got {tuple(middle)}.")
    axs = np.atleast_1d(_new_axes(3) if axs is None else np.asarray(axs, dtype=object))
    if axs.shape != (3,):
        raise ValueError(f"Expected three axes. Got an array of shape {axs.shape}.")
    lowest, highest = voxels.aminmax()
    imshow_kwargs = {"vmin": float(lowest), "vmax": float(highest)} | imshow_kwargs
    corner, far = (affine @ [-0.5, -0.5, -0.5, 1.0])[:3], (affine @ [*(np.array(voxels.shape) - 0.5), 1.0])[:3]
    i, j, k = index.tolist()
    # The world's axes point to the patient's right, front and head, which all belong to the left or top of a picture.
    slices = ((voxels[:, :, k], 0, 1), (voxels[:, j], 0, 2), (voxels[i], 1, 2))
    for ax, plane, (values, across, up), sides in zip(axs, PLANES, slices, _SIDES, strict=True):
        extent = (far[across], corner[across], corner[up], far[up])
        ax.imshow(values.flip(0, 1).T.detach().cpu().numpy(), cmap=cmap, extent=extent, **imshow_kwargs)
        ax.set_title(plane)
        for text, place in zip(sides, ((0.02, 0.5), (0.98, 0.5), (0.5, 0.98), (0.5, 0.02)), strict=True):
            ax.text(*place, text, transform=ax.transAxes, color="w", ha="center", va="center", fontsize="small")
    return axs


def plot_history(results: ReconstructionResult | Sequence[ReconstructionResult], ax: "Axes | None" = None) -> Any:
    """Draw the residual of every iteration against the time.

    Args:
        results: of one reconstruction, or of several for a line each.
        ax: axes to draw in; new ones by default.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
    """
    ax = _new_axes(1)[0] if ax is None else ax
    for result in [results] if isinstance(results, ReconstructionResult) else results:
        seconds = [iteration.seconds for iteration in result.history]
        residuals = [math.nan if iteration.residual is None else iteration.residual for iteration in result.history]
        ax.plot(seconds, residuals, ".-", label=result.method)
    ax.set(xlabel="seconds", ylabel="residual |Ax - b| / |b|", yscale="log")
    ax.legend()
    return ax
