"""X-ray images written as DICOM: XA Image (PS3.3, A.14), with the view in the header as far as that can hold it.

Pixels are stored as the image has them. Angles say how the beam runs, PatientOrientation how the image lies, and
FieldOfViewOrigin where the principal point is: it counts from the corner of a detector whose middle is that point.
"""

import datetime
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.formats._dicom_geometry.angiography import carm_directions
from raygrad.formats._dicom_geometry.camera import nearest_letters
from raygrad.formats._dicom_stored import as_stored, describe_pixels
from raygrad.formats._technique import Technique, describe_technique
from raygrad.formats._views import View, refuse_parallel
from raygrad.geometry import positioner_angles
from raygrad.pose import make_reorient

if TYPE_CHECKING:
    from pydicom import Dataset

_XA = "1.2.840.10008.5.1.4.1.1.12.1"
_SAME_DEG, _SAME_MM = 0.01, 0.01


def write_xray(
    path: str | os.PathLike[str],
    image: Float[Tensor, "height width"],
    view: View,
    relationship: str = "LIN",
    *,
    values: str = "line-integrals",
    technique: Technique | None = None,
) -> list[str]:
    """Write an image as a DICOM XA Image of 16 bits, whole or not at all.

    Args:
        path: its name ends in .dcm.
        image: of the view's rows and columns.
        view: where and with what it was taken.
        relationship: PixelIntensityRelationship of line integrals: "LIN" for intensities exp(-L), bone dark; "LOG" for
            L itself, bone bright.
        values: what the image has: "line-integrals"; "intensity", counts that are stored in proportion, which is LIN;
            "display" or "inverted-display", grey levels from 0 to 1 that show bone white or dark, which is DISP; an XA
            shows bone dark, so the former are turned over.
        technique: how it was taken.

    Returns:
        Sentences about what of the view the header cannot hold: a turn of the image in its plane by other than
        quarters, and where the isocentre is in the CT, which no XA says.

    Raises:
        InputError: an image of another size than the view's, with NaN or infinity, negative line integrals as LIN,
            negative intensities or grey levels beyond 0 to 1, another relationship, other values, a parallel beam, or
            a source from which the detector is not beyond the CT's centre.
        OSError: the file cannot be written.
        ImportError: pydicom is not installed.
    """
    refuse_parallel(view, "an XA")
    path = Path(path).expanduser()
    numbers = image.detach().cpu().double().numpy()
    shape = (view.intrinsics.height, view.intrinsics.width)
    if numbers.shape != shape:
        raise InputError(f"Expected an image of the view's {shape[1]} x {shape[0]} pixels. Got {numbers.shape[::-1]}.")
    if relationship not in ("LIN", "LOG"):
        raise InputError(f"Expected the relationship LIN or LOG. Got {relationship!r}.")
    stored = as_stored(numbers, values, relationship, path)
    pydicom = require("pydicom", "writing DICOM")
    dataset = pydicom.Dataset()
    _describe_study(dataset, pydicom.uid.generate_uid)
    describe_pixels(dataset, stored)
    left_out = _describe_geometry(dataset, view, pydicom.valuerep.DS)
    if technique is not None:
        describe_technique(dataset, technique, lambda number: pydicom.valuerep.DS(float(number), auto_format=True))
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with written_whole(path) as unfinished:
        dataset.save_as(unfinished, enforce_file_format=True)
    return left_out


def _describe_study(dataset: "Dataset", new_uid: Any) -> None:
    """Patient, study, series, equipment and SOP common: a file of its own study."""
    now = datetime.datetime.now()
    dataset.SOPClassUID, dataset.SOPInstanceUID = _XA, new_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = new_uid(), new_uid()
    dataset.StudyDate = dataset.ContentDate = now.strftime("%Y%m%d")
    dataset.StudyTime = dataset.ContentTime = now.strftime("%H%M%S")
    dataset.PatientName, dataset.PatientID, dataset.StudyID = "DRR^", "DRR", "1"
    for keyword in ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "Laterality", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "XA", "raygrad", "simulated X-ray"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    # Simulated, so that no original is behind it; PS3.3, C.8.7.1.1.1 has ORIGINAL or DERIVED only.
    dataset.ImageType = ["DERIVED", "PRIMARY", "SINGLE PLANE"]
    dataset.KVP = dataset.XRayTubeCurrent = dataset.ExposureTime = None
    dataset.RadiationSetting = "GR"
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"


def _describe_geometry(dataset: "Dataset", view: View, decimal: Any) -> list[str]:
    """Distances, angles and the detector (PS3.3, C.8.7.2, C.8.7.5, C.8.11.4); what does not fit in is returned."""

    def text(*values: float) -> Any:
        written = [decimal(float(value), auto_format=True) for value in values]
        return written[0] if len(written) == 1 else written

    camera = view.intrinsics.detached()
    sdd, delx, dely, x0, y0 = (float(length) for length in camera.lengths)
    matrix = (view.pose.matrix[0].detach().cpu().double() @ make_reorient(view.orientation).double()).numpy()
    x_axis, y_axis, beam, source = matrix[:3].T
    isocentre = float(-source @ beam)
    if not 0 < isocentre < sdd:
        raise InputError(
            f"Expected the CT's centre between source and detector. Got {isocentre:.4g} mm along the beam, and the "
            f"detector at {sdd:g} mm."
        )
    primary, secondary = positioner_angles(beam)
    dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = text(primary), text(secondary)
    right, down = -x_axis if camera.reverse_x_axis else x_axis, -y_axis
    left_out = []
    natural_right, natural_down, _ = carm_directions(primary, secondary)
    eight = [
        (a, b)
        for one, other in ((natural_right, natural_down), (natural_down, natural_right))
        for a in (one, -one)
        for b in (other, -other)
    ]
    nearest = max(eight, key=lambda pair: float(pair[0] @ right + pair[1] @ down))
    dataset.PatientOrientation = [nearest_letters(direction) for direction in nearest]
    turn = math.degrees(2 * math.asin(min(1.0, float(np.linalg.norm(nearest[0] - right)) / 2)))
    if turn > _SAME_DEG:
        left_out.append(f"The header of an XA cannot say that the image is turned by {turn:.3g} degrees in its plane.")
    aside = -source - isocentre * beam
    if np.linalg.norm(aside) > _SAME_MM:
        left_out.append(
            "The header of an XA cannot say where the isocentre is in the CT: the beam passes its centre at "
            f"{np.linalg.norm(aside):.4g} mm."
        )
    dataset.DistanceSourceToDetector, dataset.DistanceSourceToPatient = text(sdd), text(isocentre)
    dataset.EstimatedRadiographicMagnificationFactor = text(sdd / isocentre)

    dataset.ImagerPixelSpacing = dataset.DetectorElementSpacing = text(dely, delx)
    column = camera.width / 2 + x0 / delx * (1 if camera.reverse_x_axis else -1)
    row = camera.height / 2 + y0 / dely
    # The smallest detector about the principal point that the image is a part of.
    rows, columns = 2 * max(row, camera.height - row), 2 * max(column, camera.width - column)
    dataset.DetectorActiveDimensions, dataset.DetectorActiveOrigin = text(rows * dely, columns * delx), text(0.0, 0.0)
    dataset.FieldOfViewOrigin = text(rows / 2 - row, columns / 2 - column)
    dataset.FieldOfViewRotation, dataset.FieldOfViewHorizontalFlip = "0", "NO"
    dataset.FieldOfViewShape = "RECTANGLE"
    dataset.FieldOfViewDimensions = [round(camera.height * dely), round(camera.width * delx)]
    dataset.DetectorType = "DIRECT"
    return left_out
