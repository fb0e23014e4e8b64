"""What a scene holds beside the poses: the CT in the world of its file, and the X-ray of every view."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from raygrad.formats._export.source import Source
from raygrad.formats._slicer_scene import check_scene, write_scene


def prepare_scene(path: Path, source: Source) -> Callable[[], str]:
    """Check all that could be wrong; what is returned writes the scene.

    Raises:
        InputError: CT or X-rays cannot be read, or there are not as many as views.
        FileNotFoundError: there is no such file.
    """
    xrays, views = source.images(), source.in_file
    subject = source.subject
    volume = subject.volume
    if subject.file_to_world is not None:
        volume = volume.moved(np.linalg.inv(subject.file_to_world))
    check_scene(path, views, xrays)

    def write() -> str:
        write_scene(path, volume, views, xrays, source.names)
        return f"{len(views)} view(s), the world's origin is that of the CT's file"

    return write
