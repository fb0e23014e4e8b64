"""The operator raygrad::add_voxel_driven_: schema, fake and the compiled kernel behind it.

Shapes are those of `raygrad.kernels.add_voxel_driven_`. It has no derivative: analytic reconstruction needs none.
"""

import torch
from torch import Tensor

from raygrad.kernels.backends import load_extension

torch.library.define(
    "raygrad::add_voxel_driven_", "(Tensor(a!) volume, Tensor images, Tensor voxel_to_pixel, Tensor distance) -> ()"
)


def add_voxel_driven_(volume: Tensor, images: Tensor, voxel_to_pixel: Tensor, distance: Tensor) -> None:
    """Dispatch raygrad::add_voxel_driven_."""
    torch.ops.raygrad.add_voxel_driven_(volume, images, voxel_to_pixel, distance)


@torch.library.impl("raygrad::add_voxel_driven_", "cpu")
def _(volume, images, voxel_to_pixel, distance):
    extension, _ = load_extension()
    extension.add_voxel_driven(
        volume.detach(),
        images.detach(),
        voxel_to_pixel.detach().contiguous(),
        distance.detach().contiguous(),
        torch.get_num_threads(),
    )


@torch.library.register_fake("raygrad::add_voxel_driven_")
def _(volume, images, voxel_to_pixel, distance):
    return None
