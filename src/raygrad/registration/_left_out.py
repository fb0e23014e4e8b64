"""What of X-rays does not count by itself, whatever masks say: found once for each view, and told with the result."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._hidden import Hidden, hidden_in_array
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._result import RegistrationResult

LEAST_LEFT = 0.01
"""Of the image: where less would be left than this, only the mask hides pixels."""


def leave_out(xray: PreparedXRay) -> PreparedXRay:
    """The X-ray with weights of 0 for what the picture itself shows not to count.

    Args:
        xray: with the weights of its mask.
    """
    hidden = hidden_in_array(xray.image[0, 0])
    if hidden.nothing:
        return replace(xray, hidden=hidden)
    weights = xray.weights * hidden.weights.to(xray.weights)
    if weights.mean() < LEAST_LEFT:
        return replace(xray, hidden=Hidden(torch.ones_like(hidden.weights)))
    return replace(xray, weights=weights / weights.max(), hidden=hidden)


def telling_what_counted(result: RegistrationResult, xrays: Sequence[PreparedXRay]) -> RegistrationResult:
    """The result with the weights that its X-rays were compared by, and why they are not all 1."""
    texts = tuple("" if x.hidden is None or x.hidden.nothing else str(x.hidden) for x in xrays)
    return replace(result, masks=tuple(_kept(x.weights) for x in xrays), hidden=texts)


def _kept(weights: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """On the CPU; of ones, which most are, a view that takes no memory."""
    if bool((weights == 1).all()):
        return torch.ones(()).expand(weights.shape)
    return weights.detach().float().cpu()
