"""Volumes and rays that every backend must get right: few, but of every kind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from raygrad.pose import convert

Point = Sequence[float | int]


@dataclass(frozen=True)
class Case:
    """A volume and the rays through it, in float64 on the CPU.

    Attributes:
        volume: (x, y, z) or (batch, x, y, z).
        source, target: ends of the rays in world mm.
        world_to_voxel: the affine map.
        image_width: columns, where the rays are an image.
        labels: of the volume's voxels.
        general: every derivative exists: no ray runs along a face of voxels, or through an edge.
    """

    volume: Tensor
    source: Tensor
    target: Tensor
    world_to_voxel: Tensor
    image_width: int | None = None
    labels: Tensor | None = None
    general: bool = True

    def on(self, device: torch.device, dtype: torch.dtype) -> "Case":
        """The same on a device, with volume and rays rounded to a dtype."""
        volume, source, target = (tensor.to(device, dtype) for tensor in (self.volume, self.source, self.target))
        labels = None if self.labels is None else self.labels.to(device)
        return replace(
            self,
            volume=volume,
            source=source,
            target=target,
            world_to_voxel=self.world_to_voxel.to(device),
            labels=labels,
        )

    @property
    def rays(self) -> tuple[Tensor, Tensor, Tensor]:
        """What a projection takes after the volume."""
        return self.source, self.target, self.world_to_voxel


def _uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _affine(spacing: Point = (1.0, 1.0, 1.0), shear: float = 0.0) -> Tensor:
    voxel_to_world = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    voxel_to_world[0, 1] = shear
    voxel_to_world[:3, 3] = torch.tensor([-1.3, 0.4, 0.2])
    return torch.linalg.inv(voxel_to_world)


def _scattered(seed: int, count: int, reach: float = 12.0, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Rays in all directions through the middle of 7 x 6 x 5 voxels, beyond it on both sides."""
    through = torch.tensor([3.0, 2.5, 2.0]) + 6 * (_uniform(batch, count, 3, seed=seed) - 0.5)
    turn = 6 * (_uniform(batch * count, 3, seed=seed + 1) - 0.5)
    rotations = convert(turn, 0 * turn, parameterization="axis_angle").matrix[:, :3, 0]
    away = reach * rotations.reshape(batch, count, 3)
    return through - away, through + away


def _cone(source: Point, middle: Point, rows: int, columns: int, pixel: float) -> tuple[Tensor, Tensor]:
    """Rays from one source to a detector across the line to its middle."""
    start, end = (torch.tensor(point, dtype=torch.float64) for point in (source, middle))
    across = torch.linalg.cross(end - start, torch.tensor([0.05, 0.2, 0.95], dtype=torch.float64))
    down = torch.linalg.cross(end - start, across)
    across, down = (pixel * axis / axis.norm() for axis in (across, down))
    row, column = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in (rows, columns))
    target = end + row[:, None, None] * down + column[None, :, None] * across
    return start[None, None], target.reshape(1, -1, 3)


def _between(*pairs: tuple[Point, Point]) -> tuple[Tensor, Tensor]:
    ends = torch.tensor(pairs, dtype=torch.float64)
    return ends[None, :, 0].contiguous(), ends[None, :, 1].contiguous()


def cases() -> dict[str, Case]:
    """Ordinary ones first."""
    volume = _uniform(7, 6, 5)
    here = torch.eye(4, dtype=torch.float64)
    labels = (4 * _uniform(7, 6, 5, seed=9)).to(torch.uint8)
    corners = [(0.5 + 7 * x, -0.5 + 6 * y, -0.5 + 5 * z) for x, y, z in product((0, 1), repeat=3)]
    return {
        "a cone of rays, some of which miss": Case(volume, *_cone((-9, -9.5, 1), (12, 11, 3.3), 6, 7, 3.1), here, 7),
        "rays in all directions": Case(volume, *_scattered(1, 30), here),
        "sheared voxels of three sizes": Case(
            volume, *_cone((2.03, -30, 5.01), (3.07, 30, 5.52), 4, 5, 3.3), _affine((0.7, 0.8, 2.5), 0.1), 5
        ),
        "ends in the volume": Case(volume, *_scattered(3, 20, reach=1.7), here),
        "one layer of voxels": Case(volume[:1], *_scattered(5, 20), here),
        "a volume for each image": Case(_uniform(2, 7, 6, 5), *_scattered(7, 12, batch=2), here),
        "several volumes along the same rays": Case(_uniform(3, 7, 6, 5), *_scattered(11, 12), here),
        "structures": Case(volume, *_scattered(9, 20), here, labels=labels),
        "mostly air": Case(volume * (volume > 0.8), *_cone((3.1, -20, 2.2), (2.9, 18, 2.1), 5, 6, 2.3), here, 6),
        "rays along axes": Case(
            volume,
            *_between(
                ((-9, 2.1, 2.2), (19, 2.1, 2.2)), ((2.1, 19, 2.2), (2.1, -9, 2.2)), ((2.1, 2.2, -9), (2.1, 2.2, 9))
            ),
            here,
            general=False,
        ),
        "rays along faces and diagonals": Case(
            volume,
            *_between(
                ((2.5, -9, 2.2), (2.5, 9, 2.2)), ((-4, -4, 1.1), (9, 9, 1.1)), ((-1.5, -1.5, -1.5), (6.5, 6.5, 6.5))
            ),
            here,
            general=False,
        ),
        "rays that miss": Case(
            volume, *_between(*(((x + 20, y, z), (x + 20.5, y + 9, z - 2)) for x, y, z in corners)), here, general=False
        ),
        "rays without length": Case(
            volume, *_between(((2.2, 2.3, 2.1), (2.2, 2.3, 2.1)), ((-9, 0, 0), (-9, 0, 0))), here, general=False
        ),
    }
