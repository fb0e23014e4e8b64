"""One sum over energies for every pixel, and its derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from raygrad.physics import _transmission as transmission
from raygrad.physics import line_integrals, transmitted, transmitted_with_derivatives

SUMS = [transmitted, line_integrals]


def drawn(views=2, materials=3, energies=4, k=2, pixels=(2, 3), seed=0, requires_grad=True):
    generator = torch.Generator().manual_seed(seed)
    shapes = (views, materials, *pixels), (materials, energies), (k, energies)
    return [
        torch.rand(shape, dtype=torch.float64, generator=generator).requires_grad_(requires_grad) for shape in shapes
    ]


def naive(lengths, mu, weights):
    exponents = torch.einsum("vm...,me->ve...", lengths, mu)
    return torch.einsum("ve...,ke->vk...", torch.exp(-exponents), weights)


@pytest.mark.parametrize("pixels", [(2, 3), (7,), ()])
def test_it_is_the_sum_that_it_says(pixels):
    lengths, mu, weights = drawn(pixels=pixels)
    expected = naive(lengths, mu, weights)
    assert transmitted(lengths, mu, weights).shape == (2, 2, *pixels)
    assert torch.allclose(transmitted(lengths, mu, weights), expected, rtol=1e-13)
    open_field = weights.sum(1).reshape(1, 2, *(1 for _ in pixels))
    assert torch.allclose(line_integrals(lengths, mu, weights), -torch.log(expected / open_field), rtol=1e-12)


def test_pixels_in_several_parts_are_those_in_one(monkeypatch):
    arguments = drawn(pixels=(5, 5), k=1)
    whole = transmitted(*arguments)
    gradients = torch.autograd.grad(whole.square().sum(), arguments)
    monkeypatch.setattr(transmission, "_NUMBERS_AT_ONCE", 12)  # three pixels
    parts = transmitted(*arguments)
    assert torch.allclose(parts, whole, rtol=1e-14)
    for one, other in zip(torch.autograd.grad(parts.square().sum(), arguments), gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("function", SUMS)
def test_derivatives_by_all_three_are_exact_twice(function):
    arguments = drawn(pixels=(2,))
    assert gradcheck(function, arguments, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(function, arguments)


def test_derivatives_from_the_same_exponentials():
    lengths, mu, weights = drawn()
    value, by_lengths = transmitted_with_derivatives(lengths, mu, weights)
    assert by_lengths.shape == (2, 2, 3, 2, 3)
    assert torch.allclose(value, transmitted(lengths, mu, weights), rtol=1e-14)
    assert not value.requires_grad
    for k in range(2):
        (expected,) = torch.autograd.grad(transmitted(lengths, mu, weights)[:, k].sum(), lengths)
        assert torch.allclose(by_lengths[:, k], expected, rtol=1e-12)


def test_behind_metal_line_integrals_do_not_overflow():
    lengths = torch.tensor([[[200.0, 2000.0]]], requires_grad=True)
    mu, weights = torch.tensor([[2.0, 0.9, 0.6]]), torch.tensor([[1.0, 1.0, 1e-3]])
    seen = line_integrals(lengths, mu, weights)
    expected = 0.6 * lengths - torch.log(torch.tensor(1e-3 / 2.001))
    assert torch.allclose(seen, expected, rtol=1e-6)
    (slope,) = torch.autograd.grad(seen.sum(), lengths)
    assert torch.allclose(slope, torch.full_like(slope, 0.6), rtol=1e-6)
    assert transmitted(lengths.detach(), mu, weights)[..., 1] == 0


def test_a_view_without_pixels_is_none_too():
    assert transmitted(*drawn(pixels=(0,))).shape == (2, 2, 0)


def test_shapes_that_do_not_fit_are_refused():
    lengths, mu, weights = drawn()
    with pytest.raises(ValueError, match=r"as many materials and energies. Got shapes \(2, 2, 2, 3\), \(3, 4\)"):
        transmission._check(lengths[:, :2], mu, weights)
    with pytest.raises(ValueError, match="as many materials and energies"):
        transmission._check(lengths, mu, weights[:, :3])
