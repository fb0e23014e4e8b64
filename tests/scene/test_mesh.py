"""Meshes: thickness, what is refused, and what is mended and said."""

import numpy as np
import pytest
import torch
from scene_cases import TETRAHEDRON, TETRAHEDRON_FACES, cone_views, cube, icosphere, random_rays, ray, shifted
from torch.autograd import gradcheck

from raygrad.geometry import ParallelViews, RayViews
from raygrad.march import Marching
from raygrad.scene import Mesh, Scene, SceneWarning, Spheres

pytestmark = pytest.mark.filterwarnings("error")


def of(mesh, **changes):
    return Mesh(mesh, material=1.0, unit="mm", **changes)


def test_a_cubes_thickness_is_exact():
    scene = Scene([of(cube(5.0))])
    for source, target, expected in [
        ((0.1, 0.2, -100), (0.1, 0.2, 100), 10.0),
        ((0, 0, -100), (0, 0, 100), 10.0),  # along the diagonals of two faces
        ((-100, -100, 1), (100, 100, 1), 10.0 * 2**0.5),  # through two edges
        ((0, 0, 0), (0, 0, 100), 5.0),
        ((0, 0, -1), (0, 0, 2), 3.0),  # both ends inside
        ((0, 0, -100), (0, 0, 2), 7.0),
    ]:
        assert scene.render(ray(source, target)).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("displace", [True, False])
def test_meshes_converge_to_a_ball_at_order_2(displace):
    rays = random_rays(400, reach=15.0)
    ball = Scene([Spheres([[0, 0, 0]], 10.0, material=1.0)]).render(rays)
    errors = []
    for rounds in (1, 2, 3):
        other = Spheres([[0, 0, 500]], 1.0)  # so that crossings are sorted
        bodies = [of(icosphere(10.0, rounds))] + ([other] if displace else [])
        image = Scene(bodies).prepared.march([rays] * len(bodies), Marching())
        errors.append((image - ball).abs().mean().item())
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (rates > 1.7).all()
    assert (rates < 2.3).all()


@pytest.mark.parametrize("displace", [True, False])
def test_vertices_and_rays_have_derivatives(displace):
    vertices = torch.tensor(TETRAHEDRON * 5, requires_grad=True)
    rays = random_rays(12, reach=5.0, seed=1)
    ends = [end.clone().requires_grad_() for end in rays.parameters()]

    def image(vertices, source, target):
        bodies = [of((vertices, TETRAHEDRON_FACES))]
        if displace:
            bodies.append(Spheres([[0, 0, 1.0]], 1.5, material=2.0))
        scene = Scene(bodies)
        return scene.prepared.march([type(rays)(source, target)] * len(bodies), Marching())

    assert (image(vertices, *ends) > 0).sum() > 4
    assert gradcheck(image, (vertices, *ends), eps=1e-6, atol=1e-5, fast_mode=True)


def parallel_views(height=19, width=23):
    """Beams of 80 mm that begin and end beside the origin, from two sides."""
    axes = torch.eye(3, dtype=torch.float64)[[0, 1]], torch.eye(3, dtype=torch.float64)[[1, 2]]
    direction, across = (turned + 0.1 for turned in axes)
    return ParallelViews(direction, 40 * direction, across, torch.linalg.cross(direction, across), height, width, 80.0)


SIGHTS = {
    "cones": cone_views(18, 21, delx=2.0, angles=((0.1, 0.2, 0.3), (1.2, -0.4, 0.1))),
    "in single precision": cone_views(18, 21, delx=2.0, angles=((0.1, 0.2, 0.3),), dtype=torch.float32),
    "detectors in the mesh": cone_views(18, 21, delx=2.0, sid=1015.0),
    "the source in the mesh": cone_views(18, 21, delx=40.0, sid=5.0),
    "the source beyond it": cone_views(18, 21, delx=40.0, sid=-30.0),
    "parallel beams": parallel_views(),
}


@pytest.mark.parametrize("name", SIGHTS)
@pytest.mark.filterwarnings("ignore:No ray meets")
def test_views_show_what_their_rays_do_to_the_bit(name):
    """Crossings are looked for faster in images, also in those of which some rays are left out."""
    views = SIGHTS[name]
    mesh, other = of(icosphere(12.0, 3)), of(icosphere(7.0, 2), pose=shifted(6.0, 9.0, 4.0))
    (corners, faces), (more, _) = cube(6.0), cube(3.0, (8.0, 9, 1))
    parts = of((np.concatenate([corners, more]), np.concatenate([faces, faces + 8])))
    for bodies in ([mesh, other], [mesh, other, Spheres([[0, 5, 5]], 4.0)], [parts]):
        prepared = Scene(bodies).prepared
        seen = [views if body.pose is None else views.moved(body.pose.inverse()) for body in bodies]
        rays = [RayViews(*(ends.expand(one.rays()[1].shape) for ends in one.rays())) for one in seen]
        (image, found), (expected, wanted) = (prepared.march_with_jacobian(each, Marching()) for each in (seen, rays))
        assert torch.equal(image, expected)
        assert bool(image.any()) == (name != "the source beyond it")
        for place, (one, same) in enumerate(zip(found, wanted, strict=True)):
            assert torch.equal(one.by_ends, same.by_ends)
            assert torch.equal(prepared.silhouette(place, seen[place]), prepared.silhouette(place, rays[place]))
    for solid in (mesh, parts):
        scene = Scene([solid])
        assert torch.equal(scene.depth(views).flatten(2), scene.depth(rays[0]).flatten(2))


def test_parts_that_overlap_are_one_and_cavities_are_empty():
    a, faces = cube(5.0)
    two = np.concatenate([a, a + np.array([2.0, 0, 0])]), np.concatenate([faces, faces + 8])
    along_x = ray((-100, 0.1, 0.3), (100, 0.1, 0.3))
    assert Scene([of(two)]).render(along_x).item() == pytest.approx(12.0)
    hollow = np.concatenate([a, a * 0.5]), np.concatenate([faces, faces[:, ::-1] + 8])
    assert Scene([of(hollow)]).render(along_x).item() == pytest.approx(5.0)


def test_what_is_inside_out_is_turned_and_said():
    vertices, faces = cube(5.0)
    with pytest.warns(SceneWarning, match="12 triangles of the mesh 'cup' are inside out"):
        turned = of((vertices, faces[:, ::-1]), name="cup")
    along_x = ray((-100, 0.1, 0.3), (100, 0.1, 0.3))
    assert Scene([turned]).render(along_x).item() == pytest.approx(10.0)
    beside = (
        np.concatenate([vertices, vertices * 0.5 + np.array([20, 0, 0])]),
        np.concatenate([faces, faces[:, ::-1] + 8]),
    )
    with pytest.warns(SceneWarning, match="12 triangles of the mesh are inside out"):
        turned = of(beside)
    assert Scene([turned]).render(along_x).item() == pytest.approx(15.0)
    hollow = np.concatenate([vertices, vertices * 0.5]), np.concatenate([faces[:, ::-1], faces + 8])
    with pytest.warns(SceneWarning, match="24 triangles of the mesh are inside out"):
        turned = of(hollow)
    assert Scene([turned]).render(along_x).item() == pytest.approx(5.0)


def test_triangles_without_area_are_left_out_and_said():
    vertices, faces = cube(5.0)
    thin = np.concatenate([faces, [[0, 0, 1], [2, 2, 2]]])
    with pytest.warns(SceneWarning, match="2 triangles of the mesh have no area"):
        mesh = of((vertices, thin))
    assert len(mesh.faces) == 12


def test_a_mesh_that_is_not_closed_is_refused_with_its_open_edges():
    vertices, faces = cube(5.0)
    with pytest.raises(ValueError, match="Got 4 open edges in the mesh"):
        of((vertices, faces[2:]))
    turned = faces.copy()
    turned[0] = turned[0, ::-1]
    with pytest.raises(ValueError, match=r"turned alike. Got 3 edges"):
        of((vertices, turned))


def test_repair_fills_holes_turns_triangles_and_joins_vertices():
    pytest.importorskip("trimesh")
    vertices, faces = cube(5.0)
    along_x = ray((-100, 0.1, 0.3), (100, 0.1, 0.3))
    turned = faces.copy()
    turned[0] = turned[0, ::-1]
    apart = vertices[faces].reshape(-1, 3) + np.random.default_rng(0).uniform(-1e-7, 1e-7, (36, 3))
    for mesh in [(vertices, faces[1:]), (vertices, turned), (apart, np.arange(36).reshape(-1, 3))]:
        with pytest.raises(ValueError, match="repair=True"):
            of(mesh)
        assert Scene([of(mesh, repair=True)]).render(along_x).item() == pytest.approx(10.0, abs=1e-5)
    with pytest.raises(ValueError, match="could not be repaired"):
        of((vertices, faces[:5]), repair=True)


def test_the_size_says_metres_or_inches():
    vertices, faces = cube(35.0)
    with pytest.raises(ValueError, match=r"as in metres. Say unit='m'"):
        Mesh((vertices / 1000, faces))
    with pytest.raises(ValueError, match="extent of the mesh is 7e\\+04"):
        Mesh((vertices * 1000, faces))
    with pytest.warns(SceneWarning, match="Say unit='inch'"):
        Mesh((vertices / 25.4, faces))
    with pytest.raises(ValueError, match="unit as one of"):
        Mesh((vertices, faces), unit="yard")
    assert Mesh((vertices / 1000, faces), unit="m").vertices.max().item() == pytest.approx(35)
    assert Mesh((vertices / 25.4, faces), unit="inch").vertices.max().item() == pytest.approx(35)


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        ((np.zeros((0, 3)), np.zeros((0, 3), int)), "Got none"),
        ((np.zeros((3, 2)), np.zeros((1, 3), int)), "vertices"),
        ((np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "finite"),
        ((np.eye(3), np.array([[0, 1, 3]])), "from 0 to 3"),
        ((np.eye(3), np.array([[0.0, 1.0, 2.0]])), "whole numbers"),
        ((np.eye(3), np.array([[0, 0, 1]])), "with an area"),
        (7, "as a file, or as"),
    ],
)
def test_what_is_no_mesh_is_refused(mesh, message):
    with pytest.raises(ValueError, match=message):
        of(mesh)


def written(folder, name, mesh, **options):
    trimesh = pytest.importorskip("trimesh")
    path = folder / name
    trimesh.Trimesh(*mesh, process=False).export(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cup.stl", {}),
        ("cup.STL", {"file_type": "stl_ascii"}),
        ("cup.ply", {}),
        ("cup.ply", {"encoding": "ascii"}),
        ("cup.obj", {}),
    ],
)
def test_files_are_read(tmp_path, name, options):
    ball = icosphere(10.0, 2)
    path = written(tmp_path, name, ball, **options)
    mesh = Mesh(path, material=1.0)
    assert (len(mesh.faces), mesh.n_parts) == (320, 1)
    views = cone_views(24, delx=1.5)
    torch.testing.assert_close(Scene([mesh]).render(views), Scene([of(ball)]).render(views), atol=1e-4, rtol=0)


def test_files_that_are_none_are_refused(tmp_path):
    pytest.importorskip("trimesh")
    with pytest.raises(ValueError, match=r"Expected a mesh as .stl, .ply, .obj"):
        Mesh("cup.step")
    with pytest.raises(ValueError, match="Got none"):
        Mesh(tmp_path / "cup.stl")
    for name, content in [
        ("a.stl", b"solid nothing\nendsolid nothing\n"),
        ("b.ply", b"ply\n"),
        ("c.obj", b"v 1 2 3\n"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="Expected triangles in"):
            Mesh(tmp_path / name)
    vertices, faces = cube(5.0)
    path = written(tmp_path, "open.stl", (vertices, faces[2:]))
    with pytest.raises(ValueError, match=r"4 open edges in .*open.stl"):
        Mesh(path)
