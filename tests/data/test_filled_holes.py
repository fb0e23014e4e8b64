"""Structures taken out of a CT: holes are filled with what is around them, and nothing is lost."""

import pytest
import torch

from raygrad.data import take_out

SHAPE, SPACING = (44, 40, 28), (0.8, 0.9, 2.0)
INDEX = torch.stack(torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in SHAPE), indexing="ij"))


def ball(centre, *radii):
    offset = INDEX - torch.tensor(centre, dtype=torch.float64).reshape(3, 1, 1, 1)
    return (offset / torch.tensor(radii, dtype=torch.float64).reshape(3, 1, 1, 1)).square().sum(0) < 1


BONE = ball((22, 18, 14), 10, 8, 5)
RAMP = 0.3 * INDEX[0] - 0.2 * INDEX[1] + 0.5 * INDEX[2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("x_contiguous", [False, True])
def test_in_constant_tissue_the_hole_is_as_if_nothing_had_been_there(dtype, x_contiguous):
    around = torch.full(SHAPE, 0.0211, dtype=dtype)
    volume = torch.where(BONE, 0.05, around)
    if x_contiguous:
        volume = volume.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    before = volume.clone()
    rest, (bone,) = take_out(volume, [BONE], SPACING)
    assert torch.equal(rest, around)
    assert torch.equal(bone.values, ((volume - around) * BONE)[bone.box])
    assert torch.equal(volume, before)
    assert rest.stride() == volume.stride()
    assert (bone.values.stride(0) == 1) == x_contiguous
    assert bone.values.dtype == dtype


def test_slopes_and_what_else_obeys_laplace_are_continued_through_the_hole():
    x, y = INDEX[0] * SPACING[0], INDEX[1] * SPACING[1]
    for around in (RAMP, (x - 15) ** 2 - (y - 15) ** 2):
        rest, _ = take_out(torch.where(BONE, around + 40, around), [BONE], SPACING)
        assert torch.equal(rest[~BONE], around[~BONE])
        assert (rest - around).abs().max() < 3e-3 * around[BONE].std()


def test_bone_and_air_nearby_are_not_what_a_hole_is_filled_with():
    noise = 0.02 + 0.001 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    volume = torch.where(BONE, 0.05, noise)
    volume[:, 26:30] = 0.06  # another bone, which touches
    volume[:, :9] = 0.0  # air
    rest, _ = take_out(volume, [BONE], SPACING)
    inside = rest[BONE & (INDEX[1] < 26)]
    assert (inside - 0.02).abs().max() < 0.003
    assert (inside.mean() - 0.02).abs() < 0.0005


def test_structures_that_touch_are_filled_with_neither():
    left, right = BONE & (INDEX[0] < 22), BONE & (INDEX[0] >= 22)
    volume = 0.02 + 0.04 * left.double() - 0.02 * right.double()
    rest, parts = take_out(volume, [left, right], SPACING)
    torch.testing.assert_close(rest, torch.full_like(rest, 0.02), rtol=0, atol=1e-12)
    for part, values in zip(parts, (0.04, -0.02), strict=True):  # air in tissue is less than nothing
        assert part.values.unique().tolist() == pytest.approx(sorted((0.0, values)))


@pytest.mark.parametrize("claimed", [None, ball((30, 18, 14), 6, 6, 6) | BONE])
def test_rest_and_excess_add_up_to_the_volume(claimed):
    volume = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
    structures = [BONE, ball((3, 3, 3), 5, 4, 5), ball((11, 9, 4), 3, 3, 3)]
    rest, parts = take_out(volume, structures, SPACING, claimed=claimed)
    for part in parts:
        rest[part.box] += part.values
    torch.testing.assert_close(rest, volume, rtol=0, atol=2e-7)


def test_voxels_at_an_edge_go_along_unless_another_structure_has_them():
    other = INDEX[0] > 33
    bone = BONE & ~other
    soft = torch.nn.functional.avg_pool3d(bone.double()[None, None], 3, 1, 1)[0, 0] * 0.03 + 0.02
    claimed = other | bone
    rest, (part,) = take_out(soft, [bone], SPACING, claimed=claimed)
    torch.testing.assert_close(rest[~other], torch.full_like(rest[~other], 0.02), rtol=0, atol=1e-12)
    assert torch.equal(rest[other], soft[other])
    assert torch.equal(claimed, other | bone)
    moved = torch.zeros(SHAPE, dtype=torch.float64)
    moved[part.box] = part.values
    assert (moved[other] == 0).all()


def test_there_is_always_something_to_fill_with_but_where_all_is_taken():
    volume = torch.rand(SHAPE)
    rest, (part,) = take_out(volume, [torch.ones(SHAPE, dtype=torch.bool)])
    assert (rest == 0).all()
    assert torch.equal(part.values, volume)
    thin = torch.ones(SHAPE, dtype=torch.bool)
    thin[0] = False  # known on one face alone
    rest, _ = take_out(torch.where(thin, 2.0, 1.0), [thin])
    assert (rest == 1).all()
    with pytest.raises(ValueError, match=r"Expected voxels of every structure\. Got none"):
        take_out(volume, [BONE, BONE & ~BONE])


def test_holes_are_filled_in_any_mode():
    with torch.inference_mode():
        made = torch.rand(SHAPE)
        rest, _ = take_out(made, [BONE])
    grown, _ = take_out(made.clone().requires_grad_(), [BONE])
    assert torch.equal(grown, rest)
    assert not grown.requires_grad
