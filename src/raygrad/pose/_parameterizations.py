"""The table of rotation parameterizations, and the checks of their arguments."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from raygrad.pose._euler import euler_angles_to_matrix, matrix_to_euler_angles
from raygrad.pose._exponential import so3_exp_map, so3_log_map
from raygrad.pose._rotations import (
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    matrix_to_rotation_9d,
    quaternion_adjugate_to_quaternion,
    quaternion_to_matrix,
    quaternion_to_quaternion_adjugate,
    quaternion_to_rotation_10d,
    rotation_6d_to_matrix,
    rotation_9d_to_matrix,
    rotation_10d_to_quaternion,
)
from raygrad.types import Rotations


class _Maps(NamedTuple):
    shape: tuple[int, ...]
    to_matrix: Callable[[Tensor], Tensor]
    from_matrix: Callable[[Tensor], Tensor]


# Euler angles also need a convention, and the twist its translation: they have their own lines where they are used.
_MAPS = {
    "axis_angle": _Maps((3,), so3_exp_map, so3_log_map),
    "matrix": _Maps((3, 3), lambda matrix: matrix, lambda matrix: matrix),
    "quaternion": _Maps((4,), quaternion_to_matrix, matrix_to_quaternion),
    "quaternion_adjugate": _Maps(
        (10,),
        lambda vector: quaternion_to_matrix(quaternion_adjugate_to_quaternion(vector)),
        lambda matrix: quaternion_to_quaternion_adjugate(matrix_to_quaternion(matrix)),
    ),
    "rotation_6d": _Maps((6,), rotation_6d_to_matrix, matrix_to_rotation_6d),
    "rotation_9d": _Maps((9,), rotation_9d_to_matrix, matrix_to_rotation_9d),
    "rotation_10d": _Maps(
        (10,),
        lambda vector: quaternion_to_matrix(rotation_10d_to_quaternion(vector)),
        lambda matrix: quaternion_to_rotation_10d(matrix_to_quaternion(matrix)),
    ),
}
PARAMETERIZATIONS = [
    "axis_angle",
    "euler_angles",
    "matrix",
    "quaternion",
    "quaternion_adjugate",
    "rotation_6d",
    "rotation_9d",
    "rotation_10d",
    "se3_log_map",
]


def rotation_to_matrix(rotation: Tensor, parameterization: str, convention: str | None, degrees: bool) -> Rotations:
    """The rotations (B, 3, 3) of checked parameters, for every parameterization but se3_log_map."""
    if parameterization == "euler_angles":
        angles = torch.deg2rad(rotation) if degrees else rotation
        return euler_angles_to_matrix(angles, _checked_convention(convention))
    return _MAPS[parameterization].to_matrix(rotation)


def matrix_to_rotation(matrix: Rotations, parameterization: str, convention: str | None, degrees: bool) -> Tensor:
    """The parameters of rotations: the inverse of :func:`rotation_to_matrix`."""
    check_parameterization(parameterization)
    if parameterization == "euler_angles":
        angles = matrix_to_euler_angles(matrix, _checked_convention(convention))
        return torch.rad2deg(angles) if degrees else angles
    return _MAPS[parameterization].from_matrix(matrix)


def check_parameterization(name: str) -> None:
    """Raise ValueError unless the name is one of a parameterization."""
    if name not in PARAMETERIZATIONS:
        raise ValueError(f"Expected a parameterization among {', '.join(PARAMETERIZATIONS)}. Got {name!r}.")


def check_parameters(parameterization: str, rotation: Tensor, translation: Tensor) -> None:
    """Raise TypeError or ValueError unless the tensors are parameters of this parameterization."""
    shape = _MAPS[parameterization].shape if parameterization in _MAPS else (3,)
    for label, value, expected in (("rotation", rotation, shape), ("translation", translation, (3,))):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise TypeError(
                f"Expected a floating-point tensor as {label} of {parameterization!r}. Got {describe(value)}."
            )
        if value.shape[1:] != expected or value.ndim != len(expected) + 1:
            sizes = ", ".join(map(str, expected))
            raise ValueError(
                f"Expected {label} of shape (B, {sizes}) for {parameterization!r}. Got {tuple(value.shape)}."
            )
    if rotation.dtype != translation.dtype:
        raise TypeError(
            f"Expected rotation and translation of one dtype. Got {rotation.dtype} and {translation.dtype}."
        )
    check_batches("rotation and translation", len(rotation), len(translation))


def check_batches(what: str, first: int, second: int) -> None:
    """Raise ValueError unless two batch sizes are equal or one of them is 1."""
    if first != second and 1 not in (first, second):
        raise ValueError(f"Expected {what} of equal batch size, or one of them 1. Got {first} and {second}.")


def describe(value: object) -> str:
    """What an argument of the wrong type is, for the error message."""
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def _checked_convention(convention: str | None) -> str:
    if isinstance(convention, str) and len(convention) == 3 and (convention.isupper() or convention.islower()):
        if set(convention.upper()) <= set("XYZ") and convention[0] != convention[1] != convention[2]:
            return convention
    raise ValueError(
        "Expected as convention of Euler angles three letters of XYZ (moving axes) or xyz (fixed axes), neighbours "
        f"unlike, such as 'ZXY'. Got {convention!r}."
    )
