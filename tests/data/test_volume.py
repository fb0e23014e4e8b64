"""Volume: geometry, memory order, validation."""

import numpy as np
import pytest
import torch
from image_files import affine_of, rotated, x_contiguous

from raygrad.data import Volume

SHAPE = (4, 3, 2)
ALL_ORIENTATIONS = ["RAS", "LAS", "LPS", "SRA", "PIR", "ALS"]


def test_an_array_is_taken_as_it_lies_in_memory():
    array = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(SHAPE))
    volume = Volume(array, np.eye(4))
    array[1, 2, 1] = 99
    assert volume.data[0, 1, 2, 1] == 99  # the same memory
    assert volume.voxels.stride() == (1, 4, 12)
    assert volume.shape == (1, *SHAPE)
    assert volume.spatial_shape == SHAPE


def test_geometry_of_an_axis_aligned_volume():
    volume = Volume(torch.zeros(SHAPE), affine_of("LPS"))
    assert volume.orientation == ("L", "P", "S")
    assert volume.spacing == (0.5, 2.0, 3.0)
    assert volume.get_center() == (10 - 0.75, -20 - 2.0, 5 + 1.5)
    assert volume.get_bounds() == ((8.25, 10.25), (-25.0, -19.0), (3.5, 9.5))
    point = torch.tensor([1.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(volume.voxel_to_world @ point, torch.tensor([9.5, -24.0, 8.0, 1.0]).double())
    torch.testing.assert_close(volume.world_to_voxel @ volume.voxel_to_world @ point, point)


@pytest.mark.parametrize("orientation", ALL_ORIENTATIONS)
@pytest.mark.parametrize("degrees", [0, 25])
def test_canonical_order_keeps_every_voxel_where_it_is(orientation, degrees):
    affine = rotated(degrees) @ affine_of(orientation)
    volume = Volume(torch.arange(24).reshape(SHAPE), affine)
    canonical = volume.to_canonical()
    assert canonical.orientation == ("R", "A", "S")
    assert x_contiguous(canonical.data)
    for index in np.ndindex(*canonical.spatial_shape):
        world = canonical.affine @ [*index, 1]
        i, j, k = np.rint(np.linalg.solve(affine, world)[:3]).astype(int)
        assert canonical.voxels[index] == volume.voxels[i, j, k]
        np.testing.assert_allclose(affine @ [i, j, k, 1], world, atol=1e-9)


def test_canonical_order_copies_nothing_that_is_in_order():
    volume = Volume(np.zeros(SHAPE, order="F"), affine_of("RAS"))
    assert volume.to_canonical().data.data_ptr() == volume.data.data_ptr()


def test_grids_are_compared_by_place():
    volume = Volume(torch.zeros(SHAPE), affine_of("RAS"))
    nudge, shift = np.eye(4), np.eye(4)
    nudge[0, 3], shift[0, 3] = 1e-4, 0.1
    assert volume.moved(nudge).has_grid_of(volume)
    assert not volume.moved(shift).has_grid_of(volume)
    assert not Volume(torch.zeros(4, 3, 3), volume.affine).has_grid_of(volume)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.float32, np.bool_, ">i2", ">f4"]
)
def test_every_numeric_type_is_taken(dtype):
    array = np.array([0, 1], dtype=dtype).reshape(2, 1, 1)
    assert Volume(array, np.eye(4)).voxels.flatten().tolist() == [0, 1]


def test_a_read_only_or_reversed_array_is_copied():
    array = np.arange(24.0).reshape(SHAPE)[::-1]
    array.flags.writeable = False
    torch.testing.assert_close(Volume(array, np.eye(4)).voxels, torch.tensor(array.copy()))


@pytest.mark.parametrize(
    ("data", "affine", "error", "words"),
    [
        (torch.zeros(2, 2, 2, dtype=torch.complex64), np.eye(4), TypeError, "real"),
        (np.zeros((2, 2, 2), dtype="c8"), np.eye(4), TypeError, "real number"),
        (torch.zeros(4, 4), np.eye(4), ValueError, "3D volume"),
        (torch.zeros(2, 4, 4, 4), np.eye(4), ValueError, "3D volume"),
        (torch.zeros(0, 4, 4), np.eye(4), ValueError, "at least one voxel"),
        (torch.tensor([[[1.0, torch.nan, torch.inf]]]), np.eye(4), ValueError, "2 that are NaN"),
        (torch.zeros(2, 2, 2), np.eye(3), ValueError, "4x4"),
        (torch.zeros(2, 2, 2), np.zeros((4, 4)), ValueError, "last row"),
        (torch.zeros(2, 2, 2), np.diag([1.0, 0.0, 1.0, 1.0]), ValueError, "invertible"),
        (torch.zeros(2, 2, 2), np.diag([1.0, np.nan, 1.0, 1.0]), ValueError, "finite"),
    ],
)
def test_bad_input_is_named(data, affine, error, words):
    with pytest.raises(error, match=words):
        Volume(data, affine)


def test_a_large_sum_is_not_taken_for_infinite():
    assert Volume(torch.full((2, 2, 2), 3e38), np.eye(4)).data.max() > 1e38


def test_a_small_spacing_is_invertible():
    assert Volume(torch.zeros(2, 2, 2), np.diag([1e-3, 1e-3, 1e-3, 1.0])).spacing == (1e-3, 1e-3, 1e-3)
