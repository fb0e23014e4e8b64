"""The command `raygrad`. Each command imports what it needs when it runs, so that `--help` answers at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

try:
    import typer
except ImportError as error:
    raise ImportError('The raygrad command needs typer: pip install "raygrad[cli]"') from error

POSE, CAMERA, CT, IMAGE = "Where the X-ray is taken from", "X-ray system", "What of the CT is rendered", "Image file"
XRAY, HOW = "The X-rays' pixels", "How it is done"

app = typer.Typer(
    name="raygrad",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Differentiable X-ray imaging: X-ray images (DRRs) of a CT, with exact derivatives.\n\n"
    "Start with `raygrad demo`, which shows what raygrad does, or render the built-in CT: "
    "`raygrad drr example -o xray.png`.",
)


@contextmanager
def mistakes_in_one_sentence() -> Iterator[None]:
    """Turn what a user can mend (a value, a file, a missing library) into one sentence and exit code 2."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        typer.echo(f"raygrad: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the PNGs; it is made if missing.")] = Path(
        "raygrad-demo"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Coarser and shorter: a few seconds.")] = False,
) -> None:
    """Render the built-in CT, draw a loss landscape, register an X-ray and reconstruct from one view.

    Takes about a minute and writes four PNGs.
    """
    with mistakes_in_one_sentence():
        from raygrad.app.demo import run_demo

        for path, meaning in run_demo(out, quick=quick):
            typer.echo(f"{path}\n    {meaning}")


@app.command()
def info() -> None:
    """Say what this installation can do, and why."""
    from raygrad.app.info import describe_installation

    rows = describe_installation()
    width = max(len(subject) for subject, _ in rows)
    for subject, text in rows:
        typer.echo(f"{subject:<{width}}  {text}")


@app.command()
def drr(
    ct: Annotated[
        str,
        typer.Argument(
            metavar="CT",
            help="A CT: a NIfTI, NRRD or MetaImage file, a folder with a DICOM series, 'example' (the built-in "
            "thorax) or 'chest' (a real CT, downloaded once).",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The image: .png (grey levels), .tif or .nii.gz (line integrals, 32-bit float)."
        ),
    ],
    rotation: Annotated[
        str | None,
        typer.Option(
            help="Rotation of the X-ray system: three angles in degrees.", show_default="0,0,0", rich_help_panel=POSE
        ),
    ] = None,
    translation: Annotated[
        str | None,
        typer.Option(
            help="Where the source is before it is rotated: x,y,z in mm from the CT's centre.",
            show_default="0,850,0",
            rich_help_panel=POSE,
        ),
    ] = None,
    pose: Annotated[
        str | None,
        typer.Option(
            help="Rotation and translation in one: six numbers (degrees, mm), instead of the two above.",
            rich_help_panel=POSE,
        ),
    ] = None,
    parameterization: Annotated[
        str,
        typer.Option(
            help="What the numbers of the rotation are: euler_angles, axis_angle, quaternion, rotation_6d, ..., "
            "or matrix (--pose with the 16 numbers of camera_to_world).",
            rich_help_panel=POSE,
        ),
    ] = "euler_angles",
    convention: Annotated[
        str,
        typer.Option(help="Order of the axes that Euler angles turn about: ZXY, ZYX, xyz, ...", rich_help_panel=POSE),
    ] = "ZXY",
    orientation: Annotated[
        str, typer.Option(help="The view of an unrotated system: AP, PA or none.", rich_help_panel=POSE)
    ] = "AP",
    sdd: Annotated[float, typer.Option(help="Source-to-detector distance in mm.", rich_help_panel=CAMERA)] = 1020.0,
    height: Annotated[int, typer.Option(help="Rows of the image.", rich_help_panel=CAMERA)] = 200,
    width: Annotated[
        int | None, typer.Option(help="Columns of the image.", show_default="as many as rows", rich_help_panel=CAMERA)
    ] = None,
    delx: Annotated[float, typer.Option(help="Width of a pixel in mm.", rich_help_panel=CAMERA)] = 2.0,
    dely: Annotated[
        float | None, typer.Option(help="Height of a pixel in mm.", show_default="as its width", rich_help_panel=CAMERA)
    ] = None,
    x0: Annotated[float, typer.Option(help="Offset of the detector along x in mm.", rich_help_panel=CAMERA)] = 0.0,
    y0: Annotated[float, typer.Option(help="Offset of the detector along y in mm.", rich_help_panel=CAMERA)] = 0.0,
    renderer: Annotated[
        str,
        typer.Option(help="siddon (exact), joseph (smooth and fast) or trilinear (samples).", rich_help_panel=CAMERA),
    ] = "siddon",
    labelmap: Annotated[
        Path | None, typer.Option(help="An image that says which voxel belongs to which structure.", rich_help_panel=CT)
    ] = None,
    series_uid: Annotated[str | None, typer.Option(help="Which series of a DICOM folder.", rich_help_panel=CT)] = None,
    labels: Annotated[str | None, typer.Option(help="Render these structures only: 1,2,3.", rich_help_panel=CT)] = None,
    bone: Annotated[float, typer.Option(help="Multiply the attenuation of bone by this.", rich_help_panel=CT)] = 1.0,
    window: Annotated[
        str | None,
        typer.Option(
            help="PNG: line integrals that become black and white, such as 0,5.",
            show_default="the image's",
            rich_help_panel=IMAGE,
        ),
    ] = None,
    bits: Annotated[int, typer.Option(help="PNG: 8 or 16 bits.", rich_help_panel=IMAGE)] = 8,
    invert: Annotated[
        bool, typer.Option("--invert", help="PNG: dark bone on a bright background.", rich_help_panel=IMAGE)
    ] = False,
) -> None:
    """Render one X-ray image (DRR) of a CT.

    The example, from the front and from the side:

    raygrad drr example -o front.png

    raygrad drr example -o side.png --rotation 90,0,0

    A CT of your own, 1024 x 1024 pixels of 0.4 mm, as line integrals:

    raygrad drr ct.nii.gz -o xray.tif --height 1024 --delx 0.4
    """
    with mistakes_in_one_sentence():
        from raygrad.app.drr import render_to_file
        from raygrad.app.images import check_output
        from raygrad.app.inputs import UserError, load_subject, parse_labels, parse_pose, parse_window

        if bits not in (8, 16):
            raise UserError(f"--bits is 8 or 16, not {bits}.")
        check_output(output)  # before the CT is read, which may take a while
        camera_to_patient = parse_pose(rotation, translation, pose, parameterization, convention)
        grey_window = parse_window(window)
        subject = load_subject(ct, orientation, labelmap, parse_labels(labels), bone, series_uid)
        sentence = render_to_file(
            subject,
            camera_to_patient,
            output,
            window=grey_window,
            bits=bits,
            invert=invert,
            sdd=sdd,
            height=height,
            width=width,
            delx=delx,
            dely=dely,
            x0=x0,
            y0=y0,
            renderer=renderer,
        )
        typer.echo(sentence)


@app.command()
def landscape(
    ct: Annotated[
        str,
        typer.Argument(
            metavar="CT",
            help="A CT: a NIfTI, NRRD or MetaImage file, a folder with a DICOM series, 'example' or 'chest'.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; it is made if missing.")],
    rotation: Annotated[
        str | None,
        typer.Option(
            help="True rotation of the X-ray system: three angles in degrees.",
            show_default="0,0,0",
            rich_help_panel=POSE,
        ),
    ] = None,
    translation: Annotated[
        str | None,
        typer.Option(
            help="True place of the source before it is rotated: x,y,z in mm from the CT's centre.",
            show_default="0,850,0",
            rich_help_panel=POSE,
        ),
    ] = None,
    pose: Annotated[
        str | None,
        typer.Option(help="Rotation and translation in one: six numbers (degrees, mm).", rich_help_panel=POSE),
    ] = None,
    parameterization: Annotated[
        str,
        typer.Option(
            help="What the numbers of the rotation are, as for `raygrad drr`, and which parameters move "
            "(of a matrix, Euler angles).",
            rich_help_panel=POSE,
        ),
    ] = "euler_angles",
    convention: Annotated[
        str, typer.Option(help="Order of the axes that Euler angles turn about.", rich_help_panel=POSE)
    ] = "ZXY",
    orientation: Annotated[
        str, typer.Option(help="The view of an unrotated system: AP, PA or none.", rich_help_panel=POSE)
    ] = "AP",
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
        typer.Option(help="Images rendered together.", show_default="what fits into 64 MB", rich_help_panel=HOW),
    ] = None,
    sdd: Annotated[float, typer.Option(help="Source-to-detector distance in mm.", rich_help_panel=CAMERA)] = 1020.0,
    height: Annotated[int, typer.Option(help="Rows of the images.", rich_help_panel=CAMERA)] = 200,
    width: Annotated[
        int | None, typer.Option(help="Columns of the images.", show_default="as many as rows", rich_help_panel=CAMERA)
    ] = None,
    delx: Annotated[float, typer.Option(help="Width of a pixel in mm.", rich_help_panel=CAMERA)] = 2.0,
    dely: Annotated[
        float | None, typer.Option(help="Height of a pixel in mm.", show_default="as its width", rich_help_panel=CAMERA)
    ] = None,
    x0: Annotated[float, typer.Option(help="Offset of the detector along x in mm.", rich_help_panel=CAMERA)] = 0.0,
    y0: Annotated[float, typer.Option(help="Offset of the detector along y in mm.", rich_help_panel=CAMERA)] = 0.0,
    renderer: Annotated[
        str,
        typer.Option(help="siddon (exact), joseph (smooth and fast) or trilinear (samples).", rich_help_panel=CAMERA),
    ] = "siddon",
    labelmap: Annotated[
        Path | None, typer.Option(help="An image that says which voxel belongs to which structure.", rich_help_panel=CT)
    ] = None,
    series_uid: Annotated[str | None, typer.Option(help="Which series of a DICOM folder.", rich_help_panel=CT)] = None,
    labels: Annotated[str | None, typer.Option(help="Render these structures only: 1,2,3.", rich_help_panel=CT)] = None,
    bone: Annotated[float, typer.Option(help="Multiply the attenuation of bone by this.", rich_help_panel=CT)] = 1.0,
) -> None:
    """Show how hard it is to find a pose: the loss of the images around it.

    Prints and writes where the loss has its minimum, how curved and how far convex it is, and from how far it leads to
    the minimum. Writes landscape.png (surfaces), landscape_maps.png, landscape_profiles.png, landscape.csv,
    landscape.npz and landscape.txt.

    The example from the front, coarse, in a few seconds:

    raygrad landscape example -o landscape --height 100 --delx 4 --steps 9

    Depth against one angle, far from the truth:

    raygrad landscape example -o landscape --pairs y,alpha --ranges "y=200 alpha=90" --steps 31
    """
    with mistakes_in_one_sentence():
        import sys

        from raygrad.app.inputs import load_subject, parse_labels, parse_pose
        from raygrad.app.landscape import parse_metric, parse_ranges, parse_slices, save_landscape
        from raygrad.drr import DRR

        camera_to_patient = parse_pose(rotation, translation, pose, parameterization, convention)
        euler = parameterization in ("euler_angles", "matrix")
        options = {
            "parameterization": "euler_angles" if euler else parameterization,
            "convention": convention if euler else None,
            "degrees": True,
            "slices": parse_slices(pairs, parameters),
            "ranges": parse_ranges(ranges),
            "steps": steps,
            "metric": parse_metric(metric),
            "batch_size": batch_size,
            "progress": sys.stderr.isatty(),
        }
        if xray is not None:
            from raygrad.app.xrays import as_line_integrals, read_xray

            options["xray"] = as_line_integrals(read_xray(xray), "line-integrals")
        output.mkdir(parents=True, exist_ok=True)
        subject = load_subject(ct, orientation, labelmap, parse_labels(labels), bone, series_uid)
        system = DRR(subject, sdd, height, delx, width, dely, x0, y0, renderer=renderer)
        for text in save_landscape(system, camera_to_patient, output, **options):
            typer.echo(text)


@app.command()
def register(
    ct: Annotated[
        str,
        typer.Argument(
            metavar="CT",
            help="A CT: a NIfTI, NRRD or MetaImage file, a folder with a DICOM series, 'example' or 'chest'.",
        ),
    ],
    xrays: Annotated[
        list[Path],
        typer.Argument(metavar="XRAY...", help="X-rays of one patient position: PNG, TIFF, NIfTI, NRRD, MHA or DICOM."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; it is made if missing.")],
    rotation: Annotated[
        list[str] | None,
        typer.Option(
            help="Rough rotation of the X-ray system: three angles in degrees. Once for every X-ray.",
            show_default="0,0,0",
            rich_help_panel=POSE,
        ),
    ] = None,
    translation: Annotated[
        list[str] | None,
        typer.Option(
            help="Rough place of the source before it is rotated: x,y,z in mm from the CT's centre. Once, or once for "
            "every X-ray.",
            show_default="0,850,0, or the distance in the DICOM header",
            rich_help_panel=POSE,
        ),
    ] = None,
    pose: Annotated[
        list[str] | None,
        typer.Option(help="Rotation and translation in one: six numbers (degrees, mm).", rich_help_panel=POSE),
    ] = None,
    parameterization: Annotated[
        str, typer.Option(help="What the numbers of the rotation are, as for `raygrad drr`.", rich_help_panel=POSE)
    ] = "euler_angles",
    convention: Annotated[
        str, typer.Option(help="Order of the axes that Euler angles turn about.", rich_help_panel=POSE)
    ] = "ZXY",
    init: Annotated[
        list[Path] | None,
        typer.Option(
            help="Start from a pose.json, with its X-ray system. Once for every X-ray, or one file that has all.",
            rich_help_panel=POSE,
        ),
    ] = None,
    relative: Annotated[
        Path | None,
        typer.Option(
            help="Several X-rays: a pose.json whose views lie to each other as these do; --pose is the first one's.",
            rich_help_panel=POSE,
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="DEG,MM",
            help="Search all poses up to so many degrees and mm on every axis from there: 60,100.",
            rich_help_panel=POSE,
        ),
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option(
            help="The view of an unrotated system: AP, PA or none.",
            show_default="AP, or the pose file's",
            rich_help_panel=POSE,
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            help="What the pixels are: line-integrals (bone bright), intensity (as the detector measured it, bone "
            "dark), inverted-intensity (the same turned over), display (grey levels for the eye, bone bright).",
            show_default="as the DICOM header says, else line-integrals",
            rich_help_panel=XRAY,
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            help="An image of the X-ray's size, 0 where it is not to be compared (collimator, table, metal). Once, or "
            "once for every X-ray.",
            rich_help_panel=XRAY,
        ),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(help="Register at so many rows.", show_default="the X-ray's", rich_help_panel=XRAY),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="And so many columns.", show_default="in proportion", rich_help_panel=XRAY)
    ] = None,
    sdd: Annotated[
        float | None,
        typer.Option(
            help="Source-to-detector distance in mm.",
            show_default="the pose file's or DICOM header's",
            rich_help_panel=CAMERA,
        ),
    ] = None,
    delx: Annotated[
        float | None,
        typer.Option(
            help="Width of one of the X-ray's pixels on the detector in mm.",
            show_default="the pose file's or image header's",
            rich_help_panel=CAMERA,
        ),
    ] = None,
    dely: Annotated[
        float | None, typer.Option(help="Height of a pixel in mm.", show_default="as its width", rich_help_panel=CAMERA)
    ] = None,
    x0: Annotated[
        float | None,
        typer.Option(help="Offset of the detector along x in mm.", show_default="0", rich_help_panel=CAMERA),
    ] = None,
    y0: Annotated[
        float | None,
        typer.Option(help="Offset of the detector along y in mm.", show_default="0", rich_help_panel=CAMERA),
    ] = None,
    labelmap: Annotated[
        Path | None, typer.Option(help="An image that says which voxel belongs to which structure.", rich_help_panel=CT)
    ] = None,
    series_uid: Annotated[str | None, typer.Option(help="Which series of a DICOM folder.", rich_help_panel=CT)] = None,
    labels: Annotated[
        str | None, typer.Option(help="Compare with these structures only: 1,2,3.", rich_help_panel=CT)
    ] = None,
    bone: Annotated[float, typer.Option(help="Multiply the attenuation of bone by this.", rich_help_panel=CT)] = 1.0,
    method: Annotated[str, typer.Option(help="lm (Levenberg-Marquardt), adam or lbfgs.", rich_help_panel=HOW)] = "lm",
    renderer: Annotated[
        str, typer.Option(help="joseph (smooth and fast), siddon or trilinear.", rich_help_panel=HOW)
    ] = "joseph",
    seed: Annotated[int, typer.Option(help="Seed of the search.", rich_help_panel=HOW)] = 0,
    animation: Annotated[
        bool, typer.Option("--animation/--no-animation", help="Write convergence.gif too.", rich_help_panel=HOW)
    ] = True,
) -> None:
    """Find where X-rays of a CT were taken from, starting from rough poses.

    Writes pose.json, overlay.png, difference.png, convergence.png, trace.csv and convergence.gif. Ends with 0 if it
    converged, 1 if the pose is not to be trusted, 2 for a mistake.

    An X-ray of the example from somewhere, and the way back:

    raygrad drr example -o xray.tif --rotation 10,5,-5 --translation 20,860,-15

    raygrad register example xray.tif --sdd 1020 --delx 2 -o found

    Two X-rays, from the front and from the side. How their poses lie to each other is kept, so it must be right; where
    the patient is may be rough:

    raygrad register ct.nii.gz front.dcm side.dcm --rotation 0,0,0 --rotation 90,0,0 -o found
    """
    with mistakes_in_one_sentence():
        import sys

        from raygrad.app.inputs import load_subject, parse_labels
        from raygrad.app.register import Starts, describe, parse_search, prepare, register_to_folder

        starts = Starts(
            rotation or (), translation or (), pose or (), parameterization, convention, init or (), relative
        )
        camera = {"sdd": sdd, "height": height, "width": width, "delx": delx, "dely": dely, "x0": x0, "y0": y0}
        tasks = prepare(xrays, starts, camera, orientation, values, mask or ())
        reach = parse_search(search)
        structures = parse_labels(labels)
        output.mkdir(parents=True, exist_ok=True)
        for task in tasks:
            typer.echo(describe(task))
        view = tasks[0].view.intrinsics.orientation or "none"
        converged = register_to_folder(
            load_subject(ct, view, labelmap, structures, bone, series_uid),
            tasks,
            output,
            method=method,
            renderer=renderer,
            search=reach,
            seed=seed,
            animation=animation,
            progress=sys.stderr.isatty(),
            say=typer.echo,
            warn=lambda sentence: typer.echo(f"raygrad: warning: {sentence}", err=True),
        )
    if not converged:
        raise typer.Exit(1)


evaluations = typer.Typer(no_args_is_help=True, help="Measure how well raygrad works, under conditions you can rerun.")
app.add_typer(evaluations, name="evaluate")


@evaluations.command("registration")
def evaluate_registration(
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
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the CSV, the table and the plots.")] = Path(
        "raygrad-evaluation"
    ),
) -> None:
    """Register simulated X-rays from seeded starts: success rates, errors, times, and failures by their status.

    A quick look, and the whole evaluation of a CT:

    raygrad evaluate registration --conditions a --starts 5

    raygrad evaluate registration --ct ct.nii.gz --starts 100
    """
    with mistakes_in_one_sentence():
        from raygrad.app.evaluation.command import evaluate_to_folder, parse_conditions, parse_views
        from raygrad.app.inputs import load_subject

        view_names = parse_views(views)
        subject = load_subject(ct)
        letters = parse_conditions(conditions, subject)
        method = "search" if search else "register"
        for text in evaluate_to_folder(
            subject, out, letters, view_names, starts, degrees, mm, seed, method, give_masks=masks
        ):
            typer.echo(text + "\n")


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
) -> None:
    """Options of `raygrad` itself."""


def main() -> None:
    """Run the command line."""
    app()
