"""Which geometry beside the pose a registration finds, and how well it was known."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Calibration:
    """Standard deviations of what is known of the geometry; None where it is exact and stays as it is.

    Attributes:
        sdd: of the source-to-detector distance in mm.
        principal_point: of x0 and of y0 in mm.
        pixel_size: relative.
        relative_pose: of the views' poses relative to the first's: mm, and degrees.
    """

    sdd: float | None = None
    principal_point: float | None = None
    pixel_size: float | None = None
    relative_pose: tuple[float, float] | None = None

    @property
    def columns(self) -> list[int]:
        """Which of sdd, x0, y0 and the logarithm of the pixel size are unknown."""
        deviations = (self.sdd, self.principal_point, self.principal_point, self.pixel_size)
        return [column for column, deviation in enumerate(deviations) if deviation is not None]

    def deviations(self, views: int) -> Float[Tensor, " unknown"]:
        """The standard deviations of all that is unknown: relative poses view by view, then intrinsics view by view.

        A relative pose is a twist, mm first, in radians.
        """
        relative = []
        if self.relative_pose is not None:
            mm, degrees = self.relative_pose
            relative = ([mm] * 3 + [math.radians(degrees)] * 3) * (views - 1)
        intrinsics = (self.sdd, self.principal_point, self.principal_point, self.pixel_size)
        return torch.tensor(relative + [d for d in intrinsics if d is not None] * views, dtype=torch.float64)
