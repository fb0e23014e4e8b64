"""Which family of SOP classes a file belongs to, and its geometry."""

import os
from pathlib import Path

from raygrad._dicom import read_dataset
from raygrad.formats._dicom_geometry.angiography import read_angiography
from raygrad.formats._dicom_geometry.enhanced_radiotherapy import read_enhanced_rt_image
from raygrad.formats._dicom_geometry.geometry import XRayGeometry
from raygrad.formats._dicom_geometry.header import Header
from raygrad.formats._dicom_geometry.radiography import read_radiograph
from raygrad.formats._dicom_geometry.radiotherapy import read_rt_image

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_ANGIOGRAPHY = {_STORAGE + "12.1", _STORAGE + "12.2", _STORAGE + "12.3"}
_ENHANCED = {_STORAGE + "12.1.1", _STORAGE + "12.2.1"}
_RT_IMAGE = _STORAGE + "481.1"
_ENHANCED_RT = {_STORAGE + "481.23", _STORAGE + "481.24"}


def read_xray_geometry(path: str | os.PathLike[str], frame: int | None = None) -> XRayGeometry:
    """What the header of an X-ray in DICOM says of where and with what it was taken, and how sure that is.

    Every number has its origin in `provenance`; what is missing is replaced by what is usual, with a wide deviation
    and a warning.

    Args:
        path: XA, RF, their enhanced forms, RT Image, DX, CR, or what else looks like one.
        frame: of a file with several, counted from 1 as DICOM counts them; the first one by default.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not DICOM, not an image, or has no such frame.
        ImportError: pydicom is not installed.
    """
    path = Path(path).expanduser()
    header = Header(read_dataset(path), path, frame)
    storage, modality = header.text("SOPClassUID"), header.text("Modality")
    if storage in _ENHANCED:
        return read_angiography(header, enhanced=True)
    if storage == _RT_IMAGE:
        return read_rt_image(header)
    if storage in _ENHANCED_RT:
        return read_enhanced_rt_image(header)
    if storage in _ANGIOGRAPHY or modality in ("XA", "RF", "DSA"):
        return read_angiography(header, enhanced=False)
    return read_radiograph(header)
