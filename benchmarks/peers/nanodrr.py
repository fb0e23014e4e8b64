"""nanodrr: https://github.com/eigenvivek/nanodrr (MIT). On the CPU it samples with `grid_sample`, on a GPU its fused
Triton kernel does, which it chooses itself.
"""

import numpy as np
import torch
from scene import CT, SDD, Scene

from peers.base import TorchCompetitor, missing

COMPILED_PIXELS = 512**2


class NanoDRR(TorchCompetitor):
    """`nanodrr.drr.DRR` with its default of 500 samples a ray; `compiled` in the way of nanodrr's own benchmark."""

    method = "trilinear"
    dtypes = (torch.float32, torch.bfloat16)

    def __init__(self, compiled: bool = False) -> None:
        self.compiled = compiled
        self.name = "nanodrr compiled" if compiled else "nanodrr"
        self.capturable = not compiled  # what is compiled for less overhead replays a graph of its own

    def available(self) -> str | None:
        """Needs nanodrr and torchio."""
        return missing("nanodrr.drr", "nanodrr.camera", "nanodrr.data", "torchio")

    def load(self, ct: CT) -> None:
        """Hand the density over as it is, without nanodrr's own conversion of Hounsfield units."""
        from nanodrr.data import Subject
        from torchio import ScalarImage

        image = ScalarImage(tensor=torch.from_numpy(ct.density)[None], affine=ct.voxel_to_world)
        self.subject = Subject.from_images(image, convert_to_mu=False).to(self.device)
        # Not `subject.to(dtype)`: that would round the geometry too.
        self.subject._image_hu = self.subject._image_hu.to(self.dtype)
        self.density = self.subject.image

    def declines(self, scene: Scene) -> str | None:
        """Compiling takes seconds for every size and operation, and saves launches: nothing in a large image."""
        if self.compiled and scene.batch * scene.size**2 > COMPILED_PIXELS:
            return f"compiled for at most {COMPILED_PIXELS:,} pixels: launches hide behind more"
        return None

    def aim(self, scene: Scene) -> None:
        """Build the module; its poses are in degrees."""
        from nanodrr.drr import DRR

        super().aim(scene)
        self.rotations = torch.rad2deg(self.rotations)
        drr = DRR.from_carm_intrinsics(SDD, scene.pixel, scene.pixel, 0.0, 0.0, scene.size, scene.size)
        self.drr = drr.to(self.device)
        if self.compiled:
            torch._dynamo.reset()
            mode = "reduce-overhead" if self.device.type == "cuda" else None
            self.drr = torch.compile(self.drr, mode=mode, fullgraph=True, dynamic=False)

    def cameras(self) -> tuple[torch.Tensor, ...]:
        """Camera-to-world matrices."""
        from nanodrr.camera import make_rt_inv

        return (make_rt_inv(self.rotations, self.translations, orientation="AP"),)

    def project(self, *cameras: torch.Tensor) -> torch.Tensor:
        """Matrices in, images out."""
        return self.drr(self.subject, *cameras)

    def gradient(self, operation: str) -> np.ndarray:
        """In radians, and the volume in the order (X, Y, Z)."""
        if operation == "pose":
            rotations, translations = self.pose()
            return torch.cat([torch.rad2deg(rotations), translations], dim=-1).cpu().numpy()
        return self.volume()[0].squeeze().cpu().numpy().transpose(2, 1, 0)
