"""DICOM files by pydicom: headers as datasets, and pixels as they are stored, before any table or rescaling.

What the stored numbers mean is for the rooms to say: a CT's are rescaled slice by slice, an X-ray's by its own tables.
"""

import copy
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad._errors import InputError
from raygrad._optional import require
from raygrad._simpleitk import quiet

if TYPE_CHECKING:
    from pydicom import Dataset

_MOST_FRAMES = 10_000_000
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

    Warns:
        UserWarning: values that cannot be read, such as a number that is none.
    """
    pydicom = require("pydicom", "reading DICOM")
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise FileNotFoundError(f"There is no file '{path}'.")
    if path.is_dir():
        raise InputError(f"Expected a DICOM file. Got '{path}', which is a folder.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that the standard would have otherwise, as real files have many
            dataset = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
            unreadable = _convert(dataset)
    except Exception as error:  # whatever a parser meets in bytes that are no DICOM: there is no one kind
        raise InputError(f"Cannot read '{path}': it is damaged ({error}).") from error
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise InputError(f"Expected a DICOM file. Got '{path}', which is none.")
    if unreadable:
        warnings.warn(f"'{path}' has values that cannot be read: {', '.join(unreadable)}.", stacklevel=2)
    return dataset


def _convert(dataset: "Dataset") -> list[str]:
    """Convert all values, which pydicom does when they are asked for, and name those that cannot be.

    Numbers that are none stay as text: `number` is None of them, and whoever needs them can tell that from absence.
    """
    keyword_of = require("pydicom", "reading DICOM").datadict.keyword_for_tag
    unreadable = []
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except Exception:  # for each type of values another kind
            unreadable.append(keyword_of(tag) or str(tag))
            del dataset[tag]
            continue
        if element.VR == "SQ":
            unreadable += [name for item in element.value for name in _convert(item)]
        elif element.VR in ("DS", "IS") and any(_is_text(part) for part in _parts(element.value)):
            unreadable.append(element.keyword or str(tag))
    return unreadable


def _is_text(value: Any) -> bool:
    """Numbers that pydicom cannot convert it leaves as they are written."""
    return isinstance(value, str) and bool(value.strip())


def count_frames(dataset: "Dataset", path: Path) -> int:
    """How many images a file holds by its header, and 1 where that does not say.

    Raises:
        InputError: what it says is no whole number.
    """
    try:
        count = int(dataset.get("NumberOfFrames") or 1)
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected a number of frames. Got '{path}', which does not say it ({error}).") from error
    if count > _MOST_FRAMES:
        raise InputError(f"Expected at most {_MOST_FRAMES} frames. Got '{path}', which says that it has {count}.")
    return count


def stored_pixels(dataset: "Dataset", path: Path, chosen: Sequence[int] | None = None) -> np.ndarray:
    """What is stored of an image: integers (frame, row, column), with a last axis of samples if there are several.

    Every transfer syntax that pydicom or SimpleITK decodes. No rescaling, no table, MONOCHROME1 not turned over.

    Args:
        dataset: of `read_dataset(path, pixels=True)`.
        path: of the file, for messages.
        chosen: the frames wanted, counted from 0, which alone are decoded where the file can be cut into frames; by
            default all.

    Raises:
        InputError: there are no pixels, fewer than the header says, or they cannot be decoded.
        ImportError: SimpleITK is not installed and the pixels are compressed.
    """
    keywords = ("FloatPixelData", "DoubleFloatPixelData", "PixelData")
    keyword = next((keyword for keyword in keywords if keyword in dataset), None)
    try:
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        frames = count_frames(dataset, path)
        samples = int(dataset.get("SamplesPerPixel", 1))
        bits = int(dataset.get("BitsAllocated", 16))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"Expected an image. Got '{path}', whose header does not say its size ({error}).") from error
    if keyword is None or min(rows, columns, frames, samples) < 1:
        raise InputError(f"Expected an image. Got '{path}', which has no pixels.")
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    try:
        if syntax is None:  # a file without preamble and meta header
            pydicom = require("pydicom", "reading DICOM")
            dataset.file_meta = pydicom.dataset.FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        bare = _pixels_alone(dataset, keyword)
        if syntax is not None and syntax.is_encapsulated:
            is_cut = chosen is not None and _cut_encapsulated(bare, chosen, frames)
            array = _decoded(bare, syntax)
        else:
            needed, there = -(-rows * columns * frames * samples * bits // 8), len(bare[keyword].value)
            if there < needed:
                raise InputError(f"Expected {needed} bytes of pixels. Got '{path}', which has {there}: it is damaged.")
            is_cut = chosen is not None and _cut_native(bare, keyword, chosen, rows * columns * samples * bits)
            array = _native(bare, keyword)
        count = len(chosen) if chosen is not None and is_cut else frames
        array = array.reshape(count, rows, columns, *([samples] if samples > 1 else []))
        array = array if chosen is None or is_cut else array[list(chosen)]
    except InputError:
        raise
    except Exception as error:  # decoders have no one kind either
        name = "unknown transfer syntax" if syntax is None else syntax.name
        raise InputError(f"Cannot decode the pixels of '{path}' ({name}): {str(error).strip()}") from error
    return _without_unused_bits(array, dataset, path)


def _cut_native(bare: "Dataset", keyword: str, chosen: Sequence[int], bits: int) -> bool:
    """Leave the chosen frames alone, of so many bits each; whether that was done: bits lie packed across frames."""
    if bits % 8:
        return False
    data, size = memoryview(bare[keyword].value), bits // 8
    cut = b"".join(data[frame * size : (frame + 1) * size] for frame in chosen)
    _replace_frames(bare, keyword, cut + b"\0" * (len(cut) % 2), len(chosen))
    return True


def _cut_encapsulated(bare: "Dataset", chosen: Sequence[int], frames: int) -> bool:
    """Leave the chosen ones of so many frames alone; whether that was done: where frames end may not be said."""
    encaps = require("pydicom.encaps", "reading DICOM")
    wanted: dict[int, bytes] = dict.fromkeys(chosen, b"")
    count = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of frames whose ends are guessed
            for count, frame in enumerate(encaps.generate_frames(bare.PixelData, number_of_frames=frames), start=1):
                if count - 1 in wanted:
                    wanted[count - 1] = frame
    except Exception:  # nor have parsers one kind
        return False
    if count != frames:
        return False
    _replace_frames(bare, "PixelData", encaps.encapsulate([wanted[frame] for frame in chosen]), len(chosen))
    return True


def _replace_frames(bare: "Dataset", keyword: str, data: bytes, count: int) -> None:
    bare[keyword].value, bare.NumberOfFrames = data, count


def _native(bare: "Dataset", keyword: str) -> np.ndarray:
    """Uncompressed pixels, all bits of them: pydicom would leave out some as if the low bits were the ones stored."""
    if keyword == "PixelData" and bare.BitsAllocated > 1:
        bare.BitsStored, bare.HighBit = bare.BitsAllocated, bare.BitsAllocated - 1
    return bare.pixel_array


def _without_unused_bits(array: np.ndarray, dataset: "Dataset", path: Path) -> np.ndarray:
    """The stored bits alone: old files keep overlays in the others (PS3.5, 8.1.2)."""
    allocated, stored = int(dataset.get("BitsAllocated", 16)), int(dataset.get("BitsStored", 16))
    if array.dtype.kind not in "iu" or not 1 < stored < allocated:
        return array
    low = max(0, int(dataset.get("HighBit", stored - 1)) + 1 - stored)
    if low + stored > allocated:
        raise InputError(f"Cannot read '{path}': it has {stored} bits below bit {low + stored} of {allocated}.")
    unused = allocated - stored
    # Up to the top and down again: an arithmetic shift brings the sign along.
    cut = (array << (unused - low)) >> unused
    above = array >> (low + stored)
    has_overlay = any((0x6000 + group, 0x0102) in dataset for group in range(0, 32, 2))
    if not has_overlay and ((above != 0) & (above != -1)).any():
        warnings.warn(  # of the folder, so that a series of hundreds of slices says it once
            f"Numbers of DICOM files in '{path.absolute().parent}' have more than the {stored} bits that by their "
            "headers are stored (BitsStored): the others are left out.",
            stacklevel=3,
        )
    return cut


def _decoded(bare: "Dataset", syntax: Any) -> np.ndarray:
    """Compressed pixels by SimpleITK, which is handed a file without anything that it would apply to them."""
    pydicom, sitk = require("pydicom", "reading DICOM"), require("SimpleITK", "reading compressed DICOM")
    if int(bare.get("SamplesPerPixel", 1)) == 1:
        bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID = _SECONDARY_CAPTURE
    bare.SOPInstanceUID = pydicom.uid.generate_uid()
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "bare.dcm")
        bare.save_as(file, enforce_file_format=True)
        try:
            with quiet(), _silent():
                return sitk.GetArrayFromImage(sitk.ReadImage(file))
        except RuntimeError:  # of ITK, at runs of few pixels for one; pydicom decodes RLE too, slower
            if syntax.name != "RLE Lossless":
                raise
            return bare.pixel_array


def _pixels_alone(dataset: "Dataset", keyword: str) -> "Dataset":
    pydicom = require("pydicom", "reading DICOM")
    bare = pydicom.Dataset()
    for name in (*_IMAGE_PIXEL_MODULE, keyword):
        if name in dataset:
            bare.add(copy.copy(dataset[name]))
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return bare


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
    try:
        values = tuple(float(part) for part in _parts(dataset.get(keyword)))
    except (TypeError, ValueError):
        return ()
    return values if np.isfinite(values).all() else ()


def _parts(value: Any) -> Iterable[Any]:
    if value is None or isinstance(value, (str, bytes)):
        return [value] if value else []
    return value if hasattr(value, "__iter__") else [value]
