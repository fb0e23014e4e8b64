"""The same images as DiffDRR 0.6.1, given the same density."""

import copy
import os
import warnings

import numpy as np
import pytest
import torch
from other_projects import import_peer

from raygrad.drr import DRR
from raygrad.kernels import available_backends
from raygrad.pose import convert

pytestmark = pytest.mark.peers
torchio = import_peer("torchio")
diffdrr_drr = import_peer("diffdrr.drr")
diffdrr_data = import_peer("diffdrr.data")
diffdrr_pose = import_peer("diffdrr.pose")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
BACKENDS = [name for name, (usable, _) in available_backends().items() if usable]
ORIENTATIONS = ["AP", "PA", None]
TOLERANCE = 2e-3


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def make_subject(orientation, seed=0):
    """A random volume of HU, read by DiffDRR."""
    rng = np.random.default_rng(seed)
    hu = rng.uniform(-700, 900, (26, 30, 20)).astype(np.float32)
    hu[[0, -1]] = hu[:, [0, -1]] = hu[:, :, [0, -1]] = -1000  # beyond the grid both see 0, but fade to it differently
    affine = np.diag([5.0, 4.0, 6.5, 1.0])
    affine[:3, 3] = rng.uniform(-50, 50, 3)
    labels = rng.integers(0, 4, hu.shape).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return diffdrr_data.read(
            torchio.ScalarImage(tensor=hu[None], affine=affine),
            torchio.LabelMap(tensor=labels[None], affine=affine),
            orientation=orientation,
        )


def make_case(seed):
    """Random intrinsics and poses; the seed counts orientations, flips, and odd and even sizes through."""
    rng = np.random.default_rng(seed)
    orientation = ORIENTATIONS[seed % 3]
    options = {
        "sdd": rng.uniform(900, 1300),
        "height": 20 + seed // 2 % 2,
        "width": 25 + seed // 3 % 2,
        "delx": rng.uniform(5, 8),
        "dely": rng.uniform(5, 8),
        "x0": rng.uniform(-30, 30),
        "y0": rng.uniform(-30, 30),
        "reverse_x_axis": seed % 2 == 0,
    }
    generator = torch.Generator().manual_seed(seed)
    rot = torch.rand(2, 3, generator=generator) - 0.5
    standpoint = {"AP": [0.0, 800.0, 0.0], "PA": [0.0, -800.0, 0.0], None: [0.0, 0.0, -800.0]}[orientation]
    xyz = torch.tensor([standpoint]) + 60 * (torch.rand(2, 3, generator=generator) - 0.5)
    return make_subject(orientation, seed), options, rot, xyz


def make_pair(subject, options, rot, xyz, **ours):
    """The DRR of each and its pose, in the same words."""
    words = {"parameterization": "euler_angles", "convention": "ZXY"}
    theirs = diffdrr_drr.DRR(copy.deepcopy(subject), **options)
    return DRR(subject, **options, **ours), convert(rot, xyz, **words), theirs, diffdrr_pose.convert(rot, xyz, **words)


def relative_difference(image, expected):
    return ((image - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("mask_to_channels", [False, True])
def test_same_siddon_images(backend, seed, mask_to_channels):
    drr, pose, theirs, their_pose = make_pair(*make_case(seed), backend=backend)
    assert torch.equal(drr.density, theirs.density)
    image = drr(pose, mask_to_channels=mask_to_channels)
    expected = theirs(their_pose, mask_to_channels=mask_to_channels)
    assert image.shape == expected.shape
    assert expected.amax() > 20
    assert relative_difference(image, expected) < TOLERANCE


@pytest.mark.parametrize("seed", range(3))
def test_same_siddon_images_in_double_precision(backend, seed):
    subject, options, rot, xyz = make_case(seed)
    drr, pose, theirs, their_pose = make_pair(subject, options, rot.double(), xyz.double(), backend=backend)
    image, expected = drr.to(torch.float64)(pose), theirs.to(torch.float64)(their_pose)
    assert relative_difference(image, expected) < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_trilinear_images_converge_to_the_same(backend, seed):
    if backend == "gpu" and INTERPRETED and seed > 0:
        pytest.skip("interpreted kernels are slow: 500 samples on each ray once are enough")
    subject, options, rot, xyz = make_case(seed)
    options["renderer"] = "trilinear"
    drr, pose, theirs, their_pose = make_pair(subject, options, rot, xyz, backend=backend)
    assert relative_difference(drr(pose, n_points=500), theirs(their_pose, n_points=1500)) < TOLERANCE


@pytest.mark.parametrize("seed", range(3))
def test_same_gradient_by_the_pose(backend, seed):
    subject, options, rot, xyz = make_case(seed)
    gradients = []
    for side in (0, 2):
        leaves = [value.double().requires_grad_() for value in (rot, xyz)]
        pair = make_pair(subject, options, *leaves, backend=backend)
        image = pair[side].to(torch.float64)(pair[side + 1])
        weights = torch.linspace(-1, 1, image.numel(), dtype=torch.float64).reshape(image.shape)
        gradients.append(torch.autograd.grad((weights * image).sum(), leaves))
    for ours, theirs in zip(*gradients, strict=True):
        assert relative_difference(ours, theirs) < 1e-4  # DiffDRR keeps its affine in float32


@pytest.mark.parametrize("seed", range(6))
def test_same_geometry(seed):
    drr, pose, theirs, their_pose = make_pair(*make_case(seed), backend=BACKENDS[0])
    for name in ("sdd", "delx", "dely", "x0", "y0"):
        assert getattr(drr.detector, name) == pytest.approx(getattr(theirs.detector, name), rel=1e-6)
    close = {"rtol": 1e-5, "atol": 1e-3}
    for name in ("intrinsic", "source", "target"):
        torch.testing.assert_close(
            getattr(drr.detector, name).squeeze(), getattr(theirs.detector, name).squeeze(), **close
        )
    torch.testing.assert_close(drr.detector.calibration.matrix, theirs.detector.calibration.matrix, **close)
    for ours, other in zip(drr.detector(pose, None), theirs.detector(their_pose, None), strict=True):
        torch.testing.assert_close(ours, other, **close)
    points = 100 * (torch.rand(2, 5, 3) - 0.5)
    pixels = drr.perspective_projection(pose, points)
    torch.testing.assert_close(pixels, theirs.perspective_projection(their_pose, points), **close)
    torch.testing.assert_close(
        drr.inverse_projection(pose, pixels), theirs.inverse_projection(their_pose, pixels.clone()), **close
    )


def test_same_intrinsics_after_changes():
    drr, pose, theirs, their_pose = make_pair(*make_case(0), backend=BACKENDS[0])
    for each in (drr, theirs):
        each.set_intrinsics_(sdd=1100.0, delx=7.0, reverse_x_axis=False)
        each.rescale_detector_(0.5)
    assert relative_difference(drr(pose), theirs(their_pose)) < TOLERANCE
