"""What is left of a beam of many energies behind several materials: one sum over energies for every pixel.

    transmitted_k = sum_E weights_k(E) exp(-sum_m mu_m(E) A_m)

Pixels are taken some thousand at a time, so that what lies between the sums (a number for every pixel and energy) stays
in the processor's caches and is never stored; derivatives are computed anew from the path lengths, likewise.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

PathLengths = Float[Tensor, "view material *pixel"]
Attenuation = Float[Tensor, "material energy"]
Weights = Float[Tensor, "k energy"]
Signals = Float[Tensor, "view k *pixel"]

_NUMBERS_AT_ONCE = 1 << 18  # of pixels and energies: 1 MB in single precision


def transmitted(path_lengths: PathLengths, attenuation: Attenuation, weights: Weights) -> Signals:
    """What is left of a beam, weighted and summed over its energies.

    Args:
        path_lengths: mm of each material on the way to every pixel.
        attenuation: of the materials at the energies in 1/mm.
        weights: what one unit of each energy adds to each of k signals.

    Returns:
        The signals, in the dtype of the path lengths; differentiable by all three any number of times.

    Raises:
        ValueError: the materials, or the energies, are not as many in all.
    """
    _check(path_lengths, attenuation, weights)
    mu, weights = attenuation.to(path_lengths), weights.to(path_lengths)
    rows = path_lengths.reshape(*path_lengths.shape[:2], math.prod(path_lengths.shape[2:])).mT.flatten(0, 1)
    signals: Tensor = _Transmitted.apply(rows, mu, weights)
    return _unflat(signals, path_lengths)


def line_integrals(path_lengths: PathLengths, attenuation: Attenuation, weights: Weights) -> Signals:
    """-log of `transmitted` over what it is with nothing in the beam, also where hardly anything is left of it.

    Arguments and errors are those of `transmitted`; no weight is negative, and each signal has one above 0.
    """
    _check(path_lengths, attenuation, weights)
    # A factor of exp(-least A) out of the sum: any constants would do, these keep the sum from falling to 0.
    least = attenuation.detach().amin(1, keepdim=True)
    weights = weights / weights.sum(1, keepdim=True)
    rest = transmitted(path_lengths, attenuation - least, weights)
    removed = torch.einsum("vm...,m->v...", path_lengths, least[:, 0].to(path_lengths))
    return exact_in_the_open(removed[:, None] - rest.log(), path_lengths, torch.zeros(len(weights)))


def transmitted_with_derivatives(
    path_lengths: PathLengths, attenuation: Attenuation, weights: Weights
) -> tuple[Signals, Float[Tensor, "view k material *pixel"]]:
    """`transmitted`, without a gradient, and its derivatives by the path lengths from the same exponentials.

    Arguments and errors are those of `transmitted`.
    """
    _check(path_lengths, attenuation, weights)
    with torch.no_grad():
        mu, weights = attenuation.to(path_lengths), weights.to(path_lengths)
        by_length = -(weights[:, None] * mu).flatten(0, 1)
        found = transmitted(path_lengths.detach(), mu, torch.cat([weights, by_length]))
        signals, derivatives = found.split([len(weights), len(by_length)], dim=1)
        return signals, derivatives.unflatten(1, (len(weights), len(mu)))


def exact_in_the_open(values: Signals, path_lengths: PathLengths, expected: Float[Tensor, " k"]) -> Signals:
    """The values, but where nothing is in the beam those that are expected, to the bit; derivatives stay.

    Otherwise the rounding of sums would show there: as line integrals of air, and as its scatter.
    """
    nothing = (path_lengths.detach() == 0).all(1, keepdim=True)
    expected = expected.detach().to(values).reshape(1, -1, *(1 for _ in values.shape[2:]))
    return values + torch.where(nothing, expected - values.detach(), 0.0)


def _check(path_lengths: Tensor, attenuation: Tensor, weights: Tensor) -> None:
    if path_lengths.shape[1] != len(attenuation) or attenuation.shape[1] != weights.shape[1]:
        shapes = ", ".join(str(tuple(one.shape)) for one in (path_lengths, attenuation, weights))
        raise ValueError(
            "Expected path lengths (view, material, ...), attenuation (material, energy) and weights (k, energy) of as "
            f"many materials and energies. Got shapes {shapes}."
        )


def _unflat(rows: Tensor, like: Tensor) -> Tensor:
    """(view * pixel, k) as (view, k, ...)."""
    views, _, *pixels = like.shape
    return rows.reshape(views, math.prod(pixels), rows.shape[1]).mT.reshape(views, rows.shape[1], *pixels)


def _left_of_each(lengths: Tensor, mu: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The shares (pixel, energy) that are left, for some pixels at a time."""
    at_once = max(1, _NUMBERS_AT_ONCE // max(1, mu.shape[1]))
    for first in range(0, max(1, len(lengths)), at_once):
        some = slice(first, first + at_once)
        yield some, (lengths[some] @ -mu).exp_()


class _Transmitted(torch.autograd.Function):
    """Of rows of path lengths (pixel, material): signals (pixel, k)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(lengths: Tensor, mu: Tensor, weights: Tensor) -> Tensor:
        return torch.cat([left @ weights.mT for _, left in _left_of_each(lengths, mu)])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        lengths, mu, weights = ctx.saved_tensors
        by_lengths, by_mu, by_weights = [], torch.zeros_like(mu), torch.zeros_like(weights)
        for some, left in _left_of_each(lengths, mu):
            if ctx.needs_input_grad[2]:
                by_weights = by_weights + cotangent[some].mT @ left
            if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
                lost = left * (cotangent[some] @ -weights)
                by_lengths.append(lost @ mu.mT)
                if ctx.needs_input_grad[1]:
                    by_mu = by_mu + lengths[some].mT @ lost
        wanted = (torch.cat(by_lengths) if by_lengths else None, by_mu, by_weights)
        return tuple(one if needed else None for one, needed in zip(wanted, ctx.needs_input_grad, strict=True))

    @staticmethod
    def jvp(ctx: Any, lengths_moved: Tensor | None, mu_moved: Tensor | None, weights_moved: Tensor | None) -> Tensor:
        lengths, mu, weights = ctx.saved_tensors
        moved = []
        for some, left in _left_of_each(lengths, mu):
            change = left.new_zeros(len(left), len(weights))
            if lengths_moved is not None:
                change = change - (left * (lengths_moved[some] @ mu)) @ weights.mT
            if mu_moved is not None:
                change = change - (left * (lengths[some] @ mu_moved)) @ weights.mT
            if weights_moved is not None:
                change = change + left @ weights_moved.mT
            moved.append(change)
        return torch.cat(moved)
