"""Slices of DICOM series by their own headers: numbers, places, and what is refused instead of read wrongly."""

import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dicom_files import write, write_enhanced, write_series
from image_files import assert_same_image
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless

from raygrad.data import HounsfieldWarning, read_volume

N, ROWS, COLUMNS, STEP = 6, 4, 5, 3.0
rng = np.random.default_rng(0)
STORED = rng.integers(0, 3000, (N, ROWS, COLUMNS)).astype(np.uint16)
POSITIONS = [(-10.0, 20.0, STEP * k) for k in range(N)]


def affine_lps(step=(0, 0, STEP)):
    affine = np.eye(4)
    affine[0, 0], affine[1, 1] = 1.5, 2.0
    affine[:3, 2], affine[:3, 3] = step, (-10.0, 20.0, 0.0)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def refused(folder, *words, **options):
    with pytest.raises(ValueError, match=folder.name) as raised:
        read_volume(folder, **options)
    for word in words:
        assert word in str(raised.value)


def change(path, **tags):
    dataset = dcmread(path)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    write(dataset, path)


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [
        ([1] * 6, [-1024, -1024, -2047, -2047, -1024, -2047], torch.int16),
        ([1] * 6, [0, -1024, -1024, -1024, -1024, -1024], torch.int16),
        ([1, 1, 20, 1, 1, 1], -1024, torch.int32),
        ([2, 0.25, 0.5, 0.25, 1, 1], -1024, torch.float32),
        ([1] * 6, [-1024, -1024.5, -1024, -1024, -1024, -1024], torch.float32),
        ([2.0**20] * 6, 0, torch.float32),
    ],
)
def test_every_slice_has_its_own_slope_and_intercept(tmp_path, slope, intercept, dtype):
    volume = read_volume(write_series(tmp_path / "ct", STORED, POSITIONS, slope=slope, intercept=intercept))
    true = STORED * np.reshape(slope, (-1, 1, 1)).astype(float) + np.reshape(intercept, (-1, 1, 1))
    assert volume.data.dtype == dtype
    assert_same_image(volume, true.T, affine_lps())


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint16, np.int32])
def test_stored_types_and_a_second_opinion(tmp_path, dtype):
    stored = rng.integers(0 if np.dtype(dtype).kind == "u" else -128, 128, STORED.shape).astype(dtype)
    folder = write_series(tmp_path / "ct", stored, POSITIONS)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(folder / f"{k}.dcm") for k in range(N)])
    array = sitk.GetArrayFromImage(reader.Execute())
    np.testing.assert_array_equal(array, stored.astype(int) - 1024)
    assert_same_image(read_volume(folder), array.T, affine_lps())


def test_compressed_slices(tmp_path):
    stored = rng.integers(-1000, 3000, (N, 40, 50)).astype(np.int16)
    folder = write_series(tmp_path / "ct", stored, POSITIONS, slope=[1, 2, 1, 1, 1, 1])
    for file in folder.iterdir():
        dataset = dcmread(file)
        dataset.compress(RLELossless)
        dataset.save_as(file)
    true = stored.astype(int) * np.reshape([1, 2, 1, 1, 1, 1], (-1, 1, 1)) - 1024
    assert_same_image(read_volume(folder), true.T, affine_lps())


def test_headers_that_say_nothing_of_place_or_number_change_nothing(tmp_path):
    true = (STORED.astype(int) - 1024).T
    tags = {"PhotometricInterpretation": "MONOCHROME1", "PatientPosition": "FFP", "SliceLocation": [9, 8, 7, 6, 5, 4]}
    assert_same_image(read_volume(write_series(tmp_path / "a", STORED, POSITIONS, **tags)), true, affine_lps())
    folder = write_series(tmp_path / "b", STORED, POSITIONS)
    (folder / "2.dcm").write_bytes((folder / "2.dcm").read_bytes()[132:])  # no preamble
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "blob").write_bytes(b"\x08\x00" * 400)
    assert_same_image(read_volume(folder), true, affine_lps())


def test_damaged_files_are_named(tmp_path):
    folder = write_series(tmp_path / "short", STORED, POSITIONS)
    content = (folder / "4.dcm").read_bytes()
    (folder / "4.dcm").write_bytes(content[:-8])
    refused(folder, "4.dcm", "damaged")
    (folder / "4.dcm").write_bytes(content[:300])
    refused(folder, "4.dcm", "damaged")


def test_orientations_that_are_none_are_refused(tmp_path):
    for name, cosines in {
        "long": (2, 0, 0, 0, 2, 0),
        "skew": (1, 0, 0, 0.6, 0.8, 0),
        "zero": (1, 0, 0, 0, 0, 0),
        "same": (1, 0, 0, 1, 0, 0),
    }.items():
        refused(write_series(tmp_path / name, STORED, POSITIONS, cosines=cosines), "perpendicular", "0.dcm")
    folder = write_series(tmp_path / "one", STORED, POSITIONS)
    change(folder / "3.dcm", ImageOrientationPatient=[1, 0, 0, 0, 0.98, 0.199])
    refused(folder, "one size and orientation", "3.dcm")


def test_tags_that_are_needed(tmp_path):
    for number, (keyword, value, word) in enumerate(
        [
            ("ImagePositionPatient", None, "position"),
            ("ImageOrientationPatient", None, "position"),
            ("PixelSpacing", [0, 0], "pixel spacing"),
            ("RescaleSlope", 0, "rescale slope"),
            ("ModalityLUTSequence", [Dataset()], "Modality LUT"),
        ]
    ):
        folder = write_series(tmp_path / str(number), STORED, POSITIONS)
        change(folder / "1.dcm", **{keyword: value})
        refused(folder, word, "1.dcm")


def test_units_of_a_ct_that_are_none_of_hounsfields_are_warned_of(tmp_path):
    for unit in ("HU", "HU_MOD", "US", "", None):
        read_volume(write_series(tmp_path / f"{unit}", STORED, POSITIONS, RescaleType=unit))
    other = write_series(tmp_path / "other", STORED, POSITIONS, RescaleType=["HU"] * (N - 1) + ["OD"])
    with pytest.warns(HounsfieldWarning, match=r"not Hounsfield units by its RescaleType \(OD\)"):
        volume = read_volume(other)
    assert_same_image(volume, (STORED.astype(int) - 1024).T, affine_lps())
    read_volume(write_series(tmp_path / "mr", STORED, POSITIONS, RescaleType="OD", Modality="MR"))


def test_numbers_that_are_none(tmp_path):
    for number, tag in enumerate((b"\x28\x00\x53\x10DS", b"\x28\x00\x30\x00DS")):  # slope, spacing
        folder = write_series(tmp_path / str(number), STORED, POSITIONS)
        content = (folder / "1.dcm").read_bytes()
        at = content.index(tag) + len(tag) + 2  # the length
        (folder / "1.dcm").write_bytes(content[:at] + b"?" + content[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's
            refused(folder, "1.dcm")
    folder = write_series(tmp_path / "empty", STORED, POSITIONS, slope=[1, None, 1, 1, 1, 1])
    assert_same_image(read_volume(folder), (STORED.astype(int) - 1024).T, affine_lps())


@pytest.mark.parametrize("at", range(N))
def test_a_slice_beside_the_others_is_named(tmp_path, at):
    tilted = np.array(POSITIONS) + np.arange(N)[:, None] * [0.0, 0.7, 0.0]
    assert_same_image(
        read_volume(write_series(tmp_path / "tilted", STORED, tilted)),
        (STORED.astype(int) - 1024).T,
        affine_lps((0, 0.7, STEP)),
    )
    tilted[at] += (0.3, 0, 0)
    refused(write_series(tmp_path / "beside", STORED, tilted), "along one line", f"{at}.dcm is 0.3 mm")


def test_steps_that_drift_are_refused(tmp_path):
    heights = [0, 3, 6, 9.3, 12.6, 15.9]  # steps 10 % apart at most, but a slice 0.36 mm off
    folder = write_series(tmp_path / "ct", STORED, [(0, 0, height) for height in heights])
    refused(folder, "evenly spaced", "resample_slices")


def test_uneven_slices_are_resampled_on_request(tmp_path):
    heights = np.array([0, 3, 6, 9, 15, 24.0])
    slope = np.array([2.0, -1.0, 5.0])
    ramp = (np.arange(COLUMNS) * slope[0])[None, None] + (np.arange(ROWS) * slope[1])[:, None]
    ramp = (ramp + (heights * slope[2])[:, None, None]).astype(np.int16)
    positions = [(-10, 20 + 0.1 * height, height) for height in heights]
    folder = write_series(tmp_path / "ct", ramp, positions, intercept=0)
    refused(folder, "3 mm apart", "4.dcm and 5.dcm are 9 mm", "Is one missing?", "--resample-slices")
    even = np.arange(0, 25, 3.0)
    expected = ramp[:1] + (even * slope[2])[:, None, None]
    volume = read_volume(folder, resample_slices=True)
    assert volume.data.dtype == torch.float32
    assert_same_image(volume, expected.T, affine_lps((0, 0.3, 3.0)))


def test_even_slices_are_not_resampled(tmp_path):
    folder = write_series(tmp_path / "ct", STORED, POSITIONS)
    assert read_volume(folder, resample_slices=True).data.dtype == torch.int16


def test_a_folder_with_several_series_lists_them(tmp_path):
    folder = write_series(tmp_path / "ct", STORED, POSITIONS)
    for k in range(2):
        (folder / f"scout{k}.dcm").write_bytes((folder / f"{k}.dcm").read_bytes())
        change(folder / f"scout{k}.dcm", SeriesInstanceUID="1.2.3", SeriesDescription="scout")
    refused(folder, "--series", "8: 6 slices of 5 x 4, CT, without description", "1.2.3: 2 slices of 5 x 4, CT, scout")
    assert read_volume(folder, series_uid="1.2.3").spatial_shape == (COLUMNS, ROWS, 2)


def test_frames_of_one_file_are_slices(tmp_path):
    order = rng.permutation(N)
    slope, intercept = [1, 2, 1, 1, 1, 1], [-1024, -1024, -1000, -1024, -1024, 0]
    path = write_enhanced(
        tmp_path / "ct" / "all.dcm",
        STORED[order],
        [POSITIONS[k] for k in order],
        slope=[slope[k] for k in order],
        intercept=[intercept[k] for k in order],
    )
    true = STORED * np.reshape(slope, (-1, 1, 1)) + np.reshape(intercept, (-1, 1, 1))
    for source in (path, path.parent):
        volume = read_volume(source)
        assert volume.data.dtype == torch.int16
        assert_same_image(volume, true.T, affine_lps())


def test_frames_of_several_files_are_one_series(tmp_path):
    for name, part in {"a": slice(0, 4), "b": slice(4, 6)}.items():
        write_enhanced(tmp_path / "ct" / f"{name}.dcm", STORED[part], POSITIONS[part])
    assert_same_image(read_volume(tmp_path / "ct"), (STORED.astype(int) - 1024).T, affine_lps())


def test_frames_that_are_no_volume_are_named(tmp_path):
    def enhanced(name, positions=POSITIONS, **values):
        return write_enhanced(tmp_path / name, STORED, positions, **values)

    refused(enhanced("gap.dcm", [(0, 0, z) for z in (0, 1, 2, 4, 5, 6)]), "frame 3", "frame 4", "Is one missing?")
    refused(enhanced("twice.dcm", [(0, 0, z) for z in (0, 1, 2, 2, 3, 4)]), "frame 3", "frame 4", "one slice per")
    turned = [(1, 0, 0, 0, 1, 0)] * 5 + [(1, 0, 0, 0, 0, 1)]
    refused(enhanced("turned.dcm", cosines=turned), "frame 6 of turned.dcm differs")
    refused(enhanced("zoomed.dcm", spacing=[(2.0, 1.5)] * 5 + [(2.0, 1.6)]), "frame 6 of zoomed.dcm differs")
    path = enhanced("few.dcm")
    change(path, PerFrameFunctionalGroupsSequence=dcmread(path).PerFrameFunctionalGroupsSequence[:5])
    refused(path, "6 frames but describes 5")
    change(path, PerFrameFunctionalGroupsSequence=[], SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3")
    refused(path, "says of none where it lies (Multi-frame Grayscale Word")
    one = write_enhanced(tmp_path / "one.dcm", STORED[:1], POSITIONS[:1])
    refused(one, "single DICOM slice")
    one.write_bytes(one.read_bytes()[132:])
    refused(one, "single DICOM slice")
