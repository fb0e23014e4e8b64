"""Parallel beams: chords in closed form, the limit of far cones, and laws of images, derivatives and projectors."""

import copy
import inspect
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from raygrad import Projector, reconstruct
from raygrad.data import Subject, Volume
from raygrad.detector import make_intrinsic_matrix
from raygrad.drr import DRR
from raygrad.evaluation import make_case
from raygrad.geometry import (
    ConeViews,
    Detector,
    Intrinsics,
    ParallelViews,
    choose_grid,
    cone_vectors_of,
    trajectories,
)
from raygrad.kernels import available_backends
from raygrad.pose import RigidTransform, convert, make_reorient, random_rigid_transform
from raygrad.testing import check_views

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
RENDERERS = ("siddon", "joseph", "trilinear")
SPACING = (2.0, 3.0, 2.5)
SHAPE = (14, 12, 16)
STANDPOINTS = {"AP": (0.0, 300.0, 0.0), "PA": (0.0, -300.0, 0.0), None: (0.0, 0.0, -300.0)}


def make_subject(density, orientation="AP", spacing=SPACING, labels=None):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(density.shape) - 1) / 2
    return Subject(Volume(density, affine), density=density, mask=labels, orientation=orientation)


def draw(shape=SHAPE, seed=0, dtype=DOUBLE):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def blob(shape=SHAPE, spacing=SPACING, radius=9.0, dtype=DOUBLE):
    axes = [(torch.arange(n, dtype=dtype) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    return torch.exp(-((x - 2) ** 2 + (y + 1) ** 2 + (z - 3) ** 2) / radius**2)


def make_drr(density=None, orientation="AP", **options):
    density = draw() if density is None else density
    system = {"sdd": 620.0, "height": 9, "delx": 4.0, "width": 12, "dely": 3.5, "x0": 3.0, "y0": -5.0}
    labels = options.pop("labels", None)
    options = {"backend": "cpu", "parallel": True} | system | options
    return DRR(make_subject(density, orientation, labels=labels), **options)


def make_pose(rotation=(0.3, -0.2, 0.4), move=(2.0, -3.0, 4.0), orientation="AP", dtype=DOUBLE):
    xyz = torch.tensor([STANDPOINTS[orientation]], dtype=dtype) + torch.tensor([move], dtype=dtype)
    rotation = torch.tensor([rotation], dtype=dtype)
    return convert(rotation, xyz, parameterization="euler_angles", convention="ZXY")


def moved(pose, twist):
    """A pose turned and shifted from the left by a twist of (mm, radians)."""
    motion = convert(twist[None, 3:], twist[None, :3], parameterization="axis_angle")
    return RigidTransform(motion.matrix @ pose.matrix)


# --- rays and images ---


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("reverse_x_axis", [True, False])
def test_the_chords_of_a_box_are_exact(orientation, reverse_x_axis):
    drr = make_drr(torch.ones(SHAPE, dtype=DOUBLE), orientation, reverse_x_axis=reverse_x_axis)
    pose = make_pose(orientation=orientation)
    camera = (pose.matrix[0] @ make_reorient(orientation).double()).numpy()
    across, up, beam, origin = camera[:3].T
    half = np.array(SHAPE) * SPACING / 2
    expected = np.zeros((9, 12))
    for i in range(9):
        for j in range(12):
            x, y = 3.0 + (1 if reverse_x_axis else -1) * (5.5 - j) * 4.0, -5.0 + (4 - i) * 3.5
            start = origin + x * across + y * up
            ends = np.sort(np.stack([(-half - start) / beam, (half - start) / beam]), axis=0)
            expected[i, j] = max(0.0, ends[1].min() - ends[0].max())
    assert (expected > 0).mean() > 0.5
    np.testing.assert_allclose(drr(pose)[0, 0].numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_chords_of_a_ball(renderer):
    axis = torch.arange(60, dtype=DOUBLE) - 29.5
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    ball = (x**2 + y**2 + z**2 < 20**2).to(DOUBLE)
    drr = DRR(make_subject(ball, spacing=(1.0,) * 3), 620.0, 12, 5.0, renderer=renderer, backend="cpu", parallel=True)
    image = drr(make_pose(move=(0.0, 0.0, 0.0)))[0, 0]
    offset = (torch.arange(12) - 5.5) * 5
    expected = 2 * (400 - offset[:, None] ** 2 - offset**2).clamp(min=0).sqrt()
    assert (image - expected).abs().mean() < 0.25
    assert (image - expected)[expected > 25].abs().max() < 2


@pytest.mark.parametrize("renderer", RENDERERS)
def test_nothing_is_magnified_so_that_an_image_holds_the_whole_body(renderer):
    density = blob(radius=5.0)
    system = {"height": 40, "width": 40, "delx": 1.5, "dely": 1.5, "x0": 0.0, "y0": 0.0}
    drr = make_drr(density, renderer=renderer, **system)
    mass = density.sum().item() * np.prod(SPACING)
    assert drr(make_pose()).sum().item() * 1.5**2 == pytest.approx(mass, rel=1e-3)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_moving_along_the_beam_changes_nothing(renderer):
    drr, pose = make_drr(renderer=renderer), make_pose()
    drr.renderer = renderer
    options = {"n_points": 4000} if renderer == "trilinear" else {}
    beam = drr.detector.camera_to_world(pose).matrix[0, :3, 2]
    image = drr(pose, **options)
    tolerance = {"trilinear": 1e-2}.get(renderer, 1e-9)
    for mm in (-150.0, 0.37, 220.0):
        shifted = moved(pose, torch.cat([mm * beam, torch.zeros(3, dtype=DOUBLE)]))
        torch.testing.assert_close(drr(shifted, **options), image, rtol=0, atol=tolerance * float(image.max()))


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("orientation", ["AP", "PA"])
def test_it_is_the_limit_of_cones_from_far_away(renderer, orientation):
    density, pose = blob(), make_pose(orientation=orientation)
    near = make_drr(density, orientation, renderer=renderer)
    far = make_drr(density, orientation, renderer=renderer, sdd=1e7 + 320.0, parallel=False)
    beam = near.detector.camera_to_world(pose).matrix[0, :3, 2]
    away = moved(pose, torch.cat([-(1e7 - 300.0) * beam, torch.zeros(3, dtype=DOUBLE)]))
    image = near(pose)
    if renderer == "trilinear":  # whose equal steps would all be far from the volume
        source, target = far.detector(away)
        length = (target - source).norm(dim=-1, keepdim=True)
        image_far = far.render(density, target - 620 * (target - source) / length, target)
        torch.testing.assert_close(image_far.reshape(image.shape), image, rtol=0, atol=1e-3)
    else:
        torch.testing.assert_close(far(away), image, rtol=0, atol=2e-3)


def test_rays_start_in_the_plane_of_the_pose_and_run_along_the_normal():
    detector, pose = make_drr().detector, random_rigid_transform(3, torch.Generator().manual_seed(0)).to(DOUBLE)
    source, target = detector(pose)
    camera = detector.camera_to_world(pose)
    assert source.shape == target.shape == (3, 108, 3)
    in_camera = camera.inverse()(source)
    torch.testing.assert_close(in_camera, detector.source.double().expand_as(in_camera), rtol=0, atol=1e-4)
    beam = camera.matrix[:, None, :3, 2]
    torch.testing.assert_close(target - source, (620 * beam).expand_as(target), rtol=0, atol=1e-9)


def test_a_leaning_detector_of_a_calibration_leaves_the_beam_as_it_is():
    drr, pose = make_drr(), make_pose()
    calibration = drr.detector.calibration.matrix.double().clone()
    torch.testing.assert_close(drr.detector(pose, calibration)[0], drr.detector(pose)[0], rtol=0, atol=1e-4)
    calibration[:, 2, 0] = 0.5  # columns climb towards the source
    source, target = drr.detector(pose, calibration)
    beam = drr.detector.camera_to_world(pose).matrix[0, :3, 2]
    torch.testing.assert_close((target - source) @ beam, (target - source).norm(dim=-1))
    torch.testing.assert_close(source, drr.detector(pose)[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(drr(pose, calibration=calibration), drr(pose), rtol=0, atol=1e-4)


# --- points and pixels ---


@pytest.mark.parametrize("orientation", ["AP", "PA", None])
@pytest.mark.parametrize("reverse_x_axis", [True, False])
@pytest.mark.parametrize(("height", "width"), [(40, 51), (41, 50)])
def test_a_point_is_drawn_where_it_is_projected_to(orientation, reverse_x_axis, height, width):
    density = torch.zeros(SHAPE, dtype=DOUBLE)
    density[3, 8, 11] = 1.0
    size = {"height": height, "width": width, "delx": 1.3, "dely": 1.1}
    drr = make_drr(density, orientation, reverse_x_axis=reverse_x_axis, **size)
    pose = make_pose(orientation=orientation)
    point = drr.affine(torch.tensor([[[3.0, 8.0, 11.0]]], dtype=DOUBLE))
    u, v = drr.perspective_projection(pose, point)[0, 0].tolist()
    image = drr(pose)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    assert float((image * columns).sum() / image.sum()) == pytest.approx(u, abs=0.15)
    assert float((image * rows).sum() / image.sum()) == pytest.approx(v, abs=0.15)
    assert image[int(v), int(u)] > 0
    back = drr.inverse_projection(pose, torch.tensor([[[u, v]]], dtype=DOUBLE))
    beam = drr.detector.camera_to_world(pose).matrix[0, :3, 2]
    assert torch.linalg.cross(back[0, 0] - point[0, 0], beam).norm() < 1e-9


def test_every_point_of_a_ray_projects_to_its_pixel():
    drr, pose = make_drr(), make_pose()
    source, target = drr.detector(pose)
    rows, columns = torch.meshgrid(torch.arange(9) + 0.5, torch.arange(12) + 0.5, indexing="ij")
    centres = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2).double()
    for share in (0.0, 0.4, 1.7):
        torch.testing.assert_close(drr.perspective_projection(pose, source.lerp(target, share)), centres)


# --- derivatives ---


@pytest.mark.parametrize("renderer", ["joseph", "trilinear"])
def test_gradients_of_the_pose_are_those_of_finite_differences(renderer):
    drr = make_drr(blob(), height=3, width=4, delx=7.0, dely=6.0, renderer=renderer)
    pose = make_pose()
    zero = torch.zeros(6, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda twist: drr(moved(pose, twist)), [zero], atol=1e-5, eps=1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.script(_method)?` is deprecated:FutureWarning")  # torch's own call
@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_gradient_along_the_beam_is_zero_and_all_modes_agree(renderer):
    drr, pose = make_drr(renderer=renderer, height=4, width=5), make_pose()
    zero = torch.zeros(6, dtype=DOUBLE)
    backward = torch.func.jacrev(lambda twist: drr(moved(pose, twist)).flatten())(zero)
    forward = torch.func.jacfwd(lambda twist: drr(moved(pose, twist)).flatten())(zero)
    torch.testing.assert_close(forward, backward)
    beam = drr.detector.camera_to_world(pose).matrix[0, :3, 2]
    assert (backward[:, :3] @ beam).abs().max() < 1e-9 * backward.abs().max()

    image, by_ends = drr.project_with_jacobian(pose)
    torch.testing.assert_close(image, drr(pose))
    source, target = drr.detector(pose)
    lever = torch.cat(
        [
            torch.linalg.cross(ends.expand(1, 20, 3), part)
            for ends, part in zip((source, target), by_ends.flatten(1, 3).split(3, -1), strict=True)
        ]
    ).sum(0)
    shift = by_ends.flatten(1, 3).unflatten(-1, (2, 3)).sum(-2)[0]
    torch.testing.assert_close(torch.cat([shift, lever], dim=-1), backward)


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_gradient_of_the_volume_is_the_adjoint(renderer):
    drr, pose = make_drr(renderer=renderer), make_pose()
    volume = draw(seed=1).requires_grad_()
    image = drr.render(volume, *drr.detector(pose))
    cotangent = draw(tuple(image.shape), seed=2)
    (gradient,) = torch.autograd.grad(image, volume, cotangent)
    assert float((image.detach() * cotangent).sum()) == pytest.approx(
        float((volume.detach() * gradient).sum()), rel=1e-12
    )


@pytest.mark.parametrize("backend", [name for name, (usable, _) in available_backends().items() if usable])
def test_backends_agree(backend):
    images, gradients = [], []
    for name in ("reference", backend):
        density = draw((6, 5, 7), dtype=torch.float32)
        drr = make_drr(density, renderer="joseph", height=4, width=3, backend=name)
        pose = make_pose(dtype=torch.float32)
        matrix = pose.matrix.clone().requires_grad_()
        images.append(drr(RigidTransform(matrix)))
        gradients.append(torch.autograd.grad(images[-1].square().sum(), matrix)[0])
    torch.testing.assert_close(*images, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-2)


def test_intrinsics_get_gradients_and_the_distance_only_where_it_cuts_the_volume():
    lengths = {name: torch.tensor(value, dtype=DOUBLE) for name, value in {"x0": 3.0, "y0": -5.0, "delx": 4.0}.items()}
    names = ["sdd", *lengths]

    def image(*values):
        return make_drr(blob(), renderer="joseph", height=3, width=4, **dict(zip(names, values, strict=True)))(
            make_pose()
        )

    for sdd, feels in ((620.0, False), (305.0, True)):  # behind the volume, and within
        values = [
            torch.tensor(sdd, dtype=DOUBLE, requires_grad=True),
            *(v.clone().requires_grad_() for v in lengths.values()),
        ]
        assert torch.autograd.gradcheck(image, values, atol=1e-5, eps=1e-5)
        gradient = torch.autograd.grad(image(*values).sum(), values)
        assert bool(gradient[0].abs() > 1e-9) is feels
        assert all(part.abs() > 1e-6 for part in gradient[1:])


# --- what a DRR offers ---


def test_structures_add_up_and_other_options_go_with_it():
    labels = (torch.arange(int(np.prod(SHAPE))).reshape(SHAPE) % 4).to(torch.uint8)
    drr, pose = make_drr(labels=labels), make_pose()
    parts = drr(pose, mask_to_channels=True)
    assert parts.shape == (1, 4, 9, 12)
    torch.testing.assert_close(parts.sum(1, keepdim=True), drr(pose))
    highest = make_drr(reducefn="max")(pose)
    assert 0 < highest.max() <= 1
    torch.manual_seed(0)
    some = make_drr(p_subsample=0.5)
    image, whole = some(pose), drr(pose)
    cast = image != 0
    torch.testing.assert_close(image[cast], whole[cast])
    assert 0.3 < cast.double().mean() <= 0.5
    both = RigidTransform(torch.cat([pose.matrix, make_pose((0.0, 0.1, 0.0)).matrix]))
    torch.testing.assert_close(drr(both)[:1], whole)


def test_detectors_are_changed_copied_and_compared():
    drr, pose = make_drr(), make_pose()
    assert drr.detector.parallel
    assert "parallel=True" in repr(drr.detector.intrinsics)
    assert drr.detector.intrinsics != drr.detector.intrinsics.replaced(parallel=False)
    for other in (copy.deepcopy(drr), pickle.loads(pickle.dumps(drr))):
        assert other.detector.intrinsics == drr.detector.intrinsics
        torch.testing.assert_close(other(pose), drr(pose), rtol=0, atol=0)
    assert drr.detector.on(torch.device("cpu")).parallel
    finer = copy.deepcopy(drr)
    finer.rescale_detector_(3.0)
    assert finer.detector.parallel
    torch.testing.assert_close(finer(pose)[..., 1::3, 1::3], drr(pose))
    finer.set_intrinsics_(parallel=False)
    assert not finer.detector.parallel
    finer.set_intrinsics_(parallel=True, height=9, width=12, delx=4.0, dely=3.5)
    torch.testing.assert_close(finer(pose), drr(pose))
    shrunk = drr.detector.with_intrinsics(drr.detector.intrinsics.shrunk(2))
    blocks = drr.detector(pose)[1].unflatten(1, (9, 12))[:, :8].unflatten(2, (6, 2)).unflatten(1, (4, 2)).mean((2, 4))
    torch.testing.assert_close(shrunk(pose)[1], blocks.flatten(1, 2))


# --- views and projectors ---


def scan(views=24, **options):
    angles = torch.arange(views, dtype=DOUBLE) * torch.pi / views
    rotation = nn.functional.pad(angles[:, None], (0, 2))
    pose = convert(
        rotation,
        torch.tensor([[0.0, 100.0, 0.0]], dtype=DOUBLE).expand(views, 3),
        parameterization="euler_angles",
        convention="ZXY",
    )
    drr = make_drr(blob(), sdd=200.0, height=14, width=24, delx=2.5, dely=3.0, x0=0.0, y0=0.0, renderer="joseph")
    return drr, pose


def test_views_of_it_are_those_of_a_parallel_trajectory():
    drr, pose = scan(4)
    views = ParallelViews.of(drr, pose)
    check_views(views)
    system = {"height": 14, "width": 24, "delx": 2.5, "dely": 3.0, "distance": 100.0}
    for mine, theirs in zip(
        views.parameters(), trajectories.parallel(4, dtype=DOUBLE, **system).parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    for mine, theirs in zip(views.rays(), drr.detector(pose), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    projected = Projector(drr, views)(drr.density)
    torch.testing.assert_close(projected, drr(pose)[:, 0])


@pytest.mark.parametrize("method", ["sirt", "cgls", "fdk"])
def test_volumes_are_reconstructed_from_its_images(method):
    drr, pose = scan()
    projector = Projector(drr, ParallelViews.of(drr, pose))
    x, y = draw(seed=3), draw(projector.range_shape, seed=4)
    assert float((projector(x) * y).sum()) == pytest.approx(float((x * projector.T(y)).sum()), rel=1e-12)
    iterations = {"sirt": {"iterations": 60}, "cgls": {"iterations": 15}, "fdk": {}}[method]
    found = reconstruct(drr(pose)[:, 0], projector.views, drr, method=method, **iterations).volume
    assert float((found - drr.density).norm() / drr.density.norm()) < {"sirt": 0.1, "cgls": 0.03, "fdk": 0.15}[method]


# --- what it is not ---


def test_what_needs_a_source_refuses_it():
    drr, pose = make_drr(), make_pose()
    detector = drr.detector
    cone = make_drr(parallel=False)
    beams = ParallelViews.of(drr, pose)
    refused = {
        "views": lambda: ConeViews.of(drr, pose),
        "pinhole": lambda: detector.pinhole_matrix,
        "intrinsic": lambda: detector.intrinsic,
        "matrix": lambda: make_intrinsic_matrix(detector),
        "cameras": lambda: detector.pixel_map(pose.matrix),
        "vectors": lambda: inspect.unwrap(cone_vectors_of)(beams),
        "grid": lambda: inspect.unwrap(choose_grid)(beams),
        "conditions": lambda: make_case("a", "ap", drr.subject, drr=drr),
    }
    for make in refused.values():
        with pytest.raises(ValueError, match=r"Expected a cone beam.*Got .*[pP]arallel"):
            make()
    with pytest.raises(ValueError, match="Expected a DRR with a parallel beam"):
        ParallelViews.of(cone, pose)
    assert not Detector.of(Intrinsics(1000.0, 4, 5, 1.0, 1.0), torch.eye(4)).parallel
