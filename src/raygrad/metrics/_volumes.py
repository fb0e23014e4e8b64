"""How alike a reconstructed volume and the true one are.

Both are (x, y, z) on one grid, of any memory order. Scores are tensors without axes, differentiable in both volumes.
A mask (x, y, z) of true and false, or of zeros and other numbers, says which voxels count.

Values are checked on the CPU only, and not while torch compiles: elsewhere the check would wait for the GPU, and NaN or
an empty mask gives NaN.
"""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._precision import full_precision
from raygrad.metrics._checks import Number, may_read
from raygrad.metrics._ssim import similarity_of_moments

Volumes = Float[Tensor, "x y z"]
Mask = Shaped[Tensor, "x y z"]
Score = Float[Tensor, ""]

# SSIM looks at slabs of about this many voxels, so that its five filtered volumes need little memory.
_VOXELS_AT_ONCE = 2**22


@full_precision
def root_mean_square_error(volume: Tensor, truth: Tensor, mask: Tensor | None = None) -> Score:
    """The root of the mean squared difference between a volume and the truth, in their units.

    With a mask, of the voxels in it.

    Raises:
        TypeError: volumes that are not floating-point tensors.
        ValueError: shapes that differ, NaN or infinity, or a mask without a voxel.
    """
    difference, mask = _checked_difference(volume, truth, mask)
    return (_norm(difference, mask) / _count(difference, mask) ** 0.5).to(difference.dtype)


@full_precision
def relative_error(volume: Tensor, truth: Tensor, mask: Tensor | None = None) -> Score:
    """|volume - truth| / |truth| in the Euclidean norm: 0 if equal, 1 for a volume of zeros.

    Raises:
        TypeError, ValueError: as for `root_mean_square_error`, or a truth of zeros.
    """
    difference, mask = _checked_difference(volume, truth, mask)
    size = _norm(truth, mask)
    if may_read(size) and not size > 0:
        raise ValueError("Expected a truth with voxels that are not 0, to measure the error against. Got none.")
    return (_norm(difference, mask) / size).to(truth.dtype)


@full_precision
def peak_signal_to_noise_ratio(
    volume: Tensor, truth: Tensor, data_range: Number | None = None, mask: Tensor | None = None
) -> Score:
    """20 log10(data_range / root_mean_square_error) in dB: higher is more alike, infinity if equal.

    Args:
        volume: what was reconstructed.
        truth: what it should be.
        data_range: largest minus smallest value that voxels can have; by default of the whole `truth`.
        mask: the voxels that count.

    Raises:
        TypeError, ValueError: as for `root_mean_square_error`, or a range that is not positive.
    """
    error = root_mean_square_error(volume, truth, mask)
    return 20 * torch.log10(_checked_range(data_range, truth) / error)


@full_precision
def structural_similarity_3d(
    volume: Tensor,
    truth: Tensor,
    data_range: Number | None = None,
    mask: Tensor | None = None,
    window: str = "gaussian",
    window_size: int | None = None,
    sigma: Number = 1.5,
) -> Score:
    """The mean structural similarity (SSIM) over all cubic windows inside the volume: in [-1, 1], 1 if equal.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13(4), 2004,
    equation 13 with K1 = 0.01 and K2 = 0.03, in three dimensions, with biased variances.

    Args:
        volume: what was reconstructed.
        truth: what it should be.
        data_range: largest minus smallest value that voxels can have; by default of the whole `truth`.
        mask: which windows count, by the voxel in their middle.
        window: "gaussian", or "uniform" for equal weights.
        window_size: side of the window in voxels, odd; by default 11 for gaussian and 7 for uniform windows.
        sigma: deviation of the gaussian window in voxels.

    Raises:
        TypeError, ValueError: as for `peak_signal_to_noise_ratio`, a volume smaller than the window, an unknown window
            or an even size, or a mask with no window about its voxels.
    """
    if window not in ("gaussian", "uniform"):
        raise ValueError(f"Expected a window of 'gaussian' or 'uniform' weights. Got {window!r}.")
    size = {"gaussian": 11, "uniform": 7}[window] if window_size is None else window_size
    if size < 1 or size % 2 == 0 or not sigma > 0:
        raise ValueError(f"Expected an odd window size and a positive sigma. Got {size} and {sigma}.")
    _, mask = _checked_difference(volume, truth, mask)
    if min(volume.shape) < size:
        raise ValueError(f"Expected volumes of at least {size} voxels a side. Got {tuple(volume.shape)}.")
    weights = _gaussian_weights(size, sigma) if window == "gaussian" else [1 / size] * size
    spread, origin = _checked_range(data_range, truth), truth.detach().mean()

    middles = tuple(length - size + 1 for length in volume.shape)
    if mask is not None:
        for axis, length in enumerate(middles):
            mask = mask.narrow(axis, size // 2, length)
        if may_read(mask) and not mask.any():
            raise ValueError(f"Expected a mask with voxels that are {size // 2} away from the edges. Got none.")
    axis = truth.stride().index(max(truth.stride()))  # slabs that lie together in memory
    thickness = max(1, _VOXELS_AT_ONCE * volume.shape[axis] // volume.numel())
    total = truth.new_zeros((), dtype=torch.float64)
    for start in range(0, middles[axis], thickness):
        length = min(thickness, middles[axis] - start)
        slab, true_slab = (whole.narrow(axis, start, length + size - 1) for whole in (volume, truth))
        similarity = _local_similarity(slab, true_slab, weights, spread, origin)
        if mask is not None:
            similarity = torch.where(mask.narrow(axis, start, length), similarity, 0.0)
        total = total + similarity.sum(dtype=torch.float64)
    count = math.prod(middles) if mask is None else mask.sum()
    return (total / count).to(truth.dtype)


def _gaussian_weights(size: int, sigma: Number) -> list[float]:
    weights = [math.exp(-0.5 * ((k - (size - 1) / 2) / sigma) ** 2) for k in range(size)]
    return [weight / sum(weights) for weight in weights]


def _local_similarity(
    volume: Volumes, truth: Volumes, weights: list[float], spread: float | Tensor, origin: Tensor
) -> Tensor:
    x1, x2 = volume - origin, truth - origin
    mean_1, mean_2, mean_12, mean_11, mean_22 = (
        _weighted_mean(moment, weights) for moment in (x1, x2, x1 * x2, x1 * x1, x2 * x2)
    )
    return similarity_of_moments(mean_1, mean_2, mean_12, mean_11, mean_22, origin, spread)


def _weighted_mean(values: Tensor, weights: list[float]) -> Tensor:
    """Convolve all three axes with a window where it lies inside.

    A sum of shifted views: torch's convolution of one channel takes seven times as long on a CPU.
    """
    for axis in range(3):
        length = values.shape[axis] - len(weights) + 1
        shifted = [values.narrow(axis, shift, length) for shift in range(len(weights))]
        values = shifted[0] * weights[0]
        for view, weight in zip(shifted[1:], weights[1:], strict=True):
            values = torch.add(values, view, alpha=weight)
    return values


def _norm(values: Tensor, mask: Tensor | None) -> Score:
    """The Euclidean norm in float64."""
    values = values if mask is None else torch.where(mask, values, 0.0)
    return torch.linalg.vector_norm(values, dtype=torch.float64)


def _count(values: Tensor, mask: Tensor | None) -> int | Tensor:
    """How many values there are: the sum of a mask in float64."""
    return values.numel() if mask is None else mask.sum(dtype=torch.float64)


def _checked_difference(volume: Tensor, truth: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    for name, tensor in (("volume", volume), ("truth", truth)):
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            got = f"a tensor of {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"Expected a floating-point tensor as {name}. Got {got}.")
    if volume.ndim != 3 or volume.shape != truth.shape or volume.numel() == 0:
        raise ValueError(
            f"Expected two volumes of one shape (x, y, z). Got {tuple(volume.shape)} and {tuple(truth.shape)}."
        )
    if volume.dtype != truth.dtype:
        raise TypeError(f"Expected volumes of one dtype. Got {volume.dtype} and {truth.dtype}.")
    if mask is not None:
        if tuple(mask.shape) != tuple(truth.shape):
            raise ValueError(f"Expected a mask of shape {tuple(truth.shape)}. Got {tuple(mask.shape)}.")
        mask = mask.to(truth.device) != 0
        if may_read(mask) and not mask.any():
            raise ValueError("Expected a mask that leaves some voxels. Got only zeros.")
    difference = volume - truth
    if may_read(difference) and not torch.isfinite(difference.detach().sum(dtype=torch.float64)):
        raise ValueError("Expected volumes of finite numbers. Got NaN or infinity.")
    return difference, mask


def _checked_range(data_range: Number | None, truth: Tensor) -> float | Tensor:
    if data_range is not None:
        spread = float(data_range)
    else:
        lowest, highest = truth.detach().aminmax()
        if not may_read(truth):
            return highest - lowest
        spread = float(highest - lowest)
    if not 0 < spread < math.inf:
        raise ValueError(f"Expected a positive data range (largest minus smallest value). Got {spread}.")
    return spread
