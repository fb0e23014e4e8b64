"""`raygrad cockpit --sweep`: the images of a sweep and their geometry, opened to be reconstructed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygrad._errors import InputError

if TYPE_CHECKING:
    from raygrad._cockpit import OpenSweep

SWEEP = "A sweep to reconstruct, in place of a CT and X-rays"
EXAMPLE = "example"

SweepImages = Annotated[
    Path | None,
    typer.Option(
        "--sweep",
        metavar="VIEWS",
        help="Its images, as `raygrad reconstruct` takes them; 'example' for some of the built-in thorax.",
        rich_help_panel=SWEEP,
    ),
]
SweepGeometry = Annotated[
    Path | None,
    typer.Option(help="Where they were taken from, as for `raygrad reconstruct`.", rich_help_panel=SWEEP),
]


def is_sweep(ct: str | None, images: Path | None, geometry: Path | None) -> bool:
    """Whether a sweep is to be opened.

    Raises:
        InputError: options of a sweep without one.
    """
    if images is not None or ct == "sweep":
        return True
    if geometry is not None:
        raise InputError("--geometry goes with --sweep, the images of one.")
    return False


def serve_sweep(
    ct: str | None,
    others: Sequence[Path],
    images: Path | None,
    geometry: Path | None,
    values: str | None,
    out: Path | None,
    port: int,
    browser: bool,
) -> None:
    """Open a sweep and serve its page until Ctrl-C. `raygrad cockpit sweep VIEWS` is `--sweep VIEWS`, too."""
    from raygrad._cockpit import Serving, SweepSession

    if images is None and len(others) == 1:
        (images,) = others
    elif images is None or ct is not None or others:
        raise InputError("Expected one sweep, --sweep VIEWS --geometry GEOMETRY or 'sweep example', and no CT.")
    typer.echo("Reading ...", err=True)
    session = SweepSession(open_sweep(images, geometry, values, out))
    serving = Serving(session, port)
    typer.echo(f"Cockpit: {serving.url}\nIt is yours as long as this runs: Ctrl-C ends it.")
    serving.run(open_browser=browser)


def open_sweep(images: Path, geometry: Path | None, values: str | None = None, out: Path | None = None) -> "OpenSweep":
    """The sweep of these files, on the grid that `raygrad reconstruct` would take.

    Raises:
        InputError: there is no geometry, or something does not fit; see `raygrad.cli._reconstruct_inputs.read_problem`.
        OSError: a file is missing or damaged.
    """
    from raygrad._cockpit import OpenSweep
    from raygrad.cli._parsing import parse_device
    from raygrad.cli._reconstruct_inputs import read_problem
    from raygrad.data import check_writable

    if out is not None:
        check_writable(out)
    if str(images) == EXAMPLE:
        if geometry is not None:
            raise InputError("The example has its own geometry; leave out --geometry.")
        return open_example_sweep(out)
    if geometry is None:
        raise InputError(f"Where was '{images}' taken from? Name its --geometry.")
    problem = read_problem(images, geometry, values=values)
    return OpenSweep(
        images.name,
        problem.images,
        problem.views,
        [name.rstrip(",") for name in problem.names],
        problem.grid,
        problem.grid_is,
        mask=problem.mask,
        world_to_file=problem.world_to_file,
        device=parse_device("auto"),
        out=out,
    )


def open_example_sweep(out: Path | None = None) -> "OpenSweep":
    """A circle of 64 noisy views of the built-in thorax, coarse enough to be made, and reconstructed, in seconds."""
    import torch

    from raygrad._cockpit import OpenSweep
    from raygrad.evaluation import count_photons
    from raygrad.geometry import choose_grid, trajectories
    from raygrad.phantoms import load_example_ct
    from raygrad.projector import Projector

    thorax = load_example_ct(shape=(128, 128, 66), density="attenuation", energy_kev=70.0).density
    views = trajectories.circular(64, sdd=1500.0, sid=1000.0, height=128, width=128, delx=4.8)
    with torch.no_grad():
        images = Projector(thorax, views, "joseph")(thorax.voxels)
    images = count_photons(images, 50_000.0, torch.Generator().manual_seed(0))
    names = [f"view {number}" for number in range(1, len(views) + 1)]
    grid = choose_grid(views, None, (4.0, 4.0, 4.0))
    held_out = range(7, len(views), 8)
    return OpenSweep(
        "example sweep", images, views, names, grid, "the box about what all views see", held_out=held_out, out=out
    )
