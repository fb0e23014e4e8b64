"""Cylinders of water and bone in a polychromatic beam, in closed form: nothing of raygrad's projector."""

import torch
from torch import Tensor

from raygrad._attenuation import linear_attenuation
from raygrad.data import VolumeGeometry
from raygrad.geometry.trajectories import circular
from raygrad.physics import Physics, Spectrum, sensor_named

WATER_MM, BONE_MM, BONE_AT_MM = 90.0, 12.0, 40.0
"""Radius of the water, of the two bones in it, and how far to the left and right these are."""
MATERIALS = ("water", "cortical bone")


def make_physics(kvp: float = 120.0, sensor: str = "csi", **filtration: float) -> Physics:
    """A tube and a detector."""
    return Physics(Spectrum.tube(kvp, filtration or {"aluminium": 3.0}), sensor_named(sensor))


def polychromatic(mm: Tensor, physics: Physics, materials: tuple[str, ...] = MATERIALS) -> Tensor:
    """-log of what is left of the beam behind mm (material, ...): the sum over energies, spelled out."""
    energies = physics.spectrum.energies_kev
    weights = physics.spectrum.photons * physics.sensor.weights(energies)
    mu = torch.stack([linear_attenuation(material, energies) for material in materials])
    left = [torch.exp(-part.T @ mu) @ weights for part in mm.flatten(1).split(1 << 15, dim=1)]
    return -torch.log(torch.cat(left) / weights.sum()).view(mm.shape[1:])


def make_views(n_views: int = 120, columns: int = 96, dtype: torch.dtype = torch.float64):
    """A full circle whose fan sees the whole cylinder, with three rows."""
    system = {"sdd": 1500.0, "sid": 1000.0, "height": 3, "width": columns, "dely": 3.0, "delx": 300.0 / columns}
    return circular(n_views, **system, dtype=dtype)


def make_grid(size: int = 96) -> VolumeGeometry:
    """A few slices through the cylinders, in the middle of which rays hardly rise."""
    return VolumeGeometry.centred((size, size, 5), 192.0 / size)


def chord(views, x_mm: float, radius_mm: float) -> Tensor:
    """(view, height, width) mm of every ray in an endless cylinder along z through (x_mm, 0)."""
    source, target = (ends.double() for ends in views.rays())
    start, way = source - torch.tensor([x_mm, 0.0, 0.0]).double(), target - source
    a = way[..., :2].square().sum(-1)
    b = (start[..., :2] * way[..., :2]).sum(-1)
    c = start[..., :2].square().sum(-1) - radius_mm**2
    half = (b.square() - a * c).clamp(min=0).sqrt() / a
    return (2 * half * way.norm(dim=-1)).unflatten(1, views.image_shape)


def cylinders(views, bones: bool) -> Tensor:
    """(material, view, height, width) mm of water and of cortical bone on every ray."""
    water, bone = chord(views, 0.0, WATER_MM), 0.0
    if bones:
        bone = chord(views, -BONE_AT_MM, BONE_MM) + chord(views, BONE_AT_MM, BONE_MM)
    return torch.stack([water - bone, torch.zeros_like(water) + bone])


def measured(physics: Physics, bones: bool, n_views: int = 120, columns: int = 96, parts: int = 4) -> Tensor:
    """What pixels as wide as several rays measure of the cylinders, in float64."""
    mm = cylinders(make_views(n_views, columns * parts), bones)
    left = torch.exp(-polychromatic(mm, physics))
    return -torch.log(torch.nn.functional.avg_pool2d(left, (1, parts)))


def distances(grid: VolumeGeometry) -> tuple[Tensor, Tensor]:
    """(x, y) mm of the middle slice's voxels from the water's axis, and from the nearer bone's."""
    x, y = (torch.arange(n).double() - (n - 1) / 2 for n in grid.shape[:2])
    x, y = torch.meshgrid(x * grid.spacing[0], y * grid.spacing[1], indexing="ij")
    nearer = torch.minimum(torch.hypot(x - BONE_AT_MM, y), torch.hypot(x + BONE_AT_MM, y))
    return torch.hypot(x, y), nearer


def share_inside(grid: VolumeGeometry, x_mm: float, radius_mm: float, parts: int = 8) -> Tensor:
    """(x, y) the part of each voxel that lies in a cylinder."""
    offsets = (torch.arange(parts).double() + 0.5) / parts - 0.5
    x, y = (
        ((torch.arange(n).double() - (n - 1) / 2)[:, None] + offsets).flatten() * step
        for n, step in zip(grid.shape[:2], grid.spacing[:2], strict=True)
    )
    inside = ((x - x_mm)[:, None] ** 2 + y[None] ** 2 < radius_mm**2).double()
    return inside.unflatten(0, (-1, parts)).unflatten(2, (-1, parts)).mean((1, 3))


def truth(grid: VolumeGeometry, energy_kev: float, bones: bool) -> Tensor:
    """(x, y) HU of the middle slice at an energy, the mean over each voxel."""
    water, bone = (float(linear_attenuation(material, energy_kev)) for material in MATERIALS)
    share = share_inside(grid, -BONE_AT_MM, BONE_MM) + share_inside(grid, BONE_AT_MM, BONE_MM)
    return 1000 * (share_inside(grid, 0.0, WATER_MM) - 1 + share * (bone / water - 1) * bones)
