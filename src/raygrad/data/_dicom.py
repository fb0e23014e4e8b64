"""DICOM slices to one volume: which files make it, with the geometry and the rescaling of every slice's own header."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from raygrad._dicom import is_dicom, number, read_dataset
from raygrad._errors import InputError
from raygrad.data._not_hounsfield import warn_of_other_units
from raygrad.data._rescale import at_even_steps, rescaled
from raygrad.data._simpleitk import LPS_TO_RAS
from raygrad.data._slices import Slice, are_even, in_order, slices_of
from raygrad.data._volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

_CONTENTS_OF_A_DISC = "DICOMDIR"  # the name that this file, no image, has on every disc (PS3.10, 8.6)
_DERIVED = ("SEG", "RTDOSE", "PR")  # often beside a CT in its folder


class DicomFile(NamedTuple):
    """A file with its header."""

    path: Path
    header: "Dataset"


def read_series(folder: Path, series_uid: str | None = None, resample_slices: bool = False) -> Volume:
    """Read a folder's DICOM series, of single slices or of enhanced files with many, with slope and intercept applied.

    Slices are ordered by position. The step from slice to slice is the mean of the positions' steps, so a tilted
    gantry gives the sheared affine that it has. The volume is in the file's axes (DICOM PS3.3, C.7.6.2.1.1).

    Raises:
        ValueError: no series, or several and none chosen; a file is damaged; slices do not make one volume, each of
            which the message names. Above a hundredth of a step of unevenness, a warning says so.
    """
    files = _choose(images_by_series(folder), series_uid, folder)
    slices = [piece for path, header in files for piece in slices_of(header, path)]
    if len(slices) == 1:
        raise InputError("Expected a series of several slices. Got one.")
    return _volume_of(slices, resample_slices)


def read_multiframe(path: Path, resample_slices: bool = False) -> Volume:
    """Read one file with all slices: enhanced CT and its like. As `read_series` otherwise."""
    slices = slices_of(read_dataset(path), path)
    if len(slices) == 1:
        raise InputError("It is a single DICOM slice; give the folder that has the series.")
    return _volume_of(slices, resample_slices)


def _volume_of(slices: list[Slice], resample_slices: bool) -> Volume:
    warn_of_other_units(piece.unit for piece in slices)
    slices, heights = in_order(slices)
    even = are_even(slices, heights, resample_slices)
    array = rescaled(slices)
    array = array if even else at_even_steps(array, heights)
    first, last = slices[0], slices[-1]
    voxel_to_lps = np.eye(4)
    voxel_to_lps[:3, 0] = first.row_cosines * first.spacing[1]  # PixelSpacing is (between rows, between columns)
    voxel_to_lps[:3, 1] = first.column_cosines * first.spacing[0]
    voxel_to_lps[:3, 2] = (last.position - first.position) / (len(array) - 1)
    voxel_to_lps[:3, 3] = first.position
    return Volume(array.T, LPS_TO_RAS @ voxel_to_lps)


def headers_of(path: str | os.PathLike[str], series_uid: str | None = None) -> "list[Dataset]":
    """The headers of the files that a CT is read from; none if it is not DICOM.

    Raises:
        InputError: no series, or several and none chosen, or a file is damaged.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return [file.header for file in _choose(images_by_series(path), series_uid, path)]
    return [read_dataset(path)] if path.is_file() and is_dicom(path) else []


def header_of(path: str | os.PathLike[str], series_uid: str | None = None) -> "Dataset | None":
    """The header of the first of these files; None if the CT is not DICOM."""
    return next(iter(headers_of(path, series_uid)), None)


def files_in(folder: Path) -> list[DicomFile]:
    """The folder's DICOM files, without its subfolders, in the order of their names.

    Raises:
        InputError: one is damaged.
    """
    files = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name == _CONTENTS_OF_A_DISC:
            continue
        declared = is_dicom(path)
        if not declared and not begins_without_preamble(path):
            continue
        try:
            header = read_dataset(path)
        except InputError as error:
            if declared:
                raise InputError(f"Expected whole DICOM files. Got '{path}': it is damaged.") from error
            continue  # its first bytes are those of a DICOM file by chance
        files.append(DicomFile(path, header))
    return files


def begins_without_preamble(path: Path) -> bool:
    """Whether a file begins as DICOM without a preamble does: with an element of the meta header or identification."""
    with path.open("rb") as file:
        return file.read(2) in (b"\x02\x00", b"\x08\x00")


def images_by_series(folder: Path) -> dict[str, list[DicomFile]]:
    """The folder's DICOM files that are images, by the UID of their series.

    Raises:
        InputError: a file is damaged.
    """
    series: dict[str, list[DicomFile]] = {}
    for file in files_in(folder):
        uid = file.header.get("SeriesInstanceUID")
        if not uid:
            raise InputError(f"Expected DICOM files that name their series. Got '{file.path}': it is damaged.")
        if "Rows" in file.header:
            series.setdefault(str(uid), []).append(file)
    return series


def _choose(series: dict[str, list[DicomFile]], series_uid: str | None, folder: Path) -> list[DicomFile]:
    if not series:
        folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        hint = f" Its subfolders are {folders}." if folders else ""
        raise InputError(f"There is no DICOM series in the folder.{hint}")
    if series_uid is None:
        of_slices = [files for files in series.values() if files[0].header.get("Modality") not in _DERIVED]
        candidates = of_slices or list(series.values())
        if len(candidates) == 1:
            return candidates[0]
    if series_uid is None or series_uid not in series:
        listing = "\n".join(f"  {uid}: {_describe(files)}" for uid, files in series.items())
        problem = "Several series are in the folder" if series_uid is None else f"There is no series {series_uid}"
        raise InputError(f"{problem}; choose one with series_uid (--series):\n{listing}")
    return series[series_uid]


def _describe(files: list[DicomFile]) -> str:
    header = files[0].header
    slices = sum(int(number(file.header, "NumberOfFrames") or 1) for file in files)
    words = [str(header.get(keyword) or "").strip() for keyword in ("Modality", "SeriesDescription")]
    size = f"{header.get('Columns')} x {header.get('Rows')}"
    return f"{slices} {'slice' if slices == 1 else 'slices'} of {size}, {words[0]}, {words[1] or 'without description'}"
