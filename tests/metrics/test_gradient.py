"""Similarity of gradients."""

import math

import torch

from raygrad.metrics import (
    GradientDifference,
    GradientNormalizedCrossCorrelation2d,
    NormalizedCrossCorrelation2d,
)
from raygrad.metrics._filters import gaussian_blur, sobel


def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, 1, 20, 16, generator=generator, dtype=torch.float64)


def test_sobel_measures_slopes():
    """Eight times the slope of a ramp, downhill positive, by channels and directions."""
    x, y = torch.arange(7.0).expand(5, 7), torch.arange(5.0)[:, None].expand(5, 7)
    derivatives = sobel(torch.stack([2 * x, 3 * y])[None], padding=0)
    assert derivatives.shape == (1, 4, 3, 5)
    torch.testing.assert_close(derivatives.mean(dim=(0, 2, 3)), torch.tensor([-16.0, 0.0, 0.0, -24.0]))


def test_blur_is_a_gaussian_sum():
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    blurred = gaussian_blur(point, 1.5)[0, 0]
    assert math.isclose(blurred.sum(), 1, rel_tol=1e-12)
    assert math.isclose(blurred[10, 12] / blurred[10, 10], math.exp(-0.5 * (2 / 1.5) ** 2), rel_tol=1e-12)
    assert math.isclose(blurred[12, 12] / blurred[10, 12], math.exp(-0.5 * (2 / 1.5) ** 2), rel_tol=1e-12)
    assert torch.count_nonzero(blurred) == 11 * 11  # int(6 * 1.5 + 1) | 1
    uniform = torch.full((1, 1, 9, 9), 2.5)
    torch.testing.assert_close(gaussian_blur(uniform, 1.0), uniform)


def test_gradient_ncc_is_the_ncc_of_derivatives():
    x1, x2 = images()
    derivatives = [sobel(gaussian_blur(x, 1.0), padding=1) for x in (x1, x2)]
    torch.testing.assert_close(
        GradientNormalizedCrossCorrelation2d()(x1, x2), NormalizedCrossCorrelation2d()(*derivatives)
    )


def test_gradient_difference_pixel_by_pixel():
    x1, x2 = images()
    scores = []
    for fixed, moving in zip(x1[:, 0], x2[:, 0], strict=True):
        total = 0.0
        for kernel in ([[1, 0, -1], [2, 0, -2], [1, 0, -1]], [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]):
            kernel = torch.tensor(kernel, dtype=torch.float64)
            slopes = [
                torch.tensor([[(kernel * image[r : r + 3, c : c + 3]).sum() for c in range(14)] for r in range(18)])
                for image in (fixed, 0.8 * moving)
            ]
            spread = (slopes[0] - slopes[0].mean()).square().mean()
            total += (spread / (spread + (slopes[0] - slopes[1]).square())).sum() / (2 * 14 * 18)
        scores.append(total)
    torch.testing.assert_close(GradientDifference(scale=0.8)(x1, x2), torch.stack(scores))


def test_gradient_difference_forgives_a_wire():
    """What the metric is made for: a wire in the fixed image costs no more than the pixels it covers."""
    x1, _ = images()
    wire = x1.clone()
    wire[:, :, 8] += 1e6
    touched = 3 * 14 / (18 * 14)
    assert (GradientDifference()(x1, wire) > 1 - touched - 1e-6).all()
    torch.testing.assert_close(GradientDifference(scale=0.5)(x1, 2 * x1), torch.ones(2, dtype=torch.float64))
