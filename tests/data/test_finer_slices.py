"""Finer slices: the means of thick slices are kept, straight lines stay straight, the box stays where it is."""

import numpy as np
import pytest
import torch
from table_cases import Scan

from raygrad.data import Volume, cut_out_table, finer_slices, read


def thick(axis: int = 2, count: int = 12) -> Volume:
    shape, spacing = [6, 5, 4], [0.8, 0.7, 0.9]
    shape[axis], spacing[axis] = count, 3.0
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 10
    # Nothing is cut off where both ends of the range are far away.
    values[0, 0, 0], values[-1, -1, -1] = -1000.0, 1000.0
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-10.0, 20.0, 5.0)
    return Volume(values, affine)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_means_and_box_are_kept(axis):
    volume = thick(axis)
    fine = finer_slices(volume)
    assert fine.spatial_shape[axis] == 36
    assert fine.spacing[axis] == pytest.approx(1.0)
    np.testing.assert_allclose(fine.get_bounds(), volume.get_bounds(), atol=1e-9)
    means = fine.voxels.movedim(axis, -1).unflatten(-1, (-1, 3)).mean(-1).movedim(-1, axis)
    inner = (volume.voxels.abs() < 900).float()
    inner[:1, :1], inner[-1:, -1:] = 0, 0  # lines through the two ends of the range, where it is cut off
    inner[:, :1, :1], inner[:, -1:, -1:], inner[:1, :, :1], inner[-1:, :, -1:] = 0, 0, 0, 0
    torch.testing.assert_close(means * inner, volume.voxels * inner, rtol=0, atol=1e-3)
    assert fine.voxels.min() >= -1000
    assert fine.voxels.max() <= 1000


def test_a_straight_line_stays_one():
    line = torch.arange(10.0).expand(3, 3, 10) * 7 - 50
    fine = finer_slices(Volume(line, np.diag([1.0, 1.0, 4.0, 1.0])), parts=4).voxels[1, 1]
    torch.testing.assert_close(fine.diff()[2:-2], torch.full((35,), 7 / 4), rtol=0, atol=1e-3)


def test_finer_than_the_slices_show():
    """A sine that thick slices blur is nearer to the truth than what trilinear interpolation makes of them."""
    z = torch.arange(400, dtype=torch.float64) * 0.25
    truth = 100 * torch.sin(2 * torch.pi * z / 11)
    coarse = truth.unflatten(0, (-1, 10)).mean(-1).float()
    fine = finer_slices(Volume(coarse.expand(2, 2, 40).clone(), np.diag([1.0, 1.0, 2.5, 1.0])), parts=5).voxels[0, 0]
    wanted = truth.unflatten(0, (-1, 2)).mean(-1)[20:-20]
    middles = np.interp(np.arange(200), np.arange(40) * 5 + 2, coarse.numpy())[20:-20]
    assert (fine[20:-20] - wanted).abs().max() < 0.3 * np.abs(middles - wanted.numpy()).max()


def test_nothing_to_divide():
    cube = Volume(torch.rand(4, 4, 4), np.eye(4))
    single = Volume(torch.rand(4, 4, 1), np.diag([1.0, 1.0, 5.0, 1.0]))
    assert finer_slices(cube) is cube
    assert finer_slices(single) is single
    with pytest.raises(ValueError, match=r"at least 1 part of each slice. Got 0"):
        finer_slices(cube, 0)


def test_read_brings_labels_to_the_finer_slices():
    labels = torch.zeros(6, 5, 12, dtype=torch.uint8)
    labels[:, :, 3:5] = 2
    subject = read(thick(), labels, finer_slices=True)
    assert subject.mask is not None
    assert subject.volume.spatial_shape == (6, 5, 36)
    assert (subject.mask.voxels[2, 2].nonzero()[:, 0] == torch.arange(9, 15)).all()
    assert subject.density.spatial_shape == (6, 5, 36)


def test_what_was_cut_out_is_told_on_the_finer_slices():
    scan = Scan().torso().table(top=-105)
    voxels, affine = scan.volume().voxels, scan.volume().affine.copy()
    affine[:3, 2] *= 3 / np.linalg.norm(affine[:3, 2])
    subject = read(Volume(voxels, affine), remove_table=True, finer_slices=True)
    parts = subject.volume.spatial_shape[2] // voxels.shape[2]
    assert parts > 1
    assert subject.cut_out.has_grid_of(subject.volume)
    expected = cut_out_table(Volume(voxels, affine)).mask.voxels.repeat_interleave(parts, 2)
    assert expected.any()
    assert torch.equal(subject.cut_out.voxels != 0, expected != 0)


def test_however_many_lines_at_a_time(monkeypatch):
    expected = finer_slices(thick()).voxels
    monkeypatch.setattr("raygrad.data._finer_slices._ROWS", 7)
    torch.testing.assert_close(finer_slices(thick()).voxels, expected)
