"""The motions by which a camera comes to see nearly the same: from behind, mirrored, turned, a vertebra further."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.drr import DRR
from raygrad.pose import se3_exp_map
from raygrad.registration._coarse_to_fine import CoarseToFine
from raygrad.types import Matrices

LEVELS_MM = (8.0, 14.0, 20.0, 26.0, 32.0, 38.0, 44.0)
"""So far apart may vertebrae be, the first aside: cervical ones 15 mm, lumbar ones 40."""
LEVEL_DEGREES = 15.0
"""Vertebrae that follow each other are turned by less."""
DIFFERENT_DEGREES = 25.0
"""A mirrored view is another one if it is turned by more."""
SPINE = [f"C{n}" for n in range(1, 8)] + [f"T{n}" for n in range(1, 13)] + [f"L{n}" for n in range(1, 6)]
VERTEBRA = re.compile(r"vertebra\w*?_?([CTL]\d+)$", re.IGNORECASE)

Vectors = Float[Tensor, "batch 3"]


@dataclass(frozen=True)
class Sight:
    """How cameras see a body: in its own world, in float64.

    Attributes:
        across, up, beam: unit vectors (batch, 3): to the image's first column, its first row, and into the image.
        middle: the point on the middle ray that is as deep as the body (batch, 3).
    """

    across: Vectors
    up: Vectors
    beam: Vectors
    middle: Vectors

    @classmethod
    def of(cls, course: CoarseToFine, poses: Matrices) -> "Sight":
        """Of the first view's poses."""
        detector = course.xrays[0].detector
        camera = poses @ detector.reorient.matrix[0].to(poses)
        across, up, beam = camera[:, :3, 0], camera[:, :3, 1], camera[:, :3, 2]
        centre, source = course.model.pivots[course.model.main].to(poses), camera[:, :3, 3]
        depth = ((centre - source) * beam).sum(-1, keepdim=True)
        if not detector.parallel:  # where the middle of the detector looks
            x0, y0, sdd = (float(value) for value in (detector.x0, detector.y0, detector.sdd))
            source = source + depth / sdd * (x0 * across + y0 * up)
        return cls(across, up, beam, source + depth * beam)


def turn(axis: Vectors, degrees: float, point: Vectors) -> Matrices:
    """Turns about axes through points."""
    twist = torch.cat([torch.zeros_like(axis), axis * math.radians(degrees)], dim=1)
    motion = se3_exp_map(twist)
    motion[:, :3, 3] = point - (motion[:, :3, :3] @ point[..., None])[..., 0]
    return motion


def shift(vector: Vectors) -> Matrices:
    """Translations."""
    motion = torch.eye(4).to(vector).repeat(len(vector), 1, 1)
    motion[:, :3, 3] = vector
    return motion


def reflection(normal: Vectors, point: Vectors) -> Matrices:
    """Reflections in planes: two of them, one after the other, are a motion."""
    mirror = torch.eye(4).to(normal).repeat(len(normal), 1, 1)
    mirror[:, :3, :3] -= 2 * normal[:, :, None] * normal[:, None]
    mirror[:, :3, 3] = 2 * (normal * point).sum(1, keepdim=True) * normal
    return mirror


def angle_of(motions: Matrices) -> Float[Tensor, " batch"]:
    """By how many degrees motions turn."""
    trace = motions[:, :3, :3].diagonal(dim1=1, dim2=2).sum(1)
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())


def describe_motion(motion: Float[Tensor, "4 4"], sight: Sight, entry: int, levels: Mapping[str, Tensor]) -> str:
    """What a motion of the camera makes of a view, in words.

    Args:
        motion: in the world of the body.
        sight, entry: how the body was seen before, and by which camera.
        levels: the middles of the vertebrae that are known, by name.
    """
    degrees = angle_of(motion[None]).item()
    rotation, middle = motion[:3, :3], sight.middle[entry]
    if degrees > 120:
        straight = sight.beam[entry] @ (rotation @ sight.beam[entry])
        return "turned in the image by 180 degrees" if straight > 0.5 else "from the other side"
    way = rotation @ middle + motion[:3, 3] - middle
    along = way[2].item()
    low, high = LEVELS_MM[0] + 2, LEVELS_MM[-1] + 4
    if degrees < LEVEL_DEGREES and low < abs(along) < high and way[:2].norm() < abs(along):
        side = "up" if along > 0 else "down"
        names = [_nearest(point, sight.beam[entry], levels) for point in (middle + way, middle)]
        if len(set(names)) == 2:
            return f"one vertebra {side}: {names[0]} for {names[1]}"
        return f"one vertebra {side} ({abs(along):.0f} mm)"
    return f"another pose, {way.norm().item():.0f} mm and {degrees:.0f} degrees away"


def levels_of(drr: DRR | None) -> dict[str, Tensor]:
    """The middles of the vertebrae that a labelmap names, in mm of the world; none without."""
    if drr is None or drr.subject.mask is None or not isinstance(drr.subject.structures, Mapping):
        return {}
    step = (4, 4, 1)
    mask = drr.subject.mask.voxels[:: step[0], :: step[1], :: step[2]].cpu()
    voxel_to_world = drr.subject.volume.voxel_to_world.cpu().double()
    found = {}
    for label, name in drr.subject.structures.items():
        if told := VERTEBRA.search(str(name)):
            voxels = torch.nonzero(mask == int(label)).double()
            if len(voxels):
                middle = voxels.mean(0) * torch.tensor(step, dtype=torch.float64)
                found[told.group(1).upper()] = voxel_to_world[:3, :3] @ middle + voxel_to_world[:3, 3]
    return {name: found[name] for name in SPINE if name in found}


def _nearest(point: Tensor, beam: Tensor, levels: Mapping[str, Tensor]) -> str:
    """The vertebra whose middle is nearest to a ray through a point."""
    if not levels:
        return ""
    beside = torch.stack(list(levels.values())).to(point) - point
    beside = beside - (beside @ beam)[:, None] * beam
    return list(levels)[int(beside.norm(dim=1).argmin())]
