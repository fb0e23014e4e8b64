"""Files and folders that are written whole, or not at all, and the endings of their names."""

import errno
import math
import os
import shutil
import tempfile
import time
import tokenize
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile

from raygrad._errors import InputError, WritingError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAMES_AS_BYTES = "surrogateescape"
"""What becomes of file names in text files where the locale does not know their letters: the bytes that they are."""
_DISK = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DAMAGED = (
    ValueError, OSError, EOFError, BadZipFile, zlib.error, SyntaxError, tokenize.TokenError, KeyError, TypeError,
    OverflowError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What NumPy and zipfile raise of files that are none of theirs any more."""
_PREFIX = ".raygrad-"
_BEGINNING_S = 5.0  # s, between the making of a folder and its lock, by far


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write a file to in place of `path`, which it replaces at the end, unless an exception came first.

    The name has the suffixes of `path` in lower case, which is how libraries know them, and its folder is beside it, so
    on the same disk. The file is on the disk before it takes its place, so that a machine that loses its power has the
    old file or the new one. What earlier runs left there that were killed is removed.

    Raises:
        WritingError: the disk is full, or nothing was written.
        OSError: the folder is missing or closed to us.
    """
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder '{path.parent}' to write '{path.name}' to.")
    with _folder_beside(path) as folder:
        unfinished = folder / path.name.lower()
        with _saying_what_was_written(path):
            yield unfinished
            if not unfinished.exists():
                raise WritingError(f"Could not write '{path}': what was to write it wrote nothing.")
            _check_room_was_left(unfinished)
            _flush(unfinished)
            os.replace(unfinished, path)
            _flush(path.absolute().parent)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """An empty folder to write to in place of `path`, whose name it takes at the end, unless an exception came first.

    Raises:
        WritingError: the disk is full.
        OSError: there is something at `path` already, but for an empty folder, or its own folder is closed to us.
    """
    with _folder_beside(path) as folder:
        unfinished = folder / "whole"
        unfinished.mkdir()
        with _saying_what_was_written(path):
            yield unfinished
            for each in unfinished.rglob("*"):
                if each.is_file():
                    _check_room_was_left(each)
                _flush(each)
            if path.is_dir():
                path.rmdir()
            os.replace(unfinished, path)
            _flush(path.absolute().parent)


def check_room(path: Path, n_bytes: int) -> None:
    """Raise an OSError if there is no room for so much at `path`: some libraries break where they meet a full disk."""
    with open(path, "wb") as file:
        file.write(bytes(n_bytes))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def save_array(path: Path, array: Any) -> None:
    """Write a NumPy array as .npy. (`numpy.save` to a file by its name says nothing where the disk is full.)

    Raises:
        OSError: it cannot be written.
    """
    import numpy as np  # the command line's help does without

    with open(path, "wb") as file:
        np.save(SimpleNamespace(write=file.write), array, allow_pickle=False)  # by Python, as no file of its own


def load_arrays(path: Path, alone: str) -> dict[str, Any]:
    """The arrays of a NPY or NPZ file by their names; the one of a NPY file has the name `alone`.

    Raises:
        InputError: the file is damaged, holds objects, or less than its arrays' sizes.
    """
    import numpy as np  # the command line's help does without

    try:
        with path.open("rb") as file:
            is_array = file.read(6) == b"\x93NUMPY"
        if is_array:
            return {alone: np.array(np.load(path, mmap_mode="r"))}  # which compares the size with the header's
        with path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
            for info in loaded.zip.infolist():
                with loaded.zip.open(info) as member:
                    _check_array(member, info.file_size, info.filename)
            return dict(loaded)
    except _DAMAGED as error:
        raise InputError(f"Cannot read '{path}': it is damaged or holds no numbers ({error}).") from error


def _check_array(member: Any, size: int, name: str) -> None:
    """Raise a ValueError if an array has not as many bytes as it says."""
    from numpy.lib import format as npy

    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise ValueError(f"{name} has {size} bytes for {needed} bytes of numbers")


def readable(name: str | os.PathLike[str]) -> str:
    """A file's name as text that can be shown, also where the locale does not know its letters."""
    return os.fsencode(name).decode("utf-8", errors="replace")


def suffix_of(path: Path, known: Iterable[str]) -> str | None:
    """The longest of the known suffixes (".nii.gz", in lower case) that the name ends in, or None."""
    return max((suffix for suffix in known if path.name.lower().endswith(suffix)), key=len, default=None)


@contextmanager
def _saying_what_was_written(path: Path) -> Iterator[None]:
    """A disk that is full, broken or read-only, as an error that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise WritingError(f"Could not write '{path}': {error.strerror}.") from error


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A folder beside `path`, locked while somebody writes to it, so that it can be told from one that was left."""
    parent = path.absolute().parent
    _remove_what_was_left(parent)
    with tempfile.TemporaryDirectory(dir=parent, prefix=_PREFIX) as folder, _locked(Path(folder)):
        yield Path(folder)


def _remove_what_was_left(parent: Path) -> None:
    """Remove the folders of runs that were killed: their locks went with them."""
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else removes it, or it is not ours to remove
            if time.time() - left.stat().st_mtime > _BEGINNING_S:
                with _locked(left) as mine:
                    if mine:
                        shutil.rmtree(left)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this has the folder's lock, which the system takes back with the process; False where there are none."""
    if fcntl is None:
        yield False
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except OSError:  # somebody has it, or this disk knows no locks
            mine = False
        yield mine
    finally:
        os.close(opened)


def _check_room_was_left(path: Path) -> None:
    """Raise an OSError if a file cannot grow: some libraries say nothing where the disk is full, and cut it short."""
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.write(b"0")
        file.flush()
        file.truncate(size)


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk, where the system can say so.

    Raises:
        OSError: it cannot be written there.
    """
    if path.is_dir() and os.name != "posix":
        return
    # Windows flushes what is open for writing only; nobody writes to a folder.
    opened = os.open(path, os.O_RDONLY if path.is_dir() or os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(opened)
    except OSError:
        if not path.is_dir():  # some network disks refuse that for folders
            raise
    finally:
        os.close(opened)
