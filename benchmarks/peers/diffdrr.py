"""DiffDRR: https://github.com/eigenvivek/DiffDRR (MIT)."""

import torch
from scene import CT, SDD, Scene

from peers.base import TorchCompetitor, missing


class DiffDRR(TorchCompetitor):
    """`diffdrr.drr.DRR` with one of its renderers, at its defaults."""

    def __init__(self, renderer: str) -> None:
        self.method = renderer
        self.name = f"diffdrr {renderer}"

    def available(self) -> str | None:
        """Needs diffdrr and torchio."""
        return missing("diffdrr.drr", "torchio")

    def load(self, ct: CT) -> None:
        """Wrap the array in the torchio Subject that `diffdrr.data.read` would return."""
        from torchio import ScalarImage, Subject

        image = ScalarImage(tensor=torch.from_numpy(ct.density)[None], affine=ct.voxel_to_world)
        reorient = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
        self.subject = Subject(
            volume=image, density=image, mask=None, fiducials=None, orientation="AP", reorient=reorient
        )

    def aim(self, scene: Scene) -> None:
        """Build the module."""
        from diffdrr.drr import DRR

        super().aim(scene)
        self.drr = DRR(self.subject, sdd=SDD, height=scene.size, delx=scene.pixel, renderer=self.method)
        self.drr.to(self.device)
        self.density = self.drr.density

    def cameras(self) -> tuple[torch.Tensor, ...]:
        """The matrices of the poses, which its own orientation follows."""
        from diffdrr.pose import convert

        return (convert(self.rotations, self.translations, parameterization="euler_angles", convention="ZXY").matrix,)

    def project(self, *cameras: torch.Tensor) -> torch.Tensor:
        """Matrices in, images out."""
        from diffdrr.pose import RigidTransform

        return self.drr(RigidTransform(*cameras))

    def render(self) -> torch.Tensor:
        """Pose numbers in, images out."""
        return self.drr(self.rotations, self.translations, parameterization="euler_angles", convention="ZXY")
