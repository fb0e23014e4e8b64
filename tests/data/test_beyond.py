"""The patient beyond a CT: above and below as the last slices show him, beside a field a round cap, else nobody."""

import numpy as np
import pytest
import torch

from raygrad.data import Volume, patient_beyond
from raygrad.data._beyond import ABOVE_MM, BESIDE_MM, CAP_MM

MM = 8.0


def make_ct(hu, mm=MM, affine=None):
    affine = np.diag([mm, mm, mm, 1.0]) if affine is None else affine
    return Volume(torch.as_tensor(hu, dtype=torch.float32), affine)


def block(shape=(30, 30, 12), z=slice(None), air=-1000.0):
    hu = torch.full(shape, air)
    hu[8:22, 10:20, z] = 40.0
    return hu


def place_of(beyond, ct):
    """The number of voxels before the CT's own, along each axis."""
    start = np.linalg.inv(beyond.affine) @ ct.affine @ [0, 0, 0, 1]
    assert np.allclose(start[:3], np.round(start[:3]))
    return tuple(round(value) for value in start[:3])


def test_above_and_below_he_goes_on_as_the_last_slices_show_him():
    ct = make_ct(block())
    beyond = patient_beyond(ct)
    x, y, z = place_of(beyond, ct)
    assert (x * MM, y * MM, z * MM) == pytest.approx((BESIDE_MM, BESIDE_MM, ABOVE_MM), abs=MM)
    wanted = torch.zeros(beyond.spatial_shape)
    wanted[x + 8 : x + 22, y + 10 : y + 20] = 1
    wanted[:, :, z : z + 12] = 0  # there is the CT
    assert torch.equal(beyond.voxels, wanted)


def test_nobody_is_beyond_where_he_ends_within_the_ct():
    assert patient_beyond(make_ct(block(z=slice(3, 9)))) is None


@pytest.mark.parametrize(("z", "ends"), [(slice(0, 9), (True, False)), (slice(3, 12), (False, True))])
def test_at_one_end_alone(z, ends):
    ct = make_ct(block(z=z))
    beyond = patient_beyond(ct)
    start = place_of(beyond, ct)[2]
    assert (bool(beyond.voxels[:, :, :start].any()), bool(beyond.voxels[:, :, start + 12 :].any())) == ends


@pytest.mark.parametrize(
    "hu", [torch.rand(20, 20, 20), torch.full((20, 20, 20), 40.0), torch.full((20, 20, 20), -1000.0)]
)
def test_numbers_without_air_or_without_a_patient_tell_of_none(hu):
    assert patient_beyond(make_ct(hu)) is None


def test_a_table_goes_on_for_nobody():
    hu = block(z=slice(3, 9))
    hu[2:28, 24:25] = 100.0  # a shell through all slices
    assert patient_beyond(make_ct(hu)) is None


def test_it_is_the_same_however_the_axes_run():
    ct = make_ct(block(z=slice(0, 9)))
    turned = np.array([[0, -MM, 0, 29 * MM], [0, 0, MM, 0], [MM, 0, 0, 0], [0, 0, 0, 1]])  # k, flipped i, j
    other = patient_beyond(make_ct(ct.voxels.permute(2, 0, 1).flip(1), affine=turned))
    one = patient_beyond(ct)
    assert torch.equal(one.voxels, other.voxels)
    assert np.allclose(one.affine, other.affine)


def test_the_last_block_of_voxels_is_beyond_as_far_as_it_reaches_out():
    """13 slices of 4 mm make six blocks of 8 mm and a half."""
    hu = block((30, 30, 13))
    ct = make_ct(hu, affine=np.diag([MM, MM, MM / 2, 1.0]))
    beyond = patient_beyond(ct)
    start = round(float((np.linalg.inv(beyond.affine) @ [0, 0, -MM / 4 + MM / 2, 1])[2]))
    along = beyond.voxels[:, :, start : start + 8].amax((0, 1)).tolist()
    assert along == [0, 0, 0, 0, 0, 0, 0.5, 1]


def test_beside_the_field_a_cap_over_what_is_cut_off():
    """A wall 20 voxels wide that the field cuts: the sagitta of its chord is (half of it)^2 / (2 r)."""
    hu = torch.full((40, 40, 12), -1000.0)
    hu[10:30, 20:, 2:10] = 40.0
    ct = make_ct(hu)
    beyond = patient_beyond(ct)
    x, y, z = place_of(beyond, ct)
    cap = beyond.voxels[:, y + 40 :, z + 5]
    assert not beyond.voxels[:, :, :z].any()
    height = cap.sum(1)[x : x + 40] * MM
    half = (10.5 * MM, 9.5 * MM)  # of the two voxels in the middle to the nearest air, and one less
    assert half[1] ** 2 / (2 * CAP_MM) - MM <= float(height.max()) <= half[0] ** 2 / (2 * CAP_MM)
    assert (height.diff()[9:19] >= 0).all()
    assert (height.diff()[20:30] <= 0).all()
    assert height[10] == 0  # a grazing touch is no patient beyond


@pytest.mark.parametrize("padding", [-2048.0, -1024.0])
def test_around_a_round_field_too(padding):
    """A trunk wider than the field; where the padding could be air, noise within the field tells."""
    x, y = np.mgrid[-20:20, -20:20] + 0.5
    trunk = (x / 26) ** 2 + (y / 12) ** 2 < 1
    noise = np.random.default_rng(0).normal(-1000, 5, (40, 40, 12))
    hu = np.where(trunk[:, :, None], 40.0, noise)
    hu[np.hypot(x, y) > 20] = padding
    ct = make_ct(hu)
    beyond = patient_beyond(ct)
    start = place_of(beyond, ct)
    beside = beyond.voxels[:, start[1] + 20, start[2] + 6]
    assert beside[start[0] - 2] == beside[start[0] + 41] == 1
    assert not beside[start[0] + 3 : start[0] + 37].any()
    assert not beyond.voxels[start[0] + 20, :, start[2] + 6].any()  # in front and behind is air


def test_drawn_air_is_no_padding():
    """A round patient who fills the box, in air that is all one number: he ends where he was drawn."""
    x, y = np.mgrid[-20:20, -20:20] + 0.5
    hu = np.full((40, 40, 12), -1000.0)
    hu[:, :, 3:9] = np.where((np.hypot(x, y) < 19.9)[:, :, None], 40.0, -1000.0)
    assert patient_beyond(make_ct(hu)) is None
