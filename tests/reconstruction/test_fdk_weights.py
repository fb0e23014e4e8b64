"""Laws of FDK's weights and filters: opposite rays share their line, views share the turn, ramps keep means."""

import math
from itertools import pairwise

import pytest
import torch

from raygrad.reconstruction._methods.filters import FILTERS, filter_rows, frequency_response
from raygrad.reconstruction._methods.scan_weights import offset_detector, sample_angles, short_scan

RAD = math.pi / 180


@pytest.mark.parametrize("extra_deg", [0.0, 25.0, 120.0])
def test_opposite_rays_of_a_short_scan_share_their_line(extra_deg):
    """Weights of (angle, fan) and (angle + pi + 2 fan, -fan) add up to 1; where the latter is not measured, 1."""
    half = 10 * RAD
    arc = math.pi + 2 * half + extra_deg * RAD
    angle = torch.linspace(0, arc, 400, dtype=torch.float64)
    fan = 0.999 * torch.linspace(-half, half, 41, dtype=torch.float64).expand(400, 41)  # the rim is 0 / 0 at both ends
    weight = short_scan(angle, fan, arc)
    for turn in (math.pi, -math.pi):
        other = angle[:, None] + turn + 2 * fan
        measured = (other >= 0) & (other <= arc)
        opposite = short_scan(other.flatten(), -fan.reshape(-1, 1), arc).view_as(fan)
        torch.testing.assert_close((weight + opposite)[measured], torch.ones_like(weight)[measured])
    alone = (angle[:, None] + math.pi + 2 * fan > arc + 1e-9) & (angle[:, None] - math.pi + 2 * fan < -1e-9)
    torch.testing.assert_close(weight[alone], torch.ones_like(weight)[alone])
    assert weight[0].max() < 1e-12
    assert weight[-1].max() < 1e-12


@pytest.mark.parametrize(("near", "far"), [(0.05, 0.3), (0.2, 0.21), (0.2, 0.2)])
def test_opposite_rays_of_an_offset_detector_share_their_line(near, far):
    fan = torch.linspace(-near, far, 301, dtype=torch.float64)[None]
    weight = offset_detector(fan, near, far)
    torch.testing.assert_close(weight + offset_detector(-fan, near, far), torch.ones_like(fan))
    if near < far:
        assert weight[0, 0] == 0
        assert (weight[fan > near] == 1).all()
    assert (weight.diff() >= 0).all()


def test_views_share_the_turn():
    angle = 2 * math.pi * torch.rand(50, dtype=torch.float64) - 7
    turn = sample_angles(torch.cat([angle, angle[:5]]), 2 * math.pi)
    assert turn.is_closed
    assert turn.share.sum().item() == pytest.approx(2 * math.pi)
    assert (turn.share >= 0).all()


@pytest.mark.parametrize("start", [0.0, 100.0, 300.0])
def test_an_arc_is_found_wherever_it_starts(start):
    degrees = torch.linspace(0, 200, 101, dtype=torch.float64)[torch.randperm(101)]
    turn = sample_angles((start + degrees) * RAD, 2 * math.pi)
    assert not turn.is_closed
    assert turn.arc == pytest.approx(200 * RAD)
    assert turn.share.sum().item() == pytest.approx(200 * RAD)
    torch.testing.assert_close(turn.position, degrees * RAD, rtol=0, atol=1e-9)


def test_golden_angles_and_even_ones_lie_all_around():
    for count in (3, 8, 55, 56, 100):
        for step in (2 * math.pi / count, math.pi * (3 - math.sqrt(5))):
            assert sample_angles(torch.arange(count, dtype=torch.float64) * step, 2 * math.pi).is_closed


@pytest.mark.parametrize("width", [1, 7, 64, 500])
def test_responses_of_the_filters(width):
    """Half a cycle a sample at most at the top; not 0 at frequency 0, or rows would lose their mean."""
    ramp = frequency_response(width)
    frequency = torch.linspace(0, 0.5, len(ramp), dtype=torch.float64)
    padded = 2 * (len(ramp) - 1)
    assert padded >= 2 * width
    torch.testing.assert_close(ramp, frequency, rtol=0, atol=0.6 / padded)
    assert 0 < ramp[0] < 0.5 / padded
    responses = [frequency_response(width, name) for name in FILTERS]
    for wider, narrower in pairwise(responses):
        assert narrower[0] == wider[0]
        assert (narrower <= wider + 1e-12).all()
    assert responses[1][-1].item() == pytest.approx(2 / math.pi * ramp[-1].item())
    assert responses[2][-1].abs() < 1e-12
    halved = frequency_response(width, "hann", 0.5)
    assert (halved[frequency > 0.2501] == 0).all()


def test_filtering_is_convolution_with_the_kernel_of_kak_and_slaney():
    rows = torch.randn(2, 3, 21, dtype=torch.float64)
    n = torch.arange(21)[:, None] - torch.arange(21)
    kernel = torch.where(n % 2 != 0, -1 / (math.pi * torch.where(n == 0, 1, n).double()) ** 2, 0.0)
    kernel = kernel + 0.25 * (n == 0)
    torch.testing.assert_close(filter_rows(rows, frequency_response(21)), rows @ kernel)
