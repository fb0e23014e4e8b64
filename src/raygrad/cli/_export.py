"""`raygrad export`: poses that were found, as the files of other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from raygrad import _export_kinds as kinds
from raygrad._errors import InputError
from raygrad.cli import _options as given

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
    from raygrad.cli._kept_inputs import refuse_replacing
    from raygrad.cli._loading import load_attenuation
    from raygrad.formats import Source, prepare_export, read_file_to_world, read_outcome, read_poses

    chosen = kinds.choose(to, kind)
    _check_options(chosen, ct, series_uid, xray, centred)
    refuse_replacing([poses, ct, *(xray or ())], {f"--to {number}": path for number, (path, _) in enumerate(chosen, 1)})
    source = Source(
        read_poses(poses),
        str(poses),
        read_file_to_world(poses),
        ct,
        series_uid,
        None if ct is None else lambda: load_attenuation(ct, series_uid=series_uid),
        xray or [],
        outcome=read_outcome(poses),
        overlay=poses.expanduser().parent / "overlay.png",
        centred=centred,
    )
    if len(source.of_each) > 1 and (several := [one for one in chosen if one[1].one_view]):
        prepare_export(*several[0], source)  # refuses it, before a CT is read
    writers = [(path, prepare_export(path, kind, source)) for path, kind in chosen]
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
