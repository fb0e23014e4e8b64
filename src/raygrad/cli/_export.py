"""`raygrad export`: poses that were found, as the files of other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygrad._errors import InputError

if TYPE_CHECKING:
    from raygrad.cli._export_scene import Scene
    from raygrad.geometry import ConeViews
    from raygrad.pose import RigidTransform

_REGISTRATION = "spatial registration"
"""The kind of a DICOM file that is a Spatial Registration, where another is an overlay."""


def export(
    poses: Annotated[
        Path,
        typer.Argument(
            help="The pose file: pose.json of `raygrad register`, or a sweep's geometry.", show_default=False
        ),
    ],
    to: Annotated[
        list[Path],
        typer.Option(help="The file to write; its name says the format. Once for each file.", show_default=False),
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            help="The name of the format, where several have files of such a name. A .dcm file is an overlay, or with "
            f"'{_REGISTRATION}' where the camera is."
        ),
    ] = None,
    ct: Annotated[
        str | None,
        typer.Option(
            help="The CT that the poses are of: for scenes and DICOM registrations, and for pose files that do not say "
            "where its origin is."
        ),
    ] = None,
    xray: Annotated[
        list[Path] | None,
        typer.Option(
            help="The X-ray of each view, once for each, or the one file that has them all: for scenes, and to say "
            "whose patient and study an overlay is of."
        ),
    ] = None,
    centred: Annotated[
        bool, typer.Option("--centred", help="Leave the world's origin in the CT's centre, where raygrad has it.")
    ] = False,
) -> None:
    """Write poses to the files of other programs, in the world of the CT's own file (RAS+ mm).

    A name that ends in .mrb makes a scene for 3D Slicer, of the CT, the X-rays and the beams; one in .dcm a DICOM
    Secondary Capture of the overlay.png beside the poses.
    """
    from raygrad.cli._export_overlay import check_overlay, write_overlay
    from raygrad.formats import (
        check_registration,
        read_geometry,
        read_poses,
        split_views,
        write_camera,
        write_geometry,
        write_spatial_registration,
    )

    pictures = [path for path in to if _is_dicom(path) and kind != _REGISTRATION]
    registrations = [path for path in to if _is_dicom(path) and kind == _REGISTRATION]
    _check_options(to, ct, xray, centred, kind)
    in_centre = {path: centred or path in pictures or _has_centred_world(path, kind) for path in to}
    views, names = read_geometry(poses), [view.xray for view in read_poses(poses)]
    if len(views) > 1 and (registrations or any(map(_is_transform, to))):
        raise InputError(f"A transform has one view, and '{poses}' has {len(views)}.")
    in_file = views if all(in_centre.values()) else views.moved(_to_file(poses, ct))
    scene = _scene_of([path for path in to if _is_scene(path)], str(ct), in_file, xray or [], names)
    for path in pictures:
        check_overlay(path, poses, xray)
    for path in registrations:
        check_registration(path, str(ct))
    for path in to:
        if path in pictures:
            typer.echo(write_overlay(path, poses, xray))
            continue
        written = views if in_centre[path] else in_file
        if scene is not None and _is_scene(path):
            scene.write(path)
        elif _is_transform(path):
            write_camera(path, split_views(written)[0])
        elif path in registrations:
            write_spatial_registration(path, split_views(written, names)[0], str(ct))
        else:
            write_geometry(path, written, names, kind)
        origin = "the CT's centre" if in_centre[path] else "that of the CT's file"
        typer.echo(f"{path}: {len(views)} view(s), the world's origin is {origin}")


def _is_transform(path: Path) -> bool:
    """Whether its name is that of a transform of ITK's."""
    return path.suffix.lower() in (".tfm", ".h5")


def _is_scene(path: Path) -> bool:
    """Whether its name is that of a scene of Slicer's."""
    return path.suffix.lower() == ".mrb"


def _is_dicom(path: Path) -> bool:
    """Whether its name is that of a DICOM file."""
    return path.suffix.lower() == ".dcm"


def _has_centred_world(path: Path, kind: str | None) -> bool:
    """Whether the format of a file of this name has the CT's centre for the origin of its world."""
    from raygrad.formats import written_format

    if any(is_other(path) for is_other in (_is_transform, _is_scene, _is_dicom)):
        return False
    return written_format(path, kind).centred


def _check_options(
    to: Sequence[Path], ct: str | None, xrays: Sequence[Path] | None, centred: bool, kind: str | None
) -> None:
    """Refuse what a scene or a DICOM registration lacks, and X-rays where none is shown."""
    registers = kind == _REGISTRATION
    if xrays and not any(_is_scene(path) or (_is_dicom(path) and not registers) for path in to):
        raise InputError("--xray is for scenes and overlays: give --to a name that ends in .mrb or .dcm.")
    for path in to:
        if not _is_scene(path) and not (_is_dicom(path) and registers):
            continue
        needed: list[tuple[str, object]] = [("the CT (--ct)", ct)]
        if _is_scene(path):
            needed.append(("the X-ray of each view (--xray)", xrays))
        missing = " and ".join(what for what, there in needed if not there)
        if missing:
            raise InputError(f"'{path}' needs {missing}.")
        if centred:
            raise InputError(f"'{path}' is in the world of the CT's own file: leave out --centred.")


def _scene_of(
    paths: Sequence[Path], ct: str, views: "ConeViews", xrays: Sequence[Path], names: Sequence[str | None]
) -> "Scene | None":
    """What the scenes of these paths hold, if there are any, with all checked that could be wrong."""
    from raygrad.cli._export_scene import Scene

    if not paths:
        return None
    scene = Scene.of(ct, views, xrays, names)
    for path in paths:
        scene.check(path)
    return scene


def _to_file(poses: Path, ct: str | None) -> "RigidTransform":
    import torch

    from raygrad.cli._loading import load_attenuation
    from raygrad.formats import read_file_to_world
    from raygrad.pose import RigidTransform

    file_to_world = read_file_to_world(poses)
    if file_to_world is None and ct is not None:
        file_to_world = load_attenuation(ct).file_to_world
    if file_to_world is None:
        raise InputError(
            f"'{poses}' does not say where the origin of its CT's file is: give --ct, or --centred to leave the origin "
            "in the CT's centre."
        )
    return RigidTransform(torch.as_tensor(file_to_world)).inverse()
