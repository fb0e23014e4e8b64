"""Ordered subsets: some of the views at a time, so that a pass over all of them makes many steps."""

import operator

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import reciprocal

VIEWS_IN_A_SUBSET = 4

Subsets = list[tuple[Projector, Tensor]]


def make_subsets(projector: Projector, count: int | None, at_most: int | None = None) -> Subsets:
    """Projectors of `count` subsets, and their images' positions; by default of 4 views each, and not over `at_most`.

    Raises:
        TypeError, ValueError: `count` is not a whole number from 1 to the number of views.
    """
    if count is None:
        views = int(projector.processes.sum(torch.tensor(len(projector.views))))
        count = max(1, views // VIEWS_IN_A_SUBSET)
        count = count if at_most is None else min(count, at_most)
    return projector.subsets(operator.index(count))


def steps_by_voxel(subsets: Subsets, weights: Tensor) -> Tensor:
    """1 / the largest of the subsets' back projections of `weights` (view, height, width), voxel by voxel.

    Every subset could have its own, and a volume to keep it in. With the largest no subset's step is too long for any
    voxel, whichever of the subsets see it, and evenly spread views differ little.
    """
    largest: Tensor | None = None
    for projector, positions in subsets:
        sums = projector.T(weights[positions])
        largest = sums if largest is None else torch.maximum(largest, sums, out=largest)
    assert largest is not None
    return reciprocal(largest)
