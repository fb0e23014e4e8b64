"""How bodies move with the unknowns: each by itself, along with a parent, by a joint, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import turned
from raygrad.pose import RigidTransform
from raygrad.types import Matrices

Motions = Float[Tensor, "batch body 4 4"]
Ways = Float[Tensor, "6 _"]
"""Ways [v | w] about a body's pivot, in its own frame, one for each of its unknowns."""


@dataclass(frozen=True, eq=False)
class Linkage:
    """A linear map from the unknowns to the twist of every body.

    A motion takes the world to the frame of a body. A root's motion is moved from the left by a twist [v | w] about its
    pivot; a child's motion is R times its parent's, and R is what its twist moves.

    Attributes:
        parents: the number of the body that each goes along with; None for those that stand in the world.
        ways: the twists (6, unknown) that the unknowns of each are factors of; None for all six, as they are.
    """

    parents: tuple[int | None, ...]
    ways: tuple[Ways | None, ...]

    @classmethod
    def free(cls, bodies: int) -> "Linkage":
        """Every body by itself, in any way."""
        return cls((None,) * bodies, (None,) * bodies)

    def on(self, device: torch.device, dtype: torch.dtype) -> "Linkage":
        """The same with its ways on a device."""
        return Linkage(self.parents, tuple(None if way is None else way.to(device, dtype) for way in self.ways))

    @cached_property
    def counts(self) -> list[int]:
        """The number of each body's own unknowns, which follow each other."""
        return [6 if way is None else way.shape[1] for way in self.ways]

    def own(self, body: int) -> slice:
        """Where a body's own unknowns are among all."""
        first = sum(self.counts[:body])
        return slice(first, first + self.counts[body])

    @cached_property
    def is_free(self) -> bool:
        """Whether every body moves by itself in any way."""
        return all(parent is None and way is None for parent, way in zip(self.parents, self.ways, strict=True))

    @cached_property
    def downwards(self) -> list[int]:
        """The bodies in an order in which parents come before their children."""
        order: list[int] = []
        while len(order) < len(self.parents):
            rest = [body for body in range(len(self.parents)) if body not in order]
            next_ones = [body for body in rest if self.parents[body] is None or self.parents[body] in order]
            assert next_ones, "parents in a circle"
            order += next_ones
        return order

    def moves(self, body: int) -> bool:
        """Whether unknowns move a body, its own or those of what it goes along with."""
        parent = self.parents[body]
        return self.counts[body] > 0 or (parent is not None and self.moves(parent))

    def steps(self, step: Float[Tensor, "batch unknown"]) -> Float[Tensor, "batch body 6"]:
        """Every body's own twist."""
        if self.is_free:
            return step.unflatten(1, (-1, 6))
        own = zip(step.split(self.counts, dim=1), self.ways, strict=True)
        return torch.stack([part if way is None else part @ way.to(step).mT for part, way in own], dim=1)

    def moved(self, motions: Motions, step: Float[Tensor, "batch unknown"], pivots: Float[Tensor, "body 3"]) -> Motions:
        """The motions after a step."""
        twists = self.steps(step)
        if self.is_free:
            return turned(motions, twists, pivots)
        relative = turned(torch.stack([self.relative(motions, body) for body in range(len(pivots))], 1), twists, pivots)
        after: dict[int, Tensor] = {}
        for body in self.downwards:
            parent = self.parents[body]
            after[body] = relative[:, body] if parent is None else relative[:, body] @ after[parent]
        return torch.stack([after[body] for body in range(len(pivots))], dim=1)

    def tangents(
        self, by_motion: Sequence[Float[Tensor, "batch 6 ray"]], motions: Motions, pivots: Float[Tensor, "body 3"]
    ) -> list[Float[Tensor, "batch _ ray"]]:
        """From derivatives by the twist of each body alone to those by every body's own unknowns."""
        if self.is_free:
            return list(by_motion)
        whole = list(by_motion)
        for body in reversed(self.downwards):
            parent = self.parents[body]
            if parent is not None:
                carried = carry(self.relative(motions, body), pivots[parent], pivots[body])
                whole[parent] = whole[parent] + carried.to(whole[body]).mT @ whole[body]
        return [part if way is None else way.to(part).mT @ part for part, way in zip(whole, self.ways, strict=True)]

    def twist_of(
        self, body: int, motions: Motions, pivots: Float[Tensor, "body 3"]
    ) -> Float[Tensor, "batch 6 unknown"]:
        """By which twist about its pivot a body moves for a unit of each unknown, its parents' included."""
        twist = motions.new_zeros(len(motions), 6, sum(self.counts))
        way = self.ways[body]
        twist[:, :, self.own(body)] = torch.eye(6).to(twist) if way is None else way.to(twist)
        parent = self.parents[body]
        if parent is None:
            return twist
        carried = carry(self.relative(motions, body), pivots[parent], pivots[body])
        return twist + carried @ self.twist_of(parent, motions, pivots)

    def relative(self, motions: Motions, body: int) -> Matrices:
        """The map from the frame of a body's parent, or of the world, to its own."""
        parent = self.parents[body]
        if parent is None:
            return motions[:, body]
        return motions[:, body] @ RigidTransform(motions[:, parent]).inverse().matrix


def way_of(twists: Float[Tensor, "unknown 6"], pivot: Float[Tensor, " 3"]) -> Ways:
    """The way of unknowns that move a body by twists [v | w] about the origin of its own frame.

    A body that moves by exp(S) sees the camera move by exp(-S).
    """
    v, w = twists.split(3, dim=1)
    return -torch.cat([v + torch.linalg.cross(w, pivot.to(w).expand_as(w)), w], dim=1).mT


def seen_part(way: Ways, unseen: Ways, radius: float) -> tuple[Ways, Float[Tensor, "unknown seen"]]:
    """What of a way is seen, where some twists leave a body as it is; and the unknowns that the seen ones stand for.

    Args:
        way: the twists of the unknowns, about the pivot.
        unseen: twists about the same pivot that no image shows.
        radius: mm that a radian is worth.
    """
    scale = torch.tensor([1.0] * 3 + [radius] * 3, dtype=way.dtype)[:, None]
    hidden, _ = torch.linalg.qr(unseen * scale)
    scaled = way * scale
    left = scaled - hidden @ (hidden.mT @ scaled)
    _, sizes, directions = torch.linalg.svd(left, full_matrices=False)
    kept = directions[sizes > 1e-9 * scaled.norm()].mT
    return way @ kept, kept


def carry(motion: Matrices, before: Float[Tensor, " 3"], after: Float[Tensor, " 3"]) -> Float[Tensor, "batch 6 6"]:
    """The matrix that takes a twist about `before`, made before a motion, to the one about `after`, made after it."""
    rotation = motion[:, :3, :3]
    moved = rotation @ before + motion[:, :3, 3]
    x, y, z = (after - moved).unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    top = torch.cat([rotation, -cross @ rotation], dim=-1)
    return torch.cat([top, torch.cat([torch.zeros_like(rotation), rotation], dim=-1)], dim=-2)
