"""Several poses for each start: where they are drawn, how far apart they are, and which of them go on."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad.pose import se3_exp_map
from raygrad.types import Matrices

APART_MM = 10.0
"""Poses that see the CT less than this apart, on average, count as one."""
SAME = 1e-3
"""Scores that differ by less are the same: of two nearly perfect ones how they are voxelized would decide."""


@dataclass(frozen=True)
class SearchRanges:
    """How far poses are drawn to each side, about and along the axes of the world through the isocentre.

    Attributes:
        degrees: one angle for all axes, or one for each.
        mm: likewise one length or three.
    """

    degrees: float | int | tuple[float | int, float | int, float | int] = 60.0
    mm: float | int | tuple[float | int, float | int, float | int] = 100.0

    def half_widths(self) -> Float[Tensor, " 6"]:
        """Three lengths in mm and three angles in radians.

        Raises:
            ValueError: a range that is negative, not finite, or beyond half a turn.
        """
        lengths, angles = (list(r) if isinstance(r, tuple) else [r] * 3 for r in (self.mm, self.degrees))
        widths = [*lengths, *(math.radians(angle) for angle in angles)]
        if len(widths) != 6 or not all(math.isfinite(w) and w >= 0 for w in widths) or max(angles) > 180:
            raise ValueError(f"Expected ranges of one or three numbers, degrees up to 180 and mm. Got {self}.")
        return torch.tensor(widths, dtype=torch.float64)


def spread(ranges: SearchRanges, count: int, seed: int) -> Matrices:
    """Motions about the origin that fill the ranges evenly: first none, then a scrambled Sobol sequence.

    Rotations are drawn as rotation vectors, translations apart from them.

    Raises:
        ValueError: not a single motion, or ranges that are none.
    """
    if count < 1:
        raise ValueError(f"Expected at least one candidate. Got {count}.")
    sobol = torch.quasirandom.SobolEngine(6, scramble=True, seed=seed)
    twists = (2 * sobol.draw(count, dtype=torch.float64) - 1) * ranges.half_widths()
    twists[0] = 0
    motions = se3_exp_map(torch.cat([torch.zeros_like(twists[:, :3]), twists[:, 3:]], dim=1))
    motions[:, :3, 3] = twists[:, :3]
    return motions


def distances(
    one: Float[Tensor, "one 4 4"], other: Float[Tensor, "other 4 4"], centre: Float[Tensor, " 3"], radius: float
) -> Float[Tensor, "one other"]:
    """How far apart two batches of camera_to_world poses see the points at `radius` mm from a centre, on average."""
    seen_by_one, seen_by_other = (_seen_around(poses, centre, radius) for poses in (one, other))
    return (seen_by_one[:, None] - seen_by_other).norm(dim=-1).mean(-1)


def moved_by(
    before: Float[Tensor, "pose 4 4"], after: Float[Tensor, "pose 4 4"], centre: Float[Tensor, " 3"], radius: float
) -> Float[Tensor, " pose"]:
    """How far poses have moved, each from where it was: the diagonal of `distances`."""
    return (_seen_around(before, centre, radius) - _seen_around(after, centre, radius)).norm(dim=-1).mean(-1)


def _seen_around(poses: Matrices, centre: Float[Tensor, " 3"], radius: float) -> Float[Tensor, "pose 6 3"]:
    """The six points at `radius` mm from a centre along the axes of the world, as cameras see them."""
    axes = radius * torch.eye(3, dtype=poses.dtype, device=poses.device)
    points = centre.to(poses) + torch.cat([axes, -axes])
    return (points - poses[:, None, :3, 3]) @ poses[:, :3, :3]  # R' (p - t) as a row


def choose_distinct(
    start: Int[Tensor, " candidate"],
    score: Float[Tensor, " candidate"],
    apart: Float[Tensor, "candidate candidate"],
    keep: int,
    margin: float,
) -> Int[Tensor, " kept"]:
    """The best candidates of every start, best first, starts in order.

    Args:
        start: which start each belongs to.
        score: at most 1.
        apart: how far apart they are in mm; what is less than `APART_MM` from a better one is left out.
        keep: at most so many of each start.
        margin: what lacks more than so many times as much to 1 as the best one of its start is left out, unless it is
            the `SAME`.
    """
    scores, different = score.tolist(), (apart >= APART_MM).cpu().numpy()
    ranked = sorted(range(len(scores)), key=lambda candidate: -scores[candidate])
    kept: list[int] = []
    for mine in _group_by_start(ranked, start.tolist()).values():
        best = scores[mine[0]]
        least = best - max((margin - 1) * max(1 - best, 1e-6), SAME)
        chosen: list[int] = []
        for candidate in mine:
            if len(chosen) < keep and scores[candidate] >= least and different[candidate, chosen].all():
                chosen.append(candidate)
        kept += chosen
    return torch.tensor(kept, device=start.device)


def _group_by_start(candidates: Iterable[int], start: list[int]) -> dict[int, list[int]]:
    """The numbers of every start's candidates in the order given, starts in order."""
    groups: dict[int, list[int]] = {number: [] for number in sorted(set(start))}
    for candidate in candidates:
        groups[start[candidate]].append(candidate)
    return groups


def rows_of_starts(start: Int[Tensor, " candidate"]) -> Int[Tensor, "start row"]:
    """The numbers of every start's candidates; where a start has fewer than others, its last one is repeated."""
    rows = list(_group_by_start(range(len(start)), start.tolist()).values())
    longest = max(len(row) for row in rows)
    return torch.tensor([row + row[-1:] * (longest - len(row)) for row in rows], device=start.device)


def leaders(rows: Int[Tensor, "start row"], score: Float[Tensor, " candidate"]) -> Int[Tensor, " start"]:
    """The candidate with the highest score of every start, from what `rows_of_starts` returns."""
    return rows.gather(1, score[rows].argmax(1, keepdim=True))[:, 0]
