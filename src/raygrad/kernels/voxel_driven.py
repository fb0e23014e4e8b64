"""Voxel-driven back projection: every voxel reads the images where it projects to. What is accepted is checked here.

Not the adjoint of a projector (that is `raygrad.kernels.backproject`), but what analytic reconstruction is made of.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.kernels import voxel_driven_ops, voxel_driven_reference
from raygrad.kernels.backends import choose_backend


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

    Positions are computed in float64 and refined from a pixel nearby in the volume's dtype, which leaves an error of
    about 1e-6 of the largest value in float32. The result does not depend on the number of threads.

    Args:
        volume: what is added to, (x, y, z), any strides: no two voxels may share memory.
        images: pixel values, (view, height, width), in the volume's dtype and on its device. Any strides.
        voxel_to_pixel: maps homogeneous voxel coordinates to (column * depth, row * depth, depth), with the centres of
            voxels and pixels at integers; computed with in float64.
        distance: of each view's weights, in the unit of the depths: from the source to the axis of rotation.
        backend: "cpu" for the compiled kernel, "reference" for plain torch, or "auto".

    Returns:
        `volume`.

    Raises:
        TypeError: for inputs that are not floating-point tensors, or images of another dtype than the volume.
        ValueError: for shapes that do not fit, maps or images that are not finite, inputs that require gradients, and a
            backend that is not there.
    """
    _check(volume, images, voxel_to_pixel, distance)
    voxel_to_pixel, distance = voxel_to_pixel.double(), distance.double()
    if choose_backend(backend, volume) == "reference":
        shape = (volume.shape[0], volume.shape[1], volume.shape[2])
        return volume.add_(voxel_driven_reference.voxel_driven(images, voxel_to_pixel, distance, shape))
    voxel_driven_ops.add_voxel_driven_(volume, images, voxel_to_pixel.cpu(), distance.cpu())
    return volume


def _check(volume, images, voxel_to_pixel, distance) -> None:
    named = {"volume": volume, "images": images, "voxel_to_pixel": voxel_to_pixel, "distance": distance}
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Expected {name} to be a torch.Tensor. Got {type(tensor).__name__}.")
        if not tensor.is_floating_point():
            raise TypeError(f"Expected {name} to be of a floating-point dtype. Got {tensor.dtype}.")
        if torch.is_grad_enabled() and tensor.requires_grad:
            raise ValueError(f"No gradient flows through a voxel-driven back projection: detach {name}.")
    if volume.dim() != 3 or 0 in volume.shape:
        raise ValueError(f"Expected a volume of shape (x, y, z). Got {tuple(volume.shape)}.")
    if images.dim() != 3 or 0 in images.shape[1:]:
        raise ValueError(f"Expected images of shape (view, height, width). Got {tuple(images.shape)}.")
    if images.dtype != volume.dtype:
        raise TypeError(f"Expected images of the volume's dtype {volume.dtype}. Got {images.dtype}.")
    for name, expected in (("voxel_to_pixel", (len(images), 3, 4)), ("distance", (len(images),))):
        if tuple(named[name].shape) != expected:
            raise ValueError(f"Expected {name} of shape {expected}. Got {tuple(named[name].shape)}.")
        if not named[name].isfinite().all():
            raise ValueError(f"Expected finite values in {name}. Got NaN or infinity.")
    if not images.sum(dtype=torch.float64).isfinite():
        raise ValueError("Expected finite images. Got NaN or infinite pixels.")
