"""What a scene holds beside the poses: the CT in the world of its file, and the X-ray of every view."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from raygrad._errors import InputError
from raygrad.cli._export_inputs import Inputs
from raygrad.cli._loading import load_attenuation
from raygrad.formats import check_scene, read_xray, read_xrays, write_scene


def prepare_scene(path: Path, inputs: Inputs) -> Callable[[], str]:
    """Check all that could be wrong; what is returned writes the scene.

    Raises:
        InputError: CT or X-rays cannot be read, or there are not as many as views.
        FileNotFoundError: there is no such file.
    """
    xrays, views = _xrays_of(inputs), inputs.in_file
    subject = load_attenuation(str(inputs.ct), series_uid=inputs.series_uid)
    volume = subject.volume
    if subject.file_to_world is not None:
        volume = volume.moved(np.linalg.inv(subject.file_to_world))
    check_scene(path, views, xrays)

    def write() -> str:
        write_scene(path, volume, views, xrays, inputs.names)
        return f"{len(views)} view(s), the world's origin is that of the CT's file"

    return write


def _xrays_of(inputs: Inputs) -> list[Tensor]:
    """The pixels of every view's X-ray."""
    found = inputs.files_of_views()
    if found is not None:
        return [read_xray(path, frame).pixels for path, frame in found]
    if len(inputs.xrays) == 1:
        return [xray.pixels for xray in read_xrays(inputs.xrays[0])]
    raise InputError(
        f"A scene shows the X-ray of each view: give --xray {len(inputs.names)} times, in the order of the views, or "
        f"the one file that has them all. Got {len(inputs.xrays)}."
    )
