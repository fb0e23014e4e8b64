"""diffct: https://github.com/sypsyp97/diffct (Apache-2.0). On the CPU it traverses with plain PyTorch, on a GPU in
numba's CUDA kernels.
"""

from typing import Any

import numpy as np
import torch
from scene import CT, Scene

from peers.base import TorchCompetitor, missing


class DiffCT(TorchCompetitor):
    """`diffct.Projector` with a cone beam, its Siddon traversal.

    Its pose gradient is for the trajectory: source, detector centre, and the detector's two axes.
    """

    name = "diffct siddon"
    method = "siddon"
    memory_order = "F"

    def available(self) -> str | None:
        """Needs diffct, and on a GPU a CUDA toolkit that numba finds."""
        if self.device.type not in ("cpu", "cuda"):
            return "its kernels run on NVIDIA GPUs only"
        reason = missing("diffct", *(["numba.cuda"] if self.device.type == "cuda" else []))
        if reason is None and self.device.type == "cuda":
            from numba import cuda

            reason = None if cuda.is_available() else "numba finds no CUDA toolkit"
        return reason

    def load(self, ct: CT) -> None:
        """Its volume is centred at the origin with axes (z, y, x): rays are moved there by `aim`."""
        self.ct = ct
        # The kernels on the GPU read z fastest, and would copy any other order at every call.
        density = ct.density if self.device.type == "cpu" else np.ascontiguousarray(ct.density)
        self.density = torch.from_numpy(density).to(self.device).permute(2, 1, 0)

    def aim(self, scene: Scene) -> None:
        """Express the trajectory in the volume's own axes, in mm from its centre."""
        super().aim(scene)
        world_to_axes = self.ct.directions.T
        centre, column, row = scene.detector()
        vectors = (scene.source() - self.ct.centre, centre - self.ct.centre, column, row)
        self.trajectory = tuple(torch.from_numpy(v @ world_to_axes.T).float().to(self.device) for v in vectors)
        self.projector = self._projector()

    def pose_inputs(self) -> tuple[torch.Tensor, ...]:
        """The trajectory."""
        return self.trajectory

    def cameras(self) -> tuple[torch.Tensor, ...]:
        """The trajectory."""
        return self.trajectory

    def project(self, *cameras: torch.Tensor) -> torch.Tensor:
        """Project by the operator that `aim` made, which takes other poses than its own where they have a gradient."""
        trajectory = cameras if any(camera.requires_grad for camera in cameras) else None
        return self.projector.project(self.density, trajectory=trajectory).transpose(1, 2)

    def render(self) -> torch.Tensor:
        """Build the operator (it holds the poses) and project."""
        return self._projector().project(self.density).transpose(1, 2)

    def _projector(self) -> Any:
        from diffct import Projector

        size, pixel = self.scene.size, self.scene.pixel
        return Projector(
            self.trajectory,
            volume_shape=tuple(self.density.shape),
            detector_shape=(size, size),
            beam="cone",
            detector_spacing=(pixel, pixel),
            voxel_spacing=tuple(float(s) for s in self.ct.spacing[::-1]),
            backend="torch" if self.device.type == "cpu" else "numba",
            native_volume_layout=self.device.type != "cpu",
        )

    def gradient(self, operation: str) -> np.ndarray | None:
        """Only the volume's can be compared."""
        if operation == "pose":
            return None
        return self.volume()[0].cpu().numpy().transpose(2, 1, 0)
