"""Where a camera is, as a DICOM Spatial Registration (PS3.3, A.39.1) from the CT's frame of reference to the camera's.

A point (x, y, z) of the CT in DICOM's LPS mm is mapped by a matrix M to M (x, y, z, 1) in the camera's frame, which is
the registered one (C.20.2.1.1). As in ITK's files both are LPS, so that in the camera's, with the source at the origin,
columns run along +x (where raygrad has `reverse_x_axis`), rows along +y, and the detector is in the plane z = sdd.
"""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from raygrad import __version__
from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.data import LPS_TO_RAS, header_of
from raygrad.formats._dicom_study import check_dicom_path, describe_study
from raygrad.formats._views import View, right_handed

if TYPE_CHECKING:
    from pydicom import Dataset

_SPATIAL_REGISTRATION = "1.2.840.10008.5.1.4.1.1.66.1"
_FLIP = torch.from_numpy(LPS_TO_RAS)


def check_registration(
    path: str | os.PathLike[str], ct: str | os.PathLike[str], series_uid: str | None = None
) -> "Dataset":
    """The header of the CT, if `write_spatial_registration` can write there.

    Raises:
        InputError: another suffix than .dcm, or a CT that is not DICOM, has several series of which none was chosen,
            or names no frame of reference.
        FileNotFoundError: there is no such folder.
        ImportError: pydicom is not installed.
    """
    check_dicom_path(path)
    header = header_of(ct, series_uid)
    if header is None or not header.get("FrameOfReferenceUID"):
        raise InputError(
            f"Expected a CT in DICOM, whose frame of reference the registration is from. Got '{ct}', which names none."
        )
    return header


def write_spatial_registration(
    path: str | os.PathLike[str], view: View, ct: str | os.PathLike[str], series_uid: str | None = None
) -> None:
    """Write where a view's camera is as a DICOM Spatial Registration in the study of the CT, whole or not at all.

    Args:
        path: its name ends in .dcm.
        view: of one pose, in the world of the CT's own files.
        ct: the folder of its DICOM series, or the file that has all of it.
        series_uid: which series of the folder.

    Raises:
        ValueError: several poses, or one that is not finite.
        InputError: see `check_registration`; or a parallel beam.
        OSError: the file cannot be written.
        ImportError: pydicom is not installed.
    """
    header, path = check_registration(path, ct, series_uid), Path(path).expanduser()
    if len(view.pose) != 1 or not view.pose.matrix.isfinite().all():
        raise ValueError(f"Expected one finite pose. Got {len(view.pose)}.")
    pydicom = require("pydicom", "writing DICOM")
    dataset = pydicom.Dataset()
    describe_study(dataset, header)
    _describe(dataset)
    camera_to_world, _ = right_handed(view)
    world_to_camera = _FLIP @ camera_to_world.inverse().matrix[0].detach().cpu().double() @ _FLIP
    camera = pydicom.uid.generate_uid()
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = camera, ""
    dataset.RegistrationSequence = [
        _mapped(header.FrameOfReferenceUID, world_to_camera, "From the CT to the camera: the source at 0, 0, 0"),
        _mapped(camera, torch.eye(4, dtype=torch.float64), "The camera's own"),
    ]
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with written_whole(path) as unfinished:
        dataset.save_as(unfinished, enforce_file_format=True)


def _mapped(frame_of_reference: str, matrix: torch.Tensor, comment: str) -> "Dataset":
    """An item of the Registration Sequence (C.20.2)."""
    pydicom = require("pydicom", "writing DICOM")
    step, registration, item = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    step.FrameOfReferenceTransformationMatrixType = "RIGID"
    step.FrameOfReferenceTransformationMatrix = [
        pydicom.valuerep.DS(number, auto_format=True) for number in matrix.flatten().tolist()
    ]
    registration.FrameOfReferenceTransformationComment = comment
    registration.RegistrationTypeCodeSequence = []
    registration.MatrixSequence = [step]
    item.FrameOfReferenceUID = frame_of_reference
    item.MatrixRegistrationSequence = [registration]
    return item


def _describe(dataset: "Dataset") -> None:
    """Series, content and equipment (C.7.3.1, C.20.1, C.20.2, C.7.5.2)."""
    now = datetime.datetime.now()
    dataset.SOPClassUID, dataset.Modality = _SPATIAL_REGISTRATION, "REG"
    dataset.SeriesDescription = dataset.ContentDescription = "Camera of an X-ray in the CT"
    dataset.ContentLabel, dataset.ContentCreatorName = "CAMERA", ""
    dataset.ContentDate, dataset.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.SeriesDate, dataset.SeriesTime = dataset.ContentDate, dataset.ContentTime
    dataset.Manufacturer = dataset.ManufacturerModelName = "raygrad"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0", __version__
