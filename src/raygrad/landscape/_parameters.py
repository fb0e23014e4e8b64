"""A pose as named numbers, which move one or two at a time."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import PARAMETERIZATIONS, RigidTransform, convert, find_parameterization

TRANSLATION_NAMES = ("x", "y", "z")
SYMBOLS = {"alpha": "α", "beta": "β", "gamma": "γ"}


@dataclass(frozen=True)
class PoseParameters:
    """One pose in one parameterization of :func:`raygrad.pose.convert`.

    Attributes:
        values: those of the rotation, then x, y, z in mm, in float64.
        parameterization: its name, any but "matrix", whose entries cannot move one by one.
        convention: for Euler angles, see `convert`.
        degrees: angles are in degrees, not radians: see `convert`.
    """

    values: Float[Tensor, " parameter"]
    parameterization: str
    convention: str | None = None
    degrees: bool = False

    @classmethod
    def of(
        cls,
        *pose: RigidTransform | Tensor,
        parameterization: str = "euler_angles",
        convention: str | None = None,
        degrees: bool = False,
    ) -> "PoseParameters":
        """The parameters of one pose.

        Args:
            pose: a `RigidTransform`, or rotation (1, k) and translation (1, 3).
            parameterization, convention, degrees: as for `raygrad.pose.convert`.

        Raises:
            TypeError: other kinds of arguments.
            ValueError: unknown parameterization or convention, degrees of one without angles, other shapes, several
                poses, or one not finite.
        """
        known = [name for name in PARAMETERIZATIONS if find_parameterization(name).names]
        if parameterization not in known:
            raise ValueError(f"Expected a parameterization among {', '.join(known)}. Got {parameterization!r}.")
        angles: dict[str, Any] = {"parameterization": parameterization, "convention": convention, "degrees": degrees}
        if len(pose) == 1 and isinstance(pose[0], RigidTransform):
            camera_to_world = pose[0].detach().cpu().to(torch.float64)
            rotation, translation = camera_to_world.convert(**angles)
        elif len(pose) == 2 and isinstance(pose[0], Tensor) and isinstance(pose[1], Tensor):
            rotation, translation = pose[0], pose[1]
            convert(rotation, translation, **angles)  # checks them
            rotation, translation = (part.detach().cpu().to(torch.float64) for part in (rotation, translation))
        else:
            kinds = ", ".join(type(part).__name__ for part in pose) or "nothing"
            raise TypeError(f"Expected a RigidTransform, or tensors of rotation and translation. Got {kinds}.")
        if len(rotation) != 1 or len(translation) != 1:
            raise ValueError(f"Expected one pose. Got {max(len(rotation), len(translation))}.")
        values = torch.cat([rotation[0], translation[0]])
        if not values.isfinite().all():
            raise ValueError(f"Expected a pose of finite numbers. Got {values.tolist()}.")
        return cls(values, parameterization, convention, degrees)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters, such as alpha, beta, gamma, x, y, z."""
        return find_parameterization(self.parameterization).names + TRANSLATION_NAMES

    def unit(self, name: str) -> str:
        """The unit of a parameter: "mm", "rad", "degrees", or "" for numbers such as a quaternion's."""
        if name in TRANSLATION_NAMES:
            return "mm"
        if not find_parameterization(self.parameterization).has_angles:
            return ""
        return "degrees" if self.degrees else "rad"

    def index(self, name: str) -> int:
        """Where among the values a parameter stands.

        Raises:
            ValueError: there is no parameter of this name.
        """
        if name not in self.names:
            raise ValueError(f"Expected a parameter among {', '.join(self.names)}. Got {name!r}.")
        return self.names.index(name)

    def to_poses(self, values: Float[Tensor, "batch parameter"]) -> RigidTransform:
        """The poses of other values of the same parameters."""
        return convert(
            values[:, :-3],
            values[:, -3:],
            parameterization=self.parameterization,
            convention=self.convention,
            degrees=self.degrees,
        )
