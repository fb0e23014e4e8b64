"""Linear filters of images (B, C, H, W), each channel on its own."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.types import Images

Filtered = Float[Tensor, "batch filtered_channel filtered_height filtered_width"]


def box_mean(images: Images, size: int) -> Filtered:
    """The means over every size x size patch inside the images: call it in float64.

    On a CPU by running sums, elsewhere by pooling: two operations in place of nine, of which each costs a GPU more to
    start than to do.
    """
    return _running_box_mean(images, size) if images.device.type == "cpu" else _pooled_box_mean(images, size)


def _running_box_mean(images: Images, size: int) -> Filtered:
    """By differences of running sums, along the rows and then along the columns: the same cost for every size.

    Rounding is relative to the running sums.
    """
    along_rows = functional.pad(images, (1, 0)).cumsum(-1)
    strips = along_rows[..., size:] - along_rows[..., :-size]
    along_columns = functional.pad(strips, (0, 0, 1, 0)).cumsum(-2)
    return (along_columns[..., size:, :] - along_columns[..., :-size, :]) / size**2


def _pooled_box_mean(images: Images, size: int) -> Filtered:
    """By adding up every row of a patch, and then the sums of its rows."""
    return functional.avg_pool2d(functional.avg_pool2d(images, (1, size), stride=1), (size, 1), stride=1)


def gaussian_window(size: int, sigma: float | int, like: Tensor) -> Tensor:
    """Gaussian weights (size,) that sum to one, about the middle of the window."""
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = torch.exp(-0.5 * (offsets / sigma).square())
    return weights / weights.sum()


def separable(images: Images, window: Tensor) -> Filtered:
    """Convolve rows and columns with a window (size,), where it lies inside the images.

    On an NVIDIA GPU in float64: in float32 cuDNN multiplies in TF32, with three decimal digits, if not forbidden to.
    """
    wide = images.double() if images.is_cuda else images
    channels = images.shape[1]
    row = window.to(wide.dtype).expand(channels, 1, 1, -1)
    return functional.conv2d(functional.conv2d(wide, row, groups=channels), row.mT, groups=channels).to(images.dtype)


def gaussian_blur(images: Images, sigma: float | int) -> Images:
    """Blur by a Gaussian of `sigma` pixels, cut off at three; images are mirrored at their edges."""
    size = gaussian_blur_size(sigma)
    return separable(_mirrored(images, size // 2), gaussian_window(size, sigma, images))


def _mirrored(images: Images, margin: int) -> Filtered:
    """Continue images beyond their edges by their mirror images (torch's own padding has no deterministic gradient)."""
    for axis in (-1, -2):
        before = images.narrow(axis, 1, margin).flip(axis)
        after = images.narrow(axis, images.shape[axis] - 1 - margin, margin).flip(axis)
        images = torch.cat([before, images, after], dim=axis)
    return images


def gaussian_blur_size(sigma: float | int) -> int:
    """The odd width in pixels of the window of :func:`gaussian_blur`."""
    return int(6 * sigma + 1) | 1


def sobel(images: Images, padding: int) -> Filtered:
    """Sobel's derivatives (B, 2 C, H', W'), along x and y of each channel; zeros are padded around.

    Differences and weighted sums of shifted images: no convolution, whose precision is up to the device and autocast.
    """
    padded = functional.pad(images, [padding] * 4) if padding else images
    along_x = padded[..., :-2] - padded[..., 2:]
    along_y = padded[..., :-2, :] - padded[..., 2:, :]
    along_x = torch.add(along_x[..., :-2, :] + along_x[..., 2:, :], along_x[..., 1:-1, :], alpha=2)
    along_y = torch.add(along_y[..., :-2] + along_y[..., 2:], along_y[..., 1:-1], alpha=2)
    return torch.stack([along_x, along_y], dim=2).flatten(1, 2)
