"""The ramp filter of filtered back projection, band limited, with its usual windows."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

FILTERS = ("ram-lak", "shepp-logan", "cosine", "hann")


def check_filter(filter: str, cutoff: float | int) -> None:
    """See that there is such a filter.

    Raises:
        ValueError: an unknown one, or a cut-off out of range.
    """
    if filter not in FILTERS:
        raise ValueError(f"Expected filter to be one of {', '.join(FILTERS)}. Got {filter!r}.")
    if not 0 < cutoff <= 1:
        raise ValueError(f"Expected a cutoff above 0 and up to 1, in units of the Nyquist frequency. Got {cutoff}.")


def frequency_response(width: int, filter: str = "ram-lak", cutoff: float = 1.0) -> Float[Tensor, " frequency"]:
    """What a ramp filter multiplies each frequency of zero-padded rows by, for samples one unit apart.

    The ramp is the transform of its band-limited kernel in space (Kak & Slaney, Principles of Computerized Tomographic
    Imaging, 1988, section 3.3.3): 1/4 at 0, -1 / (pi n)^2 at odd n, 0 at even n. Taken as |frequency| instead it would
    lose the mean of every row, and voxels would come out too dark. The window then falls from 1 at frequency 0:
    "ram-lak" not at all, "shepp-logan" as sin(x) / x with x = pi f / 2, "cosine" as cos(x), "hann" as
    (1 + cos(2 x)) / 2, for f in units of the cut-off frequency.

    Args:
        width: samples of a row. Rows are padded to twice that at least, so that no end meets the other.
        filter: one of `FILTERS`.
        cutoff: frequency above which nothing passes, in units of the Nyquist frequency, in (0, 1].

    Returns:
        The response, float64, at the frequencies of `torch.fft.rfft` with n = 2 (len - 1) samples.
    """
    padded = _even_fast_length(2 * width)
    n = torch.arange(padded, dtype=torch.float64)
    n = torch.minimum(n, padded - n)  # the distance to sample 0 on the circle
    kernel = torch.where(n % 2 == 1, -1 / (math.pi * n.clamp(min=1)) ** 2, 0.0)
    kernel[0] = 0.25
    ramp = torch.fft.rfft(kernel).real
    f = torch.arange(len(ramp), dtype=torch.float64) / (len(ramp) - 1) / cutoff
    window = {
        "ram-lak": torch.ones_like(f),
        "shepp-logan": torch.sinc(f / 2),
        "cosine": torch.cos(math.pi / 2 * f),
        "hann": (1 + torch.cos(math.pi * f)) / 2,
    }[filter]
    return torch.where(f <= 1, ramp * window, 0.0)


def filter_rows(
    images: Float[Tensor, "view height width"], response: Float[Tensor, " frequency"]
) -> Float[Tensor, "view height width"]:
    """Filter every row of pixels by a response of `frequency_response` for rows of this width or longer."""
    padded = 2 * (len(response) - 1)
    spectrum = torch.fft.rfft(images, n=padded)
    return torch.fft.irfft(spectrum.mul_(response.to(images)), n=padded)[..., : images.shape[-1]]


def _even_fast_length(least: int) -> int:
    """The smallest even length of at least `least` without prime factors over 5, for which transforms are fast."""
    length = least + least % 2
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 2
