"""Trajectories by their laws: where isocentre and axis are seen, and that turning views is turning patients."""

import math

import numpy as np
import pytest
import roma
import torch

from raygrad import kernels
from raygrad.data import Subject, Volume
from raygrad.drr import DRR
from raygrad.geometry.trajectories import c_arm_sweep, circular, helical, laminography, parallel, short_scan
from raygrad.pose import RigidTransform

SYSTEM = {"sdd": 1200.0, "sid": 800.0, "height": 6, "width": 9, "delx": 4.0, "dely": 3.0, "dtype": torch.float64}
BEAM = {name: SYSTEM[name] for name in ("height", "width", "delx", "dely", "dtype")}
ISOCENTRE = (5.0, -7.0, 11.0)
AXES = [(0, 0, 1), (0, 0, -2), (0, 1, 0), (1, 0, 0), (0.3, -0.2, 0.5)]


def make(name, **given):
    """A trajectory of each kind, with 8 views."""
    makers = {
        "circular": lambda: circular(8, **SYSTEM, **given),
        "short scan": lambda: short_scan(8, **SYSTEM, **given),
        "helical": lambda: helical(8, pitch=40.0, turns=1.5, **SYSTEM, **given),
        "laminography": lambda: laminography(8, tilt_deg=30.0, **SYSTEM, **given),
        "C-arm": lambda: c_arm_sweep((-90, 60), (-20, 30), n_views=8, **SYSTEM, **given),
        "parallel": lambda: parallel(8, **BEAM, **given),
    }
    return makers[name]()


ALL = ("circular", "short scan", "helical", "laminography", "C-arm", "parallel")


def seen_at(views, points):
    """Column and row of points (N, 3) in every view: (view, N, 2)."""
    points = torch.as_tensor(points, dtype=torch.float64).reshape(-1, 3)
    seen = torch.einsum("vij,nj->vni", views.world_to_pixel, torch.nn.functional.pad(points, (0, 1), value=1.0))
    return seen[..., :2] / seen[..., 2:]


def unit(vector):
    return torch.nn.functional.normalize(torch.as_tensor(vector, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ALL)
def test_the_isocentre_is_seen_in_the_middle_or_off_it_by_the_offset(name, axis):
    views = make(name, axis=axis, isocentre=ISOCENTRE, x0=6.0, y0=-4.5)
    along = torch.zeros(len(views), dtype=torch.float64)
    if name == "helical":  # each source is level with another point of the axis
        along = 40.0 * 1.5 * (torch.arange(8) - 3.5) / 8
    to_the_right = -1 if name == "C-arm" else 1  # its columns are turned round
    expected = torch.tensor([(9 - 1) / 2 + to_the_right * 6.0 / 4, (6 - 1) / 2 - 4.5 / 3]).double()
    for view in range(8):
        level = torch.tensor(ISOCENTRE).double() + along[view] * unit(axis)
        torch.testing.assert_close(seen_at(views, level)[view, 0], expected)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("name", ALL)
def test_the_axis_points_up(name, axis):
    views = make(name, axis=axis, isocentre=ISOCENTRE)
    iso, end = torch.tensor(ISOCENTRE).double(), torch.tensor(ISOCENTRE) + 10 * unit(axis)
    up = (seen_at(views, end) - seen_at(views, iso))[:, 0]
    torch.testing.assert_close(up[:, 0], torch.zeros(8).double(), atol=1e-9, rtol=0)
    assert (up[:, 1] < -1).all()


@pytest.mark.parametrize("axis", AXES)
def test_sources_lie_on_their_circles(axis):
    for name, height, radius in (
        ("circular", 0, 800),
        ("short scan", 0, 800),
        ("laminography", 800 * math.sin(math.radians(30)), 800 * math.cos(math.radians(30))),
        ("helical", 7.5 * (torch.arange(8.0) - 3.5), 800),
    ):
        source = make(name, axis=axis, isocentre=ISOCENTRE).source - torch.tensor(ISOCENTRE)
        level = source @ unit(axis)
        torch.testing.assert_close(level, torch.as_tensor(height).double().expand(8))
        torch.testing.assert_close(
            (source - level[:, None] * unit(axis)).norm(dim=1), torch.full((8,), radius).double()
        )


def angles_of(views):
    """Of the sources about +z, from +y on, in degrees."""
    x, y, _ = views.source.unbind(-1)
    return np.rad2deg(np.unwrap(torch.atan2(-x, y).numpy()))


def test_angles_are_spread_evenly_and_no_view_comes_twice():
    np.testing.assert_allclose(angles_of(circular(4, **SYSTEM)), [0, 90, 180, 270])
    np.testing.assert_allclose(angles_of(circular(4, start_deg=10, clockwise=True, **SYSTEM)), [10, -80, -170, -260])
    np.testing.assert_allclose(angles_of(circular(3, start_deg=-20, range_deg=50, **SYSTEM)), [-20, 5, 30])
    np.testing.assert_allclose(angles_of(circular(1, range_deg=50, **SYSTEM)), [0])
    np.testing.assert_allclose(angles_of(helical(6, pitch=-1, turns=2, **SYSTEM)), np.arange(6) * 120)
    fan = 2 * math.degrees(math.atan(18 / 1200))
    np.testing.assert_allclose(np.ptp(angles_of(short_scan(9, extra_deg=7, **SYSTEM))), 187 + fan)
    turned = parallel(4, start_deg=10, **BEAM).direction
    np.testing.assert_allclose(
        turned.numpy(), [[math.sin(a), -math.cos(a), 0] for a in np.deg2rad([10, 55, 100, 145])], atol=1e-12
    )


def test_a_short_scan_measures_every_line():
    """Seen from any point of the field of view, the source turns by half a turn, and from its edge by no more."""
    wide = SYSTEM | {"width": 90}
    views = short_scan(1000, start_deg=33, **wide)
    radius = 800 * math.sin(math.atan(180 / 1200))
    turns = []
    for angle in np.linspace(0, 2 * np.pi, 50):
        point = torch.tensor([0.999 * radius * math.cos(angle), 0.999 * radius * math.sin(angle), 0]).double()
        x, y, _ = (views.source - point).unbind(-1)
        turns.append(np.ptp(np.unwrap(torch.atan2(y, x).numpy())))
    assert min(turns) >= math.pi
    assert min(turns) < math.pi + 0.02


def test_zero_degrees_is_the_ap_view_of_a_drr():
    subject = Subject(Volume(torch.zeros(2, 2, 2), np.eye(4)))
    drr = DRR(subject, 1200.0, 6, 4.0, 9, 3.0, 6.0, -4.5)
    pose = torch.eye(4)
    pose[1, 3] = 800.0
    expected = drr.detector(RigidTransform(pose), None)
    views = circular(1, **SYSTEM | {"x0": 6.0, "y0": -4.5, "dtype": torch.float32})
    for found, right in zip(views.rays(), expected, strict=True):
        torch.testing.assert_close(found, right)
    from_the_front = c_arm_sweep(0, tube="front", **SYSTEM | {"x0": 6.0, "y0": -4.5, "dtype": torch.float32})
    torch.testing.assert_close(from_the_front.rays()[1], expected[1])


def test_images_of_a_patient_stand_upright_with_the_right_side_on_the_left():
    """Markers at the patient's right, head and front, drawn by the renderer."""
    data = torch.zeros(21, 21, 21)
    data[18, 10, 10], data[10, 10, 18], data[10, 18, 10] = 1.0, 2.0, 3.0  # right, head, front
    subject = Subject(Volume(data, np.array([[1.0, 0, 0, -10], [0, 1, 0, -10], [0, 0, 1, -10], [0, 0, 0, 1]])), data)
    system = {"sdd": 1000.0, "sid": 900.0, "height": 23, "delx": 1.1}

    def render(views):
        source, target = views.rays()
        image = kernels.project(data, source, target, subject.volume.world_to_voxel, renderer="siddon")
        return image.reshape(len(views), 23, 23)

    images = render(circular(4, **system))  # from the front, the left, behind and the right
    pose = torch.eye(4)
    pose[1, 3] = 900.0
    drr = DRR(subject, 1000.0, 23, 1.1)
    drr.density = data
    torch.testing.assert_close(images[0], drr(RigidTransform(pose))[0, 0])

    def brightest(image, rows=slice(None), columns=slice(None)):
        part = torch.zeros_like(image)
        part[rows, columns] = image[rows, columns]
        return divmod(int(part.argmax()), 23)

    for image in images:
        row, column = brightest(image, rows=slice(8))
        assert row < 4  # the head is up
        assert column == 11
    middle = slice(9, 14)
    assert brightest(images[0], middle, slice(8))[1] < 4  # the right side is on the left
    assert brightest(images[1], middle, slice(8))[1] < 4  # from the left one looks at the front, on the left
    assert brightest(images[2], middle, slice(15, 23))[1] > 18  # from behind the right side is on the right
    assert brightest(images[3], middle, slice(15, 23))[1] > 18  # from the right the front is on the right
    angiogram = render(c_arm_sweep(0, **system))[0]
    assert brightest(angiogram, middle, slice(8))[1] < 4  # the tube is behind, and yet the right side on the left
    assert brightest(angiogram, slice(8))[0] < 4


@pytest.mark.parametrize("axis", AXES)
def test_turning_the_views_is_turning_the_patient_the_other_way(axis):
    points = torch.randn(5, 3, dtype=torch.float64) * 20
    iso = torch.tensor(ISOCENTRE).double()
    for name in ("circular", "laminography", "parallel"):
        views = make(name, axis=axis, isocentre=ISOCENTRE)
        step = math.pi / (8 if name == "parallel" else 4)
        for view in range(8):
            turn = roma.rotvec_to_rotmat(unit(axis) * step * view)
            turned = iso + (points - iso) @ turn.T
            torch.testing.assert_close(seen_at(views, turned)[view], seen_at(views, points)[0])
    views = make("helical", axis=axis, isocentre=ISOCENTRE)
    turn = roma.rotvec_to_rotmat(unit(axis) * 3 * 2 * math.pi * 1.5 / 8)
    moved = iso + (points - iso) @ turn.T + 3 * 40.0 * 1.5 / 8 * unit(axis)
    torch.testing.assert_close(seen_at(views, moved)[3], seen_at(views, points)[0])


def test_angles_of_a_c_arm_say_where_the_detector_is():
    lao, cran = [0, 30, -30, 0, 0, 40], [0, 0, 0, 25, -25, 20]
    views = c_arm_sweep(lao, cran, **SYSTEM)
    detector = unit(views.rays()[1].mean(dim=1))
    torch.testing.assert_close(detector, -unit(views.source))
    right, front, up = detector.unbind(-1)
    torch.testing.assert_close(detector[0], torch.tensor([0.0, 1.0, 0.0]).double())
    assert right[1] < 0 < right[2]  # LAO is on the left
    assert up[4] < 0 < up[3]  # CRAN is towards the head
    assert (front > 0).all()
    # The spherical coordinates of DICOM's angles.
    a, b = np.deg2rad(lao), np.deg2rad(cran)
    expected = np.stack([-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)], axis=-1)
    np.testing.assert_allclose(detector, expected, atol=1e-12)
    over = c_arm_sweep(lao, cran, tube="front", **SYSTEM)
    np.testing.assert_allclose(unit(over.source), expected, atol=1e-12)


def test_a_c_arm_takes_angles_and_ranges():
    spread = c_arm_sweep((-90, 60), (0, 30), n_views=3, **SYSTEM)
    listed = c_arm_sweep([-90, -15, 60], torch.tensor([0.0, 15.0, 30.0]), **SYSTEM)
    torch.testing.assert_close(spread.pose.matrix, listed.pose.matrix)
    held = c_arm_sweep((-90, 60), 15, n_views=3, **SYSTEM)
    torch.testing.assert_close(held.pose.matrix, c_arm_sweep([-90, -15, 60], 15, **SYSTEM).pose.matrix)
    assert len(c_arm_sweep(10, [0, 5], **SYSTEM)) == 2


def test_parallel_beams_have_pixels_of_their_size():
    views = parallel(5, isocentre=ISOCENTRE, distance=50.0, x0=6.0, **BEAM)
    source, target = views.rays()
    torch.testing.assert_close((target - source), 100 * views.direction[:, None].expand(-1, 54, 3))
    iso = torch.tensor(ISOCENTRE).double()
    torch.testing.assert_close(((target - iso) * views.direction[:, None]).sum(-1), torch.full((5, 54), 50.0).double())
    image = target.reshape(5, 6, 9, 3)
    assert torch.allclose((image[:, :, 1:] - image[:, :, :-1]).norm(dim=-1), torch.tensor(4.0).double())
    torch.testing.assert_close(image[:, 1:] - image[:, :-1], torch.tensor([0, 0, -3.0]).double().expand(5, 5, 9, 3))
    point = seen_at(views[:1], iso + torch.tensor([4.0, 0, 0]))[0, 0]
    torch.testing.assert_close(point, torch.tensor([4 + 1.5 - 1, 2.5]).double())  # 4 mm to the right is a column left


def test_poses_are_rounded_once():
    exact = circular(7, axis=AXES[-1], isocentre=ISOCENTRE, **SYSTEM)
    rounded = circular(7, axis=AXES[-1], isocentre=ISOCENTRE, **SYSTEM | {"dtype": torch.float32})
    assert exact.pose.dtype == torch.float64
    assert torch.equal(exact.pose.matrix.float(), rounded.pose.matrix)
    assert parallel(3, height=2, delx=1.0).centre.dtype == torch.float32


BAD = {
    "no view": (lambda: circular(0, **SYSTEM), ValueError, "n_views"),
    "half a view": (lambda: circular(2.5, **SYSTEM), TypeError, "n_views"),
    "no range": (lambda: circular(2, range_deg=0, **SYSTEM), ValueError, "range_deg"),
    "no start": (lambda: circular(2, start_deg=math.nan, **SYSTEM), ValueError, "start_deg"),
    "isocentre behind": (lambda: circular(2, **SYSTEM | {"sid": 1300.0}), ValueError, "sid < sdd"),
    "no distance": (lambda: circular(2, **SYSTEM | {"sdd": -1.0}), ValueError, "sdd"),
    "no pixel": (lambda: circular(2, **SYSTEM | {"delx": 0.0}), ValueError, "delx"),
    "no axis": (lambda: circular(2, axis=(0, 0, 0), **SYSTEM), ValueError, "axis"),
    "half an axis": (lambda: circular(2, axis=(0, 1), **SYSTEM), ValueError, "axis"),
    "isocentre": (lambda: circular(2, isocentre=(0, math.inf, 0), **SYSTEM), ValueError, "isocentre"),
    "long arc": (lambda: short_scan(2, extra_deg=180, **SYSTEM), ValueError, "extra_deg of 0 to 178"),
    "narrow arc": (lambda: short_scan(2, extra_deg=-1, **SYSTEM), ValueError, "extra_deg"),
    "no turns": (lambda: helical(2, pitch=1, turns=0, **SYSTEM), ValueError, "turns"),
    "pitch": (lambda: helical(2, pitch=math.inf, turns=1, **SYSTEM), ValueError, "pitch"),
    "tilt": (lambda: laminography(2, tilt_deg=90, **SYSTEM), ValueError, "tilt"),
    "tube": (lambda: c_arm_sweep(0, tube="above", **SYSTEM), ValueError, "above"),
    "uneven": (lambda: c_arm_sweep([0, 1, 2], [0, 1], **SYSTEM), ValueError, "Got 3 and 2"),
    "too many": (lambda: c_arm_sweep([0, 1, 2], n_views=3, **SYSTEM), ValueError, "first and the last"),
    "no angle": (lambda: c_arm_sweep([], **SYSTEM), ValueError, "lao_rao_deg"),
    "overhead": (lambda: c_arm_sweep(0, 100, **SYSTEM), ValueError, "cran_caud_deg"),
    "unknown": (lambda: circular(2, colour="red", **SYSTEM), TypeError, "colour"),
    "distance": (lambda: parallel(2, distance=0, **BEAM), ValueError, "distance"),
    "rows": (lambda: parallel(2, **BEAM | {"height": 0}), ValueError, "height"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, error, reason = BAD[case]
    with pytest.raises(error, match=reason):
        call()
