"""Views and grids as values: compared, moved, joined. Moving the views is moving the patient the other way."""

import pytest
import torch

from raygrad.geometry import ConeViews, RayViews, VolumeGeometry
from raygrad.geometry.trajectories import circular, parallel
from raygrad.pose import RigidTransform, se3_exp_map
from raygrad.projector import Projector

SYSTEM = {"sdd": 300.0, "sid": 200.0, "height": 5, "width": 6, "delx": 8.0, "dtype": torch.float64}
MOTION = RigidTransform(se3_exp_map(torch.tensor([[4.0, -3.0, 5.0, 0.3, -0.2, 0.4]], dtype=torch.float64)))


def cone():
    return circular(4, **SYSTEM)


def calibrated():
    views = cone()
    calibration = views.calibrations.clone()
    calibration[:, 2, 2] += torch.arange(4)
    return ConeViews(views.detector, views.pose, calibration)


def beams():
    return parallel(4, height=5, width=6, delx=8.0, distance=200.0, dtype=torch.float64)


def rays():
    return RayViews(*cone().rays(), (5, 6))


KINDS = [cone, calibrated, beams, rays]


@pytest.fixture(params=KINDS, ids=[kind.__name__ for kind in KINDS])
def make(request):
    return request.param


def test_views_are_equal_if_all_their_numbers_are(make):
    views = make()
    assert views == make()
    assert hash(views) == hash(make())
    assert views != views[1:]
    assert views != views.moved(MOTION)
    assert all(make() != other() for other in KINDS if other is not make)


def test_joined_parts_are_the_whole(make):
    views = make()
    assert type(views).concatenate([views[:1], views[1:3], views[3:]]) == views


def test_views_with_other_intrinsics_are_joined_with_a_calibration_each():
    other = circular(3, **SYSTEM | {"sdd": 350.0, "x0": 4.0})
    together = ConeViews.concatenate([cone(), other])
    for part, whole in zip(cone().rays(), together[:4].rays(), strict=True):
        torch.testing.assert_close(part, whole)
    for part, whole in zip(other.rays(), together[4:].rays(), strict=True):
        torch.testing.assert_close(part, whole)


def test_what_does_not_fit_is_not_joined():
    with pytest.raises(ValueError, match="views of one kind and size to join"):
        ConeViews.concatenate([])
    with pytest.raises(ValueError, match="one kind and size"):
        ConeViews.concatenate([cone(), circular(2, **SYSTEM | {"height": 7})])


def test_moving_views_is_moving_the_volume_the_other_way(make):
    grid = VolumeGeometry.centred((7, 8, 9), (3.0, 4.0, 3.5), (2.0, -1.0, 3.0))
    volume = torch.rand(grid.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    views = make()
    here = Projector(grid, views)(volume)
    assert here.amax() > 1
    torch.testing.assert_close(Projector(grid.moved(MOTION), views.moved(MOTION))(volume), here, rtol=1e-9, atol=1e-9)
    back = Projector(grid.moved(MOTION.inverse()), views)(volume)
    torch.testing.assert_close(Projector(grid, views.moved(MOTION))(volume), back, rtol=1e-9, atol=1e-9)


def test_grids_are_equal_if_they_lie_at_the_same_place():
    grid = VolumeGeometry.centred((4, 5, 6), 2.0)
    assert grid == VolumeGeometry.centred((4, 5, 6), 2.0)
    assert grid != grid.moved(MOTION)
    assert grid != grid.coarser(2)
    assert len({grid, VolumeGeometry.centred((4, 5, 6), 2.0)}) == 1
