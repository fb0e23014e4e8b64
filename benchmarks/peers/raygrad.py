"""raygrad itself, through the same call its users make."""

import torch
from scene import CT, SDD, Scene

from peers.base import TorchCompetitor, missing


class Raygrad(TorchCompetitor):
    """`raygrad.drr.DRR` with one of its methods."""

    memory_order = "F"
    dtypes = (torch.float32, torch.bfloat16)
    capturable = True

    def __init__(self, method: str) -> None:
        self.method = method
        self.name = f"raygrad {method}"

    def available(self) -> str | None:
        """Needs the device's kernels: the reference backend is a specification, not a competitor."""
        reason = missing("raygrad.data", "raygrad.drr", "raygrad.kernels")
        if reason is None:
            from raygrad.kernels import available_backends

            backend = "cpu" if self.device.type == "cpu" else "gpu"
            usable, sentence = available_backends().get(backend, (False, f"no {backend} backend in this version"))
            reason = None if usable else sentence
        return reason

    def load(self, ct: CT) -> None:
        """Wrap the array, without a copy, in the Subject that `raygrad.data.read` would return."""
        from raygrad.data import Subject, Volume

        volume = Volume(torch.from_numpy(ct.density)[None], ct.voxel_to_world)
        self.subject = Subject(volume, density=volume, orientation="AP")

    def aim(self, scene: Scene) -> None:
        """Build the module."""
        from raygrad.drr import DRR

        super().aim(scene)
        self.drr = DRR(self.subject, sdd=SDD, height=scene.size, delx=scene.pixel, renderer=self.method)
        self.drr.to(self.device)
        self.drr.density = self.drr.density.to(self.dtype)
        self.density = self.drr.density

    def cameras(self) -> tuple[torch.Tensor, ...]:
        """The matrices of the poses, which the subject's orientation follows."""
        from raygrad.pose import convert

        return (convert(self.rotations, self.translations, parameterization="euler_angles", convention="ZXY").matrix,)

    def project(self, *cameras: torch.Tensor) -> torch.Tensor:
        """Matrices in, images out."""
        from raygrad.pose import RigidTransform

        return self.drr(RigidTransform(*cameras))

    def render(self) -> torch.Tensor:
        """Pose numbers in, images out."""
        return self.drr(self.rotations, self.translations, parameterization="euler_angles", convention="ZXY")
