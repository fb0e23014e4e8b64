"""PNG, TIFF and arrays as X-rays: every type of number, tiled, turned, transparent, packed; or refused, and why."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image
from real_files import real_data

from raygrad.formats import IMAGES, TIFF, InputError, read_stack, read_xray

RAMP = np.arange(12 * 20).reshape(12, 20) * 200 + 7
TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")


def write_tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, **({"photometric": "minisblack"} | options))
    return path


def as_type(dtype):
    return (RAMP % 120 if dtype in ("u1", "i1") else RAMP // 2 if dtype == "i2" else RAMP).astype(dtype)


@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("dtype", TYPES)
def test_tiff_of_every_type(tmp_path, dtype, byteorder, tile):
    pixels = as_type(dtype)
    found = read_xray(write_tiff(tmp_path / "a.tif", pixels, byteorder=byteorder, tile=tile))
    np.testing.assert_array_equal(found.pixels, pixels.astype(np.float32))
    assert found.full_scale == (None if dtype[0] == "f" else float(np.iinfo(dtype).max))


@pytest.mark.parametrize("dtype", TYPES)
def test_arrays_of_every_type(tmp_path, dtype):
    np.save(tmp_path / "a.npy", as_type(dtype))
    np.testing.assert_array_equal(read_xray(tmp_path / "a.npy").pixels, as_type(dtype).astype(np.float32))
    np.savez_compressed(tmp_path / "a.npz", as_type(dtype).astype(np.dtype(dtype).newbyteorder(">")))
    np.testing.assert_array_equal(read_xray(tmp_path / "a.npz").pixels, as_type(dtype).astype(np.float32))


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("dtype", [dtype for dtype in TYPES if dtype != "f2"])
def test_images_with_a_spacing_of_every_type(tmp_path, dtype, suffix):
    sitk.WriteImage(sitk.GetImageFromArray(as_type(dtype)), str(tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(read_xray(tmp_path / f"a.{suffix}").pixels, as_type(dtype).astype(np.float32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_what_viewers_show(tmp_path, orientation):
    pixels = RAMP.astype(np.uint16)
    for compression in ("tiff_lzw", None):
        path = tmp_path / f"{compression}.tif"
        Image.fromarray(pixels).save(path, compression=compression, tiffinfo={274: orientation})
    shown = np.asarray(
        Image.open(tmp_path / "tiff_lzw.tif")
    )  # turned by Pillow, which forgets it where it maps the file
    assert shown.shape == ((12, 20) if orientation < 5 else (20, 12))
    for compression in ("tiff_lzw", None):
        np.testing.assert_array_equal(read_xray(tmp_path / f"{compression}.tif").pixels, shown)


@pytest.mark.parametrize("bits", [4, 10, 12, 14])
def test_packed_bits(tmp_path, bits):
    pixels = RAMP[:, :19] % 2**bits  # rows that end within a byte
    path = write_packed(tmp_path / "a.tif", pixels, bits)
    found = read_xray(path)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.full_scale == 2**bits - 1
    if bits == 12:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)


def write_packed(path, pixels, bits):
    """A TIFF byte by byte: one strip of numbers without gaps, each row from a new byte on."""
    digits = (pixels[..., None] >> np.arange(bits)[::-1]) & 1
    strip = np.packbits(digits.reshape(len(pixels), -1).astype(np.uint8), axis=1).tobytes()
    rows, columns = pixels.shape
    tags = {256: columns, 257: rows, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: rows, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + directory)
    return path


def test_transparent_pixels_do_not_count(tmp_path):
    grey = RAMP.astype(np.uint16)
    alpha = np.where(RAMP > 2000, 65535, 0).astype(np.uint16)
    both = np.stack([grey, alpha], axis=-1)
    for planar, pixels in (("contig", both), ("separate", np.moveaxis(both, -1, 0))):
        path = write_tiff(tmp_path / "a.tif", pixels, extrasamples=["unassalpha"], planarconfig=planar)
        found = read_xray(path)
        np.testing.assert_array_equal(found.pixels, grey)
        np.testing.assert_array_equal(found.mask, RAMP > 2000)
    for dtype, shift in ((np.uint16, 0), (np.uint8, 8)):
        narrow = (both >> shift).astype(dtype)
        sitk.WriteImage(sitk.GetImageFromArray(narrow, isVector=True), str(tmp_path / "a.png"))
        found = read_xray(tmp_path / "a.png")
        np.testing.assert_array_equal(found.pixels, narrow[..., 0])
        np.testing.assert_array_equal(found.mask, RAMP > 2000)
        assert found.full_scale == np.iinfo(dtype).max
    both[..., 1] = 65535
    assert read_xray(write_tiff(tmp_path / "a.tif", both, extrasamples=["unassalpha"])).mask is None


def test_pages_thumbnails_and_pyramids(tmp_path):
    pages = np.stack([RAMP, RAMP + 1, RAMP + 2]).astype(np.uint16)
    for options in ({}, {"imagej": True, "photometric": None}):
        path = write_tiff(tmp_path / "a.tif", pages, **options)
        np.testing.assert_array_equal(read_stack(path).images, pages)
        np.testing.assert_array_equal(read_xray(path, 2).pixels, pages[1])
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(pages[0], photometric="minisblack")
        file.write(pages[0, ::4, ::4], photometric="minisblack", subfiletype=1)
    np.testing.assert_array_equal(read_xray(tmp_path / "b.tif").pixels, pages[0])
    with tifffile.TiffWriter(tmp_path / "c.tif") as file:
        file.write(pages[0], photometric="minisblack")
        file.write(pages[0, :5], photometric="minisblack")
    with pytest.raises(InputError, match=r"pages of one size and type.*c\.tif', which has 2"):
        read_xray(tmp_path / "c.tif", 1)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_compressed_tiff(tmp_path, compression, dtype):
    Image.fromarray(as_type(dtype)).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_xray(tmp_path / "a.tif").pixels, as_type(dtype).astype(np.float32))


def test_white_that_is_zero_is_turned_over_as_viewers_do(tmp_path):
    pixels = as_type("u1")
    path = write_tiff(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_xray(path).pixels, np.asarray(Image.open(path)))
    np.testing.assert_array_equal(read_xray(path).pixels, 255 - pixels.astype(np.float32))
    path = write_tiff(tmp_path / "b.tif", RAMP.astype(np.float32), photometric="miniswhite")
    with pytest.raises(InputError, match="where 0 is white"):
        read_xray(path)


def test_palettes(tmp_path):
    pixels = as_type("u1")
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    path = write_tiff(tmp_path / "a.tif", pixels, photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(read_xray(path).pixels, pixels)
    path = write_tiff(tmp_path / "a.tif", pixels, photometric="palette", colormap=ramp[:, ::-1])
    np.testing.assert_array_equal(read_xray(path).pixels, 65535 - 257.0 * pixels)
    ramp[1] = 0
    path = write_tiff(tmp_path / "a.tif", pixels, photometric="palette", colormap=ramp)
    with pytest.raises(InputError, match="colour image"):
        read_xray(path)


def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path):
    colours = np.stack([RAMP, RAMP, 2 * RAMP], axis=-1).astype(np.uint16)
    cases = [
        (lambda path: write_tiff(path, colours, photometric="rgb"), "colour image"),
        (lambda path: write_tiff(path, RAMP.astype(np.complex64)), "real numbers.*complex64"),
        (lambda path: path.write_bytes(write_tiff(path, RAMP.astype("u2")).read_bytes()[:200]), "damaged"),
        (lambda path: path.write_bytes(b"II*\0"), "damaged"),
    ]
    for number, (write, reason) in enumerate(cases):
        write(tmp_path / f"{number}.tif")
        with pytest.raises(InputError, match=reason) as caught:
            read_xray(tmp_path / f"{number}.tif")
        assert f"{number}.tif" in str(caught.value)


def test_tiff_under_other_names(tmp_path):
    path = write_tiff(tmp_path / "a.png", as_type("f8"))
    assert IMAGES.of(path) is TIFF
    np.testing.assert_array_equal(read_xray(path).pixels, as_type("f8"))


def test_png_keeps_16_bits(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_xray(tmp_path / "a.png").pixels, RAMP)
    assert read_xray(tmp_path / "a.png").full_scale == 65535


def test_real_files():
    radiogram = read_xray(real_data("conebeam") / "radiogram.tif")
    assert radiogram.pixels.shape == (2000, 1500)
    assert radiogram.pixels.min().item() == pytest.approx(0.6098335433818355)
    assert radiogram.full_scale is None
    for path in sorted(real_data("fluoroscopy").rglob("*.tif"))[::5]:
        np.testing.assert_array_equal(read_xray(path).pixels, np.asarray(Image.open(path)))
