"""Similarities as sums of squares: what they equal, what they forgive, what masks hide, and their derivatives."""

import pytest
import torch
from torch.autograd.functional import jvp
from torch.nn import functional

from raygrad.metrics import normalized_cross_correlation
from raygrad.metrics._filters import sobel
from raygrad.registration._problem.similarity import (
    GlobalCorrelation,
    GradientCorrelation,
    LocalCorrelation,
    Similarity,
    WeightedSum,
)

SHAPE = (14, 17)
SIMILARITIES = [
    GlobalCorrelation(),
    GradientCorrelation(),
    LocalCorrelation(5),
    LocalCorrelation(9, floor=0.3),
    WeightedSum((GlobalCorrelation(), GradientCorrelation(), LocalCorrelation(5)), (0.5, 0.2, 0.3)),
]
ONES = torch.ones(1, 1, *SHAPE, dtype=torch.float64)

each_similarity = pytest.mark.parametrize("similarity", SIMILARITIES, ids=str)


def smooth_images(batch, seed=0):
    """Images of line integrals in mm: blobs on a mean that is large beside them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 1, 6, 7, generator=generator, dtype=torch.float64)
    return 40 + 3 * functional.interpolate(coarse, SHAPE, mode="bicubic", align_corners=True)


def random_weights(batch=1, seed=1):
    """Weights from 0 to 1, a few of them 0."""
    weights = torch.rand(batch, 1, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.where(weights < 0.2, 0.0, weights)


def distance(similarity, one, other, weights=ONES):
    """The squared distance of two batches' features."""
    return (similarity(one, weights) - similarity(other, weights)).square().sum((1, 2))


# Derivatives


@each_similarity
@pytest.mark.parametrize("weights", [ONES, random_weights(), random_weights(3)], ids=["all", "weighted", "each"])
def test_derivatives_are_those_of_the_features(similarity, weights):
    image = smooth_images(3)
    tangents = torch.randn(3, 4, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    features = similarity(torch.cat([image, tangents], dim=1), weights)
    assert torch.equal(features[:, :1], similarity(image, weights))
    for number in range(4):
        along = tangents[:, number : number + 1]
        value, derivative = jvp(lambda x: similarity(x, weights), image, along)
        torch.testing.assert_close(features[:, :1], value, rtol=0, atol=1e-14)
        torch.testing.assert_close(features[:, number + 1 : number + 2], derivative, rtol=1e-9, atol=1e-12)
        h = 1e-5
        difference = (similarity(image + h * along, weights) - similarity(image - h * along, weights)) / (2 * h)
        torch.testing.assert_close(features[:, number + 1 : number + 2], difference, rtol=1e-6, atol=1e-9)


@each_similarity
def test_single_precision_is_enough_for_line_integrals_with_a_large_mean(similarity):
    stack = torch.cat([smooth_images(2) + 200, torch.randn(2, 3, *SHAPE, dtype=torch.float64)], dim=1)
    expected = similarity(stack, ONES)
    features = similarity(stack.float(), ONES.float())
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.double(), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


# What they are


def test_global_correlation_is_the_metric_of_that_name():
    one, other = smooth_images(4, seed=3), smooth_images(4, seed=4)
    ncc = normalized_cross_correlation(one, other, eps=0.0)
    torch.testing.assert_close(distance(GlobalCorrelation(), one, other), 2 * (1 - ncc), rtol=1e-12, atol=1e-12)


def test_under_a_mask_global_correlation_is_that_of_the_pixels_it_shows():
    one, other = smooth_images(4, seed=3), smooth_images(4, seed=4)
    shown = torch.rand(SHAPE) > 0.4
    ncc = normalized_cross_correlation(one[..., shown][:, :, None], other[..., shown][:, :, None], eps=0.0)
    squares = distance(GlobalCorrelation(), one, other, shown.double()[None, None])
    torch.testing.assert_close(squares, 2 * (1 - ncc), rtol=1e-12, atol=1e-12)


def test_gradient_correlation_is_the_mean_correlation_of_both_slopes():
    one, other = smooth_images(4, seed=3), smooth_images(4, seed=4)
    squares = distance(GradientCorrelation(), one, other)
    ncc = normalized_cross_correlation(sobel(one, padding=0), sobel(other, padding=0), eps=0.0)
    torch.testing.assert_close(squares, 2 * (1 - ncc), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weights", [ONES, random_weights()], ids=["all", "weighted"])
def test_local_correlation_compares_every_pixel_with_its_patch(weights):
    image, w = smooth_images(1)[0, 0], weights[0, 0]
    features = LocalCorrelation(5, floor=0.1)(image[None, None], weights).reshape(SHAPE)
    mean = (image * w).sum() / w.sum()
    least = 0.1**2 * ((image - mean).square() * w).sum() / w.sum()
    for row, column in [(0, 0), (0, 8), (7, 6), (13, 16), (12, 1)]:
        patch = slice(max(0, row - 2), row + 3), slice(max(0, column - 2), column + 3)
        share = w[patch] / w[patch].sum()
        centre = (image[patch] * share).sum()
        variance = ((image[patch] - centre).square() * share).sum() + least
        expected = (image[row, column] - centre) / variance.sqrt() * (w[row, column] / w.sum()).sqrt()
        torch.testing.assert_close(features[row, column], expected, rtol=1e-9, atol=1e-12)


def test_patches_without_texture_count_for_little():
    image = torch.zeros(1, 1, 30, 30, dtype=torch.float64)
    image[..., :, :15] = 10 * torch.randn(30, 15, generator=torch.Generator().manual_seed(0)).double()
    image[..., :, 15:] = 1e-3 * torch.randn(30, 15, generator=torch.Generator().manual_seed(1)).double()
    features = LocalCorrelation(5)(image, torch.ones_like(image)).reshape(30, 30)
    assert features[:, 18:].norm() < 0.01 * features[:, :12].norm()


# What they forgive


@each_similarity
def test_brightness_and_contrast_do_not_matter(similarity):
    image = smooth_images(2)
    features = similarity(image, random_weights())
    torch.testing.assert_close(similarity(7.5 * image - 90, random_weights()), features, rtol=0, atol=1e-11)
    assert distance(similarity, image, 1.0 - image).min() > 1  # the negative is another image


@pytest.mark.parametrize("similarity", [GradientCorrelation(), LocalCorrelation(5)], ids=str)
def test_a_smooth_bias_hardly_matters_to_what_looks_at_pixels_together(similarity):
    image = smooth_images(1)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE), indexing="ij")
    biased = image + 8 * torch.exp(-((x - 0.5) ** 2) - (y + 0.3) ** 2)
    spoilt = distance(GlobalCorrelation(), image, biased)
    assert spoilt > 0.1
    assert distance(similarity, image, biased) < 0.4 * spoilt


def test_smaller_patches_forgive_more():
    image = smooth_images(1)
    biased = image + torch.linspace(0, 20, SHAPE[1], dtype=torch.float64)
    squares = [float(distance(LocalCorrelation(size), image, biased)) for size in (3, 7, 11)]
    assert squares == sorted(squares)


# Weights


@each_similarity
def test_hidden_pixels_change_nothing(similarity):
    stack = torch.cat([smooth_images(2), torch.randn(2, 3, *SHAPE, dtype=torch.float64)], dim=1)
    weights = random_weights()
    changed = torch.where(weights == 0, 1e3 * torch.randn_like(stack), stack)
    assert not torch.equal(changed, stack)
    assert torch.equal(similarity(changed, weights), similarity(stack, weights))
    unhidden = similarity(changed, weights.clamp_min(0.01))
    assert (unhidden - similarity(stack, weights.clamp_min(0.01))).abs().max() > 1e-2


@each_similarity
def test_the_scale_of_the_weights_does_not_matter(similarity):
    image, weights = smooth_images(2), random_weights().clamp_min(0.1)
    torch.testing.assert_close(similarity(image, 0.5 * weights), similarity(image, weights), rtol=0, atol=1e-13)


@each_similarity
def test_every_image_may_have_weights_of_its_own(similarity):
    stack = torch.cat([smooth_images(3), torch.randn(3, 2, *SHAPE, dtype=torch.float64)], dim=1)
    weights = random_weights(3)
    features = similarity(stack, weights)
    alone = torch.cat([similarity(stack[n : n + 1], weights[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(features, alone, rtol=0, atol=1e-14)
    assert not torch.allclose(features, similarity(stack, weights[:1]))


@each_similarity
def test_values_per_pixel_add_up_to_all_of_them(similarity):
    stack = torch.cat([smooth_images(3), torch.randn(3, 2, *SHAPE, dtype=torch.float64)], dim=1)
    values = similarity(stack, ONES).square()
    images = similarity.per_pixel(values, SHAPE)
    assert images.shape == (3, 3, *SHAPE)
    torch.testing.assert_close(images.sum((2, 3)), values.sum(2))


@each_similarity
def test_what_changes_in_a_pixel_is_seen_there(similarity):
    image = smooth_images(1)
    spoilt = image.clone()
    spoilt[..., 6, 9] += 5
    square = (similarity(spoilt, ONES) - similarity(image, ONES)).square()
    worst = int(similarity.per_pixel(square, SHAPE).flatten().argmax())
    row, column = divmod(worst, SHAPE[1])
    assert max(abs(row - 6), abs(column - 9)) <= 1


@each_similarity
def test_an_image_of_one_value_has_finite_features(similarity):
    stack = torch.ones(1, 2, *SHAPE)
    stack[:, 1] = torch.rand(SHAPE)
    assert similarity(stack, torch.ones(1, 1, *SHAPE)).isfinite().all()


@each_similarity
def test_all_of_them_are_similarities(similarity):
    assert isinstance(similarity, Similarity)


def test_a_weighted_sum_weighs_squared_distances():
    one, other = smooth_images(2), smooth_images(2, seed=3)
    parts = (GlobalCorrelation(), GradientCorrelation(), LocalCorrelation(7))
    weights = (0.5, 0.2, 0.3)
    expected = sum(weight * distance(part, one, other) for part, weight in zip(parts, weights, strict=True))
    torch.testing.assert_close(distance(WeightedSum(parts, weights), one, other), expected)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.0), (0.5, -1.0)])
def test_a_weighted_sum_wants_a_positive_weight_for_each_part(weights):
    with pytest.raises(ValueError, match="one positive weight for each part"):
        WeightedSum((GlobalCorrelation(), LocalCorrelation(5)), weights)
