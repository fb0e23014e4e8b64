"""The volume gradient of the Triton kernels under `torch.use_deterministic_algorithms(True)`: sums of integers."""

import pytest
import torch
from kernel_cases import (
    FEW_POINTS,
    RENDERERS,
    Scene,
    assert_all_close,
    needs_gpu_kernels,
    options,
    random_like,
    scenes,
)

from raygrad.kernels import backproject, project

pytestmark = [needs_gpu_kernels, pytest.mark.interpreter]

SCENES = scenes()


@pytest.fixture
def deterministic():
    """Ask torch for results that do not depend on the order of anything."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


def spread_by(scene: Scene, cotangent: torch.Tensor, renderer: str) -> torch.Tensor:
    settings = options(scene, renderer, "gpu", n_points=FEW_POINTS, image_width=None)
    return backproject(cotangent, scene.volume, *scene.rays, **settings)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", ["labels, rays in all directions", "batch of poses"])
def test_gradient_does_not_depend_on_the_order_of_rays(name, renderer, dtype, tolerance, deterministic):
    scene = SCENES[name].to(dtype).on("gpu")
    settings = options(scene, renderer, "reference", n_points=FEW_POINTS, image_width=None)
    image = project(scene.volume, *scene.rays, **settings)
    cotangent = random_like(image)
    spread = spread_by(scene, cotangent, renderer)
    rays = (t.double() for t in scene.rays)
    expected = backproject(cotangent.double(), scene.volume.double(), *rays, **settings)
    assert (spread - expected).abs().max() <= tolerance * expected.abs().max()
    order = torch.randperm(image.shape[-1]).to(image.device)
    ends = (scene.source[:, order], scene.target[:, order])
    shuffled = Scene(scene.volume, *ends, scene.world_to_voxel, labels=scene.labels)
    assert torch.equal(spread_by(shuffled, cotangent[..., order], renderer), spread)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_cotangents_of_any_size(size, deterministic):
    """Units are chosen by the cotangents: small ones are not rounded away, large ones do not overflow."""
    scene = SCENES["one voxel"].to(torch.float32).on("gpu")
    ones = torch.ones_like(scene.target[:, None, :, 0])
    spread = spread_by(scene, ones * size, "siddon")
    assert_all_close([spread / (size or 1)], [spread_by(scene, ones, "siddon") * (size > 0)], 1e-6)


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # of the interpreter, in NumPy
def test_nan_in_a_cotangent_reaches_the_gradient(deterministic):
    scene = SCENES["rays in all directions"].on("gpu")
    cotangent = torch.ones_like(scene.target[:, None, :, 0])
    cotangent[0, 0, 3] = float("nan")
    assert spread_by(scene, cotangent, "siddon").isnan().any()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_gradient_of_a_maximum_and_of_half_precision(renderer, deterministic):
    scene = SCENES["oblique cone, mixed main axes"]
    distinct = (torch.randperm(scene.volume.numel()) / 256).reshape(scene.volume.shape)  # no ties for the largest
    scene = Scene(distinct, *scene.rays, scene.image_width).to(torch.float32)
    expected = None
    for backend, dtype in (("reference", torch.float32), ("gpu", torch.float32), ("gpu", torch.float16)):
        there = scene.on(backend)
        leaf = there.volume.to(dtype).requires_grad_()
        settings = options(there, renderer, backend, n_points=FEW_POINTS, reducefn="max")
        image = project(leaf, *there.rays, **settings)
        (gradient,) = torch.autograd.grad(image, leaf, random_like(image))
        assert gradient.dtype == dtype
        expected = gradient if expected is None else expected
        assert_all_close([gradient.float()], [expected], 1e-5 if dtype == torch.float32 else 1e-3)


def test_result_written_into_memory_at_hand(deterministic):
    scene = SCENES["rays in all directions"].on("gpu")
    cotangent = torch.ones_like(scene.target[:, None, :, 0])
    out = torch.full_like(scene.volume, 7.0)
    backproject(cotangent, scene.volume, *scene.rays, backend="gpu", out=out)
    assert torch.equal(out, backproject(cotangent, scene.volume, *scene.rays, backend="gpu"))
