"""Files that are written whole, or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A name to write to in place of `path`, which it replaces at the end, unless an exception came first.

    The name has the suffixes of `path`, and its folder is beside it, so on the same disk.

    Raises:
        OSError: the folder is missing or closed to us.
    """
    with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".raygrad-") as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        os.replace(unfinished, path)
