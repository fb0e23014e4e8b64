"""Structural similarity (SSIM) of images."""

import torch
from torch import Tensor, nn

from raygrad._precision import full_precision
from raygrad.metrics._checks import Number, checked_images
from raygrad.metrics._filters import gaussian_window, separable
from raygrad.types import Images, Scores


@full_precision
def structural_similarity(
    x1: Images, x2: Images, data_range: Number = 1.0, window_size: int = 11, sigma: Number = 1.5
) -> Scores:
    """The mean structural similarity over all windows inside x1 and x2 and all channels: in [-1, 1], 1 if equal.

    Windows are Gaussians of deviation sigma on window_size x window_size pixels; data_range is the span of intensities.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13(4), 2004,
    equation 13 with K1 = 0.01 and K2 = 0.03. Variances are taken about the first image's mean, not about zero, which
    changes nothing but the rounding.
    """
    channels = x1.shape[1]
    origin = x1.detach().mean(dim=(-2, -1), keepdim=True)
    x1, x2 = x1 - origin, x2 - origin
    window = gaussian_window(window_size, sigma, x1)
    mean_1, mean_2, mean_12, mean_11, mean_22 = separable(
        torch.cat([x1, x2, x1 * x2, x1 * x1, x2 * x2], dim=1), window
    ).split(channels, dim=1)
    similarity = similarity_of_moments(mean_1, mean_2, mean_12, mean_11, mean_22, origin, data_range)
    return similarity.mean(dim=(1, 2, 3))


def similarity_of_moments(
    mean_1: Tensor,
    mean_2: Tensor,
    mean_12: Tensor,
    mean_11: Tensor,
    mean_22: Tensor,
    origin: Tensor,
    data_range: Number | Tensor,
) -> Tensor:
    """The similarity of each window, of the means of x1, x2, x1 x2, x1^2 and x2^2 in it, taken about `origin`."""
    covariance = mean_12 - mean_1 * mean_2
    variances = (mean_11 - mean_1.square()) + (mean_22 - mean_2.square())
    mean_1, mean_2 = mean_1 + origin, mean_2 + origin
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_1 * mean_2 + c1) / (mean_1.square() + mean_2.square() + c1)
    return luminance * (2 * covariance + c2) / (variances + c2)


class StructuralSimilarity2d(nn.Module):
    """Structural similarity of two batches of images, (B, C, H, W) -> (B,), higher is more alike.

    Args:
        data_range: largest minus smallest intensity that images can have.
        window_size: side in pixels of the Gaussian window.
        sigma: its deviation in pixels.
    """

    def __init__(self, data_range: Number = 1.0, window_size: int = 11, sigma: Number = 1.5) -> None:
        """Raise ValueError unless all three are positive."""
        super().__init__()
        if data_range <= 0 or window_size < 1 or sigma <= 0:
            raise ValueError(
                f"Expected a positive data range, window size and sigma. Got {data_range}, {window_size} and {sigma}."
            )
        self.data_range = data_range
        self.window_size = window_size
        self.sigma = sigma

    def forward(self, x1: Tensor, x2: Tensor) -> Scores:
        """The scores (B,); ValueError for other shapes or images smaller than the window."""
        x1, x2 = checked_images(x1, x2, self.window_size)
        return structural_similarity(x1, x2, self.data_range, self.window_size, self.sigma)
