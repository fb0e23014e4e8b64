"""Voxel-driven back projection: every voxel reads the images where it projects to. What is accepted is checked here.

Not the adjoint of a projector (that is `raygrad.kernels.backproject`), but what analytic reconstruction is made of.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.kernels import _voxel_driven_reference as reference
from raygrad.kernels._backends import choose_backend, sums_in
from raygrad.kernels._checks import reads_values
from raygrad.kernels._ops import voxel_driven as ops
from raygrad.kernels._ops.dispatch import is_differentiated


def add_voxel_driven_(
    volume: Float[Tensor, "x y z"],
    images: Float[Tensor, "view height width"],
    voxel_to_pixel: Float[Tensor, "view 3 4"],
    distance: Float[Tensor, " view"],
    *,
    backend: str = "auto",
) -> Float[Tensor, "x y z"]:
    """Add the distance-weighted back projection of images to a volume, in place.

    Each voxel receives, from every view, the image's value where the voxel's centre projects to, times
    (distance / depth)^2: the last step of Feldkamp, Davis and Kress (J. Opt. Soc. Am. A 1984) and, with depths of 1,
    of filtered back projection. Between pixel centres images are bilinear, falling to zero within one pixel beyond the
    outermost centres, like volumes under `project`. Voxels at or behind the source (depth <= 0) receive nothing.

    Positions are computed in float64 (on a GPU in 64-bit integers) and refined from a pixel nearby in the dtype of the
    images. In float32 that leaves an error of about 1e-6 of the largest value, and on the CPU up to 4e-5 where
    neighbouring voxels are several pixels apart. The result is the same to the last bit with any number of threads, and
    in every run.

    Args:
        volume: what is added to, (x, y, z), any strides: no two voxels may share memory.
        images: pixel values, (view, height, width), on the volume's device and in its dtype. For a float16 or bfloat16
            volume in float32: its voxels are rounded once, when all these views are added. Any strides.
        voxel_to_pixel: maps homogeneous voxel coordinates to (column * depth, row * depth, depth), with the centres of
            voxels and pixels at integers. On any device; with the volume's, a GPU is not waited for.
        distance: of each view's weights, in the unit of the depths: from the source to the axis of rotation.
        backend: "cpu" or "gpu" for compiled kernels, "reference" for plain torch, or "auto".

    Returns:
        `volume`.

    Raises:
        TypeError: for inputs that are not floating-point tensors, or images of another dtype than is expected.
        ValueError: for shapes that do not fit, maps or images that are not finite, inputs that require gradients, and a
            backend that is not there. On a GPU values are not looked at, since that would wait for all that it has to
            do: a map or a distance that is not finite gives NaN in every voxel, a pixel in the voxels that read it.
    """
    _check_kinds(volume, images, voxel_to_pixel, distance)
    backend = choose_backend(backend, volume)
    if reads_values(backend):
        _check_values(images, voxel_to_pixel, distance)
    if backend == "reference":
        maps, distance = (tensor.to(volume.device, torch.float64) for tensor in (voxel_to_pixel, distance))
        shape = (volume.shape[0], volume.shape[1], volume.shape[2])
        volume.add_(reference.voxel_driven(images, maps, distance, shape))
    else:
        ops.add_voxel_driven_(volume, images, voxel_to_pixel, distance, backend)
    return volume


def _check_kinds(volume, images, voxel_to_pixel, distance) -> None:
    named = {"volume": volume, "images": images, "voxel_to_pixel": voxel_to_pixel, "distance": distance}
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Expected {name} to be a torch.Tensor. Got {type(tensor).__name__}.")
        if not tensor.is_floating_point():
            raise TypeError(f"Expected {name} to be of a floating-point dtype. Got {tensor.dtype}.")
        if is_differentiated(tensor):
            raise ValueError(f"No derivative flows through a voxel-driven back projection: detach {name}.")
    if volume.dim() != 3 or 0 in volume.shape:
        raise ValueError(f"Expected a volume of shape (x, y, z). Got {tuple(volume.shape)}.")
    if images.dim() != 3 or 0 in images.shape[1:]:
        raise ValueError(f"Expected images of shape (view, height, width). Got {tuple(images.shape)}.")
    if images.dtype != sums_in(volume.dtype):
        wanted = f"{sums_in(volume.dtype)}, for a volume of {volume.dtype}"
        raise TypeError(f"Expected images of dtype {wanted}. Got {images.dtype}.")
    if images.device != volume.device:
        raise ValueError(f"Expected images on the volume's device {volume.device}. Got some on {images.device}.")
    for name, expected in (("voxel_to_pixel", (len(images), 3, 4)), ("distance", (len(images),))):
        if tuple(named[name].shape) != expected:
            raise ValueError(f"Expected {name} of shape {expected}. Got {tuple(named[name].shape)}.")


def _check_values(images, voxel_to_pixel, distance) -> None:
    for name, tensor in (("voxel_to_pixel", voxel_to_pixel), ("distance", distance)):
        if not tensor.isfinite().all():
            raise ValueError(f"Expected finite values in {name}. Got NaN or infinity.")
    if not images.sum(dtype=torch.float64).isfinite():
        raise ValueError("Expected finite images. Got NaN or infinite pixels.")
