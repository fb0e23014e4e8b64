"""Normalised cross-correlation against the definition, computed patch by patch in float64."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d, NormalizedCrossCorrelation2d


def by_unfolding(x1, x2, patch_size, eps=1e-5):
    """The definition: every patch on its own, in float64."""
    patches = [x.double().unfold(2, patch_size, 1).unfold(3, patch_size, 1) for x in (x1, x2)]
    x1, x2 = (p - p.mean(dim=(-2, -1), keepdim=True) for p in patches)
    variances = [p.square().mean(dim=(-2, -1)) + eps for p in (x1, x2)]
    return ((x1 * x2).mean(dim=(-2, -1)) / (variances[0] * variances[1]).sqrt()).mean(dim=(1, 2, 3))


def radiographs(size=120):
    """Line integrals up to 6 with slow anatomy, faint texture and collimated black: what is hard for patches."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.linspace(-1, 1, size, dtype=torch.float64)[:, None]
    anatomy = 6 * torch.exp(-rows.square() - 0.7 * rows.T.square())
    images = anatomy + 0.003 * torch.randn(2, 1, 1, size, size, generator=generator, dtype=torch.float64)
    images[..., :20] = 0
    return images[0], images[1]


@pytest.mark.parametrize("patch_size", [2, 5, 13, 60, 120])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_patches_against_float64_unfolding(patch_size, offset):
    x1, x2 = (x.float() + offset for x in radiographs())
    score = NormalizedCrossCorrelation2d(patch_size)(x1, x2)
    assert score.dtype == torch.float32
    torch.testing.assert_close(score.double(), by_unfolding(x1, x2, patch_size), rtol=0, atol=1e-6)


def test_rounding_of_uniform_patches_does_not_become_a_negative_variance():
    x1, x2 = radiographs()
    x1[..., :60, :], x2[..., 70:, :] = 4.2, 2.3
    assert NormalizedCrossCorrelation2d(5, eps=1e-18)(x1, x2).isfinite().all()


def test_float64_patches_of_several_channels():
    generator = torch.Generator().manual_seed(1)
    x1, x2 = torch.rand(2, 2, 3, 20, 17, generator=generator, dtype=torch.float64)
    for patch_size in (1, 2, 9, 17):
        torch.testing.assert_close(
            NormalizedCrossCorrelation2d(patch_size, eps=1e-3)(x1, x2), by_unfolding(x1, x2, patch_size, 1e-3)
        )


@pytest.mark.parametrize("patch_size", [None, 5])
@pytest.mark.parametrize("size", [40, 300])  # all pairs at once, and one by one
def test_a_batch_of_one_serves_the_other(patch_size, size):
    generator = torch.Generator().manual_seed(2)
    one, several = torch.rand(4, 2, size, size, generator=generator).split([1, 3])
    metric = NormalizedCrossCorrelation2d(patch_size)
    expected = torch.cat([metric(one, image[None]) for image in several])
    torch.testing.assert_close(metric(one, several), expected)
    torch.testing.assert_close(metric(several, one), expected)
    torch.testing.assert_close(metric(one.expand_as(several), several), expected)


def test_the_moments_of_a_batch_of_one_are_computed_once():
    one, several = torch.rand(1, 1, 60, 60), torch.rand(6, 1, 60, 60)
    counts = []
    for first in (one, one.expand_as(several)):
        with CountElements() as counter:
            NormalizedCrossCorrelation2d(9)(first, several)
        counts.append(counter.total)
    assert counts[0] < 0.75 * counts[1]


def test_float32_gradient_of_patches():
    x1, x2 = (x.float() for x in radiographs(60))
    x1.requires_grad_()
    (gradient,) = torch.autograd.grad(NormalizedCrossCorrelation2d(9)(x1, x2).sum(), x1)
    (expected,) = torch.autograd.grad(by_unfolding(x1, x2, 9).sum(), x1)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_brightness_and_contrast_do_not_count():
    x1, x2 = radiographs(40)
    for metric in (NormalizedCrossCorrelation2d(eps=0.0), NormalizedCrossCorrelation2d(7, eps=1e-14)):
        inside = (..., slice(20, None))
        score = metric(x1[inside], x2[inside])
        torch.testing.assert_close(metric(5 * x1[inside] - 2, x2[inside]), score, rtol=1e-6, atol=0)
        torch.testing.assert_close(metric(-x1[inside], x2[inside]), -score, rtol=1e-6, atol=0)


def test_a_patch_as_large_as_the_image_is_the_whole_image():
    x1, x2 = radiographs(30)
    torch.testing.assert_close(NormalizedCrossCorrelation2d(30)(x1, x2), NormalizedCrossCorrelation2d()(x1, x2))


def test_multiscale_is_the_weighted_sum():
    x1, x2 = radiographs(30)
    metric = MultiscaleNormalizedCrossCorrelation2d([None, 9, 3], [0.5, 0.3, 0.2], eps=1e-3)
    parts = [NormalizedCrossCorrelation2d(size, 1e-3)(x1, x2) for size in (None, 9, 3)]
    torch.testing.assert_close(metric(x1, x2), 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2])


class CountElements(TorchDispatchMode):
    """Counts the numbers that operations make, and the largest tensor among them."""

    def __init__(self):
        super().__init__()
        self.total = self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.total += tensor.numel()
                self.largest = max(self.largest, tensor.numel())
        return out


def test_work_and_memory_do_not_grow_with_the_patch():
    x1, x2 = (x.requires_grad_() for x in radiographs())
    counts = {}
    for patch_size in (3, 11, 41):
        with CountElements() as counter:
            NormalizedCrossCorrelation2d(patch_size)(x1, x2).sum().backward()
        counts[patch_size] = counter
    assert counts[41].total < counts[11].total < counts[3].total
    assert counts[41].largest <= counts[11].largest <= counts[3].largest < 6 * 121 * 121
