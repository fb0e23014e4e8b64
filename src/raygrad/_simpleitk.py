"""Files by SimpleITK: quietly, and with Python's own errors."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from raygrad._errors import InputError, WritingError
from raygrad._files import written_whole
from raygrad._optional import require

ITK_ERRORS = (RuntimeError, UnicodeDecodeError)
"""SimpleITK's only kind, and what comes of it where the message quotes a damaged file."""


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


def name_for_itk(path: Path) -> str:
    """A file's name as ITK takes it, which knows UTF-8 alone: also where the locale is C, and names come as bytes.

    Raises:
        InputError: the name is not UTF-8; ITK would end the process.
    """
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"Expected a file name in UTF-8. Got {str(path)!a}: rename it.") from None


def write_simpleitk(image: Any, path: Path, compressed: bool = False) -> None:
    """Write a SimpleITK image to a file that is whole or absent at any moment.

    ITK's writers of some formats say nothing where the disk is full, so the file is read back and compared.

    Raises:
        WritingError: the disk is full.
        OSError: the folder is missing or closed to us.
    """
    sitk = require("SimpleITK", "writing images")
    with written_whole(path) as unfinished:
        try:
            with quiet():
                sitk.WriteImage(image, name_for_itk(unfinished), useCompression=compressed)
                same = _has_voxels_of(sitk.ReadImage(name_for_itk(unfinished)), image)
        except ITK_ERRORS as error:
            raise WritingError(f"Could not write '{path}': {str(error).strip().splitlines()[-1]}") from error
        if not same:
            raise WritingError(f"Could not write '{path}': it does not read back as it was. Is the disk full?")


def _has_voxels_of(written: Any, image: Any) -> bool:
    view = require("SimpleITK", "writing images").GetArrayViewFromImage
    found, meant = view(written), view(image)
    found = found.reshape(meant.shape) if found.size == meant.size else found  # axes of length 1 may go
    return found.dtype == meant.dtype and np.array_equal(found, meant, equal_nan=meant.dtype.kind == "f")
