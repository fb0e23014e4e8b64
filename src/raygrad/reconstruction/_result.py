"""What a reconstruction returns."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._progress import Iteration, Status
from raygrad.data import Volume, VolumeGeometry, write_volume
from raygrad.geometry import Views
from raygrad.projector import Projector
from raygrad.reconstruction._calibration.calibrate import Calibration


class ReconstructionWarning(UserWarning):
    """Images that do not show all that the volume is made of."""


@dataclass(frozen=True, eq=False)
class ReconstructionResult:
    """A volume, and how it came about.

    Attributes:
        volume: (x, y, z), attenuation in 1/mm if the images are line integrals of it in mm.
        projector: whose grid and views (the refined ones, if they were calibrated) it was made with.
        method: the algorithm's name.
        status: how it ended.
        history: one entry an iteration.
        seconds: wall time of the last run, and what a checkpoint says of those before.
        calibration: how far poses and intrinsics moved, where they were refined.
    """

    volume: Float[Tensor, "x y z"]
    projector: Projector
    method: str
    status: Status
    history: tuple[Iteration, ...]
    seconds: float
    calibration: Calibration | None = None

    @property
    def geometry(self) -> VolumeGeometry:
        """Where the voxels lie."""
        return self.projector.volume_geometry

    @property
    def views(self) -> Views:
        """Where the rays ran."""
        return self.projector.views

    @property
    def residual(self) -> float:
        """The last iteration's residual; NaN for a direct method."""
        last = self.history[-1].residual if self.history else None
        return float("nan") if last is None else last

    def to_volume(self) -> Volume:
        """The volume with its place in the world, ready to be saved or rendered."""
        return self.geometry.to_volume(self.volume)

    def project(self, views: Views) -> Float[Tensor, "view height width"]:
        """Images of the reconstruction from other views, such as some that it never saw."""
        with torch.no_grad():
            return self.projector.with_views(views)(self.volume)

    def save(self, path: str | Path) -> None:
        """Write the volume to a NIfTI, NRRD or MetaImage file, which is whole or absent at any moment."""
        write_volume(self.to_volume(), path)

    def __repr__(self) -> str:
        """Method, status and residual in one line."""
        ending = f"{len(self.history)} iterations, residual {self.residual:.3g}, " if self.history else ""
        return f"ReconstructionResult({self.method}: {self.status}, {ending}{self.seconds:.1f} s)"
