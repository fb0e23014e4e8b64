"""Nikon's .xtekct: the geometry of a turntable before a fixed source and detector.

Lengths are mm, angles degrees. The source looks along +y of the laboratory, z is up, the axis of the turntable is at
SrcToObject and the middle of the detector at SrcToDetector. As the Core Imaging Library's reader has it (its
documentation of NikonDataReader): column 0 of the image is at +x and row 0 at the top, the detector's middle is at
(-DetectorOffsetX, DetectorOffsetY), the axis at -ObjectOffsetX and leans by ObjectRoll and ObjectTilt, or passes
through CentreOfRotationTop and CentreOfRotationBottom on the detector in older files. In the object's own frame, whose
z is the axis and which stands as the maker's reconstructions do, the source turns by AngularStep from view to view,
from InitialAngle - 180 on.
"""

import math
import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._text import text_of
from raygrad.geometry import ConeViews, views_of_cone_vectors
from raygrad.pose import euler_angles_to_matrix

_NEEDED = (
    "SrcToObject",
    "SrcToDetector",
    "DetectorPixelsX",
    "DetectorPixelsY",
    "DetectorPixelSizeX",
    "DetectorPixelSizeY",
    "Projections",
    "AngularStep",
)
_HEAD = "[XTekCT]"


def read_xtekct(path: str | os.PathLike[str]) -> dict[str, float | str]:
    """All that a .xtekct file says, by its own names: numbers, and words.

    `WhiteLevel` is what the detector reads where there is nothing before it, as `estimate_air` finds it in images.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not such a file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}'.")
    if not _sniff(path):
        raise InputError(f"Expected Nikon's .xtekct, which begins with {_HEAD}. Got '{path}'.")
    said: dict[str, float | str] = {}
    for line in (text_of(path) or "").splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        try:
            said[name] = float(value)
        except ValueError:
            said[name] = value
    return {name: value for name, value in said.items() if name and not name.startswith("[")}


def _sniff(path: Path) -> bool:
    return (text_of(path) or "").lstrip().startswith(_HEAD)


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The views of a scan.

    Raises:
        InputError: it is not such a file, or a number is missing or makes no scan.
    """
    said = read_xtekct(path)

    def number(name: str, default: float | None = None) -> float:
        value = said.get(name, default)
        if not isinstance(value, float) or not math.isfinite(value):
            raise InputError(f"Expected {name} as a number. Got {value!r} in '{path}'.")
        return value

    sod, sdd, columns, rows, delx, dely, views, step = (number(name) for name in _NEEDED)
    if not 0 < sod < sdd or min(delx, dely) <= 0 or any(n < 1 or n != int(n) for n in (columns, rows, views)):
        found = ", ".join(f"{name} {said[name]:g}" for name in _NEEDED if isinstance(said[name], float))
        raise InputError(f"Expected distances, sizes and counts of a scan. Got {found} in '{path}'.")
    top, bottom = number("CentreOfRotationTop", 0.0), number("CentreOfRotationBottom", 0.0)
    axis_x = -number("ObjectOffsetX", (top + bottom) / 2 * sod / sdd)
    roll = math.radians(number("ObjectRoll", -math.degrees(math.atan2(top - bottom, rows * dely))))
    tilt = -math.radians(number("ObjectTilt", 0.0))

    # The laboratory, with the axis at its origin.
    source, middle = (
        [-axis_x, -sod, 0.0],
        [-number("DetectorOffsetX", 0.0) - axis_x, sdd - sod, number("DetectorOffsetY", 0.0)],
    )
    in_laboratory = torch.tensor([source, middle, [-delx, 0.0, 0.0], [0.0, 0.0, -dely]], dtype=torch.float64)
    about_axis = in_laboratory @ _object_to_laboratory(roll, tilt)
    turns = torch.arange(int(views), dtype=torch.float64) * step + number("InitialAngle", 0.0) - 180.0
    zero = torch.zeros_like(turns)
    turned = euler_angles_to_matrix(torch.deg2rad(torch.stack([turns, zero, zero], dim=-1)), "ZXY")
    return views_of_cone_vectors((about_axis @ turned.mT).flatten(1), int(rows), int(columns))


def _object_to_laboratory(roll: float, tilt: float) -> Float[Tensor, "3 3"]:
    """The frame of the object before it turns: z is the leaning axis, and x stays across the beam."""
    leaning = euler_angles_to_matrix(torch.tensor([[tilt, roll, 0.0]], dtype=torch.float64), "XYZ")[0]
    z_axis = leaning[:, 2]
    x_axis = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 1.0, 0.0]).double(), z_axis), dim=0)
    return torch.stack([x_axis, torch.linalg.cross(z_axis, x_axis), z_axis], dim=-1)


NIKON = GEOMETRIES.add(GeometryFormat("Nikon's .xtekct", (".xtekct",), _sniff, _read, centred=True))
