"""What a reconstruction is given: checked here, before any work is done."""

import math
from typing import Any

import torch
from torch import Tensor

from raygrad.geometry import Views
from raygrad.projector import Projector
from raygrad.reconstruction._constraints import Constraint
from raygrad.reconstruction._inner_products import inner_product


def check_dtype(images: Any) -> None:
    """See that images are a tensor that volumes can be reconstructed from.

    Raises:
        TypeError: they are not a tensor of float32 or float64 numbers.
    """
    if not isinstance(images, Tensor) or images.dtype not in (torch.float32, torch.float64):
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"Expected images as a float32 or float64 tensor. Got {got}.")


def check_images(projector: Projector, images: Tensor) -> Tensor:
    """The images (view, height, width), float32 or float64, without their graph, 0 where pixels do not count.

    Raises:
        TypeError: they are not a tensor of floating-point numbers.
        ValueError: their shape is not that of the views, or some that count are NaN or infinite.
    """
    check_dtype(images)
    images = images.detach()
    if images.ndim == 4 and images.shape[1] == 1:  # as a DRR renders them
        images = images[:, 0]
    if tuple(images.shape) != projector.range_shape:
        raise ValueError(
            f"Expected images of shape {projector.range_shape} (view, height, width), as the geometry has. "
            f"Got {tuple(images.shape)}."
        )
    images = projector.masked(images)
    if not math.isfinite(float(images.sum())):
        wrong = (~images.isfinite()).flatten(1).any(1).nonzero()[:, 0].tolist()
        if wrong:
            raise ValueError(f"Expected images of finite values. Got NaN or infinity in those of views {wrong[:10]}.")
    return images


def check_mask(mask: Any, views: Views) -> Tensor | None:
    """The mask (view, height, width) as bools; None of a mask that hides nothing.

    Raises:
        ValueError: it does not fit the views, has other values than 0 and 1, or leaves nothing of a view.
    """
    if mask is None:
        return None
    mask = torch.as_tensor(mask)
    shape = (len(views), *views.image_shape)
    if tuple(mask.shape) != shape:
        raise ValueError(f"Expected a mask of shape {shape} (view, height, width). Got {tuple(mask.shape)}.")
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("Expected a mask of 0, for pixels that do not count, and 1. Got other values, too.")
    mask = mask != 0
    hidden = (~mask.flatten(1).any(1)).nonzero()[:, 0].tolist()
    if hidden:
        raise ValueError(f"Expected a mask that leaves some pixels of each view. Got none of views {hidden[:10]}.")
    return None if mask.all() else mask


def check_constraint(projector: Projector, images: Tensor, nonnegative: bool, support: Any) -> Constraint:
    """The constraint, with its support as a bool tensor beside the images.

    Raises:
        ValueError: the support is not on the volume's grid, or empty.
    """
    if support is not None:
        support = torch.as_tensor(support).to(images.device) > 0
        if tuple(support.shape) != projector.domain_shape or not support.any():
            raise ValueError(
                f"Expected a support of shape {projector.domain_shape} with at least one voxel. "
                f"Got shape {tuple(support.shape)}, {int(support.sum())} voxels."
            )
        support = support.contiguous()
    return Constraint(nonnegative, support)


def check_start(projector: Projector, images: Tensor, start: Tensor | None, constraint: Constraint) -> Tensor:
    """The volume to start from: a copy of `start` or zeros, in the images' dtype and the order of all volumes.

    Raises:
        ValueError: it is on another grid, or not finite.
    """
    volume = projector.volume_geometry.zeros(images.dtype, images.device)
    if start is not None:
        if tuple(start.shape) != projector.domain_shape:
            raise ValueError(f"Expected a start of shape {projector.domain_shape}. Got {tuple(start.shape)}.")
        volume.copy_(start.detach())
        if not math.isfinite(float(volume.sum())):
            raise ValueError("Expected a start of finite values. Got NaN or infinity.")
    return constraint.apply_(volume)


def check_sight(ray_lengths: Tensor) -> None:
    """See that every view looks at the volume, by its rays' lengths inside (A of a volume of ones).

    Raises:
        ValueError: a view sees nothing of the volume.
    """
    blind = (~ray_lengths.flatten(1).any(1)).nonzero()[:, 0].tolist()
    if blind:
        some = f"{blind[:10]}{'...' if len(blind) > 10 else ''}"
        raise ValueError(
            f"Expected views whose rays cross the volume. Got {len(blind)} that see nothing of it: {some}. "
            "Compare the poses' and the volume's places in the world."
        )


def norm_over_views(projector: Projector, images: Tensor) -> float:
    """The Euclidean norm of images that all processes hold a part of."""
    return math.sqrt(float(projector.processes.sum(inner_product(images, images))))


def reciprocal(values: Tensor) -> Tensor:
    """1 / values, and 0 where they are 0; in place."""
    return torch.where(values > 0, values, torch.inf).reciprocal_()
