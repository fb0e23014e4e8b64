"""The density and the world geometry of DiffDRR 0.6.1, where it is installed."""

import nibabel
import numpy as np
import pytest
import torch
from image_files import affine_of
from other_projects import import_peer

from raygrad.data import read, transform_hu_to_density

pytestmark = pytest.mark.peers
diffdrr_data = import_peer("diffdrr.data")

SHAPE = (12, 11, 10)
rng = np.random.default_rng(3)
HU = rng.integers(-1024, 2000, SHAPE).astype(np.int16)
LABELS = rng.integers(0, 4, SHAPE).astype(np.uint8)


@pytest.mark.parametrize("multiplier", [1.0, 0.2, 3.0])
def test_density(multiplier):
    hu = torch.from_numpy(HU)
    assert torch.equal(
        transform_hu_to_density(hu, multiplier), diffdrr_data.transform_hu_to_density(hu.clone(), multiplier)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{}, {"labels": [1, 2]}, {"orientation": "PA", "center_volume": False}])
def test_read(tmp_path, options):
    affine = affine_of("LAS")
    for name, array in (("ct", HU), ("mask", LABELS)):
        nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / f"{name}.nii.gz")
    paths = tmp_path / "ct.nii.gz", tmp_path / "mask.nii.gz"
    fiducials = torch.rand(1, 4, 3)
    theirs = diffdrr_data.read(*paths, fiducials=fiducials.clone(), **options)
    ours = read(*paths, fiducials=fiducials, **options)
    for name in ("density", "mask", "volume"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        torch.testing.assert_close(mine.data.flip(1), other.data, check_dtype=False)  # LAS there, RAS here
        x_flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        x_flip[0, 3] = SHAPE[0] - 1
        np.testing.assert_allclose(mine.affine @ x_flip, other.affine, atol=1e-5)
    torch.testing.assert_close(ours.fiducials, theirs.fiducials, rtol=1e-4, atol=1e-4)
    assert torch.equal(ours.reorient, theirs.reorient)
