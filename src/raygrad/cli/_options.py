"""Arguments and options that several commands have: what they are called, what they mean, where `--help` lists them."""

from pathlib import Path
from typing import Annotated

import typer

POSE, CAMERA, CT_PART, IMAGE = (
    "Where the X-ray is taken from",
    "X-ray system",
    "What of the CT is rendered",
    "Image file",
)
XRAY, HOW, UNKNOWN = "The X-rays' pixels", "How it is done", "What is found beside the pose"

CT = Annotated[
    str,
    typer.Argument(
        metavar="CT",
        help="A CT: a NIfTI, NRRD or MetaImage file, a folder with a DICOM series, 'example' (the built-in thorax) or "
        "'chest' (a real CT, downloaded once).",
    ),
]
OutputFolder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; it is made if missing.")]
Device = Annotated[
    str,
    typer.Option(
        help="What computes: auto (a GPU that the GPU kernels run on, or else the CPU), cpu, cuda, cuda:1, xpu, mps.",
        rich_help_panel=HOW,
    ),
]

# Where the X-ray is taken from
Rotation = Annotated[
    str | None,
    typer.Option(
        help="Rotation of the X-ray system: three angles in degrees.", show_default="0,0,0", rich_help_panel=POSE
    ),
]
Translation = Annotated[
    str | None,
    typer.Option(
        help="Where the source is before it is rotated: x,y,z in mm from the CT's centre.",
        show_default="850 mm before the centre: 0,850,0 for AP",
        rich_help_panel=POSE,
    ),
]
Pose = Annotated[
    str | None,
    typer.Option(
        help="Rotation and translation in one: six numbers (degrees, mm), instead of the two above.",
        rich_help_panel=POSE,
    ),
]
Parameterization = Annotated[
    str,
    typer.Option(
        help="What the numbers of the rotation are: euler_angles, axis_angle, quaternion, rotation_6d, ..., or matrix "
        "(--pose with the 16 numbers of camera_to_world).",
        rich_help_panel=POSE,
    ),
]
Convention = Annotated[
    str, typer.Option(help="Order of the axes that Euler angles turn about: ZXY, ZYX, xyz, ...", rich_help_panel=POSE)
]
Orientation = Annotated[
    str,
    typer.Option(
        help="The view of an unrotated system: AP (the source is in front of the patient), PA (behind) or none.",
        rich_help_panel=POSE,
    ),
]

# X-ray system
Sdd = Annotated[float, typer.Option(help="Source-to-detector distance in mm.", rich_help_panel=CAMERA)]
Parallel = Annotated[
    bool,
    typer.Option(
        "--parallel",
        help="A parallel beam, as a synchrotron's: rays start --sdd mm before the detector.",
        rich_help_panel=CAMERA,
    ),
]
Height = Annotated[int, typer.Option(help="Rows of the image.", rich_help_panel=CAMERA)]
Width = Annotated[
    int | None, typer.Option(help="Columns of the image.", show_default="as many as rows", rich_help_panel=CAMERA)
]
Delx = Annotated[float, typer.Option(help="Width of a pixel in mm.", rich_help_panel=CAMERA)]
Dely = Annotated[
    float | None, typer.Option(help="Height of a pixel in mm.", show_default="as its width", rich_help_panel=CAMERA)
]
X0 = Annotated[float, typer.Option(help="Offset of the detector along x in mm.", rich_help_panel=CAMERA)]
Y0 = Annotated[float, typer.Option(help="Offset of the detector along y in mm.", rich_help_panel=CAMERA)]
Renderer = Annotated[
    str, typer.Option(help="siddon (exact), joseph (smooth and fast) or trilinear (samples).", rich_help_panel=CAMERA)
]

# What of the CT is rendered
Labelmap = Annotated[
    Path | None,
    typer.Option(
        help="Which voxel belongs to which structure: an image, .seg.nrrd, DICOM segmentation or RT structure set.",
        rich_help_panel=CT_PART,
    ),
]
SeriesUid = Annotated[
    str | None,
    typer.Option(
        "--series", "--series-uid", help="Which series of a DICOM folder, by its UID.", rich_help_panel=CT_PART
    ),
]
ResampleSlices = Annotated[
    bool,
    typer.Option("--resample-slices", help="Bring DICOM slices at uneven steps to even ones.", rich_help_panel=CT_PART),
]
Labels = Annotated[str | None, typer.Option(help="Render these structures only: 1,2,3.", rich_help_panel=CT_PART)]
Bone = Annotated[float, typer.Option(help="Multiply the attenuation of bone by this.", rich_help_panel=CT_PART)]
