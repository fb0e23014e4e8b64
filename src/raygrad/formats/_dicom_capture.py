"""Pictures for the eye as DICOM: Secondary Capture Image (PS3.3, A.8.1), in the study of the X-ray that they show."""

import datetime
import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.formats._dicom_study import check_dicom_path, describe_study, frames_of, headers_of_study
from raygrad.formats._itk_images import read_itk

if TYPE_CHECKING:
    from pydicom import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
XRays = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None
_OF_PIXELS = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""What a picture has from its X-ray's: that once was compressed with loss stays so (C.7.6.1.1.5)."""


def check_capture(path: str | os.PathLike[str], xray: XRays = None) -> Path:
    """The path, if `write_secondary_capture` can write there, in the study of these X-rays.

    Raises:
        InputError: another suffix than .dcm, an X-ray that is a damaged DICOM file, or X-rays of several studies.
        FileNotFoundError: there is no such folder, or no such X-ray.
        ImportError: pydicom is not installed.
    """
    path = check_dicom_path(path)
    _headers_of(xray)
    return path


def write_secondary_capture(
    path: str | os.PathLike[str],
    picture: str | os.PathLike[str],
    xray: XRays = None,
    description: str = "",
    frames: Sequence[int | None] = (),
) -> None:
    """Write a picture such as an overlay as a DICOM Secondary Capture Image of RGB, whole or not at all.

    Args:
        path: its name ends in .dcm.
        picture: a file of 8 bits, grey or coloured; what is transparent becomes white.
        xray: the X-ray that it shows, or several of one study. What of them is DICOM is referred to, and the picture is
            of its patient and study; else of new ones.
        description: of the series, of at most 64 characters.
        frames: of each X-ray, which of several images in its file it is, from 1; None for all.

    Raises:
        InputError: another suffix, a picture that cannot be read or has more than 8 bits, or an X-ray that is damaged
            or of another study than the first.
        FileNotFoundError: there is no such folder, picture or X-ray.
        OSError: the file cannot be written.
        ImportError: pydicom or SimpleITK is not installed.
    """
    path = check_capture(path, xray)
    pixels = read_colours(picture)
    pydicom = require("pydicom", "writing DICOM")
    dataset = pydicom.Dataset()
    headers = _headers_of(xray)
    header = next((header for header in headers if header is not None), None)
    describe_study(dataset, header)
    _describe(dataset, header, description)
    _name_sources(dataset, headers, frames)
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


def _headers_of(xray: XRays) -> "list[Dataset | None]":
    if xray is None:
        return []
    return headers_of_study([xray] if isinstance(xray, str | os.PathLike) else xray)


def _name_sources(dataset: "Dataset", headers: "Sequence[Dataset | None]", frames: Sequence[int | None]) -> None:
    """The images that the picture was made from (C.7.6.1.1.3, C.7.6.1.1.4)."""
    pydicom = require("pydicom", "writing DICOM")
    dataset.DerivationDescription = "Drawn from the source image and a rendering of a CT that was registered to it"
    items = []
    for header, frame in zip_longest(headers, frames[: len(headers)]):
        if header is None:
            continue
        item, purpose = pydicom.Dataset(), pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        if numbers := frames_of(header, frame):
            item.ReferencedFrameNumber = numbers
        purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
        purpose.CodeMeaning = "Source image for image processing operation"
        item.PurposeOfReferenceCodeSequence = [purpose]
        items.append(item)
    if items:
        dataset.SourceImageSequence = items


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
