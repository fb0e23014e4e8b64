"""Forward mode and `torch.func`: right, or refused with a sentence; never a silent zero."""

import subprocess
import sys

import pytest
import torch
from kernel_cases import (
    BACKENDS,
    FAST_BACKENDS,
    RENDERERS,
    Scene,
    affine,
    assert_all_close,
    device_of,
    options,
    random_like,
    random_volume,
    scenes,
)
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.kernels import (
    add_voxel_driven_,
    backproject,
    backproject_cameras,
    prepare,
    project,
    project_cameras,
    project_with_jacobian,
)
from raygrad.pose import random_rigid_transform

# Forward mode makes torch 2.14 import a module of its own that does what torch warns of.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script(_method)?` is deprecated:FutureWarning")

SCENES = scenes()
OBLIQUE = SCENES["oblique cone, mixed main axes"]
WAYS = ("volume", "source", "target")
COMPILED = "backend='reference'"
"""What a refusal names as the way out."""


def inputs_of(scene: Scene) -> tuple[torch.Tensor, ...]:
    return scene.volume, scene.source, scene.target


def imager(scene: Scene, renderer: str, backend: str, **more):
    """The image as a function of volume, source and target."""
    settings = options(scene, renderer, backend, n_points=12, **more)
    return lambda *inputs: project(*inputs, scene.world_to_voxel, **settings)


def central_difference(image, inputs, ways, step: float = 1e-6) -> torch.Tensor:
    ahead, behind = (image(*(x + s * d for x, d in zip(inputs, ways, strict=True))) for s in (step, -step))
    return (ahead - behind) / (2 * step)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["oblique cone, mixed main axes", "batch of volumes", "labels, ends inside"])
def test_a_tangent_is_the_difference_that_it_foretells(name, backend, renderer):
    scene = SCENES[name].on(backend)
    inputs, image = inputs_of(scene), imager(scene, renderer, backend)
    ways = [random_like(value, seed=i) for i, value in enumerate(inputs)]
    value, tangent = jvp(image, inputs, tuple(ways))
    assert torch.equal(value, image(*inputs))
    expected = central_difference(imager(scene, renderer, "reference" if backend == "gpu" else backend), inputs, ways)
    assert expected.abs().max() > 0.5
    assert_all_close([tangent], [expected], 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("which", WAYS)
def test_a_tangent_of_each_alone(which, backend):
    """In `torch.autograd.forward_ad`, which `torch.func.jvp` is not."""
    scene = OBLIQUE.on(backend)
    inputs, image = dict(zip(WAYS, inputs_of(scene), strict=True)), imager(scene, "joseph", backend)
    way = random_like(inputs[which])
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(inputs[which], way)
        tangent = forward_ad.unpack_dual(image(*{**inputs, which: dual}.values())).tangent
    expected = jvp(
        lambda value: imager(scene, "joseph", "reference")(*{**inputs, which: value}.values()), (inputs[which],), (way,)
    )
    assert expected[1].abs().max() > 0.1
    assert_all_close([tangent], [expected[1]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_jacobians_forwards_backwards_and_by_vjp_are_one(backend):
    scene = OBLIQUE.on(backend)
    image = imager(scene, "siddon", backend)
    _, jacobian = project_with_jacobian(*inputs_of(scene), scene.world_to_voxel, **options(scene, "siddon", backend))
    by_source = jacobian[..., :3].detach()
    for transform in (jacfwd, jacrev) if backend != "gpu" else (jacfwd,):
        assert_all_close([transform(image, argnums=1)(*inputs_of(scene))[..., 0, 0, :]], [by_source])
    value, pull = vjp(image, *inputs_of(scene))
    weights = random_like(value)
    volume, source, _ = pull(weights)  # after the transform has ended
    assert_all_close([source[:, 0]], [torch.einsum("bcn,bcnk->bk", weights, by_source)])
    assert_all_close([volume], [backproject(weights, *inputs_of(scene), scene.world_to_voxel, backend=backend)])


@pytest.mark.parametrize("backend", BACKENDS)
def test_vmap_is_one_after_the_other(backend):
    scene = OBLIQUE.on(backend)
    image = imager(scene, "joseph", backend)
    volume, source, target = inputs_of(scene)
    sources = torch.stack([source, source + 0.1, source - 0.2])
    volumes = torch.stack([volume, volume.flip(0)])
    apart = torch.stack([image(volume, s, target) for s in sources])
    assert torch.equal(vmap(image, in_dims=(None, 0, None))(volume, sources, target), apart)
    assert torch.equal(vmap(image, in_dims=(None, 1, None))(volume, sources.movedim(0, 1), target), apart)
    apart = torch.stack([image(v, source, target) for v in volumes])
    assert torch.equal(vmap(image, in_dims=(0, None, None))(volumes, source, target), apart)
    both = torch.stack([image(v, s, target) for v, s in zip(volumes, sources[:2], strict=True)])
    assert torch.equal(vmap(image, in_dims=(0, 0, None))(volumes, sources[:2], target), both)

    def squared(v, s):
        return image(v, s, target).square().sum()

    slopes = vmap(grad(squared, argnums=(0, 1)), in_dims=(None, 0))(volume, sources)
    expected = [torch.stack(part) for part in zip(*(grad(squared, (0, 1))(volume, s) for s in sources), strict=True)]
    assert_all_close(slopes, expected, 1e-12)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_vmap_over_maps_of_the_world(backend):
    scene = SCENES["labels"].on(backend)
    settings = options(scene, "siddon", backend)
    maps = torch.stack([scene.world_to_voxel, affine(origin=(0.1, 0.2, 0.3)).to(scene.volume)])

    def image(world_to_voxel):
        return project(*inputs_of(scene), world_to_voxel, **settings)

    assert torch.equal(vmap(image)(maps), torch.stack([image(m) for m in maps]))


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_second_derivatives_are_refused(backend):
    scene = OBLIQUE.on(backend)
    image = imager(scene, "siddon", backend)
    volume, source, target = inputs_of(scene)

    def of_source(s):
        return image(volume, s, target).square().sum()

    for second in (
        lambda: hessian(of_source)(source),
        lambda: jacrev(jacrev(of_source))(source),
        lambda: jacfwd(jacfwd(of_source))(source),
        lambda: jacrev(jacfwd(of_source))(source),
        lambda: jacfwd(lambda s: grad(lambda v: image(v, s, target).square().sum())(volume))(source),
        lambda: jvp(lambda v: grad(lambda s: image(v, s, target).sum())(source), (volume,), (volume,)),
    ):
        with pytest.raises(RuntimeError, match=COMPILED):
            second()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(source.clone().requires_grad_(), source)
        with pytest.raises(RuntimeError, match=COMPILED):
            torch.autograd.grad(image(volume, dual, target).sum(), dual)


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives_by_the_volume_are_exact(backend):
    scene = OBLIQUE.on(backend)
    image, volume = imager(scene, "joseph", backend), scene.volume

    def of_volume(v):
        return image(v, scene.source, scene.target).square().sum()

    way = random_like(volume)
    _, along = jvp(grad(of_volume), (volume,), (way,))
    there = image(way, scene.source, scene.target)
    settings = options(scene, "joseph", backend, n_points=12)
    assert_all_close([along], [2 * backproject(there, *inputs_of(scene), scene.world_to_voxel, **settings)])


def test_second_derivatives_of_the_reference():
    image = imager(OBLIQUE, "trilinear", "reference")

    def of_source(s):
        return image(OBLIQUE.volume, s, OBLIQUE.target).square().sum()

    expected = central_difference(grad(of_source), (OBLIQUE.source,), (torch.ones_like(OBLIQUE.source),))
    assert_all_close([hessian(of_source)(OBLIQUE.source)[0, 0, :, 0, 0].sum(-1)], [expected[0, 0]], 1e-4)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_the_jacobian_refuses_tangents(backend):
    scene = OBLIQUE.on(backend)
    settings = options(scene, "siddon", backend)

    def derivatives(s):
        return project_with_jacobian(scene.volume, s, scene.target, scene.world_to_voxel, **settings)[1]

    with pytest.raises(RuntimeError, match="Jacobian is not differentiable"):
        jvp(derivatives, (scene.source,), (scene.source,))
    with pytest.raises(RuntimeError, match="Jacobian is not differentiable"):
        grad(lambda s: derivatives(s).sum())(scene.source)


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_maxima(backend):
    """Forwards by the rays; by the volume backwards only."""
    scene = OBLIQUE.on(backend)
    ends, ways = (scene.source, scene.target), (random_like(scene.source), random_like(scene.target))
    greatest = imager(scene, "joseph", backend, reducefn="max")
    expected = jvp(lambda *e: imager(scene, "joseph", "reference", reducefn="max")(scene.volume, *e), ends, ways)
    assert_all_close(jvp(lambda *e: greatest(scene.volume, *e), ends, ways), expected)
    with pytest.raises(RuntimeError, match=COMPILED):
        jvp(lambda v: greatest(v, *ends), (scene.volume,), (scene.volume,))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_adjoint(backend):
    scene = OBLIQUE.on(backend)
    settings = options(scene, "joseph", backend, n_points=12)

    def spread(y):
        return backproject(y, *inputs_of(scene), scene.world_to_voxel, **settings)

    image = random_like(scene.target[:, None, :, 0])
    _, tangent = jvp(spread, (image,), (image.square(),))
    assert_all_close([tangent], [spread(image.square())], 1e-12)
    assert_all_close(vmap(spread)(torch.stack([image, 2 * image])), [spread(image), 2 * spread(image)], 1e-12)
    if backend != "reference":

        def by_source(s):
            return backproject(image, scene.volume, s, scene.target, scene.world_to_voxel, **settings)

        with pytest.raises(RuntimeError, match=COMPILED):
            jvp(by_source, (scene.source,), (scene.source,))

    def into(y):
        return backproject(y, *inputs_of(scene), scene.world_to_voxel, **settings, out=scene.volume.clone())

    for differentiate in (
        grad(lambda y: into(y).sum()),
        lambda y: jvp(into, (y,), (y,)),
        lambda y: into(y.requires_grad_()),
    ):
        with pytest.raises(ValueError, match="No derivative flows through out"):
            differentiate(image.clone())


@pytest.mark.parametrize("backend", BACKENDS)
def test_cameras(backend):
    """Tangents of poses and pixels, and poses mapped over; on a GPU without a ray in memory."""
    camera_to_world = random_rigid_transform(2, torch.Generator().manual_seed(2)).matrix.double()
    camera_to_world[:, :3, 3] = torch.tensor([3.0, 2.5, 2.0]) - 20 * camera_to_world[:, :3, 2]
    pixel_to_camera = torch.diag(torch.tensor([2.1, -1.9, 41.0, 1.0], dtype=torch.float64))[None]
    device = device_of(backend)
    inputs = [value.to(device) for value in (random_volume(7, 6, 5), camera_to_world, pixel_to_camera)]
    ways = [random_like(value, seed=i) for i, value in enumerate(inputs)]
    for way in ways[1:]:
        way[:, 3] = 0  # the last rows stay 0, 0, 0, 1

    def image(*inputs, backend=backend):
        settings = {"height": 3, "width": 4, "renderer": "joseph", "backend": backend}
        return project_cameras(*inputs, affine().to(device), **settings)

    value, tangent = jvp(image, tuple(inputs), tuple(ways))
    expected = central_difference(lambda *i: image(*i, backend="reference"), inputs, ways)
    assert expected.abs().max() > 0.5
    assert_all_close([tangent], [expected], 1e-6)
    poses = torch.stack([inputs[1], inputs[1].flip(0)])
    mapped = vmap(image, in_dims=(None, 0, None))(inputs[0], poses, inputs[2])
    assert_all_close(mapped, [value, value.flip(0)], 1e-12)

    def spread(y):
        return backproject_cameras(
            y, *inputs, affine().to(device), height=3, width=4, renderer="joseph", backend=backend
        )

    weights = random_like(value)
    assert_all_close([grad(lambda v: (image(v, *inputs[1:]) * weights).sum())(inputs[0])], [spread(weights)], 1e-12)

    def squared(pose):
        return (image(inputs[0], pose, inputs[2]) * weights).sum()

    slopes = vmap(grad(squared))(poses)
    assert_all_close(slopes[:, :, :3], torch.stack([grad(squared)(pose) for pose in poses])[:, :, :3], 1e-12)
    if backend != "reference":
        with pytest.raises(RuntimeError, match=COMPILED):
            hessian(squared)(inputs[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_the_parameters_of_a_pose_to_pixels(backend):
    """All that DRR does on the way, also what it prepares of a volume once."""
    density = random_volume(12, 10, 8)
    subject = Subject(Volume(density, torch.diag(torch.tensor([4.0, 3.0, 5.0, 1.0])).numpy()), orientation="AP")
    drr = DRR(subject, 1020.0, 4, 9.0, 5, renderer="joseph", backend=backend)
    drr.density = density
    drr = drr.to(device_of(backend))
    rotation = torch.tensor([[0.1, -0.2, 0.05]], dtype=torch.float64, device=drr.device)
    xyz = torch.tensor([[20.0, 850, 15]], dtype=torch.float64, device=drr.device)

    def image(rotation):
        return drr(rotation, xyz, parameterization="euler_angles", convention="ZXY")

    way = torch.ones_like(rotation)
    value, tangent = jvp(image, (rotation,), (way,))
    expected = central_difference(image, (rotation,), (way,))
    assert expected.abs().max() > 0.5
    assert_all_close([tangent], [expected], 1e-5)
    assert torch.equal(image(rotation), value)
    rotations = torch.stack([rotation, rotation + 0.1])
    assert_all_close(vmap(image)(rotations), [image(r) for r in rotations], 1e-12)


def test_occupancy_within_transforms():
    """Empty bricks are skipped also there; another volume's are refused."""
    volume = torch.zeros(40, 20, 20, dtype=torch.float64)
    volume[3:9, 4:8, 5:9] = random_volume(6, 4, 4)
    occupancy = prepare(volume)
    source, target = torch.tensor([[[5.0, -60, 6]]]).double(), torch.tensor([[[5.3, 60.0, 7.1], [30, 60, 6]]]).double()

    def image(v, s):
        return project(v, s, target, affine(), occupancy=occupancy, renderer="joseph")

    def plain(v, s):
        return project(v, s, target, affine(), renderer="joseph")

    for transform in (
        lambda f: jvp(lambda s: f(volume, s), (source,), (source,)),
        lambda f: jvp(lambda v: f(v, source), (volume,), (volume,)),
        lambda f: vmap(lambda s: f(volume, s))(source[None].repeat(2, 1, 1, 1)),
        lambda f: vmap(lambda v: f(v, source))(volume[None].repeat(2, 1, 1, 1)),
    ):
        assert_all_close(transform(image), transform(plain))

    def within(s):
        return project(volume, s, target, affine(), occupancy=prepare(volume), renderer="joseph")

    assert_all_close(jvp(within, (source,), (source,)), jvp(lambda s: plain(volume, s), (source,), (source,)))
    with pytest.raises(ValueError, match="occupancy of this volume"):
        jvp(lambda s: image(volume.clone(), s), (source,), (source,))


def test_what_was_not_finite_is_said_also_within_transforms():
    scene = SCENES["cone along y"]

    def image(s):
        return project(scene.volume, s, scene.target, scene.world_to_voxel)

    with pytest.raises(ValueError, match="finite rays"):
        jvp(image, (scene.source * torch.nan,), (scene.source,))


def test_a_voxel_driven_back_projection_has_no_tangents():
    volume, images = torch.zeros(3, 4, 5), torch.ones(2, 3, 4)

    def add(images):
        return add_voxel_driven_(volume.clone(), images, torch.ones(2, 3, 4), torch.ones(2))

    with pytest.raises(ValueError, match="No derivative flows through a voxel-driven"):
        jvp(add, (images,), (images,))
    with pytest.raises(ValueError, match="No derivative flows through a voxel-driven"):
        grad(lambda images: add(images).sum())(images)


@pytest.mark.subprocess
def test_a_graph_refuses_what_it_does_not_know():
    """In a process without the hook that executes annotations, which is not for compilers."""
    program = """
import torch
from raygrad.kernels import project

volume, target = torch.rand(5, 5, 5).double(), torch.tensor([[[2.0, 9, 2], [1, 9, 3]]]).double()
image = lambda s: project(volume, s, target, torch.eye(4).double())
source = torch.tensor([[[2.0, -9, 2]]]).double()
slope = lambda s: torch.func.jvp(image, (s,), (s,))[1]
torch.testing.assert_close(torch.compile(slope, backend="aot_eager")(source), slope(source))
torch._dynamo.reset()
try:
    torch.compile(slope, backend="aot_eager", fullgraph=True)(source)
except Exception as error:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "refused", done.stderr
