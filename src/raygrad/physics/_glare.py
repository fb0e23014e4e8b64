"""Veiling glare: light and scatter within the detector that spread over most of the image, and lower contrast.

J. A. Seibert, O. Nalcioglu and W. W. Roeck, "Characterization of the veiling glare PSF in x-ray image intensified
fluoroscopy", Medical Physics 11 (1984) 172, and "Removal of image intensifier veiling glare by mathematical
deconvolution techniques", 12 (1985) 281: a point keeps 1 - share, and share exp(-r / reach) / (2 pi reach r) of it lies
r away. Flat panels have it too, as the low-frequency drop of their transfer function.
"""

from dataclasses import dataclass

import torch

from raygrad.physics._filters import gamma_mixture, mirrored, of_gaussians
from raygrad.physics._numbers import Number, Pixel, Signal, check_images, check_number, pixel_of, tensor_of


@dataclass(frozen=True)
class Glare:
    """A share of the signal that arrives elsewhere.

    The transfer function is 1 - share + share / sqrt(1 + (2 pi reach f)^2). Images are mirrored at their edges: their
    sum is kept, and an open field stays flat.

    Attributes:
        share: of the signal, 0 to 1: 0.05 for a flat panel, 0.15 for an image intensifier. May be a tensor with a
            gradient, as `reach_mm`.
        reach_mm: how far it spreads on the detector, on average; 0 and up.

    Raises:
        ValueError: a number beyond its bounds.
    """

    share: Number = 0.05
    reach_mm: Number = 20.0

    def __post_init__(self) -> None:
        check_number("share", self.share, least=0, most=1)
        check_number("reach_mm", self.reach_mm, least=0, unit="mm")

    def __call__(self, images: Signal, *, pixel_mm: Pixel) -> Signal:
        """Spread a share of images.

        Args:
            images: (view, channel, height, width), any signal.
            pixel_mm: height and width of a pixel on the detector: (dely, delx).

        Raises:
            TypeError, ValueError: images or pixels that are none.
        """
        check_images(images)
        share, reach = tensor_of(self.share, images), tensor_of(self.reach_mm, images)
        shares, times = gamma_mixture(0.5, images)
        variances = times[:, None] * (reach / torch.stack(pixel_of(pixel_mm, images))) ** 2
        height, width = images.shape[-2:]
        return mirrored(images, 1 - share + share * of_gaussians(shares, variances, (height, width)))
