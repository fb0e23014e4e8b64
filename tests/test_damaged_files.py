"""Damage that was found by `make fuzz`: each kind once, refused in words."""

import json
import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from dicom_files import write_enhanced
from dicom_xrays import save_dicom
from segmentation_files import write_rtstruct

from raygrad import formats
from raygrad._errors import InputError
from raygrad.data import Volume, read, read_volume, write_volume
from raygrad.geometry import Intrinsics
from raygrad.landscape import Landscape
from raygrad.pose import RigidTransform
from raygrad.reconstruction import Resumption

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
FRAMES = formats.Frames((5, 7), (4.0, 4.0))


def nrrd(path, field, value):
    """A NRRD one of whose fields is another."""
    write_volume(Volume(VOXELS, np.eye(4)), path)
    head, blank, rest = path.read_bytes().partition(b"\n\n")
    lines = [line for line in head.split(b"\n") if not line.startswith(field.split(b":")[0] + b":")]
    path.write_bytes(b"\n".join([*lines, field + value]) + blank + rest)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"kinds: ", b"domain domain dom" + b"m" * 2000),
        (b"kinds: ", b"domnds: " * 900),
        (b"space: ", b"left-poster" + b"t-poster" * 1000),
        (b"encoding:", b" " * 2000 + b"gzip"),
        (b"encod" + b"i" * 2000 + b"ng: ", b"gzip"),
    ],
)
def test_a_nrrd_whose_header_has_no_end_is_refused(tmp_path, field, value):
    """ITK would end the process."""
    nrrd(tmp_path / "a.nrrd", field, value)
    with pytest.raises(InputError, match=r"letters as|sizes|encoding"):
        formats.read_xray(tmp_path / "a.nrrd")
    with pytest.raises(ValueError, match="letters as"):
        read_volume(tmp_path / "a.nrrd")


def test_long_free_text_is_read(tmp_path):
    nrrd(tmp_path / "a.nrrd", b"content: ", b"a CT " * 1000)
    assert read_volume(tmp_path / "a.nrrd").spatial_shape == (3, 4, 5)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_hdf5_transform_is_refused(tmp_path, damage):
    """HDF5 would end the process: it is read by another one."""
    path = tmp_path / "a.h5"
    formats.write_transform(path, RigidTransform(torch.eye(4)[None]))
    torch.testing.assert_close(formats.read_transform(path).matrix, torch.eye(4, dtype=torch.float64)[None])
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[96:800] = b"\xff" * 704
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        formats.read_transform(path)


def test_texts_in_no_known_letters_are_refused(tmp_path):
    formats.write_transform(tmp_path / "a.tfm", RigidTransform(torch.eye(4)[None]))
    whole = (tmp_path / "a.tfm").read_bytes()
    (tmp_path / "a.tfm").write_bytes(whole.replace(b"AffineTransform", b"Affine\xd4ransform"))
    with pytest.raises(InputError, match="cannot be read"):
        formats.read_transform(tmp_path / "a.tfm")
    (tmp_path / "a.csv").write_bytes(b"view,xray\n1,\xf0\n")
    with pytest.raises(InputError, match=r"table in UTF-8|no known format|none of"):
        formats.read_geometry(tmp_path / "a.csv", FRAMES)


def test_arrays_that_are_damaged_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", VOXELS.astype(np.float32))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole.replace(b"}", b"("))
    with pytest.raises(InputError, match="damaged"):
        formats.read_stack(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(whole.replace(b"(3, 4, 5)", b"(3, 4, 5000000000)".ljust(9)))
    with pytest.raises(InputError, match="damaged"):
        formats.read_stack(tmp_path / "a.npy")
    np.save(tmp_path / "claims.npy", np.zeros((1, 1, 1), np.float32))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        claim = (tmp_path / "claims.npy").read_bytes()
        archive.writestr("images.npy", claim.replace(b"(1, 1, 1)", b"(9, 9, 9)"))
    with pytest.raises(InputError, match="damaged"):
        formats.read_stack(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="damaged"):
        Landscape.load(tmp_path / "b.npz")
    (tmp_path / "b.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="Expected a checkpoint"):
        Resumption.of(tmp_path / "b.pt")


DICOM = {
    "frames without end": ({"NumberOfFrames": 2_000_000_000}, "at most 10000000 frames"),
    "bits that are not there": ({"BitsStored": 9, "HighBit": 255}, "9 bits below bit 256 of 16"),
}


@pytest.mark.parametrize("damage", DICOM)
def test_dicom_headers_that_claim_too_much_are_refused(tmp_path, damage):
    header, words = DICOM[damage]
    save_dicom(tmp_path / "a.dcm", np.ones((3, 6, 5), np.uint16), "XA", ImagerPixelSpacing=[0.4, 0.4], **header)
    with pytest.raises(InputError, match=words):
        formats.read_xrays(tmp_path / "a.dcm", "all")


def test_more_bits_than_a_number_has_are_as_many_as_it_has(tmp_path):
    save_dicom(tmp_path / "a.dcm", np.ones((6, 5), np.uint16), "DX", ImagerPixelSpacing=[0.4, 0.4], BitsStored=32767)
    assert formats.read_xray(tmp_path / "a.dcm").pixels.shape == (6, 5)


def test_two_classes_of_one_file_are_none(tmp_path):
    path = write_enhanced(tmp_path / "a.dcm", np.ones((2, 4, 4), np.int16), [(0, 0, 0), (0, 0, 2.0)])
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = ["1.2.3", "1.2.4"]
    del dataset.Rows
    dataset.save_as(path)
    with pytest.raises(ValueError, match=r"Expected an image.*no SOP class|DICOM"):
        read_volume(path)


def test_structures_with_numbers_beyond_all_labels_are_refused(tmp_path):
    square = np.array([[5.0, 5, 26], [-5, 5, 26], [-5, -5, 26], [5, -5, 26]])
    path = write_rtstruct(tmp_path / "rt.dcm", {10**10: [square]}, {10**10: "box"})
    grid = Volume(
        np.zeros((12, 10, 8), np.int16), np.array([[2.0, 0, 0, -11], [0, 2.5, 0, -9], [0, 0, 3, 20], [0, 0, 0, 1]])
    )
    with pytest.raises(InputError, match="ROI numbers up to 2147483647"):
        read(grid, labelmap=path)


def test_geometry_that_no_number_can_hold_is_refused(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not JSON"):
        formats.read_poses(tmp_path / "deep.json")
    camera = np.array([[1000.0, 0, 3, 0], [0, 1000, 2, 0], [0, 0, 1, 900]])
    np.save(tmp_path / "same.npy", np.stack([camera, camera * 0]))
    with pytest.raises(InputError, match="matrix of no camera"):
        formats.read_geometry(tmp_path / "same.npy", FRAMES)
    view = formats.View(RigidTransform(torch.eye(4)[None]), Intrinsics(1020.0, 5, 7, 4.0, 4.0), "AP")
    formats.write_poses(tmp_path / "far.json", [view])
    content = json.loads((tmp_path / "far.json").read_text())
    content["views"][0]["pose"][0][3] = 1e308
    (tmp_path / "far.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"finite numbers, none over 1e\+09"):
        formats.read_poses(tmp_path / "far.json")


def test_a_nifti_in_a_unit_that_there_is_not_is_refused(tmp_path):
    write_volume(Volume(VOXELS, np.eye(4)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[123] = 72 & 7 | 6  # xyzt_units: a length that NIfTI does not know
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(ValueError, match="unit of length"):
        read_volume(tmp_path / "a.nii")


def test_itk_reads_what_is_not_damaged(tmp_path):
    """The same files, whole: what is refused above is refused for its damage."""
    image = sitk.GetImageFromArray(VOXELS)
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    assert formats.read_stack(tmp_path / "a.nrrd").images.shape == (3, 4, 5)
