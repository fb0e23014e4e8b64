"""`read`: what a Subject holds after labels, resampling, transforms and centring."""

import math

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from image_files import affine_of, as_sitk, rotated, save, x_contiguous

from raygrad.data import Subject, Volume, hu_to_attenuation, hu_to_density, read
from raygrad.pose import convert

SHAPE = (6, 5, 4)
rng = np.random.default_rng(1)
HU = rng.integers(-1000, 1500, SHAPE).astype(np.int16)
LABELS = rng.integers(0, 4, SHAPE).astype(np.uint8)
AFFINE = affine_of("LPS")


def ct():
    return Volume(HU, AFFINE)


def matrix_of_turn():
    return convert(torch.tensor([[0.3, -0.2, 0.5]]), torch.tensor([[5.0, 6.0, 7.0]]), parameterization="axis_angle")


def world_of(volume, index):
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


def value_at(volume, world):
    index = np.linalg.solve(volume.affine, [*world, 1])[:3]
    np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
    return volume.voxels[tuple(np.rint(index).astype(int))].item()


def test_the_parts_of_a_subject():
    subject = read(ct(), LABELS, structures={1: "rib"}, patient="A")
    assert subject.volume.orientation == ("R", "A", "S")
    assert subject.volume.get_center() == pytest.approx((0, 0, 0), abs=1e-12)
    assert subject.density.data.dtype == torch.float32
    assert subject.mask.data.dtype == torch.uint8
    for image in (subject.volume, subject.density, subject.mask):
        assert x_contiguous(image.data)
        np.testing.assert_array_equal(image.affine, subject.volume.affine)
    torch.testing.assert_close(subject.density.data, hu_to_density(subject.volume.data))
    assert subject.structures == {1: "rib"}
    assert subject.patient == "A"
    assert subject.fiducials is None
    np.testing.assert_array_equal(subject.volume.voxels.flip(0, 1).numpy(), HU)
    np.testing.assert_array_equal(subject.mask.voxels.flip(0, 1).numpy(), LABELS)


def test_every_kind_of_source_gives_the_same_subject(tmp_path):
    expected = read(ct(), LABELS)
    path, label_path = save(tmp_path / "ct.nii.gz", HU, AFFINE), save(tmp_path / "labels.nrrd", LABELS, AFFINE)
    pairs = [
        (path, label_path),
        (str(path), str(label_path)),
        (nibabel.load(path), sitk.ReadImage(str(label_path))),
        (as_sitk(HU, AFFINE), Volume(LABELS, AFFINE)),
    ]
    for volume, labelmap in pairs:
        subject = read(volume, labelmap)
        torch.testing.assert_close(subject.density.data, expected.density.data)
        assert torch.equal(subject.mask.data, expected.mask.data)
        np.testing.assert_allclose(subject.volume.affine, expected.volume.affine, atol=1e-5)
    for array in (HU, torch.from_numpy(HU)):
        assert torch.equal(read(array, LABELS, affine=AFFINE).mask.data, expected.mask.data)


@pytest.mark.parametrize(("orientation", "axis"), [("AP", (0, -1, 0)), ("PA", (0, 1, 0)), (None, (0, 0, 1))])
def test_reorient_turns_the_cameras_axis(orientation, axis):
    subject = read(ct(), orientation=orientation)
    assert subject.reorient.dtype == torch.float32
    assert subject.reorient.shape == (4, 4)
    assert (subject.reorient @ torch.tensor([0.0, 0.0, 1.0, 0.0])).tolist() == [*axis, 0]
    assert subject.orientation == orientation


def test_the_world_stays_as_the_file_says_without_centring():
    volume = read(ct(), center_volume=False).volume
    for index in np.ndindex(*SHAPE):
        assert value_at(volume, world_of(ct(), np.array(index))) == HU[index]


def test_fiducials_and_mask_move_with_the_volume():
    index = np.array([1, 3, 2])
    point = torch.tensor(world_of(ct(), index))
    for transform in (None, matrix_of_turn(), matrix_of_turn().matrix[0]):
        for center in (True, False):
            subject = read(ct(), LABELS, fiducials=point[None], transform=transform, center_volume=center)
            assert subject.fiducials.shape == (1, 1, 3)
            moved = subject.fiducials[0, 0].numpy()
            assert value_at(subject.volume, moved) == HU[1, 3, 2]
            assert value_at(subject.mask, moved) == LABELS[1, 3, 2]
            np.testing.assert_allclose(
                subject.file_to_world @ ct().to_canonical().affine, subject.volume.affine, atol=1e-9
            )
            centered = np.allclose(subject.volume.get_center(), 0)
            assert centered == center
    torch.testing.assert_close(subject.fiducials.float()[0], matrix_of_turn()(point.float()[None, None])[0])
    assert read(ct(), fiducials=torch.zeros(2, 7, 3)).fiducials.shape == (2, 7, 3)


def test_labels_keep_only_their_structures():
    subject = read(ct(), LABELS, labels=[1, 3])
    whole = read(ct(), LABELS)
    kept = (whole.mask.data == 1) | (whole.mask.data == 3)
    for name in ("volume", "density", "mask"):
        assert torch.equal(getattr(subject, name).data, getattr(whole, name).data * kept)
        assert x_contiguous(getattr(subject, name).data)
    one = read(ct(), LABELS, labels=2)
    assert set(one.mask.data.unique().tolist()) == {0, 2}


def test_absent_labels():
    with pytest.raises(ValueError, match=r"out of \[0, 1, 2, 3\]. Got \[9\]"):
        read(ct(), LABELS, labels=9)
    with pytest.warns(UserWarning, match=r"no voxel of the labels \[9\]"):
        read(ct(), LABELS, labels=[1, 9])
    with pytest.raises(ValueError, match="labelmap together with labels"):
        read(ct(), labels=1)


def test_a_labelmap_on_another_grid_is_brought_to_the_cts():
    fine = np.kron(LABELS, np.ones((2, 2, 2), np.uint8))  # the same blocks, each of eight voxels
    halves = np.diag([0.5, 0.5, 0.5, 1.0])
    halves[:3, 3] = -0.25
    expected = read(ct(), LABELS).mask
    turned = Volume(fine, AFFINE @ halves)
    mask = read(ct(), turned).mask
    assert torch.equal(mask.data, expected.data)
    assert mask.data.dtype == torch.uint8
    assert x_contiguous(mask.data)

    aside = np.eye(4)
    aside[0, 3] = 0.2  # mm, of voxels of 0.5 mm: the nearest label stays the same, a mean of two labels would not
    mask = read(ct(), Volume(LABELS, AFFINE).moved(aside)).mask
    assert torch.equal(mask.data, expected.data)

    part = Volume(LABELS[2:5], AFFINE @ np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    inside = torch.from_numpy(LABELS.copy())
    inside[:2], inside[5:] = 0, 0
    assert torch.equal(read(ct(), part).mask.voxels.flip(0, 1), inside)

    away = np.eye(4)
    away[0, 3] = 1000
    with pytest.raises(ValueError, match="overlaps"):
        read(ct(), turned.moved(away))


def test_labels_are_whole_numbers():
    assert read(ct(), LABELS.astype(np.float32)).mask.data.dtype == torch.uint8
    many = LABELS.astype(np.int32) * 300
    mask = read(ct(), many).mask.data
    assert mask.dtype == torch.int16
    assert mask.max() == 900
    with pytest.raises(ValueError, match="whole numbers"):
        read(ct(), LABELS + 0.5)
    with pytest.raises(ValueError, match="labels from 0"):
        read(ct(), LABELS.astype(np.int16) - 1)
    with pytest.raises(ValueError, match="volume's shape"):
        read(ct(), LABELS[1:])


def linear_ct(shape=(8, 9, 10), orientation="RAS", degrees=0):
    """HU that are an affine function of the world, which trilinear interpolation reproduces."""
    affine = rotated(degrees) @ affine_of(orientation, spacing=(1.0, 2.0, 1.5))
    indices = np.stack(np.indices(shape), -1).astype(np.float64)
    world = indices @ affine[:3, :3].T + affine[:3, 3]
    return Volume((world @ [1.0, -2.0, 3.0]).astype(np.float32), affine)


@pytest.mark.parametrize("degrees", [0, 20])
def test_resampling_to_a_spacing(degrees):
    volume = linear_ct(degrees=degrees)
    subject = read(volume, np.zeros(volume.spatial_shape, np.uint8), resample_target=(0.8, 3, 1.5), center_volume=False)
    assert subject.volume.spacing == pytest.approx((0.8, 3.0, 1.5))
    assert subject.volume.spatial_shape == (10, 6, 10)
    assert subject.volume.get_center() == pytest.approx(volume.get_center())
    assert subject.mask.spatial_shape == subject.density.spatial_shape == (10, 6, 10)
    for index in [(1, 1, 1), (4, 2, 7), (8, 4, 8)]:
        expected = world_of(subject.volume, np.array(index)) @ [1.0, -2.0, 3.0]
        assert subject.volume.voxels[index] == pytest.approx(expected, abs=1e-3)
    assert x_contiguous(subject.density.data)
    assert read(volume, resample_target=2).volume.spacing == pytest.approx((2, 2, 2))


def test_resampling_to_a_reference(tmp_path):
    volume = linear_ct()
    reference = Volume(torch.zeros(3, 4, 2), volume.affine @ np.diag([1.5, 1.5, 1.5, 1.0]))
    path = save(tmp_path / "reference.nii", np.zeros((3, 4, 2), np.float32), reference.affine)
    for target in (reference, path, str(path)):
        subject = read(volume, resample_target=target, center_volume=False)
        assert subject.volume.has_grid_of(reference)
        expected = world_of(reference, np.array([2, 2, 1])) @ [1.0, -2.0, 3.0]
        assert subject.volume.voxels[2, 2, 1] == pytest.approx(expected, abs=1e-3)
        assert subject.volume.spatial_shape == subject.density.spatial_shape
    assert np.allclose(read(volume, resample_target=reference).volume.get_center(), 0)
    beyond = np.eye(4)
    beyond[0, 3] = 6.0
    subject = read(volume, resample_target=reference.moved(beyond))
    assert subject.volume.voxels[2, 0, 0] == volume.data.min()
    assert subject.density.voxels[2, 0, 0] == 0


@pytest.mark.parametrize("spacing", [0, -1.0, (1, 2), (1, 2, math.nan)])
def test_a_bad_spacing_is_named(spacing):
    with pytest.raises(ValueError, match="positive lengths"):
        read(ct(), resample_target=spacing)


def test_other_densities():
    attenuation = read(ct(), density="attenuation", energy_kev=60)
    torch.testing.assert_close(attenuation.density.data, hu_to_attenuation(attenuation.volume.data, 60.0))
    own = read(ct(), density=lambda hu: hu.float() + 1024)
    torch.testing.assert_close(own.density.data, own.volume.data.float() + 1024)
    doubled = read(ct(), bone_attenuation_multiplier=2)
    torch.testing.assert_close(doubled.density.data, hu_to_density(doubled.volume.data, 2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"density": "attenuation"}, "Expected energy_kev, the photon"),
        ({"energy_kev": 60}, "energy_kev only"),
        ({"density": "attenuation", "energy_kev": 60, "bone_attenuation_multiplier": 2}, "multiplier only"),
        ({"density": "water"}, "'diffdrr', 'attenuation' or a function"),
        ({"density": lambda hu: hu[1:].float()}, "density on the grid"),
        ({"orientation": "LAT"}, "'AP', 'PA' or None"),
        ({"affine": np.eye(4)}, "affine` only"),
        ({"series_uid": "1.2"}, "series_uid` only"),
        ({"fiducials": torch.zeros(3, 2)}, "fiducials of shape"),
        ({"fiducials": torch.full((1, 3), torch.nan)}, "finite fiducials"),
        ({"transform": np.eye(3)}, "single transform"),
        ({"transform": np.zeros((4, 4))}, "last row"),
        ({"to_torchio": 1}, "other names"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        read(ct(), **arguments)


def test_what_is_no_image_is_named():
    with pytest.raises(TypeError, match="Got int"):
        read(3)
    with pytest.raises(ValueError, match="Expected `affine`"):
        read(HU)


def test_a_subject_from_arrays_alone():
    subject = Subject(Volume(HU, np.eye(4)), mask=LABELS, fiducials=np.zeros((2, 3)))
    assert subject.density.shape == (1, *SHAPE)
    assert subject.mask.shape == (1, *SHAPE)
    assert subject.fiducials.shape == (1, 2, 3)
    assert subject.orientation == "AP"
    assert "density, mask" in repr(subject)
    with pytest.raises(ValueError, match="mask on the grid"):
        Subject(Volume(HU, np.eye(4)), mask=LABELS[1:])
    with pytest.raises(TypeError, match="integer labels"):
        Subject(Volume(HU, np.eye(4)), mask=LABELS.astype(np.float32))
    with pytest.raises(TypeError, match="floating point"):
        Subject(Volume(HU, np.eye(4)), density=HU)
