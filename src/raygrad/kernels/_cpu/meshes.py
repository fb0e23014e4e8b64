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


def mesh_hits(vertices, source, target, faces, world_to_pixel, image_width) -> tuple[Tensor, ...]:
    """Batch, ray, triangle, fraction and sign of every hit; see raygrad::mesh_hits."""
    found: tuple[Tensor, ...] = ()

    def allocate(count: int) -> tuple[Tensor, ...]:
        nonlocal found
        batch, ray, triangle, sign = (torch.empty(count, dtype=torch.int64) for _ in range(4))
        found = batch, ray, triangle, vertices.new_empty(count), sign
        return found

    mesh = _mesh(vertices, source, target, faces)
    _call("find_mesh_hits", allocate, *mesh, *_hint(world_to_pixel, image_width))
    return found


def _mesh(vertices, source, target, faces) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().contiguous() for tensor in (vertices, faces, source, target))


def _hint(world_to_pixel: Tensor | None, image_width: int) -> tuple[Tensor | None, int]:
    hint = None if world_to_pixel is None else world_to_pixel.detach().to("cpu", torch.float64).contiguous()
    return hint, image_width


def _call(name: str, *arguments: Any) -> None:
    extension, _ = load_extension()
    getattr(extension, name)(*arguments, torch.get_num_threads())
