"""DICOM files: what is stored comes back as it is, whatever it is wrapped in; what cannot be read is said."""

import contextlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from raygrad._dicom import is_dicom, number, numbers, read_dataset, stored_pixels
from raygrad._errors import InputError

UNCOMPRESSED = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


def make_pixels(dtype=np.uint16, shape=(5, 7), bits=None, seed=0):
    kind = np.iinfo(dtype)
    low, high = (kind.min, kind.max) if bits is None else (0, 2**bits - 1)
    return np.random.default_rng(seed).integers(low, high, shape, dtype=dtype, endpoint=True)


def make_dataset(pixels, syntax=ExplicitVRLittleEndian, bits=None, **tags):
    """A secondary capture whose other tags would change its numbers, if they were heeded."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, pydicom.uid.generate_uid()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.RescaleSlope, dataset.RescaleIntercept = 3, -1000
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset.add_new("PixelData", "OB" if pixels.dtype.itemsize == 1 else "OW", data + b"\0" * (len(data) % 2))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset


def write(path, dataset):
    dataset.save_as(path, enforce_file_format=True)
    return path


def read(path):
    return stored_pixels(read_dataset(path, pixels=True), path)


@pytest.mark.parametrize("syntax", UNCOMPRESSED, ids=lambda uid: uid.name)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5)])
def test_what_is_stored_comes_back(tmp_path, syntax, dtype, shape):
    pixels = make_pixels(dtype, shape)
    found = read(write(tmp_path / "x.dcm", make_dataset(pixels, syntax)))
    assert found.dtype.newbyteorder("=") == pixels.dtype
    np.testing.assert_array_equal(found, pixels.reshape(-1, *shape[-2:]))


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("shape", [(16, 24), (3, 16, 24)])
def test_compressed_pixels_are_not_rescaled_or_turned_over(tmp_path, capfd, compressor, shape):
    pixels = make_pixels(np.uint16, shape, bits=12)
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(tmp_path / "x.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(pixels))
    dataset = read_dataset(tmp_path / "x.dcm", pixels=True)
    assert dataset.file_meta.TransferSyntaxUID.is_compressed
    dataset.PhotometricInterpretation, dataset.RescaleSlope, dataset.RescaleIntercept = "MONOCHROME1", 3, -1000
    np.testing.assert_array_equal(stored_pixels(dataset, tmp_path / "x.dcm"), pixels.reshape(-1, 16, 24))
    assert capfd.readouterr() == ("", "")


def test_run_lengths(tmp_path):
    pixels = make_pixels(np.int16, (2, 6, 8))
    dataset = make_dataset(pixels)
    dataset.compress(RLELossless)
    np.testing.assert_array_equal(read(write(tmp_path / "x.dcm", dataset)), pixels)


def make_encapsulated(path, compressor, pixels, fragments, has_offsets):
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(pixels))
    dataset = pydicom.dcmread(path)
    frames = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=len(pixels)))
    dataset.PixelData = pydicom.encaps.encapsulate(frames, fragments, has_offsets)
    return write(path, dataset), frames


@pytest.mark.parametrize("has_offsets", [False, True])
@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_of_compressed_frames_the_chosen_ones_alone_are_decoded(tmp_path, capfd, compressor, fragments, has_offsets):
    pixels = make_pixels(np.uint16, (4, 16, 24), bits=12)
    path, frames = make_encapsulated(tmp_path / "x.dcm", compressor, pixels, fragments, has_offsets)
    for chosen in ([2], [3, 1], [0, 0, 3]):
        found = stored_pixels(read_dataset(path, pixels=True), path, chosen)
        np.testing.assert_array_equal(found, pixels[chosen])
    middle = len(frames[1]) // 2
    broken = frames[1][:middle] + bytes(len(frames[1]) - middle - 2) + b"\xff\xd9"
    path.write_bytes(path.read_bytes().replace(frames[1][-40:], broken[-40:]))
    found = stored_pixels(read_dataset(path, pixels=True), path, [2])
    np.testing.assert_array_equal(found, pixels[[2]])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("damage", ["ends early", "noise", "no tables", "another start"])
def test_damaged_pictures_are_read_or_refused_without_a_word_of_the_decoders(tmp_path, capfd, compressor, damage):
    pixels = make_pixels(np.uint16, (1, 64, 64), bits=12)
    path, (frame,) = make_encapsulated(tmp_path / "x.dcm", compressor, pixels, 1, True)
    noise = np.random.default_rng(0).integers(0, 256, len(frame), dtype=np.uint8).tobytes()
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate(
        [
            {
                "ends early": frame[: len(frame) // 2],
                "noise": frame[: len(frame) // 2] + noise[len(frame) // 2 :],
                "no tables": frame[:2] + frame[-200:],
                "another start": noise[:100] + frame,
            }[damage]
        ]
    )
    write(path, dataset)
    capfd.readouterr()
    with contextlib.suppress(InputError):
        assert read(path).shape == pixels.shape
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", [*UNCOMPRESSED, RLELossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_chosen_frames_are_those_of_all(tmp_path, syntax, dtype):
    pixels = make_pixels(dtype, (4, 5, 7))
    dataset = make_dataset(pixels, ExplicitVRLittleEndian if syntax == RLELossless else syntax)
    if syntax == RLELossless:
        dataset.compress(syntax)
    path = write(tmp_path / "x.dcm", dataset)
    for chosen in ([2], [3, 1]):
        np.testing.assert_array_equal(stored_pixels(read_dataset(path, pixels=True), path, chosen), pixels[chosen])


def test_frames_that_cannot_be_told_apart_are_decoded_together(tmp_path):
    """Bits: a frame of them may begin within a byte."""
    bits = np.random.default_rng(0).integers(0, 2, (3, 3, 5), dtype=np.uint8)
    dataset = make_dataset(bits, bits=1)
    dataset.BitsAllocated, dataset.PixelData = 1, np.packbits(bits, bitorder="little").tobytes()
    path = write(tmp_path / "x.dcm", dataset)
    np.testing.assert_array_equal(stored_pixels(read_dataset(path, pixels=True), path, [1]), bits[[1]])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("low", [0, 4])
def test_overlays_in_unused_bits_are_left_out(tmp_path, signed, low):
    values = make_pixels(np.int16, bits=11) - (1024 if signed else 0)
    stored = (values.astype(np.int32) & 0xFFF) << low
    unused = 0xFFFF & ~(0xFFF << low)
    overlaid = (stored | (make_pixels(np.uint16, seed=1).astype(np.int32) & unused)).astype(np.uint16)
    dataset = make_dataset(overlaid, bits=12, HighBit=11 + low, PixelRepresentation=int(signed))
    dataset.add_new(0x60000102, "US", 15 if low == 0 else 3)  # OverlayBitPosition
    np.testing.assert_array_equal(read(write(tmp_path / "x.dcm", dataset))[0], values)


@pytest.mark.parametrize("signed", [False, True])
def test_numbers_of_more_bits_than_are_said_to_be_stored_are_told_aloud(tmp_path, signed):
    values = np.array([[0, 1, 2047, -5 if signed else 4095]], np.int16)
    plain = make_dataset(values.astype(np.uint16), bits=12, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(read(write(tmp_path / "a.dcm", plain))[0], values)
    lying = make_dataset(values.astype(np.uint16) + np.uint16(0x2000), bits=12, PixelRepresentation=int(signed))
    with pytest.warns(UserWarning, match="have more than the 12 bits"):
        read(write(tmp_path / "b.dcm", lying))


def test_a_file_without_preamble_is_read(tmp_path):
    pixels, path = make_pixels(), tmp_path / "x"
    dataset = make_dataset(pixels, ImplicitVRLittleEndian)
    del dataset.file_meta
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    assert not is_dicom(path)
    np.testing.assert_array_equal(read(path)[0], pixels)


def test_fewer_pixels_than_the_header_says_are_refused(tmp_path):
    dataset = make_dataset(make_pixels(), NumberOfFrames=1000)
    with pytest.raises(InputError, match=r"Expected 70000 bytes of pixels\. Got '.*x\.dcm', which has 70"):
        read(write(tmp_path / "x.dcm", dataset))


@pytest.mark.parametrize("keyword", ["Rows", "PixelData"])
def test_what_is_no_image_is_refused(tmp_path, keyword):
    dataset = make_dataset(make_pixels())
    del dataset[keyword]
    with pytest.raises(InputError, match=r"Expected an image\. Got '.*x\.dcm'"):
        read(write(tmp_path / "x.dcm", dataset))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"text\n" * 100, bytes(range(256)) * 8], ids=range(4))
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert not is_dicom(tmp_path / "x")
    with pytest.raises(InputError, match="x'"):
        read_dataset(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        read_dataset(tmp_path / "y")


@pytest.mark.filterwarnings("ignore:.* has values that cannot be read")
def test_every_file_that_ends_early_is_refused_or_read_whole(tmp_path):
    path = write(tmp_path / "x.dcm", make_dataset(make_pixels(shape=(3, 4))))
    whole, pixels = path.read_bytes(), read(path)
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read(path)
    assert pixels.shape == (1, 3, 4)


def test_values_that_are_none_are_said(tmp_path):
    path = write(tmp_path / "x.dcm", make_dataset(make_pixels(), RescaleSlope="1.25", PixelSpacing=["0.125", "0.5"]))
    path.write_bytes(path.read_bytes().replace(b"1.25", b"1,25").replace(b"0.125", b"small"))
    with pytest.warns(UserWarning, match=r"x\.dcm' has values that cannot be read: PixelSpacing, RescaleSlope"):
        found = read_dataset(path)
    assert "RescaleSlope" in found
    assert number(found, "RescaleSlope") is None
    assert numbers(found, "PixelSpacing") == ()
    assert number(found, "RescaleIntercept") == -1000


def test_numbers_are_finite_or_none():
    dataset = pydicom.Dataset()
    dataset.PixelSpacing, dataset.WindowCenter, dataset.SliceThickness = [0.5, 0.25], None, 2
    assert numbers(dataset, "PixelSpacing") == (0.5, 0.25)
    assert number(dataset, "SliceThickness") == 2.0
    for keyword in ("PixelSpacing", "WindowCenter", "SpacingBetweenSlices"):
        assert number(dataset, keyword) is None
    assert numbers(dataset, "WindowCenter") == ()


def test_what_is_no_file_is_said_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file '.*none\.dcm'"):
        read_dataset(tmp_path / "none.dcm")
    with pytest.raises(InputError, match="is a folder"):
        read_dataset(tmp_path)
