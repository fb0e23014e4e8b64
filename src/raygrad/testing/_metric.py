"""What every metric of images promises."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from raygrad.testing._expect import expect, expect_close, expect_refusal, expect_shape

Metric = Callable[[Tensor, Tensor], Tensor]
WIDER = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""What images of half precision are compared in."""


def check_metric(
    metric: Metric,
    *,
    height: int = 10,
    width: int = 9,
    channels: int = 2,
    second_derivatives: bool = True,
    device: torch.device | str = "cpu",
) -> None:
    """See that a metric of images keeps what `raygrad.metrics` promises.

    - Two batches (batch, channel, height, width) give scores (batch,) in their dtype and on their device. Every pair is
      scored on its own, and a batch of one is compared with all of the other.
    - An image is more like itself than like itself with noise, and more like that than like another image.
    - Gradients for both images are those of finite differences in float64, and so are second derivatives, which
      Levenberg and Marquardt's method takes. Scores and gradients stay finite where images are uniform or equal.
    - Images of half precision are compared in float32, with the same score, also under `torch.autocast`.
    - NaN in an image gives NaN for that pair and changes no other.
    - What is no pair of such batches is refused with a ValueError or TypeError.

    Args:
        metric: called with two batches of images.
        height, width: of the images, as small as the metric can take; finite differences cost their square.
        channels: of the images.
        second_derivatives: False for a metric that has first derivatives only.
        device: where the images are.

    Raises:
        AssertionError: a promise is broken; says which.
    """
    first, second = _images(height, width, channels, torch.device(device))
    _check_scores(metric, first, second)
    _check_order(metric, first, second)
    _check_pairs(metric, first, second)
    _check_derivatives(metric, first[:1, :1], second[:1, :1], second_derivatives)
    _check_plain_images(metric, first[:1])
    _check_half_precision(metric, first, second)
    _check_nan(metric, first, second)
    _check_refusals(metric, first, second)


def _images(height: int, width: int, channels: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Three smooth images with some noise in them, and three others, between 0 and 1; float64."""
    generator = torch.Generator().manual_seed(0)
    shape = (6, channels, height, width)
    rough = torch.rand(*shape, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool2d(rough, 3, stride=1, padding=1)
    images = (0.7 * smooth + 0.3 * rough).to(device)
    return images[:3], images[3:]


def _check_scores(metric: Metric, first: Tensor, second: Tensor) -> None:
    before = first.clone(), second.clone()
    metric(first, second)
    untouched = torch.equal(first, before[0]) and torch.equal(second, before[1])
    expect(untouched, "images that are left as they were", "a metric that writes to its images")
    for dtype in (torch.float64, torch.float32):
        scores = metric(first.to(dtype), second.to(dtype))
        expect_shape(scores, (3,), "scores")
        expect(scores.dtype == dtype, f"scores in the images' dtype {dtype}", scores.dtype)
        expect(scores.device == first.device, f"scores on the images' device {first.device}", scores.device)
        expect(scores.isfinite().all(), "finite scores", scores.tolist())


def _check_order(metric: Metric, first: Tensor, second: Tensor) -> None:
    order = [metric(first, (1 - share) * first + share * second) for share in (0.0, 0.3, 1.0)]
    same, noisy, other = (scores.tolist() for scores in order)
    for scores in zip(same, noisy, other, strict=True):
        expect(
            scores[0] > scores[1] > scores[2],
            "scores that are highest for equal images, lower with 30 % of another in it, and lowest for another",
            ", ".join(f"{score:.6g}" for score in scores),
        )


def _check_pairs(metric: Metric, first: Tensor, second: Tensor) -> None:
    together = metric(first, second)
    for i in range(3):
        alone = metric(first[i : i + 1], second[i : i + 1])
        expect_close(alone, together[i : i + 1], "the score of a pair alone to be that in a batch", 1e-9)
    for one, other in ((first[:1], second), (first, second[:1])):
        repeated = metric(one.expand(3, -1, -1, -1), other.expand(3, -1, -1, -1))
        expect_close(metric(one, other), repeated, "the scores of a batch of one with every image of the other", 1e-9)
    columns_first = (images.mT.contiguous().mT for images in (first, second))
    expect_close(metric(*columns_first), together, "the same scores for any order of the images in memory", 1e-9)


def _check_derivatives(metric: Metric, first: Tensor, second: Tensor, second_derivatives: bool) -> None:
    images = [image.clone().requires_grad_() for image in (first, second)]
    score = metric(*images)
    expect(score.requires_grad, "a score with gradients for both images", "one that autograd does not know")
    gradients = torch.autograd.grad(score.sum(), images, allow_unused=True)
    for name, gradient in zip(("first", "second"), gradients, strict=True):
        expect(gradient is not None and gradient.any(), f"a gradient for the {name} image", "none, or zeros only")
    _check_differences(metric, images, torch.autograd.gradcheck, "gradients")
    if second_derivatives:
        _check_differences(metric, images, torch.autograd.gradgradcheck, "second derivatives")


def _check_differences(metric: Metric, images: list[Tensor], check: Callable[..., bool], what: str) -> None:
    try:
        check(metric, images, fast_mode=True)
    except Exception as error:  # gradcheck has errors of several kinds
        reason = " ".join(str(error).split())[:300]
        raise AssertionError(f"Expected {what} like finite differences in float64. Got: {reason}") from error


def _check_plain_images(metric: Metric, image: Tensor) -> None:
    uniform = torch.full_like(image, 0.375, dtype=torch.float32)  # whose mean is exact, and its variance 0
    for what, first, second in (
        ("two uniform images", uniform, uniform),
        ("a uniform image and another", uniform, image.float()),
        ("an image and a uniform one", image.float(), uniform),
        ("two equal images", image.float(), image.float()),
    ):
        first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
        score = metric(first, second)
        gradients = torch.autograd.grad(score.sum(), (first, second))
        finite = all(value.isfinite().all() for value in (score, *gradients))
        expect(finite, f"a finite score with finite gradients for {what}", f"{score.tolist()}, or NaN in the gradients")


def _check_half_precision(metric: Metric, first: Tensor, second: Tensor) -> None:
    for narrow, wide in WIDER.items():
        rounded = first.to(narrow), second.to(narrow)
        expected = metric(*(images.to(wide) for images in rounded))
        scores = metric(*rounded)
        expect(scores.dtype == wide, f"scores in {wide} for images of {narrow}", scores.dtype)
        expect_close(scores, expected, f"scores of images of {narrow} to be those of the same in {wide}", 1e-5)
    with torch.autocast(first.device.type, torch.bfloat16):
        scores = metric(first.float(), second.float())
    expected = metric(first.float(), second.float())
    expect_close(scores, expected, "the same scores under torch.autocast", 1e-5)


def _check_nan(metric: Metric, first: Tensor, second: Tensor) -> None:
    damaged = second.clone()
    damaged[1, 0, second.shape[2] // 2, second.shape[3] // 2] = torch.nan
    scores = metric(first, damaged)
    expect(scores[1].isnan(), "a score of NaN for an image with a NaN", float(scores[1]))
    others = torch.tensor([0, 2])
    expect_close(scores[others], metric(first, second)[others], "scores of other pairs, which have no NaN", 1e-9)


def _check_refusals(metric: Metric, first: Tensor, second: Tensor) -> None:
    for what, images in {
        "images without a channel axis": (first[:, 0], second[:, 0]),
        "images of two sizes": (first, second[..., 1:]),
        "batches of two and three images": (first[:2], second),
        "images of two dtypes": (first, second.float()),
        "images of whole numbers": (first.long(), second.long()),
    }.items():
        expect_refusal(partial(metric, *images), what)
