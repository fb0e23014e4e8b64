"""The rays of cameras."""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.types import Matrices, Sources, Targets

PixelMaps = Float[Tensor, "#batch 4 4"]


def rays_of_cameras(
    camera_to_world: Matrices, pixel_to_camera: PixelMaps, height: int, width: int
) -> tuple[Sources, Targets]:
    """The rays of `project_cameras`: sources (batch, 1, 3) and targets (batch, height * width, 3) in mm."""
    return rays_of_map(camera_to_world @ pixel_to_camera.to(camera_to_world), height, width)


def rays_of_map(pixel_to_world: Matrices, height: int, width: int) -> tuple[Sources, Targets]:
    """The same from both maps in one; linear in it."""
    across, down, middle, source = pixel_to_world[:, None, :3].unbind(-1)
    columns = torch.arange(width, device=source.device).to(source) - (width - 1) / 2
    rows = torch.arange(height, device=source.device).to(source) - (height - 1) / 2
    by_row = middle + source + rows[:, None] * down
    by_column = columns[:, None] * across
    return source, (by_row[:, :, None] + by_column[:, None]).flatten(1, 2)
