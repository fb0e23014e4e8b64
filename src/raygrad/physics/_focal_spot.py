"""The focal spot: rays begin all over it, so that edges have a penumbra where they are magnified.

K. Doi and K. Rossmann, "Effect of focal spot distribution on blood vessel imaging in magnification radiography",
Radiology 114 (1975) 435: seen from an object that is magnified m times, the spot's image on the detector is m - 1 times
as large as the spot. Sizes are those of IEC 60336.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics._filters import gaussian, windowed
from raygrad.physics._numbers import (
    Number,
    Pixel,
    Signal,
    check_choice,
    check_images,
    check_number,
    pixel_of,
    tensor_of,
)

SHAPES = ("gaussian", "uniform")
_WIDTH_OF_GAUSSIAN = 2 * math.sqrt(2 * math.log(2))
"""The full width at half of its maximum, in standard deviations."""


@dataclass(frozen=True)
class FocalSpot:
    """The penumbra of a focal spot, everywhere as for an object of one magnification.

    Images are mirrored at their edges: their sum is kept, and an open field stays flat.

    Attributes:
        width_mm: size of the spot, as seen from the detector, along the image's rows; 0 is a point. May be a tensor
            with a gradient, as `height_mm`.
        height_mm: along the image's columns; None: as wide.
        shape: "gaussian", whose full width at half maximum is the size; or "uniform", a bright rectangle, whose images
            are read linearly between the middles of pixels.

    Raises:
        ValueError: a size that is negative or not finite, or another shape.
    """

    width_mm: Number = 0.6
    height_mm: Number | None = None
    shape: str = "gaussian"

    def __post_init__(self) -> None:
        check_number("width_mm", self.width_mm, least=0, unit="mm")
        if self.height_mm is not None:
            check_number("height_mm", self.height_mm, least=0, unit="mm")
        check_choice("shape", self.shape, SHAPES)

    def __call__(self, images: Signal, *, pixel_mm: Pixel, magnification: Number) -> Signal:
        """Blur images.

        Args:
            images: (view, channel, height, width), the intensity that is transmitted.
            pixel_mm: height and width of a pixel on the detector: (dely, delx).
            magnification: source-to-detector over source-to-object distance, at least 1.

        Raises:
            TypeError, ValueError: images, pixels or a magnification that are none.
        """
        check_images(images)
        check_number("magnification", magnification, least=1)
        enlarged = tensor_of(magnification, images) - 1
        sizes = (self.width_mm if self.height_mm is None else self.height_mm, self.width_mm)
        sides = torch.stack(pixel_of(pixel_mm, images))
        pixels = enlarged * torch.stack([tensor_of(size, images) for size in sizes]) / sides
        if self.shape == "gaussian":
            return gaussian(images, (pixels / _WIDTH_OF_GAUSSIAN) ** 2)
        down, across = (_uniform(size) for size in pixels)
        return windowed(images, down, across)


def _uniform(size: Float[Tensor, ""]) -> Float[Tensor, " distance"]:
    """The weights of a uniform spot of a size in pixels, at distances of 0, 1, ... of them."""
    distances = torch.arange(math.ceil(float(size.detach()) / 2) + 2, dtype=torch.float64, device=size.device)
    wide = size.clamp_min(2)
    weights = (_below(distances + wide / 2) - _below(distances - wide / 2)) / wide
    # Up to two pixels, where the division would be by 0: triangles about 0 and its neighbours.
    narrow = torch.cat([(1 - size / 4)[None], (size / 8)[None], torch.zeros_like(distances)])[: len(distances)]
    return torch.where(size < 2, narrow, weights)


def _below(places: Tensor) -> Tensor:
    """The area of the triangle from -1 to 1 below places."""
    inside = places.clamp(-1, 1)
    return torch.where(inside < 0, (1 + inside) ** 2 / 2, 1 - (1 - inside) ** 2 / 2)
