"""`raygrad evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from raygrad.cli import _options as given


def registration(
    ct: Annotated[
        str, typer.Option(metavar="CT", help="'example', 'chest', or a file or DICOM folder as for `raygrad drr`.")
    ] = "example",
    conditions: Annotated[
        str | None,
        typer.Option(
            help="a: clean. b: another projector, finer detector, noise. c: also scatter, gamma, collimator, wires. "
            "d: as c, two views. e: as b, the spine has moved.",
            show_default="all that the CT allows",
        ),
    ] = None,
    views: Annotated[str, typer.Option(help="True poses.")] = "ap,lateral,oblique",
    starts: Annotated[int, typer.Option(help="Registrations for each condition and view.")] = 20,
    degrees: Annotated[float, typer.Option(help="How far starts are turned about every axis, at most.")] = 20.0,
    mm: Annotated[float, typer.Option(help="How far starts are shifted along every axis, at most.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of the starts, the noise and all else that is random.")] = 0,
    search: Annotated[bool, typer.Option("--search", help="Search these ranges instead of giving a start.")] = False,
    masks: Annotated[bool, typer.Option(help="Tell the registration where the collimator is.")] = True,
    device: given.Device = "auto",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the CSV, the table and the plots.")] = Path(
        "raygrad-evaluation"
    ),
) -> None:
    """Register simulated X-rays from seeded starts: success rates, errors, times, and failures by their status.

    A quick look, and the whole evaluation of a CT:

    raygrad evaluate registration --conditions a --starts 5

    raygrad evaluate registration --ct ct.nii.gz --starts 100
    """
    from raygrad.cli._evaluate_run import evaluate_to_folder, parse_conditions, parse_views
    from raygrad.cli._parsing import load_subject, parse_device

    computing_device = parse_device(device)
    view_names = parse_views(views)
    subject = load_subject(ct)
    letters = parse_conditions(conditions, subject)
    method = "search" if search else "register"
    for text in evaluate_to_folder(
        subject, out, letters, view_names, starts, degrees, mm, seed, method, masks, computing_device
    ):
        typer.echo(text + "\n")
