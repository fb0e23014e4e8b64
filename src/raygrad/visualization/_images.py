"""Plots of rendered images and of rendered structures over them, with matplotlib.

Matplotlib's `imshow` puts the centre of the first pixel at (0, 0). Subtract 0.5 from the pixel coordinates of
`DRR.perspective_projection` to draw projected points over these pictures.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor

from raygrad.types import Images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Set2 of ColorBrewer (Brewer and Harrower): seven colours that stay apart over grey.
STRUCTURE_COLORS = (
    "rgb(102,194,165)",
    "rgb(252,141,98)",
    "rgb(141,160,203)",
    "rgb(231,138,195)",
    "rgb(166,216,84)",
    "rgb(255,217,47)",
    "rgb(229,196,148)",
)


def plot_drr(
    img: Images,
    title: str | Sequence[str] | None = None,
    ticks: bool | None = True,
    axs: "Axes | Sequence[Axes] | np.ndarray | None" = None,
    cmap: str = "gray",
    **imshow_kwargs: Any,
) -> Any:
    """Draw a batch of images side by side.

    Args:
        img: (batch, channel, height, width). With several channels (see `DRR.forward`, `mask_to_channels`) their sum
            is drawn, and every channel but the first over it as a structure.
        title: written below the images, one for all or one each.
        ticks: number the corner pixels, from 1.
        axs: axes to draw in, one for every image; a new figure by default.
        cmap, imshow_kwargs: passed to `matplotlib.axes.Axes.imshow`.

    Returns:
        The axes, one for every image.

    Raises:
        ValueError: the number of titles or axes is not that of the images.
        ImportError: matplotlib is not installed.
    """
    if img.shape[1] > 1:
        return plot_img_and_mask(img, title, ticks, axs, cmap, **imshow_kwargs)
    axs = _new_axes(len(img)) if axs is None else _one_for_each(img, axs)
    titles = [title] * len(img) if title is None or isinstance(title, str) else title
    if len(titles) != len(img):
        raise ValueError(f"Expected {len(img)} titles, one for every image. Got {len(titles)}.")
    height, width = img.shape[-2:]
    for picture, ax, text in zip(_to_numpy(img[:, 0]), axs, titles, strict=True):
        ax.imshow(picture, cmap=cmap, **imshow_kwargs)
        ax.xaxis.tick_top()
        ax.set_xlabel("" if text is None else text)
        ax.set_xticks([0, width - 1] if ticks else [], [1, width] if ticks else [])
        ax.set_yticks([0, height - 1] if ticks else [], [1, height] if ticks else [])
    return axs


def plot_mask(
    img: Images,
    axs: "Axes | Sequence[Axes] | np.ndarray",
    colors: Sequence[str] = STRUCTURE_COLORS,
    alpha: float = 0.5,
    return_masks: bool = False,
) -> UInt8[Tensor, "batch channel height width 4"] | None:
    """Draw where rendered structures are, in colour, over images that are there already.

    Args:
        img: (batch, channel, height, width), a channel for every structure. Pixels above 0 are coloured.
        axs: axes to draw in, one for every image of the batch.
        colors: given in turn to the channels, as "rgb(102,194,165)" or as any colour that matplotlib knows.
        alpha: opacity from 0 to 1.
        return_masks: return the pictures drawn.

    Returns:
        RGBA pictures (batch, channel, height, width, 4) from 0 to 255 on request.

    Raises:
        ValueError: an unknown colour, or the number of axes is not that of the images.
        ImportError: matplotlib is not installed.
    """
    palette = torch.tensor([_to_rgba(color) for color in colors], dtype=torch.uint8)
    turn = torch.arange(img.shape[1]) % len(palette)
    seen = (img > 0).detach().cpu()
    masks = seen[..., None] * palette[turn][None, :, None, None, :]
    for ax, structures in zip(_one_for_each(img, axs), masks.numpy(), strict=True):
        for structure in structures:
            ax.imshow(structure, alpha=alpha)
    return masks if return_masks else None


def plot_img_and_mask(
    img: Images,
    title: str | Sequence[str] | None = None,
    ticks: bool | None = True,
    axs: "Axes | Sequence[Axes] | np.ndarray | None" = None,
    cmap: str = "gray",
    alpha: float = 0.5,
    **imshow_kwargs: Any,
) -> Any:
    """Draw the sum of all channels, and every channel but the first (the background) over it in colour.

    Arguments, result and errors are those of `plot_drr` and `plot_mask`.
    """
    axs = plot_drr(img.sum(dim=1, keepdim=True), title, ticks, axs, cmap, **imshow_kwargs)
    plot_mask(img[:, 1:], axs, alpha=alpha)
    return axs


def _new_axes(n_images: int) -> np.ndarray:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('Plots need matplotlib: pip install "raygrad[plot]"') from error
    return plt.subplots(ncols=n_images, figsize=(10, 5), squeeze=False)[1][0]


def _one_for_each(img: Images, axs: Any) -> np.ndarray:
    axes = np.atleast_1d(np.asarray(axs, dtype=object))
    if axes.shape != (len(img),):
        raise ValueError(f"Expected {len(img)} axes, one for every image. Got an array of shape {axes.shape}.")
    return axes


def _to_numpy(pictures: Shaped[Tensor, "batch height width"]) -> np.ndarray:
    return pictures.detach().cpu().numpy()


def _to_rgba(color: str) -> list[int]:
    """The colour as bytes, opaque."""
    if color.startswith("rgb(") and color.endswith(")"):
        return [*(int(part) for part in color[4:-1].split(",")), 255]
    from matplotlib.colors import to_rgb

    return [*(round(255 * part) for part in to_rgb(color)), 255]
