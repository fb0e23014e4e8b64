"""The detector: where its pixels lie, what its matrices mean, and what gradients reach."""

import numpy as np
import pytest
import torch
from torch import nn

from raygrad.geometry._detector import (
    Detector,
    get_focal_length,
    get_principal_point,
    make_intrinsic_matrix,
    parse_intrinsic_matrix,
)
from raygrad.pose import RigidTransform, random_rigid_transform

AP = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
PA = torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
AT_ORIGIN = RigidTransform(torch.eye(4, dtype=torch.float64))
VIEWS = pytest.mark.parametrize("reverse_x_axis", [True, False])
SIZES = pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 3), (4, 7), (1, 1)])


def make_detector(height=4, width=6, reverse_x_axis=True, reorient=None, **options):
    lengths = {"sdd": 1000.0, "delx": 2.0, "dely": 3.0, "x0": 5.0, "y0": -7.0} | options
    reorient = torch.eye(4, dtype=torch.float64) if reorient is None else reorient
    return Detector(height=height, width=width, reorient=reorient, reverse_x_axis=reverse_x_axis, **lengths)


def random_poses(batch, seed=0):
    return random_rigid_transform(batch, torch.Generator().manual_seed(seed)).to(torch.float64)


@pytest.mark.parametrize(
    ("reverse_x_axis", "columns"), [(True, [10.0, 8.0, 6.0, 4.0, 2.0, 0.0]), (False, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0])]
)
def test_pixel_centres_lie_half_a_pixel_in_from_the_edges(reverse_x_axis, columns):
    source, target = make_detector(reverse_x_axis=reverse_x_axis)(AT_ORIGIN)
    image = target.reshape(4, 6, 3)
    assert source.shape == (1, 1, 3)
    assert not source.any()
    assert image[0, :, 0].tolist() == columns
    assert image[:, 0, 1].tolist() == [-2.5, -5.5, -8.5, -11.5]
    assert (image[..., 2] == 1000).all()


@SIZES
@VIEWS
def test_the_rays_are_the_calibrated_pixels_moved_by_the_pose(height, width, reverse_x_axis):
    detector = make_detector(height, width, reverse_x_axis, AP)
    pose = random_poses(3)
    source, target = detector(pose)
    camera_to_world = RigidTransform(AP.double()).compose(pose)
    expected = camera_to_world(detector.calibration(detector.target).double())
    torch.testing.assert_close(target, expected.expand_as(target), rtol=0, atol=1e-9)
    torch.testing.assert_close(source[:, 0], pose.translation, rtol=0, atol=1e-12)
    assert target.shape == (3, height * width, 3)
    assert target.dtype == torch.float64


@pytest.mark.parametrize("batch", [1, 3])
def test_another_calibration_replaces_the_detectors_own(batch):
    pose, other = random_poses(batch), make_detector(sdd=900.0, delx=1.5, x0=-2.0)
    expected = other(pose)[1]
    calibration = other.calibration
    torch.testing.assert_close(make_detector()(pose, calibration)[1], expected)
    torch.testing.assert_close(make_detector()(pose, calibration.matrix.expand(batch, 4, 4))[1], expected)
    assert not torch.allclose(make_detector()(pose)[1], expected)


@SIZES
@VIEWS
def test_a_pixel_centre_projects_onto_itself(height, width, reverse_x_axis):
    detector = make_detector(height, width, reverse_x_axis)
    _, target = detector(AT_ORIGIN)
    u, v = torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy")
    pixels = torch.stack([u, v], dim=-1).reshape(1, -1, 2).double()
    torch.testing.assert_close(detector.camera_to_pixel(0.3 * target), pixels)
    torch.testing.assert_close(detector.pixel_to_camera(pixels), target)


@VIEWS
def test_pinhole_matrix_goes_in_and_out(reverse_x_axis):
    k = torch.tensor([[500.0, 0, 2.7], [0, 400.0, 2.2], [0, 0, 1]], dtype=torch.float64)
    reorient = torch.eye(4, dtype=torch.float64)
    detector = Detector.from_pinhole_matrix(k, 4, 6, 2.0, reorient, reverse_x_axis=reverse_x_axis)
    assert detector.sdd == 1000.0
    assert detector.dely == 2.5
    torch.testing.assert_close(detector.pinhole_matrix, k)

    points = torch.tensor([[[30.0, -20.0, 800.0], [-5.0, 40.0, 600.0]]], dtype=torch.float64)
    seen_by_pinhole = points * torch.tensor([-1.0 if reverse_x_axis else 1.0, -1.0, 1.0])  # x right, y down
    projected = seen_by_pinhole @ k.mT
    torch.testing.assert_close(detector.camera_to_pixel(points), projected[..., :2] / projected[..., 2:])


def test_pinhole_matrix_keeps_its_gradient():
    k = torch.tensor([[500.0, 0, 2.7], [0, 400.0, 2.2], [0, 0, 1]], requires_grad=True)
    Detector.from_pinhole_matrix(k, 4, 6, 2.0, torch.eye(4)).pinhole_matrix[0, 2].backward()
    torch.testing.assert_close(k.grad[0, 2], torch.tensor(1.0))


def test_parsed_intrinsics_make_the_camera_of_the_matrix():
    k = np.array([[500.0, 0, 2.7], [0, 400.0, 2.2], [0, 0, 1]])
    sdd, x0, y0 = parse_intrinsic_matrix(k, 4, 6, 2.0, 2.5)
    assert sdd == get_focal_length(k, 2.0, 2.5) == pytest.approx(1000.0)
    assert (x0, y0) == get_principal_point(k, 4, 6, 2.0, 2.5) == pytest.approx((-0.6, 0.5))
    detector = make_detector(sdd=sdd, delx=2.0, dely=2.5, x0=x0, y0=y0)
    np.testing.assert_allclose(detector.pinhole_matrix, k, atol=1e-6)


def test_x0_and_y0_read_back_with_the_sign_of_the_intrinsic_matrix():
    detector = make_detector()
    assert (detector.x0, detector.y0) == (-5.0, 7.0)
    assert (detector.centre_x, detector.centre_y) == (5.0, -7.0)
    intrinsic = make_intrinsic_matrix(detector)
    assert torch.equal(intrinsic, detector.intrinsic)
    assert intrinsic[0, 2] == detector.x0 / 2.0 + 3
    assert intrinsic[1, 2] == pytest.approx(detector.y0 / 3.0 + 2)
    assert intrinsic[0, 0] == 500
    assert intrinsic[1, 1] == pytest.approx(1000 / 3)


@pytest.mark.parametrize("with_sample", [False, True])
def test_gradients_reach_pose_and_intrinsics(with_sample):
    def rays(matrix, sdd, delx, dely, x0, y0):
        torch.manual_seed(0)
        detector = Detector(sdd, 3, 2, delx, dely, x0, y0, PA.double(), 4 if with_sample else None)
        return detector(RigidTransform(matrix))

    inputs = [random_poses(2).matrix, *(torch.tensor(v, dtype=torch.float64) for v in (100.0, 2.0, 3.0, 1.0, -1.0))]
    assert torch.autograd.gradcheck(rays, [value.requires_grad_() for value in inputs])


def test_parameters_are_registered_and_floats_stay_floats():
    sdd = nn.Parameter(torch.tensor([1000.0]))
    detector = make_detector(sdd=sdd, delx=torch.tensor(2.0))
    assert dict(detector.named_parameters()) == {"sdd": sdd}
    assert detector.sdd is sdd
    assert isinstance(detector.delx, torch.Tensor)
    assert isinstance(detector.dely, float)
    assert list(detector.state_dict()) == ["sdd", "_reorient"]
    detector(AT_ORIGIN)[1].sum().backward()
    assert sdd.grad == pytest.approx(24.0)


def test_an_intrinsic_tensor_does_not_change_the_dtype_of_the_rays():
    source, target = make_detector(sdd=torch.tensor([1000.0], dtype=torch.float64))(AT_ORIGIN.to(torch.float32))
    assert source.dtype == target.dtype == torch.float32


def test_autograd_keeps_no_buffer_of_the_size_of_the_image():
    kept = []

    def remember(tensor):
        kept.append(tensor.numel())
        return tensor

    pose = random_poses(2).matrix.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        make_detector(40, 30, sdd=torch.tensor(1000.0, requires_grad=True))(RigidTransform(pose))
    assert kept
    assert max(kept) <= 2 * 40 * 3


def test_a_subsample_is_a_random_part_of_the_rays():
    pose = random_poses(2)
    torch.manual_seed(3)
    detector = make_detector(n_subsample=10)
    torch.manual_seed(3)
    again = make_detector(n_subsample=10)
    (sample,) = detector.subsamples
    assert len(set(sample)) == 10
    assert again.subsamples == [sample]
    assert make_detector(n_subsample=10).subsamples != [sample]
    torch.testing.assert_close(detector(pose)[1], make_detector()(pose)[1][:, sample])
    torch.testing.assert_close(detector.target, make_detector().target[:, sample])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": 0}, "height of at least 1"),
        ({"width": 2.5}, "width"),
        ({"height": True}, "height as a whole number"),
        ({"sdd": 0.0}, "sdd as a positive length"),
        ({"delx": -1.0}, "delx as a positive length"),
        ({"x0": float("nan")}, "x0 as a finite length"),
        ({"sdd": torch.ones(2)}, "sdd as a number or a floating-point tensor of one element"),
        ({"n_subsample": 25}, "at most height . width = 24"),
        ({"reorient": torch.eye(3)}, r"\(4, 4\) matrix for reorient"),
    ],
)
def test_what_makes_no_detector_is_refused(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_detector(**wrong)


def test_poses_that_are_none_are_refused():
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[0, 3] = torch.nan
    with pytest.raises(ValueError, match="finite poses"):
        make_detector()(RigidTransform(matrix))
    with pytest.raises(TypeError):
        make_detector()(torch.eye(4))
    with pytest.raises(ValueError, match=r"calibration. Got torch.float32 of shape \(3, 3\)"):
        make_detector()(AT_ORIGIN, torch.eye(3))


@pytest.mark.parametrize(("row", "column", "value"), [(0, 1, 0.1), (2, 2, 2.0), (0, 0, -500.0)])
def test_a_matrix_that_is_no_pinhole_camera_is_refused(row, column, value):
    k = torch.tensor([[500.0, 0, 2.7], [0, 400.0, 2.2], [0, 0, 1]])
    k[row, column] = value
    with pytest.raises(ValueError, match=r"pinhole matrix|positive focal"):
        Detector.from_pinhole_matrix(k, 4, 6, 2.0, torch.eye(4))
