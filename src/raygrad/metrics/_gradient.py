"""Similarity of image gradients."""

import torch
from torch import Tensor

from raygrad._precision import full_precision
from raygrad.metrics._checks import Number, checked_images
from raygrad.metrics._filters import Filtered, gaussian_blur, gaussian_blur_size, sobel
from raygrad.metrics._ncc import NormalizedCrossCorrelation2d
from raygrad.types import Images, Scores


class GradientNormalizedCrossCorrelation2d(NormalizedCrossCorrelation2d):
    """Normalised cross-correlation of the x and y derivatives of two batches of images, (B, C, H, W) -> (B,).

    Derivatives are Sobel's, of images blurred by a Gaussian and with zeros around them.

    Args:
        patch_size: side of the patches that are correlated; None for whole images.
        sigma: the Gaussian's deviation in pixels; 0 does not blur.
        eps: added to the variances.
    """

    def __init__(self, patch_size: int | None = None, sigma: Number = 1.0, eps: Number = 1e-5) -> None:
        """Raise ValueError for a patch without pixels or a negative deviation."""
        super().__init__(patch_size, eps)
        if sigma < 0:
            raise ValueError(f"Expected a deviation of at least 0 pixels. Got {sigma}.")
        self.sigma = sigma

    @full_precision
    def forward(self, x1: Tensor, x2: Tensor) -> Scores:
        """The scores (B,); ValueError for other shapes or images smaller than a patch or half the Gaussian."""
        # Not broadcast: the slopes of a batch of one are taken once.
        checked_images(x1, x2, gaussian_blur_size(self.sigma) // 2 + 1 if self.sigma else 1)
        return super().forward(self._derivatives(x1), self._derivatives(x2))

    def _derivatives(self, images: Images) -> Filtered:
        return sobel(gaussian_blur(images, self.sigma) if self.sigma else images, padding=1)


@full_precision
def gradient_difference(fixed: Images, moving: Images, scale: Number = 1.0) -> Scores:
    """Penney's gradient difference as a share of its maximum: in (0, 1], 1 where scale x moving equals fixed.

    The mean over pixels and both directions of A / (A + (d fixed - scale d moving)^2), d Sobel's derivative where it
    needs no padding and A the variance of d fixed. A large difference counts no more than a few medium ones, so a wire
    or a needle in one image alone does little harm (Penney et al., "A comparison of similarity measures for use in
    2-D-3-D medical image registration", IEEE TMI 17(4), 1998).
    """
    slopes = sobel(fixed, padding=0)
    variance = slopes.var(dim=(-2, -1), keepdim=True, correction=0)
    variance = variance.clamp_min(torch.finfo(slopes.dtype).tiny)  # a uniform image equals itself: 1, not 0 / 0
    difference = slopes - scale * sobel(moving, padding=0)
    return (variance / (variance + difference.square())).mean(dim=(1, 2, 3))


class GradientDifference(torch.nn.Module):
    """Penney's gradient difference of two batches of images, (B, C, H, W) -> (B,), higher is more alike.

    Not symmetric: x1 is the fixed image, the X-ray, whose gradients set the scale. See :func:`gradient_difference`.

    Args:
        scale: what the intensities of x2 are multiplied by to be those of x1.
    """

    def __init__(self, scale: Number = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x1: Tensor, x2: Tensor) -> Scores:
        """The scores (B,); ValueError for other shapes or images below 3 x 3 pixels."""
        return gradient_difference(*checked_images(x1, x2, 3), self.scale)
