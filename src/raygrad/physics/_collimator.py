"""The collimator: which part of the detector the beam reaches, with the half-shadow of its leaves' edges."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics._numbers import (
    Number,
    Pixel,
    check_choice,
    check_images,
    check_number,
    pixel_of,
    tensor_of,
)
from raygrad.types import Images

SHAPES = ("rectangle", "round", "octagon")
_TINY = 1e-24
"""In 1 / mm2: the square root at the middle of a round field has a derivative."""


@dataclass(frozen=True)
class Collimator:
    """Leaves or an iris that leave a part of the detector's middle open.

    Attributes:
        height_mm: of the open part on the detector; the diameter of a round one.
        width_mm: of the open part; None for as wide as high.
        shape: "rectangle"; "round", an ellipse where it is not as wide as high; "octagon", a rectangle without corners.
        turn_deg: of the leaves, counterclockwise as one looks at the image.
        penumbra_mm: over which the edges rise from 16 to 84 %, an image of the focal spot.
        leak: the share of the beam that the leaves let through.

    Every number may be a tensor with a gradient.

    Raises:
        ValueError: a length that is not positive, a leak outside 0 to 1, or another shape.
    """

    height_mm: Number
    width_mm: Number | None = None
    shape: str = "rectangle"
    turn_deg: Number = 0.0
    penumbra_mm: Number = 1.0
    leak: Number = 1e-3

    def __post_init__(self) -> None:
        check_choice("shape", self.shape, SHAPES)
        check_number("height_mm", self.height_mm, above=0.0, unit="mm")
        if self.width_mm is not None:
            check_number("width_mm", self.width_mm, above=0.0, unit="mm")
        check_number("turn_deg", self.turn_deg, unit="degrees")
        check_number("penumbra_mm", self.penumbra_mm, above=0.0, unit="mm")
        check_number("leak", self.leak, least=0.0, most=1.0)

    def field(self, shape: tuple[int, int], *, pixel_mm: Pixel, like: Tensor) -> Float[Tensor, "1 1 height width"]:
        """How much of the source every pixel's middle sees: 1 where the collimator is open, 0 where it is closed.

        Args:
            shape: rows and columns.
            pixel_mm: height and width of a pixel on the detector.
            like: whose type and device it gets.

        Raises:
            ValueError: pixels without a size.
        """
        dely, delx = pixel_of(pixel_mm, like)
        rows, columns = (torch.arange(n, dtype=torch.float64, device=like.device) - (n - 1) / 2 for n in shape)
        up, right = torch.meshgrid(-rows * dely, columns * delx, indexing="ij")
        height = tensor_of(self.height_mm, like)
        width = height if self.width_mm is None else tensor_of(self.width_mm, like)
        turn = torch.deg2rad(tensor_of(self.turn_deg, like))
        u, v = turn.cos() * right + turn.sin() * up, turn.cos() * up - turn.sin() * right
        a, b = width / 2, height / 2
        if self.shape == "round":
            slope = 2 * ((u / a**2).square() + (v / b**2).square() + _TINY).sqrt()
            open_share = self._edge((1 - (u / a).square() - (v / b).square()) / slope)
        else:
            # A rectangle that is smeared along both axes.
            open_share = (self._edge(u + a) - self._edge(u - a)) * (self._edge(v + b) - self._edge(v - b))
            if self.shape == "octagon":
                corner = (math.sqrt(2) - u.abs() / a - v.abs() / b) / (1 / a**2 + 1 / b**2).sqrt()
                open_share = open_share * self._edge(corner)
        return open_share.to(like)[None, None]

    def __call__(self, images: Images, *, pixel_mm: Pixel) -> Images:
        """The images with what the leaves let through.

        Args:
            images: the beam's share that arrives, or anything in proportion to it (view, channel, height, width).
            pixel_mm: height and width of a pixel on the detector.
        """
        check_images(images)
        height, width = images.shape[-2:]
        leak = tensor_of(self.leak, images).to(images)
        return images * (leak + (1 - leak) * self.field((height, width), pixel_mm=pixel_mm, like=images))

    def _edge(self, distance_mm: Tensor) -> Tensor:
        """From 0 to 1 across an edge."""
        return torch.special.ndtr(distance_mm / (tensor_of(self.penumbra_mm, distance_mm) / 2))
