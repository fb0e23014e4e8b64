"""Methods that iterate: each makes a solver, and one loop runs them all."""

from typing import Any, ClassVar

from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._iterate import Control, iterate
from raygrad.reconstruction._method import Method
from raygrad.reconstruction._result import ReconstructionResult
from raygrad.reconstruction._solver import Solver


class IterativeMethod(Method):
    """A method that improves a volume step by step. Subclasses say with what `Solver`."""

    default_iterations: ClassVar[int | None] = 50

    def solver(
        self, projector: Projector, images: Tensor, *, support: Any = None, start: Tensor | None = None
    ) -> Solver:
        """The method at work on a problem, ready for its first step: for `iterate`, or a loop of one's own.

        Args:
            projector: whose views the images are, and whose grid the volume is on.
            images: line integrals (view, height, width).
            support: (x, y, z) of the voxels that may differ from 0.
            start: (x, y, z) to start from; zeros by default.

        Raises:
            TypeError: images of another type.
            ValueError: images, support or start that do not fit the projector, views that see nothing of the volume, or
                options that do not suit the images.
        """
        raise NotImplementedError

    def __call__(
        self,
        projector: Projector,
        images: Tensor,
        *,
        support: Any = None,
        start: Tensor | None = None,
        **control: Any,
    ) -> ReconstructionResult:
        """Reconstruct.

        Args:
            projector, images, support, start: see `solver`.
            control: when to end, what to show and to keep: the fields of `raygrad.reconstruction.Control`.

        Raises:
            TypeError, ValueError: see `solver`; a control that there is none of, or out of range.
            FloatingPointError: the volume is no longer finite: the steps were too long.
        """
        settings = Control.of(control, self.name)
        return iterate(self.solver(projector, images, support=support, start=start), settings)
