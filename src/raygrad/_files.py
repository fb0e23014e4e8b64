"""Files and folders that are written whole, or not at all, and the endings of their names."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write a file to in place of `path`, which it replaces at the end, unless an exception came first.

    The name has the suffixes of `path` in lower case, which is how libraries know them, and its folder is beside it, so
    on the same disk.

    Raises:
        OSError: the folder is missing or closed to us.
    """
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"There is no folder '{path.parent}' to write '{path.name}' to.")
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".raygrad-") as folder:
        unfinished = Path(folder) / path.name.lower()
        yield unfinished
        os.replace(unfinished, path)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """An empty folder to write to in place of `path`, whose name it takes at the end, unless an exception came first.

    Raises:
        OSError: there is something at `path` already, but for an empty folder, or its own folder is closed to us.
    """
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".raygrad-") as folder:
        unfinished = Path(folder) / "whole"
        unfinished.mkdir()
        yield unfinished
        if path.is_dir():
            path.rmdir()
        os.replace(unfinished, path)


def suffix_of(path: Path, known: Iterable[str]) -> str | None:
    """The longest of the known suffixes (".nii.gz", in lower case) that the name ends in, or None."""
    return max((suffix for suffix in known if path.name.lower().endswith(suffix)), key=len, default=None)
