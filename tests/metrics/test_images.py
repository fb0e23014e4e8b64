"""What every image metric does: shapes, batches, dtypes, derivatives, errors."""

import pytest
import torch

from raygrad import metrics

METRICS = {
    "ncc": metrics.NormalizedCrossCorrelation2d(),
    "ncc_patches": metrics.NormalizedCrossCorrelation2d(5),
    "multiscale_ncc": metrics.MultiscaleNormalizedCrossCorrelation2d([None, 3], [0.5, 0.5]),
    "gradient_ncc": metrics.GradientNormalizedCrossCorrelation2d(sigma=0.7),
    "gradient_ncc_patches": metrics.GradientNormalizedCrossCorrelation2d(patch_size=4, sigma=0),
    "mutual_information": metrics.MutualInformation(num_bins=16),
    "mutual_information_bits": metrics.MutualInformation(num_bins=16, normalize=False),
    "gradient_difference": metrics.GradientDifference(),
    "ssim": metrics.StructuralSimilarity2d(window_size=5),
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)


def images(batch_size=3, channels=2, height=9, width=8, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x1, x2 = torch.rand(2, batch_size, channels, height, width, generator=generator, dtype=torch.float64)
    return x1.to(dtype), (0.5 * x1 + 0.5 * x2).to(dtype)


@every_metric
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_images_score_highest(metric, dtype):
    x1, x2 = images(dtype=dtype)
    best, other = metric(x1, x1), metric(x1, x2)
    assert best.shape == other.shape == (3,)
    assert best.dtype == dtype
    assert (best > other).all()


@every_metric
def test_equal_images_score_one(metric):
    x1, _ = images(height=30, width=30)
    score = metric(x1, x1)
    if isinstance(metric, metrics.MutualInformation):
        assert (score > 0).all()  # kernels overlap, so an image tells less about itself than its entropy
    else:
        assert ((score > 0.999) & (score <= 1 + 1e-12)).all()  # eps keeps correlations below 1


@every_metric
def test_each_pair_on_its_own_and_a_batch_of_one_for_all(metric):
    x1, x2 = images()
    together = metric(x1, x2)
    for i in range(3):
        torch.testing.assert_close(metric(x1[i : i + 1], x2[i : i + 1]), together[i : i + 1])
    torch.testing.assert_close(metric(x1[:1], x2), metric(x1[:1].expand(3, -1, -1, -1), x2))
    torch.testing.assert_close(metric(x1, x2[:1]), metric(x1, x2[:1].expand(3, -1, -1, -1)))


@every_metric
def test_any_strides(metric):
    x1, x2 = images()
    columns_first = [x.mT.contiguous().mT for x in (x1, x2)]
    torch.testing.assert_close(metric(*columns_first), metric(x1, x2))


@every_metric
def test_derivatives(metric):
    x1, x2 = (x.requires_grad_() for x in images(batch_size=1, height=6, width=7))
    assert torch.autograd.gradcheck(metric, (x1, x2), fast_mode=True)
    assert torch.autograd.gradgradcheck(metric, (x1, x2), torch.ones(1, dtype=torch.float64), fast_mode=True)


@every_metric
def test_uniform_and_equal_images_have_finite_scores_and_gradients(metric):
    uniform = torch.full((1, 1, 12, 12), 0.37)
    ramp = torch.linspace(0, 1, 12).expand(1, 1, 12, 12)
    for first, second in [(uniform, uniform), (uniform, ramp), (ramp, uniform), (ramp, ramp)]:
        first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
        score = metric(first, second)
        gradients = torch.autograd.grad(score.sum(), (first, second))
        assert all(value.isfinite().all() for value in (score, *gradients))


@every_metric
@pytest.mark.parametrize(
    ("x1", "x2", "error", "message"),
    [
        (torch.rand(3, 9, 9), torch.rand(3, 9, 9), ValueError, r"x1 of shape \(B, C, H, W\). Got \(3, 9, 9\)"),
        (torch.rand(1, 1, 9, 9), torch.rand(9, 9), ValueError, r"x2 of shape \(B, C, H, W\). Got \(9, 9\)"),
        (torch.rand(1, 1, 9, 9), torch.rand(1, 1, 9, 8), ValueError, r"one shape.*\(1, 1, 9, 9\) and \(1, 1, 9, 8\)"),
        (torch.rand(1, 1, 9, 9), torch.rand(1, 2, 9, 9), ValueError, "one shape"),
        (torch.rand(2, 1, 9, 9), torch.rand(3, 1, 9, 9), ValueError, "one shape"),
        (torch.rand(1, 1, 9, 9), torch.rand(1, 1, 9, 9).double(), TypeError, "one dtype"),
        (torch.rand(1, 1, 9, 9).int(), torch.rand(1, 1, 9, 9), TypeError, "as x1. Got a tensor of torch.int32"),
    ],
)
def test_wrong_images_are_named(metric, x1, x2, error, message):
    with pytest.raises(error, match=message):
        metric(x1, x2)


@pytest.mark.parametrize("name", ["ncc_patches", "gradient_ncc", "gradient_difference", "ssim"])
def test_images_smaller_than_a_window_are_named(name):
    small = torch.rand(1, 1, 2, 9)
    with pytest.raises(ValueError, match=r"at least \d pixels a side. Got \(2, 9\)"):
        METRICS[name](small, small)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.NormalizedCrossCorrelation2d(0), "at least 1 pixel.*Got 0"),
        (lambda: metrics.MultiscaleNormalizedCrossCorrelation2d([None, 3], [1.0]), "2 sizes and 1 weights"),
        (lambda: metrics.MultiscaleNormalizedCrossCorrelation2d([], []), "at least one"),
        (lambda: metrics.GradientNormalizedCrossCorrelation2d(sigma=-1.0), "Got -1.0"),
        (lambda: metrics.MutualInformation(sigma=0.0), "positive sigma"),
        (lambda: metrics.MutualInformation(num_bins=1), "at least 2 bins"),
        (lambda: metrics.StructuralSimilarity2d(data_range=0.0), "positive data range"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
