"""Calibration from balls: exact images of known phantoms, whose geometry is found as surely as is said."""

import math
from functools import cache

import pytest
import torch

from raygrad.geometry import ConeViews, Detector
from raygrad.phantoms import Ellipsoid, Phantom
from raygrad.pose import RigidTransform, convert, make_reorient
from raygrad.registration import Status, calibrate_from_balls
from raygrad.registration._balls.camera import UNKNOWNS, BallCamera

pytestmark = pytest.mark.usefixtures("one_thread")

DOUBLE = torch.float64
RADIUS = 3.0


def random(*shape, seed=0):
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE) - 1


def spiral(count=12):
    """Balls along an uneven helix, which no turn brings to itself."""
    step = torch.arange(count, dtype=DOUBLE)
    angle = 2.28 * step
    helix = torch.stack([40 * angle.cos(), 40 * angle.sin(), 110 * (step / (count - 1) - 0.5)], -1)
    return helix + 3 * random(count, 3, seed=11)


BALLS = spiral()


def make_view(turns=(20.0, 10.0, 5.0), place=(5.0, 700.0, -8.0), sdd=1020.0, centre=(4.0, -3.0), reverse=True, fine=1):
    pose = convert(
        torch.tensor([turns], dtype=DOUBLE),
        torch.tensor([place], dtype=DOUBLE),
        parameterization="euler_angles",
        convention="ZXY",
        degrees=True,
    )
    size = (150 * fine, 160 * fine, 1.8 / fine, 1.9 / fine)
    detector = Detector(sdd, *size, *centre, make_reorient("AP"), reverse_x_axis=reverse)
    return ConeViews(detector, pose)


TRUE = make_view()
GUESS = make_view((9.0, 18.0, -4.0), (-10.0, 735.0, 12.0), 990.0, (0.0, 0.0))


def take(balls=BALLS, radii=RADIUS, view=TRUE, oversampling=4, body=0.01):
    """The mean line integrals over each pixel, of balls on a body of plastic."""
    known = view.detector.intrinsics
    finer = {name: getattr(known, name) * oversampling for name in ("height", "width")}
    finer |= {name: getattr(known, name) / oversampling for name in ("delx", "dely")}
    detector = view.detector.with_intrinsics(known.replaced(**finer))
    source, target = detector(view.pose)
    sizes = torch.as_tensor(radii, dtype=DOUBLE).expand(len(balls)).tolist()
    shapes = [Ellipsoid(ball.tolist(), [size] * 3, value=0.2) for ball, size in zip(balls, sizes, strict=True)]
    exact = Phantom([*shapes, Ellipsoid((0, 0, 0), (60, 60, 90), value=body)]).line_integrals(source, target)
    image = exact.double().reshape(1, 1, detector.height, detector.width)
    return torch.nn.functional.avg_pool2d(image, oversampling)[0, 0]


@cache
def clean():
    return take()


def noisy(image, noise=0.03, seed=0):
    return image + noise * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def misses(result, balls=BALLS, view=TRUE):
    """How far from the truth the found geometry projects the balls, in pixels."""
    return (BallCamera.of(result.views).project(balls) - BallCamera.of(view).project(balls)).norm(dim=1)


# The camera


@pytest.mark.parametrize("reverse", [True, False])
def test_balls_are_projected_as_views_project(reverse):
    view = make_view(reverse=reverse)
    camera = BallCamera.of(view)
    half = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]], dtype=DOUBLE)
    torch.testing.assert_close(camera.matrix(), half @ view.world_to_pixel[0].double(), rtol=1e-5, atol=1e-3)
    seen = torch.cat([BALLS, torch.ones(len(BALLS), 1)], -1) @ camera.matrix().mT
    torch.testing.assert_close(camera.project(BALLS), seen[:, :2] / seen[:, 2:])
    torch.testing.assert_close(BallCamera.of(camera.view(view)).matrix(), camera.matrix(), rtol=1e-6, atol=1e-4)


def test_derivatives_are_those_of_the_projection():
    camera = BallCamera.of(TRUE)
    by_balls, by_matrix = camera.jacobian(BALLS), camera.matrix_jacobian(BALLS)
    for number, step in enumerate(1e-4 * torch.eye(UNKNOWNS, dtype=DOUBLE)):
        ahead, behind = camera.moved(step, BALLS), camera.moved(-step, BALLS)
        numeric = (ahead.project(BALLS) - behind.project(BALLS)) / 2e-4
        torch.testing.assert_close(by_balls[..., number], numeric, rtol=1e-6, atol=1e-6)
        numeric = (ahead.matrix() - behind.matrix()).flatten() / 2e-4
        torch.testing.assert_close(by_matrix[:, number], numeric, rtol=1e-6, atol=1e-3)


# What is found


@pytest.mark.parametrize(("bright", "reverse"), [(True, True), (False, False)])
def test_the_geometry_is_found_to_a_twentieth_of_a_pixel(bright, reverse):
    true = make_view(reverse=reverse)
    guess = make_view((9.0, 18.0, -4.0), (-10.0, 735.0, 12.0), 990.0, (0.0, 0.0), reverse)
    image = noisy(take(view=true))
    result = calibrate_from_balls(image if bright else 7 - image, BALLS, RADIUS, guess)
    assert result.status is Status.CONVERGED
    assert result.found.all()
    assert misses(result, view=true).max() < 0.05
    torch.testing.assert_close(BallCamera.of(result.views).matrix(), result.matrix, rtol=1e-5, atol=1e-2)
    assert result.views.detector.reverse_x_axis == reverse
    assert result.views.detector.intrinsics.dely == 1.9
    predicted = torch.cat([BALLS, torch.ones(len(BALLS), 1)], -1) @ result.matrix.mT
    torch.testing.assert_close(result.measured - predicted[:, :2] / predicted[:, 2:], result.residuals)
    assert result.rms < 0.05
    assert "12 of 12" in repr(result)


@pytest.mark.slow
def test_errors_are_as_large_as_the_covariance_says():
    camera, quadratic, projected = BallCamera.of(TRUE), [], []
    points = 40 * random(20, 3, seed=3)
    homogeneous = torch.cat([points, torch.ones(20, 1)], -1)
    for seed in range(8):
        result = calibrate_from_balls(noisy(clean(), 0.08, seed), BALLS, RADIUS, TRUE, degrees=3)
        assert result.found.all()
        found = BallCamera.of(result.views)
        error = error_of(found, camera)
        quadratic.append(error @ torch.linalg.solve(result.covariance, error))
        # By the matrix and its covariance: where points are seen.
        seen = homogeneous @ result.matrix.mT
        by_matrix = torch.func.jacrev(lambda m: pixels(homogeneous @ m.reshape(3, 4).mT))(result.matrix.flatten())
        spread = torch.einsum("pim,mn,pjn->pij", by_matrix, result.matrix_covariance, by_matrix)
        off = pixels(seen) - camera.project(points)
        projected.append((off.square().sum(-1) / spread.diagonal(dim1=1, dim2=2).sum(-1)).mean())
        assert torch.linalg.matrix_rank(result.matrix_covariance, rtol=1e-13) >= 6
    freedom = 2 * len(BALLS) - UNKNOWNS
    expected = UNKNOWNS * freedom / (freedom - 2)  # the mean of 9 F(9, freedom)
    assert 0.6 < torch.stack(quadratic).mean() / expected < 1.5
    assert 0.5 < torch.stack(projected).mean() < 1.7


def pixels(seen):
    return seen[:, :2] / seen[:, 2:]


def error_of(found, true):
    """The unknowns by which the truth is away from what was found."""
    pivot = found.placed(BALLS.mean(0, keepdim=True))[0]
    motion = true.world_to_camera @ torch.linalg.inv(found.world_to_camera)
    turn = torch.stack([motion[2, 1] - motion[1, 2], motion[0, 2] - motion[2, 0], motion[1, 0] - motion[0, 1]]) / 2
    shift = motion[:3, :3] @ pivot + motion[:3, 3] - pivot
    return torch.cat([shift, turn, true.lengths - found.lengths])


def test_the_middle_of_a_shadow_is_not_where_its_centre_is():
    balls = torch.tensor(
        [[-45, 0, 35], [45, 5, 40], [0, -30, -5], [40, 20, -42], [-38, 25, -40], [-5, 40, 44], [2, 30, -30.0]]
    )
    balls = balls.double()
    view = make_view((4.0, 3.0, 0.0), (5.0, 330.0, -8.0), 700.0, fine=2)
    camera = BallCamera.of(view)
    # The rays that touch a ball are a cone, d d' : c c' - (|c|^2 - r^2) = 0; the conic that the detector cuts it in has
    # its middle where its gradient vanishes (Hartley & Zisserman, "Multiple View Geometry", 2nd ed., 2.2.3 and 8.3).
    place = camera.placed(balls)
    cone = place[:, :, None] * place[:, None] - ((place.square().sum(-1) - 8.0**2)[:, None, None] * torch.eye(3))
    pixel_to_ray = torch.linalg.inv(camera.matrix()[:, :3] @ camera.world_to_camera[:3, :3].mT)
    conic = pixel_to_ray.mT @ cone @ pixel_to_ray
    middle = torch.linalg.solve(conic[:, :2, :2], -conic[:, :2, 2])
    apart = (middle - camera.project(balls)).norm(dim=1)
    result = calibrate_from_balls(take(balls, 8.0, view, 2, body=0.0), balls, 8.0, view, degrees=3)
    assert result.found.all()
    assert apart.max() > 0.09
    assert misses(result, balls, view).max() < 0.1 * apart.max()


@pytest.mark.parametrize("what", ["missing", "more", "mixed", "masked", "upside down"])
def test_balls_that_are_missing_or_too_many_or_unlike(what):
    seen, radii, options, guess = torch.ones(len(BALLS), dtype=torch.bool), RADIUS, {}, GUESS
    image = clean()
    if what == "missing":
        seen[[1, 6]] = False
        image = take(BALLS[seen])
    elif what == "more":
        image = take(torch.cat([BALLS, 60 * random(5, 3, seed=2)]))
    elif what == "mixed":
        radii = torch.tensor([2.5, 4.0] * 6)
        image = take(BALLS, radii)
    elif what == "masked":
        mask = torch.ones(image.shape)
        mask[:, :60] = 0
        image = torch.where(mask == 0, torch.nan, image)
        options = {"mask": mask}
        seen = BallCamera.of(TRUE).project(BALLS)[:, 0] > 60
    else:
        guess, options = make_view((100.0, 60.0, -80.0), (-10.0, 735.0, 12.0), 990.0), {"degrees": 180}
    result = calibrate_from_balls(noisy(image, 0.01), BALLS, radii, guess, **options)
    assert result.status is Status.CONVERGED
    assert not (result.found & ~seen).any()
    assert result.found.sum() >= min(8, int(seen.sum()))
    assert (result.residuals[~result.found].isnan()).all()
    assert misses(result)[seen].max() < 0.05


# Failures


def test_what_is_no_image_of_the_phantom_does_not_match():
    for image in (torch.zeros(150, 160), noisy(torch.zeros(150, 160)), take(BALLS * torch.tensor([1.0, 1.4, 0.7]))):
        result = calibrate_from_balls(image, BALLS, RADIUS, GUESS)
        assert result.status is Status.NO_MATCH
        assert not result.found.any()
        assert math.isnan(result.rms)
        assert result.covariance.isnan().all()
        torch.testing.assert_close(result.matrix, BallCamera.of(GUESS).matrix())


def test_a_phantom_that_looks_the_same_turned_is_ambiguous():
    angle = torch.arange(6, dtype=DOUBLE) * math.pi / 3
    ring = torch.stack([50 * angle.cos(), 50 * angle.sin(), 0 * angle], -1)
    balls = torch.cat([ring + torch.tensor([0.0, 0.0, 40.0]), ring - torch.tensor([0.0, 0.0, 40.0])])
    result = calibrate_from_balls(take(balls), balls, RADIUS, GUESS, degrees=60)
    assert result.status is Status.AMBIGUOUS
    assert misses(result, balls).max() < 0.1  # the least turn of them


def test_bad_input_is_refused():
    flat = BALLS.clone()
    flat[:, 1] = 0.01 * flat[:, 1] + 0.5 * flat[:, 0]
    refused = [
        (ValueError, "not all near one plane", {"centres": flat}),
        (ValueError, "at least 6 balls", {"centres": BALLS[:5]}),
        (ValueError, r"finite centres \(ball, 3\)", {"centres": BALLS[:, :2]}),
        (ValueError, "positive radius", {"radii": [3.0, 2.0]}),
        (ValueError, "positive radius", {"radii": -1.0}),
        (ValueError, r"image of \(150, 160\)", {"image": torch.zeros(160, 150)}),
        (ValueError, r"mask of \(150, 160\)", {"mask": torch.ones(3, 3)}),
        (ValueError, "finite pixels", {"image": torch.full((150, 160), torch.nan)}),
        (TypeError, "ConeViews", {"view": RigidTransform(torch.eye(4))}),
        (ValueError, "of one view", {"view": ConeViews(TRUE.detector, RigidTransform(torch.eye(4).expand(2, 4, 4)))}),
        (ValueError, "behind", {"view": make_view(place=(0.0, -700.0, 0.0))}),
    ]
    for kind, message, change in refused:
        with pytest.raises(kind, match=message):
            calibrate_from_balls(**{"image": clean(), "centres": BALLS, "radii": RADIUS, "view": GUESS} | change)
