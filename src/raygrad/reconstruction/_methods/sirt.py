"""SIRT: all views at once, every voxel by the mean of what its rays miss."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight, reciprocal
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held
from raygrad.reconstruction._solver import Solver, Step


@dataclass(frozen=True, kw_only=True)
class Sirt(IterativeMethod):
    """Simultaneous iterative reconstruction: x <- x + relaxation C A^T R (b - A x).

    R and C divide by the sums of A's rows and columns (Gilbert, J. Theor. Biol. 1972; Gregor & Benson, IEEE TMI 2008).
    It converges to a minimum of |A x - b| weighted by R, slowly but surely, for relaxations between 0 and 2.

    Args:
        relaxation: length of a step, in (0, 2).
        nonnegative: keep every voxel at 0 or above.

    Raises:
        ValueError: a relaxation out of range.
    """

    name: ClassVar[str] = "sirt"
    held: ClassVar[Held] = Held(volumes=5.5, stacks=3.0)
    default_iterations: ClassVar[int | None] = 100
    relaxation: float | int = 1.0
    nonnegative: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.relaxation < 2:
            raise ValueError(f"Expected a relaxation between 0 and 2. Got {self.relaxation}.")

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> "SirtSolver":
        """The method at work: an iteration is one projection and one back projection of all views."""
        return SirtSolver(self, projector, images, **problem)


class SirtSolver(Solver):
    """The method at work."""

    def __init__(self, method: Sirt, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=method.nonnegative, **problem)
        self.relaxation = method.relaxation
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
