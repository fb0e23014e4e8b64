"""What a registration sees: coarse bodies and detectors, structures, and how the images change with every unknown."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from raygrad.data import Subject, Volume
from raygrad.detector import Detector
from raygrad.drr import DRR
from raygrad.phantoms import Ellipsoid, Gaussian, Phantom
from raygrad.pose import RigidTransform, se3_exp_map, se3_log_map
from raygrad.registration import scene as scene_module
from raygrad.registration.bodies import check_structures, middle, reach, separate_bodies, whole_body
from raygrad.registration.calibration import Calibration
from raygrad.registration.levenberg_marquardt import Problem, State
from raygrad.registration.pyramid import (
    VOXELS_PER_PIXEL,
    Camera,
    Pyramid,
    make_body,
    reduce_body,
    shrink_detector,
    shrink_factor,
    shrink_image,
)
from raygrad.registration.scene import CALIBRATABLE, SQUARE, Scene, Sight, Unknowns
from raygrad.registration.similarity import GlobalCorrelation, GradientCorrelation, LocalCorrelation

DOUBLE = torch.float64
AP = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
STILL = RigidTransform(torch.eye(4, dtype=DOUBLE))
OBLIQUE = se3_exp_map(torch.tensor([[5.0, -8.0, 3.0, 0.3, -0.5, 0.8]], dtype=DOUBLE))[0]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Images this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def grid(shape, spacing, centre=(0.0, 0.0, 0.0), pose=None):
    """The affine (4, 4) from voxels to mm of a grid about a centre, turned if wanted."""
    voxel_to_world = torch.diag(torch.tensor([*spacing, 1.0], dtype=DOUBLE))
    extent = torch.tensor([(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)], dtype=DOUBLE)
    voxel_to_world[:3, 3] = torch.as_tensor(centre, dtype=DOUBLE) - extent
    return voxel_to_world if pose is None else pose @ voxel_to_world


def body_of(phantom, shape, voxel_to_world):
    return make_body(phantom.voxelize(shape, voxel_to_world, 2, DOUBLE), torch.linalg.inv(voxel_to_world))


def blobs(centre=(0.0, 0.0, 0.0), size=1.0, seed=0):
    """A few smooth blobs within 40 mm of a centre."""
    draw = np.random.default_rng(seed)
    centre = np.array([float(c) for c in centre])
    spots = [
        Gaussian(centre + size * draw.uniform(-20, 20, 3), size * draw.uniform(7, 14, 3), value=draw.uniform(0.3, 1))
        for _ in range(4)
    ]
    return Phantom(spots)


# The pyramid: volumes


@pytest.mark.parametrize("fortran", [False, True], ids=["z contiguous", "x contiguous"])
@pytest.mark.parametrize("pose", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("shape", "factors"), [((8, 6, 4), (2, 2, 2)), ((9, 7, 5), (2, 4, 1)), ((5, 3, 3), (4, 2, 2))])
def test_a_coarser_body_has_the_same_mass_in_the_same_place(shape, factors, pose, fortran):
    density = torch.rand(shape, dtype=DOUBLE)
    if fortran:
        density = density.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    body = make_body(density, torch.linalg.inv(grid(shape, (1.5, 0.7, 2.0), (10, -20, 5), pose)))
    coarse = reduce_body(body, factors)
    assert coarse.density.shape == tuple(math.ceil(n / f) for n, f in zip(shape, factors, strict=True))
    assert (coarse.density.stride(0) == 1) == fortran
    assert coarse.spacing == pytest.approx([s * f for s, f in zip((1.5, 0.7, 2.0), factors, strict=True)])
    torch.testing.assert_close(moments(coarse)[0], moments(body)[0], rtol=1e-12, atol=0)
    # A voxel lies in the middle of its block, and holds its mean.
    block = tuple(slice(0, f) for f in factors)
    torch.testing.assert_close(coarse.density[0, 0, 0], density[block].mean())
    single = torch.zeros_like(density)
    single[block] = 1.0
    blocks = (replace(body, density=single), replace(coarse, density=(coarse.density == coarse.density[0, 0, 0]) * 1.0))
    for fine_moment, coarse_moment in zip(*map(moments, blocks), strict=True):
        torch.testing.assert_close(coarse_moment, fine_moment, rtol=1e-12, atol=1e-12)


def moments(body):
    """Mass, and centre of mass in mm of the world."""
    voxels = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=DOUBLE) for n in body.density.shape), indexing="ij"))
    voxel_to_world = torch.linalg.inv(body.world_to_voxel)
    mass = body.density.sum()
    centroid = (voxels * body.density).sum((1, 2, 3)) / mass
    return mass * voxel_to_world[:3, :3].det(), voxel_to_world[:3, :3] @ centroid + voxel_to_world[:3, 3]


@pytest.mark.parametrize("pose", [None, OBLIQUE], ids=["straight", "oblique"])
def test_line_integrals_through_a_coarser_body_are_hardly_other(pose):
    shape = (48, 41, 50)
    body = body_of(blobs(), shape, grid(shape, (2.0, 2.0, 2.0), pose=pose))
    coarse = reduce_body(body, (2, 2, 2))
    camera, (source, target) = make_camera(), make_camera().detector(RigidTransform(far()))
    fine_image, coarse_image = camera.image(body, source, target), camera.image(coarse, source, target)
    assert (fine_image - coarse_image).abs().max() < 0.04 * fine_image.max()
    moved = replace(coarse, world_to_voxel=coarse.world_to_voxel @ STILL.matrix[0] + 0)
    moved.world_to_voxel[:3, 3] += 0.5  # a voxel off by half is seen
    assert (fine_image - camera.image(moved, source, target)).abs().max() > 0.06 * fine_image.max()


def test_pyramids_take_blocks_that_fit_a_pixel_and_make_each_once():
    body = make_body(torch.rand(32, 32, 16), torch.linalg.inv(grid((32, 32, 16), (1.0, 1.0, 2.5))))
    pyramid = Pyramid(body)
    assert pyramid.level(1.9) is body
    coarse = pyramid.level(VOXELS_PER_PIXEL * 4.0)
    assert coarse.spacing == pytest.approx((4.0, 4.0, 2.5))
    assert pyramid.level(VOXELS_PER_PIXEL * 4.0) is coarse
    coarsest = pyramid.level(VOXELS_PER_PIXEL * 5.0)
    assert coarsest.spacing == pytest.approx((4.0, 4.0, 5.0))
    direct = reduce_body(body, (4, 4, 2))  # not by way of `coarse`, and still the same
    torch.testing.assert_close(coarsest.density, direct.density)
    torch.testing.assert_close(coarsest.world_to_voxel, direct.world_to_voxel)


def test_volumes_with_nan_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        make_body(torch.full((3, 3, 3), torch.nan), torch.eye(4, dtype=DOUBLE))


# The pyramid: detectors and X-rays


def make_detector(height=12, width=10, pixel=12.0, x0=0.0, y0=0.0, dely=None, reverse=True, sdd=1020.0):
    dely = pixel if dely is None else dely
    return Detector(sdd, height, width, pixel, dely, x0, y0, AP, reverse_x_axis=reverse)


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize(("height", "width", "factor"), [(12, 8, 4), (13, 11, 3), (17, 10, 4), (5, 9, 5)])
def test_joined_pixels_lie_where_their_parts_do(height, width, factor, reverse):
    detector = make_detector(height, width, 1.3, 7.0, -4.0, 0.8, reverse)
    coarse = shrink_detector(detector, factor)
    fine, joined = (part(STILL)[1][0].unflatten(0, (part.height, part.width)) for part in (detector, coarse))
    means = functional.avg_pool2d(fine.permute(2, 0, 1), factor).permute(1, 2, 0)
    assert joined.shape == (height // factor, width // factor, 3)
    torch.testing.assert_close(joined, means, rtol=1e-13, atol=1e-9)
    assert coarse.reverse_x_axis == reverse
    assert torch.equal(coarse.reorient.matrix, detector.reorient.matrix)


def test_a_detector_that_is_not_shrunk_stays_itself():
    detector = make_detector()
    assert shrink_detector(detector, 1) is detector


@pytest.mark.parametrize(
    ("height", "width", "pixels", "factor"),
    [(200, 200, 25, 8), (200, 200, 200, 1), (200, 100, 50, 4), (100, 250, 100, 2), (20, 20, 50, 1)],
)
def test_the_longer_side_keeps_as_many_pixels_as_wanted(height, width, pixels, factor):
    assert shrink_factor(make_detector(height, width), pixels) == factor


@pytest.mark.parametrize("reverse", [True, False])
def test_a_shrunk_x_ray_is_what_the_shrunk_detector_sees(reverse):
    detector = make_detector(103, 102, 1.5, 12.0, -9.0, None, reverse)
    coarse = shrink_detector(detector, 4)
    images = []
    for part in (detector, coarse):
        source, target = part(RigidTransform(far()))
        images.append(blobs().line_integrals(source, target).reshape(1, 1, part.height, part.width))
    shrunk, weights = shrink_image(images[0], torch.ones_like(images[0]), 4)
    assert shrunk.shape == images[1].shape
    assert (weights == 1).all()
    assert (shrunk - images[1]).abs().max() < 0.03 * images[1].max()
    assert (shrunk - images[1].roll(1, -1)).abs().max() > 0.1 * images[1].max()


def test_hidden_pixels_do_not_bleed_into_a_shrunk_x_ray():
    image, weights = torch.rand(1, 1, 9, 13), torch.rand(1, 1, 9, 13)
    weights[..., 3:7, 2:9] = 0
    spoilt = torch.where(weights == 0, 1e6, image)
    (shrunk, coarse_weights), (same, _) = (shrink_image(x, weights, 4) for x in (image, spoilt))
    assert torch.equal(shrunk, same)
    for row, column in itertools.product(range(2), range(3)):
        block = (0, 0, slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
        torch.testing.assert_close(coarse_weights[0, 0, row, column], weights[block].mean())
        mean = (image[block] * weights[block]).sum() / weights[block].sum().clamp_min(1e-30)
        torch.testing.assert_close(shrunk[0, 0, row, column], mean)
    hidden, _ = shrink_image(image, torch.zeros_like(weights), 4)
    assert (hidden == 0).all()
    assert shrink_image(image, weights, 1)[0] is image


# Bodies


@pytest.fixture(scope="module")
def subject():
    """An ellipsoid with two smaller ones inside, labelled 3 and 4 on one side and 7 on the other."""
    shape, voxel_to_world = (22, 20, 18), grid((22, 20, 18), (4.0, 4.0, 5.0), (30.0, -10.0, 5.0), OBLIQUE)
    whole = Ellipsoid(middle_of(voxel_to_world, shape), (35, 30, 38)).voxelize(shape, voxel_to_world, dtype=DOUBLE)
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[4:8, 7:12, 5:12] = 3
    mask[6:8, 7:12, 9:14] = 4
    mask[12:17, 5:9, 6:9] = 7
    mask[0, 0, 0] = 9  # where there is nothing
    density = whole * (1 + 0.1 * mask) * (1 + torch.rand(shape, dtype=DOUBLE))
    return Subject(Volume(density, voxel_to_world), density, mask)


def middle_of(voxel_to_world, shape):
    return voxel_to_world[:3, :3] @ ((torch.tensor(shape, dtype=DOUBLE) - 1) / 2) + voxel_to_world[:3, 3]


def make_drr(subject, **options):
    return DRR(subject, 1020.0, 20, 8.0, **{"renderer": "joseph"} | options)


@pytest.mark.parametrize("method", ["joseph", "siddon"])
def test_separate_bodies_add_up_to_the_whole(subject, method):
    drr = make_drr(subject)
    bodies = separate_bodies(drr, {"left": [3, 4], "right": [7]})
    camera = Camera(drr.detector, method, "auto")
    source, target = drr.detector(RigidTransform(far(3)))
    whole, *parts = (camera.image(body, source, target) for body in (whole_body(drr), *bodies))
    assert len(parts) == 3
    assert all((part > 0).any(1).all() for part in parts)
    torch.testing.assert_close(sum(parts), whole, rtol=1e-12, atol=1e-10)


def test_structures_are_cut_out_where_they_are(subject):
    drr = make_drr(subject)
    rest, left, right = separate_bodies(drr, {"left": [3, 4], "right": [7]})
    mask = drr.mask
    assert left.density.shape == (4, 5, 9)
    assert right.density.shape == (5, 4, 3)
    for body, labels in ((left, (3, 4)), (right, (7,))):
        chosen = torch.isin(mask, torch.tensor(labels, dtype=mask.dtype))
        alone = replace(whole_body(drr), density=drr.density * chosen)
        for cut, uncut in zip(moments(body), moments(alone), strict=True):
            torch.testing.assert_close(cut, uncut, rtol=1e-12, atol=1e-10)
    assert (rest.density[torch.isin(mask, torch.tensor([3, 4, 7], dtype=mask.dtype))] == 0).all()
    assert (drr.density[mask == 3] > 0).any()  # the DRR is as it was
    torch.testing.assert_close(middle(right), middle_of(drr.world_to_voxel.inverse(), (29, 14, 15)), rtol=0, atol=1e-9)


def test_middle_and_reach_are_those_of_the_box(subject):
    body = whole_body(make_drr(subject))
    index = torch.stack(torch.meshgrid(*(torch.arange(0.05, 1, 0.1, dtype=DOUBLE),) * 3, indexing="ij"), -1)
    inside = index.reshape(-1, 3) * torch.tensor(body.density.shape) - 0.5
    voxel_to_world = body.world_to_voxel.inverse()
    points = inside @ voxel_to_world[:3, :3].T + voxel_to_world[:3, 3]
    torch.testing.assert_close(middle(body), points.mean(0), rtol=0, atol=1e-9)
    assert reach(body) == pytest.approx((points - points.mean(0)).square().sum(1).mean().sqrt().item(), rel=0.01)


def test_structures_that_are_none_are_refused(subject):
    with pytest.raises(ValueError, match=r"structure 'ghost' in the mask\. Got none: \[5\]"):
        separate_bodies(make_drr(subject), {"ghost": [5]})
    with pytest.raises(ValueError, match="structure 'far away'"):
        separate_bodies(make_drr(subject), {"far away": [259]})  # of 8 bits it has those of 3
    with pytest.raises(ValueError, match="structure 'empty'"):
        separate_bodies(make_drr(subject), {"empty": [9]})
    without = Subject(subject.volume, subject.density)
    with pytest.raises(ValueError, match=r"subject with a mask.*labelmap"):
        separate_bodies(make_drr(without), {"left": [3]})
    with pytest.raises(ValueError, match=r"labels for the structure 'left'\. Got none"):
        check_structures({"left": []})
    with pytest.raises(ValueError, match="4 in 'left' and 'right'"):
        check_structures({"left": [3, 4], "right": [4]})
    with pytest.raises(ValueError, match="4 in 'left' and 'right'"):
        separate_bodies(make_drr(subject), {"left": [3, 4], "right": [4, 7]})
    check_structures({"left": [3, 4], "right": [7]})


# Scenes


def far(batch=1, seed=0, view=0, spread=1.0):
    """Poses (batch, 4, 4) from 850 mm away, the second view at 80 degrees to the first."""
    generator = torch.Generator().manual_seed(seed)
    pose = torch.eye(4, dtype=DOUBLE).repeat(batch, 1, 1)
    pose[:, 1, 3] = 850.0
    turn = torch.zeros(1, 6, dtype=DOUBLE)
    turn[0, 5] = math.radians(80.0) * view
    deviation = torch.tensor([6.0, 6.0, 6.0, 0.1, 0.1, 0.1], dtype=DOUBLE) * spread
    near = se3_exp_map(deviation * torch.randn(batch, 6, generator=generator, dtype=DOUBLE))
    return near @ se3_exp_map(turn) @ pose


def make_camera(**options):
    return Camera(make_detector(**options), "joseph", "auto")


EVERYTHING = Calibration(sdd=5.0, principal_point=3.0, pixel_size=0.01, relative_pose=(4.0, 1.0))


def make_scene(
    views=2, bodies=2, similarity=None, calibration=EVERYTHING, entries=3, noise=1e-6, origin=(40.0, -70, 30)
):
    """Blobs about a point that is not the world's origin; another body beside them that turns about its own middle."""
    origin = torch.tensor(origin, dtype=DOUBLE)
    centres = [origin, origin + torch.tensor([14.0, 10.0, -12.0], dtype=DOUBLE)][:bodies]
    shapes, sizes = ((16, 18, 15), (9, 8, 10)), (1.0, 0.5)
    solid = [
        body_of(blobs(centre, size, seed), shape, grid(shape, (6 * size,) * 3, centre))
        for seed, (centre, size, shape) in enumerate(zip(centres, sizes, shapes, strict=False))
    ]
    sights = []
    generator = torch.Generator().manual_seed(5)
    for view in range(views):
        camera = make_camera(x0=5.0 * view, y0=-3.0, height=12, width=10 + view, dely=11.0, reverse=view == 0)
        rig = far(entries, seed=view, view=view)
        rig[:, :3, 3] += origin
        shape = (1, 1, camera.detector.height, camera.detector.width)
        ends = camera.detector(RigidTransform(rig[:1]))
        xray = sum(camera.image(body, *ends) for body in solid).reshape(shape)
        xray = xray + 0.02 * xray.max() * torch.randn(shape, generator=generator, dtype=DOUBLE)
        weights = torch.rand(shape, generator=generator, dtype=DOUBLE)
        weights[..., :2] = 0
        sights.append(Sight(camera, tuple(solid), rig, xray, weights))
    noise = torch.full((entries,), noise, dtype=DOUBLE)
    return Scene(tuple(sights), similarity or GlobalCorrelation(), torch.stack(centres), 60.0, calibration, noise)


def make_unknowns(scene, seed=3):
    """States off the beginning in every respect."""
    generator = torch.Generator().manual_seed(seed)
    entries, bodies, views = len(scene.noise), len(scene.pivots), len(scene.sights)

    def motions(count, mm, radians):
        scale = torch.tensor([mm] * 3 + [radians] * 3, dtype=DOUBLE)
        twists = scale * torch.randn(entries * count, 6, generator=generator, dtype=DOUBLE)
        turns = se3_exp_map(twists).unflatten(0, (entries, count))
        turns[..., :3, 3] = twists[:, :3].unflatten(0, (entries, count))
        pivots = scene.pivots[: 1 if count == views else count]
        turns[..., :3, 3] += pivots - (turns[..., :3, :3] @ pivots[..., None])[..., 0]
        return turns

    offsets = motions(views, 3.0, 0.05)
    offsets[:, 0] = torch.eye(4, dtype=DOUBLE)
    intrinsics = torch.tensor([4.0, 2.0, 2.0, 0.02], dtype=DOUBLE)
    intrinsics = intrinsics * torch.randn(entries, views, 4, generator=generator, dtype=DOUBLE)
    return Unknowns(torch.arange(entries), motions(bodies, 4.0, 0.1), offsets, intrinsics)


def count_unknowns(scene):
    views = len(scene.sights)
    relative = 6 * (views - 1) if scene.calibration.relative_pose else 0
    return 6 * len(scene.pivots) + relative + views * len(scene.calibration.columns)


def along(scene, unknowns, number, h):
    """The states after a step of length h along one unknown."""
    step = torch.zeros(len(unknowns), count_unknowns(scene), dtype=DOUBLE)
    step[:, number] = h
    return scene.moved(unknowns, step)


CALIBRATIONS = {
    "none": Calibration(),
    "all": EVERYTHING,
    "some": Calibration(principal_point=3.0, pixel_size=0.01),
    "poses": Calibration(relative_pose=(4.0, 1.0)),
}


@pytest.mark.parametrize(
    ("views", "bodies", "calibration", "similarity"),
    [
        (1, 1, "none", LocalCorrelation(5)),
        (1, 2, "none", GlobalCorrelation()),
        (1, 1, "all", GlobalCorrelation()),
        (2, 1, "some", GlobalCorrelation()),
        (2, 2, "poses", GlobalCorrelation()),
        (2, 2, "all", GlobalCorrelation()),
        (2, 2, "all", GradientCorrelation()),
    ],
    ids=str,
)
def test_derivatives_by_every_unknown_are_those_of_the_features(views, bodies, calibration, similarity):
    scene = make_scene(views, bodies, similarity, CALIBRATIONS[calibration], entries=2)
    unknowns = make_unknowns(scene)
    felt = torch.zeros(count_unknowns(scene))
    for view in range(views):
        features, _ = scene.features(unknowns, view)
        plain, _ = scene.features(unknowns, view, derivatives=False)
        torch.testing.assert_close(features[:, :1], plain, rtol=0, atol=1e-12)
        assert features.shape[1] == 1 + count_unknowns(scene)
        for number in range(count_unknowns(scene)):
            h = 1e-7  # so short that hardly a ray crosses from one voxel into the next, where Joseph's slopes jump
            ends = (scene.features(along(scene, unknowns, number, s * h), view, False)[0][:, 0] for s in (1, -1))
            difference = torch.sub(*ends) / (2 * h)
            scale = max(float(difference.abs().max()), 1e-6)
            torch.testing.assert_close(features[:, 1 + number], difference, rtol=0, atol=2e-3 * scale)
            felt[number] += float(difference.abs().max() > 1e-6)
    assert (felt > 0).all()  # or the comparison said nothing


def test_a_step_turns_bodies_about_their_pivots_and_views_about_the_first():
    scene = make_scene()
    unknowns = make_unknowns(scene)
    step = 0.1 * torch.randn(3, count_unknowns(scene), generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    moved = scene.moved(unknowns, step)
    for entry in range(3):
        twists = step[entry, :18].reshape(3, 6)
        before = [*unknowns.motions[entry], unknowns.offsets[entry, 1]]
        after = [*moved.motions[entry], moved.offsets[entry, 1]]
        for twist, start, end, pivot in zip(twists, before, after, [*scene.pivots, scene.pivots[0]], strict=True):
            turn = end @ torch.linalg.inv(start)
            expected = se3_exp_map(twist[None])[0]
            torch.testing.assert_close(turn[:3, :3], expected[:3, :3], rtol=0, atol=1e-12)
            torch.testing.assert_close(turn[:3, :3] @ pivot + turn[:3, 3], pivot + expected[:3, 3], rtol=0, atol=1e-9)
        added = (moved.intrinsics - unknowns.intrinsics)[entry].flatten()
        torch.testing.assert_close(added, step[entry, 18:], rtol=0, atol=1e-12)
    assert torch.equal(moved.offsets[:, 0], unknowns.offsets[:, 0])
    still = scene.moved(unknowns, torch.zeros_like(step))
    torch.testing.assert_close(still.motions, unknowns.motions, rtol=0, atol=1e-12)


def test_geometry_that_is_not_calibrated_stays():
    scene = make_scene(calibration=Calibration(principal_point=1.0))
    unknowns = make_unknowns(scene)
    moved = scene.moved(unknowns, torch.ones(3, count_unknowns(scene), dtype=DOUBLE))
    assert torch.equal(moved.offsets, unknowns.offsets)
    expected = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=DOUBLE).expand(3, 2, 4)
    torch.testing.assert_close(moved.intrinsics - unknowns.intrinsics, expected)
    assert [CALIBRATABLE[column] for column in scene.calibration.columns] == [("x0",), ("y0",)]


def test_a_step_is_as_long_as_its_longest_motion():
    scene = make_scene()
    step = torch.zeros(1, count_unknowns(scene), dtype=DOUBLE)
    step[:, 18:] = 100.0  # geometry has no length
    assert scene.step_length(step).item() == 0
    step[:, 6:9] = torch.tensor([3.0, 4.0, 0.0])
    assert scene.step_length(step).item() == pytest.approx(5.0)
    step[:, 3:6] = torch.tensor([0.0, 0.0, 0.2])
    assert scene.step_length(step).item() == pytest.approx(12.0)  # 60 mm a radian


def test_images_are_those_of_the_intrinsics_as_drr_takes_them():
    """What is added to sdd, x0, y0 and the size means what `Detector`'s arguments do."""
    scene = make_scene(views=1, bodies=1)
    unknowns = make_unknowns(scene)
    sight = scene.sights[0]
    detector, (body,) = sight.camera.detector, sight.bodies
    for entry, image in enumerate(scene.images(unknowns, 0)):
        sdd, x0, y0, size = unknowns.intrinsics[entry, 0].tolist()
        pixel = [float(side) * math.exp(size) for side in (detector.delx, detector.dely)]
        other = Detector(
            detector.sdd + sdd, *sight.shape, *pixel, detector.centre_x + x0, detector.centre_y + y0, AP,
            reverse_x_axis=detector.reverse_x_axis,
        )  # fmt: skip
        pose = RigidTransform(unknowns.motions[entry] @ unknowns.offsets[entry, 0] @ sight.rig[entry])
        expected = sight.camera.image(body, *other(pose)).reshape(1, *sight.shape)
        torch.testing.assert_close(image, expected, rtol=1e-9, atol=1e-9)


# Least squares


@pytest.mark.parametrize("similarity", [GlobalCorrelation(), GradientCorrelation(), LocalCorrelation(5)], ids=str)
def test_a_linearisation_holds_what_the_features_say(similarity):
    scene = make_scene(similarity=similarity, calibration=Calibration())
    unknowns = make_unknowns(scene)
    at = scene.linearise(unknowns)
    cost, gradient, normal, scatter, score = (torch.zeros_like(part) for part in vars(at).values())
    for view, sight in enumerate(scene.sights):
        moving, fixed = scene.features(unknowns, view)
        residual, jacobian = moving[:, 0] - fixed[:, 0], moving[:, 1:]
        cost += residual.square().sum(1)
        gradient += (jacobian * residual[:, None]).sum(2)
        normal += jacobian @ jacobian.mT
        score += (moving[:, 0] * fixed[:, 0]).sum(1) / moving[:, 0].norm(dim=1) / fixed[:, 0].norm(dim=1) / 2
        pulls = similarity.per_pixel(jacobian * residual[:, None], sight.shape)
        for rows in pulls.split(SQUARE, dim=2):
            for square in rows.split(SQUARE, dim=3):
                pull = square.sum((2, 3))
                scatter += pull[:, :, None] * pull[:, None]
    for part, expected in zip(vars(at).values(), (cost, gradient, normal, scatter, score), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(scene.score(unknowns), score)


@pytest.mark.parametrize("noise", [1e-6, 0.1], ids=["images weigh more", "what is known weighs more"])
@pytest.mark.parametrize("calibration", [c for c in CALIBRATIONS if c != "none"])
def test_the_gradient_is_that_of_the_cost(calibration, noise):
    """That of the prior on relative poses but for half the angle that they are off by: a few hundredths."""
    scene = make_scene(calibration=CALIBRATIONS[calibration], noise=noise)
    unknowns = make_unknowns(scene)
    at = scene.linearise(unknowns)
    for number in range(count_unknowns(scene)):
        h = 1e-6
        costs = [scene.linearise(along(scene, unknowns, number, s * h)).cost for s in (1, -1)]
        difference = (costs[0] - costs[1]) / (2 * h)
        scale = 2 * (at.cost * at.normal[:, number, number]).sqrt()
        assert ((2 * at.gradient[:, number] - difference).abs() < 0.02 * scale).all()


def test_what_is_known_weighs_as_its_standard_deviation_says():
    noise = 1e-3
    scene = make_scene(noise=noise)
    unknowns = make_unknowns(scene)
    free = replace(scene, noise=torch.zeros(3, dtype=DOUBLE))
    for entry in range(3):
        intrinsics = unknowns.intrinsics[entry] / torch.tensor([5.0, 3.0, 3.0, 0.01], dtype=DOUBLE)
        # By how much the second view's pose differs: a twist about the bodies' centre.
        centre = scene.pivots[0]
        about = unknowns.offsets[entry, 1].clone()
        about[:3, 3] += about[:3, :3] @ centre - centre
        twist = se3_log_map(about[None])[0] / torch.tensor([4.0] * 3 + [math.radians(1.0)] * 3, dtype=DOUBLE)
        expected = noise * (intrinsics.square().sum() + twist.square().sum())
        added = scene.linearise(unknowns).cost[entry] - free.linearise(unknowns).cost[entry]
        torch.testing.assert_close(added, expected, rtol=1e-9, atol=0)


def test_a_prior_does_not_depend_on_where_the_world_has_its_origin():
    """Relative poses turn about the CT's centre: a metre from the origin a degree there would be 17 mm here."""
    costs = []
    for origin in ((0.0, 0.0, 0.0), (40.0, -70.0, 1000.0)):
        scene = make_scene(origin=origin, calibration=Calibration(relative_pose=(4.0, 1.0)), noise=0.1)
        costs.append(scene.linearise(make_unknowns(scene)).cost)
    torch.testing.assert_close(costs[0], costs[1], rtol=1e-6, atol=0)


def test_a_batch_is_its_entries_one_by_one():
    scene = make_scene(similarity=LocalCorrelation(5))
    weights = torch.rand(3, 1, *scene.sights[0].shape, dtype=DOUBLE)
    scene = replace(scene, sights=(replace(scene.sights[0], weights=weights), scene.sights[1]))
    unknowns = make_unknowns(scene)
    together = scene.linearise(unknowns)
    for entry in (2, 0, 1):
        alone = scene.linearise(unknowns[entry : entry + 1])
        for part, expected in zip(vars(together).values(), vars(alone).values(), strict=True):
            torch.testing.assert_close(part[entry : entry + 1], expected, rtol=1e-11, atol=1e-12)
    some = torch.tensor([2, 0])
    torch.testing.assert_close(
        scene.linearise(unknowns[some]).gradient, together.gradient[some], rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("rays", [1, 264, 10_000])
def test_groups_change_nothing(monkeypatch, rays):
    scene = make_scene()
    unknowns = make_unknowns(scene)
    at, score = scene.linearise(unknowns), scene.score(unknowns)
    monkeypatch.setattr(scene_module, "RAYS_AT_ONCE", rays)
    assert len(scene._groups(unknowns)) == {1: 3, 264: 2, 10_000: 1}[rays]
    again = scene.linearise(unknowns)
    for part, expected in zip(vars(again).values(), vars(at).values(), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(scene.score(unknowns), score, rtol=1e-12, atol=0)


def test_the_state_of_a_scene_is_one_that_the_minimiser_takes():
    scene = make_scene()
    unknowns, other = make_unknowns(scene), make_unknowns(scene, seed=8)
    assert isinstance(unknowns, State)
    assert isinstance(scene, Problem)
    index = torch.tensor([2, 0])
    changed = unknowns.overwritten(index, other[index])
    assert len(changed) == 3
    for mine, theirs, result in zip(*(vars(u).values() for u in (unknowns, other, changed)), strict=True):
        assert torch.equal(result, torch.stack([theirs[0], mine[1], theirs[2]]))
