"""Closed meshes and rays for the tests of `project_mesh`, and exact answers for convex ones."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import pytest
import torch
from kernel_cases import FAST_BACKENDS, GPU, cone, device_of
from torch import Tensor


@dataclass(frozen=True)
class MeshScene:
    """A mesh and rays in float64, which are the pixels of an image where there is a hint."""

    vertices: Tensor
    faces: Tensor
    source: Tensor
    target: Tensor
    world_to_pixel: Tensor | None = None
    image_width: int | None = None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.vertices, self.faces, self.source, self.target

    @property
    def hint(self) -> dict:
        return {"world_to_pixel": self.world_to_pixel, "image_width": self.image_width}

    def to(self, dtype: torch.dtype) -> "MeshScene":
        vertices, source, target = (tensor.to(dtype) for tensor in (self.vertices, self.source, self.target))
        return MeshScene(vertices, self.faces, source, target, self.world_to_pixel, self.image_width)

    def on(self, device: str) -> "MeshScene":
        hint = None if self.world_to_pixel is None else self.world_to_pixel.to(device)
        return MeshScene(*(tensor.to(device) for tensor in self.tensors), hint, self.image_width)


def tetrahedron() -> tuple[Tensor, Tensor]:
    corners = torch.tensor([[0.1, 0.2, -0.3], [9.7, 0.4, 0.5], [1.3, 8.9, 0.2], [2.2, 3.1, 7.7]], dtype=torch.float64)
    return corners, torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def box(low, high, pieces: int = 1) -> tuple[Tensor, Tensor]:
    """An axis-aligned box whose faces are pieces x pieces squares of two triangles each."""
    low, high = (torch.tensor(corner, dtype=torch.float64) for corner in (low, high))
    corners: dict[tuple[int, ...], int] = {}
    faces = []
    for axis, end in product(range(3), (0, pieces)):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for i, j in product(range(pieces), repeat=2):
            square = []
            for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1)):
                corner = [0, 0, 0]
                corner[axis], corner[u], corner[v] = end, i + di, j + dj
                square.append(corners.setdefault(tuple(corner), len(corners)))
            a, b, c, d = square if end else square[::-1]
            faces += [[a, b, c], [a, c, d]]
    steps = torch.tensor(list(corners), dtype=torch.float64) / pieces
    return low + steps * (high - low), torch.tensor(faces)


def icosphere(level: int, radius: float = 1.0) -> tuple[Tensor, Tensor]:
    """A sphere around the origin of 20 * 4^level triangles, whose corners lie on it."""
    golden = (1 + math.sqrt(5)) / 2
    points = [
        tuple(s * golden if a == i else t if a == (i + 1) % 3 else 0.0 for a in range(3))
        for i in range(3)
        for s, t in product((-1, 1), repeat=2)
    ]
    vertices = torch.tensor(points, dtype=torch.float64)
    edge = torch.cdist(vertices, vertices)
    near = (edge - 2).abs() < 1e-9
    faces = torch.tensor(
        [
            (a, b, c)
            for a in range(12)
            for b in range(12)
            for c in range(12)
            if a < b < c and near[a, b] and near[b, c] and near[a, c]
        ]
    )
    normal = torch.linalg.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    )
    inwards = (normal * vertices[faces[:, 0]]).sum(-1) < 0
    faces[inwards] = faces[inwards].flip(1)
    vertices = vertices / vertices.norm(dim=1, keepdim=True)
    for _ in range(level):
        ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
        edges, number = ends.unique(dim=0, return_inverse=True)
        middle = vertices[edges].mean(1)
        (a, b, c), (ab, bc, ca) = faces.unbind(1), (number + len(vertices)).view(3, -1)
        vertices = torch.cat([vertices, middle / middle.norm(dim=1, keepdim=True)])
        faces = torch.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], dim=1).view(-1, 3)
    return radius * vertices, faces


def potato(level: int = 2) -> tuple[Tensor, Tensor]:
    """A closed mesh with dents, of about 20 mm."""
    vertices, faces = icosphere(level, 10.0)
    generator = torch.Generator().manual_seed(7)
    return vertices * (0.6 + 0.4 * torch.rand(len(vertices), 1, generator=generator, dtype=torch.float64)), faces


def convex_thickness(vertices: Tensor, faces: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """What of each ray (ray, 3) lies before none of the planes of a convex mesh's faces."""
    a, b, c = vertices[faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    step = target - source
    slope, distance = step @ normal.T, ((a - source[:, None]) * normal).sum(-1)
    at = distance / slope
    first = torch.where(slope < 0, at, torch.where((slope == 0) & (distance < 0), torch.inf, -torch.inf)).amax(1)
    last = torch.where(slope > 0, at, torch.inf).amin(1)
    return step.norm(dim=-1) * (last.clamp(max=1) - first.clamp(min=0)).clamp(min=0)


def random_rays(count: int, radius: float, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Rays (count, 3) in all directions past the origin, nearer than 1.2 radii, with both ends outside of it."""
    generator = torch.Generator().manual_seed(seed)
    way, beside = torch.randn(2, count, 3, generator=generator, dtype=torch.float64)
    way = way / way.norm(dim=-1, keepdim=True)
    beside = torch.linalg.cross(way, beside)
    beside = beside / beside.norm(dim=-1, keepdim=True)
    middle = beside * radius * 1.2 * torch.rand(count, 1, generator=generator, dtype=torch.float64).sqrt()
    return middle - 2.3 * radius * way, middle + 3.1 * radius * way


def distance_to_origin(source: Tensor, target: Tensor) -> Tensor:
    """From the lines of rays (..., 3)."""
    step = target - source
    return torch.linalg.cross(source, step).norm(dim=-1) / step.norm(dim=-1)


def pinhole(rows: int, columns: int, pixel: float, distance: float = 100.0, sdd: float = 130.0) -> tuple[Tensor, ...]:
    """Source, targets and world_to_pixel of a camera that looks at the origin along -y, turned a little."""
    source, target = cone(
        (0.0, distance, 0.0), (0.0, distance - sdd, 0.0), rows, columns, pixel, ((1.0, 0, 0), (0, 0, -1.0))
    )
    u, v = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1.0, 0]], dtype=torch.float64) / pixel
    depth = torch.tensor([0, -1.0, 0, distance], dtype=torch.float64) / sdd
    hint = torch.stack([u + (columns - 1) / 2 * depth, v + (rows - 1) / 2 * depth, depth])
    a, b = 0.3, 0.2
    turn = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]], dtype=torch.float64)
    turn = turn @ torch.tensor([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]]).double()
    hint = torch.cat([hint[:, :3] @ turn.T, hint[:, 3:]], dim=1)
    return source @ turn.T, target @ turn.T, hint[None]


def parallel(rows: int, columns: int, pixel: float) -> tuple[Tensor, ...]:
    """The same of a parallel beam along -y."""
    x, z = torch.meshgrid(
        (torch.arange(columns) - (columns - 1) / 2) * pixel,
        -(torch.arange(rows) - (rows - 1) / 2) * pixel,
        indexing="xy",
    )
    middle = torch.stack([x, torch.zeros_like(x), z], -1).reshape(1, -1, 3).double()
    way = torch.tensor([0.0, 50.0, 0.0], dtype=torch.float64)
    hint = torch.tensor([[[1 / pixel, 0, 0, (columns - 1) / 2], [0, 0, -1 / pixel, (rows - 1) / 2], [0, 0, 0, 1]]])
    return middle + way, middle - way, hint.double()


def mesh_scenes(level: int = 1, rows: int = 9, columns: int = 11, rays: int = 40) -> dict[str, MeshScene]:
    """Cases that every backend must pass, in value and derivatives."""
    vertices, faces = potato(level)
    source, target, hint = pinhole(rows, columns, 30 / columns)
    rays_in = random_rays(rays, 10.0)
    inside = [(points * 0.1)[None] for points in rays_in]
    batch = torch.stack([vertices, vertices.flip(1).roll(1, 1) + 1.5])
    both = [torch.cat([points, points.roll(1, -1)]) for points in (source, target)]
    shorter = source + 0.93 * (target - source)
    return {
        "a camera": MeshScene(vertices, faces, source, target, hint, columns),
        "no hint": MeshScene(vertices, faces, source, target),
        "a parallel beam": MeshScene(vertices, faces, *parallel(rows, columns, 27 / columns), columns),
        "rays in all directions": MeshScene(vertices, faces, *(points[None] for points in rays_in)),
        "both ends inside": MeshScene(vertices, faces, *inside),
        "one end inside": MeshScene(vertices, faces, inside[0], rays_in[1][None]),
        "ends before the mesh": MeshScene(vertices, faces, source, shorter, hint, columns),
        "a mesh for each": MeshScene(batch, faces, *both),
        "one mesh for both": MeshScene(vertices, faces, *both),
        "around the source": MeshScene(vertices + source[0, 0] + 0.7, faces, source, target, hint, columns),
    }


SCENES = mesh_scenes()
SMALL_SCENES = mesh_scenes(0, 5, 6, 12)
"""For Triton's interpreter, which takes its time for every triangle."""
REPRESENTATIVE = {"a camera", "rays in all directions"}


def scene_for(backend: str, name: str) -> MeshScene:
    """A scene on the device that a backend works on."""
    scene = SMALL_SCENES[name] if backend == "gpu" and GPU is None else SCENES[name]
    return scene.on(device_of(backend))


def mesh_for(backend: str, level: int) -> tuple[Tensor, Tensor]:
    """A closed mesh on the device of a backend, with fewer triangles for the interpreter."""
    vertices, faces = potato(0 if backend == "gpu" and GPU is None else level)
    return vertices.to(device_of(backend)), faces.to(device_of(backend))


def on_backends(names: Iterable[str]) -> list:
    """Parameters (backend, scene): the interpreter gets the representative scenes, and the others under `-m slow`."""
    parameters = []
    for backend, name in product(FAST_BACKENDS, names):
        late = backend.values == ("gpu",) and GPU is None and name not in REPRESENTATIVE
        parameters.append(pytest.param(*backend.values, name, marks=[*backend.marks, *[pytest.mark.slow] * late]))
    return parameters
