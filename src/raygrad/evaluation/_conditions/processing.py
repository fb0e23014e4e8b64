"""What is done to an X-ray after it was taken: display curves, enhancement, a collimator's edge and burned-in text."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.metrics import gaussian_window, separable
from raygrad.physics import Quantized, Sigmoid, Window

Image = Float[Tensor, "height width"]
Pixels = Bool[Tensor, "height width"]

STEEP = 1.2
"""Of the sigmoid: so many times as steep in its middle as the window that it replaces."""
UNSHARP_MM, UNSHARP = 8.0, 1.0
LOCAL_MM, LOCAL = 40.0, 0.5
LEAF = 1.6
"""Line integrals behind the collimator's leaves, in units of the densest tissue's: leaves are brighter than bone."""

GLYPHS = {
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    " ": "00000 00000 00000 00000 00000 00000 00000",
}


@dataclass(frozen=True)
class Processing:
    """Steps after the logarithm, in the order of the attributes; without any the image stays as it is.

    Attributes:
        curve: a sigmoid display curve, as a workstation's window has it.
        local: unsharp masking and a local contrast, as multiscale processing gives them.
        collimated: a collimator, round in the AP view and a turned rectangle in others, and text; nobody is told.
    """

    curve: bool = False
    local: bool = False
    collimated: bool = False


def processed(image: Image, pixel: float, how: Processing, view: str) -> Image:
    """The image as it is handed on: line integrals or what is left of them, bone bright.

    Args:
        image: line integrals in nepers.
        pixel: side of a pixel in mm.
        how: what is done.
        view: its name, which decides on the collimator.
    """
    if how.curve:
        image = in_8_bits(display_curve(image))
    if how.local:
        image = in_8_bits(enhanced(image, pixel))
    if how.collimated:
        leaves = ~aperture((image.shape[0], image.shape[1]), view)
        shown = how.curve or how.local  # what is in 8 bits has no brighter value than its brightest
        dark = torch.where(leaves, (1.0 if shown else LEAF) * image.max(), image)
        text = (1.0 if shown else 1.05) * dark.max()
        image = torch.where(text_pixels((image.shape[0], image.shape[1])), text, dark)
    return image


def display_curve(image: Image) -> Image:
    """A sigmoid about the middle of the window between the 2nd and the 98th percentile, from 0 to 1, steep there."""
    low, high = torch.quantile(image, torch.tensor([0.02, 0.98], dtype=image.dtype))
    return Sigmoid((low + high) / 2, (high - low) / STEEP)(image)


def enhanced(image: Image, pixel: float) -> Image:
    """Unsharp masking, then half of the image gives way to its local contrast: (x - mean) / (deviation + 0.1)."""
    image = image / image.std()
    image = image + UNSHARP * (image - _blurred(image, UNSHARP_MM / pixel))
    mean = _blurred(image, LOCAL_MM / pixel)
    deviation = _blurred((image - mean).square(), LOCAL_MM / pixel).sqrt()
    return (1 - LOCAL) * image + LOCAL * (image - mean) / (deviation + 0.1)


def in_8_bits(image: Image) -> Image:
    """256 levels between the 0.5th and the 99.5th percentile; what is beyond is clipped."""
    low, high = torch.quantile(image, torch.tensor([0.005, 0.995], dtype=image.dtype))
    return Window(low, high).then(Quantized(8))(image)


def aperture(shape: tuple[int, int], view: str) -> Pixels:
    """Pixels within the collimator, off the middle: a circle in the AP view, else a rectangle turned by 11 degrees."""
    height, width = shape
    row, column = (torch.arange(size, dtype=torch.float64) / size - 0.5 for size in shape)
    y, x = row[:, None] - 0.02, column[None] + 0.03
    if view == "ap":
        return x.square() + y.square() < 0.42**2
    cos, sin = math.cos(math.radians(11)), math.sin(math.radians(11))
    return ((cos * x + sin * y).abs() < 0.38) & ((cos * y - sin * x).abs() < 0.34)


def text_pixels(shape: tuple[int, int], text: str = "R 171") -> Pixels:
    """Letters of an eighth of the image's height in its upper left quarter."""
    scale = max(1, shape[0] // 64)
    marks = torch.zeros(shape, dtype=torch.bool)
    top, left = shape[0] // 5, shape[1] // 5
    for place, letter in enumerate(text):
        rows = torch.tensor([[bit == "1" for bit in line] for line in GLYPHS[letter].split()])
        glyph = rows.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
        at = left + place * 6 * scale
        glyph = glyph[:, : max(0, shape[1] - at)]
        marks[top : top + glyph.shape[0], at : at + glyph.shape[1]] = glyph[: shape[0] - top]
    return marks


def _blurred(image: Image, sigma: float) -> Image:
    """A Gaussian blur that knows no edge of the image: beyond it all is as at it."""
    half = max(1, math.ceil(3 * sigma))
    padded = functional.pad(image[None, None], [half] * 4, mode="replicate")
    return separable(padded, gaussian_window(2 * half + 1, sigma, image))[0, 0]
