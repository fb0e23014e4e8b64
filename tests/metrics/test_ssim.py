"""Structural similarity against Wang's formula, window by window."""

import torch

from raygrad.metrics import StructuralSimilarity2d


def images():
    generator = torch.Generator().manual_seed(0)
    x1, x2 = torch.rand(2, 2, 2, 15, 13, generator=generator, dtype=torch.float64)
    return x1, 0.6 * x1 + 0.4 * x2


def by_windows(x1, x2, data_range=1.0):
    offsets = torch.arange(-5.0, 6.0, dtype=torch.float64)
    weights = torch.exp(-(offsets[:, None].square() + offsets.square()) / (2 * 1.5**2))
    weights /= weights.sum()
    x1, x2 = (x.unfold(2, 11, 1).unfold(3, 11, 1) for x in (x1, x2))

    def expectation(values):
        return (weights * values).sum(dim=(-2, -1))

    m1, m2 = expectation(x1), expectation(x2)
    d1, d2 = x1 - m1[..., None, None], x2 - m2[..., None, None]
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = (2 * m1 * m2 + c1) * (2 * expectation(d1 * d2) + c2)
    return (similarity / ((m1**2 + m2**2 + c1) * (expectation(d1**2) + expectation(d2**2) + c2))).mean(dim=(1, 2, 3))


def test_windows():
    x1, x2 = images()
    torch.testing.assert_close(StructuralSimilarity2d()(x1, x2), by_windows(x1, x2))
    torch.testing.assert_close(StructuralSimilarity2d(data_range=6.0)(5 * x1, 6 * x2), by_windows(5 * x1, 6 * x2, 6.0))


def test_float32_with_faint_contrast():
    x1, x2 = (5 + 0.01 * x for x in images())
    score = StructuralSimilarity2d(data_range=0.1)(x1.float(), x2.float())
    torch.testing.assert_close(score.double(), by_windows(x1, x2, 0.1), rtol=0, atol=1e-4)


def test_units_do_not_count():
    x1, x2 = images()
    torch.testing.assert_close(
        StructuralSimilarity2d(data_range=300.0)(300 * x1, 300 * x2), StructuralSimilarity2d()(x1, x2)
    )
