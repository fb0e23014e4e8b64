"""The specification of rays through closed meshes, in plain torch: any device, any order of derivative, brute force.

Which triangles a ray crosses is decided exactly, so that nothing leaks along edges (after Woop, Benthin and Wald,
"Watertight Ray/Triangle Intersection", JCGT 2013). A ray brings each vertex to a point of a plane in which the ray
itself is the origin: a shear along its main axis, the same for every triangle that the vertex belongs to. A triangle
is crossed where the origin is on one side of all its three edges. An origin on an edge counts as if it were moved by
(e, e^2) for an e that is smaller than any number: whatever the ray meets, it meets no edge and no vertex, and crosses a
closed mesh as often inwards as outwards.

All is computed in float64: a thickness is a small difference of long ways.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from raygrad._precision import WITHOUT_FLOAT64

MAX_PAIRS_AT_ONCE = 2**21
_SPLITTER = 2.0**27 + 1


class Crossings(NamedTuple):
    """Where rays cross triangles, by ray and then by triangle: one number each, of the lines through both ends.

    Attributes:
        batch, ray, triangle: which.
        sign: 1 where the ray leaves, -1 where it enters.
    """

    batch: Tensor
    ray: Tensor
    triangle: Tensor
    sign: Tensor


def march(vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Thickness (batch, ray) in mm; see `raygrad.kernels.project_mesh`. Vertices are (1 or batch, vertex, 3)."""
    mesh, start, end = (_exact(tensor) for tensor in (vertices, source.expand(target.shape), target))
    faces = faces.to(mesh.device)
    crossings = _crossings(mesh.detach(), faces, start.detach(), end.detach())
    share = crossings.sign * _fractions(crossings, mesh, faces, start, end).clamp(0, 1)
    total = start.new_zeros(target.shape[:2]).index_put((crossings.batch, crossings.ray), share, accumulate=True)
    return (torch.linalg.vector_norm(end - start, dim=-1) * total).to(vertices)


def march_with_jacobian(vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and each ray's derivatives (batch, ray, 6) by its own source and target."""

    def thickness_of(source: Tensor, target: Tensor) -> Tensor:
        return march(vertices, faces, source, target)

    thickness, gradients, *_ = torch.func.vjp(thickness_of, source.expand(target.shape), target)
    # A ray's value depends on no other ray, so the gradient of the sum over rays is every ray's own derivative.
    return thickness, torch.cat(gradients(torch.ones_like(thickness)), dim=-1)


def hits(vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Batch, ray, triangle, fraction and sign of each crossing between the ends; see `raygrad.kernels.mesh_hits`."""
    mesh, start, end = (_exact(tensor.detach()) for tensor in (vertices, source.expand(target.shape), target))
    faces = faces.to(mesh.device)
    crossings = _crossings(mesh, faces, start, end)
    fraction = _fractions(crossings, mesh, faces, start, end)
    between = (fraction >= 0) & (fraction <= 1)
    found = [tensor[between] for tensor in (*crossings[:3], fraction.to(vertices.dtype), crossings.sign.long())]
    along = found[3].argsort(stable=True)  # triangles are in order
    order = along[(found[0] * target.shape[1] + found[1])[along].argsort(stable=True)]
    batch, ray, triangle, fraction, sign = (tensor[order].to(vertices.device) for tensor in found)
    return batch, ray, triangle, fraction.to(vertices), sign


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to("cpu" if tensor.device.type in WITHOUT_FLOAT64 else tensor.device, torch.float64)


def _crossings(vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> Crossings:
    """All crossings of the lines through sources and targets (batch, ray, 3)."""
    batch, rays = target.shape[:2]
    at_once = max(1, MAX_PAIRS_AT_ONCE // max(1, batch * max(len(faces), vertices.shape[1])))
    found = []
    for first in range(0, rays, at_once):
        some = slice(first, first + at_once)
        x, y, _, along = _sheared(vertices[:, None], source[:, some, None], target[:, some, None])
        a, b, c = (torch.stack([x[..., corner], y[..., corner]]) for corner in faces.long().unbind(-1))
        side = _side(a, b)
        crossed = (side != 0) & (side == _side(b, c)) & (side == _side(c, a)) & (along != 0)
        where = crossed.nonzero(as_tuple=True)
        sign = side[where] * along.sign().expand(crossed.shape)[where]
        found.append(Crossings(where[0], where[1] + first, where[2], sign))
    if not found:
        none = torch.empty(0, dtype=torch.long, device=source.device)
        return Crossings(none, none, none, source.new_empty(0))
    every = Crossings(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    order = (every.batch * rays + every.ray).argsort(stable=True)
    return Crossings(*(tensor[order] for tensor in every))


def _fractions(crossings: Crossings, vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """How far along its ray each crossing is: 0 at the source, 1 at the target. Differentiable."""
    batch, ray, triangle, _ = crossings
    corners = vertices[(batch * (len(vertices) > 1))[:, None], faces.long()[triangle]]
    x, y, z, along = _sheared(corners, source[batch, ray][:, None], target[batch, ray][:, None])
    a, b, c = torch.stack([x, y]).unbind(-1)
    weights = torch.stack([_edge(b, c), _edge(c, a), _edge(a, b)], dim=-1)
    return (weights * z).sum(-1) / (weights.sum(-1) * along[:, 0])


def _sheared(points: Tensor, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Points (..., 3) as rays see them: x and y across, z along the main axis, from the source; the ray's own z."""
    step = target - source
    main = step.detach().abs().argmax(dim=-1, keepdim=True)
    axes = [(main + shift) % 3 for shift in (1, 2, 0)]
    across_x, across_y, along = (step.gather(-1, axis)[..., 0] for axis in axes)
    moving = torch.where(along == 0, 1, along)
    from_source = points - source
    x, y, z = (from_source.gather(-1, axis.expand(*from_source.shape[:-1], 1))[..., 0] for axis in axes)
    return x - across_x / moving * z, y - across_y / moving * z, z, along


def _side(a: Tensor, b: Tensor) -> Tensor:
    """On which side of the edge from a to b, points of the plane (2, ...), the origin is: -1 or 1; 0 if a is b."""
    left, right = a[0] * b[1], a[1] * b[0]
    side = (left > right).to(a) - (left < right).to(a)
    # Rounding keeps the order of two products or makes them equal; what it took off then decides.
    tie = (left == right).nonzero(as_tuple=True)
    ax, ay, bx, by = (coordinate[tie] for coordinate in (*a, *b))
    remainder = _remainder(ax, by) - _remainder(ay, bx)
    for decides in (ay - by, bx - ax):
        remainder = torch.where(remainder == 0, decides, remainder)
    return side.index_put(tie, remainder.sign())


def _edge(a: Tensor, b: Tensor) -> Tensor:
    """Twice the area between the origin and the edge from a to b, with its sign."""
    remainder = _remainder(a[0], b[1]) - _remainder(a[1], b[0])
    return a[0] * b[1] - a[1] * b[0] + remainder.detach()


def _remainder(a: Tensor, b: Tensor) -> Tensor:
    """The exact difference between a product and its rounded value (Dekker, Numer. Math. 1971)."""
    (a_high, a_low), (b_high, b_low) = _halves(a.detach()), _halves(b.detach())
    return a_low * b_low - (((a.detach() * b.detach() - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _halves(a: Tensor) -> tuple[Tensor, Tensor]:
    spread = _SPLITTER * a
    high = spread - (spread - a)
    return high, a - high
