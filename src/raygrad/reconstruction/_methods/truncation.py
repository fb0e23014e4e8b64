"""Rows of images that end within the patient: told, and continued to where he ends.

A row that is cut off is filtered as if there were nothing beyond it, and what lies within sight comes out too high,
most of all at its rim. So rows are continued by those of the ellipse that fits what is seen of them: of a uniform
ellipse the square of the line integrals is a parabola, wherever its middle is and whatever it is made of.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

CUT_OFF = 0.1
"""A row is cut off where its end has more than this share of its largest value."""
BODY = 0.05
"""Where a row has more than this share of its largest value the patient is."""
OUTERMOST = 3
"""Columns whose mean is the end of a row."""
TAPER = 0.5
"""Where no ellipse fits, a row falls to 0 over this share of its length."""

Rows = Float[Tensor, "view height width"]


def share_cut_off(images: Rows, left: bool = True, right: bool = True) -> float:
    """Which share of the rows that show something end within it.

    Args:
        images: line integrals.
        left, right: which ends count.
    """
    highest = images.amax(dim=-1)
    shown = highest > CUT_OFF * images.amax().clamp_min(1e-12)
    if not bool(shown.any()):
        return 0.0
    ends = [images[..., :OUTERMOST].mean(-1)] * left + [images[..., -OUTERMOST:].mean(-1)] * right
    if not ends:
        return 0.0
    cut = torch.stack(ends).amax(0) > CUT_OFF * highest
    return (cut & shown).sum().item() / shown.sum().item()


def continued(images: Rows, before: int, after: int) -> Float[Tensor, "view height _"]:
    """Rows with so many columns more at both ends, which fall to 0 as those of an ellipse would.

    The ellipse is fitted to where the patient is in each row; where none fits, a row falls like a cosine over half its
    length. Rows that end in air go on in air. (Zhang & Zeng, J. X-Ray Sci. Technol. 15, 2007, extend by ellipses, too,
    one at each end; fitting all of a row holds where the slope at its end is that of a rib.)

    Args:
        images: line integrals.
        before, after: numbers of columns.
    """
    width = images.shape[-1]
    column = torch.arange(-before, width + after, device=images.device, dtype=images.dtype)
    x = 2 * (column - (width - 1) / 2) / max(1, width - 1)  # -1 and 1 at the ends of what is seen
    seen = x[before : before + width]
    weight = (images > BODY * images.amax(dim=-1, keepdim=True).clamp_min(1e-12)).to(images)
    square = images.clamp(min=0).square()
    powers = torch.stack([seen**power for power in range(5)])
    moments = weight @ powers.mT
    normal = torch.stack([moments[..., power : power + 3] for power in range(3)], dim=-2)
    right = (weight * square) @ powers[:3].mT
    ridge = 1e-6 * (moments[..., :1, None] + 1) * torch.eye(3).to(images)
    a, b, c = torch.linalg.solve(normal + ridge, right).unbind(-1)

    def beyond(end: float, at: Tensor) -> Tensor:
        """What lies beyond one end, which is at -1 or 1."""
        edge = images[..., :OUTERMOST] if end < 0 else images[..., -OUTERMOST:]
        here = (a + b * end + c)[..., None]
        there = a[..., None] + b[..., None] * at + c[..., None] * at**2
        ellipse = (there / here.clamp_min(1e-12)).clamp(min=0).sqrt()
        way = ((at * end - 1) / (2 * TAPER)).clamp(0, 1)
        cosine = torch.cos(math.pi / 2 * way).square()
        falls = (here > 0) & (c[..., None] < 0) & (b[..., None] * end + 2 * c[..., None] < 0)
        return edge.mean(-1, keepdim=True).clamp(min=0) * torch.where(falls, ellipse, cosine)

    return torch.cat([beyond(-1.0, x[:before]), images, beyond(1.0, x[before + width :])], dim=-1)
