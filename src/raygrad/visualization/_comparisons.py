"""X-ray and rendered image in one picture, pixel by pixel, as files."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.types import Images
from raygrad.visualization._registration import compared_in_colour

KINDS = ("overlay", "checkerboard", "difference")


def save_comparison(
    path: str | os.PathLike[str],
    xrays: Images | Sequence[Images],
    drr_images: Images | Sequence[Images],
    kind: str = "overlay",
    mask: Float[Tensor, "height width"] | None = None,
) -> None:
    """Write X-rays and rendered images in one picture, a pixel each, as PNG; several stand beside each other.

    Args:
        path: the file.
        xrays: (1, 1, height, width) each, bone bright.
        drr_images: of the same shapes.
        kind: "overlay", "checkerboard" (both see `plot_overlay`) or "difference" (see `plot_difference`).
        mask: weights as given to `register`.

    Raises:
        ValueError: another kind, or shapes that do not match.
        OSError: the file cannot be written.
        MissingLibraryError: matplotlib is not installed.
    """
    if kind not in KINDS:
        raise ValueError(f"Expected kind as one of {', '.join(KINDS)}. Got {kind!r}.")
    firsts, seconds = ([one] if isinstance(one, Tensor) else list(one) for one in (xrays, drr_images))
    pictures = [
        compared_in_colour(xray, drr, kind, mask)[0].clamp(0, 1) for xray, drr in zip(firsts, seconds, strict=True)
    ]
    height = max(len(picture) for picture in pictures)
    padded = [torch.nn.functional.pad(picture, (0, 0, 0, 0, 0, height - len(picture))) for picture in pictures]
    image = require("matplotlib.image", "writing pictures")
    path = Path(path).expanduser()
    with written_whole(path) as unfinished:
        image.imsave(unfinished, (torch.cat(padded, dim=1) * 255).round().to(torch.uint8).numpy(), format="png")
