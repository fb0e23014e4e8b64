"""Euler angles of any convention.

roma has them too. Ours take an eighth of the time, which counts in a render of milliseconds, and their inverse has
finite derivatives at gimbal lock, where roma's are NaN (the identity is one for conventions such as ZXZ).
"""

import torch
from torch import Tensor

from raygrad._precision import full_precision
from raygrad.types import Rotations, Vectors

_AXES = "XYZ"


@full_precision
def euler_angles_to_matrix(euler_angles: Vectors, convention: str) -> Rotations:
    """The rotations R_1(a_1) @ R_2(a_2) @ R_3(a_3).

    Args:
        euler_angles: (batch, 3) in radians.
        convention: the axes, such as "ZXY": upper case as written; lower case turns about the fixed axes, which is the
            same product backwards.
    """
    if convention.islower():
        return euler_angles_to_matrix(euler_angles.flip(-1), convention[::-1].upper())
    sine = euler_angles.sin()
    cosines, sines, negative_sines = (values.unbind(-1) for values in (euler_angles.cos(), sine, -sine))
    zero, one = torch.zeros_like(sines[0]), torch.ones_like(sines[0])
    entries = []
    for letter, cosine, sine, negative_sine in zip(convention, cosines, sines, negative_sines, strict=True):
        entries += _elementary_rotation(_AXES.index(letter), cosine, sine, negative_sine, zero, one)
    # One tensor for all three, made of numbers that are on the device already: a table of constants would be a copy
    # from the host, for which a GPU waits.
    first, second, third = torch.stack(entries, dim=-1).view(-1, 3, 3, 3).unbind(1)
    return first @ second @ third


def _elementary_rotation(
    axis: int, cosine: Tensor, sine: Tensor, negative_sine: Tensor, zero: Tensor, one: Tensor
) -> list[Tensor]:
    """The nine entries, row by row, of the rotation about a coordinate axis."""
    entries = [zero] * 9
    j, k = (axis + 1) % 3, (axis + 2) % 3
    entries[3 * axis + axis] = one
    entries[3 * j + j] = entries[3 * k + k] = cosine
    entries[3 * k + j], entries[3 * j + k] = sine, negative_sine
    return entries


@full_precision
def matrix_to_euler_angles(matrix: Rotations, convention: str) -> Vectors:
    """The angles in radians of rotations about the axes of a convention: the outer two in [-pi, pi], the middle one in
    [-pi/2, pi/2], or in [0, pi] where the outer axes agree.

    The first angle is read off, taken out of the matrix, and the other two are read off what is left, so that the
    angles give the matrix back even at gimbal lock (there the first is 0) and derivatives are finite everywhere.
    """
    if convention.islower():
        return matrix_to_euler_angles(matrix, convention[::-1].upper()).flip(-1)
    i, j, last = (_AXES.index(letter) for letter in convention)
    k = 3 - i - j
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    row_i, row_j, row_k = matrix[:, i], matrix[:, j], matrix[:, k]
    if last == i:
        first = _angle(row_j[:, i], -sign * row_k[:, i])
    else:
        first = _angle(-sign * row_j[:, k], row_k[:, k])
    cosine, sine = first.cos().unsqueeze(-1), sign * first.sin().unsqueeze(-1)
    row_j, row_k = cosine * row_j + sine * row_k, cosine * row_k - sine * row_j
    if last == i:
        second = torch.atan2(-sign * row_k[:, i], row_i[:, i])
        third = torch.atan2(-sign * row_j[:, k], row_j[:, j])
    else:
        second = torch.atan2(sign * row_i[:, k], row_k[:, k])
        third = torch.atan2(sign * row_j[:, i], row_j[:, j])
    return torch.stack([first, second, third], dim=-1)


def _angle(y: Tensor, x: Tensor) -> Tensor:
    """`torch.atan2`, whose derivatives where both are 0 are 0: before torch 2.10 they are NaN."""
    nowhere = (y == 0) & (x == 0)
    x = torch.where(nowhere, torch.ones_like(x).copysign(x), x)  # which leaves the angle as it is
    return torch.atan2(torch.where(nowhere, y.detach(), y), x)
