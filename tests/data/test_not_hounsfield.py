"""CTs whose numbers are no Hounsfield units are warned of, and no others."""

import warnings

import numpy as np
import pytest
from real_files import real_data

from raygrad.data import HounsfieldWarning, Volume, load_example_ct, read, read_volume

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
N = 48
FROM_AXIS = np.hypot(*np.meshgrid(*[(np.arange(N) - (N - 1) / 2) * 4] * 2, indexing="ij"))[..., None]
FROM_AXIS = np.broadcast_to(FROM_AXIS, (N, N, N))


def body(air=-1000):
    """Fat, muscle with its noise, and bone, in air."""
    rng = np.random.default_rng(0)
    hu = np.full((N, N, N), float(air))
    hu[FROM_AXIS < 80] = -90
    hu[FROM_AXIS < 70] = 40
    hu[FROM_AXIS < 15] = 700
    return (hu + rng.normal(0, 10, hu.shape)).round().astype(np.int16)


@pytest.mark.parametrize("offset", [1000, 1024])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("options", [{}, {"density": "attenuation", "energy_kev": 60}])
def test_raw_numbers(offset, dtype, options):
    raw = (body() + offset).clip(0).astype(dtype)
    with pytest.warns(HounsfieldWarning, match=r"subtract 1000 or 1024"):
        read(Volume(raw, AFFINE), **options)
    right = as_hounsfield(raw, offset)
    read(right, **options)
    read(Volume(raw, AFFINE), density=lambda values: values.float())  # who says what the numbers are, knows


def as_hounsfield(raw, offset):
    volume = Volume(raw, AFFINE)
    return Volume(volume.data - offset, volume.affine)


def test_zeros_around_the_field_of_view():
    hu = body()
    hu[FROM_AXIS > 90] = 0
    with pytest.warns(HounsfieldWarning, match="water in Hounsfield units"):
        read(Volume(hu, AFFINE))
    for padding in (-1000, -1024, -2000, -3024):
        hu[FROM_AXIS > 90] = padding
        read(Volume(hu, AFFINE))


def test_what_is_no_ct_of_a_body_is_not_warned_of():
    rng = np.random.default_rng(1)
    block = np.zeros((N, N, N))
    block[10:30, 10:30, 10:30] = 1000
    for values in (
        block,
        block - 1000,
        block / 1000,
        rng.uniform(0, 1, block.shape),
        rng.uniform(0, 2000, block.shape),
        rng.uniform(-1000, 1000, block.shape),
        body()[20:28, 20:28, 20:28],
        np.zeros((4, 4, 4)),
        np.ones((1, 1, 1)),
    ):
        read(Volume(values, AFFINE))
    read(load_example_ct(shape=(48, 48, 32)).volume)


def test_real_cts():
    for folder, file in (("chest", "cxr.nii.gz"), ("ct_slicer", "CTChest4.nrrd")):
        volume = read_volume(real_data(folder) / file)
        read(volume)
        with pytest.warns(HounsfieldWarning, match="rescaling"):
            read(Volume((volume.data.int() + 1024).clamp(min=0), volume.affine))
        x, y = (np.linspace(-1, 1, count) for count in volume.spatial_shape[:2])
        outside = np.hypot(*np.meshgrid(x, y, indexing="ij")) > 1
        volume.voxels[outside] = 0
        with pytest.warns(HounsfieldWarning, match="around its field of view"):
            read(volume)
        with warnings.catch_warnings():
            volume.voxels[outside] = -3024
            read(volume)
