"""Euler angles of any convention.

roma has them too. Ours take an eighth of the time, which counts in a render of milliseconds, and their inverse has
finite derivatives at gimbal lock, where roma's are NaN (the identity is one for conventions such as ZXZ).
"""

import torch
from torch import Tensor

from raygrad.types import Rotations, Vectors

_AXES = "XYZ"


def _elementary_rotations() -> tuple[Tensor, Tensor, Tensor]:
    """The tables (axis, 9) with which the rotation about an axis is fixed + cos(a) even + sin(a) odd."""
    fixed, even, odd = torch.zeros(3, 3, 3, 3, dtype=torch.float64).unbind()
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        fixed[i, i, i] = 1
        even[i, j, j] = even[i, k, k] = 1
        odd[i, k, j], odd[i, j, k] = 1, -1
    return fixed.view(3, 9), even.view(3, 9), odd.view(3, 9)


_ELEMENTARY = torch.stack(_elementary_rotations())


def euler_angles_to_matrix(euler_angles: Vectors, convention: str) -> Rotations:
    """The rotations R_1(a_1) @ R_2(a_2) @ R_3(a_3) of angles in radians about the convention's axes.

    Upper case as written; lower case turns about the fixed axes, which is the same product backwards.
    """
    if convention.islower():
        return euler_angles_to_matrix(euler_angles.flip(-1), convention[::-1].upper())
    axes = [_AXES.index(letter) for letter in convention]
    fixed, even, odd = _ELEMENTARY[:, axes].to(euler_angles)
    angles = euler_angles.unsqueeze(-1)
    elementary = torch.addcmul(torch.addcmul(fixed, angles.cos(), even), angles.sin(), odd)
    first, second, third = elementary.view(-1, 3, 3, 3).unbind(1)
    return first @ second @ third


def matrix_to_euler_angles(matrix: Rotations, convention: str) -> Vectors:
    """The angles in radians of rotations: the outer two in [-pi, pi], the middle one in [-pi/2, pi/2], or in [0, pi]
    where the outer axes agree.

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
        first = torch.atan2(row_j[:, i], -sign * row_k[:, i])
    else:
        first = torch.atan2(-sign * row_j[:, k], row_k[:, k])
    cosine, sine = first.cos().unsqueeze(-1), sign * first.sin().unsqueeze(-1)
    row_j, row_k = cosine * row_j + sine * row_k, cosine * row_k - sine * row_j
    if last == i:
        second = torch.atan2(-sign * row_k[:, i], row_i[:, i])
        third = torch.atan2(-sign * row_j[:, k], row_j[:, j])
    else:
        second = torch.atan2(sign * row_i[:, k], row_k[:, k])
        third = torch.atan2(sign * row_j[:, i], row_j[:, j])
    return torch.stack([first, second, third], dim=-1)
