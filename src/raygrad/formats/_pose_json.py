"""Poses as JSON files that name their units and conventions."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from raygrad import __version__
from raygrad._files import written_whole
from raygrad.data import Subject, make_reorient
from raygrad.drr import DRR
from raygrad.pose import RigidTransform

FORMAT, SCHEMA_VERSION = "raygrad pose", 1

CONVENTIONS = {
    "length": "millimetres",
    "angle": "degrees",
    "matrix": "4 x 4, row by row; acts on column vectors (x, y, z, 1)",
    "world": "patient RAS+ (+x to the patient's right, +y to the front, +z up), origin at the CT's isocentre, which is "
    "the centre of its grid of voxels",
    "camera": "X-ray source at the origin, detector in the plane z = sdd with its centre at (x0, y0), row 0 at +y, "
    "column 0 at +x (at -x where reverse_x_axis is false)",
    "camera_to_world": "pose @ reorient, where reorient turns the camera towards the patient as orientation says",
    "pose": "what raygrad's DRR takes. This is what is read back; camera_to_world, euler_angles and translation repeat "
    "it for people and other programs",
    "euler_angles": "ZXY: the pose's rotation is R = Rz(a) Rx(b) Ry(c)",
    "translation": "xyz, where the pose has the source at R @ xyz",
    "intrinsics": "sdd is the source-to-detector distance, delx and dely the width and height of a pixel",
}


@dataclass(frozen=True)
class Intrinsics:
    """An X-ray system: the arguments of `raygrad.drr.DRR`, and the orientation of the subject that it sees."""

    sdd: float
    height: int
    width: int
    delx: float
    dely: float
    x0: float = 0.0
    y0: float = 0.0
    orientation: str | None = "AP"
    reverse_x_axis: bool = True

    @classmethod
    def of(cls, drr: DRR) -> "Intrinsics":
        """The intrinsics of a DRR module."""
        detector = drr.detector
        lengths = (detector.delx, detector.dely, detector.centre_x, detector.centre_y)
        delx, dely, x0, y0 = (float(length) for length in lengths)
        return cls(
            float(detector.sdd),
            detector.height,
            detector.width,
            delx,
            dely,
            x0,
            y0,
            drr.subject.orientation,
            detector.reverse_x_axis,
        )

    def make_drr(self, subject: Subject, **options: Any) -> DRR:
        """The DRR module of this X-ray system; `options` are further arguments of it.

        Raises:
            ValueError: they make no X-ray system, or the subject has another orientation.
        """
        if subject.orientation != self.orientation:
            raise ValueError(f"Expected a subject of orientation {self.orientation}. Got {subject.orientation}.")
        camera = {name: value for name, value in asdict(self).items() if name != "orientation"}
        return DRR(subject, **camera, **options)


@dataclass(frozen=True)
class View:
    """Where one X-ray was taken from, and with what.

    Attributes:
        pose: one pose, as `DRR` takes it.
        intrinsics: the X-ray system.
        xray: the name of the X-ray's file, if it has one.
    """

    pose: RigidTransform
    intrinsics: Intrinsics
    xray: str | None = None


def write_pose(path: Path, views: Sequence[View], outcome: Mapping[str, Any] | None = None) -> None:
    """Write views as JSON; `outcome` says how they were found (numbers, texts, lists and mappings of them).

    The file is written whole or not at all. `read_pose` reads it back.

    Raises:
        ValueError: a pose holds several, or a number is not finite.
        OSError: the file cannot be written.
    """
    content = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "raygrad_version": __version__,
        "conventions": CONVENTIONS,
        "views": [_to_json(view) for view in views],
    }
    if outcome is not None:
        content["registration"] = dict(outcome)
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    with written_whole(path) as unfinished:
        unfinished.write_text(_rows_on_one_line(text) + "\n", encoding="utf-8")


def read_pose(path: Path) -> tuple[View, ...]:
    """Read the views of a file that `write_pose` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, of a later schema, or holds what is no pose or X-ray system.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no pose file '{path}'.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{path}' is not a pose file: it is not JSON ({error}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f'\'{path}\' is not a pose file: those begin with "format": "{FORMAT}".')
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"'{path}' has schema_version {version!r}; raygrad {__version__} reads {SCHEMA_VERSION}. It was written by "
            f"raygrad {content.get('raygrad_version', 'of unknown version')}: use that, or a later one."
        )
    views = content.get("views")
    if not isinstance(views, list) or not views:
        raise ValueError(f"'{path}' has no views.")
    try:
        return tuple(_from_json(view) for view in views)
    except KeyError as error:
        raise ValueError(f"'{path}' has a view without {error}.") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}' has a view that is not as it should be. {error}") from error


def _to_json(view: View) -> dict[str, Any]:
    if len(view.pose) != 1:
        raise ValueError(f"Expected one pose for every view. Got {len(view.pose)}.")
    pose = RigidTransform(view.pose.matrix.detach().cpu().double())
    reorient = RigidTransform(make_reorient(view.intrinsics.orientation))
    angles, xyz = pose.convert("euler_angles", "ZXY", degrees=True)
    return {
        "xray": view.xray,
        "pose": _rounded(pose.matrix[0]),
        "camera_to_world": _rounded(reorient.compose(pose).matrix[0]),
        "euler_angles": _rounded(angles[0]),
        "translation": _rounded(xyz[0]),
        "intrinsics": asdict(view.intrinsics),
    }


def _from_json(view: Any) -> View:
    if not isinstance(view, dict):
        raise TypeError(f"Expected a mapping. Got {view!r}.")
    matrix = torch.tensor(view["pose"], dtype=torch.float64)
    if matrix.shape != (4, 4) or not matrix.isfinite().all():
        raise ValueError(f"Expected a pose of 4 x 4 finite numbers. Got {view['pose']}.")
    rotation, last_row = matrix[:3, :3], matrix[3].tolist()
    deviation = (rotation @ rotation.T - torch.eye(3)).abs().max().item()
    if last_row != [0, 0, 0, 1] or deviation > 1e-3 or torch.linalg.det(rotation) < 0:
        raise ValueError(f"Expected a rigid pose: a rotation, a translation in mm and the row 0 0 0 1. Got {matrix}.")
    return View(RigidTransform(matrix.float()), _intrinsics(view["intrinsics"]), view.get("xray"))


def _intrinsics(values: Any) -> Intrinsics:
    names = [field.name for field in fields(Intrinsics)]
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        raise ValueError(f"Expected intrinsics {', '.join(names)}. Got {values}.")
    for name in ("sdd", "height", "width", "delx", "dely", "x0", "y0"):
        number = values[name]
        whole = name in ("height", "width")
        if isinstance(number, bool) or not isinstance(number, int if whole else (int, float)):
            raise TypeError(f"Expected {name} as a {'whole ' if whole else ''}number. Got {number!r}.")
        if not math.isfinite(number) or (name not in ("x0", "y0") and number <= 0):
            raise ValueError(f"Expected {name} as a positive number. Got {number!r}.")
    make_reorient(values["orientation"])  # says which there are
    if not isinstance(values["reverse_x_axis"], bool):
        raise TypeError(f"Expected reverse_x_axis as true or false. Got {values['reverse_x_axis']!r}.")
    return Intrinsics(**values)


def _rounded(numbers: torch.Tensor) -> Any:
    """Lists of the numbers to a millionth of a millimetre or of a degree."""
    return torch.round(numbers, decimals=9 if numbers.ndim == 2 else 6).tolist()


def _rows_on_one_line(text: str) -> str:
    """Lists of numbers on one line each, which JSON's indentation would spread over as many as they have entries."""
    return re.sub(r"\[\s*(-?\d[^\[\]{}\"]*?)\s*\]", lambda found: f"[{' '.join(found[1].split())}]", text)
