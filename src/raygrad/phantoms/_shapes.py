"""Shapes whose X-ray images are known exactly, to prove renderers against.

Every shape gives its line integrals in closed form (`line_integrals`) and its voxels (`voxelize`). World points are
patient RAS+ in mm, so line integrals are value x mm. `Ellipsoid` and `Box` have edges, as a piecewise-constant volume
has; `Gaussian` is smooth, so interpolating renderers converge on it at their full order.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.types import Sources, Targets

Triple = Sequence[float | int] | np.ndarray | Tensor
Rotation = Sequence[Sequence[float | int]] | np.ndarray | Tensor | None
RayValues = Float[Tensor, "batch ray"]
Voxels = Float[Tensor, "x y z"]


def _vector(name: str, value: object, positive: bool = False) -> Tensor:
    vector = torch.as_tensor(value, dtype=torch.float64)
    if vector.shape != (3,) or not bool(torch.isfinite(vector).all()):
        raise ValueError(f"{name} must be three finite numbers, got {value!r}")
    if positive and not bool((vector > 0).all()):
        raise ValueError(f"{name} must be positive, got {value!r}")
    return vector


def _rotation(value: object) -> Tensor:
    rotation = torch.eye(3, dtype=torch.float64) if value is None else torch.as_tensor(value, dtype=torch.float64)
    if rotation.shape != (3, 3):
        raise ValueError(f"rotation must be a 3 x 3 matrix, got shape {tuple(rotation.shape)}")
    if not bool(roma.is_rotation_matrix(rotation.detach(), epsilon=1e-6)):
        raise ValueError("rotation must be orthonormal with determinant +1")
    return rotation


class _Shape:
    """A shape that is simple (a unit ball, cube or bell) in its own frame: x = center + rotation @ (extent * local).

    Subclasses are frozen dataclasses of center, an extent under the name `_extent`, rotation and value, which
    become float64 tensors.
    """

    center: Triple
    rotation: Rotation
    value: float | int | Tensor
    _extent: ClassVar[str]
    _reach: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        value = torch.as_tensor(self.value, dtype=torch.float64)
        if value.ndim != 0 or not bool(torch.isfinite(value)):
            raise ValueError(f"value must be one finite number, got {self.value!r}")
        object.__setattr__(self, "center", _vector("center", self.center))
        object.__setattr__(self, self._extent, _vector(self._extent, getattr(self, self._extent), positive=True))
        object.__setattr__(self, "rotation", _rotation(self.rotation))
        object.__setattr__(self, "value", value)

    @property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Center, extent, rotation, value."""
        fields = (self.center, getattr(self, self._extent), self.rotation, self.value)
        center, extent, rotation, value = (torch.as_tensor(v) for v in fields)
        return center, extent, rotation, value

    def line_integrals(self, source: Sources, target: Targets) -> RayValues:
        """The exact integral of the shape's value along the straight segments from `source` to `target`.

        Args:
            source: (B, 1 or N, 3) start points in world mm; they may lie inside the shape.
            target: (B, N, 3) end points in world mm; they may lie inside the shape.

        Returns:
            (B, N) line integrals in value x mm, in the dtype and on the device of `target`; computed in float64 and
            differentiable with respect to the end points and to the shape's own tensors.

        Raises:
            ValueError: if the points are not (B, 1 or N, 3) and (B, N, 3).
        """
        if source.ndim != 3 or target.ndim != 3 or source.shape[-1] != 3 or target.shape[-1] != 3:
            raise ValueError(
                f"expected source (B, 1 or N, 3) and target (B, N, 3), got {tuple(source.shape)} and "
                f"{tuple(target.shape)}"
            )
        source64, target64 = source.to(torch.float64), target.to(torch.float64)
        start = self._to_local(source64)
        squared = (target64 - source64).square().sum(-1)
        length = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
        direction = self._to_local(target64) - start
        fraction = self._fraction(start.expand_as(direction), direction)
        return (self._tensors[3].to(fraction.device) * length * fraction).to(target.dtype)

    def evaluate(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "..."]:
        """The shape's value at world points (..., 3), float64."""
        return self._tensors[3].to(points.device) * self._profile(self._to_local(points.to(torch.float64)))

    def voxelize(
        self,
        shape: Sequence[int],
        affine: np.ndarray | Tensor,
        supersample: int = 4,
        dtype: torch.dtype = torch.float32,
    ) -> Voxels:
        """The mean value in each voxel, from `supersample`**3 points a voxel.

        Args:
            shape: (X, Y, Z) number of voxels.
            affine: 4 x 4 voxel_to_world; voxel (i, j, k) fills +-0.5 about that integer point.
            supersample: points along each side of a voxel.
            dtype: dtype of the result; the points are evaluated in float64.

        Raises:
            ValueError: if shape, affine or supersample are not as said above.
        """
        voxel_to_world = torch.as_tensor(affine, dtype=torch.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be three positive integers, got {tuple(shape)}")
        if voxel_to_world.shape != (4, 4):
            raise ValueError(f"affine must be 4 x 4, got {tuple(voxel_to_world.shape)}")
        if supersample < 1:
            raise ValueError(f"supersample must be at least 1, got {supersample}")
        volume = torch.zeros(*shape, dtype=dtype)
        first, last = self._voxel_bounds(torch.linalg.inv(voxel_to_world), shape)
        if any(a >= b for a, b in zip(first, last, strict=True)):
            return volume
        axes = [torch.arange(a, b, dtype=torch.float64) for a, b in zip(first, last, strict=True)]
        index = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
        corner = self._to_local(index @ voxel_to_world[:3, :3].T + voxel_to_world[:3, 3])
        step = self._to_local_vectors(voxel_to_world[:3, :3].T)
        offsets = (torch.arange(supersample, dtype=torch.float64) + 0.5) / supersample - 0.5
        total = torch.zeros(corner.shape[:-1], dtype=torch.float64)
        for offset in product(offsets.tolist(), repeat=3):
            total = total + self._profile(corner + torch.tensor(offset, dtype=torch.float64) @ step)
        mean = self._tensors[3] * total / supersample**3
        inside = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        volume[inside] = mean.to(dtype)
        return volume

    def _to_local_vectors(self, vectors: Tensor) -> Tensor:
        _, extent, rotation, _ = self._tensors
        return vectors @ rotation.to(vectors.device) / extent.to(vectors.device)

    def _to_local(self, points: Tensor) -> Tensor:
        return self._to_local_vectors(points - self._tensors[0].to(points.device))

    def _voxel_bounds(self, world_to_voxel: Tensor, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        """The box of voxels (first, last + 1) that the shape can reach."""
        center, extent, rotation = (v.detach() for v in self._tensors[:3])
        middle = world_to_voxel[:3, :3] @ center + world_to_voxel[:3, 3]
        half = (world_to_voxel[:3, :3] @ rotation * extent).abs().sum(1) * self._reach + 1.0
        first = [max(0, math.floor(v)) for v in (middle - half).tolist()]
        last = [min(n, math.ceil(v) + 1) for n, v in zip(shape, (middle + half).tolist(), strict=True)]
        return first, last

    def _fraction(self, start: Tensor, direction: Tensor) -> Tensor:
        """The mean of the profile over the local segment start + [0, 1] * direction."""
        raise NotImplementedError

    def _profile(self, local: Tensor) -> Tensor:
        raise NotImplementedError


def _closest(start: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor, Bool[Tensor, "..."]]:
    """|direction|**2, the parameter of the line's point closest to the origin, that point's distance**2, and whether
    the segment has a length at all. The closest point avoids the cancellation of b**2 - 4ac for distant sources.
    """
    squared = direction.square().sum(-1)
    proper = squared > 0
    squared = torch.where(proper, squared, 1.0)
    nearest = -(start * direction).sum(-1) / squared
    distance = (start + nearest[..., None] * direction).square().sum(-1)
    return squared, nearest, distance, proper


@dataclass(frozen=True, eq=False)
class Ellipsoid(_Shape):
    """A solid ellipsoid: `value` where |rotation.T (x - center) / semi_axes| < 1, else 0.

    Args:
        center: (3,) in world mm.
        semi_axes: (3,) in mm, along the columns of `rotation`.
        rotation: (3, 3), the ellipsoid's frame to the world's; identity by default.
        value: what it is filled with.

    Raises:
        ValueError: if a length is not positive, the rotation is not one, or a shape is wrong.
    """

    center: Triple
    semi_axes: Triple
    rotation: Rotation = None
    value: float | int | Tensor = 1.0

    _extent = "semi_axes"

    def _fraction(self, start: Tensor, direction: Tensor) -> Tensor:
        squared, nearest, distance, proper = _closest(start, direction)
        hit = proper & (distance < 1)
        half = (torch.where(hit, 1 - distance, 1.0) / squared).sqrt()
        chord = (nearest + half).clamp(0, 1) - (nearest - half).clamp(0, 1)
        return torch.where(hit, chord, 0.0)

    def _profile(self, local: Tensor) -> Tensor:
        return (local.square().sum(-1) < 1).to(local.dtype)


@dataclass(frozen=True, eq=False)
class Box(_Shape):
    """A solid box: `value` where every |rotation.T (x - center)| <= half_extents, else 0.

    A face belongs to the box on its negative sides only, so boxes laid face to face count a ray in the face once.

    Args:
        center: (3,) in world mm.
        half_extents: (3,) half the edge lengths in mm, along the columns of `rotation`.
        rotation: (3, 3), the box's frame to the world's; identity by default.
        value: what it is filled with.

    Raises:
        ValueError: if a length is not positive, the rotation is not one, or a shape is wrong.
    """

    center: Triple
    half_extents: Triple
    rotation: Rotation = None
    value: float | int | Tensor = 1.0

    _extent = "half_extents"

    def _fraction(self, start: Tensor, direction: Tensor) -> Tensor:
        parallel = direction == 0
        slope = torch.where(parallel, 1.0, direction)
        at_low, at_high = (-1 - start) / slope, (1 - start) / slope
        enter = torch.where(parallel, 0.0, torch.minimum(at_low, at_high)).amax(-1).clamp(0, 1)
        leave = torch.where(parallel, 1.0, torch.maximum(at_low, at_high)).amin(-1).clamp(0, 1)
        beside = (parallel & ~((start >= -1) & (start < 1))).any(-1)
        return torch.where(beside, 0.0, (leave - enter).clamp_min(0))

    def _profile(self, local: Tensor) -> Tensor:
        return ((local >= -1) & (local < 1)).all(-1).to(local.dtype)


@dataclass(frozen=True, eq=False)
class Gaussian(_Shape):
    """A smooth blob: value * exp(-|rotation.T (x - center) / sigma|**2 / 2).

    Args:
        center: (3,) in world mm.
        sigma: (3,) standard deviations in mm, along the columns of `rotation`.
        rotation: (3, 3), the blob's frame to the world's; identity by default.
        value: its height.

    Raises:
        ValueError: if a length is not positive, the rotation is not one, or a shape is wrong.
    """

    center: Triple
    sigma: Triple
    rotation: Rotation = None
    value: float | int | Tensor = 1.0

    _extent = "sigma"
    _reach = 7.5  # exp(-7.5**2 / 2) < 1e-12

    def _fraction(self, start: Tensor, direction: Tensor) -> Tensor:
        squared, nearest, distance, proper = _closest(start, direction)
        steepness = (squared / 2).sqrt()
        mass = torch.erf(steepness * (1 - nearest)) + torch.erf(steepness * nearest)
        integral = math.sqrt(math.pi) / 2 / steepness * mass * torch.exp(-distance / 2)
        return torch.where(proper, integral, 0.0)

    def _profile(self, local: Tensor) -> Tensor:
        return torch.exp(-local.square().sum(-1) / 2)


@dataclass(frozen=True, eq=False)
class Phantom:
    """A sum of shapes: their values add where they overlap.

    Attributes:
        shapes: boxes, ellipsoids, Gaussians and phantoms.

    Raises:
        TypeError: something that is no shape.
    """

    shapes: Sequence["_Shape | Phantom"] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        shapes = tuple(self.shapes)
        wrong = [type(shape).__name__ for shape in shapes if not isinstance(shape, (_Shape, Phantom))]
        if wrong:
            raise TypeError(f"a Phantom is made of shapes, got {', '.join(wrong)}")
        object.__setattr__(self, "shapes", shapes)

    def __iter__(self) -> Iterator["_Shape | Phantom"]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    def line_integrals(self, source: Sources, target: Targets) -> RayValues:
        """The exact line integrals of the sum: arguments, result and errors are those of `Ellipsoid.line_integrals`."""
        zero = torch.zeros(target.shape[:2], dtype=torch.float64, device=target.device)
        source64, target64 = source.to(torch.float64), target.to(torch.float64)
        return sum((shape.line_integrals(source64, target64) for shape in self), zero).to(target.dtype)

    def evaluate(self, points: Float[Tensor, "... 3"]) -> Float[Tensor, "..."]:
        """The sum of the values at world points (..., 3), float64."""
        zero = torch.zeros(points.shape[:-1], dtype=torch.float64, device=points.device)
        return sum((shape.evaluate(points) for shape in self), zero)

    def voxelize(
        self,
        shape: Sequence[int],
        affine: np.ndarray | Tensor,
        supersample: int = 4,
        dtype: torch.dtype = torch.float32,
    ) -> Voxels:
        """The mean value in each voxel: arguments and errors are those of `Ellipsoid.voxelize`."""
        zero = torch.zeros(*shape, dtype=torch.float64)
        return sum((part.voxelize(shape, affine, supersample, torch.float64) for part in self), zero).to(dtype)


# value, semi-axes, centre (fractions of the head's radius), rotation about z in degrees
_SHEPP_LOGAN = (
    (1.0, (0.69, 0.92, 0.81), (0.0, 0.0, 0.0), 0.0),
    (-0.8, (0.6624, 0.874, 0.78), (0.0, -0.0184, 0.0), 0.0),
    (-0.2, (0.11, 0.31, 0.22), (0.22, 0.0, 0.0), -18.0),
    (-0.2, (0.16, 0.41, 0.28), (-0.22, 0.0, 0.0), 18.0),
    (0.1, (0.21, 0.25, 0.41), (0.0, 0.35, -0.15), 0.0),
    (0.1, (0.046, 0.046, 0.05), (0.0, 0.1, 0.25), 0.0),
    (0.1, (0.046, 0.046, 0.05), (0.0, -0.1, 0.25), 0.0),
    (0.1, (0.046, 0.023, 0.05), (-0.08, -0.605, 0.0), 0.0),
    (0.1, (0.023, 0.023, 0.02), (0.0, -0.606, 0.0), 0.0),
    (0.1, (0.023, 0.046, 0.02), (0.06, -0.605, 0.0), 0.0),
)


def shepp_logan(radius: float | int = 100.0) -> Phantom:
    """The three-dimensional Shepp-Logan head of ten ellipsoids, inside a ball of `radius` mm about the origin.

    The layout in the plane z = 0 and its rotations are those of Kak and Slaney, Principles of Computerized Tomographic
    Imaging (IEEE Press 1988), section 3.2; the contrasts are Toft's (1996) and the third dimension is that of
    Schabel's phantom3d (2006). Values run from 0 to 1; the brain is 0.2.

    Raises:
        ValueError: if the radius is not positive.
    """
    if not radius > 0:
        raise ValueError(f"radius must be positive, got {radius}")
    parts = []
    for value, semi_axes, center, degrees in _SHEPP_LOGAN:
        about_z = torch.tensor([0.0, 0.0, math.radians(degrees)], dtype=torch.float64)
        rotation = roma.rotvec_to_rotmat(about_z)
        parts.append(Ellipsoid([radius * c for c in center], [radius * a for a in semi_axes], rotation, value))
    return Phantom(parts)
