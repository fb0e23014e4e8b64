"""How the Triton kernels are launched changes no result: parts of rays, tiles, empty images, widths of indices."""

import pytest
import torch
import triton.language as tl
from kernel_cases import (
    FEW_POINTS,
    RENDERERS,
    Scene,
    affine,
    assert_all_close,
    cone,
    degenerate_scenes,
    device_of,
    needs_gpu_kernels,
    options,
    random_like,
    random_volume,
    scenes,
)

from raygrad.kernels import backproject, project, project_with_jacobian
from raygrad.kernels._gpu import launch

pytestmark = [needs_gpu_kernels, pytest.mark.interpreter]

SCENES = scenes()


def image_jacobian_and_adjoint(scene: Scene, renderer: str) -> tuple[torch.Tensor, ...]:
    settings = options(scene, renderer, "gpu")
    image = project(scene.volume, *scene.rays, **settings)
    _, jacobian = project_with_jacobian(scene.volume, *scene.rays, **settings)
    return image, jacobian, backproject(random_like(image), scene.volume, *scene.rays, **settings)


@pytest.mark.parametrize(("name", "parts"), [("rays in all directions", 2), ("both ends inside", 32)])
@pytest.mark.parametrize("renderer", RENDERERS)
def test_rays_in_parts(name, renderer, parts, monkeypatch):
    scene = SCENES[name].on("gpu")
    rays = scene.target.shape[1]
    monkeypatch.setattr(launch, "_threads_that_fill", lambda device: 1)
    whole = image_jacobian_and_adjoint(scene, renderer)
    monkeypatch.setattr(launch, "_threads_that_fill", lambda device: rays * parts)
    assert launch.Beam.of_ends(scene.source, scene.target, 0).parts(scene.volume.device) == parts
    assert_all_close(image_jacobian_and_adjoint(scene, renderer), whole, 1e-12)


def test_rays_are_parted_no_more_than_fills_the_card(monkeypatch):
    monkeypatch.setattr(launch, "_threads_that_fill", lambda device: 1000)
    for rays, parts in ((1000, 1), (999, 2), (250, 4), (10, 32), (1, 32)):
        ends = torch.zeros(1, rays, 3)
        assert launch.Beam.of_ends(ends, ends, 0).parts(ends.device) == parts


@pytest.mark.parametrize("renderer", RENDERERS)
def test_tiles_that_do_not_divide_the_image(renderer):
    """An image of 2 x 2 tiles, none of them full, for two poses; and the same rays as an image of no or other width."""
    volume = random_volume(7, 6, 5)
    source, target = cone((3.117, -20.03, 2.213), (2.934, 18.1, 2.171), 9, 17, 1.13)
    ends = (torch.cat([source, source + 0.3]), torch.cat([target, target - 0.2]))
    scene = Scene(volume, *ends, affine())
    expected = project(volume, *scene.rays, **options(scene, renderer, "reference", n_points=FEW_POINTS))
    there = scene.on("gpu")
    for image_width in (17, 10, 0):
        settings = options(there, renderer, "gpu", n_points=FEW_POINTS, image_width=image_width)
        image = project(there.volume, *there.rays, **settings)
        assert_all_close([image], [expected], 1e-12)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (0, 0)])
def test_no_rays(shape, renderer):
    volume = random_volume(5, 4, 3).to(device_of("gpu"))
    target = volume.new_zeros(*shape, 3)
    rays = (target, target, affine())
    settings = {"renderer": renderer, "n_points": 3, "backend": "gpu", "image_width": 4}
    image, jacobian = project_with_jacobian(volume, *rays, **settings)
    assert image.shape == (shape[0], 1, shape[1])
    assert jacobian.shape == (*image.shape, 6)
    assert project(volume, *rays, **settings).shape == image.shape
    assert (backproject(image, volume, *rays, **settings) == 0).all()
    labels = torch.ones(5, 4, 3, dtype=torch.uint8, device=volume.device)
    assert project(volume, *rays, labels=labels, **settings).shape == (shape[0], 2, shape[1])


@pytest.mark.parametrize("renderer", RENDERERS)
def test_places_beyond_32_bits(renderer):
    """Eight voxels spread over more than 2^31 elements, of which only their pages are touched."""
    strides = (2**30 + 12_345, 2**29 + 6_789, 2**29 + 543)
    try:
        memory = torch.empty(sum(strides) + 1, dtype=torch.float16, device=device_of("gpu"))
    except RuntimeError:
        pytest.skip("no 4 GiB of address space")
    far_apart = memory.as_strided((2, 2, 2), strides)
    volume = random_volume(2, 2, 2).to(far_apart)
    far_apart.copy_(volume)
    assert launch.index_dtype(far_apart[None]) == tl.int64
    assert launch.index_dtype(volume[None]) == tl.int32
    scene = degenerate_scenes()["along each axis"]
    through = torch.stack([scene.source, scene.target], 2)[0] - torch.tensor([2.1, 2.1, 2.2])
    ends = (through + torch.tensor([0.3, 0.7, 0.4])).float().to(volume.device)
    rays = (ends[None, :, 0], ends[None, :, 1], affine())
    for reducefn in ("sum", "max"):
        settings = {"renderer": renderer, "n_points": FEW_POINTS, "reducefn": reducefn, "backend": "gpu"}
        image = project(far_apart, *rays, **settings)
        assert (image > 0).all()
        assert torch.equal(image, project(volume, *rays, **settings))


@pytest.mark.parametrize("renderer", RENDERERS)
def test_adjoint_to_places_beyond_32_bits(renderer):
    strides = (2**31 + 12_345, 3, 1)
    try:
        memory = torch.empty(sum(strides) + 1, dtype=torch.float32, device=device_of("gpu"))
    except RuntimeError:
        pytest.skip("no 8 GiB of address space")
    far_apart = memory.as_strided((2, 2, 2), strides)
    scene = Scene(random_volume(2, 2, 2), *SCENES["one voxel"].rays).on("gpu").to(torch.float32)
    cotangent = torch.ones_like(scene.target[:, None, :, 0])
    settings = options(scene, renderer, "gpu", n_points=FEW_POINTS)
    backproject(cotangent, far_apart, *scene.rays, **settings, out=far_apart)
    settings |= {"backend": "reference"}
    expected = backproject(cotangent, scene.volume, *scene.rays, **settings)
    assert expected.count_nonzero() == 8
    assert_all_close([far_apart], [expected], 1e-5)
