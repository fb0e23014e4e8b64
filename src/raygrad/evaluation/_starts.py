"""Where registrations start from, and how far from the truth they end."""

import zlib
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import RigidTransform, convert, make_matrix
from raygrad.types import Points

VIEWS = {"ap": (0.0, 0.0, 0.0), "lateral": (90.0, 0.0, 0.0), "oblique": (40.0, 15.0, 10.0)}
"""Euler angles ZXY of the true poses, in degrees."""

TRANSLATION = (0.0, 850.0, 0.0)
"""Translation of every true pose in mm: the source is 850 mm from the isocentre."""


def make_generator(seed: int, *purpose: str) -> torch.Generator:
    """A generator of random numbers of its own for every seed and purpose, the same on every machine."""
    number = zlib.crc32("/".join([str(seed), *purpose]).encode())
    return torch.Generator().manual_seed(number)


def true_pose(view: str) -> RigidTransform:
    """The pose of a view, in float64; ValueError for a view that is none of `VIEWS`."""
    if view not in VIEWS:
        raise ValueError(f"Expected a view among {', '.join(VIEWS)}. Got {view!r}.")
    angles, xyz = (torch.tensor([numbers], dtype=torch.float64) for numbers in (VIEWS[view], TRANSLATION))
    return convert(angles, xyz, parameterization="euler_angles", convention="ZXY", degrees=True)


def draw_motions(
    count: int, degrees: float | int, mm: float | int, generator: torch.Generator, vectors: bool = False
) -> tuple[RigidTransform, Float[Tensor, "start 6"]]:
    """Draw rigid motions about the world's origin, which is the isocentre: uniform on every axis.

    Returns:
        The motions in float64, and the numbers they are made of: turns in degrees about the fixed axes x, y, z, one
        after the other, each within +-`degrees`, then shifts in mm along them, each within +-`mm`. With `vectors` the
        turns are the components of one rotation vector instead, as `raygrad.registration.SearchRanges` has them.
    """
    numbers = 2 * torch.rand(count, 6, generator=generator, dtype=torch.float64) - 1
    numbers = numbers * torch.tensor([degrees] * 3 + [mm] * 3, dtype=torch.float64)
    turns = numbers[:, :3]
    turn = roma.rotvec_to_rotmat(turns.deg2rad()) if vectors else roma.euler_to_rotmat("xyz", turns, degrees=True)
    return RigidTransform(make_matrix(turn, numbers[:, 3:])), numbers


def motion_about(centre: Float[Tensor, "3"], motion: RigidTransform) -> RigidTransform:
    """The motion made about another point than the origin."""
    eye = torch.eye(3, dtype=motion.dtype)[None]
    there = RigidTransform(make_matrix(eye, centre[None].to(motion.matrix)))
    return there.inverse().compose(motion).compose(there)


class Errors(NamedTuple):
    """How far a pose is from the true one.

    Attributes:
        mtre: mean target registration error in mm.
        in_plane: mean over the points of their displacement across their own ray, in mm.
        depth: mean over the points of their displacement along it, in mm, either way.
        rotation_deg: the angle between both rotations in degrees.
    """

    mtre: float
    in_plane: float
    depth: float
    rotation_deg: float


def measure_errors(found: RigidTransform, true: RigidTransform, points: Points) -> Errors:
    """The errors of a pose that was found, over points of the world.

    A pose is camera_to_world: the camera sees the point p at pose^-1(p), and its ray to the true place is the
    direction that counts as depth. Poses without `reorient` serve as well, since it turns both cameras alike.
    """
    found, true = found.to(torch.float64), true.to(torch.float64)
    seen, at = (pose.inverse()(points.double())[0] for pose in (found, true))
    displacement = seen - at
    ray = at / at.norm(dim=-1, keepdim=True)
    along = (displacement * ray).sum(-1, keepdim=True)
    across = (displacement - along * ray).norm(dim=-1)
    angle = roma.rotmat_geodesic_distance(found.rotation[0], true.rotation[0])
    return Errors(
        displacement.norm(dim=-1).mean().item(),
        across.mean().item(),
        along.abs().mean().item(),
        torch.rad2deg(angle).item(),
    )
