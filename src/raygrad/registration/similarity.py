"""Similarities of images as sums of squares: what they compare, and how that changes with the image.

A similarity turns an image into features, normalised so that the squared distance of two images' features is small
where the images are alike whatever their brightness and contrast. For global correlation this is the identity
|f - m|^2 = 2 (1 - NCC) of features with zero mean and unit norm.

Each is a function of a stack (batch, 1 + tangent, height, width), an image followed by its derivatives, and returns
the features followed by theirs (batch, 1 + tangent, feature): forward differentiation, all directions in one pass.
Pixels count by their weights (batch or 1, 1, height, width).
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.metrics.filters import sobel

Stack = Float[Tensor, "batch stack height width"]
Features = Float[Tensor, "batch stack feature"]
Weights = Float[Tensor, "#batch 1 height width"]


@runtime_checkable
class Similarity(Protocol):
    """What images are compared by."""

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives."""

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """Sums of values of features, such as squared residuals, over those of the same pixel."""

    def count(self, shape: tuple[int, int]) -> int:
        """How many features an image of so many rows and columns has."""


@dataclass(frozen=True)
class GlobalCorrelation:
    """The whole image with zero mean and unit norm: its squared distance is 2 (1 - NCC)."""

    def __call__(self, stack: Stack, weights: Weights) -> Features:
        """Features of an image and their derivatives."""
        return _unit_norm(stack.flatten(2), weights.flatten(2))

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The values as images: a pixel has one feature."""
        return values.unflatten(2, shape)

    def count(self, shape: tuple[int, int]) -> int:
        """One for each pixel."""
        return shape[0] * shape[1]


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
        """The sums over both slopes; the border has no slopes, and gets 0."""
        height, width = shape
        return functional.pad(values.unflatten(2, (2, height - 2, width - 2)).sum(2), [1] * 4)

    def count(self, shape: tuple[int, int]) -> int:
        """Two for each pixel but those of the border."""
        return 2 * (shape[0] - 2) * (shape[1] - 2)


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
        rows, columns = (_band(count, self.size, stack) for count in stack.shape[-2:])
        # A patch that is hidden all but for a trace has no mean; its pixels count for nothing anyway.
        patch_weights = (rows @ weights @ columns).clamp_min(1e-3)

        def patch_mean(values: Tensor) -> Tensor:
            return (rows @ (values * weights) @ columns) / patch_weights

        total = weights.sum((-2, -1), keepdim=True)
        image, tangents = stack[:, :1], stack[:, 1:]
        image = image - (image * weights).sum((-2, -1), keepdim=True) / total  # spares digits in the variances
        count = tangents.shape[1]
        moments = patch_mean(torch.cat([image, image.square(), tangents, image * tangents], dim=1))
        mean, mean_square, mean_tangent, mean_product = moments.split([1, 1, count, count], dim=1)
        least = self.floor**2 * (image.square() * weights).sum((-2, -1), keepdim=True) / total
        # Of an image without texture, where the beam misses the CT, the features are 0.
        least = least.clamp_min(torch.finfo(stack.dtype).tiny)
        variance = (mean_square - mean.square()).clamp_min(0) + least
        deviation = variance.sqrt()
        features = (image - mean) / deviation
        slope_of_least = self.floor**2 * (image * tangents * weights).sum((-2, -1), keepdim=True) / total
        slope_of_variance = mean_product - mean * mean_tangent + slope_of_least
        slopes = (tangents - mean_tangent) / deviation - features * slope_of_variance / variance
        return (torch.cat([features, slopes], dim=1) * (weights / total).sqrt()).flatten(2)

    def per_pixel(self, values: Features, shape: tuple[int, int]) -> Stack:
        """The values as images: a pixel has one feature."""
        return values.unflatten(2, shape)

    def count(self, shape: tuple[int, int]) -> int:
        """One for each pixel."""
        return shape[0] * shape[1]


@dataclass(frozen=True)
class WeightedSum:
    """Several similarities at once, such as the correlation of the whole image and of patches of two sizes.

    Attributes:
        parts: what is compared.
        weights: how much the squared distance of each counts; they should add up to 1.
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
        """The sums over the parts."""
        pieces = values.split([part.count(shape) for part in self.parts], dim=2)
        return torch.stack([part.per_pixel(p, shape) for part, p in zip(self.parts, pieces, strict=True)]).sum(0)

    def count(self, shape: tuple[int, int]) -> int:
        """Those of all parts."""
        return sum(part.count(shape) for part in self.parts)


def _unit_norm(stack: Features, weights: Tensor) -> Features:
    """Zero mean and unit norm, by weights (batch or 1, 1, feature), and the derivatives of that."""
    share = weights / weights.sum(-1, keepdim=True)
    stack = stack - (stack * share).sum(-1, keepdim=True)
    image, tangents = stack[:, :1], stack[:, 1:]
    norm = (image.square() * share).sum(-1, keepdim=True).sqrt().clamp_min(torch.finfo(stack.dtype).tiny)
    image = image / norm
    tangents = tangents / norm
    tangents = tangents - image * (tangents * image * share).sum(-1, keepdim=True)
    return torch.cat([image, tangents], dim=1) * share.sqrt()


def _band(count: int, size: int, like: Tensor) -> Float[Tensor, "count count"]:
    """The matrix that sums the entries at most size // 2 away from each."""
    index = torch.arange(count, device=like.device)
    return ((index[:, None] - index).abs() <= size // 2).to(like)
