"""The detector's blur: light that spreads in a scintillator, or charge that is shared, as a transfer function.

A Gaussian is the usual model of what spreads a little (direct converters, structured CsI); thick powder screens have
long tails and nearly the Lorentzian 1 / (1 + H f^2), from the diffusion of light: R. K. Swank, "Calculation of
modulation transfer functions of x-ray fluorescent screens", Applied Optics 12 (1973) 1865; fitted so to flat panels by
J. H. Siewerdsen et al., "Signal, noise power spectrum, and detective quantum efficiency of indirect-detection
flat-panel imagers", Medical Physics 25 (1998) 614.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics._filters import gamma_mixture, gaussian, mirrored, of_gaussians
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

SHAPES = ("gaussian", "lorentzian")


@dataclass(frozen=True)
class DetectorBlur:
    """What a detector's modulation transfer function (MTF) leaves of an image.

    The weights are positive and sum to one. Images are mirrored at their edges: their sum is kept and an open field
    stays flat. The blur's second moment along either axis is `sigma_mm` squared, however large pixels are.

    Attributes:
        sigma_mm: root of that second moment, in mm on the detector; 0 is no blur. May be a tensor with a gradient.
        shape: "gaussian", with the MTF exp(-2 (pi sigma f)^2); or "lorentzian", 1 / (1 + 2 (pi sigma f)^2), of longer
            tails at the same second moment.

    Raises:
        ValueError: a sigma that is negative or not finite, or another shape.
    """

    sigma_mm: Number
    shape: str = "gaussian"

    def __post_init__(self) -> None:
        check_number("sigma_mm", self.sigma_mm, least=0, unit="mm")
        check_choice("shape", self.shape, SHAPES)

    @classmethod
    def from_mtf(cls, mtf: Number, per_mm: Number, shape: str = "gaussian") -> "DetectorBlur":
        """The blur that leaves a known share of a frequency, as data sheets tell: 0.5 at 1.2 line pairs per mm.

        Args:
            mtf: what is left, above 0 and up to 1.
            per_mm: the frequency in cycles (line pairs) per mm.
            shape: "gaussian" or "lorentzian".

        Raises:
            ValueError: a number beyond its bounds, or another shape.
        """
        check_number("mtf", mtf, above=0, most=1)
        check_number("per_mm", per_mm, above=0, unit="cycles per mm")
        check_choice("shape", shape, SHAPES)
        left = tensor_of(mtf, torch.empty(()))
        twice = -torch.log(left) if shape == "gaussian" else 1 / left - 1
        sigma = torch.sqrt(twice / 2) / (math.pi * tensor_of(per_mm, left))
        return cls(sigma if sigma.requires_grad else float(sigma), shape)

    def mtf(self, per_mm: Float[Tensor, " frequency"]) -> Float[Tensor, " frequency"]:
        """The share that is left of each frequency, in cycles per mm."""
        half = (math.pi * tensor_of(self.sigma_mm, per_mm).to(per_mm) * per_mm) ** 2
        return torch.exp(-2 * half) if self.shape == "gaussian" else 1 / (1 + 2 * half)

    def __call__(self, images: Signal, *, pixel_mm: Pixel) -> Signal:
        """Blur images.

        Args:
            images: (view, channel, height, width), any signal.
            pixel_mm: height and width of a pixel on the detector: (dely, delx).

        Raises:
            TypeError, ValueError: images or pixels that are none.
        """
        check_images(images)
        variance = tensor_of(self.sigma_mm, images) ** 2
        sides = torch.stack(pixel_of(pixel_mm, images))
        if self.shape == "gaussian":
            return gaussian(images, variance / sides**2)
        shares, times = gamma_mixture(1.0, images)
        height, width = images.shape[-2:]
        return mirrored(images, of_gaussians(shares, (times * (variance / 2))[:, None] / sides**2, (height, width)))
