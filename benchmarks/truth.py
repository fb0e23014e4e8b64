"""What images should be: line integrals in float64 along the rays of a scene, for the pixels of a sparse grid.

For projectors that take voxels for constant, Siddon's integral, which is exact; for those that interpolate, the
trilinear volume sampled more finely than any of them does. raygrad computes both, on the CPU or by its reference, from
rays that are made here from the scene alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scene import CT, Scene

GRID = 200
"""At most so many rows and columns of an image are compared."""

SAMPLES = 4000
"""Samples on a ray of the trilinear integral: 0.15 mm apart on the longest way through a body."""


@dataclass(frozen=True)
class Truth:
    """Line integrals (row, column) of the last pose of a scene, at the pixels `picked` of both axes."""

    picked: np.ndarray
    integrals: dict[str, np.ndarray]

    def error(self, images: np.ndarray, method: str) -> float:
        """Relative L2 error of the images (batch, H, W) of a projector of this method."""
        truth = self.integrals[kind_of(method)]
        found = images[-1][np.ix_(self.picked, self.picked)].astype(np.float64)
        return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def kind_of(method: str) -> str:
    """The integral that a projector's images are held against."""
    return "siddon" if method == "siddon" else "trilinear"


def integrate(ct: CT, scene: Scene, device: torch.device, samples: int = SAMPLES) -> Truth:
    """Compute both integrals, on the GPU by raygrad's reference, since its kernels there have no float64."""
    from raygrad.kernels import project

    picked = np.unique(np.linspace(0, scene.size - 1, min(scene.size, GRID)).round().astype(int))
    source, target = _rays(scene, picked)
    rays = [torch.from_numpy(points).to(device)[None] for points in (source, target)]
    volume = torch.from_numpy(ct.density).to(device, torch.float64)
    world_to_voxel = torch.from_numpy(np.linalg.inv(ct.voxel_to_world))
    backend = "auto" if device.type == "cpu" else "reference"
    integrals = {}
    for method in ("siddon", "trilinear"):
        with torch.no_grad():
            values = project(volume, *rays, world_to_voxel, renderer=method, n_points=samples, backend=backend)
        integrals[method] = values.cpu().numpy().reshape(len(picked), len(picked))
    return Truth(picked, integrals)


def _rays(scene: Scene, picked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The source (1, 3) of the scene's last pose, and the centres (ray, 3) of the pixels, row by row, in world mm."""
    centre, column, row = (vectors[-1] for vectors in scene.detector())
    offset = (picked - (scene.size - 1) / 2) * scene.pixel
    target = centre + offset[:, None, None] * row + offset[None, :, None] * column
    return scene.source()[-1:], target.reshape(-1, 3)
