"""Files that hold structures: images of labels, and what tools for segmentation write."""

import os
from collections.abc import Sequence
from pathlib import Path

from raygrad._dicom import is_dicom, read_dataset
from raygrad._errors import InputError
from raygrad.data import _dicom_segmentation, _rtstruct, _slicer
from raygrad.data._dicom import begins_without_preamble, files_in
from raygrad.data._io import read_volume, read_with_simpleitk
from raygrad.data._segments import Segments
from raygrad.data._simpleitk import array_of
from raygrad.data._volume import Volume

_SLICER = (".nrrd", ".nhdr")


def read_labels(
    path: str | os.PathLike[str], grid: Volume, labels: int | Sequence[int] | None = None
) -> Volume | Segments:
    """Read an image of labels, a segmentation of 3D Slicer's, a DICOM segmentation or an RT structure set.

    Args:
        path: of the file, or of the folder that it lies in alone or beside the CT's slices.
        grid: the CT, on which contours are filled.
        labels: which structures are wanted; contours of others are not filled.

    Raises:
        FileNotFoundError: nothing is there.
        InputError: the file is damaged, or holds no structures.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        structured = [file.path for file in files_in(path) if _is_structured(file.header.get("SOPClassUID"))]
        if len(structured) > 1:
            raise InputError(f"Expected one file of structures. '{path}' has {[file.name for file in structured]}.")
        path = structured[0] if structured else path
    try:
        if path.is_file() and path.name.lower().endswith(_SLICER):
            image = read_with_simpleitk(path)
            if _slicer.is_segmentation(image):
                return _slicer.segments_of(image, array_of(image))
        elif path.is_file() and (is_dicom(path) or begins_without_preamble(path)):
            sop_class = read_dataset(path).get("SOPClassUID")
            if sop_class in _dicom_segmentation.SOP_CLASSES:
                return _dicom_segmentation.segments_of(read_dataset(path, pixels=True), path)
            if sop_class == _rtstruct.SOP_CLASS:
                return _rtstruct.segments_of(read_dataset(path), path, grid, labels)
    except ValueError as error:
        raise InputError(f"Cannot read {path}. {error}") from error
    return read_volume(path)


def _is_structured(sop_class: str | None) -> bool:
    return sop_class in (*_dicom_segmentation.SOP_CLASSES, _rtstruct.SOP_CLASS)
