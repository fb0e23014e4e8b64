"""Images filtered by windows or by Fourier transforms: mirrored at their edges, or with nothing around them.

Mirrored at its edges, an image is a sum of cosines (its DCT-II), of which a symmetric filter keeps shares. So what is
filtered keeps its sum; an open field stays flat; filters follow one another as if there were no edges; the operator is
its own adjoint; and no filter is too wide for an image. Transforms round to 1e-16 of the brightest pixel, which is more
than is left behind much metal; windows, to the digits of every pixel.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.nn import functional

from raygrad._precision import without_autocast
from raygrad.physics._gaussians import transfer_functions, weights
from raygrad.physics._numbers import Signal

DEVIATIONS = 9.0
"""How many of them windows of Gaussians reach: they leave 2e-19 away."""
LONGEST_WINDOW = 40
"""Pixels that a window may reach both ways; transforms are faster for longer ones."""

PIXELS_AT_ONCE = 2**22
"""Of transforms, whose memory is fifty times that of images in single precision."""

Half = Float[Tensor, " _"]
Transfer = Float[Tensor, "rows columns"]
"""What is left of cosines: at the angles pi k / height, k from 0 to height, and as many along the width."""


@without_autocast
def windowed(images: Signal, down: Half, across: Half) -> Signal:
    """Filter images that are mirrored at their edges by a window for each axis; what is positive stays so.

    Args:
        images: (view, channel, height, width).
        down, across: the windows' weights at distances of 0, 1, ... pixels, along the rows' axis and the columns'.
    """
    # In double precision on a GPU, whose convolutions in single precision may have three digits (TF32).
    done = images.double() if images.is_cuda else images
    for axis, half in ((-2, down), (-1, across)):
        size, reach = images.shape[axis], len(half) - 1
        places = torch.arange(-reach, size + reach, device=images.device).remainder(2 * size)
        window = torch.cat([half[1:].flip(0), half]).to(done.dtype)
        padded = done.index_select(axis, places.minimum(2 * size - 1 - places)).flatten(0, 1)[:, None]
        kernel = (window[:, None] if axis == -2 else window[None])[None, None]
        # One by one where torch would unfold all of them at once: in double precision on a CPU.
        parts = padded.split(1) if done.dtype == torch.float64 and not done.is_cuda else [padded]
        done = torch.cat([functional.conv2d(part, kernel) for part in parts]).reshape(images.shape)
    return done.to(images.dtype)


def gaussian(images: Signal, variances: Float[Tensor, "2"]) -> Signal:
    """Blur images that are mirrored at their edges by a Gaussian: by windows, where it is not too wide for these.

    Args:
        images: (view, channel, height, width).
        variances: in pixels^2, along the rows' axis and the columns'.
    """
    reaches = [math.ceil(DEVIATIONS * math.sqrt(variance)) + 3 for variance in variances.detach().tolist()]
    if max(reaches) > LONGEST_WINDOW:
        height, width = images.shape[-2:]
        return mirrored(images, of_gaussians(torch.ones_like(variances[:1]), variances[None], (height, width)))
    halves = [weights(variance[None], reach + 1)[0] for variance, reach in zip(variances, reaches, strict=True)]
    down, across = (half / (half[0] + 2 * half[1:].sum()) for half in halves)
    return windowed(images, down, across)


def mirrored(images: Signal, transfer: Transfer) -> Signal:
    """Filter images that are mirrored at their edges.

    Their cosines come from a Fourier transform of the image alone, its pixels in another order: J. Makhoul, "A fast
    cosine transform in one and two dimensions", IEEE Trans. ASSP 28 (1980) 27.

    Args:
        images: (view, channel, height, width).
        transfer: (height + 1, width + 1).
    """
    return _in_parts(images, lambda part: _mirrored(part, transfer))


def _mirrored(images: Signal, transfer: Transfer) -> Signal:
    height, width = images.shape[-2:]
    half = width // 2 + 1
    rows, columns = _even_then_odd(height, images), _even_then_odd(width, images)
    down, across = _half_steps(height, height, images)[:, None], _half_steps(width, half, images)
    reordered = images.double().index_select(-1, columns).index_select(-2, rows)
    spectrum = across * torch.fft.rfft2(reordered)
    below = torch.cat([spectrum[..., :1, :], spectrum[..., 1:, :].flip(-2)], dim=-2)
    cosines = (down * spectrum + down.conj() * below) / 2
    # The real part belongs to the cosine k along the width, the imaginary one, negative, to width - k.
    kept, others = transfer[:height, :half], transfer.flip(1)[:height, :half]
    cosines = torch.complex(kept * cosines.real, others * cosines.imag)
    below = torch.cat([torch.zeros_like(cosines[..., :1, :]), cosines[..., 1:, :].flip(-2)], dim=-2)
    spectrum = (down * across).conj() * (cosines - 1j * below)
    done = torch.fft.irfft2(spectrum, s=(height, width))
    return done.index_select(-1, columns.argsort()).index_select(-2, rows.argsort()).to(images.dtype)


def _in_parts(images: Signal, function: Callable[[Signal], Signal]) -> Signal:
    """Some views at a time, so that the transforms of a long sweep need no more memory than its images."""
    views = max(1, PIXELS_AT_ONCE // images[0].numel())
    if len(images) <= views:
        return function(images)
    return torch.cat([function(part) for part in images.split(views)])


def _even_then_odd(size: int, like: Tensor) -> Int[Tensor, " {size}"]:
    even, odd = (torch.arange(first, size, 2, device=like.device) for first in (0, 1))
    return torch.cat([even, odd.flip(0)])


def _half_steps(size: int, number: int, like: Tensor) -> Complex[Tensor, " {number}"]:
    """Turned by half a pixel: exp(-i pi k / 2 size)."""
    angles = torch.arange(number, dtype=torch.float64, device=like.device) * (math.pi / (2 * size))
    return torch.polar(torch.ones_like(angles), -angles)


def alone(images: Signal, shares: Float[Tensor, " scale"], variances: Float[Tensor, "scale 2"]) -> Signal:
    """Spread images that have nothing around them by a sum of Gaussians; what falls beyond their edges is lost.

    Args:
        images: (view, channel, height, width).
        shares: of each Gaussian.
        variances: of each in pixels^2, along the rows' axis and the columns'.
    """
    height, width = images.shape[-2:]
    sizes = (2 * height, 2 * width)
    down, across = (
        torch.fft.rfft(torch.cat([half, half[:, 1:-1].flip(-1)], dim=-1)).real
        for half in (weights(variances[:, 0], height + 1), weights(variances[:, 1], width + 1))
    )
    down = torch.cat([down, down[:, 1:-1].flip(-1)], dim=-1)
    transfer = (shares[:, None] * down).mT @ across

    def spread(part: Signal) -> Signal:
        # Rows of nothing need no transform, and rows beyond the image none back.
        spectrum = torch.fft.fft(torch.fft.rfft(part.double(), n=sizes[1]), n=sizes[0], dim=-2) * transfer
        wide = torch.fft.irfft(torch.fft.ifft(spectrum, dim=-2)[..., :height, :], n=sizes[1])
        return wide[..., :width].to(part.dtype)

    return _in_parts(images, spread)


def of_gaussians(
    shares: Float[Tensor, " scale"], variances: Float[Tensor, "scale 2"], size: tuple[int, int]
) -> Transfer:
    """The transfer function of a sum of Gaussians.

    Args:
        shares: of each Gaussian.
        variances: of each in pixels^2, along the rows' axis and the columns'.
        size: height and width of the images.
    """
    down, across = (transfer_functions(variances[:, axis], size[axis]) for axis in (0, 1))
    return (shares[:, None] * down).mT @ across


def gamma_mixture(shape: float | int, like: Tensor) -> tuple[Float[Tensor, " scale"], Float[Tensor, " scale"]]:
    """Shares and variances of Gaussians whose sum has the transfer function (1 + angle^2)^-shape, in any unit.

    (1 + x)^-a is the mean of exp(-t x) over a gamma distribution of t; the trapezoidal rule over log t, of which the
    shortest 2e-9 are left out.
    """
    shares, times = _gamma_nodes(shape)
    return shares.to(like.device), 2 * times.to(like.device)


@lru_cache(maxsize=8)
def _gamma_nodes(shape: float | int) -> tuple[Tensor, Tensor]:
    logarithms = torch.arange(-20 / shape, 4.4, 0.4, dtype=torch.float64)
    shares = torch.exp(shape * logarithms - torch.exp(logarithms) - math.lgamma(shape))
    return shares / shares.sum(), torch.exp(logarithms)
