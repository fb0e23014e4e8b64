"""CGLS: conjugate gradients for least squares, the fastest descent that one projection and back projection buy."""

import math
import operator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held
from raygrad.reconstruction._solver import Solver, Step

STEPS_ON_A_FACE = 10


@dataclass(frozen=True, kw_only=True)
class Cgls(IterativeMethod):
    """Least squares by conjugate gradients: the volume that minimises |A x - b|^2 + damping^2 |x|^2.

    Hestenes & Stiefel, J. Res. Nat. Bur. Stand. 1952, on the normal equations, which are never formed (Björck,
    Numerical Methods for Least Squares Problems, 1996, section 7.4). |A x - b|, or with damping the sum above, falls in
    every iteration. Noise comes in late: ending early, by a residual, smooths as damping does.

    With `nonnegative`, conjugate gradients run on a face of the allowed volumes: voxels at 0 stay there if the gradient
    keeps them there, the others are free. After `restart` steps the free ones that fell below 0 are put at 0, as much
    of the way to there is taken as makes the sum smallest, and the next face is chosen (in the manner of Moré &
    Toraldo, SIAM J. Optim. 1991). The sum never grows from restart to restart. The volumes between them are those of
    the face with negative voxels at 0, while residual and objective are those before that.

    In the history, residual, and with damping the sum as objective, are those after each iteration.

    Args:
        damping: weight of |x| (Tikhonov), in mm: the volume is in 1/mm.
        nonnegative: keep every voxel at 0 or above.
        restart: iterations after which the residual is computed anew and the descent begins afresh, which costs one
            more projection; default: 10 with `nonnegative`, else never.

    Raises:
        TypeError, ValueError: numbers of another kind, or out of range.
    """

    name: ClassVar[str] = "cgls"
    held: ClassVar[Held] = Held(volumes=5.0, stacks=2.5)
    default_iterations: ClassVar[int | None] = 30
    damping: float | int = 0.0
    nonnegative: bool = False
    restart: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.damping < math.inf:
            raise ValueError(f"Expected a damping of at least 0. Got {self.damping}.")
        if self.restart is not None and operator.index(self.restart) < 1:
            raise ValueError(f"Expected a restart after at least 1 iteration. Got {self.restart}.")

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> "CglsSolver":
        """The method at work: an iteration is one projection and one back projection of all views."""
        kind = CglsOnFacesSolver if self.nonnegative else CglsSolver
        return kind(self, projector, images, **problem)


class CglsSolver(Solver):
    """The method at work.

    Attributes:
        iterate: where the descent is: the volume itself.
        residual: b - A iterate.
        direction: of the next step.
        slope: the square of the gradient at `iterate` among the free voxels, float64 without axes.
        free: the voxels that may change; None for all.
        steps_left: until the next restart; below 0 if there is none.
    """

    volumes: ClassVar[tuple[str, ...]] = ("volume", "direction", "slope")
    by_view: ClassVar[tuple[str, ...]] = ("residual",)
    numbers: ClassVar = ("steps_left",)
    free: Tensor | None
    slope: Tensor
    steps_left: int

    def __init__(self, method: Cgls, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=method.nonnegative, **problem)
        self.damping, self.restart = float(method.damping), method.restart
        check_sight(self.projector(torch.ones_like(self.volume)))
        self.residual = self.images - self.projector(self.volume)
        self._set_out()
        self._begin(self.restart)

    def step(self) -> Step:
        """One step along the direction, to the least sum, and the next direction, conjugate to it."""
        projected = self.projector(self.direction)
        curvature = self._over_views(projected, projected) + self._damped(self.direction, self.direction)
        # Without rounding it is `slope`; where rounding is all that is left, only this keeps the sum from growing.
        descent = self._over_views(projected, self.residual) - self._damped(self.direction, self.iterate)
        length = torch.where(curvature > 0, descent / curvature, 0.0).to(self.iterate)
        self.iterate.addcmul_(self.direction, length)
        self.residual.addcmul_(projected, length, value=-1)
        self.steps_left -= 1
        if self.steps_left == 0:
            self._restart()
        else:
            gradient = self._gradient()
            slope = inner_product(gradient, gradient)
            self.direction.mul_(torch.where(self.slope > 0, slope / self.slope, 0.0)).add_(gradient)
            self.slope = slope
        return self._said()

    def _set_out(self) -> None:
        """What is needed before the first step."""
        self.iterate = self.volume
        self.free = self.constraint.support

    def _begin(self, steps: int | None) -> None:
        """Descend from `iterate` afresh, for so many steps or to the end."""
        self.direction = self._first_direction()
        self.slope = inner_product(self.direction, self.direction)
        self.steps_left = -1 if steps is None else steps

    def _first_direction(self) -> Tensor:
        return self._gradient()

    def _restart(self) -> None:
        """Begin anew, without the rounding that the residual has gathered."""
        torch.sub(self.images, self.projector(self.iterate), out=self.residual)
        self._begin(self.restart)

    def _gradient(self) -> Tensor:
        """Minus half the sum's gradient at `iterate`, among the free voxels."""
        gradient = self.projector.T(self.residual)
        if self.damping > 0:
            gradient.sub_(self.iterate, alpha=self.damping**2)
        return gradient if self.free is None else gradient.mul_(self.free)

    def _said(self) -> Step:
        square = self._over_views(self.residual, self.residual)
        objective = square + self._damped(self.iterate, self.iterate) if self.damping > 0 else None
        return self.said(square, objective)

    def _over_views(self, first: Tensor, second: Tensor) -> Tensor:
        return self.projector.processes.sum(inner_product(first, second))

    def _damped(self, first: Tensor, second: Tensor) -> Tensor | float:
        return self.damping**2 * inner_product(first, second) if self.damping > 0 else 0.0


class CglsOnFacesSolver(CglsSolver):
    """Conjugate gradients on one face of the non-negative volumes after another.

    Attributes:
        iterate: as above, with the voxels below 0 that the volume has at 0.
        face_start, face_residual: the allowed volume where the face began, and its residual.
    """

    volumes: ClassVar = (*CglsSolver.volumes, "iterate", "free", "face_start")
    by_view: ClassVar = (*CglsSolver.by_view, "face_residual")

    def step(self) -> Step:
        """A step on the face, shown without what is below 0."""
        step = super().step()
        torch.clamp(self.iterate, min=0, out=self.volume)
        return step

    def _set_out(self) -> None:
        self.restart = self.restart or STEPS_ON_A_FACE
        self.iterate = self.volume.clone()
        self.face_start, self.face_residual = self.volume.clone(), self.residual.clone()

    def _first_direction(self) -> Tensor:
        """Choose the face: voxels at 0 that would fall are not free."""
        self.free = self.constraint.support
        descent = self._gradient()
        self.free = (self.iterate > 0) | (descent > 0)
        return descent.mul_(self.free)

    def _restart(self) -> None:
        """Go from where the face began towards the allowed volume nearest to `iterate`, and begin anew."""
        self.constraint.apply_(self.iterate)
        torch.sub(self.images, self.projector(self.iterate), out=self.residual)
        fraction = self._best_fraction()
        torch.lerp(self.face_start, self.iterate, fraction, out=self.iterate)
        torch.lerp(self.face_residual, self.residual, fraction, out=self.residual)
        self.face_start.copy_(self.iterate)
        self.face_residual.copy_(self.residual)
        # Where no part of the way goes down, a single step, cut off at 0, does.
        self._begin(self.restart if fraction > 0 else 1)

    def _best_fraction(self) -> float:
        """How far from the face's start to `iterate`, both allowed, the sum is smallest: 0 to 1."""
        way = self.iterate - self.face_start
        falls = self.face_residual - self.residual
        square = self._over_views(falls, falls) + self._damped(way, way)
        descent = self._over_views(self.face_residual, falls) - self._damped(self.face_start, way)
        return float(torch.where(square > 0, descent / square, 0.0).clamp(0, 1))
