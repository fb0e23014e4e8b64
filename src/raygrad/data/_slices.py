"""Slices of DICOM images: where each lies and what its numbers mean, and whether all together are one volume."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad._dicom import number, numbers
from raygrad._errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

_UNEVEN, _IRREGULAR = 0.01, 0.1  # how far a slice may be from even steps, in steps: warned of, refused
_SIDEWAYS = 0.1  # how far a slice may be beside the line of the others, in pixels
_COSINES = 1e-3  # of the length, the angle, and from slice to slice: headers round
_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class Slice:
    """One slice as its header describes it, in LPS+ mm (DICOM PS3.3, C.7.6.2.1.1).

    Attributes:
        path: its file.
        frame: which frame of the file, from 0; None where a file is one slice.
        rows, columns: number of pixels.
        position: of the first pixel's centre.
        row_cosines: the direction in which columns are counted.
        column_cosines: the direction in which rows are counted.
        spacing: distance between rows, and between columns.
        slope, intercept: from stored numbers to those meant, which are HU in a CT (PS3.3, C.11.1).
        unit: RescaleType of a CT (C.11.1.1.2); "" where it says none, and of what is no CT.
    """

    path: Path
    frame: int | None
    rows: int
    columns: int
    position: np.ndarray
    row_cosines: np.ndarray
    column_cosines: np.ndarray
    spacing: np.ndarray
    slope: float
    intercept: float
    unit: str = ""

    @property
    def name(self) -> str:
        """The file, and the frame as people count them."""
        return self.path.name if self.frame is None else f"frame {self.frame + 1} of {self.path.name}"

    @property
    def normal(self) -> np.ndarray:
        """The direction perpendicular to the slice."""
        return np.cross(self.row_cosines, self.column_cosines)


def slices_of(dataset: "Dataset", path: Path) -> list[Slice]:
    """The slices of a file: one, or the frames of an enhanced object (PS3.3, C.7.6.16).

    Raises:
        InputError: a slice has no place, or an impossible one; or its numbers are not to be had by slope and intercept.
    """
    kind = getattr(dataset.get("SOPClassUID"), "name", "no SOP class")
    if "Rows" not in dataset:
        raise InputError(f"Expected an image. {path.name} is none ({kind}).")
    frames = int(number(dataset, "NumberOfFrames") or 1)
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if not groups:
        if frames > 1:
            raise InputError(f"{path.name} has {frames} frames but says of none where it lies ({kind}).")
        return [_slice(dataset, [], path, None)]
    if len(groups) != frames:
        raise InputError(f"{path.name} has {frames} frames but describes {len(groups)}: it is damaged.")
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    return [_slice(dataset, [group, *shared], path, frame) for frame, group in enumerate(groups)]


def macro(dataset: "Dataset", groups: list[Any], sequence: str) -> "Dataset":
    """What a frame's functional group says, or that of all frames, or the header itself."""
    for group in groups:
        if group.get(sequence):
            return group[sequence].value[0]
    return dataset


def _slice(dataset: "Dataset", groups: list[Any], path: Path, frame: int | None) -> Slice:
    measures, values = macro(dataset, groups, "PixelMeasuresSequence"), dataset
    if groups:
        values = macro(dataset, groups, "PixelValueTransformationSequence")
    position = numbers(macro(dataset, groups, "PlanePositionSequence"), "ImagePositionPatient")
    cosines = numbers(macro(dataset, groups, "PlaneOrientationSequence"), "ImageOrientationPatient")
    spacing = numbers(measures, "PixelSpacing")
    rows, columns = number(dataset, "Rows"), number(dataset, "Columns")
    slope, intercept = _rescaling(values, "RescaleSlope", 1.0), _rescaling(values, "RescaleIntercept", 0.0)
    name = path.name if frame is None else f"frame {frame + 1} of {path.name}"
    if len(position) != 3 or len(cosines) != 6 or len(spacing) != 2 or min(spacing) <= 0:
        raise InputError(f"Expected position, orientation and pixel spacing in every slice. {name} lacks one.")
    if not rows or not columns or (number(dataset, "SamplesPerPixel") or 1) != 1:
        raise InputError(f"Expected slices of one number per pixel. {name} has none, or several (RGB).")
    if slope is None or intercept is None or slope == 0:
        raise InputError(f"Expected a rescale slope other than 0, and an intercept. {name} has none.")
    if "ModalityLUTSequence" in dataset:
        raise InputError(f"Expected a rescale slope and intercept. {name} has a table (Modality LUT) instead.")
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > _COSINES or abs(row @ column) > _COSINES:
        raise InputError(
            f"Expected an orientation of two perpendicular directions of length 1. {name} has {list(cosines)}."
        )
    row, column = row / lengths[0], column / lengths[1]
    unit = str(values.get("RescaleType") or "").strip().upper() if dataset.get("Modality") == "CT" else ""
    place = np.array(position), row, column, np.array(spacing)
    return Slice(path, frame, int(rows), int(columns), *place, slope, intercept, unit)


def _rescaling(values: "Dataset", keyword: str, default: float) -> float | None:
    """The number; the default where there is none; None where there is something else."""
    if keyword not in values or values.get_item(keyword).value in (None, b"", ""):
        return default
    return number(values, keyword)


def in_order(slices: list[Slice]) -> tuple[list[Slice], np.ndarray]:
    """The slices sorted along their normal, and how high each lies along it in mm.

    Raises:
        InputError: they differ in size or orientation, or two are at one place, or one is beside the line of the
            others. A tilted gantry's slices are on a line that is not perpendicular to them, which is right.
    """
    same_kind(slices)
    normal = slices[0].normal
    slices = sorted(slices, key=lambda piece: float(piece.position @ normal))
    heights = np.array([piece.position @ normal for piece in slices])
    closest = int(np.diff(heights).argmin())
    if heights[closest + 1] - heights[closest] < _SAME_PLACE_MM:
        raise InputError(
            f"Expected one slice per position. {slices[closest].name} and {slices[closest + 1].name} are at the same."
        )
    _check_line(slices, heights)
    return slices, heights


def same_kind(slices: list[Slice]) -> None:
    """Check that slices have one size, spacing and orientation.

    Raises:
        InputError: one differs.
    """
    first = slices[0]
    cosines = np.concatenate([first.row_cosines, first.column_cosines])
    for piece in slices:
        same = np.allclose(np.concatenate([piece.row_cosines, piece.column_cosines]), cosines, atol=_COSINES)
        same &= np.allclose(piece.spacing, first.spacing, rtol=1e-3)
        if not same or (piece.rows, piece.columns) != (first.rows, first.columns):
            raise InputError(f"Expected slices of one size and orientation. {piece.name} differs from {first.name}.")


def _check_line(slices: list[Slice], heights: np.ndarray) -> None:
    first = slices[0]
    axes = np.stack([first.row_cosines, first.column_cosines])
    along = np.stack([piece.position for piece in slices]) @ axes.T
    some = slice(
        None, None, -(-len(slices) // 200)
    )  # the median of the slopes of all pairs: Theil, 1950, and Sen, 1968
    lower, upper = np.triu_indices(len(heights[some]), 1)
    drift = np.median(  # the median of the slopes of all pairs (Theil, 1950; Sen, 1968): no few slices move it
        (along[some][upper] - along[some][lower]) / (heights[some][upper] - heights[some][lower])[:, None], axis=0
    )
    beside = along - heights[:, None] * drift
    beside = np.linalg.norm(beside - np.median(beside, axis=0), axis=1)
    worst = int(beside.argmax())
    if beside[worst] > _SIDEWAYS * first.spacing.min():
        raise InputError(
            f"Expected slices along one line. {slices[worst].name} is {beside[worst]:.4g} mm beside the others."
        )


def are_even(slices: list[Slice], heights: np.ndarray, resampled: bool) -> bool:
    """Whether all steps from slice to slice are one, but for what a mean step does not put far away.

    Args:
        slices: in order.
        heights: of the slices.
        resampled: uneven steps are resampled, so nothing is refused nor warned of.

    Raises:
        InputError: a slice is further from where even steps put it than a tenth of a step. A warning is given above a
            hundredth.
    """
    gaps = np.diff(heights)
    even = np.linspace(heights[0], heights[-1], len(heights))
    off = float(np.abs(heights - even).max() / gaps.mean())
    if off <= _UNEVEN or resampled:
        return off <= _UNEVEN
    typical = float(np.median(gaps))
    worst = int(np.abs(gaps - typical).argmax())
    where = (
        f"Slices are {typical:.4g} mm apart, but {slices[worst].name} and {slices[worst + 1].name} are "
        f"{gaps[worst]:.4g} mm."
    )
    if off > _IRREGULAR:
        times = gaps[worst] / typical
        missing = " Is one missing?" if times > 1.5 and abs(times - round(times)) < _IRREGULAR else ""
        raise InputError(
            f"Expected evenly spaced slices. {where}{missing} `resample_slices=True` (--resample-slices) interpolates "
            "slices at even steps."
        )
    warnings.warn(f"Slices are not evenly spaced; the mean step is used. {where}", stacklevel=5)
    return True
