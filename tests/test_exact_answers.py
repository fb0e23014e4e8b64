"""Projectors against integrals known in closed form: exact where they must be, else converging at the order of theory.

Orders are slopes of log error over log voxel size, fitted over several sizes. Where they come from:

- A voxel holds a shape's value up to O(h**2) where the shape is smooth, and multilinear interpolation adds O(h**2)
  (de Boor, A Practical Guide to Splines, ch. III): joseph and trilinear are of second order on a Gaussian.
- Siddon reads the voxel nearest to the ray, up to h/2 aside. Along a grid axis that offset never changes, so siddon is
  of first order there; along an oblique ray the offsets average out and the order is higher.
- A solid is blurred over O(h) at its surface, so a ray that crosses it errs by O(h): order 1 in the maximum for a box
  that no ray grazes. A share O(h) of all rays graze an ellipsoid, where the chord grows like the root of the depth and
  errs by O(h**(1/2)). Hence orders 1/2 in the maximum and 1 in the root mean square (both parts give h**2, up to a
  logarithm), whatever the renderer. Crossings err to both sides and average out better than O(h) in an interpolated
  volume, which leaves grazing rays in the mean: h * h**(1/2), order 3/2.
- Derivatives are sums of differences between neighbours, exact to O(h) and to O(h**2) midway between them. Rays along
  an axis keep their offset from midway: first order. An oblique ray averages O(1/h) offsets; were they random, that
  would gain half an order.
"""

import math

import pytest
import roma
import torch
from kernel_cases import affine, cone, random_volume
from torch import Tensor

from raygrad.kernels import available_backends, project, project_with_jacobian
from raygrad.phantoms._shapes import Box, Ellipsoid, Gaussian, Phantom, shepp_logan

RENDERERS = ("siddon", "joseph", "trilinear")
INTERPOLATING = RENDERERS[1:]
BACKENDS = ("cpu", "reference") if available_backends()["cpu"][0] else ("reference",)
SIZES = (16, 24, 36, 54)
FIELD_OF_VIEW = 100.0

TURN = roma.rotvec_to_rotmat(torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64))
BLOB = Gaussian([1, 2, 1], [10, 7, 8], TURN)
ELLIPSOID = Ellipsoid([3, -2, 1], [30, 22, 35], TURN)
BOX = Box([1, 2, 3], [20, 15, 25], roma.rotvec_to_rotmat(torch.tensor([-0.4, 0.2, 0.3], dtype=torch.float64)))


def grid(size: int) -> Tensor:
    """Voxel to world, for `size` voxels along each side of the field of view about the origin."""
    spacing = FIELD_OF_VIEW / size
    return affine((spacing,) * 3, ((spacing - FIELD_OF_VIEW) / 2,) * 3).inverse()


def oblique_rays(pixels: int = 40, pixel: float = 3.1) -> tuple[Tensor, Tensor]:
    """A cone of rays, 17 degrees or more from every plane of the grid and 9 from the faces of BOX."""
    axes = roma.rotvec_to_rotmat(torch.tensor([0.5, -0.2, -0.55], dtype=torch.float64)).T
    return cone((-300 * axes[1]).tolist(), (200 * axes[1]).tolist(), pixels, pixels, pixel, axes[::2].tolist())


def rays_along_y(count: int = 600) -> tuple[Tensor, Tensor]:
    aside = 50 * (torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5)
    source, target = aside.clone(), aside.clone()
    source[:, 1], target[:, 1] = -300, 200
    return source[None], target[None]


def render(
    shape, size: int, rays, renderer: str, supersample: int, backend: str = BACKENDS[0]
) -> tuple[Tensor, Tensor]:
    """Values (ray) and their derivatives by both ends (ray, 6) of the voxelized shape."""
    voxel_to_world = grid(size)
    volume = shape.voxelize((size,) * 3, voxel_to_world, supersample, torch.float64)
    image, jacobian = project_with_jacobian(
        volume, *rays, voxel_to_world.inverse(), renderer=renderer, n_points=4 * size, backend=backend
    )
    return image[0, 0], jacobian[0, 0]


def exact(shape, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Values (ray) and their derivatives by both ends (ray, 6) in closed form."""
    source, target = source.expand_as(target).clone().requires_grad_(), target.clone().requires_grad_()
    values = shape.line_integrals(source, target)
    return values[0].detach(), torch.cat(torch.autograd.grad(values.sum(), (source, target)), -1)[0]


def by_pose(rays, jacobian: Tensor) -> Tensor:
    """Derivatives by the camera's translation (mm) and rotation about the origin (rad): both ends move as one body."""
    (source, target), (by_source, by_target) = rays, jacobian.split(3, -1)
    turning = torch.linalg.cross(source[0].expand_as(by_source), by_source) + torch.linalg.cross(target[0], by_target)
    return torch.cat([by_source + by_target, turning], -1)


def order(errors: list[Tensor]) -> float:
    """The slope of log error over log voxel size."""
    log_size = -torch.tensor(SIZES, dtype=torch.float64).log()
    log_size = log_size - log_size.mean()
    return float((log_size * torch.stack(errors).log()).sum() / log_size.square().sum())


def rms(errors: Tensor) -> Tensor:
    return errors.square().mean().sqrt()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_siddon_is_exact_for_boxes_on_voxel_faces(backend, dtype):
    """Value and derivatives, in an anisotropic grid that is turned in the world, for ends outside and inside."""
    voxel_to_world = affine((1.5, 0.8, 2.5), (-7, 3, -11)).inverse()
    voxel_to_world[:3] = TURN @ voxel_to_world[:3]
    spacing = voxel_to_world[:3, :3].norm(dim=0)

    def box(first, last, value):
        """Filling the voxels from `first` to before `last`."""
        first, last = torch.tensor(first, dtype=torch.float64), torch.tensor(last, dtype=torch.float64)
        middle = voxel_to_world[:3, :3] @ ((first + last - 1) / 2) + voxel_to_world[:3, 3]
        return Box(middle, (last - first) * spacing / 2, TURN, value)

    boxes = Phantom([box((0, 0, 0), (9, 14, 6), 1.0), box((2, 3, 1), (5, 11, 4), -0.6), box((4, 2, 2), (9, 5, 3), 2.5)])
    volume = boxes.voxelize((9, 14, 6), voxel_to_world, 2, dtype)
    middle = voxel_to_world[:3, :3] @ torch.tensor([4, 6.5, 2.5], dtype=torch.float64) + voxel_to_world[:3, 3]
    generator = torch.Generator().manual_seed(1)
    ends = [middle + s * torch.randn(1, 400, 3, generator=generator, dtype=torch.float64) for s in (25, 6)]
    values, derivatives = exact(boxes, *ends)
    image, jacobian = project_with_jacobian(
        volume, *(e.to(dtype) for e in ends), voxel_to_world.inverse(), renderer="siddon", backend=backend
    )
    assert (values > 1).sum() > 100
    tolerance = 1e-11 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(image[0, 0], values.to(dtype), rtol=0, atol=tolerance * float(values.max()))
    if dtype == torch.float64:
        torch.testing.assert_close(jacobian[0, 0], derivatives, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_interpolation_is_exact_for_linear_ramps(backend):
    """Where the volume is linear so is its interpolant, and the middle of the ray says all: |t - s| f((s + t) / 2)."""
    slope, base = torch.tensor([0.3, -0.7, 0.4], dtype=torch.float64), 2.0
    index = torch.stack(torch.meshgrid(*(torch.arange(9.0, dtype=torch.float64),) * 3, indexing="ij"), -1)
    volume = base + index @ slope
    generator = torch.Generator().manual_seed(2)
    ends = 4 + 5 * (torch.rand(2, 50, 3, generator=generator, dtype=torch.float64) - 0.5)
    ends[0, :, 1], ends[1, :, 1] = 0.5, 6.5  # joseph's slabs are those of the main axis, y, and here they are whole
    source, target = ends.requires_grad_().split(1)
    exactly = (target - source).norm(dim=-1) * (base + (source + target) / 2 @ slope)
    derivatives = torch.cat(torch.autograd.grad(exactly.sum(), (source, target)), -1)
    for renderer in INTERPOLATING:
        image, jacobian = project_with_jacobian(
            volume, source.detach(), target.detach(), affine(), renderer=renderer, n_points=7, backend=backend
        )
        torch.testing.assert_close(image[0], exactly.detach(), rtol=1e-12, atol=1e-12)
        if renderer == "trilinear":  # joseph's own ends move within a slab that it reads at the middle
            torch.testing.assert_close(jacobian[0], derivatives, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_voxel_is_felt_as_a_block_or_as_a_tent(backend):
    """Along an axis. The tent is linear on both sides of its top, where an even number of steps leaves no error."""
    volume, aside = torch.full((1, 1, 1), 3.0, dtype=torch.float64), torch.linspace(-1.15, 1.15, 24).double()
    y, z = (t.flatten() for t in torch.meshgrid(aside, aside, indexing="ij"))
    source, target = (torch.stack([torch.full_like(y, x), y, z], -1)[None] for x in (-4.0, 5.0))
    tent = 3 * (1 - y.abs()).clamp(min=0) * (1 - z.abs()).clamp(min=0)
    block = 3 * ((y.abs() < 0.5) & (z.abs() < 0.5)).double()
    for renderer, expected in (("siddon", block), ("joseph", tent), ("trilinear", tent)):
        image = project(volume, source, target, affine(), renderer=renderer, n_points=10, backend=backend)
        torch.testing.assert_close(image[0, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_an_ellipsoid_converges(renderer):
    rays = oblique_rays()
    values, _ = exact(ELLIPSOID, *rays)
    errors = [render(ELLIPSOID, n, rays, renderer, supersample=4)[0] - values for n in SIZES]
    assert order([rms(e) for e in errors]) == pytest.approx(1.0, abs=0.15)
    assert order([e.abs().amax() for e in errors]) == pytest.approx(0.5, abs=0.2)
    assert order([e.abs().mean() for e in errors]) > (1.0 if renderer == "siddon" else 1.2)
    assert rms(errors[-1]) < 0.02 * values.max()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_box_that_no_ray_grazes_converges(renderer):
    rays = oblique_rays()
    values, _ = exact(BOX, *rays)
    errors = [render(BOX, n, rays, renderer, supersample=4)[0] - values for n in SIZES]
    assert order([e.abs().amax() for e in errors]) == pytest.approx(1.0, abs=0.3)
    assert order([rms(e) for e in errors]) > 1.0
    assert rms(errors[-1]) < 0.01 * values.max()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_smooth_shapes_converge(renderer):
    for rays, expected in ((oblique_rays(), 2.0), (rays_along_y(), 1.0 if renderer == "siddon" else 2.0)):
        values, _ = exact(BLOB, *rays)
        errors = [rms(render(BLOB, n, rays, renderer, supersample=1)[0] - values) for n in SIZES]
        measured = order(errors)
        if renderer == "siddon" and expected == 2.0:
            assert measured > 1.8  # the random part decays even faster, until the voxels' own O(h**2) remains
        else:
            assert measured == pytest.approx(expected, abs=0.15)
        assert errors[-1] < 0.03 * values.max()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_pose_derivatives_converge_on_smooth_shapes(renderer):
    """Siddon's too: it sums the steps between the voxels that an oblique ray crosses, a Riemann sum of the gradient."""
    rays = oblique_rays(pixel=1.8)
    _, derivatives = exact(BLOB, *rays)
    by_pose_exactly = by_pose(rays, derivatives)
    errors = [by_pose(rays, render(BLOB, n, rays, renderer, supersample=1)[1]) - by_pose_exactly for n in SIZES]
    for i in range(6):
        assert order([rms(e[:, i]) for e in errors]) > 1.25
        assert rms(errors[-1][:, i]) < (0.2 if renderer == "siddon" else 0.08) * rms(by_pose_exactly[:, i])


def test_pose_derivatives_of_rays_along_an_axis():
    """Such rays cross no plane but those of their own axis: siddon's image is constant nearby, its derivative 0.

    This is why registration wants joseph or trilinear, whose derivatives converge there too, at first order.
    """
    rays = rays_along_y()
    _, derivatives = exact(BLOB, *rays)
    by_pose_exactly = by_pose(rays, derivatives)
    assert by_pose_exactly.abs().max() > 0.5
    for size in SIZES:
        jacobian = render(BLOB, size, rays, "siddon", supersample=1)[1]
        assert jacobian[:, [0, 2, 3, 5]].abs().max() < 1e-15  # 0, but for the rounding of what turns the rays
        assert jacobian.abs().max() < 1e-12  # along the rays: the blob's value on the far faces of the volume
    for renderer in INTERPOLATING:
        errors = [by_pose(rays, render(BLOB, n, rays, renderer, supersample=1)[1]) - by_pose_exactly for n in SIZES]
        assert order([rms(e) for e in errors]) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_reference_converges_as_the_kernels_do(renderer):
    rays = oblique_rays(12, 10.0)
    for shape, supersample in ((ELLIPSOID, 4), (BLOB, 1)):
        fast, reference = (render(shape, SIZES[0], rays, renderer, supersample, b) for b in (BACKENDS[0], "reference"))
        for ours, theirs in zip(fast, reference, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_trilinear_converges_in_its_samples():
    """On one volume, `n_points` alone: the midpoint rule on a continuous, piecewise smooth integrand, second order."""
    volume, world_to_voxel = random_volume(*(9,) * 3), affine((5.0,) * 3, (-20.0,) * 3)
    rays = oblique_rays(20, 3.0)
    counts = [8 * n for n in SIZES]
    *images, limit = (
        project(volume, *rays, world_to_voxel, renderer="trilinear", n_points=n, backend=BACKENDS[0])
        for n in (*counts, 20000 if BACKENDS[0] == "cpu" else 5000)
    )
    assert order([rms(image - limit) for image in images]) == pytest.approx(2.0, abs=0.2)


def camera(view: str) -> tuple[Tensor, Tensor]:
    """60 x 60 pixels of 6 mm, 1020 mm from the source, which is 850 mm from the isocentre; in float32."""
    rotvec = {"AP": (0, 0, 0), "lateral": (0, 0, math.pi / 2), "oblique": (0.31, -0.23, 0.64)}[view]
    axes = roma.rotvec_to_rotmat(torch.tensor(rotvec, dtype=torch.float64)).T
    rays = cone((-850 * axes[1]).tolist(), (170 * axes[1]).tolist(), 60, 60, 6.0, axes[::2].tolist())
    return rays[0].float(), rays[1].float()


@pytest.mark.parametrize("renderer", RENDERERS)
def test_float32_on_a_realistic_view(renderer):
    """Within 1e-5 of the image's maximum of the same rays in float64.

    The rays are rounded first for both: rounding moves their ends by up to 3e-5 mm, which any projector feels.
    """
    voxel_to_world = affine((3.2,) * 3, (-100.8,) * 3).inverse()
    volume = shepp_logan(100.0).voxelize((64,) * 3, voxel_to_world, supersample=2)
    settings = {"renderer": renderer, "n_points": 110, "image_width": 60}
    for view in ("AP", "oblique") if renderer == "trilinear" else ("AP", "lateral", "oblique"):
        source, target = camera(view)
        image = project(volume, source, target, voxel_to_world.inverse(), **settings, backend=BACKENDS[0])
        rays = source.double(), target.double()
        expected = project(volume.double(), *rays, voxel_to_world.inverse(), **settings, backend="reference")
        assert expected.max() > 40
        assert (image - expected).abs().max() < 1e-5 * expected.max()


@pytest.mark.skipif(BACKENDS[0] != "cpu", reason="no compiled extension")
@pytest.mark.parametrize("renderer", RENDERERS)
def test_float32_at_any_pose(renderer):
    """Within 1e-5 also where a ray is almost parallel to planes of the grid, so that it is uncertain where it crosses.

    The line of rays here turns through the axis in steps that reach down to slopes of 1e-7.
    """
    volume = random_volume(90, 80, 70)
    slopes = torch.cat([-(10.0 ** torch.linspace(-7, -1, 200)), 10.0 ** torch.linspace(-7, -1, 200)]).double()
    middle = torch.tensor([44.49, 39.51, 34.503], dtype=torch.float64)
    direction = torch.stack([slopes, torch.ones_like(slopes), 0.7 * slopes.flip(0)], dim=-1)
    source, target = (middle - 1200 * direction)[None].float(), (middle + 240 * direction)[None].float()
    settings = {"renderer": renderer, "n_points": 200, "backend": "cpu"}
    image = project(volume.float(), source, target, affine(), **settings)
    expected = project(volume, source.double(), target.double(), affine(), **settings)
    assert (image - expected).abs().max() < 1e-5 * expected.max()
