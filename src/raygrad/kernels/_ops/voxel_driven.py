"""The operator raygrad::add_voxel_driven_: schema, fake and the kernels behind it.

Shapes are those of `raygrad.kernels.add_voxel_driven_`; the last argument names the backend. It has no derivative:
analytic reconstruction needs none.
"""

import torch
from torch import Tensor

from raygrad.kernels._ops.dispatch import implement

torch.library.define(
    "raygrad::add_voxel_driven_",
    "(Tensor(a!) volume, Tensor images, Tensor voxel_to_pixel, Tensor distance, str backend) -> ()",
)


def add_voxel_driven_(volume: Tensor, images: Tensor, voxel_to_pixel: Tensor, distance: Tensor, backend: str) -> None:
    """Dispatch raygrad::add_voxel_driven_."""
    torch.ops.raygrad.add_voxel_driven_(volume, images, voxel_to_pixel, distance, backend)


implement("add_voxel_driven_")


@torch.library.register_fake("raygrad::add_voxel_driven_")
def _(volume, images, voxel_to_pixel, distance, backend):
    return None
