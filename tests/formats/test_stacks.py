"""Stacks of images from every kind of file: their order, what the files say, and line integrals of intensities."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dicom_xrays import save_dicom
from radiographs import PIXELS, save_radiograph

from raygrad.formats import InputError, check_stack_path, estimate_air, read_stack, read_stack_mask, write_stack

IMAGES = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5) / 10


def save(path, pixels, spacing=None, origin=None):
    image = sitk.GetImageFromArray(pixels)
    if spacing is not None:
        image.SetSpacing(spacing)
    if origin is not None:
        image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", ["tif", "nrrd", "nii.gz", "mha"])
def test_folders_are_read_in_natural_order(tmp_path, suffix):
    for number, image in zip((1, 2, 10, 11), IMAGES, strict=True):
        save(tmp_path / f"view{number}.{suffix}", image, (0.5, 0.25))
    (tmp_path / "geometry.json").write_text("{}")
    (tmp_path / ".view3.png").write_text("hidden")
    stack = read_stack(tmp_path)
    np.testing.assert_array_equal(stack.images, IMAGES)
    assert stack.names == tuple(f"view{number}.{suffix}" for number in (1, 2, 10, 11))
    assert stack.frames.image_shape == (3, 5)
    assert stack.frames.spacing == (None if suffix == "tif" else pytest.approx((0.5, 0.25)))


@pytest.mark.parametrize("suffix", ["tif", "nrrd", "nii.gz", "mha"])
def test_files_with_all_views(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", IMAGES, (0.5, 0.25, 1), (-3.0, 4.0, 0.0))
    stack = read_stack(path, n_views=4)
    np.testing.assert_array_equal(stack.images, IMAGES)
    if suffix == "tif":
        assert stack.frames.spacing is stack.frames.origin is None
    else:
        assert stack.frames.spacing == pytest.approx((0.5, 0.25))
        assert stack.frames.origin == pytest.approx((-3.0, 4.0))
    single = read_stack(save(tmp_path / f"b.{suffix}", IMAGES[0]))
    np.testing.assert_array_equal(single.images, IMAGES[:1])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_frames_of_a_dicom_file(tmp_path, photometric):
    frames = np.stack([PIXELS, PIXELS + 7, PIXELS // 2]).astype("<u2")
    tags = {
        (0x28, 0x08): ("IS", "3"),
        (0x18, 0x1164): ("DS", "0.25\\0.5"),
        (0x28, 0x1040): ("CS", "LIN"),
        (0x28, 0x1041): ("SS", 1),
        (0x7FE0, 0x10): ("OW", frames.tobytes()),
    }
    stack = read_stack(save_radiograph(tmp_path / "a.dcm", tags, photometric), "line-integrals")
    np.testing.assert_array_equal(stack.images, frames)
    assert stack.frames.spacing == (0.5, 0.25)
    integrals = read_stack(tmp_path / "a.dcm", air=4000).images  # the file says that it holds intensities
    np.testing.assert_allclose(integrals, -np.log(frames / 4000), rtol=1e-4, atol=1e-5)


def test_what_headers_hide_comes_along(tmp_path):
    """Of all frames of a run alike, and of each file of a folder its own."""
    shutter = {"ShutterLeftVerticalEdge": 1, "ShutterRightVerticalEdge": 1}
    shutter |= {"ShutterShape": "RECTANGULAR", "ShutterUpperHorizontalEdge": 2, "ShutterLowerHorizontalEdge": 3}
    seen = np.array([[False, False], [True, False], [True, False]])
    run = save_dicom(tmp_path / "run.dcm", np.stack([PIXELS, PIXELS + 1]), **shutter)
    np.testing.assert_array_equal(read_stack(run).mask, [seen, seen])
    (tmp_path / "folder").mkdir()
    save_dicom(tmp_path / "folder" / "1.dcm", PIXELS)
    assert read_stack(tmp_path / "folder").mask is None
    save_dicom(tmp_path / "folder" / "2.dcm", PIXELS, **shutter)
    np.testing.assert_array_equal(read_stack(tmp_path / "folder").mask, [np.ones_like(seen), seen])


def test_masks_of_stacks(tmp_path):
    weights = np.array([[[0, 1, 255], [3, 0, 0]]], dtype=np.uint8)
    of_all = save(tmp_path / "all.tif", weights[0])
    np.testing.assert_array_equal(read_stack_mask(of_all, (4, 2, 3)), np.repeat(weights > 0, 4, axis=0))
    of_each = save(tmp_path / "each.nii.gz", np.concatenate([weights, weights[:, ::-1]]))
    np.testing.assert_array_equal(read_stack_mask(of_each, (2, 2, 3))[1], weights[0, ::-1] > 0)
    for shape in ((3, 2, 3), (2, 3, 2)):
        with pytest.raises(InputError, match=r"Expected a mask of . x . pixels.*each\.nii\.gz', with 2 of 3 x 2"):
            read_stack_mask(of_each, shape)


def test_arrays_of_numpy(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES.astype(np.float64))
    np.testing.assert_array_equal(read_stack(tmp_path / "a.npy").images, IMAGES)
    np.savez(tmp_path / "b.npz", images=IMAGES, spacing=[0.5, 0.25])
    stack = read_stack(tmp_path / "b.npz")
    np.testing.assert_array_equal(stack.images, IMAGES)
    assert stack.frames.spacing == (0.5, 0.25)
    np.savez(tmp_path / "c.npz", sinogram=IMAGES)
    np.testing.assert_array_equal(read_stack(tmp_path / "c.npz").images, IMAGES)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd", ".tif", ".npy"])
def test_stacks_are_read_as_they_were_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_stack(path, torch.from_numpy(IMAGES).permute(0, 2, 1).contiguous().permute(0, 2, 1), (0.5, 0.25))
    stack = read_stack(path)
    np.testing.assert_array_equal(stack.images, IMAGES)
    if suffix not in (".tif", ".npy"):
        assert stack.frames.origin == pytest.approx((-1.0, -0.25))
    with pytest.raises(InputError, match=r"ends in .*\.nii\.gz, .*\.tif, \.tiff"):
        write_stack(tmp_path / "a.png", stack.images, (1.0, 1.0))
    assert [path.name] == [file.name for file in tmp_path.iterdir()]


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_of_views(tmp_path, made):
    if made:
        (tmp_path / "views").mkdir()
    images = torch.rand(11, 3, 5)
    write_stack(str(tmp_path / "views"), images, (0.5, 0.25))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["views"]
    stack = read_stack(tmp_path / "views")
    assert stack.names[:2] == ("view01.tif", "view02.tif")
    torch.testing.assert_close(stack.images, images)
    with pytest.raises(InputError, match="not empty"):
        write_stack(tmp_path / "views", images, (0.5, 0.25))
    with pytest.raises(FileNotFoundError, match="no folder"):
        check_stack_path(tmp_path / "none" / "views")


def test_intensities_become_line_integrals(tmp_path):
    integrals = np.linspace(0, 4, 60).reshape(4, 3, 5)
    counts = np.round(50000 * np.exp(-integrals)).astype(np.uint16)
    cases = {"intensity": counts, "inverted-intensity": 65535 - counts}
    for values, pixels in cases.items():
        path = save(tmp_path / "a.mha", pixels)
        np.testing.assert_allclose(read_stack(path, values, air=50000).images, integrals, atol=2e-3)
        drifting = read_stack(path, values, air=[50000, 100000, 25000, 50000]).images
        np.testing.assert_allclose(drifting[1], integrals[1] + np.log(2), atol=2e-3)
        np.testing.assert_allclose(drifting[2], integrals[2] - np.log(2), atol=2e-3)  # and nothing is cut off at 0
    np.testing.assert_array_equal(read_stack(path, "display").images, cases["inverted-intensity"])
    turned_over = cases["inverted-intensity"].max() - cases["inverted-intensity"].astype(np.float32)
    np.testing.assert_array_equal(read_stack(path, "inverted-display").images, turned_over)
    dark = np.where(counts < 2000, 0, counts)
    assert read_stack(save(tmp_path / "a.mha", dark), "intensity", 50000).images.max() == pytest.approx(5 * np.log(10))


def test_air_is_estimated_without_its_noise(tmp_path):
    generator = torch.Generator().manual_seed(0)
    level = torch.full((8, 40, 50), 1000.0)
    level[:, :, 10:35] *= 0.1
    counts = torch.poisson(level, generator=generator)
    assert estimate_air(counts) == pytest.approx(1000, rel=0.01)
    np.save(tmp_path / "a.npy", counts.numpy())
    images = read_stack(tmp_path / "a.npy", "intensity").images
    assert images[:, :, :10].mean().item() == pytest.approx(0, abs=0.01)
    assert images[:, :, 10:35].mean().item() == pytest.approx(np.log(10), abs=0.02)


def test_mistakes_are_said_with_the_view(tmp_path):
    broken = IMAGES.copy()
    broken[2, 0, 0] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    negative = IMAGES.copy()
    negative[1, 0, 0] = -5
    np.save(tmp_path / "negative.npy", negative)
    empty = IMAGES.copy()
    empty[3] = 0
    np.save(tmp_path / "zero.npy", empty)
    np.save(tmp_path / "flat.npy", IMAGES[0, 0])
    np.save(tmp_path / "good.npy", IMAGES)
    (tmp_path / "text.npy").write_text("none")
    (tmp_path / "empty").mkdir()
    cases = [
        ("nan.npy", {}, "NaN or infinity in nan.npy, view 3"),
        ("negative.npy", {"values": "intensity"}, "Got -5 in negative.npy, view 2"),
        ("zero.npy", {"values": "intensity"}, "0 everywhere in zero.npy, view 4"),
        ("flat.npy", {}, "view, height, width"),
        ("text.npy", {}, "damaged"),
        ("none.npy", {}, "There is no"),
        ("none.mha", {}, "There is no"),
        ("empty", {}, "no images"),
        ("good.npy", {"n_views": 5}, "each of 5 views. Got 4"),
        ("good.npy", {"values": "photons"}, "values among .* Got 'photons'"),
        ("good.npy", {"values": "intensity", "air": 0.0}, "air"),
        ("good.npy", {"values": "intensity", "air": [1.0, 2.0]}, "each of 4"),
    ]
    for name, given, reason in cases:
        error = FileNotFoundError if name.startswith("none") else InputError
        with pytest.raises(error, match=reason):
            read_stack(tmp_path / name, **given)


def test_folders_of_images_that_differ_are_refused(tmp_path):
    save(tmp_path / "1.mha", IMAGES[0], (1.0, 1.0))
    save(tmp_path / "2.mha", IMAGES[1], (1.0, 2.0))
    with pytest.raises(InputError, match=r"spacing \(1.0, 1.0\). Got \(1.0, 2.0\) in view 2"):
        read_stack(tmp_path)
    save(tmp_path / "2.mha", IMAGES[1, 1:], (1.0, 1.0))
    with pytest.raises(InputError, match=r"5 x 3 pixels\. Got 5 x 2 in view 2"):
        read_stack(tmp_path)
    save(tmp_path / "3.tif", IMAGES[1])
    with pytest.raises(InputError, match="several kinds"):
        read_stack(tmp_path)
