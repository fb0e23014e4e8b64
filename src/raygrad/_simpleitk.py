"""Files by SimpleITK: quietly, and with Python's own errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raygrad._files import written_whole
from raygrad._optional import require


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's own remarks off the terminal: what matters of them is raised or warned of in Python."""
    sitk = require("SimpleITK", "reading images")
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def write_simpleitk(image: Any, path: Path, compressed: bool = False) -> None:
    """Write a SimpleITK image to a file that is whole or absent at any moment.

    Raises:
        OSError: the disk is full or the folder closed to us.
    """
    sitk = require("SimpleITK", "writing images")
    with written_whole(path) as unfinished:
        try:
            sitk.WriteImage(image, str(unfinished), useCompression=compressed)
        except RuntimeError as error:  # SimpleITK's only kind
            raise OSError(f"Could not write '{path}': {str(error).strip().splitlines()[-1]}") from error
