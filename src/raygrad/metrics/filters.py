"""Linear filters of images (B, C, H, W), each channel on its own."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.types import Images

Filtered = Float[Tensor, "batch filtered_channel filtered_height filtered_width"]


def box_mean(images: Images, size: int) -> Filtered:
    """The means over every size x size patch inside the images, by running sums: the same cost for every size.

    A sum over a patch is a difference of running sums, along the rows and then along the columns, so rounding is
    relative to those: call it in float64.
    """
    along_rows = functional.pad(images, (1, 0)).cumsum(-1)
    strips = along_rows[..., size:] - along_rows[..., :-size]
    along_columns = functional.pad(strips, (0, 0, 1, 0)).cumsum(-2)
    return (along_columns[..., size:, :] - along_columns[..., :-size, :]) / size**2


def gaussian_window(size: int, sigma: float | int, like: Tensor) -> Tensor:
    """Gaussian weights (size,) that sum to one, about the middle of the window."""
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-0.5 * (offsets / sigma).square())
    return weights / weights.sum()


def separable(images: Images, window: Tensor) -> Filtered:
    """Convolve rows and columns with a window (size,), where it lies inside the images."""
    channels = images.shape[1]
    row = window.expand(channels, 1, 1, -1)
    return functional.conv2d(functional.conv2d(images, row, groups=channels), row.mT, groups=channels)


def gaussian_blur(images: Images, sigma: float | int) -> Images:
    """Blur by a Gaussian of `sigma` pixels, cut off at three; images are mirrored at their edges."""
    size = gaussian_blur_size(sigma)
    mirrored = functional.pad(images, [size // 2] * 4, mode="reflect")
    return separable(mirrored, gaussian_window(size, sigma, images))


def gaussian_blur_size(sigma: float | int) -> int:
    """The odd width in pixels of the window of :func:`gaussian_blur`."""
    return int(6 * sigma + 1) | 1


def sobel(images: Images, padding: int) -> Filtered:
    """Sobel's derivatives (B, 2 C, H', W'), along x and y of each channel; zeros are padded around."""
    smooth = torch.tensor([1.0, 2.0, 1.0], dtype=images.dtype, device=images.device)
    slope = torch.tensor([1.0, 0.0, -1.0], dtype=images.dtype, device=images.device)
    along_x = torch.outer(smooth, slope)
    kernels = torch.stack([along_x, along_x.mT])[:, None]
    channels = images.shape[1]
    return functional.conv2d(images, kernels.repeat(channels, 1, 1, 1), padding=padding, groups=channels)
