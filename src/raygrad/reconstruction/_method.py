"""What a method of reconstruction is: a name, its options, and what it takes."""

import operator
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from raygrad._processes import Processes
from raygrad.projector import Projector
from raygrad.reconstruction._result import ReconstructionResult


class Held(NamedTuple):
    """What a method holds in memory at its peak, beside the images that it is given.

    Attributes:
        volumes: as many of them.
        stacks: as many times all images.
    """

    volumes: float
    stacks: float


class Method:
    """A way to reconstruct. Subclasses are frozen dataclasses whose fields are the method's options.

    Options are checked when the method is made, and tell nothing of a problem: the same value serves any projector.
    Called with a projector and its images, a method reconstructs; `raygrad.reconstruct` takes one as `method`, or its
    name for the options that it has by default. Methods that iterate derive from `IterativeMethod`, direct ones from
    this class.

    Attributes:
        name: of the method, in results and as a shorthand.
        held: what it takes of memory, see `raygrad.reconstruction.estimate`.
        default_iterations: how many it makes unless it is told; None of a direct method, which makes none.
    """

    name: ClassVar[str]
    held: ClassVar[Held]
    default_iterations: ClassVar[int | None] = None

    def __call__(self, projector: Projector, images: Tensor, *, support: Any = None) -> ReconstructionResult:
        """Reconstruct.

        Args:
            projector: whose views the images are, and whose grid the volume is on.
            images: line integrals (view, height, width).
            support: (x, y, z) of the voxels that may differ from 0.
        """
        raise NotImplementedError

    def check_mask(self) -> None:
        """See that the method can leave out single pixels.

        Raises:
            ValueError: it cannot, as those that do not iterate.
        """
        if self.default_iterations is None:
            raise ValueError(
                f"Expected a method that iterates, since some pixels do not count. Got {self.name}, which needs all: "
                "take another, or give those pixels values from around them."
            )

    @property
    def unshareable(self) -> str | None:
        """Why processes cannot share the views, a clause for people; None if they can."""
        return None

    def check_processes(self, processes: Processes) -> None:
        """See that the method can be run by processes that share the views.

        Raises:
            ValueError: it cannot.
        """
        if processes.count > 1 and self.unshareable is not None:
            raise ValueError(f"Expected a method whose views processes can share. Got {self.name}: {self.unshareable}.")


def check_subsets(count: int | None) -> None:
    """See that a number of ordered subsets is one; None leaves it to the method.

    Raises:
        TypeError, ValueError: it is no whole number, or below 1.
    """
    if count is not None and operator.index(count) < 1:
        raise ValueError(f"Expected at least 1 subset of the views. Got {count}.")
