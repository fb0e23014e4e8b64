"""Pixels that do not fit, found and trusted less: wires, instruments, edges of a collimator."""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.registration._problem.pose_problem import Scene, Unknowns

TUKEY = 4.685
"""Residuals of so many standard deviations and more count for nothing: 95 % efficient for normal ones."""


def trusted_pixels(scene: Scene, unknowns: Unknowns, view: int) -> Float[Tensor, "entry 1 height width"]:
    """A view's weights times Tukey's biweight of each pixel's residual.

    Residuals are measured by their median absolute value, times 1.4826 the standard deviation of normal ones (Huber,
    "Robust Statistics", 1981). Several features of a pixel are taken together.
    """
    sight = scene.sights[view]
    moving, fixed = scene.features(unknowns, view, derivatives=False)
    square = scene.similarity.per_pixel((moving - fixed).square(), sight.shape)
    weights = sight.weights.expand_as(square)
    residual = (square / weights.clamp_min(1e-6)).sqrt()
    shown = residual.masked_fill(weights < 0.5, torch.nan).flatten(1)
    deviation = 1.4826 * shown.nanmedian(dim=1).values[:, None, None, None]
    # Of equal images the residuals are rounding errors, and none of them is an outlier.
    least = 1e-3 / residual[0].numel() ** 0.5
    ratio = residual / (TUKEY * deviation.nan_to_num(least).clamp_min(least))
    return weights * (1 - ratio.square()).clamp_min(0).square()
