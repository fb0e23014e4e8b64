"""How much a DRR is like its X-ray, as registration sees it: by patches, whatever the brightness, within the mask."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from raygrad._cockpit._xray import OpenXRay
from raygrad.registration import ByFeatures, LocalCorrelation
from raygrad.types import Images

if TYPE_CHECKING:
    from raygrad._cockpit._session import Session

SIMILARITY = ByFeatures(LocalCorrelation(9))
"""What the last stages of a registration make as large as they can."""


def scaled(xray: OpenXRay, size: tuple[int, int]) -> tuple[Images, Images]:
    """An X-ray in so many rows and columns, each pixel the mean of what counts in it, and how much of it counts."""
    whole = torch.ones_like(xray.image) if xray.mask is None else xray.mask[None, None].to(xray.image)
    weights, seen = (interpolate(one, size=size, mode="area") for one in (whole, xray.image * whole))
    return seen / weights.clamp_min(1e-6), weights


class Likeness:
    """Compares images of any size with the X-rays; what is made of an X-ray at a size is kept."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._fixed: dict[tuple[int, tuple[int, ...]], tuple[object, Tensor, Tensor]] = {}

    def of(self, view: int, image: Images) -> dict[str, Any]:
        """For the header of a frame: "similarity", at most 1."""
        with torch.no_grad():
            weights, fixed = self._of_xray(view, image)
            score = SIMILARITY.score(image, weights, fixed).item()
        return {"similarity": round(score, 4) if math.isfinite(score) else None}

    def _of_xray(self, view: int, like: Images) -> tuple[Tensor, Tensor]:
        """The weights, and what is compared of the X-ray, at an image's size."""
        xray, size = self._session.xrays[view], (like.shape[-2], like.shape[-1])
        known = self._fixed.get((view, size))
        if known is None or known[0] is not xray:
            image, weights = (one.to(like) for one in scaled(xray, size))
            known = xray, weights, SIMILARITY.of_xrays(image, weights)
            self._fixed[view, size] = known
        return known[1], known[2]
