"""Poses, and the geometry of a sweep, as JSON files that name their units and conventions."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raygrad import __version__
from raygrad._errors import InputError
from raygrad._files import NAMES_AS_BYTES, written_whole
from raygrad.data import make_reorient
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._registry import json_in
from raygrad.formats._views import View, join_views, rigid_matrix, split_views
from raygrad.geometry import ConeViews, Intrinsics
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
    "file_to_world": "from the world of the CT's own file, RAS+ mm, to this one; without it that is not known",
    "intrinsics": "sdd is the source-to-detector distance, delx and dely the width and height of a pixel",
}
PARALLEL = (
    "where it is true, rays run along +z of the camera, each from the plane z = 0 to its pixel: there is no source"
)


# In the order in which they are written.
_LENGTHS = ("sdd", "height", "width", "delx", "dely", "x0", "y0")
_INTRINSICS = (*_LENGTHS, "orientation", "reverse_x_axis")


def write_poses(
    path: str | os.PathLike[str],
    views: Sequence[View],
    outcome: Mapping[str, Any] | None = None,
    file_to_world: np.ndarray | None = None,
) -> None:
    """Write views as JSON that names its units and conventions, whole or not at all; `read_poses` reads it back.

    Args:
        path: of the file.
        views: one pose each.
        outcome: how they were found: numbers, texts, lists and mappings of them.
        file_to_world: of the `Subject` that the poses are of: what `export_geometry` needs for files in the CT's own
            world.

    Raises:
        ValueError: a view holds several poses, or a number is not finite.
        OSError: the file cannot be written.
    """
    write_content(path, content_of_poses(views, outcome, file_to_world))


def content_of_poses(
    views: Sequence[View], outcome: Mapping[str, Any] | None = None, file_to_world: np.ndarray | None = None
) -> dict[str, Any]:
    """What `write_poses` writes: who writes more puts it beside this, and `read_poses` passes over it."""
    any_parallel = any(view.intrinsics.parallel for view in views)
    content: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "raygrad_version": __version__,
        "conventions": CONVENTIONS | ({"parallel": PARALLEL} if any_parallel else {}),
        "views": [_to_json(view) for view in views],
    }
    if file_to_world is not None:
        content["file_to_world"] = _rounded(torch.as_tensor(file_to_world))
    if outcome is not None:
        content["registration"] = dict(outcome)
    return content


def write_content(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write the content of a pose file, whole or not at all."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    with written_whole(Path(path).expanduser()) as unfinished:
        unfinished.write_text(_rows_on_one_line(text) + "\n", encoding="utf-8", errors=NAMES_AS_BYTES)


def read_poses(path: str | os.PathLike[str]) -> tuple[View, ...]:
    """Read the views of a file that `write_poses` or `write_geometry` wrote: with poses in float64, as it has them.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: it is not such a file, of a later schema, or holds what is no pose or X-ray system.
    """
    path = Path(path).expanduser()
    views = read_content(path).get("views")
    if not isinstance(views, list) or not views:
        raise InputError(f"'{path}' has no views.")
    try:
        return tuple(_from_json(view) for view in views)
    except KeyError as error:
        raise InputError(f"'{path}' has a view without {error}.") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"'{path}' has a view that is not as it should be. {error}") from error


def read_file_to_world(path: str | os.PathLike[str]) -> np.ndarray | None:
    """The 4x4 map from the CT file's world (RAS+ mm) to the world of a pose file; None if the file does not say.

    Raises:
        FileNotFoundError, InputError: as for `read_poses`, or what it says is no rigid map.
    """
    path = Path(path).expanduser()
    found = read_content(path).get("file_to_world")
    try:
        return None if found is None else rigid_matrix(found).numpy()
    except (TypeError, ValueError) as error:
        raise InputError(f"'{path}' has a file_to_world that is not as it should be. {error}") from error


def read_outcome(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """How the poses of a file were found, as `RegistrationResult.outcome` says it; None if the file does not.

    Raises:
        FileNotFoundError, InputError: as for `read_poses`.
    """
    path = Path(path).expanduser()
    found = read_content(path).get("registration")
    if found is not None and not isinstance(found, dict):
        raise InputError(f"'{path}' has a registration that is no mapping. Got {found!r}.")
    return found


def read_body_poses(path: str | os.PathLike[str]) -> dict[str, RigidTransform]:
    """Where the bodies are that a registration of a scene found, body_to_world by their names; none of others.

    Raises:
        FileNotFoundError, InputError: as for `read_poses`, or a pose is not rigid.
    """
    path = Path(path).expanduser()
    bodies = (read_content(path).get("registration") or {}).get("bodies") or {}
    try:
        return {name: RigidTransform(rigid_matrix(body["body_to_world"])) for name, body in bodies.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' has bodies that are not as they should be. {error}") from error


def read_content(path: Path) -> dict[str, Any]:
    """All that a pose file has, after a look at whether it is one."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no pose file '{path}'.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"Expected a pose file. Got '{path}', which is not JSON ({error}).") from error
    if not _is_ours(content):
        raise InputError(f'Expected a pose file, which begins with "format": "{FORMAT}". Got \'{path}\'.')
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"'{path}' has schema_version {version!r}; raygrad {__version__} reads {SCHEMA_VERSION}. It was written by "
            f"raygrad {content.get('raygrad_version', 'of unknown version')}: use that, or a later one."
        )
    return content


def _sniff(path: Path) -> bool:
    return _is_ours(json_in(path))


def _is_ours(content: Any) -> bool:
    return isinstance(content, dict) and content.get("format") == FORMAT


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The views of a sweep, in float32 as those of all formats: what is reconstructed has the poses' type."""
    views = join_views(read_poses(path), f"'{path}'")
    return replace(views, pose=RigidTransform(views.pose.matrix.float()))


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    write_poses(path, split_views(views, names))


POSE_JSON = GEOMETRIES.add(GeometryFormat("raygrad's JSON", (".json",), _sniff, _read, _write, centred=True))


def _to_json(view: View) -> dict[str, Any]:
    if len(view.pose) != 1:
        raise ValueError(f"Expected one pose for every view. Got {len(view.pose)}.")
    pose = RigidTransform(view.pose.matrix.detach().cpu().double())
    reorient = RigidTransform(make_reorient(view.orientation))
    angles, xyz = pose.convert("euler_angles", "ZXY", degrees=True)
    system = {**vars(view.intrinsics.detached()), "orientation": view.orientation}
    return {
        "xray": view.xray,
        "pose": _rounded(pose.matrix[0]),
        "camera_to_world": _rounded(reorient.compose(pose).matrix[0]),
        "euler_angles": _rounded(angles[0]),
        "translation": _rounded(xyz[0]),
        "intrinsics": {name: system[name] for name in _INTRINSICS} | ({"parallel": True} if system["parallel"] else {}),
    }


def _from_json(view: Any) -> View:
    if not isinstance(view, dict):
        raise TypeError(f"Expected a mapping. Got {view!r}.")
    matrix = rigid_matrix(view["pose"])
    intrinsics, orientation = _system(view["intrinsics"])
    return View(RigidTransform(matrix), intrinsics, orientation, view.get("xray"))


def _system(values: Any) -> tuple[Intrinsics, str | None]:
    """Intrinsics and orientation, of types that JSON tells apart and Python does not; `Intrinsics` checks the rest."""
    if not isinstance(values, dict) or sorted(values.keys() - {"parallel"}) != sorted(_INTRINSICS):
        raise ValueError(f"Expected intrinsics {', '.join(_INTRINSICS)}. Got {values}.")
    for name in _LENGTHS:
        number = values[name]
        whole = name in ("height", "width")
        if isinstance(number, bool) or not isinstance(number, int if whole else (int, float)):
            raise TypeError(f"Expected {name} as a {'whole ' if whole else ''}number. Got {number!r}.")
    for name in ("reverse_x_axis", "parallel"):
        if not isinstance(values.get(name, False), bool):
            raise TypeError(f"Expected {name} as true or false. Got {values[name]!r}.")
    orientation = values["orientation"]
    make_reorient(orientation)  # says which there are
    return Intrinsics(**{name: value for name, value in values.items() if name != "orientation"}), orientation


def _rounded(numbers: torch.Tensor) -> Any:
    """Lists of the numbers to a millionth of a millimetre or of a degree."""
    return torch.round(numbers, decimals=9 if numbers.ndim == 2 else 6).tolist()


def _rows_on_one_line(text: str) -> str:
    """Lists of numbers on one line each, which JSON's indentation would spread over as many as they have entries."""
    return re.sub(r"\[\s*(-?\d[^\[\]{}\"]*?)\s*\]", lambda found: f"[{' '.join(found[1].split())}]", text)
