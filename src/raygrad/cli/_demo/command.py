"""The command and its options."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the PNGs; it is made if missing.")] = Path(
        "raygrad-demo"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Coarser and shorter: a few seconds.")] = False,
) -> None:
    """Render the built-in CT, draw a loss landscape, register an X-ray and reconstruct from one view.

    Takes about a minute and writes four PNGs.
    """
    from raygrad.cli._demo.run import run_demo

    for path, meaning in run_demo(out, quick=quick):
        typer.echo(f"{path}\n    {meaning}")
