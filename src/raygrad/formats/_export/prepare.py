"""Checks what is to be written, of whatever kind, and writes it."""

from collections.abc import Callable
from pathlib import Path

from raygrad import _export_kinds as kinds
from raygrad._errors import InputError
from raygrad.formats._dicom_registration import check_registration, write_spatial_registration
from raygrad.formats._dicom_report import check_report, write_structured_report
from raygrad.formats._export.overlay import prepare_overlay
from raygrad.formats._export.scene import prepare_scene
from raygrad.formats._export.source import Source
from raygrad.formats._geometry import write_geometry
from raygrad.formats._itk_transforms import write_camera
from raygrad.formats._pose_json import write_poses
from raygrad.formats._views import split_views


def prepare_export(path: Path, kind: kinds.Kind, source: Source) -> Callable[[], str]:
    """Check what could be wrong; what is returned writes the file and says what is in it.

    Raises:
        InputError: something that the kind needs is missing or does not fit.
        FileNotFoundError: there is no such file, or no folder to write to.
        MissingLibraryError: a library is not installed.
    """
    if len(source.of_each) > 1 and kind.one_view:
        what = "A transform" if kind in (kinds.TRANSFORM, kinds.REGISTRATION) else kind.name
        raise InputError(f"{what} has one view, and '{source.name}' has {len(source.of_each)}.")
    if kind is kinds.OVERLAY:
        return prepare_overlay(path, source)
    if kind is kinds.SCENE:
        return prepare_scene(path, source)
    in_centre = kind.centred or source.centred
    views = source.views if in_centre else source.in_file
    origin = "the CT's centre" if in_centre else "that of the CT's file"
    sentence = f"{len(views)} view(s), the world's origin is {origin}"
    ct, series_uid, file_to_world = str(source.ct), source.series_uid, source.file_to_world
    if kind is kinds.REGISTRATION:
        check_registration(path, ct, series_uid)
    xrays, frames = source.xrays_in_dicom()
    if kind is kinds.REPORT:
        if xrays and len(xrays) != len(views):
            raise InputError(f"A report refers to the X-ray of each of {len(views)} view(s). Got {len(xrays)} --xray.")
        check_report(path, xrays, source.ct, series_uid)

    def write() -> str:
        if kind is kinds.TRANSFORM:
            write_camera(path, split_views(views)[0])
        elif kind is kinds.REGISTRATION:
            write_spatial_registration(path, split_views(views)[0], ct, series_uid)
        elif kind is kinds.REPORT:
            assert file_to_world is not None
            write_structured_report(
                path,
                source.of_each,
                file_to_world,
                xrays,
                source.ct,
                outcome=source.outcome,
                frames=frames,
                series_uid=series_uid,
            )
        elif kind is kinds.JSON:
            write_poses(path, source.of_each, source.outcome, file_to_world)
        else:
            write_geometry(path, views, source.names, kind.name)
        return sentence

    return write
