"""Weights of views and rays where a scan's angles are unequal, or measure lines once here and twice there.

The ray that runs the other way along the line of (angle, fan) is (angle + pi + 2 fan, -fan), where `angle` is the
source's on its circle and `fan` the ray's from the line to the axis, both counter-clockwise. The redundancy weights of
the two add up to 1. For parallel beams the other ray is (angle + pi, -fan), with `fan` the distance from the axis.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Angles = Float[Tensor, " view"]
Fan = Float[Tensor, "view column"]


class Sampling(NamedTuple):
    """How views are spread over a circle of angles.

    Attributes:
        share: (view,) the angle that each view stands for: half the gaps on its two sides. They add up to `arc`.
        position: (view,) angles from the first view of the arc; from 0 where the arc is closed.
        arc: angle from the first view to the last one, or the period where there is no gap to speak of.
        widest_gap: the widest gap between neighbours that the arc spans.
        is_closed: whether views lie all around.
    """

    share: Tensor
    position: Tensor
    arc: float
    widest_gap: float
    is_closed: bool


def sample_angles(angle: Angles, period: float) -> Sampling:
    """How views at these angles in radians sample a period, in any order.

    Views lie all around unless their widest gap is more than twice the next one: then it is where the arc begins and
    ends. (Views at random leave gaps of all sizes; those at steps of the golden angle leave none 1.62 times the next.)
    """
    ordered, order = (angle % period).sort()
    gap = torch.cat([ordered[1:], ordered[:1] + period]) - ordered  # from each view to the next
    widest, where = gap.max(dim=0)
    others = torch.cat([gap[:where], gap[where + 1 :]])
    next_widest = float(others.max()) if len(others) else 0.0
    is_closed = float(widest) <= 2 * next_widest
    start = 0.0 if is_closed else float(ordered[(int(where) + 1) % len(ordered)])
    if not is_closed:
        gap[where] = 0.0
    share = torch.empty_like(gap)
    share[order] = (gap + gap.roll(1)) / 2
    arc = period if is_closed else period - float(widest)
    return Sampling(share, (angle - start) % period, arc, float(widest) if is_closed else next_widest, is_closed)


def short_scan(position: Angles, fan: Fan, arc: float) -> Fan:
    """Redundancy weights of a scan over an arc of at least pi and the fan, less than a full turn.

    Parker, Med. Phys. 9(2), 1982; for longer arcs than the shortest Silver, Med. Phys. 27(4), 2000: the fan's half
    angle is taken to be (arc - pi) / 2. Rays outside that fan have the weights of its rim.

    Args:
        position: (view,) angle of each view from the first, in radians.
        fan: (view, column) angles of rays.
        arc: from the first to the last view.
    """
    half = (arc - math.pi) / 2
    fan = fan.clamp(-half, half)
    begin, end = position[:, None], arc - position[:, None]
    rise = (begin / (2 * (half - fan)).clamp(min=1e-12)).clamp(0, 1)
    fall = (end / (2 * (half + fan)).clamp(min=1e-12)).clamp(0, 1)
    return torch.sin(math.pi / 2 * torch.minimum(rise, fall)).square()


def offset_detector(fan: Fan, near: float, far: float) -> Fan:
    """Redundancy weights of a full turn with a detector that sees farther on one side of the axis than on the other.

    Rays that only one side sees have 1, from `near` outwards. Between -near and near the weights rise like a sine
    (Wang, Med. Phys. 29(7), 2002), over all of that where the sides differ much. Where they differ little they rise
    over twice the difference at both rims only, and are 1/2 between: noise is least where both rays count the same.

    Args:
        fan: (view, column) angles of rays (distances for parallel beams), positive on the side that sees farther.
        near, far: how far the two sides see, 0 < near <= far.
    """
    ramp = min(near, 2 * (far - near))
    outwards = ((fan.abs() - (near - ramp)) / ramp).clamp(0, 1) if ramp > 0 else torch.zeros_like(fan)
    return (1 + fan.sign() * torch.sin(math.pi / 2 * outwards)) / 2
