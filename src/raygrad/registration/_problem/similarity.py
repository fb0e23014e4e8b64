"""Similarities of images as sums of squares: what they compare, and how that changes with the image.

A similarity turns an image into features, normalised so that the squared distance of two images' features is small
where the images are alike whatever their brightness and contrast. For global correlation this is the identity
|f - m|^2 = 2 (1 - NCC) of features with zero mean and unit norm.

Each is a function of a stack (batch, 1 + tangent, height, width), an image followed by its derivatives, and returns
the features followed by theirs (batch, 1 + tangent, feature): forward differentiation, all directions in one pass.
Pixels count by their weights (batch or 1, 1, height, width).

Features of one's own need no derivatives: `FeatureSimilarity` has them by autograd. Metrics, which compare two images
without features, are in `raygrad.metrics`; `Stage` and `LevenbergMarquardt` take them too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.metrics import sobel
from raygrad.types import Images, Scores

Metric = Callable[[Images, Images], Tensor]
"""From two batches of images, fixed and moving, to scores (batch,), higher for images that are more alike."""

Stack = Float[Tensor, "batch stack height width"]
Features = Float[Tensor, "batch stack feature"]
Weights = Float[Tensor, "#batch 1 height width"]
XRayFeatures = Float[Tensor, "#batch 1 feature"]


@runtime_checkable
class Similarity(Protocol):
    """What images are compared by: features, whose squared differences are added up."""

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives, times the square root of how much each counts."""

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """Sums over the features of the same pixel.

        Args:
            values: of the features, such as their squared residuals.
            shape: rows and columns of the images.
        """

    def count(self, image: Images) -> int:
        """How many features such an image (1, 1, height, width) has, whatever its values."""


@dataclass(frozen=True)
class GlobalCorrelation:
    """The whole image with zero mean and unit norm: its squared distance is 2 (1 - NCC)."""

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives."""
        return _unit_norm(stack.flatten(2), weights.flatten(2))

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The values as images: a pixel has one feature, see `Similarity`."""
        return values.unflatten(2, shape)

    def count(self, image: Images) -> int:
        """One for each pixel."""
        return image.shape[2] * image.shape[3]


@dataclass(frozen=True)
class GradientCorrelation:
    """Sobel's two derivatives of the image, each with zero mean and unit norm."""

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives; a slope counts by the least weight of its nine pixels."""
        slopes = sobel(stack, padding=0)
        least = -functional.max_pool2d(-weights, 3, stride=1).flatten(2)
        along = [_unit_norm(slopes[:, first::2].flatten(2), least) for first in (0, 1)]
        return torch.cat(along, dim=2) * 0.5**0.5

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The sums over both slopes, see `Similarity`; the border has no slopes, and gets 0."""
        height, width = shape
        return functional.pad(values.unflatten(2, (2, height - 2, width - 2)).sum(2), [1] * 4)

    def count(self, image: Images) -> int:
        """Two for each pixel but those of the border."""
        return 2 * (image.shape[2] - 2) * (image.shape[3] - 2)


@dataclass(frozen=True)
class LocalCorrelation:
    """Every pixel less the mean of the patch about it, over the patch's standard deviation.

    It forgives a smooth bias and a smooth change of contrast.

    Attributes:
        size: side of the patches in pixels, odd.
        floor: keeps patches without texture from counting as much as others: this share of the standard deviation of
            the whole image is added to the patch's, in squares.
    """

    size: int
    floor: float = 0.05

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives."""
        height, width = stack.shape[-2:]
        rows = _band(height, self.size, stack)
        columns = rows if width == height else _band(width, self.size, stack)
        # A patch that is hidden all but for a trace has no mean; its pixels count for nothing anyway.
        patch_weights = (rows @ weights @ columns).clamp_min(1e-3)
        share = weights / weights.sum((-2, -1), keepdim=True)

        stack = stack - (stack * share).sum((-2, -1), keepdim=True)  # spares digits in the variances
        products = stack[:, :1] * stack
        moments = (rows @ (torch.cat([stack, products], dim=1) * weights) @ columns) / patch_weights
        mean, mean_product = moments.chunk(2, dim=1)
        # Of the image with itself, the variance; with a tangent, half the derivative of that.
        covariance = mean_product - mean[:, :1] * mean
        floor = self.floor**2 * (products * share).sum((-2, -1), keepdim=True)
        # Of an image without texture, where the beam misses the CT, the features are 0.
        least = floor[:, :1].clamp_min(torch.finfo(stack.dtype).tiny)
        variance = covariance[:, :1].clamp_min(0) + least
        standardised = (stack - mean) / variance.sqrt()
        features, slopes = standardised[:, :1], standardised[:, 1:]
        slopes = slopes - features * ((covariance[:, 1:] + floor[:, 1:]) / variance)
        return (torch.cat([features, slopes], dim=1) * share.sqrt()).flatten(2)

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The values as images: a pixel has one feature, see `Similarity`."""
        return values.unflatten(2, shape)

    def count(self, image: Images) -> int:
        """One for each pixel."""
        return image.shape[2] * image.shape[3]


@dataclass(frozen=True)
class WeightedSum:
    """Several similarities at once, such as the correlation of the whole image and of patches of two sizes.

    Attributes:
        parts: what is compared.
        weights: how much the squared distance of each counts; they should add up to 1.

    Raises:
        ValueError: no part, or not a positive weight for each.
    """

    parts: tuple[Similarity, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.parts) != len(self.weights) or not self.parts or min(self.weights) <= 0:
            raise ValueError(
                f"Expected one positive weight for each part, at least one. "
                f"Got {len(self.parts)} parts and the weights {self.weights}."
            )

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives, part after part."""
        parts = zip(self.parts, self.weights, strict=True)
        return torch.cat([part(stack, weights) * weight**0.5 for part, weight in parts], dim=2)

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The sums over the parts, see `Similarity`; where one has features of no pixels, all stand in one row."""
        image = values.new_zeros(1, 1, *shape)
        pieces = values.split([part.count(image) for part in self.parts], dim=2)
        sums = [part.per_pixel(piece, shape) for part, piece in zip(self.parts, pieces, strict=True)]
        if any(of_part.shape[2:] != shape for of_part in sums):
            return torch.cat([of_part.flatten(2) for of_part in sums], dim=2)[:, :, None]
        return torch.stack(sums).sum(0)

    def count(self, image: Images) -> int:
        """Those of all parts."""
        return sum(part.count(image) for part in self.parts)


@dataclass(frozen=True)
class FeatureSimilarity:
    """Features of one's own: their correlation, 1 for features that differ by a factor alone.

    Their derivatives are taken by autograd, twice backwards, so that the function runs once for all tangents. Pixels
    that count for nothing are the mean of the others.

    Attributes:
        function: from images (batch, 1, height, width) to features (batch, ...), those of each image by themselves.
            Maps of the image's size (batch, channel, height, width) count as much as their pixels, and tell which
            pixels do not fit, as a robust stage asks. Other features know of no weights between 0 and 1.
    """

    function: Callable[[Images], Tensor]

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives."""
        with torch.inference_mode(False), torch.enable_grad():
            stack = hide(stack, (weights > 0).to(weights)).clone()  # of inference mode nothing is differentiated
            images, tangents = stack[:, :1].clone().requires_grad_(), stack[:, 1:]
            features = self._flat(images)
            derivatives = [features.detach()]
            if tangents.shape[1]:
                # J' u is linear in u, and so <J' u, t> has the gradient J t by it.
                direction = torch.zeros_like(features).requires_grad_()
                (pull,) = torch.autograd.grad(features, images, direction, create_graph=True)
                for tangent in tangents.unbind(1):
                    derivatives += torch.autograd.grad((pull[:, 0] * tangent).sum(), direction, retain_graph=True)
            features = torch.stack(derivatives, dim=1)
        if maps := _maps_in(features, weights.shape[-2:]):
            features = features * weights.sqrt().flatten(2).tile(maps)
        return _normalised(features)

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The sums over maps of the image's size, see `Similarity`; features of another size stand in one row."""
        if maps := _maps_in(values, shape):
            return values.unflatten(2, (maps, *shape)).sum(2)
        return values[:, :, None]

    def count(self, image: Images) -> int:
        """As many as the function makes of it."""
        return self._flat(image).shape[1]

    def _flat(self, images: Images) -> Float[Tensor, "batch feature"]:
        features = self.function(images)
        if not isinstance(features, Tensor) or features.ndim < 2 or len(features) != len(images):
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"Expected features of {len(images)} images, each its own. Got {got}.")
        return features.flatten(1)


def hide(images: Stack, weights: Float[Tensor, "*batch height width"]) -> Stack:
    """The images with the mean of what counts in place of what does not, so that a mask's edge is no feature.

    It is linear, and so what it makes of derivatives of images is the derivatives of what it makes of images.
    """
    mean = (images * weights).sum(dim=(-2, -1), keepdim=True) / weights.sum(dim=(-2, -1), keepdim=True)
    return mean + weights * (images - mean)


def measure(metric: Metric, fixed: Float[Tensor, "_ channel height width"], moving: Images) -> Scores:
    """A metric's scores of images and one X-ray.

    Raises:
        ValueError: it does not give one score for each image.
    """
    score = metric(fixed.expand(len(moving), -1, -1, -1), moving)
    if not isinstance(score, Tensor) or score.shape != (len(moving),):
        got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
        raise ValueError(f"Expected a metric that gives {len(moving)} scores for as many images. Got {got}.")
    return score


def _maps_in(features: Features, shape: Sequence[int]) -> int:
    """How many maps of images of that shape the features are; none if they are no maps."""
    maps, rest = divmod(features.shape[2], shape[0] * shape[1])
    return 0 if rest else maps


def _unit_norm(stack: Features, weights: Tensor) -> Features:
    """Zero mean and unit norm, by weights (batch or 1, 1, feature), and the derivatives of that."""
    share = weights / weights.sum(-1, keepdim=True)
    return _normalised((stack - (stack * share).sum(-1, keepdim=True)) * share.sqrt())


def _normalised(stack: Features) -> Features:
    """Features of unit norm, and the derivatives of that."""
    stack = stack / stack[:, :1].norm(dim=-1, keepdim=True).clamp_min(torch.finfo(stack.dtype).tiny)
    image, tangents = stack[:, :1], stack[:, 1:]
    return torch.cat([image, tangents - (tangents @ image.mT) * image], dim=1)


def _band(count: int, size: int, like: Tensor) -> Float[Tensor, "count count"]:
    """The matrix that sums the entries at most size // 2 away from each."""
    return like.new_ones(count, count).triu(-(size // 2)).tril(size // 2)
