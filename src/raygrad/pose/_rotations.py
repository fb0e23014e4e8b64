"""Quaternions (real part first) and the overparameterized rotations.

Of few operations, since a GPU takes as long to start one on four numbers as on four thousand, and without constants
from the host, for which it would wait.
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._precision import full_precision
from raygrad.types import Matrices, Rotations, Vectors

Quaternions = Float[Tensor, "batch 4"]
RowPairs = Float[Tensor, "batch 6"]
SymmetricVectors = Float[Tensor, "batch 10"]


def identity_like(matrix: Tensor) -> Tensor:
    """The identity (3, 3) in a tensor's dtype, on its device."""
    return torch.eye(3, dtype=matrix.dtype, device=matrix.device)


def cross_matrix(vector: Vectors) -> Rotations:
    """The matrices v^ of the cross product: v^ @ u = v x u."""
    (x, y, z), (minus_x, minus_y, minus_z) = vector.unbind(-1), (-vector).unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, minus_z, y, z, zero, minus_x, minus_y, x, zero], dim=-1).view(-1, 3, 3)


@full_precision
def quaternion_to_matrix(quaternion: Quaternions) -> Rotations:
    """The rotations of quaternions of any length but zero: Rodrigues' formula in half the angle.

    R = I + 2 (w v^ + v^^2) for the unit quaternion w + v.
    """
    unit = quaternion / quaternion.norm(dim=-1, keepdim=True)
    cross = cross_matrix(unit[:, 1:])
    return torch.add(identity_like(cross), torch.baddbmm(unit[:, :1, None] * cross, cross, cross), alpha=2)


@full_precision
def matrix_to_quaternion(matrix: Rotations) -> Quaternions:
    """The unit quaternions of rotations, with a real part that is not negative.

    A rotation's entries give 4 q q', whose longest column keeps all digits at every angle (Markley, "Unit quaternion
    from rotation matrix", Journal of Guidance, Control, and Dynamics 31(2), 2008).
    """
    (_, xy, xz), (yx, _, yz), (zx, zy, _) = (row.unbind(-1) for row in (matrix + matrix.mT).unbind(-2))
    (_, _, y), (z, _, _), (_, x, _) = (row.unbind(-1) for row in (matrix - matrix.mT).unbind(-2))
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    trace = diagonal.sum(-1, keepdim=True)
    ww = (1 + trace).squeeze(-1)
    xx, yy, zz = torch.add(1 - trace, diagonal, alpha=2).unbind(-1)
    quadruple = torch.stack([ww, x, y, z, x, xx, xy, xz, y, yx, yy, yz, z, zx, zy, zz], dim=-1).view(-1, 4, 4)
    quaternion = _longest_column(quadruple)
    return torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)


@full_precision
def quaternion_to_quaternion_adjugate(q: Quaternions) -> SymmetricVectors:
    """The upper triangles of q q'."""
    outer = q[:, :, None] * q[:, None, :]
    return torch.cat([outer[:, row, row:] for row in range(4)], dim=1)


@full_precision
def quaternion_adjugate_to_quaternion(rotation: SymmetricVectors) -> Quaternions:
    """The longest column of the symmetric matrices, as unit vectors: a quaternion where the matrix is its q q'."""
    return _longest_column(_symmetric_matrix(rotation))


def quaternion_to_rotation_10d(q: Quaternions) -> SymmetricVectors:
    """The upper triangles of -q q', whose eigenvector of the lowest eigenvalue is q."""
    return -quaternion_to_quaternion_adjugate(q)


@full_precision
def rotation_10d_to_quaternion(rotation: SymmetricVectors) -> Quaternions:
    """The unit eigenvectors of the lowest eigenvalue of the symmetric matrices; their sign is free."""
    return roma.symmatrix_to_projective_point(_symmetric_matrix(rotation))


def _longest_column(symmetric: Matrices) -> Quaternions:
    """The longest column of each matrix, divided by its length."""
    longest = symmetric.detach().norm(dim=1).argmax(dim=1)
    column = symmetric.take_along_dim(longest[:, None, None], dim=2).squeeze(2)
    return column / column.norm(dim=1, keepdim=True)


def _symmetric_matrix(upper_triangle: SymmetricVectors) -> Matrices:
    entries = upper_triangle.unbind(1)
    order = [0, 1, 2, 3, 1, 4, 5, 6, 2, 5, 7, 8, 3, 6, 8, 9]
    return torch.stack([entries[i] for i in order], dim=-1).view(-1, 4, 4)


@full_precision
def rotation_6d_to_matrix(d6: RowPairs) -> Rotations:
    """The rotations whose first two rows come from d6 by Gram-Schmidt."""
    return roma.special_gramschmidt(d6.reshape(-1, 2, 3).mT).mT


def matrix_to_rotation_6d(matrix: Rotations) -> RowPairs:
    """The first two rows of rotations."""
    return matrix[:, :2].flatten(1)


@full_precision
def rotation_9d_to_matrix(rotation: Float[Tensor, "batch 9"]) -> Rotations:
    """The rotations nearest to the 3 x 3 matrices, which are given row by row."""
    return roma.special_procrustes(rotation.reshape(-1, 3, 3))


def matrix_to_rotation_9d(matrix: Rotations) -> Float[Tensor, "batch 9"]:
    """The entries of rotations row by row."""
    return matrix.flatten(1)
