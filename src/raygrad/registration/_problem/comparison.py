"""How like its X-ray an image is, and how that changes along any direction: by features, or by a metric.

Both make the same of it: a cost of 2 (1 - score) for every view, half its gradient, a positive semi-definite matrix in
place of half its second derivatives, and how much of the gradient is owed to chance.

- Features: the cost is the square of their distance, |f - m|^2, and the matrix is J' J (Gauss and Newton).
- A metric: the matrix is that of its own second derivatives along the tangents of the image, J' H J, made positive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.registration._problem.similarity import (
    Metric,
    Similarity,
    Stack,
    Weights,
    XRayFeatures,
    hide,
    measure,
)
from raygrad.registration._solver.levenberg_marquardt import Linearisation
from raygrad.types import Images, Scores

SQUARE = 10
"""Side in pixels of the squares within which residuals may be correlated."""
LEAST_CURVATURE = 1e-6
"""No direction curves less than so many times as much as the one that curves most, by the change of the image."""


@runtime_checkable
class Comparison(Protocol):
    """A way to compare images with an X-ray. Weights are those of the pixels, (batch or 1, 1, height, width)."""

    def of_xrays(self, images: Images, weights: Weights) -> Tensor:
        """What is compared of an X-ray: made once at each level."""

    def score(self, images: Images, weights: Weights, fixed: Tensor) -> Scores:
        """How alike images and X-ray are, at most 1."""

    def linearise(self, stack: Stack, weights: Weights, fixed: Tensor, like: Tensor) -> Linearisation:
        """Cost and derivatives of images along the tangents that follow them in the stack, in the dtype of `like`."""

    def in_users_words(self, score: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Means of scores over all views as users know them."""


def compare_by(similarity: Similarity | Metric, xrays: Sequence[tuple[Tensor, Tensor]]) -> Comparison:
    """How images are compared with these X-rays (1, 1, height, width), each with its weights.

    Raises:
        ValueError: a metric that is no number for an X-ray and itself, or not higher than for one without contrast.
    """
    if isinstance(similarity, Similarity):
        return ByFeatures(similarity)
    with torch.inference_mode(False), torch.no_grad():
        hidden = [hide(image, weights) for image, weights in xrays]
        flat = [image.mean(dim=(-2, -1), keepdim=True).expand_as(image) for image in hidden]
        alike = torch.stack([measure(similarity, image, image)[0] for image in hidden]).mean()
        unlike = torch.stack([measure(similarity, *pair)[0] for pair in zip(hidden, flat, strict=True)]).mean()
        scale = alike - unlike
    if not alike.isfinite() or not scale.isfinite() or not scale > 0:
        raise ValueError(
            "Expected a metric that is higher for images that are more alike, and finite. Got "
            f"{alike.item():.6g} for the X-ray and itself, {unlike.item():.6g} for the X-ray and an image without "
            "contrast. (Bring images to the range that the metric is made for, such as 0 to 1, within the metric.)"
        )
    return ByMetric(similarity, alike, scale)


@dataclass(frozen=True)
class ByFeatures:
    """By features, whose tangents the similarity knows."""

    similarity: Similarity

    def of_xrays(self, images: Images, weights: Weights) -> XRayFeatures:
        """Their features."""
        return self.similarity(images, weights)

    def score(self, images: Images, weights: Weights, fixed: Tensor) -> Scores:
        """The correlation of features."""
        return _correlation(self.similarity(images, weights), fixed)

    def linearise(self, stack: Stack, weights: Weights, fixed: Tensor, like: Tensor) -> Linearisation:
        """The square of the distance of features, and J' J."""
        moving = self.similarity(stack, weights)
        residual, jacobian = moving[:, :1] - fixed, moving[:, 1:]
        shape = (stack.shape[2], stack.shape[3])
        squares = _in_squares(self.similarity.per_pixel(jacobian * residual, shape), like)
        return Linearisation(
            residual.square().sum((1, 2)).to(squares),
            squares.sum(2),
            (jacobian @ jacobian.mT).to(squares),
            squares @ squares.mT,
            _correlation(moving[:, :1], fixed).to(squares),
        )

    def in_users_words(self, score: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """As they are: correlations of features."""
        return score


@dataclass(frozen=True)
class ByMetric:
    """By a metric of two images, differentiated by autograd.

    Its scale is set aside: an X-ray's score is 1 with itself, and 0 with an image without contrast, in the mean of all
    views. So costs, and what lacks to 1, mean the same for every metric. Pixels that the weights leave out are the mean
    of the others, in both images.

    Attributes:
        metric: from two batches of images, fixed and moving, to scores (batch,), higher for more alike.
        alike: the mean of its scores of X-rays with themselves.
        scale: by how much they are higher than with images without contrast.
    """

    metric: Metric
    alike: Float[Tensor, ""]
    scale: Float[Tensor, ""]

    def of_xrays(self, images: Images, weights: Weights) -> Images:
        """The images, hidden pixels aside."""
        return hide(images, weights)

    def score(self, images: Images, weights: Weights, fixed: Tensor) -> Scores:
        """The metric's score on a scale up to 1; minus infinity where it is not a number."""
        return self._score(hide(images, weights), fixed).nan_to_num(nan=-torch.inf)

    def linearise(self, stack: Stack, weights: Weights, fixed: Tensor, like: Tensor) -> Linearisation:
        """Twice what lacks to 1, and second derivatives along the tangents by two passes of autograd backwards.

        The image is taken to be linear in the unknowns, as in Gauss and Newton's method.

        Raises:
            ValueError: the metric cannot be differentiated, or not twice.
        """
        with torch.inference_mode(False), torch.enable_grad():
            stack, fixed = hide(stack, weights).clone(), fixed.clone()  # of inference mode nothing is differentiated
            image, tangents = stack[:, :1], stack[:, 1:].flatten(2)
            step = torch.zeros_like(tangents[:, :, 0]).requires_grad_()
            moving = image + (step[:, None] @ tangents).unflatten(2, image.shape[2:])
            score = self._score(moving, fixed)
            if not score.requires_grad:
                raise ValueError("Expected a metric whose scores have a gradient by the moving images. Got none.")
            (pull,) = torch.autograd.grad(-score.sum(), moving, create_graph=True)
            slope = (tangents @ pull.flatten(1)[:, :, None])[:, :, 0]
            hessian = torch.stack([_gradient(along.sum(), step) for along in slope.unbind(1)], dim=1)
        score, pull, slope, hessian = (value.detach() for value in (score, pull, slope, hessian))
        defined = score.isfinite() & slope.isfinite().all(1) & hessian.isfinite().all(2).all(1)
        pulls = torch.where(defined[:, None, None, None], pull * stack[:, 1:], 0)
        slope = torch.where(defined[:, None], slope, 0)
        hessian = torch.where(defined[:, None, None], hessian, 0)
        contrast = (image - image.mean(dim=(-2, -1), keepdim=True)).flatten(1).norm(dim=1)
        normal = _made_positive(*(value.to(like) for value in (hessian, slope, tangents.norm(dim=2), contrast)))
        score = torch.where(defined, score, -torch.inf).to(like)
        squares = _in_squares(pulls, like)
        return Linearisation(2 * (1 - score), slope.to(like), normal, squares @ squares.mT, score)

    def in_users_words(self, score: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """As the metric itself gives them."""
        return self.alike.to(score) - (1 - score) * self.scale.to(score)

    def _score(self, images: Images, fixed: Tensor) -> Scores:
        return 1 - (self.alike - measure(self.metric, fixed, images)) / self.scale


def _gradient(value: Tensor, by: Tensor) -> Tensor:
    """The gradient; 0 if the value does not depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(by)
    try:
        (gradient,) = torch.autograd.grad(value, by, retain_graph=True, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise ValueError(
            "Expected a metric that can be differentiated twice, as Levenberg and Marquardt's method needs it. Got "
            f"{error}. Methods 'adam' and 'lbfgs' need one derivative."
        ) from error
    return gradient


def _made_positive(
    hessian: Float[Tensor, "batch unknown unknown"],
    slope: Float[Tensor, "batch unknown"],
    lengths: Float[Tensor, "batch unknown"],
    contrast: Float[Tensor, " batch"],
) -> Float[Tensor, "batch unknown unknown"]:
    """A positive semi-definite matrix in place of second derivatives.

    Unknowns are measured by how much the image changes with them, so that millimetres and radians compare. Then every
    direction curves as much as it does, upwards (Dauphin et al., "Identifying and attacking the saddle point problem in
    high-dimensional non-convex optimization", NeurIPS 2014), and at least so much that the step down the slope does not
    change the image by more than its own contrast: a metric without second derivatives is descended too.

    Args:
        hessian, slope: of the cost.
        lengths: of the tangents of the image.
        contrast: the length of the image less its mean.
    """
    per_length = torch.where(lengths > 0, 1 / lengths, 0)
    scaled = hessian * per_length[:, :, None] * per_length[:, None]
    values, axes = torch.linalg.eigh((scaled + scaled.mT) / 2)
    least = (slope * per_length).norm(dim=1) / contrast.clamp_min(torch.finfo(contrast.dtype).tiny)
    values = values.abs()
    values = values.maximum(torch.maximum(least[:, None], LEAST_CURVATURE * values.amax(1, keepdim=True)))
    return ((axes * values[:, None]) @ axes.mT) * lengths[:, :, None] * lengths[:, None]


def _in_squares(pulls: Stack, like: Tensor) -> Float[Tensor, "batch stack square"]:
    """The sums of pixels over squares within which they may be correlated."""
    return functional.avg_pool2d(pulls, SQUARE, ceil_mode=True, divisor_override=1).flatten(2).to(like)


def _correlation(moving: XRayFeatures, fixed: XRayFeatures) -> Scores:
    """The cosine of the angle between features; 0 where an image has none."""
    lengths = moving.norm(dim=-1) * fixed.norm(dim=-1)
    return ((moving * fixed).sum(-1) / lengths.clamp_min(torch.finfo(lengths.dtype).tiny))[:, 0]
