"""Rays through closed triangle meshes: thickness, its derivatives, and hits. What is accepted is checked here."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64
from raygrad.kernels import _mesh_reference as reference
from raygrad.kernels._backends import choose_backend
from raygrad.kernels._checks import check_floating, check_ray_shapes, reads_values
from raygrad.kernels._far import reach_of, warn_of_coarse_rays
from raygrad.kernels._ops import meshes as ops
from raygrad.types import Faces, MeshVertices, RayValues, Sources, Targets

DTYPES = (torch.float32, torch.float64)
"""Of vertices and rays: half precision would move them by micrometres to millimetres."""
PixelMatrices = Float[Tensor, "batch 3 4"]


class MeshHits(NamedTuple):
    """Where rays cross triangles on their way from source to target: one number each, by batch, ray and fraction.

    Attributes:
        batch, ray, triangle: which, in int64.
        fraction: of the way from the source, from 0 to 1.
        sign: 1 where the ray leaves the mesh, -1 where it enters, in int64.
    """

    batch: Int[Tensor, " hit"]
    ray: Int[Tensor, " hit"]
    triangle: Int[Tensor, " hit"]
    fraction: Float[Tensor, " hit"]
    sign: Int[Tensor, " hit"]


def project_mesh(
    vertices: MeshVertices,
    faces: Faces,
    source: Sources,
    target: Targets,
    *,
    world_to_pixel: PixelMatrices | None = None,
    image_width: int | None = None,
    backend: str = "auto",
) -> RayValues:
    """Measure how many millimetres of each ray lie within a closed mesh, differentiable by vertices and rays.

    With the outward normal n of each triangle that the line of a ray crosses, v one of its corners, s the source and
    d = target - source, thickness is

        |d| * sum of sign(n . d) clamp(a, 0, 1),    a = n . (v - s) / (n . d)

    a sum without order, exact also where a ray begins or ends inside. Which triangles are crossed is decided exactly: a
    ray that meets an edge or a corner crosses a closed mesh as often inwards as outwards. Parts of a mesh that overlap
    count twice, and one that is inside out counts below 0. Whether a mesh is closed is not checked.

    Args:
        vertices: corners in world mm, (vertex, 3) for all images or (batch, vertex, 3).
        faces: three vertices for each triangle, (triangle, 3) in int32 or int64, counterclockwise seen from outside.
        source: where the rays start, world mm, (batch, ray, 3), or (batch, 1, 3) when a batch entry's rays share it.
        target: where the rays end, world mm, (batch, ray, 3).
        world_to_pixel: a hint that makes images fast and changes nothing: maps (batch, 3, 4) from world mm to
            (column * depth, row * depth, depth), with pixel centres at whole numbers, positive depth before the source,
            and depth 1 for parallel beams, as `Views.world_to_pixel` has it. The rays are then the pixels, row by row.
            How well rays agree with the hint is measured and allowed for; one that is of no use is left aside.
        image_width: columns of that image.
        backend: "auto", "cpu", "gpu" or "reference".

    Returns:
        (batch, ray) in mm, in the dtype of the vertices. All is computed in float64. Derivatives are exact where the
        ray crosses the inside of triangles; compiled kernels give first ones, forwards by rays only, and what they do
        not know raises a RuntimeError. The reference is differentiable any number of times.

    Raises:
        TypeError: for arguments of the wrong kind or dtype.
        ValueError: for shapes that do not fit, faces of vertices that are not there, and vertices or rays that are not
            finite. On a GPU values are not looked at: what is not finite, and a mesh with such a face, gives NaN.
    """
    mesh = _check(vertices, faces, source, target, world_to_pixel, image_width, backend)
    if mesh.backend == "reference":
        thickness = reference.march(mesh.vertices, mesh.faces, mesh.source, mesh.target)
    else:
        thickness = ops.march_mesh(mesh.vertices, mesh.source, mesh.target, mesh.faces, **mesh.options)
    return thickness.to(vertices.dtype)


def project_mesh_with_jacobian(
    vertices: MeshVertices,
    faces: Faces,
    source: Sources,
    target: Targets,
    *,
    world_to_pixel: PixelMatrices | None = None,
    image_width: int | None = None,
    backend: str = "auto",
) -> tuple[RayValues, Float[Tensor, "batch ray 6"]]:
    """Thickness as from `project_mesh`, and every ray's derivative by its own end points, from the same march.

    Returns:
        The thickness (batch, ray), and its derivatives (batch, ray, 6) by the source's x, y, z and the target's x, y,
        z, per mm. The thickness stays differentiable; the derivatives of compiled kernels are not (differentiating them
        raises a RuntimeError), those on "reference" are.

    Arguments and errors are those of `project_mesh`.
    """
    mesh = _check(vertices, faces, source, target, world_to_pixel, image_width, backend)
    if mesh.backend == "reference":
        both = reference.march_with_jacobian(mesh.vertices, mesh.faces, mesh.source, mesh.target)
    else:
        both = ops.march_mesh_with_jacobian(mesh.vertices, mesh.source, mesh.target, mesh.faces, **mesh.options)
    thickness, jacobian = both
    return thickness.to(vertices.dtype), jacobian.to(vertices.dtype)


def mesh_hits(
    vertices: MeshVertices,
    faces: Faces,
    source: Sources,
    target: Targets,
    *,
    world_to_pixel: PixelMatrices | None = None,
    image_width: int | None = None,
    backend: str = "auto",
) -> MeshHits:
    """List every crossing of rays with the triangles of a mesh, in order along the rays; not differentiable.

    Args:
        vertices, faces, source, target, backend: as in `project_mesh`. On a GPU plain torch looks for hits, of every
            ray in every triangle.
        world_to_pixel, image_width: as in `project_mesh`: they make images fast and change nothing. Pixels may be left
            out by rays without a length.

    Returns:
        All hits between source and target, the fraction in the dtype of the vertices. A ray from outside that ends
        outside has as many that enter as that leave.

    Raises:
        TypeError, ValueError: as `project_mesh`.
    """
    mesh = _check(vertices, faces, source, target, world_to_pixel, image_width, backend)
    corners, start, end = (tensor.detach() for tensor in (mesh.vertices, mesh.source, mesh.target))
    if mesh.backend == "reference":
        found = reference.hits(corners, mesh.faces, start, end)
    else:
        found = ops.mesh_hits(corners, start, end, mesh.faces, **mesh.options)
    batch, ray, triangle, fraction, sign = found
    return MeshHits(batch, ray, triangle, fraction.to(vertices.dtype), sign)


class _Mesh(NamedTuple):
    """What was asked for, as kernels take it: vertices (1 or batch, vertex, 3), all of one dtype."""

    vertices: Tensor
    faces: Tensor
    source: Tensor
    target: Tensor
    backend: str
    options: dict[str, Any]


def _check(vertices, faces, source, target, world_to_pixel, image_width, backend: str) -> _Mesh:
    _check_kinds(vertices, faces, source, target, world_to_pixel)
    _check_shapes(vertices, faces, source, target)
    _check_hint(world_to_pixel, image_width, target)
    backend = _choose_backend(backend, vertices)
    if reads_values(backend):
        _check_values(vertices, faces, source, target)
    dtype = vertices.dtype
    for ends in (source, target):
        dtype = torch.promote_types(dtype, ends.dtype)
    vertices, source, target = (tensor.to(dtype) for tensor in (vertices, source, target))
    vertices = vertices[None] if vertices.dim() == 2 else vertices
    options = {"world_to_pixel": world_to_pixel, "image_width": image_width, "backend": backend}
    return _Mesh(vertices, faces.to(torch.int32), source, target, backend, options)


def _check_kinds(vertices, faces, source, target, world_to_pixel) -> None:
    check_floating(vertices=vertices, source=source, target=target)
    for name, tensor in {"vertices": vertices, "source": source, "target": target}.items():
        if tensor.dtype not in DTYPES:
            raise TypeError(f"Expected {name} in float32 or float64. Got {tensor.dtype}.")
    if not isinstance(faces, Tensor) or faces.dtype not in (torch.int32, torch.int64):
        kind = faces.dtype if isinstance(faces, Tensor) else type(faces).__name__
        raise TypeError(f"Expected faces as a tensor of int32 or int64. Got {kind}.")
    if world_to_pixel is not None:
        check_floating(world_to_pixel=world_to_pixel)
    for name, tensor in {"faces": faces, "source": source, "target": target}.items():
        if tensor.device != vertices.device:
            raise ValueError(f"Expected {name} on the vertices' device {vertices.device}. Got some on {tensor.device}.")


def _check_shapes(vertices, faces, source, target) -> None:
    batch, _ = check_ray_shapes(source, target)
    if vertices.dim() not in (2, 3) or vertices.shape[-1] != 3:
        raise ValueError(f"Expected vertices of shape (vertex, 3) or (batch, vertex, 3). Got {tuple(vertices.shape)}.")
    if vertices.dim() == 3 and len(vertices) not in (1, batch):
        raise ValueError(f"Expected one mesh, or {batch} to fit the batch of rays. Got {len(vertices)}.")
    if faces.dim() != 2 or faces.shape[1] != 3:
        raise ValueError(f"Expected faces of shape (triangle, 3). Got {tuple(faces.shape)}.")
    if max(vertices.shape[-2], faces.shape[0]) >= 2**31:
        raise ValueError(f"Expected fewer than 2^31 vertices and triangles. Got {vertices.shape[-2]}, {len(faces)}.")


def _check_hint(world_to_pixel, image_width, target) -> None:
    batch, rays = target.shape[:2]
    if image_width is not None and (image_width < 1 or rays % image_width):
        raise ValueError(f"Expected the {rays} rays to be rows of image_width pixels. Got image_width={image_width}.")
    if world_to_pixel is None:
        return
    if tuple(world_to_pixel.shape) != (batch, 3, 4):
        raise ValueError(f"Expected world_to_pixel of shape ({batch}, 3, 4). Got {tuple(world_to_pixel.shape)}.")
    if image_width is None:
        raise ValueError("Expected image_width with world_to_pixel. Got none.")
    if rays >= 2**31:
        raise ValueError(f"Expected an image of fewer than 2^31 pixels. Got {rays}.")


def _check_values(vertices, faces, source, target) -> None:
    if faces.numel():
        low, high = (bound.item() for bound in faces.aminmax())
        count = vertices.shape[-2]
        if low < 0 or high >= count:
            raise ValueError(f"Expected faces of vertices 0 to {count - 1}. Got {low if low < 0 else high}.")
    if not math.isfinite(reach_of(vertices)):
        raise ValueError("Expected finite vertices. Got NaN or infinite values.")
    reach = reach_of(source, target)
    if not math.isfinite(reach):
        raise ValueError("Expected finite rays. Got NaN or infinite values in source or target.")
    warn_of_coarse_rays(reach, source, target)


def _choose_backend(backend: str, vertices: Tensor) -> str:
    """As `choose_backend`; where there may be no float64 the reference, which goes to the CPU for it."""
    if vertices.device.type in WITHOUT_FLOAT64 and backend in ("auto", "gpu"):
        if backend == "gpu":
            raise ValueError(
                f"backend='gpu' cannot be used: meshes need float64, which {vertices.device} may not have."
            )
        return "reference"
    return choose_backend(backend, vertices)
