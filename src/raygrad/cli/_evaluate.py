"""`raygrad evaluate registration`: how often, how closely and how fast registration finds the true pose."""

from pathlib import Path
from typing import Annotated, Any

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
    from raygrad.cli._loading import load_subject
    from raygrad.cli._parsing import parse_device, parse_names
    from raygrad.evaluation import (
        CONDITIONS,
        VIEWS,
        evaluate,
        list_failures,
        markdown,
        plot_capture_range,
        plot_cases,
        write_rows,
    )

    computing_device = parse_device(device)
    view_names = parse_names(views, VIEWS, "--views")
    letters = None if conditions is None else parse_names(" ".join(conditions), CONDITIONS, "--conditions")
    cases: list[Any] = []
    rows = evaluate(
        load_subject(ct),
        letters,
        view_names,
        starts,
        degrees,
        mm,
        seed=seed,
        method="search" if search else "register",
        give_masks=masks,
        on_case=cases.append,
        device=computing_device,
        progress=True,
    )
    out.mkdir(parents=True, exist_ok=True)
    table, text, figure, xrays = (
        out / name for name in ("registration.csv", "registration.md", "capture_range.png", "xrays.png")
    )
    done = list(write_rows(rows, table))
    text.write_text(markdown(done) + "\n", encoding="utf-8")
    plot_capture_range(done, figure)
    plot_cases(cases, xrays)
    typer.echo(markdown(done) + "\n")
    typer.echo((list_failures(done) or "No failures.") + "\n")
    typer.echo("\n".join(map(str, (table, text, figure, xrays))) + "\n")
