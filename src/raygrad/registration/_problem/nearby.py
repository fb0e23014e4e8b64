"""Pixels near the shadows of bodies: where nothing else of the patient is in the model, the rest says nothing."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from raygrad.registration._problem.pose_problem import ScaledXRay

BORDER = 2
"""Pixels beyond what counts that a cut-out keeps, so that slopes at its edge are those of the image."""


def near_shadows(
    images: Float[Tensor, "entry 1 rows columns"], start: Int[Tensor, " entry"], reach: float, shape: tuple[int, int]
) -> Float[Tensor, "entry 1 height width"]:
    """Weights that are 1 on the shadows of all entries of a start, and so far around them, and fall off softly to 0.

    Entries of a start share them, so that their scores compare. Where none of a start is seen all pixels count.

    Args:
        images: line integrals (entry, 1, height, width), of any resolution.
        start: which start each belongs to.
        reach: how far around, in pixels of these images.
        shape: rows and columns of the weights.
    """
    shadows = (images > 0).to(images)
    near = torch.ones_like(shadows)
    steps = max(1, round(reach))
    for number in start.unique():
        mine = start == number
        union = shadows[mine].amax(0, keepdim=True)
        if not union.any():
            continue
        wide = functional.max_pool2d(union, 2 * steps + 1, stride=1, padding=steps)
        near[mine] = functional.avg_pool2d(wide, 3, stride=1, padding=1, count_include_pad=False)
    return functional.interpolate(near, shape, mode="bilinear", align_corners=False)


def cut_out(xray: ScaledXRay) -> ScaledXRay:
    """The part of an X-ray in which pixels count, of any entry: the rest costs time."""
    counts = (xray.weights > 0).flatten(0, 1).any(0)
    rows, columns = (_within(counts.any(axis), counts.shape[1 - axis]) for axis in (1, 0))
    intrinsics = xray.detector.intrinsics
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if (height, width) == xray.shape or min(height, width) < 3:
        return xray
    sign = -1 if intrinsics.reverse_x_axis else 1
    right = columns.start + width / 2 - intrinsics.width / 2
    down = rows.start + height / 2 - intrinsics.height / 2
    part = intrinsics.replaced(
        height=height,
        width=width,
        x0=intrinsics.x0 + sign * right * intrinsics.delx,
        y0=intrinsics.y0 - down * intrinsics.dely,
    )
    return replace(
        xray,
        detector=xray.detector.with_intrinsics(part),
        image=xray.image[:, :, rows, columns],
        weights=xray.weights[:, :, rows, columns],
    )


def _within(counts: Tensor, size: int) -> slice:
    """From the first that counts to the last, and a border."""
    places = counts.nonzero()[:, 0]
    if len(places) == 0:
        return slice(0, size)
    return slice(max(0, int(places[0]) - BORDER), min(size, int(places[-1]) + 1 + BORDER))
