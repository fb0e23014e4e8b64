"""nanodrr: https://github.com/eigenvivek/nanodrr (MIT). On the CPU it samples with `grid_sample`."""

import numpy as np
import torch
from scene import CT, SDD, Scene

from peers.base import TorchCompetitor, missing


class NanoDRR(TorchCompetitor):
    """`nanodrr.drr.DRR` with its default of 500 samples a ray."""

    name = "nanodrr"
    method = "trilinear"

    def available(self) -> str | None:
        """Needs nanodrr and torchio."""
        return missing("nanodrr.drr", "nanodrr.camera", "nanodrr.data", "torchio")

    def load(self, ct: CT) -> None:
        """Hand the density over as it is, without nanodrr's own conversion of Hounsfield units."""
        from nanodrr.data import Subject
        from torchio import ScalarImage

        image = ScalarImage(tensor=torch.from_numpy(ct.density)[None], affine=ct.voxel_to_world)
        self.subject = Subject.from_images(image, convert_to_mu=False)
        self.density = self.subject.image

    def aim(self, scene: Scene) -> None:
        """Build the module; its poses are in degrees."""
        from nanodrr.drr import DRR

        super().aim(scene)
        self.rotations = torch.rad2deg(scene.rotations)
        self.drr = DRR.from_carm_intrinsics(SDD, scene.pixel, scene.pixel, 0.0, 0.0, scene.size, scene.size)

    def render(self) -> torch.Tensor:
        """Pose numbers in, images out."""
        from nanodrr.camera import make_rt_inv

        return self.drr(self.subject, make_rt_inv(self.rotations, self.translations, orientation="AP"))

    def gradient(self, operation: str) -> np.ndarray:
        """In radians, and the volume in the order (X, Y, Z)."""
        if operation == "pose":
            rotations, translations = self.pose()
            return torch.cat([torch.rad2deg(rotations), translations], dim=-1).numpy()
        return self.volume()[0].squeeze().numpy().transpose(2, 1, 0)
