"""The operators of meshes on the CPU: allocate the outputs, hand everything to the C++ extension."""

from typing import Any

import torch
from torch import Tensor

from raygrad.kernels._backends import load_extension


def march_mesh(vertices, source, target, faces, world_to_pixel, image_width) -> Tensor:
    """Thickness (batch, ray); see raygrad::march_mesh."""
    thickness = vertices.new_empty(target.shape[:2])
    _call("mesh_march", thickness, None, *_mesh(vertices, source, target, faces), *_hint(world_to_pixel, image_width))
    return thickness


def march_mesh_with_jacobian(vertices, source, target, faces, world_to_pixel, image_width) -> tuple[Tensor, Tensor]:
    """Thickness and its derivatives (batch, ray, 6); see raygrad::march_mesh_with_jacobian."""
    thickness, jacobian = vertices.new_empty(target.shape[:2]), vertices.new_empty(*target.shape[:2], 6)
    mesh = _mesh(vertices, source, target, faces)
    _call("mesh_march", thickness, jacobian, *mesh, *_hint(world_to_pixel, image_width))
    return thickness, jacobian


def march_mesh_adjoint(cotangent, vertices, source, target, faces, world_to_pixel, image_width) -> Tensor:
    """The gradient of <cotangent, march_mesh(vertices)> by the vertices; see raygrad::march_mesh_adjoint."""
    gradient = vertices.new_empty(vertices.shape)
    cotangent, mesh = cotangent.detach().contiguous(), _mesh(vertices, source, target, faces)
    _call("mesh_adjoint", cotangent, gradient, *mesh, *_hint(world_to_pixel, image_width))
    return gradient


def mesh_hits(vertices, source, target, faces) -> tuple[Tensor, ...]:
    """Batch, ray, triangle, fraction and sign of every hit; see raygrad::mesh_hits."""
    mesh = _mesh(vertices, source, target, faces)
    counts = torch.empty(target.shape[0] * target.shape[1], dtype=torch.int64)
    _call("count_mesh_hits", counts, *mesh)
    begin = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    number = torch.arange(len(counts)).repeat_interleave(counts)
    triangle, sign = torch.empty_like(number), torch.empty_like(number)
    fraction = vertices.new_empty(len(number))
    _call("list_mesh_hits", begin, triangle, fraction, sign, *mesh)
    rays = max(1, target.shape[1])
    return number // rays, number % rays, triangle, fraction, sign


def _mesh(vertices, source, target, faces) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().contiguous() for tensor in (vertices, faces, source, target))


def _hint(world_to_pixel: Tensor | None, image_width: int) -> tuple[Tensor | None, int]:
    hint = None if world_to_pixel is None else world_to_pixel.detach().to("cpu", torch.float64).contiguous()
    return hint, image_width


def _call(name: str, *arguments: Any) -> None:
    extension, _ = load_extension()
    getattr(extension, name)(*arguments, torch.get_num_threads())
