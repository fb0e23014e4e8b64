"""The processes that a sweep's views are shared among: here, this one alone.

An iterative method asks for nothing else than these four things, so that the same code runs in one process and in many
(`raygrad.distributed`).
"""

from torch import Tensor


class Processes:
    """One process, which holds every view.

    Attributes:
        rank: this process's number; number 0 writes files and shows progress.
        count: number of processes.
        on_this_machine: how many of them share this machine's memory, as far as is known.
    """

    rank: int = 0
    count: int = 1
    on_this_machine: int = 1

    def sum(self, value: Tensor) -> Tensor:
        """The sum of all processes' values, the same for all."""
        return value

    def agree(self, decision: bool) -> bool:
        """What the first process decides."""
        return decision

    def gather(self, images: Tensor) -> Tensor:
        """The images (view, ...) of all views in their order, on the first process; any others get their own."""
        return images

    def own(self, images: Tensor) -> Tensor:
        """This process's part of the images (view, ...) of all views."""
        return images
