"""Closed surfaces of triangles."""

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad import kernels
from raygrad._errors import InputError
from raygrad.scene._crossings import Crossings, Pixels, Rays, Rows
from raygrad.scene._mesh_checks import (
    areas,
    check_numbers,
    neighbours_together,
    open_edges,
    parts_of,
    scale_of,
    turned_outwards,
    welded,
)
from raygrad.scene._mesh_files import mended, read_mesh
from raygrad.scene._solid import SceneWarning, Solid, near

SPARSE = 64
"""Where less than one pixel in so many is near a mesh, single rays are faster than images."""


@dataclass(frozen=True, eq=False)
class Mesh(Solid):
    """A solid whose surface is triangles, such as an implant.

    Args:
        triangles: an STL, PLY or OBJ file; or vertices (n, 3) and triangles (m, 3), whole numbers that count vertices
            counter-clockwise as seen from outside. Vertices may carry a gradient.
        unit: "mm", "cm", "m" or "inch". If None, lengths are mm, and refused where the size says otherwise.
        repair: join near vertices, fill holes and turn triangles alike, where the mesh is not closed.
        material, name, pose, parent, joint: as for all solids.

    Attributes:
        vertices: (n, 3) in mm, in float64.
        faces: (m, 3), turned outwards, neighbours together. Parts that are inside out are turned with a warning, and
            triangles without area left out with one.
        n_parts: number of connected parts; where they overlap they are one, and parts inside others are cavities if
            they are turned inwards.

    Raises:
        InputError: there are no triangles, they cannot be read, they are not closed (with the number of open edges), or
            their size is not that of something in mm.
    """

    triangles: Any
    unit: str | None = field(default=None, kw_only=True)
    repair: bool = field(default=False, kw_only=True)
    vertices: Float[Tensor, "vertex 3"] = field(init=False)
    faces: Int[Tensor, "triangle 3"] = field(init=False)
    n_parts: int = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.triangles, (str, Path)):
            name = str(self.triangles)
            given, faces = read_mesh(self.triangles)
            tensor = torch.from_numpy(given)
        else:
            name = f"the mesh {self.name!r}" if self.name else "the mesh"
            tensor, faces = _arrays(self.triangles, name)
        tensor = tensor.double()
        numbers = tensor.detach().cpu().numpy()
        check_numbers(numbers, faces, name)
        scale = scale_of(self.unit, numbers, name)
        if scale != 1:
            tensor, numbers = tensor * scale, numbers * scale
        faces, lost = _proper(welded(numbers, faces))
        faults = open_edges(faces)
        if any(faults) and self.repair:
            if tensor.requires_grad:
                raise InputError(f"Expected a closed mesh where vertices carry a gradient. Got holes in {name}.")
            numbers, faces = mended(numbers, faces)
            tensor, (faces, lost) = torch.from_numpy(numbers), _proper(welded(numbers, faces))
            faults = open_edges(faces)
        _refuse(faults, name, self.repair)
        has_area = areas(numbers, faces) > 0
        lost += int((~has_area).sum())
        if not has_area.any():
            raise InputError(f"Expected triangles with an area in {name}. Got none.")
        parts = parts_of(faces, len(numbers))
        inside_out = turned_outwards(numbers, faces, parts)
        faces = np.where(inside_out[:, None], faces[:, ::-1], faces)
        faces = neighbours_together(numbers, faces[has_area])
        object.__setattr__(self, "vertices", tensor)
        object.__setattr__(self, "faces", torch.from_numpy(faces).to(tensor.device))
        object.__setattr__(self, "n_parts", int(parts.max()) + 1)
        if lost and not self.repair:
            warnings.warn(f"{lost} triangles of {name} have no area and are left out.", SceneWarning, stacklevel=3)
        if inside_out.any() and not self.repair:
            turned = int(inside_out.sum())
            warnings.warn(f"{turned} triangles of {name} are inside out and are turned.", SceneWarning, stacklevel=3)

    @property
    def tensors(self) -> list[Tensor]:
        """The vertices."""
        return [self.vertices]

    @property
    def ball(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
        """About the middle of its box; found once, unless its vertices are to change."""
        return self._found_ball() if self.vertices.requires_grad else self._ball

    @cached_property
    def _ball(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
        return self._found_ball()

    def _found_ball(self) -> tuple[Float[Tensor, " 3"], Float[Tensor, ""]]:
        vertices = self.vertices.detach()
        middle = (vertices.amin(0) + vertices.amax(0)) / 2
        return middle, torch.linalg.vector_norm(vertices - middle, dim=-1).max()

    def crossings(self, rays: Rays) -> Crossings:
        """Where rays cross the triangles. Those are looked for on the CPU."""
        ball = self.ball
        row, source, target = near(rays, *ball)
        vertices, faces = self.vertices.to(source), self.faces.to(source.device)
        mesh, ends = (vertices.detach().cpu(), faces.cpu()), _reaching_beyond(source, target, *ball)
        start, end = (points.detach().cpu() for points in ends)
        backend = "auto" if rays.backend == "gpu" else rays.backend
        if rays.pixels is None or backend == "reference" or len(row) * SPARSE < rays.pixels.number:
            _, ray, triangle, _, leaving = kernels.mesh_hits(*mesh, start[None], end[None], backend=backend)
        else:
            ray, triangle, leaving = _hits_in_images(mesh, start, end, rays.pixels, rays.pixels.of(row).cpu(), backend)
        ray, triangle, leaving = (numbers.to(row) for numbers in (ray, triangle, leaving))
        fraction = _fractions(vertices[faces[triangle]], source[ray], target[ray])
        return Crossings(row[ray], fraction.clamp(0, 1), -leaving)


def _arrays(triangles: Any, name: str) -> tuple[Tensor, np.ndarray]:
    try:
        vertices, faces = triangles
    except (TypeError, ValueError):
        raise InputError(
            f"Expected {name} as a file, or as (vertices, faces). Got {type(triangles).__name__}."
        ) from None
    faces = faces.detach().cpu().numpy() if isinstance(faces, Tensor) else np.asarray(faces)
    if faces.dtype.kind not in "iu":
        raise InputError(f"Expected triangles of {name} as whole numbers. Got {faces.dtype}.")
    return torch.as_tensor(vertices), faces.astype(np.int64)


def _proper(faces: np.ndarray) -> tuple[np.ndarray, int]:
    """Without triangles two corners of which are one point, and how many those were: nothing opens without them."""
    a, b, c = faces.T
    proper = (a != b) & (b != c) & (c != a)
    return faces[proper], int((~proper).sum())


def _refuse(faults: tuple[int, int], name: str, repaired: bool) -> None:
    holes, turned = faults
    hint = "which could not be repaired" if repaired else "repair=True fills small holes and turns triangles alike"
    if holes:
        raise InputError(f"Expected a closed mesh. Got {holes} open edges in {name}; {hint}.")
    if turned:
        raise InputError(f"Expected triangles turned alike. Got {turned} edges in {name} where they are not; {hint}.")


def _hits_in_images(
    mesh: tuple[Tensor, Tensor],
    start: Float[Tensor, "ray 3"],
    end: Float[Tensor, "ray 3"],
    pixels: Pixels,
    row: Int[Tensor, " ray"],
    backend: str,
) -> tuple[Rows, Rows, Rows]:
    """Ray, triangle and sign of every hit of rays that are these pixels; all others have no length."""
    height, width = pixels.image_shape
    images, each = len(pixels.world_to_pixel), height * width
    source, target = (
        start.new_zeros(pixels.number, 3).index_copy(0, row, points).reshape(images, each, 3) for points in (start, end)
    )
    image, pixel, triangle, _, sign = kernels.mesh_hits(
        *mesh, source, target, world_to_pixel=pixels.world_to_pixel.cpu(), image_width=width, backend=backend
    )
    ray = row.new_empty(pixels.number).index_copy(0, row, torch.arange(len(row)))
    return ray[image * each + pixel], triangle, sign


def _reaching_beyond(source: Tensor, target: Tensor, centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Rays that end outside of a ball, on the same lines: what is crossed beyond their ends is to be found too."""
    step = target - source
    squared = step.square().sum(-1, keepdim=True)
    proper = squared > 0
    squared = torch.where(proper, squared, 1)
    nearest = ((centre.to(source) - source) * step).sum(-1, keepdim=True) / squared
    reach = 2 * radius.to(source) / squared.sqrt()
    begin, end = (nearest - reach).clamp(max=0), (nearest + reach).clamp(min=1)
    inside = proper & ((begin < 0) | (end > 1)) & ((nearest > -reach) & (nearest < 1 + reach))
    if not bool(inside.any()):
        return source, target
    begin, end = torch.where(inside, begin, 0), torch.where(inside, end, 1)
    return source + begin * step, source + end * step


def _fractions(corners: Float[Tensor, "hit 3 3"], source: Tensor, target: Tensor) -> Float[Tensor, " hit"]:
    """Where lines cross the triangles that they are known to cross, as means of the corners: never beyond them."""
    step = target - source
    squared = step.square().sum(-1)
    # From a point near the triangle, so that small areas are no differences of large ones.
    offset = ((corners.mean(1) - source) * step).sum(-1).detach() / squared.detach()
    a, b, c = (corners - (source + offset[:, None] * step)[:, None]).unbind(1)
    weights = torch.stack([(step * torch.linalg.cross(*pair)).sum(-1) for pair in ((b, c), (c, a), (a, b))])
    along = torch.stack([(corner * step).sum(-1) for corner in (a, b, c)])
    return offset + (weights * along).sum(0) / (weights.sum(0) * squared)
