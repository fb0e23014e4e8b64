"""`raygrad project`: the X-rays of a sweep around a CT."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from raygrad.cli import _options as given
from raygrad.cli._options import CAMERA, CT_PART

PATH, DOSE = "Where the views are taken from", "Noise"


def project(
    ct: given.CT,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The views: .nii.gz, .nii, .nrrd, .mha, .tif or .npy with all of them, or the name of a folder.",
        ),
    ],
    geometry: Annotated[
        Path | None,
        typer.Argument(
            metavar="[GEOMETRY]",
            help="A geometry file: raygrad's JSON, or projection matrices (NPZ, NPY, JSON). Else say one of the sweeps "
            "below.",
        ),
    ] = None,
    circular: Annotated[
        int | None, typer.Option(metavar="N", help="N views on a circle.", rich_help_panel=PATH)
    ] = None,
    short_scan: Annotated[
        int | None, typer.Option(metavar="N", help="N views over half a turn and the fan.", rich_help_panel=PATH)
    ] = None,
    helical: Annotated[
        int | None, typer.Option(metavar="N", help="N views on a helix: --pitch, --turns.", rich_help_panel=PATH)
    ] = None,
    c_arm: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="N views of a C-arm, the tube under the table: --lao-rao.", rich_help_panel=PATH
        ),
    ] = None,
    laminography: Annotated[
        int | None, typer.Option(metavar="N", help="N views about a slanted axis: --tilt.", rich_help_panel=PATH)
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            help="Angle of the first view in degrees.", show_default="0, from the front", rich_help_panel=PATH
        ),
    ] = None,
    range_deg: Annotated[
        float | None,
        typer.Option("--range", help="How far the source turns, in degrees.", show_default="360", rich_help_panel=PATH),
    ] = None,
    clockwise: Annotated[bool, typer.Option("--clockwise", help="Turn the other way.", rich_help_panel=PATH)] = False,
    pitch: Annotated[
        float | None, typer.Option(help="Of the helix, mm a turn.", show_default=False, rich_help_panel=PATH)
    ] = None,
    turns: Annotated[float | None, typer.Option(help="Of the helix.", show_default=False, rich_help_panel=PATH)] = None,
    lao_rao: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST,LAST",
            help="Degrees, LAO positive: -100,100.",
            show_default=False,
            rich_help_panel=PATH,
        ),
    ] = None,
    cran_caud: Annotated[
        str | None,
        typer.Option(metavar="FIRST,LAST", help="Degrees, CRAN positive.", show_default="0", rich_help_panel=PATH),
    ] = None,
    tilt: Annotated[
        float | None,
        typer.Option(help="Degrees that the beam leans.", show_default=False, rich_help_panel=PATH),
    ] = None,
    sdd: Annotated[
        float | None,
        typer.Option(
            help="Distance from the source to the detector in mm.", show_default="1500", rich_help_panel=CAMERA
        ),
    ] = None,
    sid: Annotated[
        float | None,
        typer.Option(
            help="Distance from the source to the isocentre in mm.", show_default="1000", rich_help_panel=CAMERA
        ),
    ] = None,
    height: Annotated[
        int | None, typer.Option(help="Rows of the image.", show_default="256", rich_help_panel=CAMERA)
    ] = None,
    width: given.Width = None,
    delx: Annotated[
        float | None,
        typer.Option(
            help="Width of a pixel in mm.", show_default="what makes a row 614.4 mm long", rich_help_panel=CAMERA
        ),
    ] = None,
    dely: given.Dely = None,
    x0: Annotated[
        float | None,
        typer.Option(help="Offset of the detector along x in mm.", show_default="0", rich_help_panel=CAMERA),
    ] = None,
    y0: Annotated[
        float | None,
        typer.Option(help="Offset of the detector along y in mm.", show_default="0", rich_help_panel=CAMERA),
    ] = None,
    renderer: given.Renderer = "siddon",
    device: given.Device = "auto",
    attenuation: Annotated[
        bool,
        typer.Option(
            "--attenuation/--density",
            help="A voxel's worth, from its HU: attenuation in 1/mm, or the density without a unit that `raygrad drr` "
            "renders.",
            rich_help_panel=CT_PART,
        ),
    ] = True,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            help="The volume's values are no HU: project them, as of a reconstruction.",
            rich_help_panel=CT_PART,
        ),
    ] = False,
    energy: Annotated[
        float, typer.Option(metavar="KEV", help="Photon energy, for attenuation.", rich_help_panel=CT_PART)
    ] = 70.0,
    in_place: Annotated[
        bool | None,
        typer.Option(
            "--in-place/--centred",
            help="The CT lies where its file says, or with its centre at the origin.",
            show_default="centred, but in place for RTK's geometry and matrices",
            rich_help_panel=CT_PART,
        ),
    ] = None,
    save_volume: Annotated[
        Path | None,
        typer.Option(help="Write what was projected too, to compare with.", rich_help_panel=CT_PART),
    ] = None,
    series_uid: given.SeriesUid = None,
    resample_slices: given.ResampleSlices = False,
    photons: Annotated[
        float | None,
        typer.Option(
            help="Photons that a pixel gets without a patient.", show_default="no noise", rich_help_panel=DOSE
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.", rich_help_panel=DOSE)] = 0,
) -> None:
    """Simulate the X-rays of a sweep around a CT.

    They are line integrals. The geometry of a sweep that is not from a file is written beside them.

    raygrad project example --circular 64 -o views.nii.gz

    raygrad reconstruct views.nii.gz views.geometry.json -o volume.nii.gz --preview slices.png

    Thirty noisy views of a C-arm:

    raygrad project ct.nii.gz --c-arm 30 --lao-rao=-95,95 --photons 20000 -o views.nii.gz
    """
    import torch

    from raygrad._optional import require
    from raygrad.cli._kept_inputs import refuse_replacing
    from raygrad.cli._loading import load_attenuation
    from raygrad.cli._parsing import parse_device
    from raygrad.cli._sweeps import read_or_make_views
    from raygrad.data import check_writable, write_volume
    from raygrad.evaluation import count_photons
    from raygrad.formats import InputError, beside, check_stack_path, split_views, write_geometry, write_stack
    from raygrad.geometry import VolumeGeometry, blind_views
    from raygrad.projector import Projector

    content = "as-is" if as_is else "attenuation" if attenuation else "density"
    if photons is not None and content == "density":
        raise InputError("--photons needs line integrals of attenuation: leave out --density.")
    if photons is not None and not 0 < photons < float("inf"):
        raise InputError(f"--photons is a positive number, not {photons:g}.")
    computing_device = parse_device(device)
    check_stack_path(output)
    written = beside(output, ".geometry.json") if geometry is None else None
    if written is not None and written.is_dir():
        raise InputError(f"'{written}' is a folder, where the geometry would be written.")
    if save_volume is not None:
        check_writable(save_volume)
    refuse_replacing([ct, geometry], {"--output": output, "the geometry": written, "--save-volume": save_volume})
    counts = {
        "circular": circular,
        "short_scan": short_scan,
        "helical": helical,
        "c_arm": c_arm,
        "laminography": laminography,
    }
    path = {
        "start_deg": start,
        "range_deg": range_deg,
        "clockwise": clockwise,
        "pitch": pitch,
        "turns": turns,
        "lao_rao_deg": lao_rao,
        "cran_caud_deg": cran_caud,
        "tilt_deg": tilt,
    }
    camera = {"sdd": sdd, "sid": sid, "height": height, "width": width}
    camera |= {"delx": delx, "dely": dely, "x0": x0, "y0": y0}
    views, centred = read_or_make_views(geometry, counts, path, camera)
    centred = centred if in_place is None else not in_place
    volume = load_attenuation(ct, content, energy, centred, series_uid, resample_slices).density

    if blind := blind_views(views, VolumeGeometry.of(volume)):
        some = ", ".join(map(str, blind[:10]))
        raise InputError(f"{len(blind)} of {len(views)} views see nothing of the CT: {some}.")
    began = time.perf_counter()
    projector, voxels = Projector(volume, views, renderer).to(computing_device), volume.voxels.to(computing_device)
    images = torch.empty(projector.range_shape)
    numbers = range(len(views))
    if sys.stderr.isatty():
        numbers = require("tqdm", "progress bars", extra="cli").tqdm(numbers, desc="views", ncols=90)
    with torch.no_grad():
        for number in numbers:
            images[number] = projector[[number]](voxels)[0]
    if photons is not None:
        images = count_photons(images, photons, torch.Generator().manual_seed(seed))
    seconds = time.perf_counter() - began

    intrinsics = split_views(views)[0].intrinsics
    spacing = (float(intrinsics.delx), float(intrinsics.dely))
    write_stack(output, images, spacing)
    count, rows, columns = images.shape
    typer.echo(
        f"{output}: {count} views of {columns} x {rows} pixels of {spacing[0]:.4g} x {spacing[1]:.4g} mm, line "
        f"integrals {float(images.min()):.3g} to {float(images.max()):.3g}, in {seconds:.1f} s"
    )
    if written is not None:
        write_geometry(written, views)
        typer.echo(f"{written}: where they were taken from")
    if save_volume is not None:
        write_volume(volume, save_volume)
        typer.echo(f"{save_volume}: what was projected")
