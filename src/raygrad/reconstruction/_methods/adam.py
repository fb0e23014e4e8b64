"""Gradient descent by Adam over all voxels: any loss of the images, any regulariser of the volume."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checkpoint import name_of
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held, check_subsets
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets

Loss = Callable[[Tensor, Tensor], Tensor]
Regulariser = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Adam(IterativeMethod):
    """Minimise loss(A x, b) + regulariser(x) by Adam (Kingma & Ba, ICLR 2015) over the values of all voxels.

    Every voxel that a gradient reaches moves by about the learning rate in each step, whatever the loss's scale: choose
    it to suit the values looked for. The gradient goes to the images by autograd, and on to the volume by A^T; voxels
    are constrained after each step.

    In the history, the objective is the mean over the subsets of what each step began with. A checkpoint knows loss and
    regulariser by their names only.

    Args:
        learning_rate: length of a step, in the volume's units (1/mm, if the images are line integrals).
        loss: (rendered, images) -> scalar, for images (view, height, width); the mean squared error by default. A
            similarity of `raygrad.metrics` wants a channel, as in
            `lambda rendered, images: 1 - similarity(rendered[:, None], images[:, None]).mean()`.
        regulariser: volume (x, y, z) -> scalar, such as one of `raygrad.reconstruction.total_variation`.
        n_subsets: make a step for each so many-th part of the views, whose images alone the loss compares then.
        nonnegative: keep every voxel at 0 or above.

    Raises:
        TypeError: a loss or regulariser that is not a function, or a number of subsets of another type.
        ValueError: numbers out of range; when it runs, a loss or regulariser that does not return a scalar with a
            gradient, or a loss of one's own where processes share the views.
    """

    name: ClassVar[str] = "adam"
    held: ClassVar[Held] = Held(volumes=6.0, stacks=3.0)  # counted, not measured
    default_iterations: ClassVar[int | None] = 100
    learning_rate: float | int = 1e-3
    loss: Loss | None = None
    regulariser: Regulariser | None = None
    n_subsets: int = 1
    nonnegative: bool = False

    def __post_init__(self) -> None:
        check_subsets(self.n_subsets)
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"Expected a positive learning rate. Got {self.learning_rate}.")
        for function in (self.loss, self.regulariser):
            if function is not None and not callable(function):
                raise TypeError(f"Expected loss and regulariser as functions. Got {type(function).__name__}.")

    @property
    def unshareable(self) -> str | None:
        """A loss of one's own sees the images of one process; the mean squared error is a sum over all."""
        if self.loss is None:
            return None
        return "with a loss of one's own, of which each process sees its own images only; the mean squared error can be"

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> "AdamSolver":
        """The method at work: an iteration is one projection and one back projection of all views."""
        return AdamSolver(self, projector, images, **problem)


class AdamSolver(Solver):
    """The method at work."""

    volumes: ClassVar = ("volume", "mean_gradient", "mean_square")
    numbers: ClassVar = ("steps",)

    def __init__(self, method: Adam, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=method.nonnegative, **problem)
        self.loss, self.regulariser = method.loss, method.regulariser
        self.subsets = make_subsets(self.projector, method.n_subsets)
        # The fused one passes over memory once, and updates as the plain one does. Its state is made here, by the
        # names that its state_dict gives them, so that it can be kept.
        self.optimizer = torch.optim.Adam([self.volume], lr=method.learning_rate, fused=True)
        self.mean_gradient, self.mean_square = torch.zeros_like(self.volume), torch.zeros_like(self.volume)
        self.gradient = torch.zeros_like(self.volume)  # kept only to be written over: fresh memory is slow
        self.optimizer.state[self.volume] = {
            "step": torch.zeros((), dtype=torch.float32, device=self.volume.device),
            "exp_avg": self.mean_gradient,
            "exp_avg_sq": self.mean_square,
        }

    @property
    def steps(self) -> int:
        """How many the optimizer made."""
        return int(self.optimizer.state[self.volume]["step"])

    @steps.setter
    def steps(self, number: int) -> None:
        self.optimizer.state[self.volume]["step"].fill_(number)

    def step(self) -> Step:
        """One step for each subset."""
        squares, objective = torch.zeros(2, dtype=torch.float64, device=self.images.device).unbind()
        for projector, positions in self.subsets:
            images = self.images if len(self.subsets) == 1 else self.images[positions]
            rendered = projector(self.volume)
            residual = rendered - images
            square = inner_product(residual, residual)
            squares += square
            if self.loss is None:
                count = images.numel() if projector.mask is None else int(projector.mask.sum())
                pixels = max(1, int(projector.processes.sum(torch.tensor(count))))
                objective += projector.processes.sum(square) / pixels
                by_image = residual.mul_(2 / pixels)
            else:
                value, by_image = _differentiate(self.loss, rendered, images)
                objective += value
            gradient = projector.T(by_image, out=self.gradient)
            if self.regulariser is not None:
                value, by_volume = _differentiate(self.regulariser, self.volume)
                objective += value
                gradient.add_(by_volume)
            self.volume.grad = gradient
            self.optimizer.step()
            self.volume.grad = None
            self.constraint.apply_(self.volume)
        return self.said(self.projector.processes.sum(squares), objective / len(self.subsets))


def _differentiate(function: Callable[..., Tensor], at: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
    """The value of a function, without axes, and its gradient by the first argument."""
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = function(at, *others)
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            got = f"one of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"Expected {name_of(function)} to return a tensor of one value that depends on its first argument. "
                f"Got {got}."
            )
        value = value.sum()
        (gradient,) = torch.autograd.grad(value, at)
    return value.detach(), gradient
