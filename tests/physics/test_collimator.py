"""Collimators: exact edges, areas and gradients."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from raygrad.physics._collimator import Collimator

LIKE = torch.zeros((), dtype=torch.float64)


def field(collimator: Collimator, shape=(200, 240), pixel=(0.5, 0.5)) -> torch.Tensor:
    return collimator.field(shape, pixel_mm=pixel, like=LIKE)


@pytest.mark.parametrize(
    ("collimator", "area"),
    [
        (Collimator(60.0, 80.0), 60 * 80),
        (Collimator(60.0, 80.0, turn_deg=30.0), 60 * 80),
        (Collimator(70.0, shape="round"), math.pi * 35**2),
        (Collimator(50.0, 80.0, shape="round", penumbra_mm=0.5), math.pi * 25 * 40),
        (Collimator(70.0, shape="octagon", penumbra_mm=0.5), 8 * math.tan(math.pi / 8) * 35**2),
    ],
)
def test_open_area(collimator, area):
    seen = field(collimator)
    assert float(seen.sum()) * 0.25 == pytest.approx(area, rel=2e-3)
    assert seen[0, 0, 100, 120] == pytest.approx(1)
    assert seen[0, 0, 0, 0] < 1e-9


@pytest.mark.parametrize("shape", ["rectangle", "round", "octagon"])
def test_an_edge_rises_from_16_to_84_percent_over_the_penumbra(shape):
    seen = field(Collimator(40.0, shape=shape, penumbra_mm=2.0), (161, 161))
    along = seen[0, 0, 80]
    place = (torch.arange(161) - 80) * 0.5
    for mm, share in ((-21.0, 0.1587), (-20.0, 0.5), (-19.0, 0.8413)):
        assert float(along[place == mm]) == pytest.approx(share, abs=0.01)


def test_turned_counterclockwise_as_one_looks_at_it():
    seen = field(Collimator(10.0, 80.0, turn_deg=30.0), (201, 201))[0, 0]
    up = 100 - round(30 * math.sin(math.radians(30)) / 0.5)
    right = 100 + round(30 * math.cos(math.radians(30)) / 0.5)
    assert seen[up, right] > 0.99
    assert seen[200 - up, right] < 0.01


def test_leaves_let_their_leak_through():
    images = torch.rand(2, 1, 50, 60, dtype=torch.float64)
    collimated = Collimator(10.0, leak=0.02)(images, pixel_mm=(0.5, 0.5))
    torch.testing.assert_close(collimated[..., 0, :], 0.02 * images[..., 0, :])
    torch.testing.assert_close(collimated[..., 25, 30], images[..., 25, 30])


@pytest.mark.parametrize("shape", ["rectangle", "round", "octagon"])
def test_gradients_by_every_number(shape):
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (6.0, 7.0, 20.0, 1.5, 0.01)]
    images = torch.rand(1, 1, 9, 11, dtype=torch.float64)

    def collimated(height, width, turn, penumbra, leak):
        return Collimator(height, width, shape, turn, penumbra, leak)(images, pixel_mm=(1.0, 0.9))

    assert gradcheck(collimated, numbers)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"height_mm": -1.0}, "height_mm in mm, a finite number above 0.*Got -1"),
        ({"height_mm": 10.0, "width_mm": 0.0}, "width_mm in mm, a finite number above 0.*Got 0"),
        ({"height_mm": 10.0, "shape": "square"}, "'rectangle', 'round', 'octagon'. Got 'square'"),
        ({"height_mm": 10.0, "leak": 2.0}, "leak, a finite number of at least 0.* and up to 1.*Got 2"),
        ({"height_mm": 10.0, "penumbra_mm": 0.0}, "penumbra_mm in mm, a finite number above 0.*Got 0"),
    ],
)
def test_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Collimator(**options)
