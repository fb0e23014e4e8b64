"""Motions of poses about a point, and what they do to images: what registration and calibration share."""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import se3_exp_map
from raygrad.types import Matrices, Sources, Targets


def motion_derivatives(
    jacobian: Tensor, source: Sources, target: Targets, pivot: Tensor
) -> Float[Tensor, "batch 6 ray"]:
    """Derivatives of line integrals by the twist [v | w] that moves their rays: x -> x + v + w x (x - pivot)."""
    by_source, by_target = jacobian[..., :3], jacobian[..., 3:]
    force = by_source + by_target
    moment = torch.linalg.cross((source - pivot).expand_as(force), force)
    moment += torch.linalg.cross(target - source, by_target)
    return torch.cat([force, moment], dim=-1).mT


def turned(poses: Tensor, twists: Tensor, pivots: Tensor) -> Tensor:
    """Poses (batch, n, 4, 4) moved from the left by twists (batch, n, 6) about pivots (n, 3)."""
    turn = se3_exp_map(twists.flatten(0, 1)).unflatten(0, twists.shape[:2])
    turn[..., :3, 3] += pivots - (turn[..., :3, :3] @ pivots[..., None])[..., 0]
    return turn @ poses


def about(point: Float[Tensor, " 3"], motions: Matrices) -> Matrices:
    """Motions about the origin as motions about another point."""
    moved = motions.clone()
    moved[:, :3, 3] += point - motions[:, :3, :3] @ point
    return moved
