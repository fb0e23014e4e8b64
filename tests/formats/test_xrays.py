"""X-ray images from files: pixels in their order, what headers say, and numbers that become line integrals."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from radiographs import PIXELS, save_radiograph

from raygrad.cli._parsing import parse_pose
from raygrad.cli._register_inputs import CAMERA_OPTIONS, Starts, prepare
from raygrad.formats import InputError, line_integrals, read_mask, read_xray
from raygrad.geometry import Intrinsics


def save(path, pixels, spacing=None):
    image = sitk.GetImageFromArray(pixels)
    if spacing is not None:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.uint16), ("a.tif", np.float32)]
    + [(f"a.{suffix}", np.float32) for suffix in ("nrrd", "mha", "nii.gz")],
)
def test_images_of_every_kind_are_read_row_by_row(tmp_path, name, dtype):
    pixels = np.arange(12, dtype=dtype).reshape(3, 4)
    found = read_xray(save(tmp_path / name, pixels, spacing=(0.5, 0.25)))
    np.testing.assert_array_equal(found.pixels, pixels)
    if name.endswith(("png", "tif")):
        assert found.spacing is None  # the resolution of a screen, usually
    else:
        assert found.spacing == pytest.approx((0.5, 0.25))


def test_grey_images_saved_in_colour_are_read_and_coloured_ones_refused(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for channels in (3, 4):
        image = sitk.GetImageFromArray(np.repeat(grey[..., None], channels, axis=-1), isVector=True)
        sitk.WriteImage(image, str(tmp_path / "a.png"))
        np.testing.assert_array_equal(read_xray(tmp_path / "a.png").pixels, grey)
    colours = np.stack([grey, grey, 2 * grey], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "a.png"))
    with pytest.raises(InputError, match="colour"):
        read_xray(tmp_path / "a.png")


def test_volumes_and_numbers_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="has 2 frames"):
        read_xray(save(tmp_path / "a.nii.gz", np.zeros((2, 3, 4), dtype=np.float32)))
    with pytest.raises(InputError, match="finite"):
        read_xray(save(tmp_path / "a.tif", np.full((3, 4), np.nan, dtype=np.float32)))
    with pytest.raises(InputError, match="everywhere"):
        line_integrals(read_xray(save(tmp_path / "b.tif", np.ones((3, 4), dtype=np.float32))))


DISTANCES = {(0x18, 0x1110): ("DS", "1015.5"), (0x18, 0x1111): ("DS", "720"), (0x28, 0x30): ("DS", "0.2\\0.4")}
LINEAR, LOGARITHMIC = {(0x28, 0x1040): ("CS", "LIN")}, {(0x28, 0x1040): ("CS", "LOG")}
MORE_IS_LESS, MORE_IS_MORE = {(0x28, 0x1041): ("SS", -1)}, {(0x28, 0x1041): ("SS", 1)}


def test_dicom_tells_distance_and_pixel_size_on_the_detector(tmp_path):
    found = read_xray(save_radiograph(tmp_path / "a.dcm", DISTANCES))
    assert found.spacing == (0.4, 0.2)  # the width of a pixel is the distance between columns, the second number
    assert (found.sdd, found.source_to_patient) == (1015.5, 720.0)
    found = read_xray(save_radiograph(tmp_path / "b.dcm", DISTANCES | {(0x18, 0x1164): ("DS", "0.25\\0.5")}))
    assert found.spacing == (0.5, 0.25)  # on the detector, where PixelSpacing may be in the patient

    (task,) = prepare([tmp_path / "b.dcm"], Starts(), dict.fromkeys(CAMERA_OPTIONS))
    assert task.view.intrinsics == Intrinsics(1015.5, 3, 2, 0.5, 0.25)
    torch.testing.assert_close(task.view.pose.matrix, parse_pose(None, "0,720,0", None).matrix)


@pytest.mark.parametrize("rescale", [{}, {(0x28, 0x1052): ("DS", "-7"), (0x28, 0x1053): ("DS", "2")}])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_pixels_are_those_stored(tmp_path, photometric, rescale):
    found = read_xray(save_radiograph(tmp_path / "a.dcm", rescale, photometric))
    np.testing.assert_array_equal(found.pixels, 2.0 * PIXELS - 7 if rescale else PIXELS)


@pytest.mark.parametrize(
    ("tags", "photometric", "values", "bone"),
    [
        ({}, "MONOCHROME2", "display", 4000),
        ({}, "MONOCHROME1", "display", 100),
        (LINEAR | MORE_IS_MORE, "MONOCHROME1", "intensity", 100),
        (LINEAR | MORE_IS_LESS, "MONOCHROME1", "inverted-intensity", 4000),
        (LINEAR | MORE_IS_LESS, "MONOCHROME2", "inverted-intensity", 4000),
        (LOGARITHMIC | MORE_IS_LESS, "MONOCHROME1", "line-integrals", 4000),
        (LOGARITHMIC | MORE_IS_MORE, "MONOCHROME1", "display", 100),
        (LOGARITHMIC | MORE_IS_MORE, "MONOCHROME2", "inverted-display", 100),
    ],
)
def test_dicom_tells_what_its_numbers_are(tmp_path, tags, photometric, values, bone):
    found = read_xray(save_radiograph(tmp_path / "a.dcm", tags, photometric))
    assert found.values == values
    assert PIXELS.flat[line_integrals(found).argmax()] == bone


def test_values_become_line_integrals(tmp_path):
    integrals = np.array([[0.0, 1.0], [2.0, 3.0]])
    intensity = np.round(60000 * np.exp(-integrals))
    cases = {
        "line-integrals": integrals.astype(np.float32),
        "display": integrals.astype(np.uint8) * 60,
        "inverted-display": (255 - 60 * integrals).astype(np.uint8),
        "intensity": intensity.astype(np.uint16),
        "inverted-intensity": (65535 - intensity).astype(np.uint16),
    }
    for values, pixels in cases.items():
        found = line_integrals(read_xray(save(tmp_path / "a.tif", pixels)), values)
        scale = 60 if "display" in values else 1
        np.testing.assert_allclose(found / scale, integrals, atol=1e-3)


def test_an_image_without_its_stack_in_numpy(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    xray = read_xray(tmp_path / "a.npy")
    np.testing.assert_array_equal(xray.pixels, [[0, 1, 2], [3, 4, 5]])
    assert xray.spacing is None
    np.save(tmp_path / "b.npy", np.zeros((2, 2, 3)))
    with pytest.raises(InputError, match="has 2 frames"):
        read_xray(tmp_path / "b.npy")


def test_masks_are_weights(tmp_path):
    path = save(tmp_path / "mask.png", np.array([[0, 51, 255]], dtype=np.uint8))
    np.testing.assert_allclose(read_mask(path, (1, 3)), [[0.0, 0.2, 1.0]])
    path = save(tmp_path / "mask.tif", np.array([[0, 0.5, 0.8]], dtype=np.float32))
    np.testing.assert_allclose(read_mask(path, (1, 3)), [[0.0, 0.5, 0.8]])
    with pytest.raises(InputError, match="0 everywhere"):
        read_mask(save(tmp_path / "mask.png", np.zeros((1, 3), dtype=np.uint8)), (1, 3))


@pytest.mark.parametrize(
    "change", [("NDims = 2", "NDims = 65536"), ("TransformMatrix = 1 0", "TransformMatrix = 1 1e308")]
)
def test_headers_that_lie_are_refused_before_itk_reads_them(tmp_path, change):
    """ITK ends or hangs the process."""
    path = tmp_path / "xray.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4), np.float32)), str(path))
    path.write_bytes(path.read_bytes().replace(*(text.encode() for text in change)))
    with pytest.raises(InputError, match=r"Cannot read '.*xray\.mha'\. It is damaged: (NDims|TransformMatrix) is"):
        read_xray(path)
