"""DICOM series: geometry, rescaling, and what can be wrong with a folder."""

import locale

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from image_files import assert_same_image

from raygrad.data import read_volume

SHAPE = (5, 4, 6)
STORED = np.random.default_rng(0).integers(0, 3000, SHAPE).astype(np.uint16)
SPACING, STEP = (0.7, 0.9), 2.5
SERIES = "1.2.826.0.1.3680043.2.1125.1"


def write_series(
    folder, positions=None, uid=SERIES, slope="1", cosines=(1, 0, 0, 0, 1, 0), description="chest", **tags
):
    """A CT series of SHAPE, with the slices' positions (LPS) given, written by SimpleITK."""
    folder.mkdir(exist_ok=True)
    locale_before = locale.setlocale(locale.LC_ALL)
    positions = [(-10.0, 20.0, STEP * k) for k in range(SHAPE[2])] if positions is None else positions
    hu = hounsfield(float(slope)).astype(np.int16)  # the writer stores (hu - intercept) / slope
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, position in enumerate(positions):
        image = sitk.GetImageFromArray(hu[:, :, k].T[None])
        image.SetSpacing((*SPACING, STEP))
        values = {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"{uid}.{k + 1}",
            "0008|103e": description,
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.6f}" for value in cosines),
            "0028|1052": "-1024",
            "0028|1053": slope,
        }
        for tag, value in (values | tags).items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid[-3:]}-{(k * 7) % len(positions):03d}.dcm"))  # names not in order
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, locale_before)  # GDCM's writer leaves it at "C", where torch cannot read its files
    return folder


def hounsfield(slope=1.0):
    return STORED.astype(np.float64) * slope - 1024


def affine_lps(step=(0, 0, STEP)):
    affine = np.eye(4)
    affine[0, 0], affine[1, 1] = SPACING
    affine[:3, 2], affine[:3, 3] = step, (-10.0, 20.0, 0.0)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def test_a_series_is_read_in_hounsfield_units(tmp_path):
    folder = write_series(tmp_path / "ct")
    (folder / "notes.txt").write_text("not a slice")
    volume = read_volume(folder)
    assert_same_image(volume, hounsfield(), affine_lps())
    assert volume.data.dtype in (torch.int16, torch.int32)
    np.testing.assert_allclose(volume.spacing, (*SPACING, STEP), rtol=1e-6)


def test_a_fractional_slope_gives_float32(tmp_path):
    folder = write_series(tmp_path / "ct")
    for file in folder.iterdir():  # the writer takes whole slopes only
        content = file.read_bytes()
        slope = b"\x28\x00\x53\x10\x02\x00\x00\x00"  # (0028,1053), two bytes long
        assert content.count(slope + b"1 ") == 1
        file.write_bytes(content.replace(slope + b"1 ", slope + b".5"))
    volume = read_volume(folder)
    assert volume.data.dtype == torch.float32
    assert_same_image(volume, hounsfield(0.5), affine_lps())


def test_a_tilted_gantry_gives_its_sheared_affine(tmp_path):
    step = np.array([0.0, 0.8, STEP])
    volume = read_volume(write_series(tmp_path / "ct", positions=[(-10, 20, 0) + k * step for k in range(SHAPE[2])]))
    assert_same_image(volume, hounsfield(), affine_lps(step))


def test_descending_slices_are_put_in_order(tmp_path):
    positions = [(-10.0, 20.0, -STEP * k) for k in range(SHAPE[2])]
    volume = read_volume(write_series(tmp_path / "ct", positions=positions))
    assert_same_image(volume, hounsfield(), affine_lps((0, 0, -STEP)))


def test_of_several_series_one_is_to_be_chosen(tmp_path):
    folder = write_series(tmp_path / "ct")
    write_series(folder, uid=SERIES + ".222", description="lung window", slope="2")
    with pytest.raises(ValueError, match=r"(?s)Several series.*\.222: 6.*lung window.*\.1: 6 .*chest"):
        read_volume(folder)
    uid = next(line.split(":")[0].strip() for line in message_of(folder).splitlines() if "lung window" in line)
    assert_same_image(read_volume(folder, series_uid=uid), hounsfield(2), affine_lps())
    with pytest.raises(ValueError, match=r"no series 9\.9"):
        read_volume(folder, series_uid="9.9")


def message_of(folder):
    with pytest.raises(ValueError, match=str(folder)) as raised:
        read_volume(folder)
    return str(raised.value)


def test_missing_and_uneven_slices(tmp_path):
    heights = np.array([0, 1, 2, 4, 5, 6]) * STEP
    folder = write_series(tmp_path / "gap", positions=[(-10, 20, height) for height in heights])
    assert "Is one missing?" in message_of(folder)
    heights = np.arange(6) * STEP + [0, 0, 0.05, 0, 0, 0]
    folder = write_series(tmp_path / "uneven", positions=[(-10, 20, height) for height in heights])
    with pytest.warns(UserWarning, match="not evenly spaced"):
        assert read_volume(folder).spacing[2] == pytest.approx(STEP)
    folder = write_series(tmp_path / "twice", positions=[(-10, 20, height) for height in [0, 1, 1, 2, 3, 4]])
    assert "one slice per position" in message_of(folder)


def test_folders_without_a_usable_series(tmp_path):
    (tmp_path / "inner").mkdir()
    assert "subfolders are ['inner']" in message_of(tmp_path)
    folder = write_series(tmp_path / "one", positions=[(0, 0, 0)])
    assert "several slices" in message_of(folder)
    with pytest.raises(ValueError, match="single DICOM slice"):
        read_volume(next(folder.glob("*.dcm")))


def test_slices_that_differ_are_named(tmp_path):
    folder = write_series(tmp_path / "ct")
    other = write_series(tmp_path / "other", positions=[(0, 0, 40)], cosines=(0, 1, 0, 0, 0, -1))
    (folder / "localizer.dcm").write_bytes(next(other.glob("*.dcm")).read_bytes())
    assert "one size and orientation" in message_of(folder)
