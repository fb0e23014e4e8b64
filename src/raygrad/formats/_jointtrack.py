"""JointTrack's calibration and poses: where an implant or bone was before the source in every frame of a fluoroscopy.

They are those of JointTrack's own sample files. Calibration (`JT_INTCALIB`): the distance from the source to the
image, the principal point's offset from the middle of the image, x to the right and y up, and the size of a pixel, in
mm. Poses (`JT_EULER_312`, .jts): a row for every frame, x, y and z in mm and turns about z, x and y in degrees. A point
X of the object is at R X + t, R = Rz Rx Ry, before a source at the origin that looks along -z at an image with x to the
right and y up. The world here is the object's own frame, in which its surface (STL) is given.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._pinholes import pixel_size_of
from raygrad.formats._text import rows_of, text_of
from raygrad.geometry import ConeViews, cone_vectors_of, views_of_cone_vectors
from raygrad.pose import euler_angles_to_matrix, matrix_to_euler_angles

_POSES = ("JT_EULER_312", "JTA_EULER_KINEMATICS")  # the latter is how JointTrack's successor begins .jtak files
_CALIBRATIONS = ("JT_INTCALIB", "JTA_INTCALIB")
_COLUMNS = ("x_tran", "y_tran", "z_tran", "z_rot", "x_rot", "y_rot")
# The calibration that poses are written with, if there is none beside them.
_CALIBRATION_NAME = "calibration.txt"
_TOLERANCE = 1e-3  # mm


def _begins(path: Path, *words: str) -> bool:
    text = text_of(path) or ""
    return text.split(maxsplit=1)[:1] in [[word] for word in words]


def _sniff(path: Path) -> bool:
    return _begins(path, *_POSES)


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The views of a .jts file, by the one calibration in its folder.

    Raises:
        InputError: the size of the images is unknown, there is no calibration or there are several, or a frame (whose
            number is said) has no pose.
    """
    if frames is None:
        raise InputError(f"Expected the size of the images, which JointTrack leaves to them. Got none for '{path}'.")
    sdd, x, y, pixel = _calibration_beside(path)
    rows, columns = frames.image_shape
    numbers = []
    for number, line in enumerate((text_of(path) or "").splitlines()[2:], start=1):
        found = rows_of(line)
        if found is None or (found and len(found[0]) != len(_COLUMNS)):
            raise InputError(f"Expected {', '.join(_COLUMNS)} of frame {number}. Got {line.strip()!r} in '{path}'.")
        numbers += found
    if not numbers:
        raise InputError(f"'{path}' has no poses.")
    values = torch.tensor(numbers, dtype=torch.float64)
    rotation = euler_angles_to_matrix(torch.deg2rad(values[:, 3:]), "ZXY")
    # Source, middle of the detector and steps of its pixels in the camera, then in the frame of the object.
    in_camera = torch.tensor([[0, 0, 0], [-x, -y, -sdd], [pixel, 0, 0], [0, -pixel, 0]], dtype=torch.float64)
    vectors = in_camera.repeat(len(values), 1, 1)
    vectors[:, :2] -= values[:, None, :3]
    try:
        return views_of_cone_vectors((vectors @ rotation).flatten(1), rows, columns)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _calibration_beside(path: Path) -> tuple[float, float, float, float]:
    found = _calibrations(path.parent)
    if len(found) != 1:
        names = ", ".join(f"'{file.name}'" for file in found) or "none"
        raise InputError(f"Expected one calibration ({_CALIBRATIONS[0]}, .txt) beside '{path}'. Got {names}.")
    return _read_calibration(found[0])


def _calibrations(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("*.txt")) if _begins(file, *_CALIBRATIONS)]


def _read_calibration(path: Path) -> tuple[float, float, float, float]:
    """Distance, offset along x and y, and the size of a pixel in mm."""
    rows = rows_of((text_of(path) or "").lstrip().partition("\n")[2])
    numbers = [number for row in rows or () for number in row]
    if len(numbers) != 4 or not (numbers[0] > 0 and numbers[3] > 0):
        raise InputError(
            f"Expected the distance of the image, two offsets and the size of a pixel in mm. Got {numbers} in '{path}'."
        )
    sdd, x, y, pixel = numbers
    return sdd, x, y, pixel


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    """Write the poses of an object, and their calibration as `calibration.txt` if there is none beside them.

    Raises:
        InputError: pixels that are no squares of one size, several detectors, mirror images, or another calibration.
    """
    width, height = pixel_size_of(views)
    source, middle, across, down = cone_vectors_of(views).reshape(-1, 4, 3).unbind(1)
    x_axis, y_axis = across / width, -down / height
    camera_to_object = torch.stack([x_axis, y_axis, torch.linalg.cross(x_axis, y_axis)], dim=-1)
    detector = ((middle - source)[:, None] @ camera_to_object)[:, 0]
    apart = (detector - detector[0]).abs().max().item()
    if abs(width - height) > 1e-6 * width or apart > _TOLERANCE or not detector[0, 2] < 0:
        raise InputError(
            "Expected one detector of square pixels for JointTrack, and images as radiologists look at them. "
            f"Got pixels of {width} x {height} mm, and detectors up to {apart:g} mm apart, the first "
            f"{-detector[0, 2].item():g} mm before its source."
        )
    calibration = (-detector[0, 2].item(), -detector[0, 0].item(), -detector[0, 1].item(), width)
    there = _calibrations(path.parent)
    beside = path.with_name(_CALIBRATION_NAME)
    if not there and beside.exists():
        raise InputError(f"Expected no file '{beside}', or JointTrack's calibration. Got another one.")
    if there:
        known = _calibration_beside(path)
        if max(abs(one - other) for one, other in zip(known, calibration, strict=True)) > _TOLERANCE:
            raise InputError(f"Expected views of the calibration '{there[0]}', {known}. Got {calibration}.")
    rotation = camera_to_object.mT
    translation = -(rotation @ source[:, :, None])[..., 0]
    rows = torch.cat([translation, torch.rad2deg(matrix_to_euler_angles(rotation, "ZXY"))], dim=-1)
    lines = [_POSES[0], ",".join(f"{name:>16}" for name in _COLUMNS)]
    lines += [",".join(f"{number:16.9g}" for number in row) for row in rows.tolist()]
    if not there:
        with written_whole(beside) as unfinished:
            numbers = (f"{number:.9g}" for number in calibration)
            unfinished.write_text("\n".join([_CALIBRATIONS[0], *numbers]) + "\n", encoding="ascii")
    with written_whole(path) as unfinished:
        unfinished.write_text("\n".join(lines) + "\n", encoding="ascii")


JOINTTRACK = GEOMETRIES.add(
    GeometryFormat("JointTrack's poses", (".jts", ".jtak"), _sniff, _read, _write, written=(".jts",))
)
