"""`raygrad export`: poses that were found, as the files of other programs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygrad._errors import InputError
from raygrad.cli import _export_kinds as kinds
from raygrad.cli import _options as given

if TYPE_CHECKING:
    from raygrad.cli._export_inputs import Inputs

_NEEDED = {"ct": "the CT (--ct)", "xray": "the X-ray of each view (--xray)"}


def export(
    poses: Annotated[
        Path,
        typer.Argument(help="The pose file: pose.json of `raygrad register`, or a sweep's.", show_default=False),
    ],
    to: Annotated[
        list[str],
        typer.Option(
            help="The file to write; its name says the kind. Once for each file. Where several kinds have such a name, "
            "the one that is meant comes after a colon: report.dcm:structured-report.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option(help=f"The kind of the files that say none. {kinds.described()}."),
    ] = None,
    ct: Annotated[
        str | None,
        typer.Option(
            help="The CT that the poses are of: for scenes, registrations and reports in DICOM, and for pose files "
            "that do not say where its origin is."
        ),
    ] = None,
    series_uid: given.SeriesUid = None,
    xray: Annotated[
        list[Path] | None,
        typer.Option(
            help="The X-ray of each view, once for each, or the one file that has them all: for scenes, and for DICOM, "
            "which says whose patient and study an overlay or a report is of."
        ),
    ] = None,
    centred: Annotated[
        bool, typer.Option("--centred", help="Leave the world's origin in the CT's centre, where raygrad has it.")
    ] = False,
) -> None:
    """Write poses to the files of other programs, in the world of the CT's own file (RAS+ mm).

    A scene for 3D Slicer is of the CT, the X-rays and the beams. An overlay is the overlay.png beside the poses as a
    DICOM Secondary Capture; a structured report in DICOM needs highdicom. All is checked before anything is written.
    """
    from raygrad.cli._export_inputs import Inputs
    from raygrad.cli._kept_inputs import refuse_replacing

    chosen = kinds.choose(to, kind)
    _check_options(chosen, ct, series_uid, xray, centred)
    inputs = Inputs(poses, ct, series_uid, xray or [], centred)
    refuse_replacing([poses, ct, *(xray or ())], {f"--to {number}": path for number, (path, _) in enumerate(chosen, 1)})
    several = [kind for _, kind in chosen if kind.one_view]
    if len(inputs.of_each) > 1 and several:
        what = "A transform" if several[0] in (kinds.TRANSFORM, kinds.REGISTRATION) else several[0].name
        raise InputError(f"{what} has one view, and '{poses}' has {len(inputs.of_each)}.")
    writers = [(path, _prepare(path, kind, inputs)) for path, kind in chosen]
    for path, write in writers:
        typer.echo(f"{path}: {write()}")


def _check_options(
    chosen: Sequence[tuple[Path, kinds.Kind]],
    ct: str | None,
    series_uid: str | None,
    xrays: Sequence[Path] | None,
    centred: bool,
) -> None:
    """Refuse what a file lacks, and what no file makes use of."""
    if xrays and not any(kind.xrays for _, kind in chosen):
        which = ", ".join(f"{kind.suffixes[0]} ({kind.name})" for kind in kinds.KINDS if kind.xrays)
        raise InputError(f"--xray is for scenes, overlays and reports: give --to a name that ends in {which}.")
    if series_uid is not None and ct is None:
        raise InputError("--series chooses a series of the CT's folder: give --ct too.")
    for path, kind in chosen:
        there = {"ct": ct, "xray": xrays}
        missing = " and ".join(_NEEDED[name] for name in kind.needs if not there[name])
        if missing:
            raise InputError(f"'{path}' needs {missing}.")
        if centred and (kind.needs or kind is kinds.REPORT):
            raise InputError(f"'{path}' is in the world of the CT's own file: leave out --centred.")


def _prepare(path: Path, kind: kinds.Kind, inputs: "Inputs") -> Callable[[], str]:
    """Check what could be wrong; what is returned writes the file and says what is in it."""
    from raygrad.cli._export_overlay import prepare_overlay
    from raygrad.cli._export_scene import prepare_scene
    from raygrad.formats import (
        check_registration,
        check_report,
        read_outcome,
        split_views,
        write_camera,
        write_geometry,
        write_poses,
        write_spatial_registration,
        write_structured_report,
    )

    if kind is kinds.OVERLAY:
        return prepare_overlay(path, inputs)
    if kind is kinds.SCENE:
        return prepare_scene(path, inputs)
    in_centre = kind.centred or inputs.centred
    views = inputs.views if in_centre else inputs.in_file
    origin = "the CT's centre" if in_centre else "that of the CT's file"
    sentence = f"{len(views)} view(s), the world's origin is {origin}"
    ct, series_uid, file_to_world = str(inputs.ct), inputs.series_uid, inputs.file_to_world
    if kind is kinds.REGISTRATION:
        check_registration(path, ct, series_uid)
    outcome = read_outcome(inputs.poses)
    xrays, frames = inputs.xrays_in_dicom()
    if kind is kinds.REPORT:
        if xrays and len(xrays) != len(views):
            raise InputError(f"A report refers to the X-ray of each of {len(views)} view(s). Got {len(xrays)} --xray.")
        check_report(path, xrays, inputs.ct, series_uid)

    def write() -> str:
        if kind is kinds.TRANSFORM:
            write_camera(path, split_views(views)[0])
        elif kind is kinds.REGISTRATION:
            write_spatial_registration(path, split_views(views)[0], ct, series_uid)
        elif kind is kinds.REPORT:
            assert file_to_world is not None
            write_structured_report(
                path,
                inputs.of_each,
                file_to_world,
                xrays,
                inputs.ct,
                outcome=outcome,
                frames=frames,
                series_uid=series_uid,
            )
        elif kind is kinds.JSON:
            write_poses(path, inputs.of_each, outcome, file_to_world)
        else:
            write_geometry(path, views, inputs.names, kind.name)
        return sentence

    return write
