"""`raygrad reconstruct`."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raygrad.cli import _options as given
from raygrad.cli._method_options import with_options_of
from raygrad.cli._mistakes import is_mistake
from raygrad.cli._options import HOW
from raygrad.cli._reconstruct_physics import DetectorName, Filtration, Kvp, ReferenceKev, WaterOptions

if TYPE_CHECKING:
    from raygrad._processes import Processes

IMAGES, GRID = "The images", "Where the voxels lie"
KEEPING, COMPARING = "When it ends, and what is kept", "How good it is"


def _methods() -> Mapping[str, type]:
    from raygrad.reconstruction import METHODS

    return METHODS


@with_options_of(_methods)
def reconstruct(
    views: Annotated[
        Path,
        typer.Argument(
            metavar="VIEWS",
            help="The X-rays: a folder of PNG, TIFF, DICOM, NIfTI or NRRD images, or one file with all of them (NIfTI, "
            "NRRD, MetaImage, TIFF, NPY, NPZ).",
        ),
    ],
    geometry: Annotated[
        Path,
        typer.Argument(
            metavar="GEOMETRY",
            help="Where they were taken from: a JSON file of raygrad's, RTK's XML, projection matrices (NPZ, NPY, "
            "JSON, text), or a file of another program (docs/files.md lists them).",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The volume: .nii.gz, .nii, .nrrd or .mha. Replaced at the end.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="fdk (one pass over a circular scan), os_sart, sirt, cgls, osem (photon statistics), tv (few or noisy "
            "views), adam. Each has options of its own: `--method tv --help`.",
            rich_help_panel=HOW,
        ),
    ] = "os_sart",
    renderer: Annotated[
        str,
        typer.Option(help="What the iterative methods invert: joseph, siddon or trilinear.", rich_help_panel=HOW),
    ] = "joseph",
    device: given.Device = "auto",
    support: Annotated[
        Path | None,
        typer.Option(help="A volume that is 0 where the reconstruction is to be 0.", rich_help_panel=HOW),
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="A volume to start from, such as an earlier one.", rich_help_panel=HOW)
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Refine what is only roughly known first: poses, sdd, x0, y0, pixel_size; several with commas. The "
            "geometry that is found is written beside the volume.",
            rich_help_panel=HOW,
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            help="What the pixels are: line-integrals (bone bright), intensity (as the detector measured it, bone "
            "dark), inverted-intensity (the same turned over), display (grey levels for the eye, bone shown bright), "
            "inverted-display (bone shown dark).",
            show_default="as DICOM headers say, else line-integrals",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    air: Annotated[
        str | None,
        typer.Option(
            metavar="I0",
            help="Intensity without a patient: one for all views, or one for each with commas.",
            show_default="estimated",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Images that are 0 where a pixel does not count: one for all views or one for each, beside what DICOM "
            "headers hide. For methods that iterate.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    kvp: Kvp = None,
    filtration: Filtration = None,
    detector: DetectorName = None,
    reference_kev: ReferenceKev = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="The grid of this volume, such as the patient's CT, in place of the three below.",
            rich_help_panel=GRID,
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Number of voxels along each axis, or one for all.",
            show_default="the box about what all views see",
            rich_help_panel=GRID,
        ),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="MM",
            help="Size of a voxel in mm, or x,y,z.",
            show_default="a pixel's at the isocentre",
            rich_help_panel=GRID,
        ),
    ] = None,
    centre: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Middle of the grid in mm, in the world of the geometry.",
            show_default="that of the box",
            rich_help_panel=GRID,
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(help="At most so many.", show_default="the method's own", rich_help_panel=KEEPING),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="End when the volume changes by less than this part of itself.",
            show_default="never",
            rich_help_panel=KEEPING,
        ),
    ] = None,
    residual: Annotated[
        float | None,
        typer.Option(
            help="End when so small a part of the images is unexplained, such as their noise.",
            show_default="never",
            rich_help_panel=KEEPING,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Where the state is kept twice a minute: the same command goes on from there. It is removed when the "
            "volume is written.",
            show_default="beside the volume",
            rich_help_panel=KEEPING,
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, and remove the checkpoint.", rich_help_panel=KEEPING)
    ] = False,
    checkpoint_every: Annotated[
        float, typer.Option(metavar="S", help="Seconds between two checkpoints.", rich_help_panel=KEEPING)
    ] = 30.0,
    held_out: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep every N-th view out, and compare it in the end with that of the reconstruction from there.",
            rich_help_panel=COMPARING,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="A volume in the reconstruction's units, to print PSNR, SSIM and relative error of it.",
            rich_help_panel=COMPARING,
        ),
    ] = None,
    preview: Annotated[Path | None, typer.Option(help="Write three slices as .png.", rich_help_panel=COMPARING)] = None,
    history: Annotated[
        Path | None, typer.Option(help="Write residual and time of every iteration as .csv.", rich_help_panel=COMPARING)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but what is wrong.")] = False,
    **options: Any,
) -> None:
    """Reconstruct a volume from X-ray images.

    All input is checked first, and memory and time are estimated. Killed at any moment, the same command goes on from
    its last checkpoint and ends with the same volume.

    The views of a CT, simulated, and the way back:

    raygrad project example --circular 64 -o views.nii.gz

    raygrad reconstruct views.nii.gz views.geometry.json -o volume.nii.gz --preview slices.png

    Few noisy views of your own scanner, on the grid of an earlier CT, by four processes that share them:

    torchrun --nproc-per-node 4 -m raygrad reconstruct views/ geometry.xml --values intensity --method tv
    --like ct.nii.gz -o volume.nii.gz
    """
    from raygrad.cli._kept_inputs import refuse_replacing
    from raygrad.cli._parsing import parse_device
    from raygrad.cli._reconstruct_inputs import Grid, check_outputs, parse_unknowns, plan, read_problem
    from raygrad.cli._reconstruct_run import Outputs, reconstruct_to_files
    from raygrad.formats import beside
    from raygrad.reconstruction import METHODS

    outputs = Outputs(output, beside(output, ".checkpoint") if checkpoint is None else checkpoint, history, preview)
    options |= {"iterations": iterations, "tolerance": tolerance, "residual": residual}
    with _joined(outputs.checkpoint) as processes:
        check_outputs(output, history=history, preview=preview, checkpoint=outputs.checkpoint)
        refuse_replacing(
            [views, geometry, mask, like, support, start, truth],
            {"--output": output, "--checkpoint": outputs.checkpoint, "--history": history, "--preview": preview},
        )
        planned, unknowns = plan(method, options | {"start": start}), parse_unknowns(calibrate)
        computing_device = parse_device(device)  # of the processes that torchrun starts each has its own GPU
        problem = read_problem(
            views,
            geometry,
            values=values,
            air=air,
            mask=mask,
            can_mask=METHODS[method].default_iterations is not None and unknowns is None,
            grid=Grid(like, shape, spacing, centre),
            support=support,
            start=start,
            truth=truth,
            held_out=held_out,
        )
        water = WaterOptions(kvp, filtration, detector, reference_kev)
        problem = water.correct(problem, typer.echo if processes.rank == 0 and not quiet else lambda _: None)
        reconstruct_to_files(
            problem,
            outputs,
            method=method,
            renderer=renderer,
            device=computing_device,
            options=planned,
            unknowns=unknowns,
            fresh=fresh,
            checkpoint_every=checkpoint_every,
            processes=processes,
            progress=sys.stderr.isatty() and not quiet,
            say=(lambda _: None) if quiet else typer.echo,
        )


@contextmanager
def _joined(checkpoint: Path) -> "Iterator[Processes]":
    """The processes that torchrun started, or this one; the first one alone says how they end, once for all."""
    from raygrad.distributed import WorkerLostError, join_processes
    from raygrad.reconstruction import Resumption

    rank = 0
    try:
        with join_processes() as processes:
            rank = processes.rank
            try:
                yield processes
            except Exception as error:
                if processes.count == 1 or not is_mistake(error):
                    raise
                raise ValueError(str(error)) from error  # what the others can raise too
    except ValueError as error:
        if rank > 0 and is_mistake(error):
            raise typer.Exit(2) from None
        raise
    except WorkerLostError as error:
        typer.echo(f"raygrad: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        kept = "no checkpoint was kept yet"
        if checkpoint.exists():
            resumed = Resumption.of(checkpoint)
            kept = f"the same command goes on from iteration {resumed.iterations}, kept in '{checkpoint}'"
        if rank == 0:
            typer.echo(f"raygrad: interrupted; {kept}.", err=True)
        raise typer.Exit(130) from None
