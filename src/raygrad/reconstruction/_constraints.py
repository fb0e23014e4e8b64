"""What is known of a volume beforehand."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Constraint:
    """Values that a volume may take.

    Attributes:
        nonnegative: no voxel is below 0.
        support: (x, y, z) bool, the voxels that may differ from 0; None for all.
    """

    nonnegative: bool = False
    support: Tensor | None = None

    def apply_(self, volume: Tensor) -> Tensor:
        """Project a volume, in place, on the nearest one that is allowed."""
        if self.nonnegative:
            volume.clamp_(min=0)
        if self.support is not None:
            volume.mul_(self.support)
        return volume
