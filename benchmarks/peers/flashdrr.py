"""FlashDRR: https://github.com/pcarnah/flashdrr (MIT). On a GPU its fused Triton renderer, elsewhere `grid_sample`."""

import math

import numpy as np
import torch
from scene import CT, SDD, Scene

from peers.base import TorchCompetitor, missing

SAMPLES = 500
CENTIMETRES = 10.0
"""Its line integrals count in centimetres."""


class FlashDRR(TorchCompetitor):
    """`flashdrr.rendering.VolumeRaycaster` with 500 samples a ray, returning line integrals.

    The fused renderer has no gradient for the pose. Its samples lie between the volume's nearest and farthest depth,
    30 mm to spare, at the same distances from the source on every ray.
    """

    name = "flashdrr"
    method = "trilinear"
    operations = ("forward", "volume")
    memory_order = "F"  # its backward pass takes the volume for contiguous with x fastest
    dtypes = (torch.float32, torch.bfloat16)

    def available(self) -> str | None:
        """Needs flashdrr, and Triton on a GPU."""
        return missing("flashdrr.rendering", *(["triton"] if self.device.type != "cpu" else []))

    def load(self, ct: CT) -> None:
        """Keep the volume as (1, 1, X, Y, Z), and the map to its voxels.

        It reads the volume at i N / (N - 1) - 1/2 where the map says voxel i of N: undone here, so that its samples lie
        where the others' do.
        """
        self.density = torch.from_numpy(ct.density)[None, None].to(self.device, self.dtype)
        count = np.array(ct.density.shape, dtype=np.float64)
        undo = np.diag([*(count - 1) / count, 1.0])
        undo[:3, 3] = (count - 1) / (2 * count)
        world_to_voxel = undo @ np.linalg.inv(ct.voxel_to_world)
        self.world_to_voxel = torch.from_numpy(world_to_voxel).float().to(self.device)

    def aim(self, scene: Scene) -> None:
        """Build the module. Its outermost pixels' centres lie on the edge of the field of view."""
        from flashdrr.rendering import VolumeRaycaster

        super().aim(scene)
        fov = 2 * math.degrees(math.atan((scene.size - 1) / 2 * scene.pixel / SDD))
        self.raycaster = VolumeRaycaster(ray_samples=SAMPLES, resolution=scene.size, fov=fov, return_tau=True)
        self.raycaster.to(self.device).eval()
        camera_to_world = torch.eye(4, dtype=torch.float64).repeat(scene.batch, 1, 1)
        axes = torch.from_numpy(scene.camera_to_world())
        camera_to_world[:, :3, :3] = axes * torch.tensor([-1.0, 1.0, 1.0])  # its x is that of growing columns
        camera_to_world[:, :3, 3] = torch.from_numpy(scene.source())
        self.camera_to_world = camera_to_world.float().to(self.device)

    def cameras(self) -> tuple[torch.Tensor, ...]:
        """The cameras' matrices: FlashDRR has no poses by numbers."""
        return (self.camera_to_world,)

    def project(self, *cameras: torch.Tensor) -> torch.Tensor:
        """Render; one volume for all poses is given as a view, since FlashDRR's own repetition would copy it."""
        (camera_to_world,) = cameras
        volume = self.density.expand(len(camera_to_world), *self.density.shape[1:])
        fused = self.device.type != "cpu"
        return self.raycaster(volume, camera_to_world, self.world_to_voxel, triton=fused)

    def images(self) -> np.ndarray:
        """In value x mm."""
        return super().images() * CENTIMETRES
