"""Names of files that belong to another one and lie beside it."""

import os
from pathlib import Path

from raygrad._files import suffix_of
from raygrad.formats._images import IMAGES


def beside(path: str | os.PathLike[str], ending: str) -> Path:
    """`views.geometry.json` for `views.nii.gz` and the ending `.geometry.json`; folders count as files."""
    path = Path(path)
    suffix = suffix_of(path, IMAGES.suffixes) or ""
    return path.with_name(path.name[: len(path.name) - len(suffix)] + ending)
