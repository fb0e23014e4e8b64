"""What every iterative method has: its problem, its state, its step."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction.constraints import Constraint
from raygrad.reconstruction.problem import check_constraint, check_images, check_start, norm_over_views


class Step(NamedTuple):
    """What a method says of one iteration: see `Iteration`."""

    residual: float
    objective: float | None = None


class Solver:
    """An iterative method at work on one problem.

    Subclasses say what the next step depends on (`volumes` and `by_view`, names of attributes that are tensors with
    voxels, or with the views' axis first; `numbers`, of plain numbers) and which arguments decide the result
    (`settings`), so that a checkpoint can hold the one and compare the other.

    Attributes:
        projector: the views that this process holds.
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
        self.projector = projector
        self.images = check_images(projector, images)
        self.norm = norm_over_views(projector, self.images)
        if self.norm == 0:
            raise ValueError("Expected images that show something. Got zeros only.")
        self.constraint: Constraint = check_constraint(projector, self.images, nonnegative, support)
        self.volume = check_start(projector, self.images, start, self.constraint)

    def step(self) -> Step:
        """Improve `volume`, in place or not."""
        raise NotImplementedError

    def relative(self, residual: Tensor) -> float:
        """|residual| / |b| over all views."""
        return norm_over_views(self.projector, residual) / self.norm
