"""PNG files."""

import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch

from raygrad.formats._images import IMAGES, ImageFormat, Pixels, full_scale_of
from raygrad.formats._itk_images import grey_and_alpha, read_itk, read_picture, write_itk

_MAGIC = b"\x89PNG\r\n\x1a\n"
_DEPTH, _COLOUR, _HEADER, _CHECK = 24, 25, slice(12, 29), slice(29, 33)  # where the first chunk, IHDR, has them
_GREY, _GREY_AND_ALPHA, _RGBA = 0, 4, 6


def _sniff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == _MAGIC


def _read(path: Path) -> Pixels:
    with path.open("rb") as file:
        header = file.read(33)
    if len(header) == 33 and header[_COLOUR] == _GREY_AND_ALPHA:
        grey, alpha = grey_and_alpha(_with_alpha(path, header[_DEPTH]), path)
        numbers = torch.from_numpy(np.ascontiguousarray(grey, dtype=np.float32))
        return Pixels(
            numbers, full_scale=full_scale_of(grey.dtype), mask=None if alpha is None else torch.from_numpy(alpha)
        )
    return read_picture(path)


def _with_alpha(path: Path, bits: int) -> np.ndarray:
    """Grey values and opacity (row, column, 2), which SimpleITK does not read, and Pillow in 8 bits only.

    PNG's filters see bytes, of which such a pixel has as many as one of another kind: 2 x 8 bits are those of a grey
    value of 16, and 2 x 16 bits those of four colours of 8. So a copy that says it is of that kind is read instead.
    """
    content = bytearray(path.read_bytes())
    content[_DEPTH], content[_COLOUR] = (8, _RGBA) if bits == 16 else (16, _GREY)
    content[_CHECK] = zlib.crc32(content[_HEADER]).to_bytes(4, "big")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(content)
        samples = read_itk(copy, path)[0]
    if bits == 16:
        return samples.view(">u2").astype(np.uint16)
    return np.stack([samples >> 8, samples & 255], axis=-1).astype(np.uint8)


PNG = IMAGES.add(ImageFormat("PNG", (".png",), _sniff, _read, write_itk, (".png",), grey=True))
