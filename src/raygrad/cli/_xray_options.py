"""Options of commands that take X-rays of a patient: where they were roughly taken from, and what their pixels are."""

from pathlib import Path
from typing import Annotated

import typer

from raygrad.cli._options import CAMERA, POSE, UNKNOWN, XRAY

Rotations = Annotated[
    list[str] | None,
    typer.Option(
        help="Rough rotation of the X-ray system: three angles in degrees. Once for every X-ray.",
        show_default="as the DICOM header says, else 0,0,0",
        rich_help_panel=POSE,
    ),
]
Translations = Annotated[
    list[str] | None,
    typer.Option(
        help="Rough place of the source before it is rotated: x,y,z in mm from the CT's centre. Once, or once for "
        "every X-ray.",
        show_default="as the DICOM header says, else 0,850,0",
        rich_help_panel=POSE,
    ),
]
Poses = Annotated[
    list[str] | None,
    typer.Option(
        help="Rotation and translation in one: six numbers (degrees, mm). Once for every X-ray.",
        rich_help_panel=POSE,
    ),
]
Inits = Annotated[
    list[Path] | None,
    typer.Option(
        help="Start from a pose.json, with its X-ray system. Once for every X-ray, or one file that has all.",
        rich_help_panel=POSE,
    ),
]
Relative = Annotated[
    Path | None,
    typer.Option(
        help="Several X-rays: a pose.json whose views lie to each other as these do; --pose is the first one's.",
        rich_help_panel=POSE,
    ),
]
Orientation = Annotated[
    str | None,
    typer.Option(
        help="The view of an unrotated system: AP, PA or none.",
        show_default="AP, or the pose file's",
        rich_help_panel=POSE,
    ),
]
Values = Annotated[
    str | None,
    typer.Option(
        help="What the pixels are: line-integrals (bone bright), intensity (as the detector measured it, bone "
        "dark), inverted-intensity (the same turned over), display (grey levels for the eye, bone shown bright), "
        "inverted-display (bone shown dark).",
        show_default="as the DICOM header says, else line-integrals",
        rich_help_panel=XRAY,
    ),
]
Frames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="N|N:M|all|mean|least-dense",
        help="Which frames of a file that has several: one, counted from 1; several or all, each an X-ray of its "
        "own; the mean of all; or the one that the X-rays lost least in. Once, or once for every file.",
        rich_help_panel=XRAY,
    ),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        help="An image of the X-ray's size, 0 where it is not to be compared (collimator, table, metal), on top of "
        "the shutters in a DICOM header. Once, or once for every X-ray.",
        rich_help_panel=XRAY,
    ),
]
Sdd = Annotated[
    float | None,
    typer.Option(
        help="Source-to-detector distance in mm.",
        show_default="the pose file's or DICOM header's",
        rich_help_panel=CAMERA,
    ),
]
Delx = Annotated[
    float | None,
    typer.Option(
        help="Width of one of the X-ray's pixels on the detector in mm.",
        show_default="the pose file's or image header's",
        rich_help_panel=CAMERA,
    ),
]
X0 = Annotated[
    float | None,
    typer.Option(help="Offset of the detector along x in mm.", show_default="0", rich_help_panel=CAMERA),
]
Y0 = Annotated[
    float | None,
    typer.Option(help="Offset of the detector along y in mm.", show_default="0", rich_help_panel=CAMERA),
]
Structures = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=LABELS",
        help="Labels of the labelmap that move by themselves: spine=34-36,46-61. Once for every structure.",
        rich_help_panel=UNKNOWN,
    ),
]
Meshes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE:MATERIAL",
        help="An implant or instrument that is found with the CT: cup=cup.stl:titanium, as STL, PLY or OBJ in mm, "
        "RAS+. Once for every mesh. Tissue is attenuation at 60 keV then.",
        rich_help_panel=UNKNOWN,
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=POSE.JSON|X,Y,Z",
        help="Look for that mesh where this registration found it, or with its middle at a point of the CT file's "
        "world (RAS+ mm). Else it is where its own coordinates say in that world.",
        rich_help_panel=UNKNOWN,
    ),
]
