"""DICOM segmentations (SEG): a frame for each segment and place, or labels (PS3.3, A.51 and C.8.20)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raygrad._dicom import number, stored_pixels
from raygrad._errors import InputError
from raygrad.data._segments import BACKGROUND, Segments, packed
from raygrad.data._simpleitk import LPS_TO_RAS
from raygrad.data._slices import Slice, macro, same_kind, slices_of
from raygrad.data._volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

SOP_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_MOST_PLANES = 20_000
_OFF = 0.1  # how far a frame may be from its place on the grid, in steps


def segments_of(dataset: "Dataset", path: Path) -> Segments:
    """The segments, on a grid of the frames' places; empty planes need not be in the file.

    Args:
        dataset: with its pixels.
        path: of its file.

    Raises:
        InputError: the file is damaged, or its frames are not on one grid.
    """
    if not dataset.get("PerFrameFunctionalGroupsSequence"):
        raise InputError(f"Expected frames that are described. Those of {path.name} are not: it is damaged.")
    slices = slices_of(dataset, path)
    same_kind(slices)
    planes, affine = _planes(dataset, slices)
    described = [(number(item, "SegmentNumber"), item) for item in dataset.get("SegmentSequence") or []]
    names = {int(segment): str(item.get("SegmentLabel", "")) for segment, item in described if segment}
    frames = stored_pixels(dataset, path)
    shape = (max(planes) + 1, slices[0].rows, slices[0].columns)
    if dataset.get("SegmentationType") == "LABELMAP":
        labels = np.zeros(shape, frames.dtype)
        labels[planes] = frames
        layers = [labels]
    else:
        half = (number(dataset, "MaximumFractionalValue") or 255) / 2
        threshold = half if dataset.get("SegmentationType") == "FRACTIONAL" else 1
        of_segment: dict[int, dict[int, np.ndarray]] = {}
        for frame, plane in enumerate(planes):
            inside = of_segment.setdefault(_segment_of(dataset, frame, path), {})
            mask = frames[frame] >= threshold
            inside[plane] = mask | inside[plane] if plane in inside else mask
        layers = packed(sorted(of_segment.items()), shape)
    return Segments(tuple(Volume(layer.T, affine) for layer in layers), {0: BACKGROUND} | names)


def _segment_of(dataset: "Dataset", frame: int, path: Path) -> int:
    groups = [dataset.PerFrameFunctionalGroupsSequence[frame], *(dataset.get("SharedFunctionalGroupsSequence") or [])]
    segment = number(macro(dataset, groups, "SegmentIdentificationSequence"), "ReferencedSegmentNumber")
    if segment is None or segment < 1:
        raise InputError(f"Expected frames that name their segment. Frame {frame + 1} of {path.name} does not.")
    return int(segment)


def _planes(dataset: "Dataset", slices: list[Slice]) -> tuple[list[int], np.ndarray]:
    """The plane of each frame on the grid, and the grid's affine."""
    first = min(slices, key=lambda piece: float(piece.position @ slices[0].normal))
    heights = np.array([(piece.position - first.position) @ first.normal for piece in slices])
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    measures = macro(dataset, [dataset.PerFrameFunctionalGroupsSequence[0], *shared], "PixelMeasuresSequence")
    said = number(measures, "SpacingBetweenSlices") or 0.0
    places, of_frame = np.unique(heights.round(3), return_inverse=True)
    gaps = np.diff(places)
    step = float(gaps.min()) if len(gaps) else said or number(measures, "SliceThickness") or 1.0
    if said > 0 and np.abs(gaps / said - np.rint(gaps / said)).max(initial=0) < _OFF:
        step = said
    planes = np.concatenate([[0], np.cumsum(np.rint(gaps / step))]).astype(int)[of_frame]
    last = int(planes.argmax())
    along = (slices[last].position - first.position) / planes[last] if planes[last] else first.normal * step
    off = np.stack([piece.position for piece in slices]) - first.position - planes[:, None] * along
    worst = int(np.linalg.norm(off, axis=1).argmax())
    if planes[last] > _MOST_PLANES:
        raise InputError(
            f"Expected at most {_MOST_PLANES} planes. {slices[last].name} is {planes[last]} from the first."
        )
    if np.linalg.norm(off[worst]) > _OFF * step:
        raise InputError(f"Expected frames at even steps. {slices[worst].name} is between two of {step:.4g} mm.")
    affine = np.eye(4)
    affine[:3, 0] = first.row_cosines * first.spacing[1]
    affine[:3, 1] = first.column_cosines * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = along, first.position
    return planes.tolist(), LPS_TO_RAS @ affine
