"""Tensors that belong together, with an entry for each problem of a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

B = TypeVar("B", bound="Batch")

TOGETHER = {"cpu": 1}
TOGETHER_ELSEWHERE = 2
"""Iterations made before Python asks which problems have come to rest, by the kind of device.

To ask is to wait for a GPU, which runs dry meanwhile; not to ask is to go on with problems that have come to rest. Most
stages of `default_schedule` need two iterations, and every one beyond launches another 200 kernels.
"""


def iterations_together(device: torch.device) -> int:
    """How many iterations to make on a device before asking which problems have come to rest."""
    return TOGETHER.get(device.type, TOGETHER_ELSEWHERE)


@dataclass(frozen=True)
class Batch:
    """What describes the problems of a batch: fields are tensors, the batch their first axis, or batches themselves."""

    def __getitem__(self: B, index: Tensor | slice) -> B:
        """These problems alone."""
        return type(self)(*(part[index] for part in vars(self).values()))

    def overwritten(self: B, index: Tensor, other: B) -> B:
        """The same with the problems of these numbers replaced by the other's, in order."""
        return self._merged(other, lambda mine, theirs: mine.index_copy(0, index, theirs))

    def where(self: B, chosen: Bool[Tensor, " batch"], other: B) -> B:
        """The same with the chosen problems as they are in the other."""
        return self._merged(
            other, lambda mine, theirs: torch.where(chosen.reshape(-1, *[1] * (mine.ndim - 1)), theirs, mine)
        )

    def _merged(self: B, other: B, merge: Callable[[Tensor, Tensor], Tensor]) -> B:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(m._merged(o, merge) if isinstance(m, Batch) else merge(m, o) for m, o in pairs))
