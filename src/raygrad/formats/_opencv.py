"""OpenCV's cameras: the YAML of its FileStorage, with a camera matrix, a rotation and a translation.

Names and axes are those of OpenCV's documentation, "Camera Calibration and 3D Reconstruction": a point X is at
K (R X + t) up to a factor, the camera looks along +z with columns along +x and rows along +y, and pixels count from the
*centre* of the first one, (0, 0). X is in the world of raygrad's geometry, RAS+ mm; the file itself names no unit.
The detector is where its pixels have the width `pixel_width`, in mm, or the one that the images' file says.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat, detector_size
from raygrad.formats._pinholes import FROM_CENTRES, Pinholes, pinhole_of, pixel_width_of, views_of_pinholes
from raygrad.formats._text import text_of
from raygrad.geometry import ConeViews
from raygrad.pose import so3_exp_map

_HEAD = "%YAML"
_CAMERA = ("camera_matrix", "cameraMatrix", "CameraMatrix", "K", "M")
_DISTORTION = ("distortion_coefficients", "distCoeffs", "dist_coeffs", "DistCoeffs", "D")
_ROTATION = ("R", "rotation_matrix", "rotation", "rvec", "rotation_vector")
_TRANSLATION = ("t", "T", "tvec", "translation_vector", "translation")
_WIDTH = ("image_width", "width")
_HEIGHT = ("image_height", "height")
_PIXEL = ("pixel_width",)

_MATRIX = re.compile(
    r"^(\w+):\s*!!opencv-matrix\s+rows:\s*(\d+)\s+cols:\s*(\d+)\s+dt:\s*\"?(\w+)\"?\s+data:\s*\[([^\]]*)\]",
    re.MULTILINE,
)
_SCALAR = re.compile(r"^(\w+):[ \t]*([-+.\w]+)[ \t]*$", re.MULTILINE)


def _sniff(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4096)
    return head.startswith(_HEAD.encode()) and b"opencv-matrix" in head


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The one view of a camera.

    Raises:
        InputError: it is not such a file, numbers are missing, the lens is distorted, or it is no camera.
    """
    values = _values(path)

    def found(names: tuple[str, ...]) -> Float[Tensor, "row column"] | None:
        here = [name for name in names if name in values]
        if len(here) > 1:
            raise InputError(f"Expected one of {', '.join(names)}. Got {', '.join(here)} in '{path}'.")
        return values[here[0]] if here else None

    camera, rotation, translation = found(_CAMERA), found(_ROTATION), found(_TRANSLATION)
    for names, value, sizes in (
        (_CAMERA, camera, ((3, 3),)),
        (_ROTATION, rotation, ((3, 3), (3, 1), (1, 3))),
        (_TRANSLATION, translation, ((3, 1), (1, 3))),
    ):
        if value is None or tuple(value.shape) not in sizes:
            shape = "none" if value is None else f"{value.shape[0]} x {value.shape[1]}"
            known = " or ".join(f"{rows} x {columns}" for rows, columns in sizes)
            raise InputError(
                f"Expected {names[0]} (or {', '.join(names[1:])}) of {known} numbers. Got {shape} in '{path}'."
            )
    assert camera is not None
    assert rotation is not None
    assert translation is not None
    distortion = found(_DISTORTION)
    if distortion is not None and distortion.any():
        raise InputError(
            f"'{path}' has a distorted lens ({distortion.flatten().tolist()}): undistort the image, and set its "
            "coefficients to 0."
        )
    if rotation.shape != (3, 3):
        rotation = so3_exp_map(rotation.reshape(1, 3))[0]
    pinhole = Pinholes((FROM_CENTRES @ camera)[None], rotation[None], translation.reshape(1, 3))
    height, width, delx = (
        None if (value := found(names)) is None else value.item() for names in (_HEIGHT, _WIDTH, _PIXEL)
    )
    size = detector_size(path, frames, height, width, delx)
    try:
        return views_of_pinholes(pinhole, *size)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _values(path: Path) -> dict[str, Float[Tensor, "row column"]]:
    """The matrices and numbers of a file by their names."""
    text = text_of(path)
    if text is None or not text.startswith(_HEAD):
        raise InputError(f"Expected OpenCV's YAML, which begins with {_HEAD}:1.0. Got '{path}'.")
    values = {}
    for match in _MATRIX.finditer(text):
        name, rows, columns = match[1], int(match[2]), int(match[3])
        try:
            numbers = [float(word) for word in match[5].split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != rows * columns or not all(map(math.isfinite, numbers)):
            raise InputError(f"Expected {rows} x {columns} numbers of {name}. Got others in '{path}'.")
        values[name] = torch.tensor(numbers, dtype=torch.float64).reshape(rows, columns)
    for match in _SCALAR.finditer(text):
        try:
            values[match[1]] = torch.tensor([[float(match[2])]], dtype=torch.float64)
        except ValueError:  # a word, such as the day of a calibration
            continue
    return values


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    """Write the one view of a camera.

    Raises:
        InputError: several views, or a mirror image.
    """
    camera, rotation, translation = pinhole_of(path, views, "OpenCV's")
    rows, columns = views.image_shape
    lines = [f"{_HEAD}:1.0", "---", f"image_width: {columns}", f"image_height: {rows}"]
    lines += [f"pixel_width: {pixel_width_of(views)!r}"]
    matrices = {"camera_matrix": camera, "distortion_coefficients": torch.zeros(1, 5), "R": rotation}
    for name, matrix in (matrices | {"t": translation}).items():
        numbers = ", ".join(repr(number) for number in matrix.flatten().tolist())
        lines += [f"{name}: !!opencv-matrix", f"   rows: {matrix.shape[0]}", f"   cols: {matrix.shape[1]}"]
        lines += ["   dt: d", f"   data: [ {numbers} ]"]
    with written_whole(path) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="ascii")


OPENCV = GEOMETRIES.add(GeometryFormat("OpenCV's YAML", (".yml", ".yaml"), _sniff, _read, _write))
