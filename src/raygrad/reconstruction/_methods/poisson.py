"""What both kinds of photon statistics share: how far counts are from their means, and where to start."""

import torch
from torch import Tensor

from raygrad.reconstruction._checks import check_sight
from raygrad.reconstruction._solver import Solver


def divergence(measured: Tensor, expected: Tensor) -> Tensor:
    """Kullback and Leibler's divergence: sum(expected - measured + measured log(measured / expected)), float64.

    It is how far the logarithm of Poisson's likelihood lies below that of a perfect fit. Rays that expect nothing, as
    they miss all voxels above 0, are left out.
    """
    terms = torch.xlogy(measured, measured / expected).sub_(measured).add_(expected)
    return torch.where(expected > 0, terms, 0.0).sum(dtype=torch.float64)


def start_evenly(solver: Solver, start: Tensor | None) -> Tensor:
    """Give the volume, unless there is a `start`, the value that explains the sum of all images.

    Returns:
        The rays' lengths (view, height, width) among the voxels that may differ from 0.

    Raises:
        ValueError: views that see nothing of the volume.
    """
    projector, support = solver.projector, solver.constraint.support
    allowed = torch.ones_like(solver.volume)
    ray_lengths = projector(allowed)
    check_sight(ray_lengths)
    if support is not None:
        ray_lengths = projector(allowed.mul_(support))
    if start is None:
        sums = torch.stack([images.sum(dtype=torch.float64) for images in (solver.images, ray_lengths)])
        images_sum, lengths_sum = projector.processes.sum(sums).tolist()
        solver.volume.copy_(allowed.mul_(max(images_sum, 0.0) / lengths_sum if lengths_sum > 0 else 0.0))
    return ray_lengths
