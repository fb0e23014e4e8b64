"""What was cut out of a CT, over the patient that is left."""

from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad.data import Subject, Volume
from raygrad.visualization._images import _new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST, _HIGHEST = -1000.0, 400.0  # HU from black to white
_TISSUE = -500.0


def plot_cut_out(
    subject: Subject, axs: "np.ndarray | list[Axes] | None" = None, *, cut_out: Volume | None = None
) -> Any:
    """Draw, in red, what `read(..., remove_table=True)` or `register` cut out of a CT: an axial and a sagittal slice.

    The axial one is where most went, the sagittal one where the patient is thickest; sides are as in `plot_slices`.

    Args:
        subject: the CT.
        axs: two axes to draw in; a new figure by default.
        cut_out: what went, `result.ct.cut_out` of a registration; by default `subject.cut_out`.

    Returns:
        The axes.

    Raises:
        ValueError: the subject does not know what was cut out, it is on another grid, or there are not two axes.
        ImportError: matplotlib is not installed.
    """
    cut_out = getattr(subject, "cut_out", None) if cut_out is None else cut_out
    if cut_out is None:
        raise ValueError("Expected a subject of read(..., remove_table=True). Got one without `cut_out`.")
    if cut_out.spatial_shape != subject.volume.spatial_shape:
        raise ValueError(
            f"Expected what was cut out on the grid of the CT, {subject.volume.spatial_shape}. "
            f"Got {cut_out.spatial_shape}."
        )
    axs = np.atleast_1d(_new_axes(2) if axs is None else np.asarray(axs, dtype=object))
    if axs.shape != (2,):
        raise ValueError(f"Expected two axes. Got an array of shape {axs.shape}.")
    hu, went = subject.volume.voxels.cpu(), cut_out.voxels.cpu() > 0
    x, y, z = subject.volume.spacing
    k = int(went.sum((0, 1)).argmax())
    i = int((hu > _TISSUE).sum((1, 2)).argmax())
    pictures = ((hu[:, :, k], went[:, :, k], "axial", y / x), (hu[i], went[i], "sagittal", z / y))
    for ax, (values, red, title, aspect) in zip(axs, pictures, strict=True):
        grey = ((values.float() - _LOWEST) / (_HIGHEST - _LOWEST)).clamp(0, 1).numpy()
        colours = np.repeat(grey[..., None], 3, axis=2)
        colours[red.numpy()] = (1.0, 0.25, 0.2)
        ax.imshow(colours[::-1, ::-1].transpose(1, 0, 2), aspect=aspect)
        ax.set(title=f"{title}, cut out: red", xticks=[], yticks=[])
    return axs
