"""raygrad itself, through the same call its users make."""

import torch
from scene import CT, SDD, Scene

from peers.base import TorchCompetitor, missing


class Raygrad(TorchCompetitor):
    """`raygrad.drr.DRR` with one of its methods."""

    memory_order = "F"

    def __init__(self, method: str) -> None:
        self.method = method
        self.name = f"raygrad {method}"

    def available(self) -> str | None:
        """Needs the compiled kernels: the reference backend is a specification, not a competitor."""
        reason = missing("raygrad.data", "raygrad.drr", "raygrad.kernels")
        if reason is None:
            from raygrad.kernels import available_backends

            usable, sentence = available_backends()["cpu"]
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
        self.density = self.drr.density

    def render(self) -> torch.Tensor:
        """Pose numbers in, images out."""
        return self.drr(self.rotations, self.translations, parameterization="euler_angles", convention="ZXY")
