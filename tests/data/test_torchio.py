"""Subjects to torchio and back."""

import numpy as np
import pytest
import torch
from image_files import affine_of
from other_projects import import_peer

from raygrad.data import Subject, Volume, hu_to_density, read

pytestmark = pytest.mark.peers
torchio = import_peer("torchio")

SHAPE = (6, 5, 4)
rng = np.random.default_rng(2)
HU = rng.integers(-1000, 1500, SHAPE).astype(np.int16)
LABELS = rng.integers(0, 4, SHAPE).astype(np.uint8)
AFFINE = affine_of("LAS")


def test_there_and_back():
    subject = read(
        Volume(HU, AFFINE), LABELS, fiducials=torch.rand(1, 3, 3), orientation="PA", structures={1: "rib"}, patient="A"
    )
    other = subject.to_torchio()
    assert isinstance(other, torchio.Subject)
    assert isinstance(other.mask, torchio.LabelMap)
    assert other.volume.spatial_shape == subject.volume.spatial_shape
    assert other.volume.spacing == subject.volume.spacing
    back = Subject.from_torchio(other)
    for name in ("volume", "density", "mask"):
        assert torch.equal(getattr(back, name).data, getattr(subject, name).data)
        np.testing.assert_array_equal(getattr(back, name).affine, getattr(subject, name).affine)
    assert torch.equal(back.fiducials, subject.fiducials)
    assert torch.equal(back.reorient, subject.reorient)
    assert (back.orientation, back.structures, back.patient) == ("PA", {1: "rib"}, "A")


def test_geometry_agrees_with_torchio():
    image, volume = torchio.ScalarImage(tensor=torch.from_numpy(HU)[None], affine=AFFINE), Volume(HU, AFFINE)
    assert volume.orientation == tuple(image.orientation)
    assert volume.spacing == pytest.approx(image.spacing)
    assert volume.get_center() == pytest.approx(image.get_center())
    np.testing.assert_allclose(np.sort(volume.get_bounds()), np.sort(image.get_bounds()))


def test_images_of_torchio_are_read():
    image = torchio.ScalarImage(tensor=torch.from_numpy(HU)[None], affine=AFFINE)
    labels = torchio.LabelMap(tensor=torch.from_numpy(LABELS)[None], affine=AFFINE)
    expected, subject = read(Volume(HU, AFFINE), LABELS), read(image, labels)
    assert torch.equal(subject.density.data, expected.density.data)
    assert torch.equal(subject.mask.data, expected.mask.data)


def test_resampling_agrees_with_torchio():
    image = torchio.ScalarImage(tensor=torch.from_numpy(HU.astype(np.float32))[None], affine=affine_of("RAS"))
    for spacing in ((0.6, 2.0, 1.7), 2.0):
        expected = torchio.Resample(spacing)(image)
        volume = read(image, resample_target=spacing, center_volume=False).volume
        assert volume.spatial_shape == expected.spatial_shape
        np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-6)
        torch.testing.assert_close(volume.data, expected.data, rtol=1e-4, atol=1e-2)


def test_a_torchio_subject_without_density_or_mask():
    image = torchio.ScalarImage(tensor=torch.from_numpy(HU)[None], affine=AFFINE)
    subject = Subject.from_torchio(torchio.Subject(volume=image))
    assert subject.mask is None
    assert subject.orientation == "AP"
    torch.testing.assert_close(subject.density.voxels, hu_to_density(torch.from_numpy(HU)))


def test_what_is_not_a_ct_in_torchio():
    two = torchio.ScalarImage(tensor=torch.zeros(2, 3, 3, 3))
    with pytest.raises(ValueError, match="one channel"):
        read(two)
    with pytest.raises(ValueError, match="named 'volume'"):
        Subject.from_torchio(torchio.Subject(ct=two))
