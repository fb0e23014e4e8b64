"""Metrics of volumes against numpy and scipy, and against values known beforehand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from raygrad.metrics import _volumes as volumes
from raygrad.metrics import (
    peak_signal_to_noise_ratio,
    relative_error,
    root_mean_square_error,
    structural_similarity_3d,
)

METRICS = (peak_signal_to_noise_ratio, relative_error, root_mean_square_error, structural_similarity_3d)


def pair(dtype=torch.float64, shape=(17, 14, 15)):
    generator = torch.Generator().manual_seed(0)
    truth, noise = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    truth = truth + torch.linspace(0, 3, shape[2])
    return (0.7 * truth + 0.5 * noise).to(dtype), truth.to(dtype)


def ssim_of_scipy(volume, truth, data_range, window, size, mask=None):
    """Wang's formula with scipy's filters, and windows that leave the volume cut away."""
    volume, truth = volume.numpy(), truth.numpy()

    def mean(values):
        if window == "uniform":
            return ndimage.uniform_filter(values, size)
        return ndimage.gaussian_filter(values, 1.5, truncate=(size // 2) / 1.5)

    m1, m2 = mean(volume), mean(truth)
    v1, v2, v12 = mean(volume**2) - m1**2, mean(truth**2) - m2**2, mean(volume * truth) - m1 * m2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = (2 * m1 * m2 + c1) * (2 * v12 + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))
    inside = (slice(size // 2, -(size // 2)),) * 3
    return similarity[inside].mean() if mask is None else similarity[inside][mask.numpy()[inside]].mean()


def test_errors_are_those_of_numpy():
    volume, truth = pair()
    error = (volume - truth).numpy()
    rmse = np.sqrt((error**2).mean())
    assert root_mean_square_error(volume, truth).item() == pytest.approx(rmse)
    assert relative_error(volume, truth).item() == pytest.approx(np.linalg.norm(error) / np.linalg.norm(truth))
    spread = np.ptp(truth.numpy())
    assert peak_signal_to_noise_ratio(volume, truth).item() == pytest.approx(10 * np.log10(spread**2 / rmse**2))
    mask = truth > 1.5
    masked = np.sqrt((error[mask.numpy()] ** 2).mean())
    assert root_mean_square_error(volume, truth, mask).item() == pytest.approx(masked)
    found = peak_signal_to_noise_ratio(volume, truth, data_range=2, mask=mask)
    assert found.item() == pytest.approx(20 * np.log10(2 / masked))


def test_known_values():
    truth = torch.zeros(12, 12, 12)
    truth[3:9, 3:9, 3:9] = 1.0
    assert peak_signal_to_noise_ratio(truth + 0.01, truth).item() == pytest.approx(40, abs=1e-4)
    assert peak_signal_to_noise_ratio(truth, truth).item() == math.inf
    assert relative_error(0 * truth, truth).item() == pytest.approx(1)
    assert relative_error(truth, truth).item() == 0
    assert structural_similarity_3d(truth, truth).item() == pytest.approx(1)
    # Constant volumes a and b: only the luminance counts.
    a, b, c1 = 0.25, 0.5, 0.01**2
    constant = structural_similarity_3d(torch.full((11, 12, 13), a), torch.full((11, 12, 13), b), data_range=1)
    assert constant.item() == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


@pytest.mark.parametrize(("window", "size"), [("gaussian", 11), ("uniform", 7), ("uniform", 3)])
def test_structural_similarity_is_that_of_scipy(window, size):
    volume, truth = pair()
    spread = float(truth.max() - truth.min())
    given = {"window": window, "window_size": None if size in (7, 11) else size}
    expected = ssim_of_scipy(volume, truth, spread, window, size)
    assert structural_similarity_3d(volume, truth, **given).item() == pytest.approx(expected)
    mask = truth > 1.5
    expected = ssim_of_scipy(volume, truth, 5.0, window, size, mask)
    assert structural_similarity_3d(volume, truth, 5.0, mask, **given).item() == pytest.approx(expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_memory_order_and_slabs_change_nothing(monkeypatch, order):
    monkeypatch.setattr(volumes, "_VOXELS_AT_ONCE", 500)
    inverse = [order.index(axis) for axis in range(3)]
    volume, truth = (x.permute(order).contiguous().permute(inverse) for x in pair())
    mask = truth > 1.5
    for metric in METRICS:
        expected = metric(*pair(), mask=mask.contiguous())
        torch.testing.assert_close(metric(volume, truth, mask=mask), expected)
    expected = ssim_of_scipy(*pair(), float(truth.max() - truth.min()), "gaussian", 11)
    assert structural_similarity_3d(volume, truth).item() == pytest.approx(expected)


def test_float32_on_a_high_pedestal():
    volume, truth = (1000 + x for x in pair())
    expected = ssim_of_scipy(volume - 1000, truth - 1000, 4.0, "uniform", 7)
    far = structural_similarity_3d(volume.float(), truth.float(), 4.0, window="uniform")
    # Luminance is 1 there, so compare with a pedestal in float64.
    assert far.item() == pytest.approx(ssim_of_scipy(volume, truth, 4.0, "uniform", 7), abs=1e-3)
    assert far.item() > expected


def test_gradients():
    volume, truth = pair(shape=(4, 3, 5))
    mask = truth > 0.5
    for metric in METRICS[:3]:
        assert torch.autograd.gradcheck(lambda x, metric=metric: metric(x, truth, mask=mask), volume.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda x: structural_similarity_3d(x, truth, window="uniform", window_size=3), volume.requires_grad_()
    )


@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_refused(metric):
    volume, truth = pair()
    with pytest.raises(TypeError, match="floating-point"):
        metric(volume.int(), truth)
    with pytest.raises(TypeError, match="dtype"):
        metric(volume.float(), truth)
    with pytest.raises(ValueError, match="one shape"):
        metric(volume[1:], truth)
    with pytest.raises(ValueError, match="only zeros"):
        metric(volume, truth, mask=torch.zeros_like(truth))
    with pytest.raises(ValueError, match="mask of shape"):
        metric(volume, truth, mask=torch.ones(2, 2, 2))
    damaged = volume.clone()
    damaged[0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="finite"):
        metric(damaged, truth)
    if "range" in (metric.__doc__ or ""):
        with pytest.raises(ValueError, match="data range"):
            metric(volume, torch.ones_like(truth))


def test_windows_that_do_not_fit_are_refused():
    volume, truth = pair(shape=(17, 10, 15))
    with pytest.raises(ValueError, match="at least 11"):
        structural_similarity_3d(volume, truth)
    with pytest.raises(ValueError, match="odd"):
        structural_similarity_3d(volume, truth, window_size=4)
    with pytest.raises(ValueError, match="box"):
        structural_similarity_3d(volume, truth, window="box")
    edge = torch.zeros_like(truth)
    edge[0] = 1
    with pytest.raises(ValueError, match="edges"):
        structural_similarity_3d(volume, truth, mask=edge, window="uniform")
    with pytest.raises(ValueError, match="not 0"):
        relative_error(volume, 0 * truth)
