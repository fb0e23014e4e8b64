"""What the Triton kernels make of numbers: half precision, NaN and infinity, rays from far away, labels of any kind."""

import pytest
import torch
from kernel_cases import (
    FEW_POINTS,
    RENDERERS,
    Scene,
    affine,
    assert_all_close,
    needs_gpu_kernels,
    options,
    random_like,
    scenes,
)

from raygrad.kernels import backproject, project, project_with_jacobian

pytestmark = [needs_gpu_kernels, pytest.mark.interpreter]

SCENES = scenes()


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_and_not_computed_in(dtype, renderer):
    scene = SCENES["oblique cone, mixed main axes"].to(torch.float32)
    volume = scene.volume.to(dtype)
    rounded = Scene(volume.float(), *scene.rays, scene.image_width)
    n_points = {"n_points": FEW_POINTS}
    image, jacobian = project_with_jacobian(
        rounded.volume.double(),
        *(t.double() for t in scene.rays),
        **options(scene, renderer, "reference", **n_points),
    )
    y = random_like(image.float())
    spread = backproject(y, rounded.volume, *scene.rays, **options(scene, renderer, "reference", **n_points))

    there, settings = (
        Scene(volume, *scene.rays, scene.image_width).on("gpu"),
        options(scene, renderer, "gpu", **n_points),
    )
    leaf = there.volume.clone().requires_grad_()
    ours, derivatives = project_with_jacobian(leaf, *there.rays, **settings)
    assert ours.dtype == derivatives.dtype == torch.float32
    assert (ours.detach().cpu() - image).abs().max() <= 1e-5 * image.abs().max()
    assert (derivatives.detach().cpu() - jacobian).abs().max() <= 1e-4 * jacobian.abs().max()
    ours.backward(y.to(ours))
    assert leaf.grad.dtype == dtype
    # Summed in single precision and rounded once.
    assert_all_close([leaf.grad.float()], [spread], torch.finfo(dtype).eps)
    out = torch.empty_like(leaf)
    backproject(y.to(ours), leaf.detach(), *there.rays, **settings, out=out)
    assert_all_close([out.float()], [leaf.grad.float()], torch.finfo(dtype).eps)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # of the interpreter, in NumPy
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_rays_that_are_not_finite_give_nan_and_harm_no_others(value, renderer):
    scene = SCENES["rays in all directions"].on("gpu")
    settings = options(scene, renderer, "gpu", n_points=FEW_POINTS)
    expected, expected_jacobian = project_with_jacobian(scene.volume, *scene.rays, **settings)
    source, target = scene.source.clone(), scene.target.clone()
    source[0, 3, 1], target[0, 17, 2] = value, -value
    broken = torch.zeros(41, dtype=torch.bool, device=source.device)
    broken[[3, 17]] = True
    image, jacobian = project_with_jacobian(scene.volume, source, target, scene.world_to_voxel, **settings)
    assert image[0, 0, broken].isnan().all()
    assert jacobian[0, 0, broken].isnan().all()
    assert torch.equal(image[0, 0, ~broken], expected[0, 0, ~broken])
    assert torch.equal(jacobian[0, 0, ~broken], expected_jacobian[0, 0, ~broken])
    maximum = project(scene.volume, source, target, scene.world_to_voxel, **settings, reducefn="max")
    assert torch.equal(maximum.isnan()[0, 0], broken)
    spread = backproject(torch.ones_like(image), scene.volume, source, target, scene.world_to_voxel, **settings)
    others = torch.where(broken, 0.0, 1.0).to(image).expand_as(image)
    assert_all_close([spread], [backproject(others, scene.volume, *scene.rays, **settings)], 1e-12)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_nan_voxels_give_nan_where_rays_meet_them(renderer):
    scene = SCENES["rays in all directions"]
    poisoned, healthy, alone = scene.volume.clone(), scene.volume.clone(), torch.zeros_like(scene.volume)
    poisoned[3, 2, 2], healthy[3, 2, 2], alone[3, 2, 2] = float("nan"), 0, 1
    there = Scene(poisoned, *scene.rays).on("gpu")
    for reducefn in ("sum", "max"):
        settings = {"renderer": renderer, "n_points": FEW_POINTS, "reducefn": reducefn}
        meets = project(alone, *scene.rays, **settings, backend="reference") > 0
        assert 0 < meets.sum() < meets.numel()
        expected = project(healthy, *scene.rays, **settings, backend="reference").masked_fill(meets, float("nan"))
        image = project(there.volume, *there.rays, **settings, backend="gpu").cpu()
        torch.testing.assert_close(image, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_source_far_away(renderer):
    """Single precision goes where rays meet the volume, not into how far away they begin."""
    scene = SCENES["rays in all directions"]
    direction = scene.target - scene.source
    for distance in (1e3, 1e5):
        source = scene.target - distance * direction / direction.norm(dim=-1, keepdim=True)
        far = Scene(scene.volume, source, scene.target, scene.world_to_voxel).to(torch.float32)
        exact, settings = far.to(torch.float64), {"n_points": FEW_POINTS}
        expected = project(exact.volume, *exact.rays, **options(far, renderer, "reference", **settings))
        there = far.on("gpu")
        image = project(there.volume, *there.rays, **options(there, renderer, "gpu", **settings))
        assert (image.cpu() - expected).abs().max() <= 1e-5 * expected.max()


@pytest.mark.parametrize(
    ("dtype", "renderer"),
    [(torch.uint8, "siddon"), (torch.int16, "joseph"), (torch.int32, "trilinear"), (torch.int64, "siddon")],
)
def test_labels_of_any_integer_and_memory_order(dtype, renderer):
    scene = SCENES["labels, ends inside"]
    expected = project_with_jacobian(
        scene.volume, *scene.rays, **options(scene, renderer, "reference", n_points=FEW_POINTS)
    )
    labels = scene.labels.to(dtype).permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert labels.stride() != scene.volume.stride()
    there = Scene(scene.volume, *scene.rays, scene.image_width, labels).on("gpu")
    settings = options(there, renderer, "gpu", n_points=FEW_POINTS)
    image, jacobian = project_with_jacobian(there.volume, *there.rays, **settings)
    assert_all_close([image, jacobian], expected)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_labels_without_a_channel_count_nowhere(renderer):
    """Neither the labels above the channels, nor those below 0, nor those that 32 bits would fold onto a channel."""
    scene = SCENES["labels, ends inside"].on("gpu")
    settings = options(scene, renderer, "gpu", n_channels=4)
    image, jacobian = project_with_jacobian(scene.volume, *scene.rays, **settings)
    cotangent = random_like(image)
    of_two = torch.cat([cotangent[:, :2], torch.zeros_like(cotangent[:, 2:])], dim=1)
    spread = backproject(of_two, scene.volume, *scene.rays, **settings)
    for labels_without in (torch.tensor([2, 999, -1]), torch.tensor([2**32, 2**32 + 1, -(2**32)])):
        which = torch.arange(scene.labels.numel()).reshape(scene.labels.shape) % 3
        labels = torch.where(scene.labels < 2, scene.labels.long(), labels_without[which].to(scene.labels.device))
        settings |= {"labels": labels, "n_channels": 2}
        some, some_jacobian = project_with_jacobian(scene.volume, *scene.rays, **settings)
        some_spread = backproject(cotangent[:, :2], scene.volume, *scene.rays, **settings)
        assert_all_close([some, some_jacobian, some_spread], [image[:, :2], jacobian[:, :2], spread], 1e-12)


def test_labels_of_a_volume_that_repeats_its_memory():
    """One plane of voxels, seen as a volume of seven: its labels differ, so they have memory of their own."""
    scene = SCENES["labels"]
    repeated = scene.volume[:1].expand(7, 6, 5)
    expected = project(repeated, *scene.rays, **options(scene, "siddon", "reference"))
    there = Scene(repeated, *scene.rays, scene.image_width, scene.labels).on("gpu")
    image = project(there.volume, *there.rays, **options(there, "siddon", "gpu"))
    assert_all_close([image], [expected])


def test_diagonal_rays_beside_planes_of_voxels():
    """In single precision such a ray may seem to cross two planes in one slab; none of its voxels may be skipped."""
    volume = torch.arange(1.0, 9.0)[:, None, None].expand(8, 8, 3).clone()
    beside = torch.tensor([-3e-8, -6e-8, -1.2e-7, 6e-8, 2.4e-7, 0.0])
    source = torch.stack([beside - 3.5, torch.full_like(beside, -3.5), torch.ones_like(beside)], dim=-1)[None]
    scene = Scene(volume, source, source + torch.tensor([13.0, 13.0, 0.0]), affine()).on("gpu")
    image = project(scene.volume, *scene.rays, backend="gpu")
    assert_all_close([image], [torch.full_like(image, volume[:, 0, 0].sum() * 2**0.5)], 1e-5)
