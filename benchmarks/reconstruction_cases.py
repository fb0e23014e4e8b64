"""What every reconstruction starts from: X-rays of one CT on a circle, with and without noise, and the truth to reach.

The X-rays are made from the CT at its full resolution by exact Siddon rays, four to a pixel, whose intensities the
pixel averages. No reconstruction here has that grid or that projector, so none is asked to undo its own model.
"""

from dataclasses import dataclass
from math import atan, cos, radians, sin
from typing import Any

import torch
from torch import Tensor

from raygrad.data import Subject, Volume, VolumeGeometry, hu_to_attenuation, load_example_ct
from raygrad.geometry._detector import Detector
from raygrad.geometry._views import ConeViews
from raygrad.geometry.trajectories import circular
from raygrad.kernels import Occupancy, prepare, project

SID, SDD = 1000.0, 1500.0
"""Distances in mm from the source to the isocentre and to the detector."""
FIELD = 400.0
"""Side in mm of the cube that is reconstructed; the body lies in the cylinder inside it."""
PIXELS, PIXEL = 256, 2.4
"""Pixels a side of the detector and their size in mm: it sees the whole cylinder, 614 mm wide."""
ENERGY_KEV = 60.0
PHOTONS = 1e5
"""Photons that reach a pixel of the noisy X-rays where nothing is in the way."""
RADIUS = 180.0
"""Metrics are taken where every view sees, within the CT's height and within so many mm of the axis."""


@dataclass(frozen=True)
class Case:
    """What is reconstructed: a cube of `size` voxels a side from `n_views` X-rays, clean or of `PHOTONS` a pixel."""

    size: int
    n_views: int
    noisy: bool

    @property
    def geometry(self) -> VolumeGeometry:
        """Where the voxels lie."""
        return VolumeGeometry.centred((self.size,) * 3, FIELD / self.size)

    @property
    def views(self) -> ConeViews:
        """Where the rays run."""
        return circle(self.n_views)

    def __str__(self) -> str:
        return f"{self.size}^3 voxels from {self.n_views} {'noisy' if self.noisy else 'clean'} views"


def circle(n_views: int, **options: Any) -> ConeViews:
    """Views on a full turn about the z axis; options are `raygrad.geometry.trajectories.circular`'s."""
    return circular(n_views, sid=SID, sdd=SDD, height=PIXELS, delx=PIXEL, **options)


def novel_views() -> dict[str, ConeViews]:
    """Views that no reconstruction has seen: on the circle between the others, and on one tilted by 20 degrees."""
    tilted = (0.0, sin(radians(20)), cos(radians(20)))
    return {"between": circle(4, start_deg=21.3), "tilted": circle(4, start_deg=43.7, axis=tilted)}


class Patient:
    """A CT as attenuation in 1/mm, its X-rays and its voxels on coarser grids; X-rays are kept within this run."""

    def __init__(self, name: str, quick: bool = False) -> None:
        coarse = (256, 256, 66) if quick and name != "chest" else None
        subject = load_example_ct("chest" if name == "chest" else "thorax", shape=coarse)
        self.volume = _cylinder(_attenuation(subject))
        self.what = f"{name} CT, {subject.volume!r}, attenuation at {ENERGY_KEV:g} keV"
        self._occupancy: Occupancy = prepare(self.volume.voxels)
        self._images: dict[tuple[int, ...], Tensor] = {}

    def on_grid(self, size: int) -> Tensor:
        """The means (size, size, size) of the CT over the voxels of the cube, x fastest in memory."""
        mean = self.volume.voxels
        for axis in range(3):
            weights = _overlaps(self.volume, axis, size)
            mean = torch.tensordot(mean, weights, dims=([0], [1]))
        return mean.permute(2, 1, 0).contiguous().permute(2, 1, 0)

    def mask(self, size: int) -> Tensor:
        """Voxels (size, size, size) that every view sees, within the CT's height and `RADIUS` of the axis."""
        centre = (torch.arange(size) - (size - 1) / 2) * FIELD / size
        radius = torch.hypot(centre[:, None, None], centre[None, :, None])
        height = centre.abs() + FIELD / size / 2
        half = PIXELS * PIXEL / 2
        seen = (radius < SID * sin(atan(half / SDD))) & (height * SDD / (SID - radius).clamp_min(1) < half)
        low, high = self.volume.get_bounds()[2]
        return seen & (radius < RADIUS) & (centre - FIELD / size / 2 > low) & (centre + FIELD / size / 2 < high)

    def xrays(self, views: ConeViews, noisy: bool = False, seed: int = 0) -> Tensor:
        """Line integrals (view, row, column): minus the logarithm of the part of the photons that arrives."""
        image = self._clean(views)
        if not noisy:
            return image
        generator = torch.Generator().manual_seed(seed)
        counts = torch.poisson(PHOTONS * torch.exp(-image), generator=generator)
        return torch.log(PHOTONS / counts.clamp_min(1))

    def _clean(self, views: ConeViews) -> Tensor:
        images = [self._expose(views[[i]]) for i in range(len(views))]
        return torch.cat(images)

    def _expose(self, view: ConeViews) -> Tensor:
        key = tuple((view.pose.matrix[0, :3] * 1e3).round().int().flatten().tolist())
        if key not in self._images:
            height, width = (2 * n for n in view.image_shape)
            flip, reorient = view.detector.reverse_x_axis, view.detector.reorient
            fine = Detector(SDD, height, width, PIXEL / 2, PIXEL / 2, 0.0, 0.0, reorient, reverse_x_axis=flip)
            source, target = fine(view.pose)
            integrals = project(
                self.volume.voxels, source, target, self.volume.world_to_voxel,
                renderer="siddon", image_width=width, occupancy=self._occupancy,
            )  # fmt: skip
            passed = torch.exp(-integrals.reshape(1, 1, height, width))
            self._images[key] = -torch.log(torch.nn.functional.avg_pool2d(passed, 2))[0]
        return self._images[key]


def _attenuation(subject: Subject) -> Volume:
    return Volume(hu_to_attenuation(subject.volume.data, ENERGY_KEV), subject.volume.affine)


def _cylinder(volume: Volume) -> Volume:
    """The volume with nothing outside the cylinder that every view sees across: no view cuts the body."""
    x, y, _ = volume.spatial_shape
    to_world = volume.voxel_to_world
    i, j = torch.arange(x, dtype=torch.float64), torch.arange(y, dtype=torch.float64)
    radius = torch.hypot(i * to_world[0, 0] + to_world[0, 3], (j * to_world[1, 1] + to_world[1, 3])[:, None]).T
    return Volume(volume.data * (radius < FIELD / 2)[None, :, :, None], volume.affine)


def _overlaps(volume: Volume, axis: int, size: int) -> Tensor:
    """What part of each of `size` voxels along an axis each of the CT's voxels fills: (size, voxels)."""
    step, first = volume.voxel_to_world[axis, axis], volume.voxel_to_world[axis, 3]
    edges = first + step * (torch.arange(volume.spatial_shape[axis] + 1, dtype=torch.float64) - 0.5)
    low, high = torch.minimum(edges[:-1], edges[1:]), torch.maximum(edges[:-1], edges[1:])
    wide = FIELD / size
    start = (torch.arange(size, dtype=torch.float64)[:, None] - size / 2) * wide
    overlap = torch.minimum(high, start + wide) - torch.maximum(low, start)
    return (overlap.clamp_min(0) / wide).float()
