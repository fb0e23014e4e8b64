"""Where the voxels of a volume lie, without the volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._affine import as_affine, corners_of
from raygrad.data import Volume
from raygrad.types import Affine, Vectors


@dataclass(frozen=True, eq=False, init=False)
class VolumeGeometry:
    """A regular grid of voxels in the world (RAS+ mm): what a volume has beside its values.

    Args:
        shape: number of voxels along x, y and z.
        voxel_to_world: 4 x 4 affine map; voxel (i, j, k) has its centre at that point and fills half a voxel about it.

    Raises:
        TypeError, ValueError: the shape is not three whole numbers of at least 1, or the map cannot be inverted.
    """

    shape: tuple[int, int, int]
    voxel_to_world: Affine

    def __init__(self, shape: Sequence[int], voxel_to_world: Any) -> None:
        if len(shape) != 3 or not all(hasattr(n, "__index__") and n >= 1 for n in shape):
            raise ValueError(f"Expected a shape of three whole numbers of at least 1. Got {tuple(shape)}.")
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "voxel_to_world", torch.tensor(as_affine(voxel_to_world)))

    @classmethod
    def centred(
        cls,
        shape: Sequence[int],
        spacing: float | int | Sequence[float | int],
        centre: Sequence[float | int] = (0.0, 0.0, 0.0),
    ) -> "VolumeGeometry":
        """A grid along the world's axes.

        Args:
            shape: number of voxels along x, y and z.
            spacing: size of a voxel in mm, one for all axes or one for each.
            centre: where its middle lies in the world, in mm.

        Raises:
            ValueError: spacings that are not positive, or no three numbers for three axes.
        """
        spacings = [float(spacing)] * 3 if isinstance(spacing, int | float) else [float(length) for length in spacing]
        if len(spacings) != 3 or not all(length > 0 for length in spacings) or len(centre) != 3:
            raise ValueError(f"Expected positive spacings and a centre of x, y, z in mm. Got {spacing} and {centre}.")
        voxel_to_world = torch.diag(torch.tensor([*spacings, 1.0], dtype=torch.float64))
        middle = (torch.tensor(list(shape), dtype=torch.float64) - 1) / 2
        voxel_to_world[:3, 3] = torch.tensor(list(centre), dtype=torch.float64) - middle * voxel_to_world.diag()[:3]
        return cls(shape, voxel_to_world)

    @classmethod
    def of(cls, volume: Any) -> "VolumeGeometry":
        """The grid of a `Volume`, or of a `Subject`'s or a `DRR`'s; a `VolumeGeometry` is returned as it is.

        Raises:
            TypeError: `volume` is none of these.
        """
        if isinstance(volume, cls):
            return volume
        volume = getattr(volume, "subject", volume)
        volume = getattr(volume, "volume", volume)
        if not isinstance(volume, Volume):
            raise TypeError(f"Expected a VolumeGeometry, Volume, Subject or DRR. Got {type(volume).__name__}.")
        return cls(volume.spatial_shape, volume.affine)

    @property
    def world_to_voxel(self) -> Affine:
        """The inverse of `voxel_to_world`."""
        return torch.linalg.inv(self.voxel_to_world)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxel centres along each axis."""
        x, y, z = self.voxel_to_world[:3, :3].norm(dim=0).tolist()
        return x, y, z

    @property
    def centre(self) -> Float[Tensor, "3"]:
        """The middle of the grid in the world."""
        return self.corners().mean(dim=0)

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def corners(self) -> Vectors:
        """The eight corners (8, 3), in the world, of the box that the voxels fill."""
        corners = torch.from_numpy(corners_of(self.shape, margin=0.5))
        return corners @ self.voxel_to_world[:3, :3].T + self.voxel_to_world[:3, 3]

    def clip(self, source: Float[Tensor, "*ray 3"], target: Float[Tensor, "*ray 3"]) -> Float[Tensor, "*ray 2 3"]:
        """The ends of what straight ways have in the box that the voxels fill, in the world in mm.

        Args:
            source: where each begins.
            target: where each ends.

        Returns:
            The end nearer to the source and the other one; NaN where a way misses the box.
        """
        to_voxel = self.world_to_voxel.to(source)
        begin, end = (points @ to_voxel[:3, :3].T + to_voxel[:3, 3] for points in (source, target))
        low, high = begin.new_full((3,), -0.5), begin.new_tensor(self.shape) - 0.5
        along = end - begin
        still = along == 0
        one, other = ((face - begin) / along.where(~still, 1.0) for face in (low, high))
        outside = still & ((begin < low) | (begin > high))
        enters = torch.minimum(one, other).where(~still, -torch.inf).amax(-1).clamp(min=0)
        leaves = torch.maximum(one, other).where(~still, torch.inf).amin(-1).clamp(max=1)
        shares = torch.stack([enters, leaves], dim=-1)
        shares = shares.where((enters < leaves)[..., None] & ~outside.any(-1)[..., None], torch.nan)
        return source[..., None, :] + shares[..., None] * (target - source)[..., None, :]

    def zeros(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Float[Tensor, "x y z"]:
        """A volume of zeros of this dtype on this device.

        It is z-fastest in memory: what scans about the z axis are marched fastest through.
        """
        return torch.zeros(self.shape, dtype=dtype, device=device)

    def coarser(self, factor: float | int) -> "VolumeGeometry":
        """The same box in voxels about `factor` times as long (their number is rounded up).

        Raises:
            ValueError: the factor is not positive.
        """
        if not factor > 0:
            raise ValueError(f"Expected a positive factor. Got {factor}.")
        shape = [max(1, -int(-n // factor)) for n in self.shape]
        voxel_to_world = self.voxel_to_world.clone()
        for axis, (fine, coarse) in enumerate(zip(self.shape, shape, strict=True)):
            voxel_to_world[:3, axis] *= fine / coarse
        first_corner = self.corners()[0]
        voxel_to_world[:3, 3] = first_corner + voxel_to_world[:3, :3].sum(dim=1) / 2
        return VolumeGeometry(shape, voxel_to_world)

    def moved(self, motion: Any) -> "VolumeGeometry":
        """The same grid after a motion of the world: a `RigidTransform` of one, or a 4 x 4 affine matrix in mm."""
        world_to_world = as_affine(motion.matrix[0] if hasattr(motion, "matrix") else motion)
        return VolumeGeometry(self.shape, world_to_world @ self.voxel_to_world.numpy())

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same shape and lies at the same place, to the last bit."""
        if not isinstance(other, VolumeGeometry):
            return NotImplemented
        return self.shape == other.shape and torch.equal(self.voxel_to_world, other.voxel_to_world)

    def __hash__(self) -> int:
        return hash(self.shape)

    def to_volume(self, voxels: Float[Tensor, "x y z"]) -> Volume:
        """These values as a `Volume` that can be saved and rendered.

        Raises:
            ValueError: the values are on another grid.
        """
        if tuple(voxels.shape) != self.shape:
            raise ValueError(f"Expected voxels of shape {self.shape}. Got {tuple(voxels.shape)}.")
        return Volume(voxels.detach().cpu(), self.voxel_to_world)

    def __repr__(self) -> str:
        """Shape and spacing in one line."""
        shape, spacing = " x ".join(map(str, self.shape)), " x ".join(f"{length:.6g}" for length in self.spacing)
        return f"VolumeGeometry({shape} voxels of {spacing} mm)"
