"""DICOM files by pydicom: headers as datasets, and pixels as they are stored, before any table or rescaling.

What the stored numbers mean is for the rooms to say: a CT's are rescaled slice by slice, an X-ray's by its own tables.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad._errors import InputError
from raygrad._optional import require
from raygrad._simpleitk import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_IMAGE_PIXEL_MODULE = (  # PS3.3, C.7.6.3, as far as pixels cannot be decoded without it
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PlanarConfiguration",
)


def is_dicom(path: Path) -> bool:
    """Whether a file that exists begins as DICOM's do: 128 bytes of anything, then DICM (PS3.10, 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dataset(path: Path, pixels: bool = False) -> "Dataset":
    """The header of a DICOM file, with its pixel data where these are wanted. Files without the preamble are read too.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not DICOM, or damaged.
        ImportError: pydicom is not installed.
    """
    pydicom = require("pydicom", "reading DICOM")
    try:
        dataset = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a parser meets in bytes that are no DICOM: there is no one kind
        raise InputError(f"Cannot read '{path}': it is damaged ({error}).") from error
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise InputError(f"Expected a DICOM file. Got '{path}', which is none.")
    return dataset


def stored_pixels(dataset: "Dataset", path: Path) -> np.ndarray:
    """What is stored of an image: integers (frame, row, column), with a last axis of samples if there are several.

    Every transfer syntax that pydicom or SimpleITK decodes. No rescaling, no table, MONOCHROME1 not turned over.

    Args:
        dataset: of `read_dataset(path, pixels=True)`.
        path: of the file, for messages.

    Raises:
        InputError: there are no pixels, fewer than the header says, or they cannot be decoded.
        ImportError: SimpleITK is not installed and the pixels are compressed.
    """
    keywords = ("FloatPixelData", "DoubleFloatPixelData", "PixelData")
    keyword = next((keyword for keyword in keywords if keyword in dataset), None)
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = int(dataset.get("NumberOfFrames") or 1)
        samples = int(dataset.get("SamplesPerPixel", 1))
        bits = int(dataset.get("BitsAllocated", 16))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"Expected an image. Got '{path}', whose header does not say its size ({error}).") from error
    if keyword is None or min(rows, columns, frames, samples) < 1:
        raise InputError(f"Expected an image. Got '{path}', which has no pixels.")
    shape = (frames, rows, columns, samples) if samples > 1 else (frames, rows, columns)
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    try:
        if syntax is not None and syntax.is_encapsulated:
            array = _decoded(dataset)
        else:
            needed, there = -(-rows * columns * frames * samples * bits // 8), len(dataset[keyword].value)
            if there < needed:
                raise InputError(f"Expected {needed} bytes of pixels. Got '{path}', which has {there}: it is damaged.")
            if syntax is None:  # a file without preamble and meta header
                pydicom = require("pydicom", "reading DICOM")
                dataset.file_meta = pydicom.dataset.FileMetaDataset()
                dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            array = dataset.pixel_array
        array = array.reshape(shape)
    except InputError:
        raise
    except Exception as error:  # decoders have no one kind either
        name = "unknown transfer syntax" if syntax is None else syntax.name
        raise InputError(f"Cannot decode the pixels of '{path}' ({name}): {str(error).strip()}") from error
    return _without_unused_bits(array, dataset)


def _without_unused_bits(array: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """The stored bits alone: old files keep overlays in the others (PS3.5, 8.1.2)."""
    allocated, stored = int(dataset.get("BitsAllocated", 16)), int(dataset.get("BitsStored", 16))
    if array.dtype.kind not in "iu" or not 1 < stored < allocated:
        return array
    low = max(0, int(dataset.get("HighBit", stored - 1)) + 1 - stored)
    unused = allocated - stored
    # Up to the top and down again: an arithmetic shift brings the sign along.
    return (array << (unused - low)) >> unused


def _decoded(dataset: "Dataset") -> np.ndarray:
    """Compressed pixels by SimpleITK, which is handed a file without anything that it would apply to them."""
    pydicom, sitk = require("pydicom", "reading DICOM"), require("SimpleITK", "reading compressed DICOM")
    bare = pydicom.Dataset()
    for keyword in _IMAGE_PIXEL_MODULE:
        if keyword in dataset:
            setattr(bare, keyword, dataset[keyword].value)
    if int(dataset.get("SamplesPerPixel", 1)) == 1:
        bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID = _SECONDARY_CAPTURE
    bare.SOPInstanceUID = pydicom.uid.generate_uid()
    bare.add(dataset["PixelData"])
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "bare.dcm")
        bare.save_as(file, enforce_file_format=True)
        with quiet(), _silent():
            return sitk.GetArrayFromImage(sitk.ReadImage(file))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep off the terminal what libraries in C write to the process's standard error."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def number(dataset: Any, keyword: str) -> float | None:
    """A header's number, or None where there is none that is finite."""
    found = numbers(dataset, keyword)
    return found[0] if len(found) == 1 else None


def numbers(dataset: Any, keyword: str) -> tuple[float, ...]:
    """A header's numbers; none where it has none, or one that is not finite."""
    value = dataset.get(keyword)
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    try:
        values = tuple(float(part) for part in (value if _has_several(value) else [value]))
    except (TypeError, ValueError):
        return ()
    return values if np.isfinite(values).all() else ()


def _has_several(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))
