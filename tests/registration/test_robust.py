"""Pixels that are trusted: all of what fits, none of what does not."""

import pytest
import torch
from registration_cases import AP, DOUBLE, JOSEPH, see

from raygrad.geometry import Detector, UnknownGeometry
from raygrad.march import Prepared
from raygrad.phantoms._shapes import Ellipsoid, Phantom
from raygrad.registration._problem.pose_problem import PoseProblem, ScaledXRay, States
from raygrad.registration._problem.robust import TUKEY, trusted_pixels
from raygrad.registration._problem.similarity import GlobalCorrelation, LocalCorrelation
from raygrad.registration._problem.volumes import Volumes


def make_problem(xray, weights=None, similarity=None, pixel=9.0):
    """A view of a ball with smaller ones inside, whose X-ray is given, from where it was taken."""
    detector = Detector(1020.0, 30, 30, pixel, pixel, 0.0, 0.0, AP)
    voxel_to_world = torch.diag(torch.tensor([8.0, 8.0, 8.0, 1.0], dtype=DOUBLE))
    voxel_to_world[:3, 3] = -92.0
    balls = [
        Ellipsoid((0, 0, 0), (70, 60, 80)),
        Ellipsoid((20, 10, 30), (25, 20, 15)),
        Ellipsoid((-30, 5, -20), (15,) * 3),
    ]
    density = Phantom(balls).voxelize((24, 24, 24), voxel_to_world, 2, torch.float32)
    body = Prepared.of(density, torch.linalg.inv(voxel_to_world))
    pose = torch.eye(4, dtype=DOUBLE)[None]
    pose[:, 1, 3] = 850.0
    clean = see(body, detector, pose).reshape(1, 1, 30, 30)
    weights = torch.ones_like(clean) if weights is None else weights
    scaled = ScaledXRay(detector, JOSEPH, Volumes([body]), pose, xray(clean), weights)
    pivots, noise = torch.zeros(1, 3, dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE)
    still = torch.eye(4, dtype=DOUBLE).expand(1, 1, 4, 4)
    states = States(torch.arange(1), still, still, torch.zeros(1, 1, 4, dtype=DOUBLE))
    return PoseProblem((scaled,), similarity or LocalCorrelation(9), pivots, 80.0, UnknownGeometry(), noise), states


def noisy(clean):
    return clean + 2.0 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))


WIRE = (slice(None), slice(None), slice(None), slice(11, 12))


def wired(clean):
    image = noisy(clean)
    image[WIRE] += 60.0
    return image


def test_pixels_of_equal_images_are_all_trusted():
    trusted = trusted_pixels(*make_problem(lambda clean: clean), 0)
    assert trusted.shape == (1, 1, 30, 30)
    assert (trusted > 0.98).all()


def test_wires_are_not_trusted_and_most_else_is():
    trusted = trusted_pixels(*make_problem(wired), 0)
    assert (trusted[WIRE] == 0).float().mean() > 0.8
    others = torch.ones(30, dtype=torch.bool)
    others[6:17] = False  # what a patch with the wire in it looks like is another matter
    assert trusted[..., others].mean() > 0.8
    assert (trusted[..., others] > 0).float().mean() > 0.9
    without = trusted_pixels(*make_problem(noisy), 0)
    assert without[WIRE].mean() > 0.7


def test_the_weights_of_normal_residuals_are_tukeys():
    """Of residuals of one standard deviation: (1 - (r / 4.685)^2)^2, 0.91 on average."""
    trusted = trusted_pixels(*make_problem(noisy, similarity=GlobalCorrelation()), 0)
    assert trusted.mean().item() == pytest.approx(1 - 2 / TUKEY**2 + 3 / TUKEY**4, abs=0.01)


def test_what_a_mask_hides_stays_hidden():
    weights = torch.ones(1, 1, 30, 30)
    weights[..., :10, :] = 0
    weights[..., 10:20, :] = 0.5
    trusted = trusted_pixels(*make_problem(noisy, weights, GlobalCorrelation()), 0)
    assert (trusted[..., :10, :] == 0).all()
    assert (trusted <= weights).all()
    assert trusted[..., 10:20, :].mean().item() == pytest.approx(0.5 * 0.915, abs=0.01)
    assert trusted[..., 20:, :].mean().item() == pytest.approx(0.915, abs=0.02)  # nor does it shift the scale


def test_of_an_image_that_is_nearly_empty_only_what_is_seen_is_measured():
    """Else all of a small body would stand out from the many empty pixels, which fit exactly."""
    problem, states = make_problem(lambda clean: clean.roll(1, 3), similarity=GlobalCorrelation(), pixel=30.0)
    seen = problem.images(states, 0)[0, 0] > 0
    assert seen.float().mean() < 0.2
    everywhere, where_seen = (trusted_pixels(problem, states, 0, alone)[0, 0] for alone in (False, True))
    assert everywhere[seen].mean() < 0.2
    assert where_seen[seen].mean() > 0.6
