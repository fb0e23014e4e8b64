"""Everything on a GPU: the same numbers as on the CPU, in the memory where users expect them, and no needless waits."""

import copy
import importlib
import math

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from pretended_gpu import DEVICE, count_traffic, let_kernels_serve_it
from reconstruction_cases import function_of, make_head, make_scene, make_views

from raygrad import visualization
from raygrad.data import Subject, Volume, VolumeGeometry, read_volume, write_volume
from raygrad.drr import DRR
from raygrad.geometry._detector import Detector
from raygrad.geometry._views import ConeViews, RayViews
from raygrad.geometry.trajectories import parallel
from raygrad.landscape import compute_landscape
from raygrad.phantoms import _shapes as phantoms
from raygrad.pose import RigidTransform, convert
from raygrad.projector import Projector
from raygrad.reconstruction import Sirt, Solver, Status, Step, calibrate, iterate, reconstruct, total_variation
from raygrad.reconstruction._estimate import available_memory_of_gpu
from raygrad.registration import Registration, register

pytestmark = pytest.mark.usefixtures("one_thread")

ITERATIVE = {
    "sirt": {},
    "os_sart": {"n_subsets": 2},
    "cgls": {},
    "cgls of non-negative volumes": {"nonnegative": True, "restart": 2},
    "cgls with damping": {"damping": 3.0},
    "osem": {"n_subsets": 2},
    "osem of transmission": {"statistics": "transmission", "photons": 1e4, "n_subsets": 2},
    "tv": {"n_subsets": 2},
    "adam": {"n_subsets": 2},
    "adam with a loss": {
        "loss": lambda rendered, images: (rendered - images).abs().mean(),
        "regulariser": lambda volume: 1e-6 * total_variation(volume),
    },
}
ROTATION, TRANSLATION = torch.tensor([[0.1, -0.2, 0.05]]), torch.tensor([[3.0, 850.0, -5.0]])


@pytest.fixture(autouse=True)
def gpu_kernels(monkeypatch):
    let_kernels_serve_it(monkeypatch)


@pytest.fixture(scope="module")
def subject():
    """A few ellipsoids in two structures, which no turn maps to themselves."""
    geometry = VolumeGeometry.centred((20, 18, 16), 12.0)
    parts = [
        phantoms.Ellipsoid((-20.0, 10.0, 5.0), (60.0, 40.0, 50.0), value=0.5),
        phantoms.Ellipsoid((40.0, -20.0, -30.0), (25.0, 35.0, 20.0), value=1.0),
        phantoms.Ellipsoid((10.0, 40.0, 50.0), (15.0, 20.0, 30.0), value=1.5),
    ]
    density = phantoms.Phantom(parts).voxelize(geometry.shape, geometry.voxel_to_world).float()
    volume = Volume(density, geometry.voxel_to_world)
    return Subject(volume, density=density, mask=(density > 0.7).to(torch.uint8), fiducials=torch.rand(1, 4, 3))


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_views=8, size=16, pixels=20)


def make_drr(subject, **options):
    return DRR(subject, **({"sdd": 1020.0, "height": 20, "delx": 16.0} | options))


def make_pose(shift=0.0, turn=0.0):
    return convert(ROTATION + turn, TRANSLATION + shift, parameterization="euler_angles", convention="ZXY")


def same(found, expected, rtol=1e-5):
    """See that a tensor is on the pretended GPU, and equal to one on the CPU."""
    assert found.device == DEVICE
    torch.testing.assert_close(found.cpu(), expected, rtol=rtol, atol=rtol * float(expected.abs().max()))


# --- the device itself


MISUSES = {
    "two devices": lambda there: there + torch.ones(3),
    "a stack of both": lambda there: torch.stack([there[0], torch.tensor(1.0)]),
    "positions elsewhere": lambda there: torch.ones(3)[there.long()],
    "a number of its own added to the CPU's": lambda there: torch.ones(3).add_(there[0]),
    "a number that the CPU keeps": lambda there: torch.tensor(1.0).add_(there[0]),
    "the CPU's generator": lambda there: there.uniform_(generator=torch.Generator()),
    "a driver that CUDA lacks": lambda there: torch.linalg.lstsq(there[:, None], there[:, None], driver="gelsd"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_pretended_gpu_refuses_what_cuda_does(misuse):
    with pytest.raises(RuntimeError, match=r"expected|Expected|should be"):
        MISUSES[misuse](torch.zeros(3, device=DEVICE))


def test_the_pretended_gpu_has_no_memory_for_numpy():
    there = torch.zeros(3, device=DEVICE)
    for read in (lambda: there.numpy(), lambda: np.asarray(there)):
        with pytest.raises(TypeError, match="to numpy"):
            read()


@pytest.mark.parametrize(
    ("act", "waits", "uploads"),
    [
        (lambda there: there * 2 + torch.tensor(1.0), 0, 0),
        (lambda there: there.sum().item(), 1, 0),
        (lambda there: there.tolist(), 1, 0),
        (lambda there: there.cpu(), 1, 0),
        (lambda there: there[there > 0], 1, 0),
        (lambda there: torch.linalg.inv(torch.eye(3, device=DEVICE)), 1, 0),
        (lambda there: torch.tensor([1.0, 2.0], device=DEVICE), 0, 1),
        (lambda there: there.new_tensor([1.0, 2.0]), 0, 1),
        (lambda there: torch.arange(4, device=DEVICE) - torch.eye(4, device=DEVICE), 0, 0),
        (lambda there: there[torch.tensor([0, 2])], 0, 1),
        (lambda there: there.copy_(torch.ones(3)), 0, 1),
    ],
)
def test_the_pretended_gpu_counts_what_cuda_waits_for(act, waits, uploads):
    there = torch.zeros(3, device=DEVICE)
    with count_traffic() as traffic:
        act(there)
    assert (traffic.waits, traffic.uploads) == (waits, uploads)


# --- rendering


@pytest.mark.parametrize("renderer", ["siddon", "trilinear", "joseph"])
def test_a_drr_renders_and_differentiates_where_it_is(subject, renderer):
    def render(device):
        drr = make_drr(subject, renderer=renderer).to(device)
        numbers = [copy.deepcopy(part).to(device).requires_grad_() for part in (ROTATION, TRANSLATION)]
        drr.density = drr.density.clone().requires_grad_()
        image = drr(*numbers, parameterization="euler_angles", convention="ZXY")
        image.square().sum().backward()
        return image.detach(), *(part.grad for part in numbers), drr.density.grad

    for found, expected in zip(render(DEVICE), render("cpu"), strict=True):
        same(found, expected)


def test_a_drr_does_on_a_gpu_what_it_does_on_the_cpu(subject):
    here, there, pose = make_drr(subject), make_drr(subject).to(DEVICE), make_pose()
    same(there(pose.to(DEVICE), mask_to_channels=True), here(pose, mask_to_channels=True))
    for found, expected in zip(
        there.project_with_jacobian(pose.to(DEVICE)), here.project_with_jacobian(pose), strict=True
    ):
        same(found, expected)
    pixels = here.perspective_projection(pose, subject.fiducials)
    same(there.perspective_projection(pose.to(DEVICE), subject.fiducials.to(DEVICE)), pixels)
    same(there.inverse_projection(pose.to(DEVICE), pixels.to(DEVICE)), here.inverse_projection(pose, pixels))
    for drr in (here, there):
        drr.set_intrinsics_(sdd=1000.0, delx=15.0)
        drr.rescale_detector_(0.5)
    same(there(pose.to(DEVICE)), here(pose))
    there.load_state_dict(here.state_dict())
    same(copy.deepcopy(there)(pose.to(DEVICE)), here(pose))
    assert make_drr(subject, p_subsample=0.5).to(DEVICE)(pose.to(DEVICE)).device == DEVICE


def test_intrinsics_that_are_learned_follow_the_drr(subject):
    drr = make_drr(subject, sdd=torch.nn.Parameter(torch.tensor(1020.0))).to(DEVICE)
    drr(make_pose().to(DEVICE)).sum().backward()
    assert drr.detector.sdd.grad.device == DEVICE


def test_data_may_be_on_a_gpu(subject, tmp_path):
    volume = Volume(subject.volume.data.to(DEVICE), subject.volume.affine)
    there = Subject(volume, mask=subject.mask.data.to(DEVICE), fiducials=subject.fiducials.to(DEVICE))
    assert make_drr(there).to(DEVICE)(make_pose().to(DEVICE), mask_to_channels=True).device == DEVICE
    write_volume(volume, tmp_path / "volume.nii")
    torch.testing.assert_close(read_volume(tmp_path / "volume.nii").voxels, subject.volume.voxels)
    assert VolumeGeometry((4, 4, 4), torch.eye(4, device=DEVICE)).voxel_to_world.device.type == "cpu"


# --- views and projectors


def make_ray_views():
    source, target = make_views(2, 4).rays()
    return RayViews(source, target, (4, 4))


def make_calibrated_views():
    views, calibration = make_views(5, 6), torch.diag(torch.tensor([9.0, 8.0, 1500.0, 1.0]))
    return ConeViews(views.detector, views.pose, calibration.repeat(5, 1, 1))


VIEWS = {
    "cones": lambda: make_views(5, 6),
    "calibrated cones": make_calibrated_views,
    "beams": lambda: parallel(5, height=6, delx=20.0),
    "rays": make_ray_views,
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_move_to_a_gpu_and_make_their_rays_there(kind):
    here = VIEWS[kind]()
    there = here.to(DEVICE)
    assert here.device.type == "cpu"
    assert there.device == DEVICE
    assert there.to(DEVICE) is there
    with count_traffic() as traffic:
        rays = there[1:].rays()
    assert traffic.lines == []
    for found, expected in zip(rays, here[1:].rays(), strict=True):
        same(found, expected)


def test_gradients_come_back_from_views_that_were_moved():
    pose = make_views(3, 4).pose.matrix.requires_grad_()
    sdd = torch.nn.Parameter(torch.tensor(1500.0))
    detector = Detector(sdd, 4, 4, 80.0, 80.0, 0.0, 0.0, torch.eye(4))
    views = ConeViews(detector, RigidTransform(pose))
    views.to(DEVICE).rays()[1].square().sum().backward()
    assert sdd.device.type == "cpu"
    found = pose.grad.clone(), sdd.grad.clone()
    pose.grad = sdd.grad = None
    views.rays()[1].square().sum().backward()
    torch.testing.assert_close(found, (pose.grad, sdd.grad))


@pytest.mark.parametrize("rays_at_once", [1 << 22, 2000])
def test_a_projector_works_where_its_volumes_and_images_are(scene, rays_at_once):
    projector, truth, images = scene
    here = Projector(projector.volume_geometry, projector.views, rays_at_once=rays_at_once)
    for there in (here, here.to(DEVICE)):
        same(there(truth.to(DEVICE)), images)
        same(there.T(images.to(DEVICE)), here.T(images))
    assert math.isclose(there.norm(3), here.norm(3), rel_tol=1e-5)
    assert there.zeros().device == DEVICE
    volume = truth.clone().to(DEVICE).detach().requires_grad_()
    there(volume).square().sum().backward()
    same(volume.grad, here.T(2 * images))
    for subset, positions in there.subsets(4):
        same(subset(truth.to(DEVICE)), images[positions.cpu()])
        same(images.to(DEVICE)[positions], images[positions.cpu()])


def test_a_projector_on_a_gpu_uploads_nothing_and_gradients_reach_poses_elsewhere(scene):
    projector, truth, images = scene
    there, volume, cotangent = projector.to(DEVICE), truth.to(DEVICE), images.to(DEVICE)
    with count_traffic() as traffic:
        there(volume)
        there.T(cotangent)
    assert traffic.uploads == 0
    with count_traffic() as traffic:
        projector(volume)
        projector.T(cotangent)
    assert 0 < traffic.uploaded < images.nbytes  # poses, not rays
    gradients = []
    for device in ("cpu", DEVICE):
        pose = projector.views.pose.matrix.clone().requires_grad_()
        views = ConeViews(projector.views.detector, RigidTransform(pose))
        moved = Projector(projector.volume_geometry, views, rays_at_once=2000).to(device)
        moved(truth.to(device)).square().sum().backward()
        gradients.append(pose.grad)
    # Sums of float32 in another order: kernels that make the rays sum over pixels first.
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5 * float(gradients[0].abs().max()))


def test_a_phantom_is_integrated_along_rays_on_a_gpu():
    views = make_views(2, 6)
    same(make_head().line_integrals(*views.to(DEVICE).rays()), make_head().line_integrals(*views.rays()))


# --- reconstruction


@pytest.mark.parametrize("name", ITERATIVE)
def test_a_reconstruction_is_where_its_images_are(scene, name):
    projector, _, images = scene
    options = {"method": name.split()[0], "iterations": 3, **ITERATIVE[name]}
    here = reconstruct(images, projector.views, projector.volume_geometry, **options)
    there = reconstruct(images.to(DEVICE), projector.views, projector.volume_geometry, **options)
    same(there.volume, here.volume, rtol=1e-4)
    for found, expected in zip(there.history, here.history, strict=True):
        assert found.residual == pytest.approx(expected.residual, rel=1e-4)
        assert found.change == pytest.approx(expected.change, rel=1e-4)
        assert found.objective == (expected.objective and pytest.approx(expected.objective, rel=1e-4))


@pytest.mark.parametrize("name", ITERATIVE)
def test_an_iteration_waits_for_nothing_and_uploads_nothing(scene, name):
    projector, _, images = scene
    options = {"method": name.split()[0], **ITERATIVE[name], "nonnegative": False}
    if options["method"] == "osem":  # is never below 0
        del options["nonnegative"]
    if "restart" in options:
        options["restart"] = None
    there, solve = images.to(DEVICE), function_of(options.pop("method"))
    lines = []
    for iterations in (2, 6):
        with count_traffic() as traffic:
            solve(projector, there, iterations=iterations, **options)
        lines.append(traffic.lines)
    assert lines[0] == lines[1]


@pytest.mark.parametrize("views", ["circle", "beams"])
@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
def test_fdk_is_where_its_images_are(scene, views):
    projector, truth, images = scene
    geometry, views = projector.volume_geometry, projector.views
    if views == "beams":
        views = parallel(16, height=16, delx=16.0)
        images = Projector(geometry, views)(truth)
    here = reconstruct(images, views, geometry, method="fdk").volume
    same(reconstruct(images.to(DEVICE), views, geometry, method="fdk").volume, here)


def test_a_reconstruction_takes_views_and_volumes_from_either_device(scene):
    projector, truth, images = scene
    geometry, there = projector.volume_geometry, images.to(DEVICE)
    weights = torch.exp(-images)
    for support, start in ((truth > 0, truth), ((truth > 0).to(DEVICE), truth.to(DEVICE))):
        options = {"support": support, "start": start, "iterations": 1}
        result = reconstruct(there, projector.views.to(DEVICE), geometry, method="tv", weights=weights, **options)
        assert result.volume.device == DEVICE
    assert reconstruct(images, projector.views.to(DEVICE), geometry, iterations=1).volume.device.type == "cpu"
    assert result.project(projector.views).device == DEVICE
    assert result.to_volume().data.device.type == "cpu"


def test_poses_are_calibrated_where_the_images_are(scene):
    projector, _, images = scene
    options = {"unknowns": ("poses", "sdd"), "rounds": 2, "iterations": 2}
    here, there = calibrate(projector, images, **options), calibrate(projector, images.to(DEVICE), **options)
    same(there.volume, here.volume, rtol=1e-3)
    same(there.moved, here.moved, rtol=1e-3)
    same(there.views.pose.matrix, here.views.pose.matrix)
    assert repr(there) == repr(here)


@pytest.mark.parametrize("method", ["os_sart", "cgls", "adam", "tv"])
def test_a_checkpoint_goes_on_on_any_device(scene, tmp_path, method):
    projector, _, images = scene
    path = tmp_path / "checkpoint"

    def run(images, iterations, **kept):
        return reconstruct(
            images, projector.views, projector.volume_geometry, method=method, iterations=iterations, **kept
        )

    whole = run(images, 4).volume
    run(images.to(DEVICE), 2, checkpoint=path)
    state = torch.load(path, weights_only=True)["state"]
    assert {value.device.type for value in state.values() if isinstance(value, torch.Tensor)} == {"cpu"}
    torch.testing.assert_close(run(images, 4, checkpoint=path).volume, whole, rtol=1e-4, atol=1e-6)
    path.unlink()
    run(images, 2, checkpoint=path)
    same(run(images.to(DEVICE), 4, checkpoint=path).volume, whole, rtol=1e-4)


def test_numbers_that_nobody_asks_for_are_read_together(scene):
    projector, _, images = scene
    geometry, there = projector.volume_geometry, images.to(DEVICE)
    result = reconstruct(there, projector.views, geometry, method="sirt", iterations=13)
    assert [entry.number for entry in result.history] == list(range(1, 14))
    seconds = [entry.seconds for entry in result.history]
    assert seconds == sorted(seconds)
    assert 0 < seconds[0] < seconds[-1] <= result.seconds
    seen = []
    stopped = reconstruct(
        there, projector.views, geometry, method="sirt", callback=lambda it, volume: seen.append(it) or len(seen) == 3
    )
    assert stopped.status is Status.STOPPED
    assert tuple(seen) == stopped.history
    fitted = reconstruct(there, projector.views, geometry, method="sirt", residual=0.5)
    assert fitted.status is Status.FITTED
    assert fitted.history[-1].residual <= 0.5 < fitted.history[-2].residual


@pytest.mark.parametrize("device", ["cpu", DEVICE], ids=["cpu", "gpu"])
def test_a_volume_that_is_no_number_is_an_error_on_every_device(scene, device):
    class Lost(Solver):
        def step(self):
            self.volume.add_(1.0 if self.volume.device.type == "cpu" else math.nan)
            self.volume.mul_(math.nan)
            return Step(1.0)

    projector, _, images = scene
    with pytest.raises(FloatingPointError, match="no longer finite in iteration 1"):
        iterate(Lost(Sirt(), projector, images.to(device), nonnegative=False))


def test_the_memory_that_counts_is_that_of_the_images_device(scene, monkeypatch):
    projector, _, images = scene
    module, devices = importlib.import_module("raygrad.reconstruction._estimate"), []
    monkeypatch.setattr(module, "available_memory_of_gpu", lambda device: devices.append(device) or 10)
    with pytest.raises(MemoryError, match="about 0 MB of memory"):
        reconstruct(images.to(DEVICE), projector.views, projector.volume_geometry, method="sirt", iterations=1)
    assert devices == [DEVICE]


def test_memory_of_a_gpu_is_what_is_free_and_what_torch_keeps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert available_memory_of_gpu(torch.device("cuda", 0)) == 1200
    assert available_memory_of_gpu(DEVICE) is None


# --- registration, landscapes, pictures


def test_a_registration_ends_at_the_same_pose(subject):
    here = make_drr(subject, renderer="joseph")
    xray, init = here(make_pose()), make_pose(shift=4.0, turn=0.04)
    expected = register(xray, here, init, candidates=2)
    found = register(xray, copy.deepcopy(here).to(DEVICE), init, candidates=2)
    same(found.pose.matrix, expected.pose.matrix, rtol=1e-4)
    assert found.status == expected.status
    assert found.summary().split(",")[0] == expected.summary().split(",")[0]


@pytest.mark.parametrize("method", ["adam", "lbfgs"])
def test_descent_runs_where_the_drr_is(subject, method):
    there = make_drr(subject, renderer="joseph").to(DEVICE)
    xray = there(make_pose().to(DEVICE))
    result = register(xray, there, make_pose(shift=4.0).to(DEVICE), method=method, iterations=2)
    assert result.pose.matrix.device == DEVICE
    module = Registration(there, ROTATION, TRANSLATION, parameterization="euler_angles", convention="ZXY").to(DEVICE)
    module().sum().backward()
    assert all(parameter.grad.device == DEVICE for parameter in module.parameters() if parameter.requires_grad)


def test_a_landscape_is_the_same(subject):
    options = {"convention": "ZXY", "steps": 3, "slices": [("x", "alpha")]}
    here = compute_landscape(make_drr(subject), ROTATION, TRANSLATION, **options)
    drr, pose = make_drr(subject).to(DEVICE), (ROTATION.to(DEVICE), TRANSLATION.to(DEVICE))
    there = compute_landscape(drr, *pose, xray=drr(make_pose().to(DEVICE)), **options)
    np.testing.assert_allclose(there.slices[0].loss, here.slices[0].loss, atol=1e-6)


def test_pictures_are_drawn_of_tensors_on_a_gpu(subject, scene, tmp_path):
    drr = make_drr(subject, renderer="joseph").to(DEVICE)
    pose, init, mask = make_pose().to(DEVICE), make_pose(shift=3.0).to(DEVICE), torch.ones(20, 20, device=DEVICE)
    xray = drr(pose)
    visualization.plot_drr(drr(pose, mask_to_channels=True))
    visualization.plot_overlay(xray, xray, mask=mask)
    visualization.plot_difference(xray, xray.cpu(), mask=mask)
    result = register(xray, drr, init, candidates=1)
    visualization.plot_convergence(result, truth=pose)
    visualization.plot_convergence(result, truth=pose.cpu())
    for images, starts in ((xray, init), (xray.cpu(), init.cpu())):
        visualization.animate(tmp_path / "way.gif", images, drr, result, init=starts, max_frames=2, mask=[mask])
    projector, _, images = scene
    reconstruction = reconstruct(images.to(DEVICE), projector.views, projector.volume_geometry, iterations=1)
    visualization.plot_slices(reconstruction)
    visualization.plot_slices(Volume(reconstruction.volume, projector.volume_geometry.voxel_to_world))
    visualization.plot_history(reconstruction)
    plt.close("all")


# --- the command line
