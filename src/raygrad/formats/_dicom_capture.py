"""Pictures for the eye as DICOM: Secondary Capture Image (PS3.3, A.8.1), in the study of the X-ray that they show."""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raygrad._dicom import is_dicom, read_dataset
from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.formats._dicom_study import check_dicom_path, describe_study
from raygrad.formats._itk_images import read_itk

if TYPE_CHECKING:
    from pydicom import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_OF_PIXELS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""What a picture has from its X-ray's: that once was compressed with loss stays so (C.7.6.1.1.5)."""


def check_capture(path: str | os.PathLike[str], xray: str | os.PathLike[str] | None = None) -> Path:
    """The path, if `write_secondary_capture` can write there, in the study of this X-ray.

    Raises:
        InputError: another suffix than .dcm, or an X-ray that is a damaged DICOM file.
        FileNotFoundError: there is no such folder, or no such X-ray.
        ImportError: pydicom is not installed.
    """
    path = check_dicom_path(path)
    _header_of(xray)
    return path


def write_secondary_capture(
    path: str | os.PathLike[str],
    picture: str | os.PathLike[str],
    xray: str | os.PathLike[str] | None = None,
    description: str = "",
) -> None:
    """Write a picture such as an overlay as a DICOM Secondary Capture Image of RGB, whole or not at all.

    Args:
        path: its name ends in .dcm.
        picture: a file of 8 bits, grey or coloured; what is transparent becomes white.
        xray: the X-ray that it shows. If that is DICOM, the picture is of its patient and study, else of new ones.
        description: of the series, of at most 64 characters.

    Raises:
        InputError: another suffix, a picture that cannot be read or has more than 8 bits, or an X-ray that is damaged.
        FileNotFoundError: there is no such folder, picture or X-ray.
        OSError: the file cannot be written.
        ImportError: pydicom or SimpleITK is not installed.
    """
    path = check_capture(path, xray)
    pixels = read_colours(picture)
    pydicom = require("pydicom", "writing DICOM")
    dataset = pydicom.Dataset()
    header = _header_of(xray)
    describe_study(dataset, header)
    _describe(dataset, header, description)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = pixels.shape
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    content = pixels.tobytes()
    dataset.PixelData = content + bytes(len(content) % 2)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with written_whole(path) as unfinished:
        dataset.save_as(unfinished, enforce_file_format=True)


def read_colours(path: str | os.PathLike[str]) -> np.ndarray:
    """The picture of a file as uint8 (row, column, 3), on white where it is transparent.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is no picture of 8 bits.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture '{path}'.")
    array, image = read_itk(path)
    samples = image.GetNumberOfComponentsPerPixel()
    array = array if samples > 1 else array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or samples not in (1, 3, 4):
        raise InputError(f"Expected a picture of 8 bits, grey or RGB. Got '{path}', of {samples} x {array.dtype}.")
    if samples == 4:
        opaque = array[..., 3:] / 255
        array = np.round(array[..., :3] * opaque + 255 * (1 - opaque)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))


def _header_of(xray: str | os.PathLike[str] | None) -> "Dataset | None":
    """The header of an X-ray, if it is DICOM."""
    if xray is None:
        return None
    path = Path(xray).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no X-ray '{path}'.")
    return read_dataset(path) if is_dicom(path) else None


def _describe(dataset: "Dataset", header: "Dataset | None", description: str) -> None:
    """A series, an image and equipment of its own (C.7.3.1, C.7.6.1, C.8.6)."""
    now = datetime.datetime.now()
    for keyword in _OF_PIXELS:
        if header is not None and keyword in header:
            dataset[keyword] = header[keyword]
    if header is not None and header.get("BurnedInAnnotation") == "YES":
        dataset.BurnedInAnnotation = "YES"
    dataset.SOPClassUID = _SECONDARY_CAPTURE
    dataset.Modality, dataset.ConversionType = "OT", "WSD"  # made on a workstation
    dataset.Manufacturer = dataset.SecondaryCaptureDeviceManufacturer = "raygrad"
    dataset.SeriesDescription = description[:64]
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.PatientOrientation = ""
    dataset.ContentDate = dataset.DateOfSecondaryCapture = now.strftime("%Y%m%d")
    dataset.ContentTime = dataset.TimeOfSecondaryCapture = now.strftime("%H%M%S")
