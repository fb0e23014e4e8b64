"""`raygrad drr`: one X-ray image of a CT."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygrad.cli import _options as given
from raygrad.cli import _physics_options as simulated

if TYPE_CHECKING:
    from raygrad.drr import DRR
    from raygrad.pose import RigidTransform


def drr(
    ct: given.CT,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The image: .png (grey levels), .tif or .nii.gz (line integrals, 32-bit float), .dcm (a DICOM XA with "
            "the geometry in its header).",
        ),
    ],
    rotation: given.Rotation = None,
    translation: given.Translation = None,
    pose: given.Pose = None,
    parameterization: given.Parameterization = "euler_angles",
    convention: given.Convention = "ZXY",
    orientation: given.Orientation = "AP",
    sdd: given.Sdd = 1020.0,
    parallel: given.Parallel = False,
    height: given.Height = 200,
    width: given.Width = None,
    delx: given.Delx = 2.0,
    dely: given.Dely = None,
    x0: given.X0 = 0.0,
    y0: given.Y0 = 0.0,
    renderer: Annotated[
        str | None,
        typer.Option(
            help="siddon (exact), joseph (smooth and fast) or trilinear (samples).",
            show_default="siddon; joseph with --physics",
            rich_help_panel=given.CAMERA,
        ),
    ] = None,
    device: given.Device = "auto",
    labelmap: given.Labelmap = None,
    series_uid: given.SeriesUid = None,
    resample_slices: given.ResampleSlices = False,
    labels: given.Labels = None,
    bone: given.Bone = 1.0,
    remove_table: Annotated[
        bool,
        typer.Option("--remove-table", help="Cut the CT's table out first.", rich_help_panel=given.CT_PART),
    ] = False,
    finer_slices: Annotated[
        bool,
        typer.Option(
            "--finer-slices",
            help="Divide thick slices into thinner ones, so that the X-ray does not show them.",
            rich_help_panel=given.CT_PART,
        ),
    ] = False,
    physics: simulated.Preset = None,
    kvp: simulated.Kvp = None,
    filtration: simulated.Filtration = None,
    dose: simulated.Dose = None,
    detector: simulated.DetectorName = None,
    scatter: simulated.ScatterRatio = None,
    noise: simulated.Noise = None,
    no_noise: simulated.NoNoise = False,
    collimator: simulated.Collimated = None,
    metal: simulated.Metal = None,
    values: simulated.Values = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="PNG: line integrals that become black and white, such as 0,5.",
            show_default="the image's",
            rich_help_panel=given.IMAGE,
        ),
    ] = None,
    bits: Annotated[int, typer.Option(help="PNG: 8 or 16 bits.", rich_help_panel=given.IMAGE)] = 8,
    invert: Annotated[
        bool,
        typer.Option(
            "--invert",
            help="PNG: black and white exchanged, for dark bone on a bright background.",
            rich_help_panel=given.IMAGE,
        ),
    ] = False,
) -> None:
    """Render one X-ray image (DRR) of a CT.

    The example, from the front and from the side:

    raygrad drr example -o front.png

    raygrad drr example -o side.png --rotation 90,0,0

    A CT of your own, 1024 x 1024 pixels of 0.4 mm, as line integrals:

    raygrad drr ct.nii.gz -o xray.tif --height 1024 --delx 0.4

    As an X-ray that any viewer of DICOM opens:

    raygrad drr ct.nii.gz -o xray.dcm --rotation 30,0,0

    As a radiograph, with scatter, noise and a vendor's processing:

    raygrad drr ct.nii.gz -o chest.png --physics radiography --kvp 120 --orientation PA --height 900 --delx 0.4
    """
    import torch

    from raygrad.cli._drr_physics import described, taken, written
    from raygrad.cli._kept_inputs import refuse_replacing
    from raygrad.cli._loading import load_subject
    from raygrad.cli._parsing import parse_device, parse_labels, parse_orientation, parse_pose, parse_window
    from raygrad.cli._sizes import check_images
    from raygrad.cli._warnings import passing_on_warnings
    from raygrad.drr import DRR
    from raygrad.formats import InputError, View, check_image_path, write_image, write_xray

    if bits not in (8, 16):
        raise InputError(f"--bits is 8 or 16, not {bits}.")
    check_image_path(output, has_view=True)  # before the CT is read, which may take a while
    refuse_replacing([ct, labelmap], {"--output": output})
    check_images(height, width)
    if parallel and output.suffix.lower() == ".dcm":
        raise InputError("Expected a cone beam for an XA, whose header says where the source is. Got --parallel.")
    camera_to_patient = parse_pose(
        rotation, translation, pose, parameterization, convention, parse_orientation(orientation)
    )
    grey_window, computing_device = parse_window(window), parse_device(device)
    if physics is not None and window is not None and values is None and output.suffix.lower() == ".png":
        values = "line-integrals"  # which a window is of
    options = simulated.PhysicsOptions(
        physics, kvp, filtration, dose, detector, scatter, noise, no_noise, collimator, metal, values
    )
    xray_system = None if physics is None else options.physics()
    if xray_system is None:
        options.check_alone()
    elif bone != 1:
        raise InputError("--bone changes what densities are made of HU; with --physics materials are. Leave out one.")
    chosen = parse_labels(labels)
    subject = load_subject(
        ct, orientation, labelmap, chosen, bone, series_uid, resample_slices, True, remove_table, finer_slices
    )

    renderer = renderer or ("siddon" if xray_system is None else "joseph")
    system = DRR(subject, sdd, height, delx, width, dely, x0, y0, renderer=renderer, parallel=parallel)
    system = system.to(computing_device)
    pose_there = camera_to_patient.to(computing_device)
    start = time.perf_counter()
    with torch.no_grad(), passing_on_warnings(lambda sentence: typer.echo(f"raygrad: warning: {sentence}", err=True)):
        if xray_system is None:
            image = system(pose_there)[0, 0].cpu()
        else:
            image = taken(system, pose_there, xray_system, options, output)
    milliseconds = 1000 * (time.perf_counter() - start)
    # Scatter and noise are beside the patient, too.
    empty = not image.any() if xray_system is None else not _meets(system, camera_to_patient)
    if empty:
        typer.echo(f"raygrad: warning: {_why_empty(system, camera_to_patient)}", err=True)

    spacing = (float(system.detector.delx), float(system.detector.dely))
    if xray_system is not None:
        said = written(output, image, system, camera_to_patient, xray_system, options, grey_window, bits, invert)
    elif output.suffix.lower() == ".dcm":
        said = write_xray(output, image, View.of(system, camera_to_patient))
    else:
        said = []
        write_image(output, image, spacing, grey_window, bits, invert)
    for sentence in said:
        typer.echo(f"raygrad: warning: {sentence}", err=True)
    rows, columns = image.shape
    what = f"line integrals {image.min():.3g} to {image.max():.3g}"
    if xray_system is not None:
        what = described(image, xray_system, options, output)
    typer.echo(
        f"{output}: {columns} x {rows} pixels of {spacing[0]:g} x {spacing[1]:g} mm, {what}, "
        f"rendered in {milliseconds:.0f} ms"
    )


def _meets(system: "DRR", camera_to_patient: "RigidTransform") -> bool:
    """Whether a ray goes through the volume."""
    import torch

    from raygrad.pose import RigidTransform

    volume = system.subject.volume
    pose = RigidTransform(camera_to_patient.matrix.double())
    source, target = (
        ends.cpu() @ volume.world_to_voxel[:3, :3].T + volume.world_to_voxel[:3, 3]
        for ends in system.to("cpu").detector(pose)
    )
    way = target - source
    shape = torch.tensor(volume.spatial_shape) - 0.5
    first, second = (-0.5 - source) / way, (shape - source) / way
    enters = torch.minimum(first, second).nan_to_num(-torch.inf).amax(-1)
    leaves = torch.maximum(first, second).nan_to_num(torch.inf).amin(-1)
    return bool((enters.clamp_min(0) < leaves.clamp_max(1)).any())


def _why_empty(system: "DRR", camera_to_patient: "RigidTransform") -> str:
    """Why there is nothing in a picture."""
    if _meets(system, camera_to_patient):
        return "The rays meet nothing but air: what is rendered of the CT is 0 where they cross it."
    x, y, z = system.to("cpu").detector.camera_to_world(camera_to_patient).matrix[0, :3, 3].tolist()
    return (
        f"No ray meets the volume, which does not lie between the detector and the source at {x:.4g}, {y:.4g}, {z:.4g} "
        "mm from the CT's centre. --translation and --pose say where the source is, --orientation whither it looks."
    )
