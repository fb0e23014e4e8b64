"""How well the X-rays determine where the CT is: in words, and as ellipses in the pixels of every view."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from raygrad._cockpit._placement import Placement
from raygrad.registration import AXES, Uncertainty

WITHIN = math.sqrt(5.991)
"""Standard deviations in a plane within which 95 % lie; along one line it is 1.96."""
ALONG = 1.96
NOTHING_MM = 1e4
"""What is known no better than this is not known."""
WORDS = (
    "sideways in the image",
    "up and down in the image",
    "depth along the beam",
    "turn about the image's horizontal",
    "turn about the image's vertical",
    "turn in the image",
)
"""Of `AXES`, for people."""


def described(
    uncertainty: Uncertainty,
    start: int,
    placement: Placement,
    centre: Tensor,
    views: Sequence[int],
    orientation: str | None,
) -> dict[str, Any]:
    """For the page.

    Args:
        uncertainty: of a registration.
        start: which of its entries.
        placement: where everything is.
        centre: of the CT, in the world.
        views: that were registered; the first one's axes are those of the motions.
        orientation: of the CT.

    Returns:
        "text" in words, "motions" with what is known of each (95 %), and "views": for each view that was registered
        "centre", "axes" (half lengths), "angle" in radians from u to v, and "weakest", the two ends of the weakest
        motion of the centre; in pixels (u, v).
    """
    covariance = uncertainty.covariance[start].double()
    turn = placement.camera_to_world(views[0], orientation).matrix[0, :3, :3].double()
    deviations = uncertainty.standard_deviations[start].tolist()
    motion, weakest = uncertainty.weakest(start)
    seen: list[dict[str, Any] | None] = []
    for view in range(len(placement.cameras)):
        slopes = _slopes(placement, view, centre, orientation) if view in views else None
        if slopes is None or not bool(covariance[:3, :3].isfinite().all()):
            seen.append(None)
            continue
        middle, by_world = slopes
        lengths, axes = torch.linalg.eigh(by_world @ turn @ covariance[:3, :3] @ turn.T @ by_world.T)
        half = (lengths.clamp_min(0).sqrt() * WITHIN).flip(0).tolist()
        main = axes[:, 1]
        arrow = by_world @ turn @ motion[:3].double() * min(ALONG * weakest, NOTHING_MM)
        seen.append(
            {
                "centre": middle.tolist(),
                "axes": half,
                "angle": math.atan2(main[1].item(), main[0].item()),
                "weakest": [(middle - arrow).tolist(), (middle + arrow).tolist()],
            }
        )
    return {"text": _in_words(deviations, uncertainty.radius), "motions": _motions(deviations), "views": seen}


def _motions(deviations: list[float]) -> list[dict[str, Any]]:
    """Each motion with half the width of what is 95 % of it."""
    found = []
    for number, (name, words, deviation) in enumerate(zip(AXES, WORDS, deviations, strict=True)):
        half = ALONG * (deviation if number < 3 else math.degrees(deviation))
        known = math.isfinite(half) and half < NOTHING_MM
        found.append(
            {
                "name": name,
                "words": words,
                "half": round(half, 4) if known else None,
                "unit": "mm" if number < 3 else "°",
            }
        )
    return found


def _in_words(deviations: list[float], radius: float) -> str:
    """The worst of the six, and what all the others stay below."""
    half = [ALONG * (one if number < 3 else one * radius) for number, one in enumerate(deviations)]
    if not all(math.isfinite(one) for one in half):
        return "The X-rays do not tell where it is."
    order = sorted(range(6), key=lambda number: -half[number])
    worst, others = order[0], half[order[1]]
    size = "unknown" if half[worst] >= NOTHING_MM else f"±{half[worst]:.2g} mm"
    if worst >= 3:
        size += f" (±{math.degrees(ALONG * deviations[worst]):.2g}°)"
    return f"{WORDS[worst].capitalize()}: {size}; all others below {others:.2g} mm (95 %)"


def _slopes(placement: Placement, view: int, centre: Tensor, orientation: str | None) -> tuple[Tensor, Tensor] | None:
    """Where a view sees the centre (u, v), and how that changes with the centre, (2, 3) pixels a mm of the world."""
    intrinsics = placement.intrinsics[view].detached()
    to_camera = placement.camera_to_world(view, orientation).inverse()
    point = centre.double()
    if not intrinsics.parallel and to_camera(point[None, None])[0, 0, 2] <= 0:
        return None

    def seen(world: Tensor) -> Tensor:
        return intrinsics.project(to_camera(world[None, None]))[0, 0]

    return seen(point), torch.autograd.functional.jacobian(seen, point)
