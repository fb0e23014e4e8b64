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
            "d: as c, two views. e: as b, the spine has moved. f: tissues at 100 kV, scatter. As f: g: display "
            "curve. h: enhanced. i: collimator and text, no mask. j: small field. k: and a vertebra has moved. l: the "
            "patient goes on beyond the CT. m: a table that the X-ray lacks. n: breathing. o: no grid, scatter 2. p: "
            "low dose. q: leads and screws. r: CT of 5 mm slices. s: scatter, low dose, curve, collimator, text, "
            "leads, table.",
            show_default="all that the CT allows",
        ),
    ] = None,
    views: Annotated[str, typer.Option(help="True poses.")] = "ap,lateral,oblique",
    starts: Annotated[int, typer.Option(help="Registrations for each condition and view.")] = 20,
    degrees: Annotated[
        float | None,
        typer.Option(help="How far starts are turned about every axis, at most.", show_default="20; 10 from f on"),
    ] = None,
    mm: Annotated[
        float | None,
        typer.Option(help="How far starts are shifted along every axis, at most.", show_default="30; 15 from f on"),
    ] = None,
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
    from raygrad._files import written_whole
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
        plot_deviations,
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
    names = ("registration.csv", "registration.md", "capture_range.png", "deviations.png", "xrays.png")
    table, text, figure, deviations, xrays = (out / name for name in names)
    done = list(write_rows(rows, table))
    with written_whole(text) as unfinished:
        unfinished.write_text(markdown(done) + "\n", encoding="utf-8")
    plot_capture_range(done, figure)
    plot_deviations(done, deviations)
    plot_cases(cases, xrays)
    typer.echo(markdown(done) + "\n")
    typer.echo((list_failures(done) or "No failures.") + "\n")
    typer.echo("\n".join(map(str, (table, text, figure, deviations, xrays))) + "\n")
