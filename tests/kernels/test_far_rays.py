"""Rays from 10^5 to 10^9 mm, as parallel beams are made: single precision volumes give what double precision does."""

import pytest
import torch
from kernel_cases import (
    BACKENDS,
    FAST_BACKENDS,
    RENDERERS,
    affine,
    assert_all_close,
    device_of,
    needs_extension,
    random_like,
    random_volume,
)
from torch import Tensor
from torch.func import vmap

from raygrad.kernels import backproject, project, project_cameras, project_with_jacobian
from raygrad.kernels._backends import say_once
from raygrad.kernels._far import FAR, Ends, bring_near, reach_of

N_POINTS = 12
VOLUME = random_volume(7, 6, 5)
LABELS = (random_volume(7, 6, 5, seed=9) * 3).to(torch.uint8)
MIDDLE = torch.tensor([3.0, 2.5, 2.0], dtype=torch.float64)
BEAMS = ("parallel", "parallel, target near", "fan", "fan, target near", "target before", "beside", "source inside")


def beam(name: str, distance: float, rays: int = 30) -> tuple[Tensor, Tensor]:
    """Rays through, or near, the volume, in float64."""
    generator = torch.Generator().manual_seed(3)
    way = torch.nn.functional.normalize(torch.tensor([0.31, 0.84, -0.45], dtype=torch.float64), dim=0)
    through = MIDDLE + (torch.rand(1, rays, 3, generator=generator, dtype=torch.float64) - 0.5) * 5
    behind = 30.0 if name.endswith("near") else 0.7 * distance
    if name.startswith("fan"):
        source = (MIDDLE - distance * way)[None, None]
        return source, through + (through - source) * (behind / distance)
    if name == "target before":
        return through - distance * way, through - 0.4 * distance * way
    if name == "beside":
        through = through + 40.0 * torch.linalg.cross(way, torch.tensor([0.0, 0, 1], dtype=torch.float64))
    if name == "source inside":
        return through, through + distance * way
    return through - distance * way, through + behind * way


def of_backend(backend: str, *tensors: Tensor) -> list[Tensor]:
    return [tensor.to(device_of(backend)) for tensor in tensors]


def assert_near(ours, exact, tolerance: float = 1e-5) -> None:
    """To so much of the largest value."""
    for our, their in zip(ours, exact, strict=True):
        assert our.dtype == torch.float32
        assert (our.cpu() - their).abs().max() <= tolerance * their.abs().max()


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "distance"),
    [("parallel", 1e6), ("parallel", 1e9), ("parallel, target near", 1e7), ("fan", 1e6), ("fan, target near", 1e9)],
)
def test_images_and_derivatives(name, distance, backend, renderer):
    rays = beam(name, distance)
    settings = {"renderer": renderer, "n_points": N_POINTS}
    exact = project_with_jacobian(VOLUME, *rays, affine(), **settings, backend="reference")
    assert exact[0].max() > 1
    volume, *there = of_backend(backend, VOLUME.float(), *rays)
    image, jacobian = project_with_jacobian(volume, *there, affine(), **settings, backend=backend)
    ends = jacobian.split(3, dim=-1)
    # A GPU places the ends with fractions of the way in float32: at 10^9 mm 400 mm further out than need be.
    tolerance = 5e-5 if backend == "gpu" and distance == 1e9 else 1e-5
    assert_near([image, *ends], [exact[0], *exact[1].split(3, dim=-1)], tolerance)
    leaves = [value.clone().requires_grad_() for value in (volume, *there)]
    weights = random_like(image)
    found = torch.autograd.grad(project(*leaves, affine(), **settings, backend=backend), leaves, weights)
    assert [gradient.dtype for gradient in found] == [torch.float32, torch.float64, torch.float64]
    by_ends = [torch.einsum("bcn,bcnk->bnk", weights.cpu().double(), part) for part in exact[1].split(3, dim=-1)]
    if rays[0].shape[1] == 1:
        by_ends[0] = by_ends[0].sum(1, keepdim=True)
    spread = backproject(weights.cpu().double(), VOLUME, *rays, affine(), **settings, backend="reference")
    assert_near([gradient.float() for gradient in found], [spread, *by_ends], tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", BEAMS)
def test_where_the_ends_are(name, backend):
    rays = beam(name, 1e8)
    exact = project_with_jacobian(VOLUME, *rays, affine(), backend="reference")
    image, jacobian = project_with_jacobian(*of_backend(backend, VOLUME.float(), *rays), affine(), backend=backend)
    assert (exact[0].max() > 1) == (name not in ("target before", "beside"))
    # Of a source inside, the volume is left by a step that single precision knows well.
    assert_near([image, jacobian], exact, 1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_labels_and_maxima(renderer, backend):
    rays = beam("parallel", 1e8)
    volume, labels, *there = of_backend(backend, VOLUME.float(), LABELS, *rays)
    for reducefn, given, labelled in (("sum", {"labels": labels}, {"labels": LABELS}), ("max", {}, {})):
        settings = {"renderer": renderer, "n_points": N_POINTS, "reducefn": reducefn}
        exact = project(VOLUME, *rays, affine(), **settings, **labelled, backend="reference")
        # Of labels between two samples' nearest voxels rounding chooses.
        found = project(volume, *there, affine(), **settings, **given, backend=backend)
        assert_near([found], [exact])


@pytest.mark.parametrize("backend", BACKENDS)
def test_cameras(backend):
    """A detector 10^6 mm from the source, in the poses' double precision."""
    camera_to_world = torch.eye(4, dtype=torch.float64)[None]
    camera_to_world[:, :3, :3] = torch.tensor([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
    camera_to_world[:, :3, 3] = MIDDLE - 0.99e6 * camera_to_world[:, :3, 2]
    pixel_to_camera = torch.diag(torch.tensor([1.3, -1.1, 1e6, 1.0], dtype=torch.float64))[None]
    settings = {"height": 5, "width": 4, "renderer": "joseph"}
    exact = project_cameras(VOLUME, camera_to_world, pixel_to_camera, affine(), **settings, backend="reference")
    leaves = of_backend(backend, VOLUME.float(), camera_to_world, pixel_to_camera)
    leaves[1].requires_grad_()
    image = project_cameras(*leaves, affine().to(leaves[1].device), **settings, backend=backend)
    assert exact.max() > 1
    assert_near([image], [exact])
    weights = random_like(image)
    (slope,) = torch.autograd.grad(image, leaves[1], weights)
    pose = camera_to_world.clone().requires_grad_()
    exact = project_cameras(VOLUME, pose, pixel_to_camera, affine(), **settings, backend="reference")
    (expected,) = torch.autograd.grad(exact, pose, weights.cpu().double())
    assert (slope.cpu() - expected)[:, :3].abs().max() <= 1e-5 * expected[:, :3].abs().max()


@pytest.mark.parametrize("backend", ["reference", pytest.param("cpu", marks=needs_extension)])
def test_rays_that_are_mapped_over_are_brought_near_too(backend):
    source, target = beam("parallel", 1e8)
    sources = torch.stack([source, source + 0.5])
    image = lambda s: project(VOLUME.float(), s, target, affine(), backend=backend)  # noqa: E731
    exact = torch.stack([project(VOLUME, s, target, affine(), backend="reference") for s in sources])
    assert_near([vmap(image)(sources)], [exact])


@pytest.mark.parametrize("backend", FAST_BACKENDS)
def test_a_ray_near_by_keeps_its_bits(backend):
    """Also beside one from far away, and however many there are."""
    source, target = beam("parallel", 1e5)
    assert reach_of(source, target) < FAR
    near = of_backend(backend, source.float(), target.float())
    volume = VOLUME.float().to(near[0].device)
    alone = project(volume, *near, affine(), backend=backend)
    assert bring_near(*near, affine(), VOLUME.shape, readable=True).source is near[0]
    slid = bring_near(*near, affine(), VOLUME.shape, readable=False)
    assert torch.equal(slid.source, near[0])
    assert torch.equal(slid.target, near[1])
    assert torch.equal(project(volume, slid.source.double(), near[1].double(), affine(), backend=backend), alone)


def test_derivatives_by_ends_that_did_not_move_are_as_they_were():
    jacobian = torch.rand(1, 2, 3, 6)
    ends = Ends(torch.zeros(1, 3, 3), torch.zeros(1, 3, 3))
    assert ends.jacobian(jacobian) is jacobian
    stays = torch.tensor([0.0, 1.0]).expand(1, 3, 2)
    assert_all_close([Ends(ends.source, ends.target, stays).jacobian(jacobian)], [jacobian], 0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_reach_of_what_is_not_finite(bad):
    assert reach_of(torch.tensor([1.0, -7.0]), torch.zeros(0)) == 7
    assert not reach_of(torch.tensor([1.0, bad])) < torch.inf


@pytest.mark.parametrize("backend", ["reference", pytest.param("cpu", marks=needs_extension)])
def test_rays_that_came_rounded_are_told(backend):
    say_once.cache_clear()
    source, target = (ends.float() for ends in beam("parallel", 1e6))
    with pytest.warns(RuntimeWarning, match=r"500 m and more away are rounded to 1/16 mm.*float64") as said:
        project(VOLUME.float(), source, target, affine(), backend=backend)
    assert said[0].filename == __file__
