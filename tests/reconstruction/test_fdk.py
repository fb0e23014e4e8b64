"""FDK against phantoms whose line integrals are exact: values in absolute units, for every kind of scan."""

import math

import pytest
import torch
from reconstruction_cases import function_of
from torch import Tensor

from raygrad.data import VolumeGeometry
from raygrad.geometry import trajectories
from raygrad.geometry._views import ConeViews, RayViews, Views
from raygrad.phantoms._shapes import Ellipsoid, Phantom
from raygrad.pose import RigidTransform
from raygrad.projector import Projector
from raygrad.reconstruction import Status

pytestmark = pytest.mark.usefixtures("one_thread")
fdk = function_of("fdk")
SIZE, SPACING = 32, 5.0
GEOMETRY = VolumeGeometry.centred((SIZE,) * 3, SPACING)
SYSTEM = {"sdd": 1000.0, "sid": 700.0, "height": 48, "width": 56, "delx": 5.0}
BODY = Phantom([Ellipsoid([0, 0, 0], [60, 50, 55], None, 0.02), Ellipsoid([15, 10, 0], [22, 22, 22], None, 0.01)])
VOXELS = GEOMETRY.voxel_to_world[:3, :3].diagonal() * torch.cartesian_prod(*[torch.arange(SIZE)] * 3)
POINTS = (VOXELS + GEOMETRY.voxel_to_world[:3, 3]).reshape(SIZE, SIZE, SIZE, 3)


def images_of(views: Views, body: Phantom = BODY) -> Tensor:
    source, target = views.rays()
    return body.line_integrals(source, target).reshape(len(views), *views.image_shape)


def reconstruct(views: Views, **options) -> Tensor:
    return fdk(Projector(GEOMETRY, views), images_of(views), **options).volume


def distance_from(*centre: float) -> Tensor:
    return (POINTS - torch.tensor(centre, dtype=torch.float64)).norm(dim=-1)


IN_BALL = distance_from(15, 10, 0) < 14
IN_BODY = ((POINTS / torch.tensor([60.0, 50, 55])).norm(dim=-1) < 0.85) & (distance_from(15, 10, 0) > 29)
AROUND = ((POINTS / torch.tensor([60.0, 50, 55])).norm(dim=-1) > 1.3) & (POINTS[..., :2].norm(dim=-1) < 75)
SCANS = {
    "full turn": lambda: trajectories.circular(96, **SYSTEM),
    "clockwise from 50 degrees": lambda: trajectories.circular(96, start_deg=50, clockwise=True, **SYSTEM),
    "about y": lambda: trajectories.circular(96, axis=(0, 1, 0), **SYSTEM),
    "about a slanted axis": lambda: trajectories.circular(96, axis=(0.3, 0.2, 1), **SYSTEM),
    "short scan": lambda: trajectories.short_scan(72, **SYSTEM),
    "longer short scan, clockwise": lambda: trajectories.short_scan(88, extra_deg=50, clockwise=True, **SYSTEM),
    "offset detector": lambda: trajectories.circular(120, x0=70, **SYSTEM),
    "offset to the other side": lambda: trajectories.circular(120, x0=-70, **SYSTEM),
    "slightly offset detector": lambda: trajectories.circular(96, x0=-35, **SYSTEM),
    "parallel": lambda: trajectories.parallel(96, height=40, width=48, delx=4),
    "parallel, full turn": lambda: trajectories.parallel(96, range_deg=360, height=40, width=48, delx=4),
    "parallel, offset": lambda: trajectories.parallel(120, range_deg=360, height=40, width=48, delx=4, x0=50),
}


@pytest.mark.parametrize("scan", SCANS)
def test_values_are_absolute(scan):
    """Within 1 % in the middle of a ball and of the body around it, nothing outside, and no trend with the radius."""
    volume = reconstruct(SCANS[scan]())
    assert volume[IN_BALL].mean().item() == pytest.approx(0.03, rel=0.01)
    assert volume[IN_BODY].mean().item() == pytest.approx(0.02, rel=0.01)
    assert volume[AROUND].mean().abs().item() < 3e-4
    middle = POINTS[..., 2].abs() < 10
    near, far = distance_from(-20, -10, 0) < 12, IN_BODY & (POINTS[..., :2].norm(dim=-1) > 35)
    assert (volume[near & middle].mean() - volume[far & middle].mean()).abs().item() < 3e-4


def test_a_short_scan_reconstructs_the_same_as_a_full_turn():
    short, full = (reconstruct(SCANS[name]()) for name in ("short scan", "full turn"))
    inside = (IN_BODY | IN_BALL) & (POINTS[..., 2].abs() < 4)
    assert (short - full)[inside].square().mean().sqrt() < 0.02 * 0.02


def test_an_offset_detector_reconstructs_the_same_as_a_wide_one():
    """Half the body is outside each image, but in the opposite one."""
    offset, wide = (reconstruct(SCANS[name]()) for name in ("offset detector", "full turn"))
    inside = (IN_BODY | IN_BALL) & (POINTS[..., 2].abs() < 4)
    assert (offset - wide)[inside].square().mean().sqrt() < 0.03 * 0.02


def test_unequal_angles_are_weighted_by_their_gaps():
    """A quarter of the turn measured four times as densely would be four times too strong."""
    dense = trajectories.circular(240, **SYSTEM)
    chosen = [i for i in range(240) if i < 60 or i % 4 == 0]
    volume = reconstruct(dense[torch.tensor(chosen)[torch.randperm(len(chosen))]])
    assert volume[IN_BALL].mean().item() == pytest.approx(0.03, rel=0.01)
    assert volume[IN_BODY].mean().item() == pytest.approx(0.02, rel=0.01)


def test_measured_poses_are_used_as_they_are():
    """A C-arm's bends of a degree and some millimetres do no harm where they are known."""
    views = trajectories.circular(120, **SYSTEM)
    generator = torch.Generator().manual_seed(3)
    bend = torch.eye(4).repeat(len(views), 1, 1)
    angle = torch.deg2rad(torch.randn(len(views), generator=generator)) / 2
    bend[:, 0, 0], bend[:, 0, 2], bend[:, 2, 0], bend[:, 2, 2] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    bend[:, :3, 3] = 2 * torch.randn(len(views), 3, generator=generator)
    bent = ConeViews(views.detector, RigidTransform(views.pose.matrix @ bend))
    volume = reconstruct(bent)
    assert volume[IN_BALL].mean().item() == pytest.approx(0.03, rel=0.02)
    assert volume[IN_BODY].mean().item() == pytest.approx(0.02, rel=0.02)


def test_float64_and_groups_of_views_change_nothing():
    views = trajectories.circular(30, dtype=torch.float64, **SYSTEM)
    images = images_of(views)
    whole = fdk(Projector(GEOMETRY, views), images).volume
    grouped = fdk(Projector(GEOMETRY, views, rays_at_once=1), images).volume
    single = fdk(Projector(GEOMETRY, views), images.float()).volume
    reference = fdk(Projector(GEOMETRY, views, backend="reference"), images).volume
    torch.testing.assert_close(grouped, whole, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(reference, whole, rtol=1e-10, atol=1e-14)
    assert (single - whole).abs().max() < 1e-5 * whole.abs().max()


@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
def test_windows_trade_noise_for_detail():
    views = trajectories.circular(60, **SYSTEM)
    noise = torch.randn(60, 48, 56)
    deviations = [
        fdk(Projector(GEOMETRY, views), noise, filter=name).volume.std().item()
        for name in ("ram-lak", "shepp-logan", "cosine", "hann")
    ]
    assert deviations == sorted(deviations, reverse=True)
    assert fdk(Projector(GEOMETRY, views), noise, cutoff=0.5).volume.std().item() < deviations[1]


def test_result_constraints_and_linearity():
    views = trajectories.circular(24, **SYSTEM)
    projector, images = Projector(GEOMETRY, views), images_of(views)
    support = POINTS.norm(dim=-1) < 65
    result = fdk(projector, images, nonnegative=True, support=support)
    free = fdk(projector, images).volume
    assert (result.method, result.status, result.history) == ("fdk", Status.DIRECT, ())
    assert torch.equal(result.volume, free.clamp(min=0) * support)
    torch.testing.assert_close(fdk(projector, -2 * images).volume, -2 * free)


def test_bad_scans_are_refused():
    """With what was found, and what to use instead."""
    cases = {
        "out of the plane of one with a radius of 700": trajectories.helical(60, pitch=80, turns=3, **SYSTEM),
        "normal across the axis": trajectories.laminography(40, tilt_deg=25, **SYSTEM),
        "Got an arc of 150 degrees": trajectories.circular(60, range_deg=150, **SYSTEM),
        "at least 3 views": trajectories.circular(2, **SYSTEM),
        "Expected a full turn": trajectories.circular(60, range_deg=230, x0=70, **SYSTEM),
        "see the axis": trajectories.circular(60, x0=300, **SYSTEM),
        "64 missing": trajectories.parallel(31, range_deg=120, height=40, delx=4)[:30],
        "see nothing of it": trajectories.circular(20, isocentre=(0, 0, 600), **SYSTEM),
    }
    for words, views in cases.items():
        with pytest.raises(ValueError, match=words):
            fdk(Projector(GEOMETRY, views), torch.ones(len(views), *views.image_shape))
    rays = RayViews(*trajectories.circular(8, **SYSTEM).rays(), shape=(48, 56))
    with pytest.raises(TypeError, match="ConeViews or ParallelViews"):
        fdk(Projector(GEOMETRY, rays), torch.ones(8, 48, 56))


def test_bad_settings_are_refused():
    views = trajectories.circular(8, **SYSTEM)
    projector, images = Projector(GEOMETRY, views), torch.ones(8, 48, 56)
    for options, words in (
        ({"filter": "butterworth"}, "filter to be one of"),
        ({"cutoff": 0.0}, "cutoff above 0"),
        ({"cutoff": math.nan}, "cutoff above 0"),
        ({"support": torch.ones(2, 2, 2)}, "support of shape"),
    ):
        with pytest.raises(ValueError, match=words):
            fdk(projector, images, **options)
    with pytest.raises(ValueError, match="Expected images of shape"):
        fdk(projector, images[:, 1:])
