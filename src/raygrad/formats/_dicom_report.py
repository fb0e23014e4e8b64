"""What a registration found, as a DICOM structured report: a Measurement Report (PS3.16, TID 1500) by highdicom.

Each view is a Measurement Group (TID 1501) with its numbers in mm and degrees (UCUM). Of most of them, such as the
rotation of a camera, DICOM has no names: these are codes of raygrad's own scheme, 99RAYGRAD.
"""

import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raygrad import __version__
from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad._optional import require
from raygrad.data import LPS_TO_RAS, headers_of
from raygrad.formats._dicom_study import check_dicom_path, describe_study, frames_of, headers_of_study
from raygrad.formats._views import View, join_views
from raygrad.geometry import cone_vectors_of
from raygrad.pose import RigidTransform

if TYPE_CHECKING:
    from pydicom import Dataset

_SCHEME = "99RAYGRAD"
_UNITS = {"mm": ("mm", "millimeter"), "degrees": ("deg", "degree"), "": ("1", "no units")}
_DEVIATION = re.compile(r"(?P<axis>.+) \((?P<unit>mm|degrees)\)")
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
"""What a reference to an image says (PS3.3, C.17.2.1)."""
_PURPOSE = "structured reports"
_Number = tuple[str, str, float, str]
"""Code, meaning, value and unit of a measurement."""


def check_report(
    path: str | os.PathLike[str],
    xrays: Sequence[str | os.PathLike[str]],
    ct: str | os.PathLike[str] | None = None,
    series_uid: str | None = None,
) -> "tuple[list[Dataset | None], list[Dataset]]":
    """The headers of the X-rays, None for each that is not DICOM, and of the CT, if a report of them can be written.

    Raises:
        InputError: another suffix than .dcm, neither X-rays nor a CT in DICOM, X-rays of several studies, or a damaged
            file.
        FileNotFoundError: there is no such folder or X-ray.
        ImportError: highdicom is not installed.
    """
    check_dicom_path(path)
    require("highdicom", _PURPOSE, "dicom-sr")
    headers, of_ct = headers_of_study(xrays), [] if ct is None else headers_of(ct, series_uid)
    known = [header for header in headers if header is not None] + of_ct
    for header in known:
        missing = [keyword for keyword in _NEEDED if not header.get(keyword)]
        if missing:
            raise InputError(f"Expected images in DICOM that can be referred to. Got one without {', '.join(missing)}.")
    if not known:
        raise InputError("Expected an X-ray or a CT in DICOM, which a report is of. Got none: give one as DICOM files.")
    return headers, of_ct


def write_structured_report(
    path: str | os.PathLike[str],
    views: Sequence[View],
    file_to_world: np.ndarray,
    xrays: Sequence[str | os.PathLike[str]] = (),
    ct: str | os.PathLike[str] | None = None,
    *,
    outcome: Mapping[str, Any] | None = None,
    frames: Sequence[int | None] = (),
    series_uid: str | None = None,
) -> None:
    """Write where X-rays were taken from, and how surely, as a DICOM structured report, whole or not at all.

    It is a Comprehensive SR in the study of the X-rays, or of the CT if these are not DICOM. Poses are numbers of
    raygrad (`convert`, Euler angles ZXY); the source and the middle of the detector are places in the CT's own LPS.

    Args:
        path: its name ends in .dcm.
        views: one pose each.
        file_to_world: from the world of the CT's own file to that of the poses, as `read_file_to_world` has it.
        xrays: the file of each view; those that are DICOM are referred to.
        ct: the folder of its DICOM series, or the file that has all of it. Another CT is not referred to.
        outcome: how they were found, as `RegistrationResult.outcome` says and `read_outcome` reads.
        frames: of each X-ray, which of several images in its file it is, from 1; None for all.
        series_uid: which series of the CT's folder.

    Raises:
        ValueError: a pose that is not finite, views of several poses, or another number of X-rays than of views.
        InputError: see `check_report`.
        OSError: the file cannot be written.
        ImportError: highdicom is not installed.
    """
    headers, of_ct = check_report(path, xrays, ct, series_uid)
    path = Path(path).expanduser()
    for view in views:
        if len(view.pose) != 1 or not view.pose.matrix.isfinite().all():
            raise ValueError(f"Expected one finite pose for every view. Got {view.pose.matrix.tolist()}.")
    if headers and len(headers) != len(views):
        raise ValueError(f"Expected an X-ray for each of {len(views)} view(s). Got {len(headers)}.")
    sr = require("highdicom.sr", _PURPOSE, "dicom-sr")
    uid = require("pydicom.uid", _PURPOSE)
    groups = []
    for index, view in enumerate(views):
        numbers = [*_pose_of(view), *_places_of(view, file_to_world), *_camera_of(view)]
        numbers += _deviations_in(outcome) if index == 0 else []
        header = headers[index] if headers else None
        frame = frames[index] if index < len(frames) else None
        groups.append(_group(f"View {index + 1}" + (f": {view.xray}" if view.xray else ""), numbers, header, frame))
        for item in _findings(outcome or {}, of_ct):
            groups[-1][0].ContentSequence.append(item)
    report = sr.MeasurementReport(_observer(), _code("REGISTRATION", "Registration of X-rays to a CT"), groups)
    evidence = [_reference(header) for header in (*filter(None, headers), *of_ct)]
    with warnings.catch_warnings():  # of patients with one name
        warnings.simplefilter("ignore", UserWarning)
        document = sr.ComprehensiveSR(
            evidence=evidence,
            content=report[0],
            series_instance_uid=uid.generate_uid(),
            series_number=1,
            sop_instance_uid=uid.generate_uid(),
            instance_number=1,
            manufacturer="raygrad",
            is_complete=True,
            specific_character_set="ISO_IR 192",
        )
    _describe(document)
    with written_whole(path) as unfinished:
        document.save_as(unfinished, enforce_file_format=True)


def _pose_of(view: View) -> Iterator[_Number]:
    """The numbers that pose files have."""
    angles, xyz = RigidTransform(view.pose.matrix.detach().cpu().double()).convert("euler_angles", "ZXY", degrees=True)
    for letter, axis, angle in zip("ABC", "zxy", angles[0].tolist(), strict=True):
        yield f"EULER-{letter}", f"Pose, Euler angle {letter.lower()} of ZXY (about {axis})", angle, "degrees"
    for axis, mm in zip("xyz", xyz[0].tolist(), strict=True):
        yield f"TRANSLATION-{axis.upper()}", f"Pose, translation {axis} before the rotation", mm, "mm"


def _places_of(view: View, file_to_world: np.ndarray) -> Iterator[_Number]:
    """Source and middle of the detector in the LPS of the CT's own file."""
    double = View(RigidTransform(view.pose.matrix.double()), view.intrinsics, view.orientation)
    vectors = cone_vectors_of(join_views([double])).numpy().reshape(4, 3)
    to_lps = LPS_TO_RAS @ np.linalg.inv(file_to_world)
    for code, meaning, point in (("SOURCE", "X-ray source", vectors[0]), ("DETECTOR", "Detector's middle", vectors[1])):
        for axis, mm in zip("xyz", (to_lps @ [*point, 1.0])[:3].tolist(), strict=True):
            yield f"{code}-{axis.upper()}", f"{meaning}, {axis} in LPS of the CT", mm, "mm"


def _camera_of(view: View) -> Iterator[_Number]:
    camera = view.intrinsics.detached()
    yield "SDD", "Source-to-detector distance", float(camera.sdd), "mm"
    yield "PIXEL-WIDTH", "Width of a pixel on the detector", float(camera.delx), "mm"
    yield "PIXEL-HEIGHT", "Height of a pixel on the detector", float(camera.dely), "mm"


def _deviations_in(outcome: Mapping[str, Any] | None) -> list[_Number]:
    """How sure the pose is, of those deviations that are known."""
    found = []
    for name, value in ((outcome or {}).get("standard_deviations") or {}).items():
        match = _DEVIATION.fullmatch(name)
        if match is not None and isinstance(value, int | float) and math.isfinite(value):
            code = f"SD-{match['axis'].upper().replace(' ', '-')}"
            found.append((code, f"Standard deviation, {match['axis']} of the camera", float(value), match["unit"]))
    return found


def _findings(outcome: Mapping[str, Any], of_ct: "Sequence[Dataset]") -> Iterator[Any]:
    """How the registration ended, and which CT it is to."""
    sr = require("highdicom.sr", _PURPOSE, "dicom-sr")
    contains = sr.RelationshipTypeValues.CONTAINS
    if outcome.get("status"):
        status = str(outcome["status"])
        value = _code(re.sub(r"\W+", "-", status).upper()[:16], status)
        yield sr.CodeContentItem(_code("STATUS", "Status of the registration"), value, contains)
    if isinstance(outcome.get("score"), int | float):
        unit = _unit("")
        yield sr.NumContentItem(
            _code("SIMILARITY", "Similarity of X-ray and CT"), float(outcome["score"]), unit, None, contains
        )
    if of_ct:
        series = str(of_ct[0].SeriesInstanceUID)
        yield sr.UIDRefContentItem(_code("CT-SERIES", "Series of the CT"), series, contains)
        if of_ct[0].get("FrameOfReferenceUID"):
            frame = str(of_ct[0].FrameOfReferenceUID)
            yield sr.UIDRefContentItem(_code("CT-FRAME", "Frame of reference of the CT"), frame, contains)


def _group(name: str, numbers: Sequence[_Number], header: "Dataset | None", frame: int | None) -> Any:
    """The Measurement Group of one view."""
    sr = require("highdicom.sr", _PURPOSE, "dicom-sr")
    uid = require("pydicom.uid", _PURPOSE)
    images = None
    if header is not None:
        shown = frames_of(header, frame) or None
        images = [sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, shown)]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=uid.generate_uid(), identifier=name),
        algorithm_id=sr.AlgorithmIdentification("raygrad", __version__),
        measurements=[sr.Measurement(_code(code, text), value, _unit(unit)) for code, text, value, unit in numbers],
        source_images=images,
    )


def _observer() -> Any:
    """That a program reports (TID 1004)."""
    sr = require("highdicom.sr", _PURPOSE, "dicom-sr")
    uid = require("pydicom.uid", _PURPOSE)
    codes = require("pydicom.sr.codedict", _PURPOSE).codes
    device = uid.generate_uid(entropy_srcs=["raygrad", __version__])
    attributes = sr.DeviceObserverIdentifyingAttributes(uid=device, name="raygrad", manufacturer_name="raygrad")
    return sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, attributes))


def _code(value: str, meaning: str) -> Any:
    sr = require("highdicom.sr", _PURPOSE, "dicom-sr")
    return sr.CodedConcept(value, _SCHEME, meaning[:64])


def _unit(name: str) -> Any:
    sr = require("highdicom.sr", _PURPOSE, "dicom-sr")
    code, meaning = _UNITS[name]
    return sr.CodedConcept(code, "UCUM", meaning)


def _reference(header: "Dataset") -> "Dataset":
    """An image that is referred to, with all that a report copies from it."""
    pydicom = require("pydicom", "writing DICOM")
    dataset = pydicom.Dataset()
    describe_study(dataset, header)
    for keyword in _NEEDED:
        setattr(dataset, keyword, header.get(keyword))
    return dataset


def _describe(document: "Dataset") -> None:
    """What the series is, and whose the codes are (C.12.1.1)."""
    pydicom = require("pydicom", "writing DICOM")
    scheme = pydicom.Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = _SCHEME, "raygrad's own terms"
    scheme.CodingSchemeVersion, scheme.CodingSchemeResponsibleOrganization = __version__, "raygrad"
    document.CodingSchemeIdentificationSequence = [scheme]
    document.SeriesDescription = "Registration of X-ray and CT"
    document.ManufacturerModelName, document.SoftwareVersions = "raygrad", __version__
    document.DeviceSerialNumber = "0"
