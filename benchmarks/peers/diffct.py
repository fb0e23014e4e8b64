"""diffct: https://github.com/sypsyp97/diffct (Apache-2.0). On the CPU it traverses with plain PyTorch."""

import numpy as np
import torch
from scene import CT, Scene

from peers.base import TorchCompetitor, missing


class DiffCT(TorchCompetitor):
    """`diffct.Projector` with a cone beam, its Siddon traversal, on the CPU backend.

    Its pose gradient is for the trajectory: source, detector centre, and the detector's two axes.
    """

    name = "diffct siddon"
    method = "siddon"
    memory_order = "F"

    def available(self) -> str | None:
        """Needs diffct."""
        return missing("diffct")

    def load(self, ct: CT) -> None:
        """Its volume is centred at the origin with axes (z, y, x): rays are moved there by `aim`."""
        self.ct = ct
        self.density = torch.from_numpy(ct.density.transpose(2, 1, 0))

    def aim(self, scene: Scene) -> None:
        """Express the trajectory in the volume's own axes, in mm from its centre."""
        super().aim(scene)
        world_to_axes = self.ct.directions.T
        centre, column, row = scene.detector()
        vectors = (scene.source() - self.ct.centre, centre - self.ct.centre, column, row)
        self.trajectory = tuple(torch.from_numpy(v @ world_to_axes.T).float() for v in vectors)

    def pose_inputs(self) -> tuple[torch.Tensor, ...]:
        """The trajectory."""
        return self.trajectory

    def render(self) -> torch.Tensor:
        """Build the operator (it holds the poses) and project."""
        from diffct import Projector

        size, pixel = self.scene.size, self.scene.pixel
        projector = Projector(
            self.trajectory,
            volume_shape=tuple(self.density.shape),
            detector_shape=(size, size),
            beam="cone",
            detector_spacing=(pixel, pixel),
            voxel_spacing=tuple(float(s) for s in self.ct.spacing[::-1]),
            backend="torch",
        )
        return projector.project(self.density).transpose(1, 2)

    def gradient(self, operation: str) -> np.ndarray | None:
        """Only the volume's can be compared."""
        if operation == "pose":
            return None
        return self.volume()[0].numpy().transpose(2, 1, 0)
