"""Projections from cameras: as `project`, for the rays of every pixel of an image."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64
from raygrad.kernels._backends import choose_backend, sums_in
from raygrad.kernels._checks import can_read, check_cotangent, check_floating, check_out, check_volume
from raygrad.kernels._far import FAR, reach_of, warn_of_coarse_rays
from raygrad.kernels._occupancy import Occupancy
from raygrad.kernels._ops import cameras as camera_ops
from raygrad.kernels._ops.marches import images_of
from raygrad.kernels._project import backproject, project, project_with_jacobian
from raygrad.kernels._rays import PixelMaps, rays_of_cameras
from raygrad.types import Affine, Labels, Matrices, RayImages, RayJacobians, VoxelGrid


def project_cameras(
    volume: VoxelGrid,
    camera_to_world: Matrices,
    pixel_to_camera: PixelMaps,
    world_to_voxel: Affine,
    *,
    height: int,
    width: int,
    labels: Labels | None = None,
    backend: str = "auto",
    **options: Any,
) -> RayImages:
    """Integrate a volume along the rays of every pixel of cameras, differentiable by volume, pose and pixels.

    On a GPU the rays are made where they are marched along: an image is one launch, nothing is stored for each ray, and
    the gradient for a pose needs no second march. Elsewhere the rays are made, and `project` is called.

    Args:
        volume: voxel values, (x, y, z) or (batch, x, y, z); several volumes (volume, x, y, z) for a batch of 1.
        camera_to_world: poses, (batch, 4, 4), whose last rows are 0, 0, 0, 1.
        pixel_to_camera: (1 or batch, 4, 4) with the same last row, in mm. It takes (right, down, 1, 1) to the centre of
            a pixel, `right` columns and `down` rows from the middle of the image, and (0, 0, 0, 1) to the source.
        world_to_voxel: as in `project`.
        height, width: rows and columns of the images.
        labels, backend, options: as in `project`: renderer, n_points, n_channels, reducefn, occupancy.

    Returns:
        (batch or volume, channel, height * width), rows one after the other.

    Raises:
        TypeError, ValueError, torch.cuda.OutOfMemoryError: as `project`.
    """
    cameras = (camera_to_world, pixel_to_camera)
    options |= {"labels": labels, "backend": backend, "height": height, "width": width}
    return _project(camera_ops.march_cameras, project, volume, *cameras, world_to_voxel, **options)


def project_cameras_with_jacobian(
    volume: VoxelGrid,
    camera_to_world: Matrices,
    pixel_to_camera: PixelMaps,
    world_to_voxel: Affine,
    *,
    height: int,
    width: int,
    labels: Labels | None = None,
    backend: str = "auto",
    **options: Any,
) -> tuple[RayImages, RayJacobians]:
    """Image as from `project_cameras`, and every ray's derivative by its own end points, from the same march.

    Arguments and errors are those of `project_cameras`; what is returned is that of `project_with_jacobian`.
    """
    cameras = (camera_to_world, pixel_to_camera)
    options |= {"labels": labels, "backend": backend, "height": height, "width": width}
    march = camera_ops.march_cameras_with_jacobian
    return _project(march, project_with_jacobian, volume, *cameras, world_to_voxel, **options)


def backproject_cameras(
    cotangent: RayImages,
    volume: VoxelGrid,
    camera_to_world: Matrices,
    pixel_to_camera: PixelMaps,
    world_to_voxel: Affine,
    *,
    height: int,
    width: int,
    labels: Labels | None = None,
    backend: str = "auto",
    out: VoxelGrid | None = None,
    **options: Any,
) -> VoxelGrid:
    """Apply the exact adjoint of `project_cameras`: spread each pixel's value over the voxels that its ray reads.

    Args:
        cotangent: values of the pixels, (batch or volume, channel, height * width), as `project_cameras` returns them.
        volume, out: as in `backproject`.
        camera_to_world, pixel_to_camera, world_to_voxel, height, width, labels, backend: as in `project_cameras`.
        options: renderer, n_points, n_channels.

    Returns:
        Like `volume`, as from `backproject`.

    Raises:
        TypeError, ValueError: as `backproject`.
    """
    cameras = (camera_to_world, pixel_to_camera)
    _check_cameras(volume, *cameras, height, width)
    options |= {"labels": labels}
    if not _on_gpu(volume, backend, options):
        source, target = _rays(*cameras, height, width)
        settings: dict[str, Any] = {"image_width": width, "backend": backend, "out": out}
        return backproject(cotangent, volume, source, target, world_to_voxel, **settings, **options)
    like, options = check_volume(volume, len(camera_to_world), world_to_voxel, **options)
    check_cotangent(cotangent, (images_of(like, camera_to_world), options["n_channels"], height * width))
    settings = {"height": height, "width": width, "backend": "gpu", **options}
    cotangent = cotangent.to(sums_in(volume.dtype))
    if out is None:
        gradient = camera_ops.march_cameras_adjoint(cotangent, like, *cameras, world_to_voxel, **settings)
        return gradient[0] if volume.dim() == 3 else gradient
    check_out(out, volume, cotangent, *cameras)
    into = out.detach() if volume.dim() == 4 else out.detach()[None]
    camera_ops.march_cameras_adjoint_into(cotangent, into, *cameras, world_to_voxel, **settings)
    return out


def _project(
    march: Callable,
    along_rays: Callable,
    volume: Tensor,
    camera_to_world: Tensor,
    pixel_to_camera: Tensor,
    world_to_voxel: Tensor,
    *,
    backend: str,
    height: int,
    width: int,
    occupancy: Occupancy | None = None,
    **options: Any,
) -> Any:
    """March from cameras on a GPU, elsewhere along their rays."""
    _check_cameras(volume, camera_to_world, pixel_to_camera, height, width)
    if not _on_gpu(volume, backend, options):
        rays = _rays(camera_to_world, pixel_to_camera, height, width)
        settings = {"backend": backend, "image_width": width, "occupancy": occupancy}
        return along_rays(volume, *rays, world_to_voxel, **settings, **options)
    volume, options = check_volume(volume, len(camera_to_world), world_to_voxel, **options)
    if occupancy is not None:
        occupancy.for_march_of(volume)  # says if it is another's; a GPU skips nothing
    cameras = (camera_to_world, pixel_to_camera, world_to_voxel)
    return march(volume, *cameras, height=height, width=width, backend="gpu", **options)


def _on_gpu(volume: Tensor, backend: str, options: dict[str, Any]) -> bool:
    return choose_backend(backend, volume, options.get("renderer", "siddon")) == "gpu"


def _rays(camera_to_world: Tensor, pixel_to_camera: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The rays, in the poses' dtype, or where they come from far away in float64: `project` then brings them near."""
    if camera_to_world.dtype != torch.float64 and camera_to_world.device.type not in WITHOUT_FLOAT64:
        reach = reach_of(camera_to_world) + 3 * reach_of(pixel_to_camera) if can_read() else math.inf
        if not reach <= FAR:
            warn_of_coarse_rays(reach if can_read() else 0, camera_to_world)
            camera_to_world = camera_to_world.double()
    return rays_of_cameras(camera_to_world, pixel_to_camera, height, width)


def _check_cameras(volume, camera_to_world, pixel_to_camera, height, width) -> None:
    check_floating(volume=volume, camera_to_world=camera_to_world, pixel_to_camera=pixel_to_camera)
    if camera_to_world.dim() != 3 or camera_to_world.shape[1:] != (4, 4):
        raise ValueError(f"Expected camera_to_world of shape (batch, 4, 4). Got {tuple(camera_to_world.shape)}.")
    if pixel_to_camera.shape not in ((1, 4, 4), camera_to_world.shape):
        expected = f"(1, 4, 4) or {tuple(camera_to_world.shape)}"
        raise ValueError(f"Expected pixel_to_camera of shape {expected}. Got {tuple(pixel_to_camera.shape)}.")
    if height < 1 or width < 1:
        raise ValueError(f"Expected an image of at least 1 x 1 pixels. Got {height} x {width}.")
