"""Rays from far away, as parallel beams are made: their ends are brought near the volume.

Single precision knows a point at 10^6 mm to 0.06 mm, and at 10^9 mm to 64 mm, so rays that are rounded to it miss what
they were aimed at. An end outside of the volume may slide along its ray first, in double precision: with
s' = s + a (t - s) and t' = s + b (t - s), for a and b that stay as they are, I(s, t) = I(s', t') for all s and t
nearby, and so all derivatives agree, of any order.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64
from raygrad.kernels._backends import say_once

FAR = 2e5
"""mm from the middle of a ray's way through the volume, beyond which an end is brought near: no X-ray system's is."""
COARSE = 2.0**19
"""mm from which on single precision is that of 1/16 mm."""


class Ends(NamedTuple):
    """Both ends of rays.

    Attributes:
        source: (batch, 1 or ray, 3).
        target: (batch, ray, 3).
        shares: a and b (batch, ray, 2) in float64, by which they were moved; None if they were not.
    """

    source: Tensor
    target: Tensor
    shares: Tensor | None = None

    def jacobian(self, by_ends: Tensor) -> Tensor:
        """Derivatives (batch, channel, ray, 6) by these ends as derivatives by those that they were before."""
        if self.shares is None:
            return by_ends
        a, b = self.shares[:, None, :, None].to(by_ends.device).unbind(-1)
        by_source, by_target = by_ends.double().split(3, dim=-1)
        before = torch.cat([(1 - a) * by_source + (1 - b) * by_target, a * by_source + b * by_target], dim=-1)
        return before.to(by_ends.dtype)


def reach_of(*points: Tensor) -> float:
    """The largest magnitude of all coordinates; NaN or infinity if one is not finite."""
    bounds = [bound.item() for p in points if p.numel() for bound in p.detach().aminmax()]
    return max(map(abs, bounds), default=0.0) if all(map(math.isfinite, bounds)) else math.nan


def warn_of_coarse_rays(reach: float, *tensors: Tensor) -> None:
    """Say that rays which came in single precision, from so many mm away, were rounded before they came."""
    if reach >= COARSE and any(tensor.dtype != torch.float64 for tensor in tensors):
        say_once(
            "Rays with ends 500 m and more away are rounded to 1/16 mm and more in single precision. Make them, or the "
            "poses that they are made of, in float64: the volume may stay as it is."
        )


def bring_near(source: Tensor, target: Tensor, world_to_voxel: Tensor, shape: torch.Size, readable: bool) -> Ends:
    """The rays, in their dtype, with ends near a volume of this shape (x, y, z) where they were far from it.

    `readable`: whether it may be looked at, so that rays of which none is moved stay the very tensors that they were.
    """
    with torch.no_grad():
        shares, moved = _shares(_exact(source), _exact(target), _exact(world_to_voxel), shape)
    if readable and not moved.any():
        return Ends(source, target)
    s, t = _exact(source), _exact(target)
    a, b = shares[..., None].unbind(-2)
    step = t - s
    return Ends((s + a * step).to(source), (t - (1 - b) * step).to(target), shares)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to("cpu" if tensor.device.type in WITHOUT_FLOAT64 else tensor.device, torch.float64)


def _shares(source: Tensor, target: Tensor, world_to_voxel: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Which a and b leave all of the volume between the ends, and whether they move a ray."""
    world_to_voxel = world_to_voxel.to(source.device)
    step = target - source
    length = torch.linalg.vector_norm(step, dim=-1)
    turned = world_to_voxel[:3, :3].mT
    size = torch.tensor(shape, dtype=torch.float64, device=source.device)
    to_middle = (size - 1) / 2 - (source @ turned + world_to_voxel[:3, 3])
    voxel_step = step @ turned
    squared = voxel_step.square().sum(-1).clamp(min=torch.finfo(torch.float64).tiny)
    nearest = (to_middle * voxel_step).sum(-1) / squared
    reach = (torch.linalg.vector_norm(size) + 4) / squared.sqrt()  # twice the radius of the volume, and some more
    source_is_far, target_is_far = nearest * length > FAR, (1 - nearest) * length > FAR
    a = torch.where(source_is_far, (nearest - reach).clamp(0, 1), 0)
    b = torch.where(target_is_far, (nearest + reach).clamp(0, 1), 1)
    return torch.stack([a, torch.maximum(a, b)], dim=-1), source_is_far | target_is_far
