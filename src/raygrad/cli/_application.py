"""All commands together, and what they have in common."""

import os
from typing import Annotated

try:
    import typer
except ImportError as error:
    raise ImportError('The raygrad command needs typer: pip install "raygrad[cli]"') from error

from raygrad.cli._cockpit import cockpit
from raygrad.cli._demo import demo
from raygrad.cli._drr import drr
from raygrad.cli._evaluate import registration as evaluate_registration
from raygrad.cli._export import export
from raygrad.cli._geometry import geometry
from raygrad.cli._info import info
from raygrad.cli._landscape import landscape
from raygrad.cli._method_options import command_class
from raygrad.cli._mistakes import TRACEBACK, mistakes_in_one_sentence
from raygrad.cli._project import project
from raygrad.cli._reconstruct import reconstruct
from raygrad.cli._register import register

app = typer.Typer(
    name="raygrad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Differentiable X-ray imaging: X-ray images (DRRs) of a CT, with exact derivatives.\n\n"
    "Start with `raygrad demo`, which shows what raygrad does, or render the built-in CT: "
    "`raygrad drr example -o xray.png`.",
)
"""The command, as typer knows it."""
for command in (demo, info, drr, landscape, geometry, register, cockpit, export, project, reconstruct):
    guard = mistakes_in_one_sentence()
    app.command(cls=command_class(command, guard))(guard(command))

evaluations = typer.Typer(no_args_is_help=True, help="Measure how well raygrad works, under conditions you can rerun.")
evaluations.command()(mistakes_in_one_sentence()(evaluate_registration))
app.add_typer(evaluations, name="evaluate")


def print_version(wanted: bool) -> bool:
    """Print the version and end, where that is wanted."""
    if wanted:
        from raygrad import __version__

        typer.echo(__version__)
        raise typer.Exit()
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True)
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Where a bug of raygrad's shows, print its traceback.")
    ] = False,
) -> None:
    """Options of `raygrad` itself."""
    if traceback:
        os.environ[TRACEBACK] = "1"


def main() -> None:
    """Run the command line."""
    app()
