"""`raygrad register`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from raygrad._errors import InputError
from raygrad.cli import _options as given
from raygrad.cli import _register_physics as system
from raygrad.cli import _xray_options as of_xrays
from raygrad.cli._options import CT_PART, HOW, POSE, UNKNOWN, XRAY


def register(
    ct: given.CT,
    xrays: Annotated[
        list[Path],
        typer.Argument(metavar="XRAY...", help="X-rays of one patient position: PNG, TIFF, NIfTI, NRRD, MHA or DICOM."),
    ],
    output: given.OutputFolder,
    rotation: of_xrays.Rotations = None,
    translation: of_xrays.Translations = None,
    pose: of_xrays.Poses = None,
    parameterization: given.Parameterization = "euler_angles",
    convention: given.Convention = "ZXY",
    init: of_xrays.Inits = None,
    relative: of_xrays.Relative = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="DEG,MM",
            help="Search all poses up to so many degrees and mm on every axis from there: 60,100. view: 45 degrees of "
            "tilt and turn, 15 in plane, 150 mm across the beam, any depth; 45/45/15,150,450-1000 says so in numbers "
            "(depth: mm from the source). sphere: from all sides, head up.",
            show_default="as unsure as the DICOM header is, where the start is its own; else no search",
            rich_help_panel=POSE,
        ),
    ] = None,
    orientation: of_xrays.Orientation = None,
    values: of_xrays.Values = None,
    frame: of_xrays.Frames = None,
    mask: of_xrays.Masks = None,
    auto_mask: Annotated[
        bool,
        typer.Option(
            "--auto-mask/--no-auto-mask",
            help="Leave out what by the X-ray itself does not count: what lies beyond a shutter or collimator, "
            "burned-in text, saturated pixels.",
            rich_help_panel=XRAY,
        ),
    ] = True,
    height: Annotated[
        int | None,
        typer.Option(help="Register at so many rows.", show_default="the X-ray's", rich_help_panel=XRAY),
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="And so many columns.", show_default="in proportion", rich_help_panel=XRAY)
    ] = None,
    sdd: of_xrays.Sdd = None,
    delx: of_xrays.Delx = None,
    dely: given.Dely = None,
    x0: of_xrays.X0 = None,
    y0: of_xrays.Y0 = None,
    parallel: given.Parallel = False,
    labelmap: given.Labelmap = None,
    series_uid: given.SeriesUid = None,
    resample_slices: given.ResampleSlices = False,
    labels: Annotated[
        str | None, typer.Option(help="Compare with these structures only: 1,2,3.", rich_help_panel=CT_PART)
    ] = None,
    bone: given.Bone = 1.0,
    keep_table: Annotated[
        bool,
        typer.Option(
            "--keep-table",
            help="Keep the table, the mattress and whatever in the CT is not attached to the patient. Else it is "
            "cut out, and table.png shows what went.",
            rich_help_panel=CT_PART,
        ),
    ] = False,
    structure: of_xrays.Structures = None,
    rigid: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="What the pose is of where the patient breathes or has moved within: spine, pelvis or skull, names of "
            "structures or labels of the labelmap, several with commas. The rest moves as one beside it.",
            rich_help_panel=UNKNOWN,
        ),
    ] = None,
    mesh: of_xrays.Meshes = None,
    at: of_xrays.At = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="Find what of the X-ray system is only roughly known too: poses (of each further X-ray against the "
            "first), sdd, x0, y0, pixel_size; several with commas. Or say how roughly, as standard deviations: "
            "sdd_mm=10, x0_mm=5, y0_mm=5, pixel_size=0.02 (relative), pose_deg=1 with pose_mm=2.",
            rich_help_panel=UNKNOWN,
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="lm (Levenberg-Marquardt), adam or lbfgs.", rich_help_panel=HOW)] = "lm",
    response: Annotated[
        str,
        typer.Option(
            help="What X-rays show of line integrals, for lm: log (these), transmission (intensities: raw, saturated, "
            "implants), curve (any monotone curve, such as a display's) or auto (as the X-ray has it).",
            rich_help_panel=HOW,
        ),
    ] = "auto",
    physics: system.Preset = None,
    kvp: system.Kvp = None,
    estimate: system.Estimate = None,
    renderer: Annotated[
        str,
        typer.Option(help="Of the pictures, and of adam and lbfgs: joseph, siddon or trilinear.", rich_help_panel=HOW),
    ] = "joseph",
    device: given.Device = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the poses that are tried.", rich_help_panel=HOW)] = 0,
    animation: Annotated[
        bool, typer.Option("--animation/--no-animation", help="Write convergence.gif too.", rich_help_panel=HOW)
    ] = True,
) -> None:
    """Find where X-rays of a CT were taken from, starting from rough poses.

    Writes pose.json, overlay.png, difference.png, convergence.png, trace.csv and convergence.gif, and table.png if the
    CT had a table, which is cut out of it. Ends with 0 if it converged, 1 if the pose is not to be trusted, 2 for a
    mistake.

    An X-ray of the example from somewhere, and the way back:

    raygrad drr example -o xray.tif --rotation 10,5,-5 --translation 20,860,-15

    raygrad register example xray.tif --sdd 1020 --delx 2 -o found

    Two X-rays, from the front and from the side. How their poses lie to each other is kept, so it must be right; where
    the patient is may be rough:

    raygrad register ct.nii.gz front.dcm side.dcm --rotation 0,0,0 --rotation 90,0,0 -o found

    A DICOM X-ray whose header has the angles or a view position, which `raygrad geometry run.dcm` shows:

    raygrad register ct.nii.gz run.dcm -o found

    An implant with the CT, from where it was planned in the CT:

    raygrad register ct.nii.gz xray.dcm --mesh cup=cup.stl:titanium -o found
    """
    from raygrad.cli._cut_out import show_cut_out
    from raygrad.cli._kept_inputs import refuse_replacing_in
    from raygrad.cli._loading import load_subject
    from raygrad.cli._parsing import parse_device, parse_labels
    from raygrad.cli._register_headers import describe_relation, ranges_of, unknowns_of, warnings_of
    from raygrad.cli._register_inputs import (
        Starts,
        check_response,
        parse_rigid,
        parse_search,
        parse_structures,
        parse_unknowns,
        prepare,
    )
    from raygrad.cli._register_run import WRITTEN, describe, register_to_folder
    from raygrad.cli._register_scene import parse_meshes
    from raygrad.cli._sizes import check_images
    from raygrad.cli._warnings import passing_on_warnings

    starts = Starts(rotation or (), translation or (), pose or (), parameterization, convention, init or (), relative)
    camera = {"sdd": sdd, "height": height, "width": width, "delx": delx, "dely": dely, "x0": x0, "y0": y0}

    def warn(sentence: str) -> None:
        typer.echo(f"raygrad: warning: {sentence}", err=True)

    meshes = parse_meshes(mesh, at)
    check_images(height or 1, width or height or 1)
    refuse_replacing_in([ct, labelmap, *xrays, *(mask or ()), *(one.path for one in meshes)], output, WRITTEN)
    with passing_on_warnings(warn):
        tasks = prepare(xrays, starts, camera, orientation, values, mask or (), frame or (), auto_mask, parallel)
    reach, structures, unknowns = parse_search(search), parse_structures(structure), parse_unknowns(calibrate)
    if meshes and (labels is not None or bone != 1.0 or method != "lm"):
        raise InputError(
            "--mesh goes with the CT's own attenuation and --method lm: leave out --labels, --bone, --method."
        )
    check_response(response, method)
    files = system.files_of([str(task.view.xray) for task in tasks], xrays)
    exposed = system.physics_options(physics, kvp, estimate, files, method, bool(meshes))
    headers = [task.header for task in tasks]
    if reach is None and method == "lm":
        reach = ranges_of(headers)
    relation = ""
    if unknowns is None and method == "lm" and not parallel:
        relation = describe_relation(headers)
        unknowns = unknowns_of(headers, [name for name, value in camera.items() if value is not None])
    rendered, computing_device = parse_labels(labels), parse_device(device)
    output.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        typer.echo(describe(task))
        for sentence in warnings_of(task.header) if task.header is not None else ():
            typer.echo(f"raygrad: warning: {task.view.xray}: {sentence}", err=True)
    if relation:
        typer.echo(relation)
    view = tasks[0].view.orientation or "none"
    subject = load_subject(
        ct,
        view,
        labelmap,
        rendered,
        bone,
        series_uid,
        resample_slices,
        labels_needed=not (structures or rigid),
        remove_table=not keep_table,
    )
    show_cut_out(subject, output, typer.echo)
    converged = register_to_folder(
        subject,
        tasks,
        output,
        method=method,
        response=response,
        keep_table=keep_table,
        renderer=renderer,
        device=computing_device,
        search=reach,
        structures=structures,
        rigid=parse_rigid(rigid),
        meshes=meshes,
        unknowns=unknowns,
        exposed=exposed,
        seed=seed,
        animation=animation,
        progress=sys.stderr.isatty(),
        say=typer.echo,
        warn=warn,
    )
    if not converged:
        raise typer.Exit(1)
