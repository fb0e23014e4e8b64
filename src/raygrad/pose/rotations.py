"""Quaternions (real part first) and the overparameterized rotations, over roma."""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.types import Matrices, Rotations

Quaternions = Float[Tensor, "batch 4"]
RowPairs = Float[Tensor, "batch 6"]
SymmetricVectors = Float[Tensor, "batch 10"]


def quaternion_to_matrix(quaternion: Quaternions) -> Rotations:
    """The rotations of quaternions of any length but zero."""
    unit = quaternion / quaternion.norm(dim=-1, keepdim=True)
    return roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(unit))


def matrix_to_quaternion(matrix: Rotations) -> Quaternions:
    """The unit quaternions of rotations, with a real part that is not negative."""
    quaternion = roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(matrix))
    return torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)


def quaternion_to_quaternion_adjugate(q: Quaternions) -> SymmetricVectors:
    """The upper triangles of q q'."""
    rows, columns = torch.triu_indices(4, 4, device=q.device)
    return q[:, rows] * q[:, columns]


def quaternion_adjugate_to_quaternion(rotation: SymmetricVectors) -> Quaternions:
    """The longest column of the symmetric matrices, as unit vectors: a quaternion where the matrix is its q q'."""
    symmetric = _symmetric_matrix(rotation)
    lengths = symmetric.norm(dim=1)
    longest = lengths.detach().argmax(dim=1)[:, None]
    column = symmetric.take_along_dim(longest[:, :, None], dim=2).squeeze(2)
    return column / lengths.take_along_dim(longest, dim=1)


def quaternion_to_rotation_10d(q: Quaternions) -> SymmetricVectors:
    """The upper triangles of -q q', whose eigenvector of the lowest eigenvalue is q."""
    return -quaternion_to_quaternion_adjugate(q)


def rotation_10d_to_quaternion(rotation: SymmetricVectors) -> Quaternions:
    """The unit eigenvectors of the lowest eigenvalue of the symmetric matrices; their sign is free."""
    return roma.symmatrix_to_projective_point(_symmetric_matrix(rotation))


def _symmetric_matrix(upper_triangle: SymmetricVectors) -> Matrices:
    index = [0, 1, 2, 3, 1, 4, 5, 6, 2, 5, 7, 8, 3, 6, 8, 9]
    return upper_triangle[:, index].view(-1, 4, 4)


def rotation_6d_to_matrix(d6: RowPairs) -> Rotations:
    """The rotations whose first two rows come from d6 by Gram-Schmidt."""
    return roma.special_gramschmidt(d6.reshape(-1, 2, 3).mT).mT


def matrix_to_rotation_6d(matrix: Rotations) -> RowPairs:
    """The first two rows of rotations."""
    return matrix[:, :2].flatten(1)


def rotation_9d_to_matrix(rotation: Float[Tensor, "batch 9"]) -> Rotations:
    """The rotations nearest to the 3 x 3 matrices, which are given row by row."""
    return roma.special_procrustes(rotation.reshape(-1, 3, 3))


def matrix_to_rotation_9d(matrix: Rotations) -> Float[Tensor, "batch 9"]:
    """The entries of rotations row by row."""
    return matrix.flatten(1)
