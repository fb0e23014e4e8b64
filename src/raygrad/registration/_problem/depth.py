"""Depth, which no image by a parallel beam tells: what is moved along the beam looks the same."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.registration._solver.levenberg_marquardt import Linearisation

Poses = Float[Tensor, "batch body 4 4"]
Beams = Float[Tensor, "batch body 3"]


def without_depth(at: Linearisation, beams: Beams) -> Linearisation:
    """A linearisation whose bodies stay where they are along the beam.

    All that it says of that direction is rounding, which a step would follow far.

    Args:
        at: by the twists of the bodies, which come first among the unknowns.
        beams: unit vectors in the world, of each body.
    """
    batch, bodies, _ = beams.shape
    along = at.gradient.new_zeros(batch, bodies, at.gradient.shape[1])
    for body in range(bodies):
        along[:, body, 6 * body : 6 * body + 3] = beams[:, body].to(along)
    depth = along.mT @ along
    across = torch.eye(depth.shape[-1]).to(depth) - depth
    normal = across @ at.normal @ across
    stiffness = normal.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]  # any, so that there is an inverse
    return replace(
        at,
        gradient=(across @ at.gradient[..., None])[..., 0],
        normal=normal + stiffness * depth,
        scatter=across @ at.scatter @ across,
    )


def depth_of(point: Float[Tensor, " 3"], poses: Poses, beams: Beams) -> Float[Tensor, "batch body"]:
    """How far along the beams a point of the world is from the poses, in mm."""
    return ((point - poses[..., :3, 3]) * beams).sum(-1)


def at_depth(depth: Tensor | float, point: Float[Tensor, " 3"], poses: Poses, beams: Beams) -> Poses:
    """Poses moved along their beams to where a point of the world is so deep."""
    moved = poses.clone()
    moved[..., :3, 3] += (depth_of(point, poses, beams) - depth)[..., None] * beams
    return moved
