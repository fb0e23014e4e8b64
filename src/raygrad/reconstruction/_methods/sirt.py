"""SIRT: all views at once, every voxel by the mean of what its rays miss."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight, reciprocal
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterate import iterate
from raygrad.reconstruction._result import ReconstructionResult
from raygrad.reconstruction._solver import Solver, Step


def sirt(
    projector: Projector,
    images: Tensor,
    *,
    relaxation: float | int = 1.0,
    nonnegative: bool = True,
    support: Any = None,
    start: Tensor | None = None,
    **control: Any,
) -> ReconstructionResult:
    """Simultaneous iterative reconstruction: x <- x + relaxation C A^T R (b - A x).

    R and C divide by the sums of A's rows and columns (Gilbert, J. Theor. Biol. 1972; Gregor & Benson, IEEE TMI 2008).
    It converges to a minimum of |A x - b| weighted by R, slowly but surely, for relaxations between 0 and 2.

    Args:
        projector: whose views the images are.
        images: line integrals (view, height, width).
        relaxation: length of a step, in (0, 2).
        nonnegative: keep every voxel at 0 or above.
        support: (x, y, z) of the voxels that may differ from 0.
        start: (x, y, z) to start from; zeros by default.
        control: when to end, what to show and to keep: see `raygrad.reconstruction.iterate`.

    Raises:
        ValueError: images, support or start that do not fit the projector, views that see nothing, or a relaxation out
            of range.
    """
    solver = Sirt(projector, images, relaxation, nonnegative=nonnegative, support=support, start=start)
    return iterate(solver, **control)


class Sirt(Solver):
    """The method at work; an iteration is one projection and one back projection of all views."""

    name = "sirt"
    default_iterations = 100
    settings: ClassVar = ("relaxation",)

    def __init__(self, projector: Projector, images: Tensor, relaxation: float | int = 1.0, **problem: Any) -> None:
        if not 0 < relaxation < 2:
            raise ValueError(f"Expected a relaxation between 0 and 2. Got {relaxation}.")
        super().__init__(projector, images, **problem)
        self.relaxation = relaxation
        ray_lengths = self.projector(torch.ones_like(self.volume))
        check_sight(ray_lengths)
        self.by_ray = reciprocal(ray_lengths)
        self.by_voxel = reciprocal(self.projector.T(torch.ones_like(self.images)))

    def step(self) -> Step:
        """One step down the weighted residual."""
        residual = self.images - self.projector(self.volume)
        update = self.projector.T(residual * self.by_ray)
        self.volume.addcmul_(update, self.by_voxel, value=self.relaxation)
        self.constraint.apply_(self.volume)
        return self.said(self.projector.processes.sum(inner_product(residual, residual)))
