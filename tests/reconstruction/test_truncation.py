"""Images that end within the patient, and detectors a little off centre on a short scan."""

import warnings

import pytest
import torch
from reconstruction_cases import function_of

from raygrad.data import VolumeGeometry
from raygrad.geometry import trajectories
from raygrad.phantoms._shapes import Ellipsoid, Phantom
from raygrad.projector import Projector
from raygrad.reconstruction import ReconstructionWarning
from raygrad.reconstruction._methods.truncation import continued, share_cut_off

pytestmark = pytest.mark.usefixtures("one_thread")
fdk = function_of("fdk")
GRID = VolumeGeometry.centred((64, 64, 3), 5.0)
SYSTEM = {"sdd": 1500.0, "sid": 1000.0, "height": 4, "delx": 4.0}
FAR = 10_000.0
"""Half the height of bodies that are the same in all slices, in mm."""


def body(x=0.0, y=0.0):
    """An ellipse of 150 x 110 mm of water."""
    return Phantom([Ellipsoid([x, y, 0], [150, 110, FAR], None, 0.02)])


def reconstructed(views, phantom, **options):
    """In units of water, and each voxel's distance from the axis."""
    source, target = views.rays()
    images = phantom.line_integrals(source, target).reshape(len(views), *views.image_shape)
    volume = fdk(Projector(GRID, views), images, **options).volume[:, :, 1] / 0.02
    across = (torch.arange(64) - 31.5) * 5.0
    return volume, (across[:, None].square() + across.square()).sqrt()


SCANS = {"full turn": trajectories.circular, "short scan": trajectories.short_scan}


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("middle", [(0.0, 0.0), (20.0, -10.0)])
def test_rows_that_are_cut_off_are_continued(scan, middle):
    """80 mm of a body of 150 x 110 mm are seen, wherever its middle is."""
    views = SCANS[scan](180, width=60, **SYSTEM)
    with pytest.warns(ReconstructionWarning, match=r"100% of the rows .*--extend"):
        cut, radius = reconstructed(views, body(*middle))
    assert cut[radius < 40].mean() > 1.2
    volume, _ = reconstructed(views, body(*middle), extend=True)
    assert volume[radius < 40].mean().item() == pytest.approx(1.0, abs=0.01)
    assert volume[(radius > 68) & (radius < 76)].mean().item() == pytest.approx(1.0, abs=0.05)


def test_what_is_seen_whole_is_not_warned_of_and_comes_out_the_same():
    views = trajectories.circular(60, width=130, **SYSTEM)
    phantom = Phantom([Ellipsoid([10, 0, 0], [100, 80, FAR], None, 0.02)])
    volume, radius = reconstructed(views, phantom)
    extended, _ = reconstructed(views, phantom, extend=True)
    inside = radius < 70
    assert (volume - extended)[inside].abs().max() < 1e-3


def test_an_offset_detector_is_not_warned_of_where_the_other_side_sees_it():
    views = trajectories.circular(120, width=80, x0=110.0, **SYSTEM)
    phantom = Phantom([Ellipsoid([0, 0, 0], [120, 100, FAR], None, 0.02)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume, radius = reconstructed(views, phantom)
    assert volume[radius < 70].mean().item() == pytest.approx(1.0, abs=0.02)
    extended, _ = reconstructed(views, phantom, extend=True)
    assert extended[radius < 70].mean().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("pixels", [1, 3, -2])
def test_a_short_scan_may_be_a_few_pixels_off_centre(pixels):
    phantom = Phantom(
        [Ellipsoid([0, 0, 0], [60, 50, FAR], None, 0.02), Ellipsoid([30, 10, 0], [9, 9, FAR], None, 0.01)]
    )
    centred, radius = reconstructed(trajectories.short_scan(120, width=60, **SYSTEM), phantom)
    off, _ = reconstructed(trajectories.short_scan(120, width=60, x0=pixels * 4.0, **SYSTEM), phantom)
    assert (off - centred)[radius < 45].square().mean().sqrt() < 0.02
    with pytest.raises(ValueError, match="Expected a full turn for a detector that sees"):
        reconstructed(trajectories.short_scan(120, width=60, x0=40.0, **SYSTEM), phantom)


def ellipse(columns, middle, half, height=3.0):
    place = (torch.arange(columns, dtype=torch.float64) - middle) / half
    return height * (1 - place.square()).clamp(min=0).sqrt()


@pytest.mark.parametrize(("middle", "half"), [(60.0, 45.0), (72.0, 50.0), (60.0, 200.0)])
def test_of_an_ellipse_all_is_found(middle, half):
    whole = ellipse(121, middle, half)[None, None]
    found = continued(whole[..., 40:81], 40, 40)
    assert found.shape == whole.shape
    torch.testing.assert_close(found[..., 40:81], whole[..., 40:81])
    assert (found - whole).abs().max() < 0.12 * 3.0  # steepest where it ends
    assert (found - whole).abs().mean() < 0.02 * 3.0
    torch.testing.assert_close(continued(7 * whole[..., 40:81], 40, 40), 7 * found)


def test_rows_that_end_in_air_go_on_in_air_and_those_that_rise_fall_off():
    inside = ellipse(41, 20.0, 15.0)[None, None]
    assert continued(inside, 10, 10)[..., :10].abs().max() == 0
    rising = torch.linspace(1.0, 2.0, 41, dtype=torch.float64)[None, None]
    added = continued(rising, 41, 41)[0, 0, -41:]
    assert (added.diff() <= 0).all()
    assert added[-1] < 1e-9 < 1.8 < added[0]
    nothing = torch.zeros(2, 3, 41)
    assert torch.equal(continued(nothing, 5, 5), torch.zeros(2, 3, 51))


def test_the_share_of_rows_that_are_cut_off():
    images = torch.zeros(2, 4, 40)
    images[:, 1] = 1.0
    images[:, 2, 10:30] = 1.0
    images[:, 3, :20] = 1.0
    assert share_cut_off(images) == pytest.approx(2 / 3)
    assert share_cut_off(images, left=False) == pytest.approx(1 / 3)
    assert share_cut_off(images, left=False, right=False) == 0.0
    assert share_cut_off(torch.zeros(1, 2, 9)) == 0.0
