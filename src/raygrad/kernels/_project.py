"""Projections along rays, their derivatives and their adjoint: the public functions of the kernels."""

from typing import Any

from raygrad.kernels import _reference as reference
from raygrad.kernels._backends import sums_in
from raygrad.kernels._checks import check_cotangent, check_image, check_out, check_rays
from raygrad.kernels._occupancy import Occupancy
from raygrad.kernels._ops import rays as ops
from raygrad.kernels._ops.marches import images_of
from raygrad.types import Affine, Labels, RayImages, RayJacobians, Sources, Targets, VoxelGrid


def project(
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    renderer: str = "siddon",
    n_points: int = 500,
    labels: Labels | None = None,
    n_channels: int | None = None,
    reducefn: str = "sum",
    image_width: int | None = None,
    occupancy: Occupancy | None = None,
    backend: str = "auto",
) -> RayImages:
    """Integrate a volume along rays from `source` to `target`: the X-ray transform, differentiable.

    Args:
        volume: voxel values, (x, y, z) for all rays or (batch, x, y, z) with one volume per batch entry. Where rays
            have a batch of 1, several volumes (volume, x, y, z) are seen along the same rays, each of which is followed
            once for all of them. Any strides.
        source: where the rays start, world mm, (batch, ray, 3), or (batch, 1, 3) when a batch entry's rays share it.
        target: where the rays end, world mm, (batch, ray, 3).
        world_to_voxel: affine map from world mm to voxel coordinates, in which voxel (i, j, k) has its centre at
            (i, j, k). No gradient flows to it.
        renderer: one of `raygrad.kernels.RENDERERS`. "siddon" is exact for voxels of constant value (Siddon, Med. Phys.
            1985); "joseph" takes one bilinear sample per slab of voxels along the ray's main axis (Joseph, IEEE TMI
            1982); "trilinear" takes `n_points` samples at the middles of equal steps. Both interpolations see zeros
            outside the volume.
        n_points: samples per ray for "trilinear".
        labels: integer labelmap on the volume's grid (uint8, int16, int32 or int64). Each label gets the part of
            the integral that its voxels (for the interpolating renderers: the voxel nearest to each sample) contribute.
        n_channels: number of labels, including 0; default: the largest label + 1.
        reducefn: "sum" for the line integral, "max" for the largest value along the ray (maximum intensity
            projection; not multiplied by any length, never below 0, which is the value outside the volume).
        image_width: columns of the image whose pixels, row by row, the rays are; speeds up marching, changes nothing.
        occupancy: from `prepare(volume)`; lets the march skip empty bricks. Must belong to this volume's values.
        backend: "auto", "cpu", "gpu" or "reference".

    Returns:
        (batch, channel, ray): volume value times mm for "sum", volume value for "max"; one channel without labels. For
        several volumes along the same rays (volume, channel, ray), on a CPU the same bits as from each alone.
        A ray that misses the volume gets exactly 0, with zero derivative. In the volume's dtype, and in float32 for
        float16 and bfloat16, as rays and sums are. Rays may come from as far away as those of parallel beams do: what
        single precision does not place well enough is brought near the volume, along the ray.

        Derivatives are exact, backwards and forwards, also under the transforms of `torch.func`. Compiled kernels give
        first ones, and second ones by the volume alone; what they do not know raises a RuntimeError. The reference is
        differentiable any number of times.

    Raises:
        TypeError: for arguments of the wrong kind or dtype.
        ValueError: for shapes that do not fit, unknown names, rays that are not finite, or NaN or infinite
            voxels on a ray's way. On a GPU values are not looked at, since that would wait for all that it has to
            do: a ray that is not finite, or meets NaN, gives NaN, and a label beyond `n_channels` counts nowhere.
        torch.cuda.OutOfMemoryError: with the memory that was needed, and what to lower.
    """
    options: dict[str, Any] = {
        "renderer": renderer,
        "n_points": n_points,
        "labels": labels,
        "n_channels": n_channels,
        "reducefn": reducefn,
    }
    volume, ends, options, backend = check_rays(volume, source, target, world_to_voxel, backend, **options)
    if backend == "reference":
        image = reference.march(volume, ends.source, ends.target, world_to_voxel, **options)
    else:
        options |= {"backend": backend, "image_width": image_width}
        bricks = None if occupancy is None else occupancy.for_march_of(volume)
        image = ops.march(volume, ends.source, ends.target, world_to_voxel, **options, occupied_bricks=bricks)
    check_image(image, backend)
    return image


def project_with_jacobian(
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    renderer: str = "siddon",
    n_points: int = 500,
    labels: Labels | None = None,
    n_channels: int | None = None,
    reducefn: str = "sum",
    image_width: int | None = None,
    occupancy: Occupancy | None = None,
    backend: str = "auto",
) -> tuple[RayImages, RayJacobians]:
    """Image as from `project`, and every ray's derivative by its own end points, from the same march.

    Returns:
        The image (batch, channel, ray), and its derivatives (batch, channel, ray, 6) by the source's x, y, z and the
        target's x, y, z, per mm of world space. The image stays differentiable; the derivatives of compiled kernels are
        not (differentiating them raises a RuntimeError), those on "reference" are.

    Arguments and errors are those of `project`.
    """
    options: dict[str, Any] = {
        "renderer": renderer,
        "n_points": n_points,
        "labels": labels,
        "n_channels": n_channels,
        "reducefn": reducefn,
    }
    volume, ends, options, backend = check_rays(volume, source, target, world_to_voxel, backend, **options)
    if backend == "reference":
        image, jacobian = reference.march_with_jacobian(volume, ends.source, ends.target, world_to_voxel, **options)
    else:
        options |= {"backend": backend, "image_width": image_width}
        bricks = None if occupancy is None else occupancy.for_march_of(volume)
        image, jacobian = ops.march_with_jacobian(
            volume, ends.source, ends.target, world_to_voxel, **options, occupied_bricks=bricks
        )
    check_image(image, backend)
    return image, ends.jacobian(jacobian)


def backproject(
    cotangent: RayImages,
    volume: VoxelGrid,
    source: Sources,
    target: Targets,
    world_to_voxel: Affine,
    *,
    renderer: str = "siddon",
    n_points: int = 500,
    labels: Labels | None = None,
    n_channels: int | None = None,
    image_width: int | None = None,
    backend: str = "auto",
    out: VoxelGrid | None = None,
) -> VoxelGrid:
    """Apply the exact adjoint of `project`: spread each ray's value over the voxels that it reads.

    For every image y and volume x, <project(x), y> = <x, backproject(y)> up to rounding. The result does not depend
    on the number of threads of a CPU. On a GPU the order of its sums, and with it the last digits, change from run to
    run, unless `torch.use_deterministic_algorithms(True)` asks for sums of integers, which are exact in any order.

    Args:
        cotangent: values on the rays, (batch or volume, channel, ray), as `project` returns them.
        volume: gives shape, dtype and memory order of the result; its values are not read.
        source, target, world_to_voxel, renderer, n_points, labels, n_channels, image_width, backend: as in `project`.
        out: where to write the result, of the volume's shape and dtype and with memory of its own for every voxel; it
            may be the volume. Fresh memory is slow to touch first. No derivative flows through it.

    Returns:
        Like `volume`: summed over the batch for a volume (x, y, z), one per entry for (batch, x, y, z), or one for
        each of several volumes (volume, x, y, z) along the same rays.

    Raises:
        TypeError, ValueError: as `project`; for a cotangent that does not fit the rays and channels; for an `out` whose
            voxels share memory, or from which derivatives are asked for.
    """
    options: dict[str, Any] = {
        "renderer": renderer,
        "n_points": n_points,
        "labels": labels,
        "n_channels": n_channels,
        "reducefn": "sum",
    }
    like, ends, options, backend = check_rays(volume, source, target, world_to_voxel, backend, **options)
    check_cotangent(cotangent, (images_of(like, target), options["n_channels"], target.shape[1]))
    if out is not None:
        check_out(out, volume, cotangent, source, target)
    rays = (ends.source, ends.target, world_to_voxel)
    cotangent = cotangent.to(sums_in(volume.dtype))
    if backend == "reference":
        gradient = reference.march_adjoint(cotangent, like, *rays, **options)
    else:
        options |= {"backend": backend, "image_width": image_width}
        if out is not None:
            into = out.detach() if volume.dim() == 4 else out.detach()[None]
            ops.march_adjoint_into(cotangent, into, *rays, **options)
            return out
        gradient = ops.march_adjoint(cotangent, like, *rays, **options)
    gradient = gradient[0] if volume.dim() == 3 else gradient
    return gradient if out is None else out.copy_(gradient.detach())
