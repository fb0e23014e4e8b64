"""The specification of voxel-driven back projection, in plain torch: any device, differentiable by the images."""

import torch
from jaxtyping import Float
from torch import Tensor


def voxel_driven(
    images: Float[Tensor, "view height width"],
    voxel_to_pixel: Float[Tensor, "view 3 4"],
    distance: Float[Tensor, " view"],
    shape: tuple[int, int, int],
) -> Float[Tensor, "x y z"]:
    """Sum over the views of what voxels read, in the images' dtype; see `raygrad.kernels.add_voxel_driven_`."""
    axes = [torch.arange(n, dtype=torch.float64, device=images.device) for n in shape]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    total = images.new_zeros(shape)
    for image, matrix, scale in zip(images, voxel_to_pixel, distance, strict=True):
        column, row, depth = (voxels @ matrix[:, :3].mT + matrix[:, 3]).unbind(-1)
        seen = depth > 0
        depth = torch.where(seen, depth, 1)
        weight = torch.where(seen, (scale / depth) ** 2, 0).to(image)
        total = total + weight * _bilinear(image, row / depth, column / depth)
    return total


def _bilinear(image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The image between pixel centres, in an image that is zero outside."""
    value = torch.zeros_like(row, dtype=image.dtype)
    top, left = row.floor(), column.floor()
    for i, weight_i in ((top, 1 - (row - top)), (top + 1, row - top)):
        for j, weight_j in ((left, 1 - (column - left)), (left + 1, column - left)):
            inside = (i >= 0) & (i < image.shape[0]) & (j >= 0) & (j < image.shape[1])
            pixel = image[torch.where(inside, i, 0).long(), torch.where(inside, j, 0).long()]
            value = value + torch.where(inside, (weight_i * weight_j).to(image) * pixel, 0)
    return value
