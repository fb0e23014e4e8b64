"""Several volumes along the same rays: what each of them gives alone, on a CPU to the bit, and derivatives of all."""

from itertools import product

import pytest
import torch
from kernel_cases import (
    BACKENDS,
    BACKENDS_IN_TIME,
    FAST_BACKENDS,
    FEW_POINTS,
    GPU,
    RENDERERS,
    Scene,
    affine,
    assert_all_close,
    cone,
    degenerate_scenes,
    device_of,
    gradients,
    needs_extension,
    needs_gpu_kernels,
    opcheck,
    options,
    random_like,
    random_volume,
    scenes,
)
from torch import Tensor
from torch.func import grad, jvp, vmap

from raygrad.kernels import backproject, prepare, project, project_cameras, project_with_jacobian
from raygrad.kernels._rays import rays_of_cameras

SCENES = {name: scene for name, scene in scenes().items() if len(scene.target) == 1}
DEGENERATE = degenerate_scenes()
INTERPRETED = {("oblique cone, mixed main axes", "joseph"), ("labels, ends inside", "siddon")}
"""What Triton's interpreter has time for; the rest is marched under `-m slow`."""
CASES = [
    pytest.param(*backend.values, name, renderer, marks=[*backend.marks, *([pytest.mark.slow] if slow else [])])
    for backend, name, renderer in product(FAST_BACKENDS, SCENES, RENDERERS)
    for slow in [backend.values == ("gpu",) and GPU is None and (name, renderer) not in INTERPRETED]
]


def several(scene: Scene, count: int = 3) -> Scene:
    """The scene with so many volumes, the last of which is empty."""
    volumes = random_volume(count, *scene.volume.shape, seed=4)
    volumes[-1] = 0
    return Scene(volumes, scene.source, scene.target, scene.world_to_voxel, scene.image_width, scene.labels)


def one(scene: Scene, number: int) -> Scene:
    return Scene(scene.volume[number], *scene.rays, scene.image_width, scene.labels)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("reducefn", ["sum", "max"])
def test_the_reference_marches_each_volume(reducefn, renderer):
    scene = several(SCENES["both ends inside"])
    image, jacobian = project_with_jacobian(
        scene.volume, *scene.rays, **options(scene, renderer, "reference", reducefn=reducefn)
    )
    assert image.shape == (3, 1, 3)
    for number in range(3):
        alone = one(scene, number)
        expected = project_with_jacobian(
            alone.volume, *alone.rays, **options(alone, renderer, "reference", reducefn=reducefn)
        )
        assert_all_close((image[number : number + 1], jacobian[number : number + 1]), expected, 1e-12)


@pytest.mark.parametrize(("backend", "name", "renderer"), CASES)
def test_values_and_gradients_match_the_reference(backend, name, renderer):
    scene = several(SCENES[name])
    expected = gradients(scene, **options(scene, renderer, "reference", n_points=FEW_POINTS))
    scene = scene.on(backend)
    assert_all_close(gradients(scene, **options(scene, renderer, backend, n_points=FEW_POINTS)), expected)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_maxima_match_the_reference(backend, renderer):
    scene, settings = several(SCENES["rays in all directions"]), {"reducefn": "max", "n_points": FEW_POINTS}
    expected = gradients(scene, **options(scene, renderer, "reference", **settings))
    scene = scene.on(backend)
    assert_all_close(gradients(scene, **options(scene, renderer, backend, **settings)), expected)


def coarse(volume: Tensor) -> Tensor:
    """Few different values, so that there is a palette."""
    return (volume * 9).round() / 9


@needs_extension
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*SCENES, *DEGENERATE])
def test_each_is_the_same_to_the_bit_as_alone(name, dtype, renderer):
    """With derivatives and without, with palettes and without; more volumes than one walk reads, too."""
    for count in (2, 5, 9):
        scene = several({**SCENES, **DEGENERATE}[name], count).to(dtype)
        settings = options(scene, renderer, "cpu")
        occupancy = prepare(scene.volume)
        assert (occupancy.palette is not None) == (count <= 8)
        found = [
            *project_with_jacobian(scene.volume, *scene.rays, **settings),
            project(scene.volume, *scene.rays, **settings, occupancy=occupancy),
            project_with_jacobian(scene.volume, *scene.rays, **settings, occupancy=occupancy)[1],
        ]
        for number in range(count):
            alone = one(scene, number)
            image, jacobian = project_with_jacobian(alone.volume, *alone.rays, **settings)
            prepared = project(alone.volume, *alone.rays, **settings, occupancy=prepare(alone.volume))
            for our, their in zip(found, (image, jacobian, prepared, jacobian), strict=True):
                assert torch.equal(our[number], their[0])


def bodies() -> tuple[Tensor, Tensor, Tensor]:
    """Four volumes over several bricks: two balls, one everywhere, of many values, and one nowhere; and rays."""
    x, y, z = (torch.arange(n, dtype=torch.float32) for n in (50, 61, 37))
    small = (x[:, None, None] - 9) ** 2 + (y[:, None] - 12) ** 2 + (z - 8) ** 2 < 60
    large = (x[:, None, None] - 30) ** 2 + (y[:, None] - 35) ** 2 + (z - 20) ** 2 < 300
    noise = random_volume(50, 61, 37).float()
    volumes = torch.stack([small * noise, large * noise, noise, noise * 0])
    return volumes, *(t.float() for t in cone((14.2, -90, 26.1), (25.3, 80, 15.2), 30, 30, 3.1))


@needs_extension
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("renderer", RENDERERS)
def test_empty_bricks_and_palettes_change_no_bit(renderer, order):
    volumes, source, target = bodies()
    back = [1 + order.index(axis) for axis in range(3)]
    for values in (volumes, coarse(volumes)):
        laid = values.permute(0, *(1 + axis for axis in order)).contiguous().permute(0, *back)
        with_gaps = torch.stack([values, values], dim=-1)[..., 0]
        settings = {"renderer": renderer, "n_points": 90, "image_width": 30, "backend": "cpu"}
        occupancy = prepare(laid)
        assert (occupancy.palette is not None) == (values is not volumes)
        assert prepare(with_gaps).palette is None
        found = project_with_jacobian(laid, source, target, affine(), **settings, occupancy=occupancy)
        image = project(laid, source, target, affine(), **settings, occupancy=occupancy)
        for number, volume in enumerate(laid):
            alone = {**settings, "occupancy": prepare(volume)}
            expected = project_with_jacobian(volume, source, target, affine(), **alone)
            assert all(torch.equal(our[number], their[0]) for our, their in zip(found, expected, strict=True))
            assert torch.equal(image[number], project(volume, source, target, affine(), **alone)[0])
        assert image[2].amax() > 1
        assert (image[3] == 0).all()
        assert (found[1][3] == 0).all()


@needs_extension
@pytest.mark.parametrize("renderer", RENDERERS)
def test_each_of_eight_is_met_by_itself(renderer):
    """As many as one walk reads, each in a brick of its own."""
    volumes = torch.zeros(8, 32, 32, 32)
    for number, corner in enumerate(product((2, 20), repeat=3)):
        x, y, z = (slice(start, start + 9) for start in corner)
        volumes[number, x, y, z] = 1 + coarse(random_volume(9, 9, 9, seed=number)).float()
    rays = tuple(t.float() for t in cone((14.2, -90, 16.1), (15.3, 80, 15.2), 16, 16, 3.1))
    settings = {"renderer": renderer, "n_points": 60, "image_width": 16}
    occupancy = prepare(volumes)
    assert occupancy.palette is not None
    image = project(volumes, *rays, affine(), **settings, occupancy=occupancy)
    for number, volume in enumerate(volumes):
        assert torch.equal(image[number], project(volume, *rays, affine(), **settings)[0])
        assert image[number].amax() > 1


@needs_extension
def test_occupancy_is_of_all_the_volumes_that_were_prepared():
    volumes, rays = coarse(random_volume(4, 7, 6, 5)), cone((2, -20, 2), (2, 20, 2), 3, 4, 1.3)
    occupancy = prepare(volumes)
    for others in (volumes[::2], volumes[:3], volumes[0], volumes[:1].expand(4, -1, -1, -1)):
        with pytest.raises(ValueError, match="Expected the occupancy of this volume"):
            project(others, *rays, affine(), occupancy=occupancy)
    some = volumes[::2]
    assert prepare(some).palette is not None
    assert torch.equal(project(some, *rays, affine(), occupancy=prepare(some)), project(some, *rays, affine()))
    image = project(volumes[0], *rays, affine(), occupancy=prepare(volumes[:1]))
    assert torch.equal(image, project(volumes[:1], *rays, affine(), occupancy=prepare(volumes[0])))


@needs_extension
def test_palettes_are_for_few_sets_of_values_of_several_volumes():
    many = torch.arange(2 * 50 * 50 * 50, dtype=torch.float32).reshape(2, 50, 50, 50)
    assert prepare(many).palette is None
    assert prepare(many % 1000).palette is not None
    assert prepare((many % 1000)[:1]).palette is None
    assert prepare((many % 1000)[0]).palette is None
    assert prepare((many % 1000)[:, ::2]).palette is None
    just = torch.arange(2 * 65536, dtype=torch.float32).reshape(2, 65536, 1, 1)
    assert prepare(just).palette is not None
    assert prepare(torch.cat([just, just[:, :1] - 1], dim=1)).palette is None
    signed = torch.tensor([0.0, -0.0]).expand(2, 40, 30, 2).contiguous()  # two sets of bits
    rays = tuple(t.float() for t in cone((3, -20, 0.2), (3, 90, 0.3), 4, 4, 0.3))
    assert (project(signed, *rays, affine(), occupancy=prepare(signed)) == 0).all()


@needs_extension
@pytest.mark.parametrize("renderer", RENDERERS)
def test_results_do_not_depend_on_threads(renderer):
    volumes, source, target = bodies()
    threads, results = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        values = coarse(volumes)
        settings = {"renderer": renderer, "image_width": 30, "backend": "cpu", "n_points": 90}
        found = project_with_jacobian(values, source, target, affine(), **settings, occupancy=prepare(values))
        spread = backproject(random_like(found[0]), values, source, target, affine(), **settings)
        results.append((*found, spread))
    torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_gradcheck(renderer, backend):
    volumes = random_volume(2, 4, 5, 3, seed=3)
    source, target = cone((1.61, -14.0, 1.13), (1.27, 11.0, 0.91), 2, 3, 1.37)
    scene = Scene(volumes, source, target, affine((0.9, 1.1, 1.3)), 3).on(backend)
    leaves = [t.requires_grad_() for t in (scene.volume, scene.source, scene.target)]
    settings = {"fast_mode": True, "nondet_tol": 1e-12, "check_undefined_grad": False} if backend == "gpu" else {}
    assert torch.autograd.gradcheck(
        lambda *leaves: project(*leaves, scene.world_to_voxel, **options(scene, renderer, backend, n_points=9)),
        leaves,
        eps=1e-7,
        atol=1e-6,
        **settings,
    )


@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_adjoint(renderer, backend):
    """<A x, y> = <x, A^T y>; volume by volume that of each alone, also written to memory of one's own."""
    scene = several(SCENES["oblique cone, mixed main axes"]).on(backend)
    settings = options(scene, renderer, backend, n_points=FEW_POINTS)
    image = project(scene.volume, *scene.rays, **settings)
    cotangent = random_like(image) + 0.5
    spread = backproject(cotangent, scene.volume, *scene.rays, **settings)
    left, right = (image * cotangent).sum(), (scene.volume * spread).sum()
    assert abs(left - right) <= 1e-12 * left.abs()
    for number in range(3):
        alone = backproject(cotangent[number : number + 1], scene.volume[number], *scene.rays, **settings)
        assert_all_close([spread[number]], [alone], 1e-12)
    into = torch.full_like(scene.volume, 7)
    assert backproject(cotangent, scene.volume, *scene.rays, **settings, out=into) is into
    assert_all_close([into], [spread], 1e-12)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
@pytest.mark.parametrize("operator", ["march", "march_with_jacobian", "march_adjoint"])
def test_opcheck(operator, backend):
    scene = several(SCENES["cone along y"], 2).on(backend)
    volumes, source, target = (t.clone().requires_grad_() for t in (scene.volume, scene.source, scene.target))
    settings = (6, 1, "joseph", 9, "sum", backend)
    if operator == "march_adjoint":
        cotangent = random_like(scene.target[:, :, 0].expand(2, 1, -1)).requires_grad_()
        rays = (scene.source, scene.target, scene.world_to_voxel, None)
        arguments = (cotangent, scene.volume, *rays, *settings)
    else:
        arguments = (volumes, source, target, scene.world_to_voxel, None, None, *settings)
    checks = ["test_schema", "test_autograd_registration", "test_faketensor"]
    if operator != "march_with_jacobian" and backend == "cpu":
        checks.append("test_aot_dispatch_dynamic")
    opcheck(operator, arguments, checks)


@pytest.mark.filterwarnings("ignore:`torch.jit.script(_method)?` is deprecated:FutureWarning")
@pytest.mark.parametrize("backend", BACKENDS_IN_TIME)
def test_transforms(backend):
    scene = several(SCENES["cone along y"]).on(backend)
    settings = options(scene, "joseph", backend)

    def image(volume, source, target):
        return project(volume, source, target, scene.world_to_voxel, **settings)

    inputs = (scene.volume, scene.source, scene.target)
    ways = [random_like(value, seed) for seed, value in enumerate(inputs)]
    _, tangent = jvp(image, inputs, tuple(ways))
    step = 1e-6
    ahead, behind = (image(*(x + s * d for x, d in zip(inputs, ways, strict=True))) for s in (step, -step))
    assert_all_close([tangent], [(ahead - behind) / (2 * step)], 1e-6)
    leaf = scene.source.clone().requires_grad_()
    (expected,) = torch.autograd.grad(image(scene.volume, leaf, scene.target).square().sum(), leaf)
    assert_all_close([grad(lambda s: image(scene.volume, s, scene.target).square().sum())(scene.source)], [expected])
    sources = scene.source + torch.arange(2, device=scene.source.device)[:, None, None, None] * 0.1
    mapped = vmap(image, in_dims=(None, 0, None))(scene.volume, sources, scene.target)
    assert mapped.shape == (2, 3, 1, 30)
    assert_all_close(mapped, [image(scene.volume, source, scene.target) for source in sources])


@pytest.mark.parametrize("backend", BACKENDS)
def test_rays_from_far_away(backend):
    way = torch.nn.functional.normalize(torch.tensor([0.31, 0.84, -0.45], dtype=torch.float64), dim=0)
    through = torch.tensor([3.0, 2.5, 2.0]) + (random_volume(1, 20, 3, seed=3) - 0.5) * 5
    scene = Scene(random_volume(3, 7, 6, 5), through - 1e7 * way, through + 5e6 * way, affine()).on(backend)
    exact, exact_jacobian = project_with_jacobian(scene.volume, *scene.rays, backend="reference")
    image, jacobian = project_with_jacobian(scene.volume.float(), *scene.rays, backend=backend)
    for ours, theirs in ((image, exact), (jacobian, exact_jacobian)):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_cameras(backend):
    """One camera in front of several volumes: as along its rays, with gradients of its pose and pixels."""
    device = device_of(backend)
    camera_to_world = torch.eye(4, dtype=torch.float64, device=device)[None, :, [0, 2, 1, 3]].clone()
    camera_to_world[:, :3, 3] = torch.tensor([2.9, -20.0, 2.1])
    pixel_to_camera = torch.diag(torch.tensor([2.1, -1.9, 41.0, 1.0], dtype=torch.float64, device=device))[None]
    volumes, world_to_voxel = random_volume(3, 7, 6, 5).to(device), affine().to(device)
    results = []
    for project_them in (
        lambda *leaves: project_cameras(*leaves, world_to_voxel, height=4, width=5, backend=backend, renderer="joseph"),
        lambda volume, *cameras: project(
            volume, *rays_of_cameras(*cameras, 4, 5), world_to_voxel, backend="reference", renderer="joseph"
        ),
    ):
        leaves = [t.clone().requires_grad_() for t in (volumes, camera_to_world, pixel_to_camera)]
        image = project_them(*leaves)
        found = torch.autograd.grad(image, leaves, random_like(image))
        results.append((image.detach(), found[0], *(t[:, :3] for t in found[1:])))
    assert results[0][0].shape == (3, 1, 20)
    assert_all_close(*results)


@needs_gpu_kernels
def test_half_precision_on_a_gpu():
    device = GPU or "cpu"
    scene = several(SCENES["cone along y"])
    volumes = scene.volume.half().to(device)
    rays = tuple(t.to(device) for t in scene.rays)
    image = project(volumes, *rays, backend="gpu", image_width=6)
    assert image.dtype == torch.float32
    assert image.shape == (3, 1, 30)
    expected = project(volumes.double(), *rays, backend="reference")
    torch.testing.assert_close(image.double(), expected, rtol=1e-5, atol=1e-5)


def test_how_many_volumes_there_may_be():
    volumes, (source, target) = random_volume(3, 5, 5, 5), cone((2, -20, 2), (2, 20, 2), 3, 4, 1.3)
    with pytest.raises(ValueError, match="one volume, or 2 to fit"):
        project(volumes, source.expand(2, -1, -1), target.expand(2, -1, -1), affine())
    with pytest.raises(ValueError, match=r"cotangent of shape \(3, 1, 12\). Got \(1, 1, 12\)"):
        backproject(torch.ones(1, 1, 12, dtype=torch.float64), volumes, source, target, affine())
