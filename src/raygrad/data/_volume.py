"""A sampled scalar field and where its voxels lie in the world."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._affine import as_affine, corners_of
from raygrad._memory import x_fastest

_TORCH_TYPE_OF = {
    "uint16": np.int32,
    "uint32": np.int64,
    "uint64": np.int64,
    "bool": np.uint8,
}  # torch computes little in these


@dataclass(frozen=True, eq=False, init=False)
class Volume:
    """An image on a regular grid, with the map from voxel indices to patient coordinates.

    `data` has shape (1, X, Y, Z) and may have any strides; files and SimpleITK arrays are x-fastest in memory, and
    that order is kept under the [x, y, z] index. `affine` is the 4x4 `voxel_to_world` matrix in float64: voxel
    (i, j, k) has its centre at the integer point (i, j, k) and fills half a voxel about it; the world is RAS+ in mm.

    Args:
        data: a tensor or array of shape (X, Y, Z) or (1, X, Y, Z), of real numbers, all finite. It is not copied
            unless its type is one that torch does not compute in (uint16 becomes int32).
        affine: an invertible 4x4 matrix whose last row is (0, 0, 0, 1).

    Raises:
        TypeError: the data are not a tensor or array of real numbers.
        ValueError: the shape, a value, or the affine is not as described above.
    """

    data: Shaped[Tensor, "1 x y z"]
    affine: Float[np.ndarray, "4 4"]

    def __init__(self, data: Tensor | np.ndarray, affine: Tensor | np.ndarray) -> None:
        object.__setattr__(self, "data", _as_image(data))
        object.__setattr__(self, "affine", as_affine(affine))

    @property
    def voxels(self) -> Shaped[Tensor, "x y z"]:
        """The data without the leading channel: a view of shape (X, Y, Z)."""
        return self.data[0]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape (1, X, Y, Z) of `data`."""
        return (1, *self.spatial_shape)

    @property
    def spatial_shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        _, x, y, z = self.data.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxel centres along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def orientation(self) -> tuple[str, str, str]:
        """The patient direction that each voxel axis points to most closely, such as ('R', 'A', 'S')."""
        names = ["", "", ""]
        for world_axis, (voxel_axis, flipped) in enumerate(_closest_axes(self.affine)):
            names[voxel_axis] = ("RAS", "LPI")[flipped][world_axis]
        return names[0], names[1], names[2]

    @property
    def voxel_to_world(self) -> Float[Tensor, "4 4"]:
        """The affine as a float64 tensor on the CPU."""
        return torch.tensor(self.affine)

    @property
    def world_to_voxel(self) -> Float[Tensor, "4 4"]:
        """The inverse of the affine as a float64 tensor on the CPU."""
        return torch.tensor(np.linalg.inv(self.affine))

    def get_center(self) -> tuple[float, float, float]:
        """World coordinates in mm of the volume's isocentre, the middle of its voxel box."""
        x, y, z = self._to_world((np.array(self.spatial_shape) - 1) / 2).tolist()
        return x, y, z

    def get_bounds(self) -> tuple[tuple[float, float], ...]:
        """Smallest and largest world coordinate in mm, per world axis, of the box that the voxels fill."""
        corners = self._to_world(corners_of(self.spatial_shape, margin=0.5))
        return tuple(zip(corners.min(0).tolist(), corners.max(0).tolist(), strict=True))

    def moved(self, world_to_world: Tensor | np.ndarray) -> "Volume":
        """The same voxels after a 4x4 matrix has mapped the world: `affine` becomes `world_to_world @ affine`."""
        return _unchecked(self.data, as_affine(as_affine(world_to_world) @ self.affine))

    def to_canonical(self) -> "Volume":
        """The same image with its axes permuted and flipped to the closest RAS+ order, x-fastest in memory.

        World geometry does not change; an oblique affine stays oblique. Nothing is copied where nothing is to do.
        """
        axes = _closest_axes(self.affine)
        order = [voxel_axis for voxel_axis, _ in axes]
        flipped = [axis for axis, (_, flip) in enumerate(axes) if flip]
        voxels = self.voxels.permute(order)
        canonical_to_voxel = np.zeros((4, 4))
        canonical_to_voxel[3, 3] = 1
        for axis, (voxel_axis, flip) in enumerate(axes):
            canonical_to_voxel[voxel_axis, axis] = -1 if flip else 1
            canonical_to_voxel[voxel_axis, 3] = voxels.shape[axis] - 1 if flip else 0
        voxels = x_fastest(voxels)
        return _unchecked((voxels.flip(flipped) if flipped else voxels)[None], self.affine @ canonical_to_voxel)

    def has_grid_of(self, other: "Volume") -> bool:
        """Whether both have the same shape and no voxel centre is further apart than a hundredth of a voxel."""
        if self.spatial_shape != other.spatial_shape:
            return False
        corners = corners_of(self.spatial_shape)
        apart = np.linalg.norm(self._to_world(corners) - other._to_world(corners), axis=-1)
        return bool(apart.max() <= 0.01 * min(other.spacing))

    def _to_world(self, points: np.ndarray) -> np.ndarray:
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def __repr__(self) -> str:
        """Shape, type, spacing and orientation in one line."""
        spacing = " x ".join(f"{length:.6g}" for length in self.spacing)
        shape = " x ".join(map(str, self.spatial_shape))
        return f"Volume({shape} voxels of {spacing} mm, {''.join(self.orientation)}, {self.data.dtype})"


def _unchecked(data: Tensor, affine: np.ndarray) -> Volume:
    """A Volume of what another one has checked already, which spares a pass over the voxels."""
    volume = object.__new__(Volume)
    object.__setattr__(volume, "data", data)
    object.__setattr__(volume, "affine", affine)
    return volume


def _as_image(data: Tensor | np.ndarray) -> Tensor:
    if isinstance(data, np.ndarray):
        data = _as_tensor(data)
    if not isinstance(data, Tensor):
        raise TypeError(f"Expected the voxels as a torch.Tensor or numpy.ndarray. Got {type(data).__name__}.")
    if data.is_complex():
        raise TypeError(f"Expected real voxel values. Got {data.dtype}.")
    shape = tuple(data.shape)
    data = data[None] if data.ndim == 3 else data
    if data.ndim != 4 or data.shape[0] != 1:
        raise ValueError(f"Expected a 3D volume of shape (X, Y, Z) or (1, X, Y, Z). Got shape {shape}.")
    if data.numel() == 0:
        raise ValueError(f"Expected at least one voxel. Got shape {shape}.")
    if data.is_floating_point() and not torch.isfinite(data.detach().sum()):  # the sum is one pass without a temporary
        wrong = int((~torch.isfinite(data.detach())).sum())  # none if only the sum went over the range of its type
        if wrong:
            raise ValueError(f"Expected finite voxel values. Got {wrong} that are NaN or infinite.")
    return data


def _as_tensor(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"Expected voxels of one real number each. Got an array of type {array.dtype}.")
    array = array.astype(_TORCH_TYPE_OF.get(array.dtype.name, array.dtype.newbyteorder("=")), order="K", copy=False)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy(order="K")
    return torch.from_numpy(array)


def _closest_axes(affine: np.ndarray) -> list[tuple[int, bool]]:
    """For each world axis, the voxel axis that follows it most closely, and whether that one runs against it."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best = max(
        permutations(range(3)), key=lambda order: sum(abs(cosines[row, column]) for row, column in enumerate(order))
    )
    return [(column, bool(cosines[row, column] < 0)) for row, column in enumerate(best)]
