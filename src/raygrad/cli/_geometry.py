"""`raygrad geometry`: what an X-ray's DICOM header says of where and with what it was taken."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from raygrad.formats import XRayGeometry


def geometry(
    xray: Annotated[Path, typer.Argument(metavar="XRAY", help="An X-ray in DICOM: XA, RF, RT Image, DX, CR ...")],
    frame: Annotated[int | None, typer.Option(help="Which frame, counted from 1.", show_default="the first")] = None,
) -> None:
    """Show where and with what an X-ray was taken, from which elements of its header, and how sure each number is.

    raygrad geometry run.dcm
    """
    from raygrad.formats import read_xray_geometry

    found = read_xray_geometry(xray, frame)
    for line in [*describe_header(found), "", *describe_geometry(found)]:
        typer.echo(line)
    for sentence in found.warnings:
        typer.echo(f"raygrad: warning: {sentence}", err=True)


def describe_header(found: "XRayGeometry") -> list[str]:
    """A table of what the header says, and of what was assumed: number, value, element, standard deviation, use."""
    from raygrad.formats import HEADER_COLUMNS, table_of_header

    rows = [HEADER_COLUMNS, *table_of_header(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    ]


def describe_geometry(found: "XRayGeometry") -> list[str]:
    """Pose and intrinsics that follow."""
    from raygrad.formats import text_of

    angles, xyz = (numbers[0].tolist() for numbers in found.pose.convert("euler_angles", "ZXY", degrees=True))
    camera = found.intrinsics
    kind = found.kind if found.plane is None else f"{found.kind}, plane {found.plane}"
    side = "from the header" if found.has_view else "not known"
    return [
        f"{kind}: {camera.width} x {camera.height} pixels of {camera.delx:.5g} x {camera.dely:.5g} mm, "
        f"{camera.sdd:g} mm from the source, x0 {camera.x0:.4g} and y0 {camera.y0:.4g} mm",
        f"side {side}: rotation {text_of(tuple(angles))} ({found.orientation}, ZXY) "
        f"+- {text_of(found.pose_deg)} degrees",
        f"translation {text_of(tuple(xyz))} +- {text_of(found.pose_mm)} mm along x, y, z",
    ]
