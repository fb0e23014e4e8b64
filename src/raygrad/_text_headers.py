"""MetaImage, NRRD and gzip files, checked before ITK reads them: it ends the process, or reads what is not there."""

import gzip
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raygrad._errors import InputError

_LONGEST = 1 << 22  # bytes of a header
_MOST_KEYS = 20_000  # of a NRRD: ITK's time grows with their square
_LONGEST_WORD, _LONGEST_VALUE = 200, 1000  # letters in fields of a NRRD
_FREE_TEXT = ("content", "data file", "datafile", "comment")
_MOST_DIMENSIONS, _MOST_VALUES = 10, 1 << 40
_LEAST, _MOST = 1e-9, 1e9  # mm, of steps and places
_META_GEOMETRY = {  # as many numbers as there are dimensions to this power, and the least of their magnitudes
    **dict.fromkeys(("ElementSpacing", "ElementSize"), (1, _LEAST)),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), (2, 0.0)),
    **dict.fromkeys(("Offset", "Position", "Origin"), (1, 0.0)),
}
_META_KEYS = {*_META_GEOMETRY, "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "HeaderSize"}
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_NRRD_BYTES = {"char": 1, "int8": 1, "short": 2, "int16": 2, "int": 4, "int32": 4, "int64": 8, "float": 4, "double": 8}
_NUMBERED_FILES = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")


def check_text_header(path: Path) -> None:
    """Check the header of a MetaImage or a NRRD, and that the data are as many as it says. Others are let through.

    Raises:
        InputError: the file is damaged.
    """
    with path.open("rb") as file:
        content = file.read(_LONGEST)
    if path.suffix.lower() in (".mha", ".mhd"):
        _check_meta(path, content)
    elif content.startswith(b"NRRD"):
        _check_nrrd(path, content)


def check_gzip(path: Path) -> None:
    """Inflate a file that is compressed as a whole, whose checksum ITK does not compare. Others are let through.

    Raises:
        InputError: the file is damaged.
    """
    if path.suffix.lower() == ".gz":
        try:
            with gzip.open(path) as stream:
                while stream.read(1 << 20):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"It is damaged: {error}.") from error


def _check_meta(path: Path, content: bytes) -> None:
    fields: dict[str, str] = {}
    end = 0
    while "ElementDataFile" not in fields:
        line, newline, _ = content[end : end + 10_000].partition(b"\n")
        _require(newline or line, "no ElementDataFile")
        end += len(line) + len(newline)
        key, *value = (part.strip() for part in re.split("[=:]", line.decode("latin-1"), maxsplit=1))
        _require(key not in fields or key not in _META_KEYS, f"{key} is there twice")
        fields[key] = "".join(value)
    dimension = _whole(fields.get("NDims", ""), 2, _MOST_DIMENSIONS, "NDims")
    shape = [_whole(size, 1, _MOST_VALUES, "DimSize") for size in fields.get("DimSize", "").split()]
    _require(len(shape) == dimension, f"DimSize has {len(shape)} numbers for {dimension} dimensions")
    for key, (power, least) in _META_GEOMETRY.items():
        if key in fields:
            _check_numbers(fields[key].split(), dimension**power, least, key)
    kind = fields.get("ElementType", "").removeprefix("MET_").removesuffix("_ARRAY")
    kind = kind.removeprefix("U") if kind not in _META_BYTES else kind
    channels = _whole(fields.get("ElementNumberOfChannels", "1"), 1, 1000, "ElementNumberOfChannels")
    needed = _product(shape) * channels * _META_BYTES.get(kind, 1)

    data, file, skipped = fields["ElementDataFile"], path, end
    if data.upper().startswith("LIST"):
        return
    if "%" in data:
        name, *counts = data.split()
        steps = [_whole(count, 0, _MOST_VALUES, "ElementDataFile") for count in counts]
        right = _NUMBERED_FILES.fullmatch(name) and len(steps) in (2, 3) and steps[0] <= steps[1] and 0 not in steps[2:]
        _require(right, f"ElementDataFile is {data!r}")
        return
    if data.upper() != "LOCAL":
        file, skipped = path.parent / data, 0
        _require("\0" not in data and file.is_file(), f"its data are in {data[:100]!r}, which is not there")
    skipped += max(0, _whole(fields.get("HeaderSize", "0"), -1, _MOST_VALUES, "HeaderSize"))
    if fields.get("CompressedData", "").lower() in ("true", "1"):
        _check_compressed(file, skipped, needed)
    elif fields.get("BinaryData", "").lower() in ("true", "1"):
        _check_bytes(file.stat().st_size - skipped, needed)


def _check_nrrd(path: Path, content: bytes) -> None:
    head, blank, _ = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")[1:]
    _require(len(lines) <= _MOST_KEYS, f"more than {_MOST_KEYS} lines of header")
    pairs = [line.partition(": ") for line in lines if ":=" not in line and not line.startswith("#")]
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    for key, _, value in pairs:  # ITK crashes as it tells of what is longer
        free = key.strip().lower() in _FREE_TEXT
        words = [key] if free else [key, *value.split()]
        right = max(map(len, words), default=0) <= _LONGEST_WORD and (free or len(value) <= _LONGEST_VALUE)
        _require(right, f"its header has something of {len(value)} letters as {key[:40]!r}")
    dimension = _whole(fields.get("dimension", ""), 1, _MOST_DIMENSIONS, "dimension")
    shape = [_whole(size, 1, _MOST_VALUES, "sizes") for size in fields.get("sizes", "").split()]
    _require(len(shape) == dimension, f"sizes has {len(shape)} numbers for {dimension} dimensions")
    for vector in re.findall(r"\(([^)]*)\)", fields.get("space directions", "")):
        values = vector.split(",")
        _check_numbers(values, len(values), 0.0, "space directions")
        length = math.hypot(*map(float, values))
        _require(_LEAST <= length <= _MOST, f"a step of space directions is {length:g} mm")
    origin = fields.get("space origin", "").strip("()")
    if origin:
        _check_numbers(origin.split(","), origin.count(",") + 1, 0.0, "space origin")
    spacings = [value for value in fields.get("spacings", "").split() if value.lower() != "nan"]
    _check_numbers(spacings, len(spacings), _LEAST, "spacings")
    kind = re.sub(r"^(unsigned |signed |u)|( int|_t)$", "", fields.get("type", ""))
    bytes_each = _NRRD_BYTES.get(re.sub(r"^long long.*|^longlong$", "int64", kind), 1)
    skipping = {"line skip", "lineskip", "byte skip", "byteskip"} & fields.keys()
    elsewhere = fields.get("data file", fields.get("datafile", ""))
    encoding, needed = fields.get("encoding", "").lower(), _product(shape) * bytes_each
    if blank and not elsewhere and not skipping:
        after = content.find(b"\n\n") + 2 if b"\r\n\r\n" not in content else content.find(b"\r\n\r\n") + 4
        _check_nrrd_values(path, after, encoding, needed)
    elif elsewhere and not skipping and (path.parent / elsewhere).is_file():
        _check_nrrd_values(path.parent / elsewhere, 0, encoding, needed)


def _check_nrrd_values(file: Path, skipped: int, encoding: str, needed: int) -> None:
    if encoding == "raw":
        _check_bytes(file.stat().st_size - skipped, needed)
    elif encoding in ("gzip", "gz"):
        _check_compressed(file, skipped, needed)


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise InputError(f"It is damaged: {problem}.")


def _whole(text: str, least: int, most: int, name: str) -> int:
    right = re.fullmatch(r"[+-]?\d{1,15}", text) and least <= int(text) <= most
    _require(right, f"{name} is {text[:40]!r}")
    return int(text)


def _check_numbers(words: Sequence[str], count: int, least: float, name: str) -> None:
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        values = np.array([])
    right = len(values) == count and bool(((np.abs(values) >= least) & (np.abs(values) <= _MOST)).all())
    _require(right, f"{name} is '{' '.join(words)[:100]}'")


def _product(shape: Sequence[int]) -> int:
    values = math.prod(shape)
    _require(values <= _MOST_VALUES, f"it says that it has {values:g} values")
    return values


def _check_bytes(there: int, needed: int) -> None:
    _require(there >= needed, f"{needed} bytes of values are needed, {max(0, there)} are there")


def _check_compressed(file: Path, skipped: int, needed: int) -> None:
    """Inflate what zlib compressed, piece by piece: ITK leaves what is missing as it was in memory."""
    inflater, there = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
    with file.open("rb") as stream:
        stream.seek(skipped)
        try:
            while there <= needed + (1 << 22) and not inflater.eof:  # at the end, the checksum is compared
                piece = inflater.unconsumed_tail or stream.read(1 << 16)
                if not piece:
                    there += len(inflater.flush())
                    break
                there += len(inflater.decompress(piece, 1 << 22))
        except zlib.error as error:
            raise InputError(f"It is damaged: {error}.") from error
    _check_bytes(there, needed)
    _require(inflater.eof, "what is compressed has no end")
