"""The operators of meshes on a GPU: which outputs are allocated, which kernels are launched."""

from typing import Any

import torch
from torch import Tensor

from raygrad.kernels import _mesh_reference as reference
from raygrad.kernels._backends import interpreted
from raygrad.kernels._gpu import mesh as kernels
from raygrad.kernels._gpu.launch import THREADS_OF_WARP, launch_programs, triton_dtype
from raygrad.kernels._gpu.memory import allocate
from raygrad.kernels._gpu.mesh_bounds import Lists, lists_by_hint

TILE = (8, 16)
"""Rows and columns of pixels that one program serves."""
ADJOINT_TILE = (4, THREADS_OF_WARP // 4)
"""The same for adjoints: a program whose threads run in step need not wait to add what they have."""
INTERPRETED_TILE = (16, 64)
BLOCK = 128
"""Triangles that one program serves where there are no lists."""


def march_mesh(vertices, source, target, faces, world_to_pixel, image_width) -> Tensor:
    """Thickness (batch, ray); see raygrad::march_mesh."""
    thickness = allocate("the image", torch.empty, target.shape[:2], dtype=vertices.dtype, device=vertices.device)
    _march(thickness, None, vertices, source, target, faces, world_to_pixel, image_width)
    return thickness


def march_mesh_with_jacobian(vertices, source, target, faces, world_to_pixel, image_width) -> tuple[Tensor, Tensor]:
    """Thickness and its derivatives (batch, ray, 6); see raygrad::march_mesh_with_jacobian."""
    options: dict[str, Any] = {"dtype": vertices.dtype, "device": vertices.device}
    thickness = allocate("the image", torch.empty, target.shape[:2], **options)
    jacobian = allocate("the derivatives", torch.empty, (*target.shape[:2], 6), **options)
    _march(thickness, jacobian, vertices, source, target, faces, world_to_pixel, image_width)
    return thickness, jacobian


def march_mesh_adjoint(cotangent, vertices, source, target, faces, world_to_pixel, image_width) -> Tensor:
    """The gradient of <cotangent, march_mesh(vertices)> by the vertices; see raygrad::march_mesh_adjoint.

    Programs keep what triangles receive apart, so the order of sums is torch's: one and the same under
    `torch.use_deterministic_algorithms(True)`.
    """
    vertices, source, target = (tensor.detach().contiguous() for tensor in (vertices, source, target))
    faces, poison = _readable(vertices, faces)
    cotangent = cotangent.detach().contiguous()
    batch, rays = target.shape[:2]
    sums = torch.zeros(batch * len(faces), 3, dtype=torch.float64, device=vertices.device)
    arguments = _arguments(vertices, faces, source, target)
    lists, tile = _lists(vertices, faces, source, target, world_to_pixel, image_width, ADJOINT_TILE)
    if lists is None:
        blocks = -(-len(faces) // BLOCK)
        launched = (sums, cotangent, *arguments, blocks, rays)
        launch_programs(kernels.spread_rays, batch * blocks, sums.device, *launched, fusion=False, BLOCK=BLOCK)
    else:
        received = torch.zeros(len(lists.order), 3, dtype=torch.float64, device=sums.device)
        shape, programs = _shape(batch, rays, image_width, tile)
        launched = (received, cotangent, *arguments, lists.begin, lists.order, *shape)
        constants = {"ROWS": tile[0], "COLUMNS": tile[1]}
        launch_programs(kernels.spread_tiles, programs, sums.device, *launched, warps=1, fusion=False, **constants)
        sums.index_add_(0, lists.batch * len(faces) + lists.order, received)
    gradient = _at_corners(sums.view(batch, len(faces), 3), vertices.double(), faces.long())
    return (gradient + poison[:, None, None]).sum_to_size(vertices.shape).to(vertices.dtype)


def mesh_hits(vertices, source, target, faces, world_to_pixel, image_width) -> tuple[Tensor, ...]:
    """Batch, ray, triangle, fraction and sign of every hit; see raygrad::mesh_hits. Not worth kernels yet."""
    return reference.hits(vertices, faces, source, target)


def _march(thickness, jacobian, vertices, source, target, faces, world_to_pixel, image_width) -> None:
    vertices, source, target = (tensor.detach().contiguous() for tensor in (vertices, source, target))
    faces, poison = _readable(vertices, faces)
    batch, rays = target.shape[:2]
    lists, tile = _lists(vertices, faces, source, target, world_to_pixel, image_width, TILE)
    begin, order = (None, None) if lists is None else (lists.begin, lists.order)
    shape, programs = _shape(batch, rays, image_width, tile)
    read = (*_arguments(vertices, faces, source, target), begin, order, poison.expand(batch).contiguous(), *shape)
    constants = {"ROWS": tile[0], "COLUMNS": tile[1], "T": triton_dtype(thickness.dtype)}
    launch_programs(
        kernels.march_mesh, programs, thickness.device, thickness, jacobian, *read, fusion=False, **constants
    )


def _readable(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Faces of vertices that are there, and 0 for each mesh or NaN where something is wrong with it."""
    stray = ((faces < 0) | (faces >= vertices.shape[1])).any()
    faces = faces.clamp(0, max(0, vertices.shape[1] - 1)).to(torch.int32).contiguous()
    poison = (vertices.double() * 0).sum((1, 2))
    return faces, torch.where(stray, torch.nan, poison)


def _arguments(vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> tuple[Any, ...]:
    """What all kernels are told of mesh and rays."""
    stride = vertices.shape[1] * 3 if len(vertices) > 1 else 0
    return (vertices, stride, faces, len(faces)), (source, target, source.shape[1], target.shape[1])


def _shape(batch: int, rays: int, image_width: int, tile: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Height and width of the images, and how many tiles there are in all."""
    width = image_width if tile[0] > 1 else rays
    height = rays // max(width, 1)
    return (height, width), batch * -(-height // tile[0]) * -(-width // tile[1])


def _lists(vertices, faces, source, target, world_to_pixel, image_width, tile) -> tuple[Lists | None, tuple[int, int]]:
    """The triangles of each tile and the tile's rows and columns, one row without lists."""
    tile = INTERPRETED_TILE if interpreted() else tile
    if world_to_pixel is not None:
        tensors = (vertices.double(), faces.long(), source.double(), target.double())
        hint = world_to_pixel.detach().to(vertices.device, torch.float64)
        lists = lists_by_hint(*tensors, hint, image_width, tile)
        if lists is not None:
            return lists, tile
    return None, (1, tile[0] * tile[1])


def _at_corners(sums: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """What vertices (batch, vertex, 3) receive, where triangles have multiples of their normals for their corners."""
    a, b, c = vertices[:, faces].unbind(2)
    received = sums[..., None] * torch.linalg.cross(b - a, c - a)[:, :, None]
    gradient = vertices.new_zeros(len(sums), vertices.shape[1], 3)
    return gradient.index_add_(1, faces.flatten(), received.flatten(1, 2))
