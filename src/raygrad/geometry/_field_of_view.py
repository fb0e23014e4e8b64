"""The grid of a reconstruction: what is asked for, and for the rest what the views see."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.geometry._grid import VolumeGeometry
from raygrad.geometry._views import ConeViews, check_cone

Point = Float[Tensor, "3"]

_DIRECTIONS = 4000


class Seen(NamedTuple):
    """What the views of a sweep see together.

    Attributes:
        isocentre: the point that their central rays come nearest to, in world mm.
        low, high: corners of the box about what all of them see.
        pixel: size of a pixel at the isocentre in mm, the median over the views.
    """

    isocentre: Point
    low: Point
    high: Point
    pixel: float


def choose_grid(
    views: ConeViews,
    shape: Sequence[float | int] | None = None,
    spacing: Sequence[float | int] | None = None,
    centre: Sequence[float | int] | None = None,
) -> VolumeGeometry:
    """The grid along the world's axes of this shape, spacing (mm) and centre (mm), and for the rest what the views see.

    By default the box about what all views see, in voxels of a pixel's size at the isocentre. With a `spacing` alone it
    is the same box, with a `shape` alone the same voxels.

    Raises:
        ValueError: views that see no point together, of which the box would be, or parallel beams.
    """
    if shape is None or spacing is None or centre is None:
        check_cone(views, "a grid about what all views see")
        seen = find_seen(views)
        spacing = [float(f"{seen.pixel:.5g}")] * 3 if spacing is None else spacing
        centre = _middle(seen, torch.tensor(list(spacing), dtype=torch.float64)) if centre is None else centre
        if shape is None:
            extent = (seen.high - seen.low).tolist()
            shape = [max(1, math.ceil(mm / voxel - 0.01)) for mm, voxel in zip(extent, spacing, strict=True)]
    return VolumeGeometry.centred([int(count) for count in shape], list(spacing), list(centre))


def find_seen(views: ConeViews) -> Seen:
    """What all views see; a detector off centre is taken to see as far on its narrow side as on its wide one.

    The box is found by following 4000 directions from the isocentre to where the first view loses sight of them.

    Raises:
        InputError: a view does not see the isocentre.
    """
    world_to_pixel, isocentre = views.world_to_pixel.detach(), find_isocentre(views)
    edges = _edges_of_sight(views, world_to_pixel)
    inside = edges[:, :3] @ isocentre + edges[:, 3]
    if not inside.min() > 0:
        raise InputError(
            "There is no point that all views see, to lay the grid about: give --like, or --shape, --spacing and "
            "--centre."
        )
    directions = _directions()
    falling = -(edges[:, :3] @ directions.T)
    reach = torch.where(falling > 0, inside[:, None] / falling, torch.inf).amin(0)
    ends = isocentre + directions * reach[:, None]
    return Seen(isocentre, ends.amin(0), ends.amax(0), _pixel_at(world_to_pixel, isocentre))


def find_isocentre(views: ConeViews) -> Point:
    """The point that the central rays come nearest to; of several such the one nearest to the world's origin."""
    normal, source = views.world_to_pixel.detach()[:, 2, :3], views.source.detach().double()
    across = torch.eye(3, dtype=torch.float64) - normal[:, :, None] * normal[:, None]
    return torch.linalg.pinv(across.sum(0), rtol=1e-6, hermitian=True) @ (across @ source[:, :, None]).sum(0)[:, 0]


def blind_views(views: ConeViews, grid: VolumeGeometry) -> list[int]:
    """Numbers, from 1, of views whose image is beside the shadow of the grid, or whose source looks away from it."""
    corners = torch.cat([grid.corners(), torch.ones(8, 1, dtype=torch.float64)], dim=1)
    across, down, depth = (views.world_to_pixel.detach() @ corners.T).unbind(1)
    rows, columns = views.image_shape
    behind = depth <= 0
    beside = torch.zeros(len(views), dtype=torch.bool)
    for coordinate, count in ((across / depth, columns), (down / depth, rows)):
        beside |= (coordinate < -0.5).all(1) | (coordinate > count - 0.5).all(1)
    blind = torch.where(behind.any(1), behind.all(1), beside)  # within the source's plane nothing is said
    return (blind.nonzero()[:, 0] + 1).tolist()


def _edges_of_sight(views: ConeViews, world_to_pixel: Tensor) -> Float[Tensor, "plane 4"]:
    """Planes (a, b, c, d), a x + b y + c z + d > 0 inside: four by the detector's edges, and the detector itself."""
    normal = world_to_pixel[:, 2]
    planes = []
    for axis, count in ((0, views.image_shape[1]), (1, views.image_shape[0])):
        principal = (world_to_pixel[:, axis, :3] * normal[:, :3]).sum(1, keepdim=True)
        half = torch.maximum(principal + 0.5, count - 0.5 - principal)
        planes += [world_to_pixel[:, axis] - (principal - half) * normal]
        planes += [(principal + half) * normal - world_to_pixel[:, axis]]
    rows, columns = views.image_shape
    middle = normal.new_tensor([(columns - 1) / 2, (rows - 1) / 2, 1.0])
    before = -normal
    before[:, 3] += (views.pixel_to_camera.detach() @ middle)[:, 2]
    return torch.cat([*planes, before])


def _pixel_at(world_to_pixel: Tensor, point: Point) -> float:
    """The shorter side of a pixel there: depth over the focal length, which is in pixels."""
    normal = world_to_pixel[:, 2, :3]
    depth = normal @ point + world_to_pixel[:, 2, 3]
    focal = torch.linalg.cross(world_to_pixel[:, :2, :3], normal[:, None].expand(-1, 2, 3)).norm(dim=-1).amax(1)
    return float((depth / focal).median())


def _directions() -> Float[Tensor, "direction 3"]:
    """Unit vectors spread evenly by the golden angle, and the axes."""
    number = torch.arange(_DIRECTIONS, dtype=torch.float64)
    height = 1 - (2 * number + 1) / _DIRECTIONS
    angle, radius = number * math.pi * (3 - math.sqrt(5)), (1 - height.square()).sqrt()
    spread = torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=1)
    axes = torch.eye(3, dtype=torch.float64)
    return torch.cat([spread, axes, -axes])


def _middle(seen: Seen, voxel: Point) -> list[float]:
    """The box's middle, whole voxels from the isocentre, which so is the middle of boxes that are nearly even."""
    away = (seen.low + seen.high) / 2 - seen.isocentre
    middle = torch.round(seen.isocentre + torch.round(away / voxel) * voxel, decimals=3)  # poses are float32
    return (middle + 0.0).tolist()
