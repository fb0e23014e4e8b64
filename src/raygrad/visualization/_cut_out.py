"""What was cut out of a CT, over the patient that is left."""

from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad.data import Subject
from raygrad.visualization._images import _new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOWEST, _HIGHEST = -1000.0, 400.0  # HU from black to white
_TISSUE = -500.0


def plot_cut_out(subject: Subject, axs: "np.ndarray | list[Axes] | None" = None) -> Any:
    """Draw, in red, what `read(..., remove_table=True)` cut out of a CT, in an axial and a sagittal slice.

    The axial one is where most went, the sagittal one where the patient is thickest; sides are as in `plot_slices`.

    Args:
        subject: of `read(..., remove_table=True)`.
        axs: two axes to draw in; a new figure by default.

    Returns:
        The axes.

    Raises:
        ValueError: the subject does not know what was cut out, or there are not two axes.
        ImportError: matplotlib is not installed.
    """
    cut_out = getattr(subject, "cut_out", None)
    if cut_out is None:
        raise ValueError("Expected a subject of read(..., remove_table=True). Got one without `cut_out`.")
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
