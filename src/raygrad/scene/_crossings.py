"""Where rays cross the surfaces of solids, and to which solid each piece of a ray belongs.

Positions on a ray are fractions: 0 at the source, 1 at the target. Rays are numbered across views: view * rays + ray.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad.geometry import ConeViews, ParallelViews, Views
from raygrad.kernels import can_read

Each = Float[Tensor, " crossing"]
Rows = Int[Tensor, " crossing"]


class Pixels(NamedTuple):
    """Where in images rays are, which kernels find crossings of meshes faster by.

    Attributes:
        world_to_pixel: of every image, as views have it, from the frame of the rays.
        image_shape: rows and columns of each.
        row: which pixel each ray is, numbered across images; None if the rays are all pixels in order.
    """

    world_to_pixel: Float[Tensor, "image 3 4"]
    image_shape: tuple[int, int]
    row: Rows | None = None

    @property
    def number(self) -> int:
        """How many there are in all images."""
        return len(self.world_to_pixel) * math.prod(self.image_shape)

    def of(self, row: Rows) -> Rows:
        """Which pixels some of the rays are."""
        return row if self.row is None else self.row[row]


class Rays(NamedTuple):
    """Rays as solids meet them, in a solid's own frame.

    Attributes:
        source: (view, 1 or ray, 3) in mm.
        target: (view, ray, 3) in mm.
        backend: which kernels look for crossings of meshes.
        pixels: which they are of images; None if they are of none.
    """

    source: Float[Tensor, "view #ray 3"]
    target: Float[Tensor, "view ray 3"]
    backend: str = "auto"
    pixels: Pixels | None = None

    @classmethod
    def of(cls, views: Views, backend: str = "auto") -> "Rays":
        """Those of views, in float64.

        Raises:
            ValueError: an end is not finite; on a GPU, where looking would wait for all that it has to do, none is.
        """
        source, target = views.rays()
        if target.device.type == "cpu" and can_read():
            sums = source.detach().sum() + target.detach().sum()
            if not math.isfinite(sums.item()):
                raise ValueError("Expected finite rays. Got NaN or infinite values in poses or views.")
        pixels = None
        if isinstance(views, (ConeViews, ParallelViews)):
            pixels = Pixels(views.world_to_pixel.detach(), views.image_shape)
        return cls(source.double(), target.double(), backend, pixels)

    @property
    def shape(self) -> torch.Size:
        """Numbers of views and of rays in each."""
        return self.target.shape[:2]

    def at(self, row: Rows) -> tuple[Float[Tensor, "crossing 3"], Float[Tensor, "crossing 3"]]:
        """Sources and targets of some."""
        shared = self.source.shape[1] == 1
        place = row // self.target.shape[1] if shared else row
        return self.source.flatten(0, 1)[place], self.target.flatten(0, 1)[row]

    def some(self, row: Rows) -> "Rays":
        """Some of them, as those of one view."""
        source, target = self.at(row)
        pixels = self.pixels and self.pixels._replace(row=self.pixels.of(row))
        return Rays(source[None], target[None], self.backend, pixels)

    def as_leaves(self) -> "Rays":
        """The same, with ends that gradients flow to and not beyond."""
        source, target = (end.detach().clone().requires_grad_() for end in (self.source, self.target))
        return self._replace(source=source, target=target)


class Crossings(NamedTuple):
    """Where rays enter and leave a solid. What lies beyond an end of a ray counts as at that end.

    Attributes:
        row: which ray.
        fraction: where on it, from 0 to 1; differentiable.
        entering: 1 into the solid, -1 out of it. Those of a ray add up to 0.
    """

    row: Rows
    fraction: Each
    entering: Rows


class Pieces(NamedTuple):
    """Pieces of rays that belong to one solid each.

    Attributes:
        row: which ray.
        owner: which solid.
        start, end: from where to where, as fractions; differentiable.
    """

    row: Rows
    owner: Rows
    start: Each
    end: Each


def owned_pieces(crossings: Sequence[Crossings]) -> tuple[Pieces, Pieces]:
    """Who owns what of each ray, where of all solids that a point is in the last one does.

    Args:
        crossings: of every solid; the last is the one that displaces all others.

    Returns:
        The pieces of every solid, and those of all solids as one (their owner is 0).
    """
    row = torch.cat([one.row for one in crossings])
    fraction = torch.cat([one.fraction for one in crossings])
    solids = len(crossings)
    solid = torch.repeat_interleave(
        torch.arange(solids, device=row.device), torch.tensor([len(one.row) for one in crossings], device=row.device)
    )
    entering = torch.cat([one.entering for one in crossings])

    along = fraction.detach().argsort(stable=True)
    order = along[row[along].argsort(stable=True)]
    row, fraction, solid, entering = row[order], fraction[order], solid[order], entering[order]
    if len(row) == 0:
        none = Pieces(row, row, fraction, fraction)
        return none, none

    depth = torch.zeros(len(row), solids, dtype=torch.int32, device=row.device)
    depth[torch.arange(len(row), device=row.device), solid] = entering.to(torch.int32)
    depth = depth.cumsum(0)
    # Rows begin from nothing, whatever rounding left open in one before.
    first = torch.ones_like(row, dtype=torch.bool)
    first[1:] = row[1:] != row[:-1]
    before = torch.cat([depth.new_zeros(1, solids), depth[:-1]])[first]
    depth = depth - before[first.cumsum(0) - 1]

    owner = torch.where(depth > 0, torch.arange(solids, device=row.device), -1).amax(1)
    last = torch.cat([first[1:], first.new_ones(1)])
    owner = torch.where(last, -1, owner)
    return _pieces(row, owner, fraction), _pieces(row, owner.clamp(max=0), fraction)


def _pieces(row: Tensor, owner: Tensor, fraction: Tensor) -> Pieces:
    """Runs of neighbouring crossings after which the owner stays the same; -1 is nobody, as at the end of rows."""
    previous = torch.cat([owner.new_full((1,), -1), owner[:-1]])
    changes = owner != previous
    begins = (changes & (owner >= 0)).nonzero()[:, 0]
    ends = (changes & (previous >= 0)).nonzero()[:, 0]
    start, end = fraction[begins], fraction[ends]
    proper = (end > start).detach()
    return Pieces(row[begins][proper], owner[begins][proper], start[proper], end[proper])


def lengths(pieces: Pieces, rays: Rays) -> Float[Tensor, "view ray"]:
    """How much of every ray the pieces are together, in mm."""
    source, target = rays.at(pieces.row)
    each = (pieces.end - pieces.start) * torch.linalg.vector_norm(target - source, dim=-1)
    return each.new_zeros(rays.shape.numel()).index_add(0, pieces.row, each).reshape(rays.shape)


def whole_pieces(crossings: Crossings) -> Pieces:
    """What of every ray is in a solid that is alone."""
    return owned_pieces([crossings])[0]
