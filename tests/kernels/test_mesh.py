"""Rays through closed meshes: every backend against the reference, and what a march promises."""

import inspect

import pytest
import torch
from kernel_cases import (
    BACKENDS,
    BACKENDS_IN_TIME,
    assert_all_close,
    device_of,
    needs_extension,
    needs_gpu_kernels,
    opcheck,
    random_like,
)
from mesh_cases import (
    SCENES,
    MeshScene,
    icosphere,
    mesh_for,
    on_backends,
    parallel,
    pinhole,
    potato,
    scene_for,
    tetrahedron,
)

from raygrad.kernels import mesh_hits, project_mesh, project_mesh_with_jacobian

COMPILED_IN_TIME = [backend for backend in BACKENDS_IN_TIME if backend.values != ("reference",)]
pytestmark = pytest.mark.usefixtures("one_thread")


def results(scene: MeshScene, backend: str, hint: bool = True) -> list[torch.Tensor]:
    """Thickness, Jacobian, and the gradients for a random cotangent by vertices, source and target."""
    leaves = [tensor.clone().requires_grad_() for tensor in (scene.vertices, scene.source, scene.target)]
    options = scene.hint if hint else {}
    both = project_mesh_with_jacobian(leaves[0], scene.faces, *leaves[1:], **options, backend=backend)
    gradients = torch.autograd.grad((both[0] * random_like(both[0]).to(both[0])).sum(), leaves)
    alone = project_mesh(*scene.tensors, **options, backend=backend)
    assert torch.equal(alone, both[0])
    return [tensor.detach() for tensor in (*both, *gradients)]


def assert_hint_changes_no_bit(scene: MeshScene) -> None:
    """Of thickness, derivatives and hits."""
    hits = mesh_hits(*scene.tensors, **scene.hint, backend="cpu"), mesh_hits(*scene.tensors, backend="cpu")
    found = [(*results(scene, "cpu", hint), *some) for hint, some in zip((True, False), hits, strict=True)]
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("backend", "name"), on_backends(SCENES))
def test_march_matches_reference(backend, name):
    scene = scene_for(backend, name)
    expected = results(scene, "reference")
    assert expected[0].abs().max() > 0
    for got, wanted in zip(results(scene, backend), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("name", ["a camera", "a mesh for each", "one mesh for both", "one end inside"])
def test_gradcheck(backend, name):
    scene = scene_for(backend, name)
    leaves = [tensor.clone().requires_grad_() for tensor in (scene.vertices, scene.source, scene.target)]

    def thickness(vertices, source, target):
        return project_mesh(vertices, scene.faces, source, target, **scene.hint, backend=backend)

    assert torch.autograd.gradcheck(thickness, leaves, eps=1e-7, atol=1e-5, fast_mode=True)


def test_reference_is_twice_differentiable():
    vertices, faces = tetrahedron()
    source, target, _ = pinhole(3, 3, 1.1)
    leaves = [tensor.requires_grad_() for tensor in (vertices, source + 2, target + 2)]
    assert torch.autograd.gradgradcheck(
        lambda v, s, t: project_mesh(v, faces, s, t, backend="reference"), leaves, eps=1e-6, atol=1e-4, fast_mode=True
    )


@needs_extension
@pytest.mark.parametrize("name", SCENES)
def test_hits_match_reference(name):
    scene = SCENES[name]
    got, expected = (mesh_hits(*scene.tensors, **scene.hint, backend=backend) for backend in ("cpu", "reference"))
    for ours, theirs in zip((*got[:3], got.sign), (*expected[:3], expected.sign), strict=True):
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(got.fraction, expected.fraction, rtol=0, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
def test_hits_give_the_thickness(backend):
    scene = scene_for(backend, "rays in all directions")
    hits = mesh_hits(*scene.tensors, backend=backend)
    length = (scene.target - scene.source).norm(dim=-1)
    sums = torch.zeros_like(length).index_put_((hits.batch, hits.ray), hits.sign * hits.fraction, accumulate=True)
    torch.testing.assert_close(sums * length, project_mesh(*scene.tensors, backend=backend), rtol=1e-12, atol=1e-12)
    assert (hits.fraction.diff()[hits.ray.diff() == 0] >= 0).all()
    assert (hits.ray.diff() >= 0).all()


# --- hints and threads change the time, nothing else


def wrong_hints() -> dict[str, torch.Tensor]:
    """For the pinhole of 60 x 64 pixels."""
    _, _, hint = pinhole(60, 64, 0.5)
    half = hint.clone()
    half[:, :2] += 0.5 * hint[:, 2:]
    turned = hint.clone()
    turned[:, :, :3] = hint[:, :, :3].roll(1, -1)
    return {
        "right": hint,
        "of single precision": hint.float(),
        "in other units": 1e5 * hint,
        "half a pixel off": half,
        "of a source elsewhere": hint + torch.tensor([[0, 0, 0, 3.0], [0, 0, 0, -2], [0, 0, 0, 0.01]]),
        "of another view": turned,
        "behind the source": -hint,
        "nothing": torch.zeros_like(hint),
        "not finite": hint * torch.nan,
    }


@needs_extension
@pytest.mark.parametrize("name", wrong_hints())
def test_hints_change_no_bit(name):
    source, target, _ = pinhole(60, 64, 0.5)
    scene = MeshScene(*potato(3), source, target, wrong_hints()[name], 64)
    for dtype in (torch.float32, torch.float64):
        assert_hint_changes_no_bit(scene.to(dtype))


@needs_extension
def test_hits_of_images_in_which_pixels_are_left_out():
    source, target, hint = pinhole(60, 64, 0.5)
    shown = torch.rand(60 * 64, generator=torch.Generator().manual_seed(2)) < 0.3
    sparse = torch.where(shown[:, None], target, source)
    got = mesh_hits(*potato(3), source, sparse, world_to_pixel=hint, image_width=64)
    every = mesh_hits(*potato(3), source, target)
    assert 100 < len(got.ray) < len(every.ray)
    for ours, theirs in zip(got, every, strict=True):
        assert torch.equal(ours, theirs[shown[every.ray]])


@needs_extension
def test_hits_of_many_triangles_on_one_ray_are_in_order():
    """Planes in no order, whose hits are put in order; of those at one place the triangle decides."""
    generator = torch.Generator().manual_seed(5)
    height = torch.randint(0, 40, (300,), generator=generator).double()
    corners = torch.tensor([[-30.0, -20, 0], [30, -20, 0], [0, 40, 0]], dtype=torch.float64)
    vertices = (corners + height[:, None, None] * torch.tensor([0, 0, 0.1], dtype=torch.float64)).flatten(0, 1)
    faces = torch.arange(900).reshape(300, 3)
    source, target, hint = pinhole(40, 37, 0.6)
    scene = MeshScene(vertices, faces, source, target, hint, 37)
    assert_hint_changes_no_bit(scene)
    hits = mesh_hits(*scene.tensors, **scene.hint)
    place = list(zip(hits.ray.tolist(), hits.fraction.tolist(), hits.triangle.tolist(), strict=True))
    assert max(hits.ray.bincount()) > 200
    assert place == sorted(place)


@needs_extension
def test_hints_of_parallel_beams_and_of_meshes_beside_the_source():
    source, target, hint = parallel(40, 37, 0.6)
    vertices, faces = potato(3)
    scenes = [MeshScene(vertices, faces, source, target, hint, 37)]
    source, target, hint = pinhole(40, 37, 0.7)
    for shift in (0.0, 12.0, -25.0, 300.0):
        scenes.append(MeshScene(vertices + source[0] * (1 + shift / 100), faces, source, target, hint, 37))
    large = MeshScene(vertices * 50, faces, source, target, hint, 37)  # the source is inside, pixels see one side
    for scene in (*scenes, large):
        assert_hint_changes_no_bit(scene)


@needs_extension
@pytest.mark.parametrize("hint", [False, True])
def test_results_do_not_depend_on_threads(hint):
    source, target, world_to_pixel = pinhole(60, 64, 0.5)
    scene = MeshScene(*potato(3), source, target, world_to_pixel, 64).to(torch.float32)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        hits = mesh_hits(*scene.tensors, **(scene.hint if hint else {}))
        found.append((*results(scene, "cpu", hint), *hits))
    torch.set_num_threads(1)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@needs_gpu_kernels
@pytest.mark.interpreter
@pytest.mark.slow
@pytest.mark.parametrize("name", ["right", "half a pixel off", "nothing"])
def test_hints_change_no_bit_on_a_gpu(name):
    """Of the gradient by vertices, whose sums are in another order, the last bits."""
    source, target, hint = pinhole(20, 70, 0.5)
    hint = {
        "right": hint,
        "half a pixel off": hint + 0.5 * hint[:, 2:] * torch.tensor([[1], [1], [0]]),
        "nothing": 0 * hint,
    }
    scene = MeshScene(*potato(0), source, target, hint[name], 70).on(device_of("gpu"))
    ours, theirs = results(scene, "gpu"), results(scene, "gpu", False)
    for i in (0, 1, 3, 4):
        assert torch.equal(ours[i], theirs[i])
    torch.testing.assert_close(ours[2], theirs[2], rtol=1e-12, atol=1e-12)


@needs_gpu_kernels
@pytest.mark.interpreter
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # of the interpreter
def test_what_is_not_right_gives_nan_on_a_gpu():
    """Where values are not looked at."""
    scene = scene_for("gpu", "a camera")
    bad_vertices, bad_target, stray = scene.vertices.clone(), scene.target.clone(), scene.faces.clone()
    bad_vertices[0, 0], bad_target[0, 3, 1], stray[0, 0] = torch.nan, torch.inf, len(scene.vertices)
    rays = (scene.source, scene.target)
    assert project_mesh(bad_vertices, scene.faces, *rays, **scene.hint, backend="gpu").isnan().all()
    assert project_mesh(scene.vertices, stray, *rays, **scene.hint, backend="gpu").isnan().all()
    found = project_mesh(scene.vertices, scene.faces, scene.source, bad_target, **scene.hint, backend="gpu")
    assert found.isnan().nonzero().tolist() == [[0, 3]]


# --- float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_is_rounded_once(backend):
    """From a source 1000 mm away: single precision in, thickness to single precision out."""
    source, target = (points.to(device_of(backend)) for points in pinhole(12, 12, 2.0, 1000.0, 1100.0)[:2])
    mesh = mesh_for(backend, 2)
    rounded = MeshScene(*mesh, source, target).to(torch.float32)
    thickness, jacobian = project_mesh_with_jacobian(*rounded.tensors, backend=backend)
    exact = project_mesh_with_jacobian(*rounded.to(torch.float64).tensors, backend=backend)
    assert thickness.dtype == jacobian.dtype == torch.float32
    assert torch.equal(thickness, exact[0].float())
    assert torch.equal(jacobian, exact[1].float())
    # The ends themselves were rounded, to 0.03 micrometres.
    unrounded = project_mesh(*mesh, source, target, backend=backend)
    assert (thickness - unrounded).abs().max() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_rays_of_parallel_beams_may_come_from_far_away(backend):
    source, target = (points.to(device_of(backend)) for points in parallel(6, 6, 3.1)[:2])
    vertices, faces = mesh_for(backend, 2)
    expected = project_mesh(vertices, faces, source, target, backend=backend)
    for distance in (1e4, 1e6):
        way = (source - target) * distance
        got = project_mesh(vertices, faces, source + way, target - way, backend=backend)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-9 * distance)
        single = project_mesh(vertices.float(), faces, source + way, target - way, backend=backend)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single, expected.float(), rtol=0, atol=1e-5 + 1e-9 * distance)


# --- rays and meshes that are none


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_gives_exactly_nothing(backend):
    vertices, faces = (tensor.to(device_of(backend)) for tensor in icosphere(0))
    source, target = vertices.new_zeros(1, 1, 3), vertices.new_zeros(1, 2, 3)
    target[0, 1, 0] = 0.5
    thickness, jacobian = project_mesh_with_jacobian(vertices, faces, source, target, backend=backend)
    assert thickness.tolist() == [[0, 0.5]]
    assert (jacobian[0, 0] == 0).all()
    assert jacobian[0, 1].tolist() == [-1, 0, 0, 1, 0, 0]
    empty = project_mesh_with_jacobian(vertices[:0], faces[:0], source, target, backend=backend)
    assert all((tensor == 0).all() for tensor in empty)
    assert project_mesh(vertices, faces, source, target[:, :0], backend=backend).shape == (1, 0)
    assert len(mesh_hits(vertices[:0], faces[:0], source, target, backend=backend).ray) == 0
    assert len(mesh_hits(vertices, faces, source[:0], target[:0], backend=backend).ray) == 0


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_unused_vertices_and_triangles_without_area_change_nothing(backend):
    scene = scene_for(backend, "rays in all directions")
    expected = project_mesh(*scene.tensors, backend=backend)
    vertices = torch.cat([scene.vertices, torch.full_like(scene.vertices[:1], 1e5)])
    flat = scene.faces.new_tensor([[0, 0, 1], [2, 3, 2], [5, 5, 5]])
    got = project_mesh(vertices, torch.cat([scene.faces, flat]), scene.source, scene.target, backend=backend)
    assert torch.equal(got, expected)


# --- derivatives of other kinds


@pytest.mark.parametrize("backend", COMPILED_IN_TIME)
def test_transforms(backend):
    scene = scene_for(backend, "a camera")
    way = random_like(scene.target)

    def thickness(target, hint=scene.world_to_pixel, backend=backend):
        return project_mesh(
            scene.vertices,
            scene.faces,
            scene.source,
            target,
            world_to_pixel=hint,
            image_width=scene.image_width,
            backend=backend,
        )

    got = torch.func.jvp(thickness, (scene.target,), (way,))
    expected = torch.func.jvp(lambda t: thickness(t, backend="reference"), (scene.target,), (way,))
    assert_all_close(got, expected)
    several = torch.stack([scene.target, scene.target + 0.1, scene.target - 0.2])
    hints = scene.world_to_pixel.expand(3, 1, 3, 4)
    expected = torch.stack([thickness(target) for target in several])
    assert torch.equal(torch.func.vmap(thickness)(several, hints), expected)
    assert torch.equal(torch.func.vmap(lambda target: thickness(target, None))(several), expected)
    assert torch.equal(torch.func.vmap(thickness)(several), expected)
    gradients = torch.func.vmap(torch.func.grad(lambda v: thickness_of(v, scene, backend).sum()))
    vertices = torch.stack([scene.vertices, scene.vertices * 0.9])
    expected = [torch.func.grad(lambda v: thickness_of(v, scene, backend).sum())(v) for v in vertices]
    assert torch.equal(gradients(vertices), torch.stack(expected))


def thickness_of(vertices, scene, backend):
    return project_mesh(vertices, scene.faces, scene.source, scene.target, **scene.hint, backend=backend)


@pytest.mark.parametrize("backend", COMPILED_IN_TIME)
def test_what_the_compiled_kernels_do_not_know_is_refused(backend):
    scene = scene_for(backend, "a camera")
    leaves = [tensor.clone().requires_grad_() for tensor in (scene.vertices, scene.source, scene.target)]
    thickness, jacobian = project_mesh_with_jacobian(leaves[0], scene.faces, *leaves[1:], backend=backend)
    for leaf in leaves:
        (gradient,) = torch.autograd.grad(thickness.square().sum(), leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="backend='reference'"):
            gradient.sum().backward()
    with pytest.raises(RuntimeError, match="backend='reference'"):
        jacobian.sum().backward()
    with pytest.raises(RuntimeError, match="backwards only"):
        torch.func.jvp(lambda v: thickness_of(v, scene, backend), (scene.vertices,), (scene.vertices,))


@pytest.mark.parametrize("backend", COMPILED_IN_TIME)
@pytest.mark.parametrize("operator", ["march_mesh", "march_mesh_with_jacobian", "march_mesh_adjoint", "mesh_hits"])
def test_opcheck(operator, backend):
    scene = scene_for(backend, "a camera")
    tensors = [tensor.clone().requires_grad_() for tensor in (scene.vertices[None], scene.source, scene.target)]
    faces = scene.faces.int()
    arguments = (*tensors, faces, scene.world_to_pixel, scene.image_width, backend)
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if operator == "mesh_hits":
        arguments = (*(tensor.detach() for tensor in tensors), *arguments[3:])
        checks.remove("test_autograd_registration")
    if operator == "march_mesh_adjoint":
        arguments = (random_like(scene.target[..., 0]), *(tensor.detach() for tensor in arguments[:3]), *arguments[3:])
    if operator == "march_mesh":
        checks.append("test_aot_dispatch_dynamic")
    opcheck(operator, arguments, checks)


# --- what is refused


def good() -> dict:
    scene = SCENES["a camera"]
    names = ("vertices", "faces", "source", "target")
    return dict(zip(names, scene.tensors, strict=True)) | {
        "world_to_pixel": None,
        "image_width": None,
        "backend": "auto",
    }


BAD = {
    "vertices of two numbers": ({"vertices": torch.zeros(4, 2)}, ValueError, r"\(vertex, 3\)"),
    "vertices of another batch": ({"vertices": torch.zeros(3, 200, 3)}, ValueError, "Expected one mesh, or 1"),
    "whole numbers": ({"vertices": torch.zeros(200, 3, dtype=torch.int64)}, TypeError, "floating-point"),
    "half precision": ({"vertices": torch.zeros(200, 3).half()}, TypeError, "float32 or float64"),
    "no tensor": ({"target": [[[0.0, 0, 0]]]}, TypeError, "torch.Tensor"),
    "faces of four": ({"faces": torch.zeros(5, 4, dtype=torch.int64)}, ValueError, r"\(triangle, 3\)"),
    "faces as fractions": ({"faces": torch.zeros(5, 3)}, TypeError, "int32 or int64"),
    "faces beyond": ({"faces": torch.tensor([[0, 1, 42]])}, ValueError, "vertices 0 to 41. Got 42"),
    "faces below": ({"faces": torch.tensor([[0, 1, -1]])}, ValueError, "Got -1"),
    "sources that do not fit": ({"source": torch.zeros(1, 2, 3)}, ValueError, r"\(1, 1, 3\) or \(1, 99, 3\)"),
    "flat targets": ({"target": torch.zeros(99, 3)}, ValueError, r"\(batch, ray, 3\)"),
    "NaN vertices": ({"vertices": torch.full((42, 3), torch.nan)}, ValueError, "finite vertices"),
    "infinite rays": ({"source": torch.full((1, 1, 3), torch.inf)}, ValueError, "finite rays"),
    "a hint alone": ({"world_to_pixel": torch.zeros(1, 3, 4)}, ValueError, "image_width"),
    "a square hint": ({"world_to_pixel": torch.zeros(1, 4, 4), "image_width": 11}, ValueError, r"\(1, 3, 4\)"),
    "a width that does not fit": ({"image_width": 10}, ValueError, "rows of image_width pixels"),
    "an unknown backend": ({"backend": "magic"}, ValueError, "backend"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    wrong, error, words = BAD[name]
    for function in (project_mesh, project_mesh_with_jacobian, mesh_hits):
        with pytest.raises(error, match=words):
            inspect.unwrap(function)(**(good() | wrong))  # as users have it: without the tests' hook for annotations
