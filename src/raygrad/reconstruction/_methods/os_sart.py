"""OS-SART: SIRT's step after every few views."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight, reciprocal
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterate import iterate
from raygrad.reconstruction._result import ReconstructionResult
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets, steps_by_voxel


def os_sart(
    projector: Projector,
    images: Tensor,
    *,
    n_subsets: int | None = None,
    relaxation: float | int = 1.0,
    decay: float | int = 0.99,
    nonnegative: bool = True,
    support: Any = None,
    start: Tensor | None = None,
    **control: Any,
) -> ReconstructionResult:
    """Simultaneous algebraic reconstruction by ordered subsets: x <- x + relaxation C A_s^T R (b_s - A_s x), s by s.

    A_s are the rows of A that belong to the views of subset s. R divides by the sums of A's rows, C by the largest of
    the sums of the A_s' columns. One view a subset is SART (Andersen & Kak, Ultrasonic Imaging 1984), all views in one
    are `sirt`; what lies between is worked out in Wang & Jiang, J. X-Ray Sci. Technol. 2004. A pass over all views,
    which is one iteration, comes about as far as one of SIRT a subset. With images that no volume explains, the subsets
    pull in turns: a relaxation that decays lets them settle.

    Args:
        projector: whose views the images are.
        images: line integrals (view, height, width).
        n_subsets: of how many subsets; default: a fourth of the number of views.
        relaxation: length of the steps in the first iteration, in (0, 2).
        decay: the relaxation of an iteration over that of the one before, in (0, 1].
        nonnegative: keep every voxel at 0 or above.
        support: (x, y, z) of the voxels that may differ from 0.
        start: (x, y, z) to start from; zeros by default.
        control: when to end, what to show and to keep: see `raygrad.reconstruction.iterate`.

    Returns:
        The result, in whose history the residual joins those of the subsets, each before its own step.

    Raises:
        TypeError: images, or a number of subsets, of another type.
        ValueError: images, support or start that do not fit the projector, views that see nothing, or numbers out of
            range.
    """
    solver = OsSart(
        projector, images, n_subsets, relaxation, decay, nonnegative=nonnegative, support=support, start=start
    )
    return iterate(solver, **control)


class OsSart(Solver):
    """The method at work; an iteration is one projection and one back projection of all views."""

    name = "os_sart"
    default_iterations = 20
    numbers: ClassVar = ("relaxation_now",)
    settings: ClassVar = ("n_subsets", "relaxation", "decay")

    def __init__(
        self,
        projector: Projector,
        images: Tensor,
        n_subsets: int | None = None,
        relaxation: float | int = 1.0,
        decay: float | int = 0.99,
        **problem: Any,
    ) -> None:
        if not 0 < relaxation < 2 or not 0 < decay <= 1:
            raise ValueError(
                f"Expected a relaxation between 0 and 2 and a decay above 0 and up to 1. Got {relaxation} and {decay}."
            )
        super().__init__(projector, images, **problem)
        self.subsets = make_subsets(self.projector, n_subsets)
        self.n_subsets = len(self.subsets)
        self.relaxation = self.relaxation_now = float(relaxation)
        self.decay = float(decay)
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
            self.volume.addcmul_(update, self.by_voxel, value=self.relaxation_now)
            self.constraint.apply_(self.volume)
        self.relaxation_now *= self.decay
        return self.said(self.projector.processes.sum(squares))
