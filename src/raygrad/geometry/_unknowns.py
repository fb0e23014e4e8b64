"""Geometry that is not known exactly: what registration and the calibration of a sweep find beside everything else.

A view's intrinsics are numbered as in `INTRINSICS`: what is added to sdd, x0 and y0 in mm, and to the logarithm of the
pixel size. A pose's unknown is a twist [v | w] from the left, mm first, then radians.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.types import Matrices, Targets

INTRINSICS = ("sdd", "x0", "y0", "pixel_size")
"""Names of the unknown intrinsics, in the order of their columns."""


@dataclass(frozen=True)
class UnknownGeometry:
    """Standard deviations of what is known of the geometry beforehand; None where it is exact and stays as it is.

    Attributes:
        pose_deg, pose_mm: of the views' poses relative to each other: rotation in degrees, translation in mm. Both or
            neither. (The first view's pose in a registration, and the sweep as a whole in a calibration, may be any.)
        sdd_mm: of the source-to-detector distance.
        x0_mm, y0_mm: of the detector's centre (the principal point).
        pixel_size: of the pixels' size, relative.

    Raises:
        ValueError: a deviation that is not positive and finite, or only one of `pose_deg` and `pose_mm`.
    """

    pose_deg: float | int | None = None
    pose_mm: float | int | None = None
    sdd_mm: float | int | None = None
    x0_mm: float | int | None = None
    y0_mm: float | int | None = None
    pixel_size: float | int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            deviation = getattr(self, field.name)
            if deviation is not None and not 0 < deviation < math.inf:
                raise ValueError(f"Expected a positive standard deviation as {field.name}. Got {deviation}.")
        if (self.pose_deg is None) != (self.pose_mm is None):
            raise ValueError(f"Expected pose_deg and pose_mm together. Got {self.pose_deg} and {self.pose_mm}.")

    @classmethod
    def of(cls, unknowns: "UnknownGeometry | str | Iterable[str]") -> "UnknownGeometry":
        """The unknowns of these names, as well known as a C-arm's geometry usually is: see `USUAL`.

        Raises:
            ValueError: a name that is not "poses" or among `INTRINSICS`, or none at all.
            TypeError: a mapping of names to numbers.
        """
        if isinstance(unknowns, UnknownGeometry):
            return unknowns
        if isinstance(unknowns, Mapping):
            raise TypeError(f"Expected deviations as UnknownGeometry(sdd_mm=..., ...). Got a mapping: {unknowns}.")
        names = [unknowns] if isinstance(unknowns, str) else list(unknowns)
        if not names or (unknown := [name for name in names if name not in USUAL]):
            raise ValueError(f"Expected unknowns among {', '.join(USUAL)}. Got {unknown if names else 'none'}.")
        deviations: dict[str, Any] = {}
        for name in names:
            deviations |= USUAL[name]
        return cls(**deviations)

    @property
    def has_poses(self) -> bool:
        """Whether poses are unknown."""
        return self.pose_mm is not None

    @property
    def columns(self) -> list[int]:
        """Which of `INTRINSICS` are unknown."""
        return [column for column, deviation in enumerate(self._of_intrinsics()) if deviation is not None]

    @property
    def names(self) -> list[str]:
        """The names of the unknown intrinsics."""
        return [INTRINSICS[column] for column in self.columns]

    @property
    def is_none(self) -> bool:
        """Whether everything is known exactly."""
        return not self.has_poses and not self.columns

    def of_twists(self, count: int) -> Float[Tensor, " unknown"]:
        """The deviations of so many twists, mm and radians; none if poses are known."""
        if self.pose_mm is None or self.pose_deg is None:
            return torch.zeros(0, dtype=torch.float64)
        return torch.tensor(
            ([float(self.pose_mm)] * 3 + [math.radians(self.pose_deg)] * 3) * count, dtype=torch.float64
        )

    def of_intrinsics(self, count: int) -> Float[Tensor, " unknown"]:
        """The deviations of so many views' unknown intrinsics, view by view."""
        known = [float(deviation) for deviation in self._of_intrinsics() if deviation is not None]
        return torch.tensor(known * count, dtype=torch.float64)

    def _of_intrinsics(self) -> tuple[float | int | None, ...]:
        return self.sdd_mm, self.x0_mm, self.y0_mm, self.pixel_size


USUAL: Mapping[str, Mapping[str, float]] = {
    "poses": {"pose_deg": 1.0, "pose_mm": 2.0},
    "sdd": {"sdd_mm": 10.0},
    "x0": {"x0_mm": 2.0},
    "y0": {"y0_mm": 2.0},
    "pixel_size": {"pixel_size": 0.01},
}
"""How well geometry is known unless it is said."""


def adjusted(calibration: Float[Tensor, "_ 4 4"], intrinsics: Float[Tensor, "*_ 4"]) -> Matrices:
    """Maps from pixel units to the camera (batch or 1, 4, 4), see `Detector.calibration`, with intrinsics added.

    Args:
        calibration: of the geometry as it was given.
        intrinsics: what is added, (4,) for all or (batch, 4).
    """
    intrinsics = intrinsics.expand(max(len(calibration), len(intrinsics) if intrinsics.ndim > 1 else 1), 4)
    matrices = calibration.expand(len(intrinsics), 4, 4).clone()
    matrices[:, :3, :2] *= intrinsics[:, 3, None, None].exp()
    matrices[:, 2, 2] += intrinsics[:, 0]
    matrices[:, :2, 3] += intrinsics[:, 1:3]
    return matrices


def directions(
    camera_to_world: Matrices, calibration: Matrices, target: Targets, columns: list[int]
) -> Float[Tensor, "batch ray intrinsic 3"]:
    """How targets move with intrinsics: along the beam with sdd, across it with x0 and y0, outwards with pixel size.

    Args:
        camera_to_world: whole poses of the cameras.
        calibration: their maps from pixel units to the camera.
        target: where their rays end, world mm.
        columns: of the intrinsics that are asked for.
    """
    middle = (camera_to_world @ (calibration[..., 2:3] + calibration[..., 3:]))[:, None, :3, 0].to(target)
    across_x, across_y, beam = (camera_to_world[:, None, :3, axis].to(target).expand_as(target) for axis in range(3))
    axes = [beam, across_x, across_y, target - middle]
    return torch.stack([axes[column] for column in columns], dim=2)
