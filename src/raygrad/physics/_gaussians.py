"""Gaussians on a grid of pixels: positive, of sum one, and of exactly the second moment that was asked for.

Weights are samples of a Gaussian, q^(n^2) with q = exp(-1 / 2 s), divided by their sum, Jacobi's theta function. From a
deviation of 1.2 pixels on, s is the variance, and the transfer function is exp(-variance angle^2 / 2) and its alias.
Narrower ones would lose part of their variance between the pixels (T. Lindeberg, "Scale-space for discrete signals",
IEEE PAMI 12 (1990) 234): there q is solved for, so that the sum of n^2 q^(n^2) over that of q^(n^2) is the variance. So
a blur that is much smaller than a pixel is a small one, never a negative weight, and variance 0 is the identity.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

SAMPLED_FROM = 1.5
"""Variance in pixels^2 from which samples of a Gaussian have its variance, to 2e-11 of it."""
_TERMS = 11
"""Of the theta functions: q^(11^2) is 1e-18 where q is largest."""

Variances = Float[Tensor, " scale"]


def transfer_functions(variances: Variances, size: int) -> Float[Tensor, "scale frequency"]:
    """What Gaussians leave of cosines that fit `size` mirrored pixels: at the angles pi k / size, k from 0 to `size`.

    Args:
        variances: in pixels^2, double precision, at least 0.
        size: number of pixels.
    """
    angles = torch.arange(size + 1, dtype=torch.float64, device=variances.device) * (math.pi / size)
    wide, narrow = _halves(variances)
    alias = 2 * math.pi - angles
    smooth = torch.exp(-0.5 * wide[:, None] * angles**2) + torch.exp(-0.5 * wide[:, None] * alias**2)
    orders = torch.arange(1, _TERMS, dtype=torch.float64, device=variances.device)
    powers = _nome(narrow)[:, None] ** (orders**2)
    sums = (1 + 2 * powers.sum(-1))[:, None]
    sampled = (1 + 2 * powers @ torch.cos(orders[:, None] * angles)) / sums
    return torch.where((variances > SAMPLED_FROM)[:, None], smooth, sampled)


def weights(variances: Variances, size: int) -> Float[Tensor, "scale offset"]:
    """The weights at distances of 0 to `size` - 1 pixels; over all distances, both ways, they sum to one.

    Args:
        variances: in pixels^2, double precision, at least 0.
        size: number of distances.
    """
    squares = torch.arange(size, dtype=torch.float64, device=variances.device) ** 2
    wide, narrow = _halves(variances)
    smooth = torch.exp(-0.5 * squares / wide[:, None]) / torch.sqrt(2 * math.pi * wide)[:, None]
    orders = torch.arange(1, _TERMS, dtype=torch.float64, device=variances.device)
    nome = _nome(narrow)[:, None]
    sampled = nome**squares / (1 + 2 * (nome ** (orders**2)).sum(-1, keepdim=True))
    return torch.where((variances > SAMPLED_FROM)[:, None], smooth, sampled)


def _halves(variances: Variances) -> tuple[Variances, Variances]:
    """The variances for either formula, where it is not used one at which it and its derivatives are finite."""
    return variances.clamp_min(SAMPLED_FROM), variances.clamp_max(SAMPLED_FROM)


def _nome(variances: Variances) -> Variances:
    """The q whose weights have these variances, up to `SAMPLED_FROM`: Newton's method.

    Its last two steps are differentiated, which makes the first and the second derivative exact.
    """
    with torch.no_grad():
        q = torch.exp(-0.5 / variances.detach().clamp_min(0.2))
        for _ in range(4):
            q = _newton(q, variances)
    return _newton(_newton(q, variances), variances)


def _newton(q: Variances, variances: Variances) -> Variances:
    squares = torch.arange(1, _TERMS, dtype=torch.float64, device=q.device) ** 2
    powers = 2 * q[:, None] ** squares
    rest = squares[1:] * q[:, None] ** (squares[1:] - 1)  # no power of 0, whose second derivative is not a number at 0
    slopes = 2 * torch.cat([torch.ones_like(q)[:, None], rest], dim=-1)
    total = 1 + powers.sum(-1)
    found = (powers * squares).sum(-1) / total
    slope = ((slopes * squares).sum(-1) - found * slopes.sum(-1)) / total
    return q - (found - variances) / slope
