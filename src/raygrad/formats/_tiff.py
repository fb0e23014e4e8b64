"""TIFF files: every type of number, tiles, pages, orientation, and transparency.

tifffile reads them, since ITK turns tiled, turned and 1-bit pictures into 8 bits, float16 into uint16, grey with alpha
into noise, and knows no 64 bits. Some compressions need C, which ITK has: its pixels are taken if they are of the type
and size that the file's tags say.
"""

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad._optional import require
from raygrad._simpleitk import ITK_ERRORS, name_for_itk, quiet
from raygrad.formats._images import IMAGES, ImageFormat, Pixels
from raygrad.formats._itk_images import grey_and_alpha, write_itk

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: of more than 4 GB
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE = 0, 1, 2, 3
_NOT_COMPRESSED = 1
_ORIENTATION = 274


def _sniff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in _MAGIC


def _read(path: Path) -> Pixels:
    """The resolution in the file is that of some screen or printer."""
    tifffile = require("tifffile", "reading TIFF", extra="cli")
    try:
        with warnings.catch_warnings(), tifffile.TiffFile(path) as file:
            warnings.simplefilter("ignore")
            return _of_file(file, path)
    except InputError:
        raise
    except Exception as error:  # whatever a parser meets in a damaged file: there is no one kind
        raise InputError(
            f"Cannot read '{path}': it is damaged ({str(error).strip() or type(error).__name__})."
        ) from error


def _of_file(file: Any, path: Path) -> Pixels:
    pictures = [series for series in file.series if not series.keyframe.is_reduced]  # without thumbnails
    sizes = {(series.keyframe.imagelength, series.keyframe.imagewidth, series.dtype) for series in pictures}
    if len(sizes) != 1:
        raise InputError(f"Expected pages of one size and type. Got '{path}', which has {len(sizes)}.")
    pages = [_of_series(series, file, path) for series in pictures]
    images = np.concatenate([images for images, _ in pages])
    alphas = [alpha for _, alpha in pages if alpha is not None]
    page = pictures[0].keyframe
    scale = None if images.dtype.kind == "f" else float(2 ** (_bits(images, page) - (images.dtype.kind == "i")) - 1)
    numbers = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))
    if page.photometric == _MIN_IS_WHITE:  # as every viewer shows it
        if scale is None:
            raise InputError(
                f"Expected numbers of which white is known. Got '{path}', where 0 is white and black none."
            )
        numbers = scale - numbers
    found = Pixels(numbers, full_scale=scale)
    return found if not alphas else replace(found, mask=torch.from_numpy(np.concatenate(alphas)))


def _bits(images: np.ndarray, page: Any) -> int:
    """Of a number: fewer than its type has where they were packed, but not behind a palette."""
    return page.bitspersample if images.dtype == page.dtype else 8 * images.dtype.itemsize


def _of_series(series: Any, file: Any, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey values (page, row, column) of pages that belong together, and their transparency, if there is any."""
    page = series.keyframe
    if page.dtype is None or page.dtype.kind not in "biuf":
        raise InputError(f"Expected real numbers. Got '{path}', which has {page.dtype or 'numbers of an odd size'}.")
    if page.photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE):
        raise InputError(f"Expected grey values. Got '{path}', which has {page.photometric.name} colours.")
    array = _pixels(series, file, path)
    samples = page.samplesperpixel
    if samples > 1:
        axis = series.axes.index("S") if array.shape == tuple(series.shape) else array.ndim - 1
        array = np.moveaxis(array, axis, -1)
        array = array.reshape(-1, page.imagelength, page.imagewidth, samples)
    else:
        array = array.reshape(-1, page.imagelength, page.imagewidth)
    if page.photometric == _PALETTE:
        array = _in_grey(array, page.colormap, path)
    array = _upright(array, page.tags.get(_ORIENTATION))
    return grey_and_alpha(array, path) if samples > 1 else (array, None)


def _pixels(series: Any, file: Any, path: Path) -> np.ndarray:
    page = series.keyframe
    if page.bitspersample % 8 and page.bitspersample > 1:
        return _unpacked(series, file, path)
    try:
        return series.asarray()
    except (ValueError, NotImplementedError) as error:
        if "imagecodecs" not in str(error):
            raise
    array = _by_itk(page, path)
    if array.dtype != page.dtype or array.size != np.prod(series.shape):
        raise InputError(
            f"Expected a compression that can be read. Got '{path}', whose {page.compression.name} needs another "
            "library: pip install imagecodecs."
        )
    return array


def _by_itk(page: Any, path: Path) -> np.ndarray:
    """The pixels as they lie in the file: of a copy that says they are upright, since ITK reads no others right."""
    sitk = require("SimpleITK", "reading compressed TIFF", extra="cli")
    content = bytearray(path.read_bytes())
    for each in page.parent.pages:
        if (tag := each.aspage().tags.get(_ORIENTATION)) is not None:
            content[tag.valueoffset : tag.valueoffset + 2] = np.array(1, page.parent.byteorder + "u2").tobytes()
    with tempfile.TemporaryDirectory() as folder, quiet():
        copy = Path(folder) / "copy.tif"
        copy.write_bytes(content)
        try:
            return sitk.GetArrayFromImage(sitk.ReadImage(name_for_itk(copy)))
        except ITK_ERRORS as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"Cannot read '{path}': it is damaged or of an unknown kind ({reason}).") from error


def _unpacked(series: Any, file: Any, path: Path) -> np.ndarray:
    """Numbers of 2 to 15 bits, one behind the other, where every row begins with a new byte."""
    page = series.keyframe
    bits, columns = page.bitspersample, page.imagewidth * page.samplesperpixel
    if (
        page.compression != _NOT_COMPRESSED
        or page.is_tiled
        or page.fillorder != 1
        or page.planarconfig != 1
        or bits > 15
    ):
        raise InputError(
            f"Expected 8, 16, 32 or 64 bits a pixel where these are compressed or tiled. Got '{path}', of {bits}."
        )
    stride = -(-columns * bits // 8)
    weights = (1 << np.arange(bits)[::-1]).astype(np.uint16)
    images = []
    for each in series.pages:
        packed = b""
        for offset, count in zip(each.dataoffsets, each.databytecounts, strict=True):
            file.filehandle.seek(offset)
            packed += file.filehandle.read(count)
        rows = np.frombuffer(packed, np.uint8, count=page.imagelength * stride).reshape(-1, stride)
        single = np.unpackbits(rows, axis=1)[:, : columns * bits].reshape(-1, columns, bits)
        images.append(single @ weights)
    return np.stack(images).astype(page.dtype)


def _in_grey(indices: np.ndarray, palette: np.ndarray, path: Path) -> np.ndarray:
    """The grey values that stand for the indices in a palette; the indices themselves if it is a plain ramp."""
    palette = np.asarray(palette)
    if (palette != palette[:1]).any():
        raise InputError(f"Expected one grey value per pixel. Got '{path}', which is a colour image.")
    steps = np.diff(palette[0].astype(np.int64))
    return indices if (steps > 0).all() and np.ptp(steps) <= 1 else palette[0][indices]


def _upright(array: np.ndarray, tag: Any) -> np.ndarray:
    """Images (page, row, column, ...) with what is seen at the top in row 0, and at the left in column 0 (TIFF 6.0)."""
    orientation = 1 if tag is None else int(tag.value)
    if orientation >= 5:  # the file's rows are the visual columns
        array = array.swapaxes(1, 2)
    if orientation in (3, 4, 7, 8):
        array = array[:, ::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, :, ::-1]
    return array


TIFF = IMAGES.add(ImageFormat("TIFF", (".tif", ".tiff"), _sniff, _read, write_itk, (".tif", ".tiff")))
