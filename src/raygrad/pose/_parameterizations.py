"""The table of rotation parameterizations, and the checks of their arguments."""

from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Parameterization:
    """What the numbers of a rotation are.

    Attributes:
        name: what `convert` calls it.
        shape: of the parameters of one rotation.
        names: of its numbers one by one; none for a matrix, whose entries are not free to move by themselves.
        has_angles: its numbers are angles, or vectors as long as an angle: they may be given in degrees.
    """

    name: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    has_angles: bool
    _to_matrix: Callable[[Tensor], Tensor] = field(repr=False)
    _from_matrix: Callable[[Tensor], Tensor] = field(repr=False)


def _numbered(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(count))


def _unused(_: Tensor) -> Tensor:
    """Euler angles need a convention too, and the twist its translation: they have lines of their own below."""
    raise AssertionError


def _itself(matrix: Tensor) -> Tensor:
    return matrix


_TABLE = {
    row.name: row
    for row in (
        Parameterization("axis_angle", (3,), ("rx", "ry", "rz"), True, so3_exp_map, so3_log_map),
        Parameterization("euler_angles", (3,), ("alpha", "beta", "gamma"), True, _unused, _unused),
        Parameterization("matrix", (3, 3), (), False, _itself, _itself),
        Parameterization(
            "quaternion", (4,), ("qw", "qx", "qy", "qz"), False, quaternion_to_matrix, matrix_to_quaternion
        ),
        Parameterization(
            "quaternion_adjugate",
            (10,),
            _numbered("a", 10),
            False,
            lambda vector: quaternion_to_matrix(quaternion_adjugate_to_quaternion(vector)),
            lambda matrix: quaternion_to_quaternion_adjugate(matrix_to_quaternion(matrix)),
        ),
        Parameterization("rotation_6d", (6,), _numbered("r", 6), False, rotation_6d_to_matrix, matrix_to_rotation_6d),
        Parameterization("rotation_9d", (9,), _numbered("r", 9), False, rotation_9d_to_matrix, matrix_to_rotation_9d),
        Parameterization(
            "rotation_10d",
            (10,),
            _numbered("r", 10),
            False,
            lambda vector: quaternion_to_matrix(rotation_10d_to_quaternion(vector)),
            lambda matrix: quaternion_to_rotation_10d(matrix_to_quaternion(matrix)),
        ),
        Parameterization("se3_log_map", (3,), ("rx", "ry", "rz"), True, _unused, _unused),
    )
}
PARAMETERIZATIONS = list(_TABLE)
"""The names that `convert` knows."""


def find_parameterization(name: str) -> Parameterization:
    """The parameterization of a name.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in _TABLE:
        raise ValueError(f"Expected a parameterization among {', '.join(_TABLE)}. Got {name!r}.")
    return _TABLE[name]


def rotation_to_matrix(rotation: Tensor, parameterization: str, convention: str | None) -> Rotations:
    """The rotations (B, 3, 3) of checked parameters, for every parameterization but se3_log_map."""
    if parameterization == "euler_angles":
        return euler_angles_to_matrix(rotation, _checked_convention(convention))
    return _TABLE[parameterization]._to_matrix(rotation)


def matrix_to_rotation(matrix: Rotations, parameterization: str, convention: str | None) -> Tensor:
    """The parameters of rotations: the inverse of :func:`rotation_to_matrix`."""
    if parameterization == "euler_angles":
        return matrix_to_euler_angles(matrix, _checked_convention(convention))
    return _TABLE[parameterization]._from_matrix(matrix)


def check_degrees(parameterization: str, degrees: bool) -> None:
    """Raise ValueError unless the parameterization is known, and has angles if they are to be in degrees."""
    if not find_parameterization(parameterization).has_angles and degrees:
        known = ", ".join(name for name, row in _TABLE.items() if row.has_angles)
        raise ValueError(f"Expected degrees of a parameterization with angles: {known}. Got {parameterization!r}.")


def check_parameters(parameterization: str, rotation: Tensor, translation: Tensor) -> None:
    """Raise TypeError or ValueError unless the tensors are parameters of this parameterization."""
    shape = find_parameterization(parameterization).shape
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
