"""XMALab's cameras: MayaCam 2.0 text files, with image size, camera matrix, rotation and translation.

XMALab writes what OpenCV's calibration finds, and so are the axes: a point X is at K (R X + t) up to a factor, columns
run along +x and rows along +y, and pixels count from the *centre* of the first one, (0, 0). X is in the frame and the
unit of the calibration object, which has to be mm. The file leaves the size of a pixel to the images.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat, detector_size
from raygrad.formats._pinholes import FROM_CENTRES, Pinholes, pinhole_of, views_of_pinholes
from raygrad.formats._text import rows_of, text_of
from raygrad.geometry import ConeViews

_SHAPES = {"image size": (1, 2), "camera matrix": (3, 3), "rotation": (3, 3), "translation": (3, 1)}
_DISTORTION = "undistortion"


def _sniff(path: Path) -> bool:
    text = text_of(path)
    return text is not None and text.lstrip().lower().startswith("image size")


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The one view of a camera.

    Raises:
        InputError: a part is missing or of another size, the image is distorted, or it is no camera.
    """
    blocks = re.split(r"^\s*([A-Za-z][A-Za-z ]*?)\s*$", text_of(path) or "", flags=re.MULTILINE)
    rows = {name.lower(): rows_of(numbers) for name, numbers in zip(blocks[1::2], blocks[2::2], strict=True)}
    parts = {}
    for name, shape in _SHAPES.items():
        found = rows.get(name) or []
        if len(found) != shape[0] or any(len(row) != shape[1] for row in found):
            raise InputError(f"Expected '{name}' and {shape[0]} x {shape[1]} numbers below. Got others in '{path}'.")
        parts[name] = torch.tensor(found, dtype=torch.float64)
    if any(any(row) for row in rows.get(_DISTORTION) or ()):
        raise InputError(f"'{path}' has a distorted image: undistort it in XMALab, and leave '{_DISTORTION}' out.")
    width, height = parts["image size"][0].tolist()
    size = detector_size(path, frames, height, width)
    camera = (FROM_CENTRES @ parts["camera matrix"])[None]
    try:
        return views_of_pinholes(Pinholes(camera, parts["rotation"][None], parts["translation"].mT), *size)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    """Write the one view of a camera.

    Raises:
        InputError: several views, or a mirror image.
    """
    parts = pinhole_of(path, views, "XMALab's")
    rows, columns = views.image_shape
    blocks = [f"image size\n{columns},{rows}"]
    for name, part in zip(list(_SHAPES)[1:], parts, strict=True):
        blocks.append("\n".join([name, *(",".join(f"{number:.15g}" for number in row) for row in part.tolist())]))
    with written_whole(path) as unfinished:
        unfinished.write_text("\n\n".join(blocks) + "\n", encoding="ascii")


MAYACAM = GEOMETRIES.add(GeometryFormat("XMALab's MayaCam 2.0", (".txt",), _sniff, _read, _write))
