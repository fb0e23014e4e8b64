"""`raygrad export`: poses that were found, as the files of other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygrad._errors import InputError

if TYPE_CHECKING:
    from raygrad.pose import RigidTransform


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
        typer.Option(help="The name of the format, where several have files of such a name."),
    ] = None,
    ct: Annotated[
        str | None,
        typer.Option(help="The CT that the poses are of, for pose files that do not say where its origin is."),
    ] = None,
    centred: Annotated[
        bool, typer.Option("--centred", help="Leave the world's origin in the CT's centre, where raygrad has it.")
    ] = False,
) -> None:
    """Write poses to the files of other programs, in the world of the CT's own file (RAS+ mm)."""
    from raygrad.formats import read_geometry, read_poses, split_views, write_camera, write_geometry, written_format

    in_centre = {path: centred or (not _is_transform(path) and written_format(path, kind).centred) for path in to}
    views, names = read_geometry(poses), [view.xray for view in read_poses(poses)]
    if len(views) > 1 and any(map(_is_transform, to)):
        raise InputError(f"A transform has one view, and '{poses}' has {len(views)}.")
    in_file = views if all(in_centre.values()) else views.moved(_to_file(poses, ct))
    for path in to:
        written = views if in_centre[path] else in_file
        if _is_transform(path):
            write_camera(path, split_views(written)[0])
        else:
            write_geometry(path, written, names, kind)
        origin = "the CT's centre" if in_centre[path] else "that of the CT's file"
        typer.echo(f"{path}: {len(views)} view(s), the world's origin is {origin}")


def _is_transform(path: Path) -> bool:
    """Whether its name is that of a transform of ITK's."""
    return path.suffix.lower() in (".tfm", ".h5")


def _to_file(poses: Path, ct: str | None) -> "RigidTransform":
    import torch

    from raygrad.cli._loading import load_attenuation
    from raygrad.formats import read_file_to_world
    from raygrad.pose import RigidTransform

    file_to_world = read_file_to_world(poses) if ct is None else load_attenuation(ct).file_to_world
    if file_to_world is None:
        raise InputError(
            f"'{poses}' does not say where the origin of its CT's file is: give --ct, or --centred to leave the origin "
            "in the CT's centre."
        )
    return RigidTransform(torch.as_tensor(file_to_world)).inverse()
