"""A volume that was made of a sweep, or is being made."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from raygrad.data import VolumeGeometry


@dataclass(frozen=True, eq=False)
class Made:
    """A volume and how it came about.

    Attributes:
        volume: (x, y, z), on the CPU.
        grid: where its voxels lie.
        method, renderer: that made it.
        unseen: numbers of the views that it was not made from.
        iteration: after how many; 0 of one that knows none.
        residual: of that iteration.
        seconds: it took so long.
        status: how it ended; None while it goes on.
        compared: of each held-out view in the end its number, relative error, PSNR (dB) and correlation.
    """

    volume: Float[Tensor, "x y z"]
    grid: VolumeGeometry
    method: str
    renderer: str
    unseen: tuple[int, ...]
    iteration: int = 0
    residual: float | None = None
    seconds: float = 0.0
    status: str | None = None
    compared: tuple[dict[str, Any], ...] = ()

    def described(self) -> dict[str, Any]:
        """For the page."""
        return {
            "method": self.method,
            "renderer": self.renderer,
            "shape": list(self.grid.shape),
            "spacing": [round(mm, 6) for mm in self.grid.spacing],
            "unseen": list(self.unseen),
            "iteration": self.iteration,
            "residual": self.residual,
            "seconds": round(self.seconds, 2),
            "status": self.status,
            "compared": list(self.compared),
        }
