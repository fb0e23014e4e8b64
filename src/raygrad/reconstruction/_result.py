"""What a reconstruction returns."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import Volume, VolumeGeometry, write_volume
from raygrad.geometry import Views
from raygrad.projector import Projector
from raygrad.reconstruction._calibration.calibrate import Calibration


class Status(Enum):
    """How a reconstruction ended."""

    DIRECT = "direct"  # computed in one pass, not by iterations
    FITTED = "fitted"  # the residual fell to what was asked for
    CONVERGED = "converged"  # the volume changed less than was asked for
    OUT_OF_ITERATIONS = "out of iterations"
    STOPPED = "stopped"  # by the callback


@dataclass(frozen=True)
class Iteration:
    """One iteration.

    Attributes:
        number: from 1.
        residual: |A x - b| / |b| as the method knows it without another projection: of the volume that the iteration
            began with, or, where the method carries the residual along (cgls), ended with.
        change: |x - x before| / |x|.
        objective: what the method minimises, if it is more than the residual.
        seconds: since the start, over all runs if there was a checkpoint.
    """

    number: int
    residual: float
    change: float
    objective: float | None
    seconds: float


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
        return self.history[-1].residual if self.history else float("nan")

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
        return f"ReconstructionResult({self.method}: {self.status.value}, {ending}{self.seconds:.1f} s)"
