"""Cone beams by points and vectors: every pixel where the points say that it is."""

import math

import numpy as np
import pytest
import torch

from raygrad.geometry import (
    cone_vectors_of,
    views_of_cone_vectors,
    views_of_corners,
    views_of_frames,
)
from raygrad.geometry.trajectories import circular

HEIGHT, WIDTH = 5, 7


def random_vectors(n_views, mirrored=False, skewed=False):
    """Detectors on all sides of a source, off its middle, with rectangular pixels unless they are skewed."""
    axes = torch.linalg.qr(torch.randn(n_views, 3, 3, dtype=torch.float64))[0]
    axes = axes * torch.linalg.det(axes).sign()[:, None, None]
    across, down, normal = axes.unbind(-1)
    across, down = -2.0 * across if mirrored else 2.0 * across, 3.0 * down
    if skewed:
        down = down + 0.2 * across
    source = 100 * torch.randn(n_views, 3, dtype=torch.float64)
    middle = source + 900 * normal + 15 * torch.randn(n_views, 3, dtype=torch.float64)
    return torch.cat([source, middle, across, down], dim=-1)


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pixels_lie_where_the_vectors_say(mirrored, skewed):
    vectors = random_vectors(4, mirrored, skewed)
    views = views_of_cone_vectors(vectors, HEIGHT, WIDTH, torch.float64)
    source, target = views.rays()
    s, d, u, v = vectors.reshape(-1, 4, 3).unbind(1)
    torch.testing.assert_close(source[:, 0], s)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            expected = d + (column - 3) * u + (row - 2) * v
            torch.testing.assert_close(target[:, row * WIDTH + column], expected)
    assert views.detector.reverse_x_axis is not mirrored
    torch.testing.assert_close(cone_vectors_of(views), vectors)


def test_points_are_seen_where_lines_through_them_meet_the_detector():
    vectors = random_vectors(3)
    views = views_of_cone_vectors(vectors, HEIGHT, WIDTH, torch.float64)
    for vector, matrix in zip(vectors.numpy(), views.world_to_pixel.numpy(), strict=True):
        s, d, u, v = vector.reshape(4, 3)
        point = s + 0.4 * (d - s) + np.array([5.0, -3.0, 8.0])
        # s + t (point - s) = d + a u + b v
        t, a, b = np.linalg.solve(np.stack([point - s, -u, -v], axis=1), d - s)
        assert t > 0
        seen = matrix @ [*point, 1.0]
        np.testing.assert_allclose(seen[:2] / seen[2], [a + 3, b + 2], atol=1e-9)


def test_views_that_share_a_detector_have_one():
    circle = circular(5, sdd=1200.0, sid=800.0, height=6, width=9, delx=4.0, dely=3.0, x0=6.0, y0=-4.5)
    views = views_of_cone_vectors(cone_vectors_of(circle), 6, 9)
    assert views.calibration is None
    assert views.pose.matrix.dtype == torch.float32
    for one, other in zip(views.rays(), circle.rays(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


def test_corners_are_those_of_the_image():
    vectors = random_vectors(3)
    s, d, u, v = vectors.reshape(-1, 4, 3).unbind(1)
    corners = [d + i * WIDTH / 2 * u + j * HEIGHT / 2 * v for i, j in ((-1, -1), (1, -1), (-1, 1))]
    views = views_of_corners(s, *corners, HEIGHT, WIDTH, torch.float64)
    torch.testing.assert_close(cone_vectors_of(views), vectors)
    # One source and one detector, as plain lists, make one view.
    single = views_of_corners([0, 500, 0], [-70, -500, 50], [70, -500, 50], [-70, -500, -50], HEIGHT, WIDTH)
    assert len(single) == 1
    assert (single.detector.sdd, single.detector.delx, single.detector.dely) == pytest.approx((1000, 20, 20))
    # Several sources before one detector.
    several = views_of_corners(s, *(corner[0] for corner in corners), HEIGHT, WIDTH, torch.float64)
    torch.testing.assert_close(cone_vectors_of(several)[:, 3:], vectors[:1, 3:].expand(3, 9))


def test_frames_of_source_and_detector():
    source, detector = np.eye(4), np.eye(4)
    source[:3, 3] = (0, 600, 0)
    angle = math.radians(10)
    detector[:3, 0] = (math.cos(angle), 0, math.sin(angle))
    detector[:3, 1] = (math.sin(angle), 0, -math.cos(angle))
    detector[:3, 2] = (0, -1, 0)
    detector[:3, 3] = (1, -400, 2)
    views = views_of_frames(source, detector, HEIGHT, WIDTH, 2.0, 3.0, torch.float64)
    expected = [0, 600, 0, 1, -400, 2, *(2 * detector[:3, 0]), *(3 * detector[:3, 1])]
    np.testing.assert_allclose(cone_vectors_of(views)[0], expected, atol=1e-9)
    assert views.detector.sdd == pytest.approx(1000)
    with pytest.raises(ValueError, match="length 1"):
        views_of_frames(source, 2 * detector, HEIGHT, WIDTH, 2.0)
    with pytest.raises(ValueError, match=r"source_to_world of shape \(view, 4, 4\)"):
        views_of_frames(source[:3], detector, HEIGHT, WIDTH, 2.0)


def test_vectors_of_no_camera_are_refused_by_number():
    good = random_vectors(2)
    for damage, reason in (
        (lambda v: v[1, 3:6].copy_(v[1, 0:3]), "view 2"),  # the source in the detector's plane
        (lambda v: v[1, 9:].copy_(2 * v[1, 6:9]), "view 2"),
        (lambda v: v[0, 0].fill_(math.nan), "view 1"),
        (lambda v: v[1, 6:9].neg_(), "View 2 is a mirror"),
    ):
        bad = good.clone()
        damage(bad)
        with pytest.raises(ValueError, match=reason):
            views_of_cone_vectors(bad, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match=r"\(view, 12\)"):
        views_of_cone_vectors(good[:, :9], HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="as many"):
        views_of_corners(good[:, :3], torch.zeros(3, 3), torch.zeros(3), torch.zeros(3), HEIGHT, WIDTH)
