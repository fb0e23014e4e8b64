"""Image files to volumes, RAS+ and x-fastest whatever the file says: NIfTI by nibabel, the others by SimpleITK."""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from raygrad._dicom import is_dicom
from raygrad._errors import InputError
from raygrad._files import suffix_of
from raygrad._optional import require
from raygrad._simpleitk import ITK_ERRORS, name_for_itk
from raygrad._text_headers import check_text_header
from raygrad.data._dicom import begins_without_preamble, read_multiframe, read_series
from raygrad.data._simpleitk import from_simpleitk, without_float64
from raygrad.data._suffixes import VOLUME_FILES, VolumeFile
from raygrad.data._volume import Volume

_MM_PER_UNIT = {"meter": 1e3, "micron": 1e-3}


def read_volume(path: str | os.PathLike[str], series_uid: str | None = None, resample_slices: bool = False) -> Volume:
    """Read one 3D image, with its axes brought to the closest RAS+ order.

    Integer types stay as they are if the file's rescaling is whole, else values are float32.

    Args:
        path: a NIfTI (.nii, .nii.gz), NRRD, MHA, MHD, MGH or other file that SimpleITK reads, a DICOM file with all
            slices (enhanced CT), or the folder of a DICOM series.
        series_uid: which DICOM series, where the folder has several.
        resample_slices: bring DICOM slices at uneven steps, which are refused otherwise, to even ones: linearly between
            neighbours, at the least step that there is.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it is not one 3D image of finite numbers in a format known here.
        ImportError: the reader's library is not installed.
    """
    path = Path(path).expanduser()
    if not (path.is_file() or path.is_dir()):  # a pipe or device would be waited for
        raise FileNotFoundError(f"There is no file or folder {path}.")
    if series_uid is not None and not path.is_dir():
        raise ValueError(f"Expected the folder of a DICOM series with series_uid. Got the file {path}.")
    try:
        if path.is_dir():
            volume = read_series(path, series_uid, resample_slices)
        elif VOLUME_FILES.get(suffix_of(path, VOLUME_FILES) or "", VolumeFile()).by_nibabel:
            volume = _read_with_nibabel(path)
        elif is_dicom(path) or begins_without_preamble(path):
            volume = read_multiframe(path, resample_slices)
        else:
            volume = from_simpleitk(read_with_simpleitk(path))
    except (ValueError, TypeError) as error:
        raise InputError(f"Cannot read {path}. {error}") from error
    return volume.to_canonical()


def from_nibabel(image: Any) -> Volume:
    """The Volume of a nibabel image, in the file's axes. Lengths become mm where the header gives another unit.

    Raises:
        ValueError: it is not one 3D image of finite real numbers.
    """
    shape = image.shape
    if len(shape) < 3 or any(size != 1 for size in shape[3:]):
        raise ValueError(f"Expected a 3D image. Got shape {shape}; split a series of images into its volumes first.")
    if image.get_data_dtype().kind not in "biuf":
        raise ValueError(f"Expected one real number per voxel. Got the type {image.get_data_dtype()}.")
    affine = np.array(image.affine, dtype=np.float64)
    if hasattr(image.header, "get_xyzt_units"):
        try:
            unit = image.header.get_xyzt_units()[0]
        except KeyError as error:
            raise ValueError(f"Expected a unit of length that NIfTI knows. Got the code {error}.") from error
        affine[:3] *= _MM_PER_UNIT.get(unit, 1.0)
    return Volume(_nibabel_voxels(image.dataobj).reshape(shape[:3], order="F"), affine)


def _read_with_nibabel(path: Path) -> Volume:
    nibabel = require("nibabel", "reading NIfTI and MGH files")
    try:
        image = nibabel.load(path, mmap=False)
        if path.suffix.lower() not in (".gz", ".mgz") or len(image.file_map) > 1:
            return from_nibabel(image)
        with gzip.open(path) as stream:
            holder = nibabel.FileHolder(fileobj=stream)
            volume = from_nibabel(type(image).from_file_map(dict.fromkeys(image.file_map, holder)))
            while stream.read(1 << 20):  # the checksum is at the end, and compared when that is read
                pass
        return volume
    except (
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
        OSError,
        EOFError,
        zlib.error,
    ) as error:
        raise ValueError(f"The file is damaged or not what its name says: {error}") from error


def _nibabel_voxels(proxy: Any) -> np.ndarray:
    """Stored integers where the header's rescaling keeps them whole, else float32, in the order of the file."""
    if not hasattr(proxy, "get_unscaled"):
        return without_float64(np.asanyarray(proxy))
    slope, intercept = float(proxy.slope), float(proxy.inter)
    stored = proxy.get_unscaled()
    if slope == 1 and intercept == 0:
        return without_float64(stored)
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        ends = sorted(int(end) * int(slope) + int(intercept) for end in (stored.min(), stored.max()))
        for dtype in (np.int16, np.int32):
            if all(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max for value in (*ends, slope, intercept)):
                stored = stored.astype(dtype)  # may wrap around, as may the product; the sum is right again
                stored *= dtype(slope)
                stored += dtype(intercept)
                return stored
    rescaled = stored.astype(np.float32)
    rescaled *= np.float32(slope)
    rescaled += np.float32(intercept)
    return rescaled


def read_with_simpleitk(path: Path) -> Any:
    """A SimpleITK image.

    Raises:
        InputError: the file is damaged, or of no format known here.
    """
    sitk = require("SimpleITK", "reading NRRD, MHA and MHD")
    check_text_header(path)
    try:
        return sitk.ReadImage(name_for_itk(path))
    except ITK_ERRORS as error:
        raise InputError(
            "It is damaged or in no known format (NIfTI, NRRD, MHA, MHD, a folder of DICOM files). "
            f"SimpleITK says: {str(error).strip().splitlines()[-1]}"
        ) from error
