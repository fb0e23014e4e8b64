"""Pixels that do not fit, found and trusted less: wires, instruments, edges of a collimator."""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._problem.similarity import Similarity

TUKEY = 4.685
"""Residuals of so many standard deviations and more count for nothing: 95 % efficient for normal ones."""


def trusted_pixels(
    problem: PoseProblem, states: States, view: int, where_seen: bool = False
) -> Float[Tensor, "entry 1 height width"]:
    """A view's weights times Tukey's biweight of each pixel's residual.

    Residuals are measured by their median absolute value, times 1.4826 the standard deviation of normal ones (Huber,
    "Robust Statistics", 1981). Several features of a pixel are taken together.

    Args:
        problem: with features of pixels.
        states: where its entries are.
        view: which view's pixels.
        where_seen: measure where bodies are seen alone: of an image of a wire nearly all the pixels are empty, and fit
            so well that everything else would stand out.

    Raises:
        ValueError: features that are not of pixels.
    """
    xray = problem.xrays[view]
    moving, fixed = problem.features(states, view, derivatives=False)
    nothing = problem.images(states, view) == 0 if where_seen else None
    assert isinstance(problem.similarity, Similarity)
    square = problem.similarity.per_pixel((moving - fixed).square(), xray.shape)
    if square.shape[2:] != xray.shape:
        raise ValueError(f"Expected features of every pixel for a robust stage. Got {moving.shape[2]} features.")
    weights = xray.weights.expand_as(square)
    residual = (square / weights.clamp_min(1e-6)).sqrt()
    left_out = weights < 0.5
    if nothing is not None:
        left_out = left_out | (nothing & ~(nothing | left_out).flatten(1).all(1)[:, None, None, None])
    shown = residual.masked_fill(left_out, torch.nan).flatten(1)
    deviation = 1.4826 * shown.nanmedian(dim=1).values[:, None, None, None]
    # Of equal images the residuals are rounding errors, and none of them is an outlier.
    least = 1e-3 / residual[0].numel() ** 0.5
    ratio = residual / (TUKEY * deviation.nan_to_num(least).clamp_min(least))
    return weights * (1 - ratio.square()).clamp_min(0).square()
