"""`check_metric` passes raygrad's metrics, and fails each way of being none."""

import pytest
import torch
from torch.nn.functional import mse_loss

from raygrad import metrics
from raygrad.testing import check_metric

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


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_raygrads_metrics_are_metrics(metric):
    check_metric(metric)


def ncc(x1, x2):
    return metrics.NormalizedCrossCorrelation2d()(x1, x2)


def of_float_only(x1, x2):
    """A right metric, but for half precision."""
    score = ncc(x1, x2)
    return score.to(x1.dtype)


def reads_the_batch(x1, x2):
    x1, x2 = torch.broadcast_tensors(x1, x2)
    return ncc(x1, x2) + 0.1 * x2.mean()


def without_second_derivatives(x1, x2):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * cotangent

    return Cube.apply(ncc(x1, x2))


def no_checks(x1, x2):
    if min(x1.dim(), x2.dim()) < 4:
        return torch.zeros(1)
    return ncc(x1, x2)


BROKEN = {
    "one number for all": (lambda x1, x2: ncc(x1, x2).mean(), "scores of shape"),
    "a number": (lambda x1, x2: 0.5, "scores of shape"),
    "another dtype": (lambda x1, x2: ncc(x1, x2).float(), "the images' dtype"),
    "writes to its image": (lambda x1, x2: ncc(x1.clamp_(max=0.5), x2), "left as they were"),
    "a loss": (lambda x1, x2: -ncc(x1, x2), "highest for equal images"),
    "a distance": (lambda x1, x2: mse_loss(x1, x2.expand_as(x1), reduction="none").mean((1, 2, 3)), "highest"),
    "reads its batch-mates": (reads_the_batch, "a pair alone"),
    "no expansion": (lambda x1, x2: ncc(x1, x2) if len(x1) == len(x2) else ncc(x1, x2) * 0.5, "batch of one"),
    "no gradient": (lambda x1, x2: ncc(x1, x2).detach(), "autograd"),
    "a gradient for one": (lambda x1, x2: ncc(x1, x2.detach()), "second image"),
    "a wrong gradient": (lambda x1, x2: ncc(x1 + x1.detach(), x2), "finite differences"),
    "no second derivative": (without_second_derivatives, "second derivatives"),
    "NaN for uniform images": (lambda x1, x2: ncc(x1, x2) + 0 * x1.var((1, 2, 3)).sqrt(), "finite score"),
    "half precision": (of_float_only, "scores in torch.float32 for images of torch.float16"),
    "hides NaN": (lambda x1, x2: ncc(x1.nan_to_num(), x2.nan_to_num()), "score of NaN"),
    "no checks": (no_checks, "without a channel axis. Got no error"),
}


@pytest.mark.parametrize(("metric", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_metric_fails(metric, message):
    with pytest.raises(AssertionError, match=message):
        check_metric(metric)


def test_a_metric_with_first_derivatives_only_may_say_so():
    check_metric(without_second_derivatives, second_derivatives=False)
