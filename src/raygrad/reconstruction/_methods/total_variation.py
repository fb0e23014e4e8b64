"""Isotropic total variation of volumes: gradient by forward differences, its adjoint, and the dual's projection.

Lengths are mm, so a gradient of attenuation in 1/mm is one in 1/mm^2, the same on fine and on anisotropic grids.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Fields = Float[Tensor, "3 x y z"]
Volumes = Float[Tensor, "x y z"]


def gradient(volume: Volumes, spacing: Sequence[float]) -> Fields:
    """Forward differences per mm along x, y and z; 0 at the last voxel of each axis."""
    field = volume.new_zeros(3, *volume.shape)
    return add_gradient_(field, volume, spacing)


def add_gradient_(field: Fields, volume: Volumes, spacing: Sequence[float], factor: float | int = 1.0) -> Fields:
    """Add `factor` times the volume's gradient to a field, in place."""
    for axis, length in enumerate(spacing):
        inner = volume.shape[axis] - 1
        component = field[axis].narrow(axis, 0, inner)
        component.add_(volume.narrow(axis, 1, inner), alpha=factor / length)
        component.sub_(volume.narrow(axis, 0, inner), alpha=factor / length)
    return field


def divergence(field: Fields, spacing: Sequence[float]) -> Volumes:
    """Sum of a field's backward differences per mm: minus the adjoint of `gradient`."""
    result = torch.zeros_like(field[0])
    for axis, length in enumerate(spacing):
        inner = field.shape[axis + 1] - 1
        component = field[axis].narrow(axis, 0, inner)
        result.narrow(axis, 0, inner).add_(component, alpha=1 / length)
        result.narrow(axis, 1, inner).sub_(component, alpha=1 / length)
    return result


def gradient_bound(spacing: Sequence[float]) -> float:
    """An upper bound of the gradient's squared norm, 4 sum 1 / spacing^2, which large grids all but attain."""
    return 4 * sum(1 / length**2 for length in spacing)


def limit_(field: Fields, longest: float) -> Fields:
    """Shorten every vector of a field that is longer than `longest` to that, in place."""
    lengths = field[0].square()
    lengths.addcmul_(field[1], field[1]).addcmul_(field[2], field[2]).sqrt_()
    return field.mul_(lengths.clamp_(min=longest).reciprocal_().mul_(longest))


def total_variation(
    volume: Volumes, spacing: Sequence[float | int] = (1.0, 1.0, 1.0), smoothing: float | int = 0.0
) -> Float[Tensor, ""]:
    """The sum over all voxels of the length of the gradient, differentiable (Rudin, Osher & Fatemi, Physica D 1992).

    Args:
        volume: (x, y, z).
        spacing: of the voxels, mm.
        smoothing: gradients much shorter than this (in units of the volume per mm) count by their square, so that the
            derivative is continuous; with 0 the derivative of a gradient of 0 is taken as 0.

    Raises:
        ValueError: the volume has not three axes, the spacings are not three positive numbers, or smoothing is below 0.
    """
    if volume.ndim != 3 or len(spacing) != 3 or not all(length > 0 for length in spacing) or not smoothing >= 0:
        raise ValueError(
            "Expected a volume (x, y, z), three positive spacings and a smoothing of at least 0. "
            f"Got shape {tuple(volume.shape)}, {spacing} and {smoothing}."
        )
    squares = torch.zeros_like(volume)
    for axis, length in enumerate(spacing):
        inner = volume.shape[axis] - 1
        slope = (volume.narrow(axis, 1, inner) - volume.narrow(axis, 0, inner)) / length
        squares = squares + torch.nn.functional.pad(slope.square(), _one_behind(axis))
    if smoothing > 0:
        return ((squares + smoothing**2).sqrt() - smoothing).sum()
    flat = squares == 0
    return torch.where(flat, torch.zeros_like(squares), torch.where(flat, 1.0, squares).sqrt()).sum()


def _one_behind(axis: int) -> list[int]:
    """How `pad` is told to add one voxel at the end of an axis."""
    padding = [0] * 6
    padding[2 * (2 - axis) + 1] = 1
    return padding
