"""Whose patient and study a DICOM file that is written belongs to: those of another file, or new ones."""

import datetime
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raygrad._dicom import is_dicom, number, read_dataset
from raygrad._errors import InputError
from raygrad._files import suffix_of
from raygrad._optional import require
from raygrad.formats._images import check_parent

if TYPE_CHECKING:
    from pydicom import Dataset

_HAVE_TO_BE_THERE = (  # Type 2 of the Patient and General Study modules (PS3.3, C.7.1.1, C.7.2.1): empty if unknown
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_SHARED = (
    *_HAVE_TO_BE_THERE,
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "PatientAge",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyDescription",
)


def check_dicom_path(path: str | os.PathLike[str]) -> Path:
    """The path, if DICOM can be written there.

    Raises:
        InputError: another suffix than .dcm.
        FileNotFoundError: there is no such folder.
        ImportError: pydicom is not installed.
    """
    path = Path(path).expanduser()
    if suffix_of(path, (".dcm",)) is None:
        raise InputError(f"Expected a file name that ends in .dcm. Got '{path}'.")
    check_parent(path)
    require("pydicom", "writing DICOM")
    return path


def describe_study(dataset: "Dataset", header: "Dataset | None") -> None:
    """Put the patient and the study of a header into a dataset, or new ones, with UIDs for a series of its own.

    Args:
        dataset: to be written.
        header: of the file that it belongs to; None for a new study.
    """
    pydicom = require("pydicom", "writing DICOM")
    if header is None:
        now = datetime.datetime.now()
        dataset.PatientName, dataset.PatientID, dataset.StudyID = "raygrad^", "raygrad", "1"
        dataset.StudyDate, dataset.StudyTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    else:
        for keyword in _SHARED:
            if keyword in header:
                dataset[keyword] = header[keyword]
    for keyword in _HAVE_TO_BE_THERE:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    if not dataset.get("StudyInstanceUID"):
        dataset.StudyInstanceUID = pydicom.uid.generate_uid()
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.Laterality = None, 1, ""


def headers_of_study(paths: Sequence[str | os.PathLike[str]]) -> "list[Dataset | None]":
    """The headers of X-rays, None for each that is not DICOM.

    Raises:
        FileNotFoundError: there is no such X-ray.
        InputError: one is damaged or does not say which instance of DICOM it is, or they are of several studies.
    """
    headers: list[Dataset | None] = []
    for path in (Path(path).expanduser() for path in paths):
        if not path.is_file():
            raise FileNotFoundError(f"There is no X-ray '{path}'.")
        header = read_dataset(path) if is_dicom(path) else None
        if header is not None and not (header.get("SOPClassUID") and header.get("SOPInstanceUID")):
            raise InputError(f"Expected a DICOM file with SOPClassUID and SOPInstanceUID. Got '{path}', without.")
        headers.append(header)
    studies = {str(header.get("StudyInstanceUID", "")) for header in headers if header is not None}
    if len(studies) > 1:
        raise InputError(f"Expected X-rays of one study, to write into it. Got {len(studies)} studies.")
    return headers


def frames_of(header: "Dataset", frame: int | None) -> list[int]:
    """What a reference to one image of a file says: its number, or nothing where the whole file is meant (C.7.6.3)."""
    count = int(number(header, "NumberOfFrames") or 1)
    return [frame] if frame is not None and 1 < count and frame <= count else []
