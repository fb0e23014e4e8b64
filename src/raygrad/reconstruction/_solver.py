"""What every iterative method has: its problem, its state, its step."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_constraint, check_images, check_start, norm_over_views
from raygrad.reconstruction._constraints import Constraint


class Step(NamedTuple):
    """What a method says of one iteration, see `Iteration`: numbers that may wait on the volume's device to be read."""

    residual: Tensor | float
    objective: Tensor | float | None = None


class Solver:
    """An iterative method at work on one problem.

    Subclasses say what the next step depends on (names of attributes: `volumes`, tensors that are the same in all
    processes; `by_view`, those with the views' axis first; `numbers`, plain ones) and which arguments decide the result
    (`settings`), so that a checkpoint can hold the one and compare the other. A step reads no value of a tensor where
    it can be helped: a GPU would be waited for.

    Attributes:
        projector: the views that this process holds, on the images' device.
        images: theirs, (view, height, width).
        norm: |b|, of all views.
        volume: the estimate.
        constraint: applied to every estimate.
    """

    name: ClassVar[str]
    default_iterations: ClassVar[int] = 50
    volumes: ClassVar[tuple[str, ...]] = ("volume",)
    by_view: ClassVar[tuple[str, ...]] = ()
    numbers: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        projector: Projector,
        images: Tensor,
        *,
        nonnegative: bool,
        support: Any = None,
        start: Tensor | None = None,
    ) -> None:
        self.images = check_images(projector, images)
        self.projector = projector.to(self.images.device)
        self.norm = norm_over_views(projector, self.images)
        if self.norm == 0:
            raise ValueError("Expected images that show something. Got zeros only.")
        self.constraint: Constraint = check_constraint(projector, self.images, nonnegative, support)
        self.volume = check_start(projector, self.images, start, self.constraint)

    def step(self) -> Step:
        """Improve `volume`, in place or not."""
        raise NotImplementedError

    def said(self, squares: Tensor, objective: Tensor | None = None) -> Step:
        """The step's numbers, of the sum of the residual's squares over all views."""
        return Step(squares.sqrt() / self.norm, objective)
