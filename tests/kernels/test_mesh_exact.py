"""Meshes against what is known in closed form, and nothing leaks: rays through corners, along edges, in faces."""

from fractions import Fraction
from itertools import pairwise, product

import pytest
import torch
from kernel_cases import BACKENDS_IN_TIME, device_of, needs_extension
from mesh_cases import box, convex_thickness, distance_to_origin, icosphere, potato, random_rays, tetrahedron
from torch import Tensor

from raygrad.kernels import MeshHits, mesh_hits, project_mesh

pytestmark = pytest.mark.usefixtures("one_thread")


def thickness(mesh: tuple[Tensor, Tensor], source: Tensor, target: Tensor, backend: str) -> Tensor:
    """Of rays (ray, 3)."""
    tensors = (tensor.to(device_of(backend)) for tensor in (*mesh, source[None], target[None]))
    return project_mesh(*tensors, backend=backend)[0].cpu()


def hits_of(mesh: tuple[Tensor, Tensor], source: Tensor, target: Tensor, backend: str) -> MeshHits:
    """Of rays (ray, 3)."""
    tensors = (tensor.to(device_of(backend)) for tensor in (*mesh, source[None], target[None]))
    return MeshHits(*(tensor.cpu() for tensor in mesh_hits(*tensors, backend=backend)))


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("mesh", [tetrahedron(), box((-2, -1, -3), (3, 4, 1))], ids=["tetrahedron", "box"])
def test_thickness_of_convex_bodies(mesh, backend):
    """From outside to outside, and with ends inside."""
    source, target = random_rays(400, 8.0)
    for a, b in ((0, 0), (0.4, 0), (0, 0.5), (0.42, 0.56), (0.9, 0)):
        ends = source + a * (target - source), target - b * (target - source)
        expected = convex_thickness(*mesh, *ends)
        torch.testing.assert_close(thickness(mesh, *ends, backend), expected, rtol=1e-12, atol=1e-12)
    assert (expected == 0).any()


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_spheres_converge_at_order_two(backend):
    source, target = random_rays(1500, 1.0)
    chord = 2 * (1 - distance_to_origin(source, target).square()).clamp(min=0).sqrt()
    errors = [(thickness(icosphere(level), source, target, backend) - chord).abs().mean() for level in (1, 2, 3)]
    for coarse, fine in pairwise(errors):
        assert 3.4 < coarse / fine < 4.6


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rays_along_axes_through_corners_and_edges_of_a_box(axis, turn, backend):
    """Whole numbers everywhere, so that most rays meet edges: one on a face belongs to the body above it."""
    mesh = box((0, 0, 0), (4, 4, 4), pieces=4)
    places = torch.tensor(list(product(range(-1, 6), repeat=2)), dtype=torch.float64)
    source = torch.full((len(places), 3), 2.0 - 5 * turn, dtype=torch.float64)
    source[:, [(axis + 1) % 3, (axis + 2) % 3]] = places
    target = source.clone()
    target[:, axis] = 2.0 + 7 * turn
    inside = ((places >= 0) & (places < 4)).all(1)
    assert torch.equal(thickness(mesh, source, target, backend), 4.0 * inside)


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_whole_numbers_in_all_directions(backend):
    """Through corners, along edges and diagonals, in the planes of faces: as the same ray a little beside."""
    generator = torch.Generator().manual_seed(5)
    mesh = box((0, 0, 0), (6, 6, 6), pieces=3)
    start = torch.randint(0, 7, (1500, 3), generator=generator).double()
    way = torch.randint(-2, 3, (1500, 3), generator=generator).double()
    start, way = start[way.abs().amax(1) > 0], way[way.abs().amax(1) > 0]
    source, target = start - 13 * way, start + 11 * way
    main = way.abs().argmax(dim=1, keepdim=True)
    beside = torch.zeros_like(way).scatter(1, (main + 1) % 3, 1e-5).scatter(1, (main + 2) % 3, 1e-8)
    expected = convex_thickness(*mesh, source + beside, target + beside)
    assert (thickness(mesh, source, target, backend) - expected).abs().max() < 2e-4
    hits = hits_of(mesh, source, target, backend)
    assert (torch.zeros(len(way)).long().index_add_(0, hits.ray, hits.sign) == 0).all()


def assert_nothing_leaks(mesh: tuple[Tensor, Tensor], source: Tensor, target: Tensor, backend: str) -> None:
    """As many crossings inwards as outwards, exactly 0 outside of the sphere around, never below 0."""
    hits = hits_of(mesh, source, target, backend)
    assert (torch.zeros(len(source)).long().index_add_(0, hits.ray, hits.sign) == 0).all()
    assert len(hits.ray) > len(source) / 2
    found = thickness(mesh, source, target, backend)
    outside = distance_to_origin(source.double(), target.double()) > mesh[0].norm(dim=1).max() * (1 + 1e-6)
    assert outside.any()
    assert (found[outside] == 0).all()
    assert found.min() >= -1e-12 * found.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("backend", "count"),
    [
        ("reference", 3000),
        pytest.param("cpu", 10**5, marks=needs_extension),
        pytest.param("cpu", 10**6, marks=[needs_extension, pytest.mark.slow]),
    ],
)
def test_nothing_leaks(backend, count, dtype):
    vertices, faces = potato(3)
    source, target = random_rays(count, 10.0)
    assert_nothing_leaks((vertices.to(dtype), faces), source.to(dtype), target.to(dtype), backend)


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_nothing_leaks_at_corners_and_edges(backend):
    """Rays aimed at corners and at the middles of edges, as well as numbers can."""
    vertices, faces = potato(2)
    corners = vertices[faces]
    aims = torch.cat([corners.flatten(0, 1), corners.mean(1), (corners + corners.roll(1, 1)).flatten(0, 1) / 2])
    source = torch.tensor([3.0, 40.0, -7.0], dtype=torch.float64).expand_as(aims)
    hits = hits_of((vertices, faces), source, 2 * aims - source, backend)
    assert (torch.zeros(len(aims)).long().index_add_(0, hits.ray, hits.sign) == 0).all()


@pytest.mark.parametrize("backend", ["reference", pytest.param("cpu", marks=needs_extension)])
def test_sides_of_edges_are_exact(backend):
    """Prisms with an edge that passes a ray as near as numbers can be: fractions say on which side."""
    generator = torch.Generator().manual_seed(9)
    decided = 0
    for x, y, scale in torch.rand(100, 3, generator=generator, dtype=torch.float64).tolist():
        triangle = [(x, y), (-scale * x, -scale * y), (-y, x)]
        (ax, ay), (bx, by) = ((Fraction(u), Fraction(v)) for u, v in triangle[:2])
        if ax * by == ay * bx:
            continue
        decided += triangle[0][0] * triangle[1][1] == triangle[0][1] * triangle[1][0]
        vertices = torch.tensor([[*corner, z] for z in (-1.0, 1.0) for corner in triangle], dtype=torch.float64)
        sides = [[a, b, 3 + b] for a, b in ((0, 1), (1, 2), (2, 0))] + [
            [a, 3 + b, 3 + a] for a, b in ((0, 1), (1, 2), (2, 0))
        ]
        faces = torch.tensor([[2, 1, 0], [3, 4, 5], *sides])
        source, target = (torch.tensor([[0, 0, z]], dtype=torch.float64) for z in (-4.0, 4.0))
        inside = (ax * by < ay * bx) == (triangle[1][0] * triangle[2][1] < triangle[1][1] * triangle[2][0])
        found = thickness((vertices, faces), source, target, backend)
        assert found.abs().item() == pytest.approx(2.0 * inside, abs=1e-9)
    assert decided > 10, "products that rounding makes equal"


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_edges_of_a_body_seen_nearly_along_it(backend):
    """A leaf a millionth thick, whose rim rays meet nearly in its plane."""
    vertices, faces = icosphere(2)
    flat = torch.tensor([1, 1, 1e-6], dtype=torch.float64)
    source, target = random_rays(2000, 1.0)
    hits = hits_of((vertices * flat, faces), source * flat, target * flat, backend)
    assert len(hits.ray) > 2000
    assert (torch.zeros(2000).long().index_add_(0, hits.ray, hits.sign) == 0).all()
