"""A DICOM series of slices to one volume, with the geometry taken from every slice's own position."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from raygrad._optional import require
from raygrad._simpleitk import quiet
from raygrad.data._simpleitk import LPS_TO_RAS, from_simpleitk, without_float64
from raygrad.data._volume import Volume

_POSITION, _ORIENTATION, _PIXEL_SPACING, _DESCRIPTION = "0020|0032", "0020|0037", "0028|0030", "0008|103e"
_UNEVEN, _IRREGULAR = 0.01, 0.1  # deviation from even slice spacing, as a part of it: warned of, refused


class _Slice(NamedTuple):
    file: str
    size: tuple[int, ...]
    position: np.ndarray
    row_cosines: np.ndarray
    column_cosines: np.ndarray
    spacing: np.ndarray


def read_series(folder: Path, series_uid: str | None = None) -> Volume:
    """Read a folder's DICOM series, with rescale slope and intercept applied (so a CT is in HU).

    Slices are ordered by position. The step from slice to slice is the mean of the positions' steps, so a tilted
    gantry gives the sheared affine that it has. The volume is in the file's axes (DICOM PS3.3, C.7.6.2.1.1).

    Raises:
        ValueError: no series, or several and none chosen; slices of different size or orientation, at the same
            position, or spaced irregularly by more than a tenth (a missing slice). Above a hundredth a warning says so.
    """
    sitk = require("SimpleITK", "reading DICOM")
    files = _files_of_series(sitk, folder, series_uid)
    slices = [_read_header(sitk, file) for file in files]
    if len(slices) == 1:
        return _read_multiframe(sitk, slices[0])
    slices, step = _in_order(slices)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([piece.file for piece in slices])
    with quiet():
        array = without_float64(sitk.GetArrayFromImage(reader.Execute()))
    if array.ndim != 3:
        raise ValueError(f"Expected slices of one number per pixel. Got an array of shape {array.shape} (RGB?).")

    first = slices[0]
    voxel_to_lps = np.eye(4)
    voxel_to_lps[:3, 0] = first.row_cosines * first.spacing[1]  # PixelSpacing is (between rows, between columns)
    voxel_to_lps[:3, 1] = first.column_cosines * first.spacing[0]
    voxel_to_lps[:3, 2] = step
    voxel_to_lps[:3, 3] = first.position
    return Volume(array.T, LPS_TO_RAS @ voxel_to_lps)


def _files_of_series(sitk: Any, folder: Path, series_uid: str | None) -> tuple[str, ...]:
    with quiet():
        found = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    series = {uid: sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid) for uid in found}
    if not series:
        folders = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        hint = f" Its subfolders are {folders}." if folders else ""
        raise ValueError(f"There is no DICOM series in the folder.{hint}")
    if series_uid is None and len(series) == 1:
        return next(iter(series.values()))
    if series_uid not in series:
        listing = "\n".join(
            f"  {uid}: {len(names)} files, {_describe(sitk, names[0])}" for uid, names in series.items()
        )
        problem = "Several series are in the folder" if series_uid is None else f"There is no series {series_uid}"
        raise ValueError(f"{problem}; choose one with series_uid:\n{listing}")
    return series[series_uid]


def _describe(sitk: Any, file: str) -> str:
    reader = _header_reader(sitk, file)
    return reader.GetMetaData(_DESCRIPTION).strip() if reader.HasMetaDataKey(_DESCRIPTION) else "without description"


def _header_reader(sitk: Any, file: str) -> Any:
    reader = sitk.ImageFileReader()
    reader.SetFileName(file)
    reader.ReadImageInformation()
    return reader


def _read_header(sitk: Any, file: str) -> _Slice:
    reader = _header_reader(sitk, file)

    def numbers(tag: str, count: int) -> np.ndarray:
        text = reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""
        try:
            values = np.array([float(part) for part in text.split("\\")])
        except ValueError:
            values = np.array([])
        return values if len(values) == count else np.full(count, np.nan)

    cosines = numbers(_ORIENTATION, 6)
    return _Slice(file, reader.GetSize(), numbers(_POSITION, 3), cosines[:3], cosines[3:], numbers(_PIXEL_SPACING, 2))


def _read_multiframe(sitk: Any, only: _Slice) -> Volume:
    """One file with all slices (enhanced CT), whose geometry ITK works out."""
    if len(only.size) < 3 or only.size[2] == 1:
        raise ValueError("Expected a series of several slices. Got one.")
    return from_simpleitk(sitk.ReadImage(only.file))


def _in_order(slices: list[_Slice]) -> tuple[list[_Slice], np.ndarray]:
    """The slices sorted along their normal, and the mean step between them in mm (LPS)."""
    first = slices[0]
    for piece in slices:
        geometry = np.concatenate([piece.position, piece.row_cosines, piece.column_cosines, piece.spacing])
        if not np.isfinite(geometry).all():
            raise ValueError(
                f"Expected position, orientation and pixel spacing in every slice. {piece.file} lacks one."
            )
        same = np.allclose(geometry[3:9], np.concatenate([first.row_cosines, first.column_cosines]), atol=1e-3)
        if not (same and piece.size == first.size and np.allclose(piece.spacing, first.spacing, rtol=1e-3)):
            raise ValueError(f"Expected slices of one size and orientation. {piece.file} differs from {first.file}.")
    normal = np.cross(first.row_cosines, first.column_cosines)
    slices = sorted(slices, key=lambda piece: float(piece.position @ normal))
    heights = np.array([piece.position @ normal for piece in slices])
    gaps = np.diff(heights)
    typical = float(np.median(gaps))
    if gaps.min() < 1e-3:
        at = int(gaps.argmin())
        raise ValueError(
            f"Expected one slice per position. {slices[at].file} and {slices[at + 1].file} are at the same."
        )
    worst = int(np.abs(gaps - typical).argmax())
    deviation = abs(gaps[worst] - typical) / typical
    where = (
        f"Slices are {typical:.4g} mm apart, but {slices[worst].file} and {slices[worst + 1].file} are "
        f"{gaps[worst]:.4g} mm."
    )
    if deviation > _IRREGULAR:
        raise ValueError(f"Expected evenly spaced slices. {where} Is one missing?")
    if deviation > _UNEVEN:
        warnings.warn(f"Slices are not evenly spaced; the mean step is used. {where}", stacklevel=4)
    return slices, (slices[-1].position - slices[0].position) / (len(slices) - 1)
