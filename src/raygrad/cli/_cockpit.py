"""`raygrad cockpit`."""

from pathlib import Path
from typing import Annotated

import typer

from raygrad._errors import InputError
from raygrad.cli import _options as given
from raygrad.cli import _xray_options as of_xrays
from raygrad.cli._cockpit_sweep import SweepGeometry, SweepImages, is_sweep, serve_sweep
from raygrad.cli._options import POSE

PAGE = "The page and its files"


def cockpit(
    ct: Annotated[
        str | None,
        typer.Argument(
            metavar="[CT]",
            help="A CT: a NIfTI, NRRD or MetaImage file, a folder with a DICOM series, 'example' (the built-in thorax) "
            "or 'chest' (a real CT, downloaded once). Or a saved session (.json), or 'sweep example'.",
            show_default=False,
        ),
    ] = None,
    xrays: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[XRAY]...",
            help="X-rays of one patient position: PNG, TIFF, NIfTI, NRRD, MHA or DICOM. Without any, the page says how "
            "to come by one; 'example' has two of its own.",
            show_default=False,
        ),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(help="Open a saved session: CT, X-rays and all.", rich_help_panel=PAGE),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(help="A folder whose X-rays the page may open, and no others.", rich_help_panel=PAGE),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder that the page may write to, which also keeps the session by itself; it is made if missing. "
            "Without, nothing is written, and the page offers files as downloads. Of a sweep, the volume's file.",
            rich_help_panel=PAGE,
        ),
    ] = None,
    rotation: of_xrays.Rotations = None,
    translation: of_xrays.Translations = None,
    pose: of_xrays.Poses = None,
    init: of_xrays.Inits = None,
    relative: of_xrays.Relative = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="DEG,MM",
            help="How far Search looks, as `raygrad register --search` has it.",
            rich_help_panel=POSE,
        ),
    ] = None,
    orientation: of_xrays.Orientation = None,
    values: of_xrays.Values = None,
    frame: of_xrays.Frames = None,
    mask: of_xrays.Masks = None,
    sdd: of_xrays.Sdd = None,
    delx: of_xrays.Delx = None,
    dely: given.Dely = None,
    x0: of_xrays.X0 = None,
    y0: of_xrays.Y0 = None,
    labelmap: given.Labelmap = None,
    structure: of_xrays.Structures = None,
    mesh: of_xrays.Meshes = None,
    at: of_xrays.At = None,
    series_uid: given.SeriesUid = None,
    sweep: SweepImages = None,
    geometry: SweepGeometry = None,
    port: Annotated[
        int, typer.Option(help="Of 127.0.0.1; 0 for any that is free.", min=0, max=65535, rich_help_panel=PAGE)
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.", rich_help_panel=PAGE)
    ] = True,
) -> None:
    """Open a page where you see X-rays of a CT, drag the anatomy into place, and let it be registered.

    The page is for this machine alone, and nothing leaves it. To see how it works:

    raygrad cockpit example

    Your own, with a folder for what comes of it:

    raygrad cockpit ct.nii.gz run.dcm --out results

    An implant that is found by itself, and a vertebra:

    raygrad cockpit ct.nii.gz xray.dcm --mesh cup=cup.stl:titanium --labelmap labels.nii.gz --structure L1=20

    Where you left off:

    raygrad cockpit results/session.json --out results

    The images of a sweep, to be reconstructed:

    raygrad cockpit --sweep views.nii.gz --geometry views.geometry.json --out volume.nii.gz
    """
    if is_sweep(ct, sweep, geometry):
        serve_sweep(ct, xrays or (), sweep, geometry, values, out, port, browser)
        return
    from raygrad.cli._cockpit_inputs import Asked, plan

    if session is None and ct is not None and ct.lower().endswith(".json"):
        session, ct = Path(ct), None
    if ct is None and session is None:
        raise InputError("Which CT? Name one, or a saved session; `raygrad cockpit example` shows how it works.")
    if session is not None and (
        ct or xrays or labelmap or pose or init or rotation or translation or relative or mesh or structure
    ):
        raise InputError("A saved session says which CT and X-rays it has, and where: leave these out.")
    for name, given_folder in (("--folder", folder), ("--out", out)):
        if given_folder is not None and given_folder.exists() and not given_folder.is_dir():
            raise InputError(f"{name} takes a folder. Got '{given_folder}', which is a file.")
    if folder is not None and not folder.is_dir():
        raise InputError(f"There is no folder '{folder}' to open X-rays from.")
    asked = Asked(
        ct,
        tuple(xrays or ()),
        session,
        folder,
        out,
        tuple(rotation or ()),
        tuple(translation or ()),
        tuple(pose or ()),
        tuple(init or ()),
        relative,
        search,
        orientation,
        values,
        tuple(frame or ()),
        tuple(mask or ()),
        {"sdd": sdd, "height": None, "width": None, "delx": delx, "dely": dely, "x0": x0, "y0": y0},
        labelmap,
        series_uid,
        tuple(structure or ()),
        tuple(mesh or ()),
        tuple(at or ()),
    )
    read = plan(asked)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)

    from raygrad._cockpit import Opening, Serving

    opening = Opening("Reading the CT ...")
    serving = Serving(opening, port)
    opening.begin(read, serving.ask_to_end)
    typer.echo(f"Cockpit: {serving.url}\nIt is yours as long as this runs: Ctrl-C ends it.")
    serving.run(open_browser=browser)
    if opening.problem is not None:
        raise opening.problem
