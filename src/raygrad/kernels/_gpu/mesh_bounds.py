"""Which tiles of an image triangles may be seen in, by a hint that is checked first; in torch operations.

As `_cpu/csrc/mesh_bounds.hpp`, with tiles in place of bands.
"""

from typing import NamedTuple

import torch
from torch import Tensor

MOST_PAIRS = 2**27
"""Of triangles and tiles, for which lists are made."""


class Lists(NamedTuple):
    """The triangles of each tile, one tile after the other, each list in the order of triangles.

    Attributes:
        begin: (batch * tiles + 1), of each list in `order`.
        order: triangles.
        batch: the batch entry of each.
    """

    begin: Tensor
    order: Tensor
    batch: Tensor


def lists_by_hint(
    vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor, hint: Tensor, width: int, tile: tuple[int, int]
) -> Lists | None:
    """The triangles that may be seen in each tile of (rows, columns) pixels; None if the hint is of no use.

    Tensors are in float64, and `hint` is world_to_pixel (batch, 3, 4). Waits for the device once, for the length of the
    lists.
    """
    batch, rays = target.shape[:2]
    height = rays // width
    if min(batch, rays, len(faces)) == 0:
        return None
    nearest, error = _error_of_hint(vertices, source, target, hint, width)
    first_row, last_row, first_column, last_column = _boxes(
        vertices, faces, hint, nearest, 1.01 * error + 1e-3, height, width
    )
    down, across = -(-height // tile[0]), -(-width // tile[1])
    first_row, last_row = first_row // tile[0], torch.div(last_row, tile[0], rounding_mode="floor")
    first_column, last_column = first_column // tile[1], torch.div(last_column, tile[1], rounding_mode="floor")
    columns = (last_column - first_column + 1).clamp(min=0)
    counts = ((last_row - first_row + 1).clamp(min=0) * columns).flatten()
    pairs, useful = torch.stack([counts.sum(), error.isfinite().all().long()]).tolist()
    if not useful or pairs > MOST_PAIRS:
        return None
    item = torch.repeat_interleave(counts, output_size=pairs)
    number = torch.arange(pairs, device=counts.device) - (counts.cumsum(0) - counts)[item]
    across_here = columns.flatten()[item].clamp(min=1)
    row = first_row.flatten()[item] + torch.div(number, across_here, rounding_mode="floor")
    column = first_column.flatten()[item] + number % across_here
    entry = torch.div(item, len(faces), rounding_mode="floor")
    tiles, order = ((entry * down + row) * across + column).sort(stable=True)
    begin = torch.searchsorted(tiles, torch.arange(batch * down * across + 1, device=tiles.device))
    return Lists(begin, (item % len(faces))[order].int(), entry[order])


def _error_of_hint(vertices, source, target, hint, width) -> tuple[Tensor, Tensor]:
    """The depth (batch) from which on the hint is checked, and how many pixels off rays pass there, at most.

    That is infinity for a hint of no use.
    """
    low, high = vertices.amin(1), vertices.amax(1)
    centre = ((low + high) / 2)[:, None]
    radius = (high - low).norm(dim=-1, keepdim=True) / 2 * (1 + 1e-6) + 1e-12 * (low.abs() + high.abs()).sum(-1, True)
    normal = hint[:, 2, :3]
    farthest = _row(hint, 2, centre)[:, 0] + normal.norm(dim=-1) * radius[:, 0]
    nearest = 1e-3 * farthest[:, None]
    step = target - source
    square, way = step.square().sum(-1), centre - source
    reach = radius + 1e-12 * way.abs().sum(-1)
    across = torch.linalg.cross(way.expand_as(step), step).square().sum(-1)
    middle, share = (way * step).sum(-1) / square, 1.001 * radius / square.sqrt()
    deeper = (step * normal[:, None]).sum(-1)
    first, last = (middle - share).clamp(min=0), middle + share
    first = torch.where(deeper > 0, torch.maximum(first, (nearest - _row(hint, 2, source)) / deeper), first)
    looks = (square > 0) & (across <= reach.square() * square) & (first <= last)
    ray = torch.arange(target.shape[1], device=target.device)
    error = torch.zeros_like(square)
    for fraction in (first, last):
        point = source + fraction[..., None] * step
        depth = _row(hint, 2, point)
        off = (_row(hint, 0, point) / depth - ray % width).abs()
        off = torch.maximum(off, (_row(hint, 1, point) / depth - torch.div(ray, width, rounding_mode="floor")).abs())
        error = torch.maximum(error, torch.where((depth > nearest / 2) & (off < 1e6), off, torch.inf))
    worst = torch.where(looks, error, 0).amax(1)
    return nearest[:, 0], torch.where((farthest > 0) & farthest.isfinite(), worst, torch.inf)


def _boxes(vertices, faces, hint, nearest, margin, height, width) -> tuple[Tensor, ...]:
    """First and last row and column (batch, triangle) that each triangle may be seen in."""
    depth = _row(hint, 2, vertices.expand(len(hint), -1, -1))
    far = (depth >= nearest[:, None])[:, faces].all(-1)
    bounds = []
    for axis, size in ((1, height), (0, width)):
        place = (_row(hint, axis, vertices.expand(len(hint), -1, -1)) / depth)[:, faces]
        first = (place.amin(-1) - margin[:, None]).ceil().clamp(0, size)
        last = (place.amax(-1) + margin[:, None]).floor().clamp(-1, size - 1)
        bounds += [torch.where(far, first, 0).long(), torch.where(far, last, size - 1).long()]
    return tuple(bounds)


def _row(hint: Tensor, row: int, points: Tensor) -> Tensor:
    """One homogeneous coordinate of points (batch, point, 3)."""
    return (points * hint[:, row, None, :3]).sum(-1) + hint[:, row, 3, None]
