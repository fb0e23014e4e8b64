"""One march for everyone: the only place that chooses between rays in memory and kernels that make them.

```python
volume = Prepared.of(density, world_to_voxel)
image = march(volume, views, Marching("joseph"))
image, derivatives = march_with_jacobian(volume, views, Marching("joseph"))
volume = spread(image, volume, views, Marching("joseph"))  # the exact adjoint
images = march_materials(Prepared.of(fractions, world_to_voxel), views)  # (view, material, ray)
```

On a GPU cameras are marched by kernels that make the rays themselves (`raygrad.kernels.project_cameras`): an image is
one launch, and nothing is stored for each ray. Elsewhere, and for rays that are no camera's, the rays are made first.
`DRR`, `Projector`, registration, calibration and landscapes all come here, so all of them gain what is gained here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad import kernels
from raygrad.geometry import RayViews, Views, motion_derivatives
from raygrad.types import Affine, Labels, RayImages, RayJacobians, Sources, Targets, VoxelGrid

__all__ = [
    "Prepared",
    "Marching",
    "march",
    "march_with_jacobian",
    "march_materials",
    "march_materials_with_jacobian",
    "Derivatives",
    "Bodies",
    "spread",
]


@dataclass(frozen=True)
class Marching:
    """How rays are marched.

    Attributes:
        renderer: "siddon" (exact for voxels of constant value), "joseph" (one bilinear sample a slab: smooth in the
            pose) or "trilinear" (`n_points` samples a ray), see `raygrad.kernels.project`.
        n_points: samples a ray of "trilinear".
        reducefn: "sum" for line integrals, "max" for the greatest value on the ray.
        backend: which kernels march, see `raygrad.kernels.choose_backend`.

    Raises:
        ValueError: an unknown renderer or reduction, or no points.
    """

    renderer: str = "joseph"
    n_points: int = 500
    reducefn: str = "sum"
    backend: str = "auto"

    def __post_init__(self) -> None:
        known = {"renderer": kernels.RENDERERS, "reducefn": kernels.REDUCTIONS}
        for name, names in known.items():
            if getattr(self, name) not in names:
                raise ValueError(f"Expected {name} to be one of {', '.join(names)}. Got {getattr(self, name)!r}.")
        if self.n_points < 1:
            raise ValueError(f"Expected n_points of at least 1. Got {self.n_points}.")

    def replaced(self, **changes: Any) -> "Marching":
        """The same but for these."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A volume ready to be marched through.

    Attributes:
        values: of the voxels, (x, y, z) or one volume for each view (view, x, y, z); for `march_materials` one for each
            material (material, x, y, z).
        world_to_voxel: the affine map from mm to voxel coordinates, in float64.
        occupancy: where `values` are empty, which marches skip; None to march through everything.
        labels: (x, y, z) integers: each label gets its own channel.
        n_channels: number of labels, 0 included; by default the largest and one.
    """

    values: VoxelGrid
    world_to_voxel: Affine
    occupancy: kernels.Occupancy | None = None
    labels: Labels | None = None
    n_channels: int | None = None

    @classmethod
    def of(cls, values: VoxelGrid, world_to_voxel: Affine, **labels: Any) -> "Prepared":
        """A volume whose empty bricks are found now, once for all marches.

        Args:
            values, world_to_voxel: as the attributes.
            labels: `labels` and `n_channels`, where structures shall be told apart.

        Raises:
            ValueError: a voxel is NaN or infinite.
        """
        return cls(values, world_to_voxel, kernels.prepare(values), **labels)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a voxel along each axis in mm."""
        x, y, z = torch.linalg.inv(self.world_to_voxel.cpu())[:3, :3].norm(dim=0).tolist()
        return x, y, z


class Derivatives:
    """The derivatives of every pixel by the two ends of its own ray, and what follows from them by the chain rule.

    Attributes:
        by_ends: (view, channel, ray, 6), by the source's x, y, z and the target's x, y, z in the world, per mm.

    `march_with_jacobian` makes them of the views, and of their rays where it has made those.
    """

    def __init__(self, by_ends: RayJacobians, views: Views, rays: tuple[Sources, Targets] | None) -> None:
        self.by_ends = by_ends
        self._views, self._rays = views, rays

    @cached_property
    def ends(self) -> tuple[Sources, Targets]:
        """Sources and targets of the rays, in the dtype of the derivatives; made now if the march did without."""
        return _rays_of(self._views, self.by_ends) if self._rays is None else self._rays

    def by_motion(self, pivot: Float[Tensor, " 3"], channel: int = 0) -> Float[Tensor, "view 6 ray"]:
        """By the twist [v | w] (mm, radians) that moves all rays of a view: x -> x + v + w x (x - pivot).

        Args:
            pivot: the point of the world that rotations leave in place, in mm.
            channel: the structure that is looked at.
        """
        source, target = self.ends
        return motion_derivatives(self.by_ends[:, channel], source, target, pivot.to(source))

    def by_targets(
        self, directions: Float[Tensor, "view ray direction 3"], channel: int = 0
    ) -> Float[Tensor, "view direction ray"]:
        """By moves of the targets alone, as intrinsics move them.

        Args:
            directions: how each target moves for a unit of each unknown, in mm.
            channel: the structure that is looked at.
        """
        return (self.by_ends[:, channel, :, None, 3:] * directions).sum(-1).mT


@runtime_checkable
class Bodies(Protocol):
    """Several bodies that are seen in one image."""

    def __len__(self) -> int:
        """Number of bodies."""

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """What every view sees of all bodies, (view, 1, ray).

        Args:
            views: for each body the same views, in the frame of that body.
            marching: how rays are marched.
        """

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """Images as from `march`, and their derivatives by the ends of the rays in the frame of each body.

        Args:
            views, marching: as for `march`.
        """

    def coarser(self, pixel: float) -> "Bodies":
        """The bodies for coarse images: volumes averaged, solids as they are.

        Args:
            pixel: size of a pixel as it is seen at the bodies, in mm.
        """


def march(volume: Prepared, views: Views, marching: Marching = Marching()) -> RayImages:
    """What every view sees of a volume, differentiable by its values and by whatever makes the rays.

    Args:
        volume: what is looked at.
        views: where from.
        marching: how rays are marched.

    Returns:
        (view, channel, ray), rays row by row: value x mm for sums, value for maxima; as `raygrad.kernels.project`.

    Raises:
        TypeError, ValueError, torch.cuda.OutOfMemoryError: as `raygrad.kernels.project`.
    """
    if (cameras := _cameras_of(volume.values, views, marching)) is not None:
        return kernels.project_cameras(volume.values, **cameras, **_options(volume, marching))
    source, target = views.to(volume.values.device).rays()
    return kernels.project(volume.values, source, target, **_options(volume, marching), **_width(views))


def march_with_jacobian(
    volume: Prepared, views: Views, marching: Marching = Marching()
) -> tuple[RayImages, Derivatives]:
    """Images as from `march`, and the derivatives of every pixel, from the same march. Errors are those of `march`."""
    if (cameras := _cameras_of(volume.values, views, marching)) is not None:
        image, by_ends = kernels.project_cameras_with_jacobian(volume.values, **cameras, **_options(volume, marching))
        return image, Derivatives(by_ends, views, None)
    source, target = views.to(volume.values.device).rays()
    options = _options(volume, marching) | _width(views)
    image, by_ends = kernels.project_with_jacobian(volume.values, source, target, **options)
    return image, Derivatives(by_ends, views, (source.to(by_ends), target.to(by_ends)))


def march_materials(volume: Prepared, views: Views, marching: Marching = Marching()) -> RayImages:
    """What every view sees of each of several volumes on one grid, such as a body's materials.

    Every ray is followed once for all of them. Each image is that of `march` through its volume, on a CPU to the bit.

    Args:
        volume: its values are (material, x, y, z).
        views: where from; all of them see all volumes.
        marching: how rays are marched.

    Returns:
        (view, material, ray), as from `march`, differentiable by the same.

    Raises:
        TypeError, ValueError, torch.cuda.OutOfMemoryError: as `march`; values of another shape, labels, or no view.
    """
    _check_materials(volume, views)
    return _of_views([march(volume, view, marching)[:, 0] for view in _one_by_one(views)])


def march_materials_with_jacobian(
    volume: Prepared, views: Views, marching: Marching = Marching()
) -> tuple[RayImages, Derivatives]:
    """Images as from `march_materials`, and the derivatives of every pixel, from the same march.

    Returns:
        The images (view, material, ray) and their derivatives, whose channels are the materials.

    Arguments and errors are those of `march_materials`.
    """
    _check_materials(volume, views)
    found = [march_with_jacobian(volume, view, marching) for view in _one_by_one(views)]
    image = _of_views([image[:, 0] for image, _ in found])
    return image, Derivatives(_of_views([derivatives.by_ends[:, 0] for _, derivatives in found]), views, None)


def _check_materials(volume: Prepared, views: Views) -> None:
    if volume.values.dim() != 4:
        shape = tuple(volume.values.shape)
        raise ValueError(f"Expected the volumes of materials in one tensor (material, x, y, z). Got shape {shape}.")
    if volume.labels is not None:
        raise ValueError("Expected materials without labels: each is a channel of its own. Got labels.")
    if len(views) == 0:
        raise ValueError("Expected at least one view. Got none.")


def _one_by_one(views: Views) -> list[Views]:
    return [views[number : number + 1] for number in range(len(views))]


def _of_views(values: list[Tensor]) -> Tensor:
    return values[0][None] if len(values) == 1 else torch.stack(values)


def spread(
    images: RayImages,
    volume: Prepared,
    views: Views,
    marching: Marching = Marching(),
    out: VoxelGrid | None = None,
) -> VoxelGrid:
    """The exact adjoint of `march`: every pixel's value over the voxels that its ray reads.

    Args:
        images: (view, channel, ray).
        volume: gives shape, dtype and memory order of the result; its values are not read.
        views, marching: as for `march`; sums only.
        out: where to write the result, as for `raygrad.kernels.backproject`.

    Raises:
        TypeError, ValueError: as `raygrad.kernels.backproject`.
    """
    options = _options(volume, marching)
    del options["occupancy"], options["reducefn"]
    if (cameras := _cameras_of(volume.values, views, marching)) is not None:
        return kernels.backproject_cameras(images, volume.values, **cameras, **options, out=out)
    source, target = views.to(images.device).rays()
    return kernels.backproject(images, volume.values, source, target, **options, **_width(views), out=out)


def _options(volume: Prepared, marching: Marching) -> dict[str, Any]:
    """What all kernels ask for beside the volume and the rays."""
    return {
        "world_to_voxel": volume.world_to_voxel,
        "labels": volume.labels,
        "n_channels": volume.n_channels,
        "occupancy": volume.occupancy,
        "renderer": marching.renderer,
        "n_points": marching.n_points,
        "reducefn": marching.reducefn,
        "backend": marching.backend,
    }


def _cameras_of(values: Tensor, views: Views, marching: Marching) -> dict[str, Any] | None:
    """The views as cameras where kernels make the rays, on a GPU; None where rays are made first."""
    if kernels.choose_backend(marching.backend, values, marching.renderer) != "gpu":
        return None
    cameras = views.to(values.device).cameras()
    if cameras is None:
        return None
    height, width = views.image_shape
    return {**cameras._asdict(), "height": height, "width": width}


def _rays_of(views: Views, like: Tensor) -> tuple[Sources, Targets]:
    """The rays on the device of a volume or images, and in the dtype of their sums."""
    source, target = views.to(like.device).rays()
    dtype = kernels.sums_in(like.dtype)
    return source.to(dtype), target.to(dtype)


def _width(views: Views) -> dict[str, Any]:
    """The number of columns of an image, which marching makes use of; nothing where rays are no image."""
    return {} if isinstance(views, RayViews) and views.shape is None else {"image_width": views.image_shape[1]}
