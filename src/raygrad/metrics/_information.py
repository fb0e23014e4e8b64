"""Mutual information of images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from raygrad._precision import full_precision
from raygrad.metrics._checks import Number, checked_images
from raygrad.types import Images, Scores

Samples = Float[Tensor, "batch sample"]

# Kernel values alive at once: 8 MiB in float32, which a CPU keeps in its cache; elsewhere 256 MiB, since the fewer
# pieces the fewer operations to start.
_KERNEL_VALUES = 2**21
_KERNEL_VALUES_OF_A_GPU = 2**26


@full_precision
def mutual_information(
    x1: Images, x2: Images, sigma: Number = 0.1, num_bins: int = 256, epsilon: Number = 1e-10, normalize: bool = True
) -> Scores:
    """The mutual information in bits of the intensities of each pair of images, or normalised into [0, 1].

    Probabilities are Parzen estimates: a Gaussian of deviation sigma about every pixel's intensity, at num_bins
    intensities from 0 to 1. I = H(x1) + H(x2) - H(x1, x2), normalised 2 I / (H(x1) + H(x2)) (Studholme et al., "An
    overlap invariant entropy measure of 3D medical image alignment", Pattern Recognition 32, 1999) if normalize.
    epsilon is added to probabilities in logarithms.

    Intensities far outside [0, 1] fall on no bin; an image of nothing else has no entropy, and its score is NaN.

    The pixels are taken in pieces whose kernel values are computed again for the gradient, so memory does not grow
    with pixels x bins.
    """
    first, second = x1.flatten(1), x2.flatten(1)
    bins = torch.linspace(0, 1, num_bins, dtype=x1.dtype, device=x1.device)
    kernel_values = _KERNEL_VALUES if x1.device.type == "cpu" else _KERNEL_VALUES_OF_A_GPU
    piece = max(1, kernel_values // (len(first) * num_bins))
    totals = [torch.zeros((), dtype=x1.dtype, device=x1.device)] * 3
    for part in zip(first.split(piece, dim=1), second.split(piece, dim=1), strict=True):
        sums = checkpoint(_kernel_sums, *part, bins, sigma, use_reentrant=False, preserve_rng_state=False)
        totals = [total + more for total, more in zip(totals, sums, strict=True)]
    marginal_1, marginal_2, joint = totals
    pixels = first.shape[1]
    entropy_1, entropy_2 = (_entropy(total / pixels, epsilon, epsilon) for total in (marginal_1, marginal_2))
    information = entropy_1 + entropy_2 - _entropy(joint.flatten(1), 1e-10, epsilon)
    return 2 * information / (entropy_1 + entropy_2) if normalize else information


def _kernel_sums(x1: Samples, x2: Samples, bins: Tensor, sigma: Number) -> tuple[Tensor, Tensor, Tensor]:
    """The sums over samples of both kernels (B, bins), and of their products (B, bins, bins)."""
    kernel_1, kernel_2 = (torch.exp(-0.5 * ((x[:, :, None] - bins) / sigma).square()) for x in (x1, x2))
    return kernel_1.sum(1), kernel_2.sum(1), kernel_1.mT @ kernel_2


def _entropy(weights: Float[Tensor, "batch bin"], floor: Number, epsilon: Number) -> Scores:
    """The entropy in bits of weights, made to sum to one."""
    probability = weights / (weights.sum(dim=1, keepdim=True) + floor)
    return -(probability * (probability + epsilon).log2()).sum(dim=1)


class MutualInformation(nn.Module):
    """Mutual information of two batches of images with intensities in [0, 1], (B, C, H, W) -> (B,).

    Channels count as more pixels. See :func:`mutual_information`.

    Args:
        sigma: deviation of the Gaussian kernel of an intensity.
        num_bins: intensities at which probabilities are estimated.
        epsilon: added to sums that are divided by and to probabilities in logarithms.
        normalize: divide by the mean of both entropies.
    """

    def __init__(
        self, sigma: Number = 0.1, num_bins: int = 256, epsilon: Number = 1e-10, normalize: bool = True
    ) -> None:
        """Raise ValueError unless sigma is positive and there are two bins."""
        super().__init__()
        if sigma <= 0 or num_bins < 2:
            raise ValueError(f"Expected a positive sigma and at least 2 bins. Got {sigma} and {num_bins}.")
        self.sigma = sigma
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.normalize = normalize

    def forward(self, x1: Tensor, x2: Tensor) -> Scores:
        """The scores (B,); ValueError for other shapes."""
        x1, x2 = checked_images(x1, x2)
        return mutual_information(x1, x2, self.sigma, self.num_bins, self.epsilon, self.normalize)
