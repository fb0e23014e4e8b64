"""A method at work on one problem: what it holds, and its next step."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_constraint, check_images, check_start, norm_over_views
from raygrad.reconstruction._constraints import Constraint
from raygrad.reconstruction._method import Method


class Step(NamedTuple):
    """What a method says of one iteration, see `Iteration`: numbers that may wait on the volume's device to be read."""

    residual: Tensor | float
    objective: Tensor | float | None = None


class Solver:
    """An iterative method at work on one problem: its state is its attributes, and `step` goes on from there.

    What a new method has to provide in a subclass:

    - `__init__`, which hands the problem on to this one, checks what of the method's options depends on the images or
      views, and makes ready for the first step. `volume` is then where the iterations begin.
    - `step()`, one iteration: it improves `volume`, within `constraint` (`self.constraint.apply_(volume)`), and returns
      a `Step`, as `said` makes it. The residual that it tells is of the volume that the iteration began with, or ended
      with, and costs no projection of its own. A step reads no value of a tensor where it can be helped, since that
      waits for a GPU; it runs without gradients.
    - `volumes`, `by_view` and `numbers`: the names of all attributes that the next step depends on and a step changes.
      A checkpoint holds them, and a run that goes on from there ends with the same bits. Tensors are set in place, so
      that views of them stay what they are.

    Whatever is a sum over views goes through the projector, whose adjoint sums over the processes that share them, or
    through `projector.processes.sum`. So `volumes` and `numbers` are the same in all processes, to the bit.

    Args:
        method: whose options these are.
        projector: whose views the images are.
        images: line integrals (view, height, width), those of the views that this process holds.
        nonnegative: keep every voxel at 0 or above.
        support: (x, y, z) of the voxels that may differ from 0.
        start: (x, y, z) to start from; zeros by default. It is copied.

    Attributes:
        volumes: names of tensors that are the same in all processes.
        by_view: names of tensors with the views' axis first, of this process's views.
        numbers: names of plain numbers.
        name: the method's, or that of the variant at work.
        projector: the views that this process holds, on the images' device.
        images: theirs, (view, height, width).
        norm: |b|, of all views.
        volume: the estimate, (x, y, z), the same in all processes.
        constraint: applied to every estimate.

    Raises:
        TypeError, ValueError: images, support or start that do not fit the projector; images of zeros; a method whose
            views processes cannot share.
    """

    volumes: ClassVar[tuple[str, ...]] = ("volume",)
    by_view: ClassVar[tuple[str, ...]] = ()
    numbers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        method: Method,
        projector: Projector,
        images: Tensor,
        *,
        nonnegative: bool,
        support: Any = None,
        start: Tensor | None = None,
    ) -> None:
        method.check_processes(projector.processes)
        self.method, self.name = method, method.name
        self.images = check_images(projector, images)
        self.projector = projector.to(self.images.device)
        self.norm = norm_over_views(projector, self.images)
        if self.norm == 0:
            raise ValueError("Expected images that show something. Got zeros only.")
        self.constraint: Constraint = check_constraint(projector, self.images, nonnegative, support)
        self.volume = check_start(projector, self.images, start, self.constraint)

    def step(self) -> Step:
        """Make one iteration."""
        raise NotImplementedError

    def said(self, squares: Tensor, objective: Tensor | None = None) -> Step:
        """The step's numbers, of the sum of the squares over all views, and the objective if there is one."""
        return Step(squares.sqrt() / self.norm, objective)
