"""`raygrad landscape`: how the loss falls off around a pose, in pictures, tables and words."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from raygrad.cli import _options as given
from raygrad.cli._options import HOW


def landscape(
    ct: given.CT,
    output: given.OutputFolder,
    rotation: given.Rotation = None,
    translation: given.Translation = None,
    pose: given.Pose = None,
    parameterization: given.Parameterization = "euler_angles",
    convention: given.Convention = "ZXY",
    orientation: given.Orientation = "AP",
    pairs: Annotated[
        str | None,
        typer.Option(
            help="Pairs of parameters that move: 'x,y alpha,gamma'. Euler angles are alpha, beta, gamma; "
            "axis_angle and se3_log_map have rx, ry, rz.",
            show_default="all pairs of x, y, z and of the angles",
            rich_help_panel=HOW,
        ),
    ] = None,
    parameters: Annotated[
        str | None, typer.Option(help="Parameters that move by themselves: 'x alpha'.", rich_help_panel=HOW)
    ] = None,
    ranges: Annotated[
        str | None,
        typer.Option(
            help="How far they move, in mm and degrees: 'x=30 alpha=-20:40'.",
            show_default="15 mm, 45 degrees, gamma 22.5",
            rich_help_panel=HOW,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="Values of each parameter; odd numbers include the truth.", rich_help_panel=HOW)
    ] = 15,
    metric: Annotated[
        str,
        typer.Option(
            help="mncc (multiscale NCC), ncc, patch-ncc, gradient-ncc or gradient-difference.", rich_help_panel=HOW
        ),
    ] = "mncc",
    xray: Annotated[
        Path | None,
        typer.Option(
            help="Compare with this X-ray of line integrals, as `raygrad drr` writes them.",
            show_default="the image at the true pose",
            rich_help_panel=HOW,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Images rendered together.", show_default="what fits into 64 MB, or 1 GB of a GPU", rich_help_panel=HOW
        ),
    ] = None,
    sdd: given.Sdd = 1020.0,
    height: given.Height = 200,
    width: given.Width = None,
    delx: given.Delx = 2.0,
    dely: given.Dely = None,
    x0: given.X0 = 0.0,
    y0: given.Y0 = 0.0,
    renderer: given.Renderer = "siddon",
    device: given.Device = "auto",
    labelmap: given.Labelmap = None,
    series_uid: given.SeriesUid = None,
    resample_slices: given.ResampleSlices = False,
    labels: given.Labels = None,
    bone: given.Bone = 1.0,
) -> None:
    """Show how hard it is to find a pose: the loss of the images around it.

    Prints and writes where the loss has its minimum, how curved and how far convex it is, and from how far it leads to
    the minimum. Writes landscape.png (surfaces), landscape_maps.png, landscape_profiles.png, landscape.csv,
    landscape.npz and landscape.txt. The pose is the true one, which the X-ray was taken from.

    The example from the front, coarse, in a few seconds:

    raygrad landscape example -o landscape --height 100 --delx 4 --steps 9

    Depth against one angle, far from the truth:

    raygrad landscape example -o landscape --pairs y,alpha --ranges "y=200 alpha=90" --steps 31
    """
    from raygrad._optional import require
    from raygrad.cli._kept_inputs import refuse_replacing_in
    from raygrad.cli._loading import load_subject
    from raygrad.cli._parsing import (
        parse_device,
        parse_labels,
        parse_metric,
        parse_orientation,
        parse_pose,
        parse_ranges,
        parse_slices,
    )
    from raygrad.cli._sizes import check_images, check_poses
    from raygrad.drr import DRR
    from raygrad.formats import line_integrals, read_xray
    from raygrad.landscape import compute_landscape
    from raygrad.pose import find_parameterization
    from raygrad.visualization import LANDSCAPE_FILES, save_landscape

    require("matplotlib", "plots of landscapes", extra="cli").use("Agg")
    computing_device = parse_device(device)
    camera_to_patient = parse_pose(
        rotation, translation, pose, parameterization, convention, parse_orientation(orientation)
    )
    named = "euler_angles" if parameterization == "matrix" else parameterization
    moving, reach, similarity = parse_slices(pairs, parameters), parse_ranges(ranges), parse_metric(metric)
    fixed = None if xray is None else line_integrals(read_xray(xray), "line-integrals")
    check_images(height, width)
    check_poses(steps**2, "--steps")
    refuse_replacing_in([ct, labelmap, xray], output, LANDSCAPE_FILES)
    output.mkdir(parents=True, exist_ok=True)
    subject = load_subject(ct, orientation, labelmap, parse_labels(labels), bone, series_uid, resample_slices)

    system = DRR(subject, sdd, height, delx, width, dely, x0, y0, renderer=renderer).to(computing_device)
    found = compute_landscape(
        system,
        camera_to_patient,
        parameterization=named,
        convention=convention if named == "euler_angles" else None,
        degrees=find_parameterization(named).has_angles,
        slices=moving,
        ranges=reach,
        steps=steps,
        metric=similarity,
        xray=fixed,
        batch_size=batch_size,
        progress=sys.stderr.isatty(),
    )
    typer.echo(found.summary() + "\n")
    for path in save_landscape(found, output):
        typer.echo(path)
