"""OS-SART: SIRT's step after every few views."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight, reciprocal
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held, check_subsets
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets, steps_by_voxel


@dataclass(frozen=True, kw_only=True)
class OsSart(IterativeMethod):
    """Simultaneous algebraic reconstruction by ordered subsets: x <- x + relaxation C A_s^T R (b_s - A_s x), s by s.

    A_s are the rows of A that belong to the views of subset s. R divides by the sums of A's rows, C by the largest of
    the sums of the A_s' columns. One view a subset is SART (Andersen & Kak, Ultrasonic Imaging 1984), all views in one
    are SIRT; what lies between is worked out in Wang & Jiang, J. X-Ray Sci. Technol. 2004. A pass over all views,
    which is one iteration, comes about as far as one of SIRT a subset. With images that no volume explains, the subsets
    pull in turns: a relaxation that decays lets them settle.

    In the history, the residual joins those of the subsets, each before its own step.

    Args:
        n_subsets: of how many subsets; default: a fourth of the number of views.
        relaxation: length of the steps in the first iteration, in (0, 2).
        decay: the relaxation of an iteration over that of the one before, in (0, 1].
        nonnegative: keep every voxel at 0 or above.

    Raises:
        TypeError, ValueError: numbers of another kind, or out of range.
    """

    name: ClassVar[str] = "os_sart"
    held: ClassVar[Held] = Held(volumes=5.0, stacks=2.0)
    default_iterations: ClassVar[int | None] = 20
    n_subsets: int | None = None
    relaxation: float | int = 1.0
    decay: float | int = 0.99
    nonnegative: bool = True

    def __post_init__(self) -> None:
        check_subsets(self.n_subsets)
        if not 0 < self.relaxation < 2 or not 0 < self.decay <= 1:
            got = f"{self.relaxation} and {self.decay}"
            raise ValueError(f"Expected a relaxation between 0 and 2 and a decay above 0 and up to 1. Got {got}.")

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> "OsSartSolver":
        """The method at work: an iteration is one projection and one back projection of all views."""
        return OsSartSolver(self, projector, images, **problem)


class OsSartSolver(Solver):
    """The method at work."""

    numbers: ClassVar = ("relaxation",)

    def __init__(self, method: OsSart, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=method.nonnegative, **problem)
        self.relaxation, self.decay = float(method.relaxation), float(method.decay)
        self.subsets = make_subsets(self.projector, method.n_subsets)
        ray_lengths = self.projector(torch.ones_like(self.volume))
        check_sight(ray_lengths)
        self.by_ray = reciprocal(ray_lengths)
        self.by_voxel = steps_by_voxel(self.subsets, torch.ones_like(self.images))

    def step(self) -> Step:
        """One step for each subset."""
        squares = torch.zeros((), dtype=torch.float64, device=self.images.device)
        for projector, positions in self.subsets:
            residual = self.images[positions].sub_(projector(self.volume))
            squares += inner_product(residual, residual)
            update = projector.T(residual.mul_(self.by_ray[positions]))
            self.volume.addcmul_(update, self.by_voxel, value=self.relaxation)
            self.constraint.apply_(self.volume)
        self.relaxation *= self.decay
        return self.said(self.projector.processes.sum(squares))
