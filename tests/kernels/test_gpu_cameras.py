"""Cameras: kernels that make the rays themselves give what marching along those rays gives, on every backend."""

import inspect

import pytest
import torch
from kernel_cases import affine, opcheck, random_volume
from torch import Tensor

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.geometry._detector import Detector
from raygrad.kernels import available_backends, prepare, project, project_cameras, project_cameras_with_jacobian
from raygrad.kernels._rays import rays_of_cameras
from raygrad.pose import RigidTransform, random_rigid_transform

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.interpreter]

RENDERERS = ("siddon", "joseph", "trilinear")
USABLE = {name: usable for name, (usable, _) in available_backends().items()}
BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(not USABLE[name], reason=f"backend {name} cannot be used here"))
    for name in ("gpu", "cpu", "reference")
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_gpu_kernels = pytest.mark.skipif(not USABLE["gpu"], reason="no GPU, and no Triton to interpret its kernels")


def on_device(backend: str, tensor: Tensor) -> Tensor:
    return tensor.to(DEVICE if backend == "gpu" else "cpu")


def make_cameras(batch: int, maps: int) -> tuple[Tensor, Tensor]:
    """Cameras 20 mm from the middle of 7 x 6 x 5 voxels, with shifted detectors of pixels that are not square."""
    generator = torch.Generator().manual_seed(batch)
    camera_to_world = random_rigid_transform(batch, generator).matrix.double()
    camera_to_world[:, :3, 3] = torch.tensor([3.0, 2.5, 2.0]) - 20 * camera_to_world[:, :3, 2]
    pixel_to_camera = torch.diag(torch.tensor([2.1, -1.9, 41.0, 1.0], dtype=torch.float64)).repeat(maps, 1, 1)
    pixel_to_camera[:, 0, 2] = 0.31 + 0.2 * torch.arange(maps)
    pixel_to_camera[:, 1, 2] = -0.73
    return camera_to_world, pixel_to_camera


def gradients(leaves: list[Tensor], backend: str, **options) -> tuple[Tensor, ...]:
    leaves = [on_device(backend, leaf).clone().requires_grad_() for leaf in leaves]
    image = project_cameras(*leaves, on_device(backend, affine()), backend=backend, **options)
    weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(3), dtype=image.dtype)
    volume, pose, pixels = torch.autograd.grad(image, leaves, on_device(backend, weights), materialize_grads=True)
    return tuple(t.detach().cpu() for t in (image, volume, pose[:, :3], pixels[:, :3]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_rays_of_cameras_end_at_the_pixels(backend):
    camera_to_world, pixel_to_camera = make_cameras(2, 2)
    source, target = rays_of_cameras(camera_to_world, pixel_to_camera, 3, 4)
    point = torch.tensor([1.5, -1.0, 1.0, 1.0], dtype=torch.float64)  # first row, last column
    torch.testing.assert_close(target[:, 3], (camera_to_world @ (pixel_to_camera @ point)[..., None])[:, :3, 0])
    torch.testing.assert_close(source[:, 0], camera_to_world[:, :3, 3])
    volume, world_to_voxel = on_device(backend, random_volume(7, 6, 5)), on_device(backend, affine())
    rays = (on_device(backend, source), on_device(backend, target))
    along = project(volume, *rays, world_to_voxel, backend=backend)
    cameras = [on_device(backend, t) for t in (camera_to_world, pixel_to_camera)]
    image = project_cameras(volume, *cameras, world_to_voxel, height=3, width=4, backend=backend)
    assert image.max() > 1
    torch.testing.assert_close(image, along, rtol=1e-12, atol=1e-12)


@needs_gpu_kernels
@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize(("batch", "maps", "labelled"), [(1, 1, False), (3, 1, True), (2, 2, False)])
def test_cameras_match_the_reference(renderer, batch, maps, labelled):
    labels = (random_volume(7, 6, 5, seed=9) * 4).to(torch.uint8) if labelled else None
    leaves = [random_volume(7, 6, 5), *make_cameras(batch, maps)]
    # With 36 samples none is as near to one voxel as to another.
    options = {"height": 5, "width": 6, "renderer": renderer, "n_points": 36}
    expected = gradients(leaves, "reference", labels=labels, **options)
    result = gradients(leaves, "gpu", labels=labels if labels is None else on_device("gpu", labels), **options)
    assert expected[2].abs().max() > 1
    for ours, theirs in zip(result, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@needs_gpu_kernels
def test_a_pose_gradient_sums_every_block_of_pixels(monkeypatch):
    from raygrad.kernels._gpu import operators

    leaves, options = [random_volume(7, 6, 5), *make_cameras(2, 1)], {"height": 5, "width": 6}
    whole = gradients(leaves, "gpu", **options)
    monkeypatch.setattr(operators, "PIXELS", 8)
    for ours, theirs in zip(gradients(leaves, "gpu", **options), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@needs_gpu_kernels
def test_the_occupancy_of_another_volume_is_refused():
    volume, world_to_voxel = on_device("gpu", random_volume(7, 6, 5)), on_device("gpu", affine())
    cameras = [on_device("gpu", t) for t in make_cameras(1, 1)]
    options = {"height": 2, "width": 2, "backend": "gpu", "occupancy": prepare(volume)}
    project_cameras(volume, *cameras, world_to_voxel, **options)
    with pytest.raises(ValueError, match="occupancy of this volume"):
        project_cameras(volume.clone(), *cameras, world_to_voxel, **options)


@needs_gpu_kernels
@pytest.mark.parametrize("renderer", RENDERERS)
def test_maxima_of_cameras_match_the_reference(renderer):
    leaves = [random_volume(7, 6, 5), *make_cameras(2, 1)]
    options = {"height": 4, "width": 3, "renderer": renderer, "n_points": 36, "reducefn": "max"}
    for ours, theirs in zip(
        gradients(leaves, "gpu", **options), gradients(leaves, "reference", **options), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@needs_gpu_kernels
@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_jacobian_of_cameras_is_that_of_their_rays(renderer):
    volume, cameras = random_volume(7, 6, 5), make_cameras(2, 1)
    options = {"height": 4, "width": 5, "renderer": renderer, "n_points": 36}
    expected = project_cameras_with_jacobian(volume, *cameras, affine(), backend="reference", **options)
    tensors = [on_device("gpu", t) for t in (volume, *cameras, affine())]
    for ours, theirs in zip(project_cameras_with_jacobian(*tensors, backend="gpu", **options), expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-9, atol=1e-9)


@needs_gpu_kernels
@pytest.mark.parametrize("renderer", RENDERERS)
def test_gradcheck(renderer):
    volume, (camera_to_world, pixel_to_camera) = random_volume(4, 3, 3), make_cameras(1, 1)
    camera_to_world[:, :3, 3] -= torch.tensor([1.5, 1.5, 1.0])
    leaves = [on_device("gpu", t).requires_grad_() for t in (volume, camera_to_world[:, :3], pixel_to_camera[:, :3])]
    last = on_device("gpu", torch.tensor([[[0.0, 0.0, 0.0, 1.0]]], dtype=torch.float64))

    def image(volume, pose, pixels):
        maps = (torch.cat([rows, last.expand(len(rows), 1, 4)], dim=1) for rows in (pose, pixels))
        options = {"height": 2, "width": 2, "renderer": renderer, "n_points": 6, "backend": "gpu"}
        return project_cameras(volume, *maps, on_device("gpu", affine((0.9, 1.1, 1.3))), **options)

    assert torch.autograd.gradcheck(image, leaves, eps=1e-7, atol=1e-6, fast_mode=True)


@needs_gpu_kernels
@pytest.mark.parametrize("operator", ["march_cameras", "march_cameras_with_jacobian", "march_cameras_adjoint"])
def test_opcheck(operator):
    volume, cameras = random_volume(7, 6, 5)[None], make_cameras(2, 1)
    leaves = [on_device("gpu", t) for t in (volume, *cameras)]
    rest = (on_device("gpu", affine()), None, 2, 3, 1, "joseph", 9, "sum", "gpu")
    checks = ["test_schema", "test_faketensor", "test_autograd_registration"]
    if operator == "march_cameras_adjoint":
        leaves.insert(0, on_device("gpu", torch.rand(2, 1, 6, dtype=torch.float64)).requires_grad_())
    else:
        leaves = [leaf.requires_grad_() for leaf in leaves]
    if operator != "march_cameras_with_jacobian":  # whose other output refuses to be differentiated
        checks.append("test_aot_dispatch_dynamic")
    opcheck(operator, (*leaves, *rest), checks)


@needs_gpu_kernels
def test_second_derivatives_are_refused():
    leaves = [on_device("gpu", t).requires_grad_() for t in (random_volume(7, 6, 5), *make_cameras(1, 1))]
    options = {"height": 2, "width": 3, "backend": "gpu"}
    image = project_cameras(*leaves, on_device("gpu", affine()), **options)
    for leaf, gradient in zip(
        leaves, torch.autograd.grad(image.square().sum(), leaves, create_graph=True), strict=True
    ):
        with pytest.raises(RuntimeError, match="backend='reference'"):
            torch.autograd.grad(gradient.sum(), leaf, retain_graph=True)


@pytest.mark.parametrize("reverse_x_axis", [True, False])
@pytest.mark.parametrize("learned", [False, True])
def test_the_map_of_a_detector_leads_to_its_pixels(reverse_x_axis, learned):
    reorient = random_rigid_transform(1, torch.Generator().manual_seed(1)).matrix.double()
    lengths = (1020.1, 2.1, 1.3, 7.7, -3.3)  # none is a number of single precision
    sdd, delx, dely, x0, y0 = (torch.tensor(v, dtype=torch.float64) for v in lengths) if learned else lengths
    detector = Detector(sdd, 4, 5, delx, dely, x0, y0, reorient, reverse_x_axis=reverse_x_axis)
    poses = RigidTransform(random_rigid_transform(2, torch.Generator().manual_seed(2)).matrix.double())
    for calibration in (None, detector.calibration, detector.calibration.matrix.repeat(2, 1, 1)):
        expected = detector(poses, calibration)
        rays = rays_of_cameras(poses.matrix, detector.pixel_map(poses.matrix, calibration), 4, 5)
        for ours, theirs in zip(rays, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_the_map_of_a_detector_follows_its_lengths():
    detector = Detector(1020.0, 4, 5, 2.0, 2.0, 0.0, 0.0, torch.eye(4))
    like = torch.zeros(1)
    before = detector.pixel_map(like)
    assert detector.pixel_map(like) is before
    detector.sdd = 900.0
    assert detector.pixel_map(like)[0, 2, 2] == 900
    assert detector.pixel_map(like.double()).dtype == torch.float64


@needs_gpu_kernels
@pytest.mark.parametrize("learned", ["sdd", "delx", "x0"])
def test_gradients_for_intrinsics_are_those_of_the_cpu(learned):
    volume = Volume(torch.rand(7, 6, 5), torch.diag(torch.tensor([9.0, 9.0, 9.0, 1.0])).numpy())
    found = []
    for backend in ("gpu", "reference"):
        lengths = {"sdd": 1020.0, "delx": 7.0, "x0": 2.0}
        lengths[learned] = torch.nn.Parameter(torch.tensor(lengths[learned], dtype=torch.float64))
        drr = DRR(
            Subject(volume, density=volume.data[0].double()), height=4, backend=backend, renderer="joseph", **lengths
        )
        drr = drr.to(DEVICE if backend == "gpu" else "cpu")
        pose = RigidTransform(torch.eye(4, dtype=torch.float64, device=drr.device))
        drr(RigidTransform(pose.matrix + 0)).square().sum().backward()
        found.append(next(drr.parameters()).grad.cpu())
    assert found[1].abs() > 0
    torch.testing.assert_close(*found, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"camera_to_world": torch.eye(4)}, ValueError, r"camera_to_world of shape \(batch, 4, 4\)"),
        ({"camera_to_world": torch.eye(4, dtype=torch.int64)[None]}, TypeError, "camera_to_world to be of a floating"),
        ({"pixel_to_camera": torch.eye(4).repeat(3, 1, 1)}, ValueError, r"\(1, 4, 4\) or \(2, 4, 4\)"),
        ({"height": 0}, ValueError, "at least 1 x 1"),
        ({"volume": torch.zeros(3, 4, 5, 6)}, ValueError, "one volume, or 2"),
        ({"renderer": "ray"}, ValueError, "renderer"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the arguments are made on the CPU")
def test_what_makes_no_cameras_is_refused(wrong, error, message, backend):
    arguments = {
        "volume": torch.zeros(4, 5, 6), "camera_to_world": torch.eye(4).repeat(2, 1, 1),
        "pixel_to_camera": torch.eye(4)[None], "world_to_voxel": torch.eye(4), "height": 3, "width": 3,
    } | wrong  # fmt: skip
    with pytest.raises(error, match=message):
        inspect.unwrap(project_cameras)(**arguments, backend=backend)
