"""The one march: the same as the kernels along rays, by whichever way it goes, for every kind of views."""

import pytest
import torch

from raygrad import kernels
from raygrad.geometry import RayViews, VolumeGeometry, directions, turned
from raygrad.geometry.trajectories import circular, parallel
from raygrad.march import (
    Marching,
    Prepared,
    march,
    march_materials,
    march_materials_with_jacobian,
    march_with_jacobian,
    spread,
)

GRID = VolumeGeometry.centred((7, 8, 9), (3.0, 4.0, 3.5), (2.0, -1.0, 3.0))
DOUBLE = torch.float64


def cone():
    return circular(3, sdd=300.0, sid=200.0, height=5, width=6, delx=8.0, dtype=DOUBLE)


def beams():
    return parallel(3, height=5, width=6, delx=8.0, distance=200.0, dtype=DOUBLE)


def rays():
    return RayViews(*cone().rays())


@pytest.fixture(params=[cone, beams, rays], ids=["cone", "beams", "rays"])
def views(request):
    return request.param()


@pytest.fixture
def volume():
    values = torch.rand(GRID.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    return Prepared.of(values, GRID.world_to_voxel)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("renderer", kernels.RENDERERS)
def test_it_is_the_kernels_march_along_the_rays(views, volume, renderer, backend):
    marching = Marching(renderer, n_points=30, backend=backend)
    options = {"renderer": renderer, "n_points": 30, "backend": backend, "world_to_voxel": GRID.world_to_voxel}
    image = march(volume, views, marching)
    expected, by_ends = kernels.project_with_jacobian(volume.values, *views.rays(), **options)
    assert image.amax() > 1
    torch.testing.assert_close(image, expected)
    same_image, derivatives = march_with_jacobian(volume, views, marching)
    torch.testing.assert_close((same_image, derivatives.by_ends), (expected, by_ends))
    torch.testing.assert_close(derivatives.ends[1], views.rays()[1])
    cotangent = torch.rand_like(image)
    adjoint = spread(cotangent, volume, views, marching)
    torch.testing.assert_close((adjoint * volume.values).sum(), (cotangent * image).sum())


def test_a_gpu_makes_the_rays_itself(volume, monkeypatch):
    """With interpreted kernels, and with nobody to make rays. They are float32 beside the float64 of the CPU."""
    if not kernels.available_backends()["gpu"][0]:
        pytest.skip("Triton is missing")
    views, cpu, gpu = cone()[:1], Marching("joseph", backend="cpu"), Marching("joseph", backend="gpu")
    image, derivatives = march_with_jacobian(volume, views, cpu)
    adjoint = spread(image, volume, views, cpu)
    monkeypatch.setattr(type(views), "rays", lambda views: pytest.fail("rays were made"))
    found, on_gpu = march_with_jacobian(volume, views, gpu)
    torch.testing.assert_close((found, on_gpu.by_ends), (image, derivatives.by_ends))
    torch.testing.assert_close(march(volume, views, gpu), image)
    torch.testing.assert_close(spread(image, volume, views, gpu), adjoint)


def test_derivatives_by_motions_and_intrinsics():
    """Against finite differences of a smooth march."""
    x, y, z = (torch.linspace(-2, 2, n, dtype=DOUBLE) for n in GRID.shape)
    volume = Prepared.of(torch.exp(-(x[:, None, None] ** 2 + y[:, None] ** 2 + z**2)), GRID.world_to_voxel)
    views, marching, pivot = cone(), Marching("trilinear", 400), torch.tensor([3.0, -2.0, 1.0], dtype=DOUBLE)
    _, derivatives = march_with_jacobian(volume, views, marching)
    by_motion = derivatives.by_motion(pivot)
    for axis in range(6):
        step = torch.zeros(len(views), 1, 6, dtype=DOUBLE)
        step[..., axis] = 1e-4
        ends = []
        for sign in (1, -1):
            pose = turned(views.pose.matrix[:, None], sign * step, pivot[None])[:, 0]
            ends.append(march(volume, type(views)(views.detector, type(views.pose)(pose)), marching)[:, 0])
        torch.testing.assert_close(by_motion[:, axis], (ends[0] - ends[1]) / 2e-4, rtol=1e-3, atol=2e-3)
    along_beam = directions(views.camera_to_world, views.calibrations, derivatives.ends[1], [0])
    detector = [views.detector.with_intrinsics(views.detector.intrinsics.replaced(sdd=300 + d)) for d in (1e-3, -1e-3)]
    further, nearer = (march(volume, type(views)(one, views.pose), marching)[:, 0] for one in detector)
    torch.testing.assert_close(
        derivatives.by_targets(along_beam)[:, 0], (further - nearer) / 2e-3, rtol=1e-3, atol=2e-3
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"renderer": "raycast"}, "renderer to be one of siddon, trilinear, joseph. Got 'raycast'"),
        ({"reducefn": "mean"}, "reducefn to be one of sum, max"),
        ({"n_points": 0}, "n_points of at least 1"),
    ],
)
def test_no_way_of_marching(wrong, message):
    with pytest.raises(ValueError, match=message):
        Marching(**wrong)


@pytest.fixture
def materials():
    values = torch.rand(3, *GRID.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    return Prepared.of(values, GRID.world_to_voxel)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("renderer", kernels.RENDERERS)
def test_materials_are_marched_as_each_alone(views, materials, renderer, backend):
    marching = Marching(renderer, n_points=30, backend=backend)
    images = march_materials(materials, views, marching)
    same_images, derivatives = march_materials_with_jacobian(materials, views, marching)
    assert images.shape == (3, 3, 30)
    assert derivatives.by_ends.shape == (3, 3, 30, 6)
    pivot = torch.tensor([3.0, -2.0, 1.0], dtype=DOUBLE)
    for number, values in enumerate(materials.values):
        alone = Prepared.of(values, GRID.world_to_voxel)
        image, expected = march_with_jacobian(alone, views, marching)
        for ours, theirs in (
            (images[:, number], march(alone, views, marching)[:, 0]),  # by columns, which may round otherwise
            (same_images[:, number], image[:, 0]),
            (derivatives.by_ends[:, number], expected.by_ends[:, 0]),
            (derivatives.by_motion(pivot, number), expected.by_motion(pivot)),
        ):
            assert torch.equal(ours, theirs) if backend == "cpu" else torch.allclose(ours, theirs, rtol=1e-12)
    torch.testing.assert_close(derivatives.ends, tuple(views.rays()))


def test_gradients_of_materials():
    """By the volumes the adjoint, by the rays the sum over materials."""
    source, target = (ends.clone().requires_grad_() for ends in cone().rays())
    values = torch.rand(3, *GRID.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    images = march_materials(Prepared(values, GRID.world_to_voxel), RayViews(source, target, (5, 6)))
    cotangent = torch.rand(images.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad(images, (values, source, target), cotangent)
    spreads, by_source, by_target = [], 0, 0
    for number, volume in enumerate(values):
        image = march(Prepared(volume, GRID.world_to_voxel), RayViews(source, target, (5, 6)))
        of_rays = torch.autograd.grad(image, (volume, source, target), cotangent[:, number, None])
        spreads.append(of_rays[0])
        by_source, by_target = by_source + of_rays[1], by_target + of_rays[2]
    torch.testing.assert_close(found, (torch.stack(spreads), by_source, by_target))


def test_materials_on_a_gpu_that_makes_the_rays_itself(materials):
    if not kernels.available_backends()["gpu"][0]:
        pytest.skip("Triton is missing")
    views = cone()[:1]
    images, derivatives = march_materials_with_jacobian(materials, views, Marching("joseph", backend="cpu"))
    found, on_gpu = march_materials_with_jacobian(materials, views, Marching("joseph", backend="gpu"))
    torch.testing.assert_close((found, on_gpu.by_ends), (images, derivatives.by_ends))


def test_what_are_no_materials(volume, materials):
    with pytest.raises(ValueError, match=r"one tensor \(material, x, y, z\). Got shape \(7, 8, 9\)"):
        march_materials(volume, cone())
    labels = torch.ones(GRID.shape, dtype=torch.uint8)
    with pytest.raises(ValueError, match="Expected materials without labels"):
        march_materials_with_jacobian(Prepared(materials.values, GRID.world_to_voxel, labels=labels), cone())
    with pytest.raises(ValueError, match=r"at least one view\. Got none"):
        march_materials(materials, cone()[:0])
