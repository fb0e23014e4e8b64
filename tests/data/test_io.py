"""Files of every format give the same volume, and broken ones a clear error."""

import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from image_files import LPS, affine_of, assert_same_image, rotated, save

from raygrad.data import read_volume

SHAPE = (4, 3, 5)
HU = np.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".mgz"])
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_formats_and_orientations_agree(tmp_path, suffix, orientation):
    affine = rotated(10) @ affine_of(orientation)
    volume = read_volume(save(tmp_path / f"ct{suffix}", HU, affine))
    assert_same_image(volume, HU, affine)
    assert volume.data.dtype == torch.int16


def test_simpleitk_agrees_on_a_nifti(tmp_path):
    affine = affine_of("LAS")
    path = save(tmp_path / "ct.nii.gz", HU, affine)
    image = sitk.ReadImage(str(path))
    point = image.TransformIndexToPhysicalPoint((1, 2, 3))
    volume = read_volume(path)
    x, y, z = np.rint(np.linalg.solve(volume.affine, LPS @ [*point, 1])[:3]).astype(int)
    assert volume.voxels[x, y, z] == image[1, 2, 3]


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [(1, -1024, torch.int16), (2, 0, torch.int16), (1, 40000, torch.int32), (0.5, 3, torch.float32)],
)
def test_rescaling_is_applied_in_the_least_type_that_holds_it(tmp_path, slope, intercept, dtype):
    image = nibabel.Nifti1Image(HU, np.eye(4))
    nibabel.save(image, tmp_path / "ct.nii")
    content = bytearray((tmp_path / "ct.nii").read_bytes())
    content[112:120] = struct.pack("<ff", slope, intercept)  # scl_slope, scl_inter
    (tmp_path / "ct.nii").write_bytes(content)
    volume = read_volume(tmp_path / "ct.nii")
    assert volume.data.dtype == dtype
    np.testing.assert_allclose(volume.voxels, HU.astype(float) * slope + intercept)


def test_float64_becomes_float32_and_units_become_mm(tmp_path):
    image = nibabel.Nifti1Image(HU.astype(np.float64), np.diag([1e-3, 2e-3, 3e-3, 1]))
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "ct.nii")
    volume = read_volume(str(tmp_path / "ct.nii"))
    assert volume.data.dtype == torch.float32
    np.testing.assert_allclose(volume.spacing, (1, 2, 3), rtol=1e-6)


def test_trailing_axes_of_one_are_dropped(tmp_path):
    assert read_volume(save(tmp_path / "ct.nii", HU[..., None], np.eye(4))).spatial_shape == SHAPE


def test_broken_files_are_named(tmp_path):
    def fails(path, words, error=ValueError):
        with pytest.raises(error, match=words) as raised:
            read_volume(path)
        assert str(path.name) in str(raised.value)

    fails(tmp_path / "nowhere.nii.gz", "no file or folder", FileNotFoundError)
    fails(save(tmp_path / "series.nii", np.zeros((2, 2, 2, 3), np.int16), np.eye(4)), "3D image")
    rgb = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    fails(save(tmp_path / "rgb.nii", rgb, np.eye(4)), "one real number")
    fails(save(tmp_path / "complex.nii", np.zeros((2, 2, 2), "c8"), np.eye(4)), "one real number")
    fails(save(tmp_path / "nan.nii", np.full((2, 2, 2), np.nan, "f4"), np.eye(4)), "8 that are NaN")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 2, 2, 3), "u1"), isVector=True), str(tmp_path / "rgb.nrrd"))
    fails(tmp_path / "rgb.nrrd", "RGB")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 2), "u1")), str(tmp_path / "flat.mha"))
    fails(tmp_path / "flat.mha", "3D image")

    good = save(tmp_path / "good.nii.gz", HU, np.eye(4)).read_bytes()
    for name, content in {
        "empty.nii.gz": b"",
        "cut.nii.gz": good[: len(good) // 2],
        "text.nii": b"not an image at all" * 40,
        "text.nii.gz": b"not gzip at all",
        "garbled.nii.gz": good[:40] + bytes(len(good) - 40),
        "text.nrrd": b"NRRD0004\nnonsense",
        "unknown.xyz": b"nonsense",
        "empty.mha": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        fails(tmp_path / name, "(?i)damaged")
    with pytest.raises(ValueError, match="folder of a DICOM series"):
        read_volume(tmp_path / "good.nii.gz", series_uid="1.2")


def test_a_singular_affine_is_named(tmp_path):
    image = nibabel.Nifti1Image(HU, None)
    image.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    nibabel.save(image, tmp_path / "ct.nii")
    with pytest.raises(ValueError, match="invertible"):
        read_volume(tmp_path / "ct.nii")


def test_the_checksum_of_a_compressed_file_is_compared(tmp_path):
    path = save(tmp_path / "ct.nii.gz", np.resize(HU, (40, 40, 40)), np.eye(4))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"ct\.nii\.gz.*damaged.*CRC"):
        read_volume(path)


def test_headers_that_end_the_process_are_refused(tmp_path):
    path = save(tmp_path / "ct.mha", HU, np.eye(4))
    path.write_bytes(path.read_bytes().replace(b"NDims = 3", b"NDims = -1"))
    with pytest.raises(ValueError, match=r"ct\.mha.*damaged.*NDims"):
        read_volume(path)
