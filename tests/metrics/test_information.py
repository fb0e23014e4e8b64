"""Mutual information against the definition, with all kernels at once."""

import pytest
import torch

from raygrad.metrics import MutualInformation
from raygrad.metrics import _information as information


def by_definition(x1, x2, sigma, num_bins):
    bins = torch.linspace(0, 1, num_bins, dtype=x1.dtype)
    kernels = [torch.exp(-((x.flatten(1)[:, :, None] - bins) ** 2) / (2 * sigma**2)) for x in (x1, x2)]
    joint = torch.einsum("bni,bnj->bij", *kernels)
    marginals = [kernel.sum(1) for kernel in kernels]
    p, q, r = (weights.flatten(1) / weights.flatten(1).sum(1, keepdim=True) for weights in (*marginals, joint))
    entropies = [-torch.xlogy(x, x).sum(1) / torch.tensor(2.0).log() for x in (p, q, r)]
    return entropies[0] + entropies[1] - entropies[2], entropies


def images():
    generator = torch.Generator().manual_seed(0)
    x1, x2 = torch.rand(2, 2, 3, 15, 14, generator=generator, dtype=torch.float64)
    return x1, (x1 + x2) / 2


@pytest.mark.parametrize("kernel_values", [2500, 2**21])
def test_pieces_of_any_size_give_the_definition(monkeypatch, kernel_values):
    monkeypatch.setattr(information, "_KERNEL_VALUES", kernel_values)
    x1, x2 = (x.requires_grad_() for x in images())
    expected, entropies = by_definition(x1, x2, 0.1, 32)
    score = MutualInformation(num_bins=32, normalize=False)(x1, x2)
    torch.testing.assert_close(score, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        MutualInformation(num_bins=32)(x1, x2), 2 * expected / (entropies[0] + entropies[1]), rtol=1e-6, atol=0
    )
    gradients = torch.autograd.grad(score.sum(), (x1, x2))
    for gradient, reference in zip(gradients, torch.autograd.grad(expected.sum(), (x1, x2)), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-9)


def test_any_one_to_one_change_of_intensities_keeps_information():
    x1, x2 = images()
    metric = MutualInformation(sigma=0.02)
    torch.testing.assert_close(metric(1 - x1, x2), metric(x1, x2))
    assert (metric(x1, 1 - x1) > 2 * metric(x1, x1.flip(-1))).all()


def test_float32_against_float64():
    x1, x2 = images()
    torch.testing.assert_close(
        MutualInformation()(x1.float(), x2.float()).double(), MutualInformation()(x1, x2), rtol=1e-4, atol=1e-6
    )


def test_the_graph_keeps_no_kernel_values(monkeypatch):
    """What autograd saves must be of the order of pixels and of bins squared, not of pixels x bins."""
    monkeypatch.setattr(information, "_KERNEL_VALUES", 64 * 64)
    x1, x2 = (torch.rand(1, 1, 64, 64, requires_grad=True) for _ in range(2))
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.numel()) or t, lambda t: t):
        MutualInformation(num_bins=64)(x1, x2)
    pixels_times_bins = 64 * 64 * 64
    assert 0 < sum(saved) < pixels_times_bins
