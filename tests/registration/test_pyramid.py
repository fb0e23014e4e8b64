"""Coarse bodies and detectors, and structures cut out of a CT: they lie, weigh and look like the fine ones."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from registration_cases import (
    DOUBLE,
    OBLIQUE,
    STILL,
    blobs,
    body_of,
    far,
    grid,
    make_detector,
    make_drr,
    middle_of,
    see,
)
from torch.nn import functional

from raygrad.data import Subject, Volume
from raygrad.march import Marching, Prepared
from raygrad.phantoms._shapes import Ellipsoid
from raygrad.pose import RigidTransform
from raygrad.registration._problem.bodies import check_structures, middle, reach, separate_bodies, whole_body
from raygrad.registration._problem.pyramid import (
    VOXELS_PER_PIXEL,
    Pyramid,
    reduce_body,
    shrink_factor,
    shrink_image,
)

pytestmark = pytest.mark.usefixtures("one_thread")

# The pyramid: volumes


@pytest.mark.parametrize("fortran", [False, True], ids=["z contiguous", "x contiguous"])
@pytest.mark.parametrize("pose", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("shape", "factors"), [((8, 6, 4), (2, 2, 2)), ((9, 7, 5), (2, 4, 1)), ((5, 3, 3), (4, 2, 2))])
def test_a_coarser_body_has_the_same_mass_in_the_same_place(shape, factors, pose, fortran):
    density = torch.rand(shape, dtype=DOUBLE)
    if fortran:
        density = density.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    body = Prepared.of(density, torch.linalg.inv(grid(shape, (1.5, 0.7, 2.0), (10, -20, 5), pose)))
    coarse = reduce_body(body, factors)
    assert coarse.values.shape == tuple(math.ceil(n / f) for n, f in zip(shape, factors, strict=True))
    assert (coarse.values.stride(0) == 1) == fortran
    assert coarse.spacing == pytest.approx([s * f for s, f in zip((1.5, 0.7, 2.0), factors, strict=True)])
    torch.testing.assert_close(moments(coarse)[0], moments(body)[0], rtol=1e-12, atol=0)
    # A voxel lies in the middle of its block, and holds its mean.
    block = tuple(slice(0, f) for f in factors)
    torch.testing.assert_close(coarse.values[0, 0, 0], density[block].mean())
    single = torch.zeros_like(density)
    single[block] = 1.0
    blocks = (replace(body, values=single), replace(coarse, values=(coarse.values == coarse.values[0, 0, 0]) * 1.0))
    for fine_moment, coarse_moment in zip(*map(moments, blocks), strict=True):
        torch.testing.assert_close(coarse_moment, fine_moment, rtol=1e-12, atol=1e-12)


def moments(body):
    """Mass, and centre of mass in mm of the world."""
    voxels = torch.stack(torch.meshgrid(*(torch.arange(n, dtype=DOUBLE) for n in body.values.shape), indexing="ij"))
    voxel_to_world = torch.linalg.inv(body.world_to_voxel)
    mass = body.values.sum()
    centroid = (voxels * body.values).sum((1, 2, 3)) / mass
    return mass * voxel_to_world[:3, :3].det(), voxel_to_world[:3, :3] @ centroid + voxel_to_world[:3, 3]


@pytest.mark.parametrize("pose", [None, OBLIQUE], ids=["straight", "oblique"])
def test_line_integrals_through_a_coarser_body_are_hardly_other(pose):
    shape = (48, 41, 50)
    body = body_of(blobs(), shape, grid(shape, (2.0, 2.0, 2.0), pose=pose))
    coarse = reduce_body(body, (2, 2, 2))
    fine_image, coarse_image = see(body, make_detector(), far()), see(coarse, make_detector(), far())
    assert (fine_image - coarse_image).abs().max() < 0.04 * fine_image.max()
    moved = replace(coarse, world_to_voxel=coarse.world_to_voxel @ STILL.matrix[0] + 0)
    moved.world_to_voxel[:3, 3] += 0.5  # a voxel off by half is seen
    assert (fine_image - see(moved, make_detector(), far())).abs().max() > 0.06 * fine_image.max()


def test_pyramids_take_blocks_that_fit_a_pixel_and_make_each_once():
    body = Prepared.of(torch.rand(32, 32, 16), torch.linalg.inv(grid((32, 32, 16), (1.0, 1.0, 2.5))))
    pyramid = Pyramid(body)
    assert pyramid.level(1.9) is body
    coarse = pyramid.level(VOXELS_PER_PIXEL * 4.0)
    assert coarse.spacing == pytest.approx((4.0, 4.0, 2.5))
    assert pyramid.level(VOXELS_PER_PIXEL * 4.0) is coarse
    coarsest = pyramid.level(VOXELS_PER_PIXEL * 5.0)
    assert coarsest.spacing == pytest.approx((4.0, 4.0, 5.0))
    direct = reduce_body(body, (4, 4, 2))  # not by way of `coarse`, and still the same
    torch.testing.assert_close(coarsest.values, direct.values)
    torch.testing.assert_close(coarsest.world_to_voxel, direct.world_to_voxel)


def test_volumes_with_nan_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        Prepared.of(torch.full((3, 3, 3), torch.nan), torch.eye(4, dtype=DOUBLE))


# The pyramid: detectors and X-rays


@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize(("height", "width", "factor"), [(12, 8, 4), (13, 11, 3), (17, 10, 4), (5, 9, 5)])
def test_joined_pixels_lie_where_their_parts_do(height, width, factor, reverse):
    detector = make_detector(height, width, 1.3, 7.0, -4.0, 0.8, reverse)
    coarse = detector.with_intrinsics(detector.intrinsics.shrunk(factor))
    fine, joined = (part(STILL)[1][0].unflatten(0, (part.height, part.width)) for part in (detector, coarse))
    means = functional.avg_pool2d(fine.permute(2, 0, 1), factor).permute(1, 2, 0)
    assert joined.shape == (height // factor, width // factor, 3)
    torch.testing.assert_close(joined, means, rtol=1e-13, atol=1e-9)
    assert coarse.reverse_x_axis == reverse
    assert torch.equal(coarse.reorient.matrix, detector.reorient.matrix)


@pytest.mark.parametrize(
    ("height", "width", "pixels", "factor"),
    [(200, 200, 25, 8), (200, 200, 200, 1), (200, 100, 50, 4), (100, 250, 100, 2), (20, 20, 50, 1)],
)
def test_the_longer_side_keeps_as_many_pixels_as_wanted(height, width, pixels, factor):
    assert shrink_factor(make_detector(height, width), pixels) == factor


@pytest.mark.parametrize("reverse", [True, False])
def test_a_shrunk_x_ray_is_what_the_shrunk_detector_sees(reverse):
    detector = make_detector(103, 102, 1.5, 12.0, -9.0, None, reverse)
    coarse = detector.with_intrinsics(detector.intrinsics.shrunk(4))
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


@pytest.mark.parametrize("renderer", ["joseph", "siddon"])
def test_separate_bodies_add_up_to_the_whole(subject, renderer):
    drr = make_drr(subject)
    bodies = separate_bodies(drr, {"left": [3, 4], "right": [7]})
    whole, *parts = (see(body, drr.detector, far(3), Marching(renderer)) for body in (whole_body(drr), *bodies))
    assert len(parts) == 3
    assert all((part != 0).any(1).all() for part in parts)
    torch.testing.assert_close(sum(parts), whole, rtol=1e-12, atol=1e-10)


def test_structures_are_cut_out_where_they_are(subject):
    drr = make_drr(subject)
    rest, left, right = separate_bodies(drr, {"left": [3, 4], "right": [7]})
    assert left.values.shape == (6, 7, 11)  # with the voxels at their edges, which hold a part of them
    assert right.values.shape == (7, 6, 5)
    for body, labels in ((left, (3, 4)), (right, (7,))):
        chosen = torch.isin(drr.mask, torch.tensor(labels, dtype=drr.mask.dtype))
        edge = functional.max_pool3d(chosen.double()[None, None], 3, 1, 1)[0, 0] > 0
        assert ((drr.density - rest.values) * chosen != 0).any()
        alone = replace(whole_body(drr), values=(drr.density - rest.values) * edge)
        for cut, uncut in zip(moments(body), moments(alone), strict=True):
            torch.testing.assert_close(cut, uncut, rtol=1e-12, atol=1e-10)
    assert (drr.density[drr.mask == 3] > 0).any()  # the DRR is as it was
    torch.testing.assert_close(middle(right), middle_of(drr.world_to_voxel.inverse(), (29, 14, 15)), rtol=0, atol=1e-9)


def test_middle_and_reach_are_those_of_the_box(subject):
    body = whole_body(make_drr(subject))
    index = torch.stack(torch.meshgrid(*(torch.arange(0.05, 1, 0.1, dtype=DOUBLE),) * 3, indexing="ij"), -1)
    inside = index.reshape(-1, 3) * torch.tensor(body.values.shape) - 0.5
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
