"""The geometry of a sweep, from files and to them: where every image of a stack was taken from, and with what."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raygrad._errors import InputError
from raygrad._files import suffix_of
from raygrad.formats._registry import Format, Formats
from raygrad.geometry import ConeViews, check_cone


@dataclass(frozen=True)
class Frames:
    """What the file of the images says of them, for geometries that leave it to that.

    Attributes:
        image_shape: rows and columns.
        spacing: width and height of a pixel on the detector in mm, None if unknown.
        origin: centre of the first pixel in mm, on the detector's two axes, None for an image in the middle of (0, 0).
        directions: the way along columns and that along rows on these axes; (1, 0) and (0, 1) if None.
    """

    image_shape: tuple[int, int]
    spacing: tuple[float, float] | None = None
    origin: tuple[float, float] | None = None
    directions: tuple[tuple[float, float], tuple[float, float]] | None = None


@dataclass(frozen=True)
class GeometryFormat(Format):
    """A kind of file that says where the images of a sweep were taken from.

    Attributes:
        read: the views of a file; what it leaves open is in the `Frames` of the images, if there are any.
        write: writes views, and the names of their images, to a file; None if such files are only read.
        written: the suffixes of files that are written, if not all of them are.
        centred: the origin of the file's world is the centre of a CT. Otherwise it is that of the CT's own file.
    """

    read: Callable[[Path, Frames | None], ConeViews]
    write: Callable[[Path, ConeViews, Sequence[str | None] | None], None] | None = None
    centred: bool = False
    written: tuple[str, ...] | None = None

    @property
    def written_suffixes(self) -> tuple[str, ...]:
        """The suffixes of files that views can be written to."""
        if self.write is None:
            return ()
        return self.suffixes if self.written is None else self.written


GEOMETRIES: Formats[GeometryFormat] = Formats("geometry file")
"""The formats of `read_geometry` and `write_geometry`; `GEOMETRIES.add(GeometryFormat(...))` adds one."""


def read_geometry(path: str | os.PathLike[str], frames: Frames | None = None) -> ConeViews:
    """Read the views of a sweep, in world RAS+ mm.

    Args:
        path: raygrad's own JSON (of `write_geometry`, `write_poses` and the command line), RTK's XML, projection
            matrices, or a file of another format in `GEOMETRIES`.
        frames: what the images' file says, such as `Stack.frames`: rows, columns and the size of pixels for formats
            that leave them out. Geometry of images of another size is refused.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is of no known format, is damaged, or does not fit the images; which view is wrong is said.
    """
    path = Path(path).expanduser()
    views = GEOMETRIES.of(path).read(path, frames)
    if frames is not None and views.image_shape != frames.image_shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (frames.image_shape, views.image_shape)]
        raise InputError(f"Expected the geometry of images of {sizes[0]} pixels. Got '{path}', of {sizes[1]}.")
    for what, numbers in (("places", views.pose.matrix), ("detectors", views.calibrations)):
        wrong = (~numbers.isfinite()).flatten(1).any(1).nonzero()[:, 0].tolist()
        if wrong:
            raise InputError(f"Expected {what} of finite numbers. View {wrong[0] + 1} of '{path}' has none.")
    return views


def has_centred_world(path: str | os.PathLike[str]) -> bool:
    """Whether the origin of a geometry file's world is the centre of a CT, as in raygrad's JSON.

    Otherwise, as in RTK's XML or projection matrices, it is the origin of the CT's own file. `raygrad.read` moves a CT
    to its centre unless it is told `center_volume=False`.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is of no known format.
    """
    return GEOMETRIES.of(Path(path).expanduser()).centred


def write_geometry(
    path: str | os.PathLike[str], views: ConeViews, names: Sequence[str | None] | None = None, kind: str | None = None
) -> None:
    """Write views to a file that `read_geometry` reads back, whole or not at all.

    Args:
        path: its name ends in .json for raygrad's own format, or in the suffix of another format that is written.
        views: of a sweep.
        names: of the images' files, for formats that keep them.
        kind: the name of the format, where several are written to files of this suffix.

    Raises:
        ValueError: as many names as there are not views, or a number that is not finite.
        InputError: another suffix, no kind where there are several, or views that such a file cannot hold, such as
            pixels that are no rectangles where it has only their size, or other than `ConeViews`.
        OSError: the file cannot be written.
    """
    check_cone(views, f"'{path}'")
    path = Path(path).expanduser()
    write = written_format(path, kind).write
    assert write is not None
    write(path, views, names)


def written_format(path: Path, kind: str | None = None) -> GeometryFormat:
    """The format that a file of this name is written in.

    Args:
        path: of the file.
        kind: the format's name, where several have the suffix.

    Raises:
        InputError: no format that is written has this suffix, or several have and none was chosen.
    """
    writable = [format for format in GEOMETRIES if format.write is not None]
    written = [format for format in writable if kind in (None, format.name)]
    if not written:
        raise InputError(f"Expected as kind of geometry file one of {_names_of(writable)}. Got {kind!r}.")
    suffix = suffix_of(path, (suffix for format in written for suffix in format.written_suffixes))
    if suffix is None:
        suffixes = dict.fromkeys(suffix for format in written for suffix in format.written_suffixes)
        raise InputError(f"Expected a file name that ends in {', '.join(suffixes)}. Got '{path}'.")
    fitting = [format for format in written if suffix in format.written_suffixes]
    if len(fitting) > 1:
        raise InputError(
            f"Expected kind as one of {_names_of(fitting)}, which all are written to {suffix} files. Got none for "
            f"'{path}'."
        )
    return fitting[0]


def _names_of(formats: Sequence[GeometryFormat]) -> str:
    return ", ".join(repr(format.name) for format in formats)


def detector_size(
    path: Path,
    frames: Frames | None,
    height: float | None = None,
    width: float | None = None,
    delx: float | None = None,
) -> tuple[int, int, float]:
    """Rows, columns and the width of a pixel in mm, each as a geometry file says or else as the images' file does.

    Raises:
        InputError: neither says it, or it is no whole number or not positive.
    """
    shape = None if frames is None else frames.image_shape
    if height is not None and width is not None:
        if not math.isfinite(height) or not math.isfinite(width):
            raise InputError(f"Expected whole numbers of rows and columns. Got {height} and {width} in '{path}'.")
        shape = (int(height), int(width))
        if shape != (height, width):
            raise InputError(f"Expected whole numbers of rows and columns. Got {height} and {width} in '{path}'.")
    if delx is None and frames is not None and frames.spacing is not None:
        delx = frames.spacing[0]
    if shape is None or delx is None:
        missing = "height and width" if shape is None else "delx"
        raise InputError(f"Expected {missing} of the images in the file or beside it. '{path}' leaves open {missing}.")
    if min(shape) < 1 or not 0 < delx < float("inf"):
        raise InputError(f"Expected positive sizes. Got {shape[0]} x {shape[1]} pixels of {delx} mm in '{path}'.")
    return *shape, delx
