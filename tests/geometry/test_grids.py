"""The grid that a reconstruction has unless it is told, and views that see nothing of one."""

import math

import pytest
import torch

from raygrad._errors import InputError
from raygrad.data import VolumeGeometry
from raygrad.geometry._field_of_view import blind_views, choose_grid, find_isocentre, find_seen
from raygrad.geometry.trajectories import circular, helical, laminography

SYSTEM = {"sdd": 1500.0, "sid": 1000.0, "height": 40, "width": 60, "delx": 5.0, "dely": 6.0}


def test_the_box_is_that_of_the_cylinder_that_a_circle_sees():
    where = (10.0, -20.0, 30.0)
    seen = find_seen(circular(90, **SYSTEM, isocentre=where))
    centre = torch.tensor(where, dtype=torch.float64)
    torch.testing.assert_close(seen.isocentre, centre, atol=1e-3, rtol=0)
    radius = 1000 * math.sin(math.atan(150 / 1500))
    half = torch.tensor([radius, radius, 120 * 1000 / 1500], dtype=torch.float64)
    torch.testing.assert_close(seen.high, centre + half, rtol=2e-3, atol=0.1)
    torch.testing.assert_close(seen.low, centre - half, rtol=2e-3, atol=0.1)
    assert seen.pixel == pytest.approx(5 / 1.5, rel=1e-5)


def test_a_detector_off_centre_counts_by_its_wide_side():
    seen = find_seen(circular(90, **SYSTEM, x0=100.0))
    radius = 1000 * math.sin(math.atan(250 / 1500))
    assert float(seen.high[0]) == pytest.approx(radius, rel=2e-3)


def test_one_view_has_a_box_too():
    grid = choose_grid(circular(1, **SYSTEM), spacing=(8, 8, 8))
    assert blind_views(circular(1, **SYSTEM), grid) == []
    assert grid.spacing == (8.0, 8.0, 8.0)


def test_what_is_asked_for_is_kept():
    views = circular(90, **SYSTEM)
    default = choose_grid(views)
    assert default.spacing == pytest.approx([5 / 1.5] * 3, rel=1e-4)
    finer = choose_grid(views, spacing=(1, 2, 4))
    for counts, mm, voxel in zip(finer.shape, default.shape, (1, 2, 4), strict=True):
        assert abs(counts * voxel - mm * 5 / 1.5) < 5
    grid = choose_grid(views, (7, 7, 7), (2, 2, 2), (1, 2, 3))
    assert grid.shape == (7, 7, 7)
    assert grid.centre.tolist() == [1, 2, 3]
    assert choose_grid(views, (7, 8, 9)).shape == (7, 8, 9)


def test_the_isocentre_of_leaning_and_of_parallel_central_rays():
    where = torch.tensor([5.0, 6.0, -7.0], dtype=torch.float64)
    tilted = laminography(8, tilt_deg=40, **SYSTEM, isocentre=where)
    torch.testing.assert_close(find_isocentre(tilted), where, atol=1e-3, rtol=0)
    opposite = circular(2, **SYSTEM, isocentre=(0.0, 50.0, 3.0))
    torch.testing.assert_close(find_isocentre(opposite), torch.tensor([0.0, 0, 3]).double(), atol=1e-3, rtol=0)


def test_a_long_helix_needs_a_grid():
    with pytest.raises(InputError, match="--shape, --spacing"):
        choose_grid(helical(20, pitch=400, turns=4, **SYSTEM))


def test_blind_views():
    views = circular(4, **SYSTEM)
    grid = VolumeGeometry.centred((10, 10, 10), 5.0)
    assert blind_views(views, grid) == []
    aside = VolumeGeometry.centred((10, 10, 10), 5.0, (400.0, 0.0, 0.0))
    assert blind_views(views, aside) == [1, 3]
    behind = VolumeGeometry.centred((10, 10, 10), 5.0, (0.0, 2000.0, 0.0))
    assert 1 in blind_views(views, behind)
    around = VolumeGeometry.centred((10, 10, 10), 500.0)
    assert blind_views(views, around) == []
