"""TIGRE's geometry: the attributes of its Python class `geometry`, and the angles, as arrays of a NPZ file.

They are those of TIGRE's documentation (demo d01): with all angles 0 the source is at (DSO, 0, 0) and the centre of the
detector at (DSO - DSD, 0, 0), columns follow +y and rows +z. `rotDetector` turns the detector about its centre, first
about x, then y, then z; `offDetector` moves it along z and y. `angles` turn source and detector, Rz(a) Ry(b) Rz(c) of
three numbers or Rz(a) of one. `offOrigin` is where the volume's centre is, z first, and `COR` moves the rest along the
turned y axis. The world here has its origin at the volume's centre. Lengths are mm, angles radians.
"""

from pathlib import Path

import numpy as np
import torch

from raygrad._errors import InputError
from raygrad._files import load_arrays
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat
from raygrad.formats._numpy import shapes_in
from raygrad.geometry import ConeViews, views_of_cone_vectors
from raygrad.pose import euler_angles_to_matrix

_NEEDED = {"angles": 1, "DSO": 1, "DSD": 1, "nDetector": 2, "dDetector": 2}
_OPTIONAL = {"offOrigin": 3, "offDetector": 2, "rotDetector": 3, "COR": 1}
# What a geometry has beside these: the volume, and what follows from the others.
_OTHERS = ("nVoxel", "sVoxel", "dVoxel", "sDetector", "accuracy", "mode", "n_proj", "filter")


def _sniff(path: Path) -> bool:
    return set(shapes_in(path, "")).issuperset(_NEEDED)


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """The views of TIGRE's arrays.

    Raises:
        InputError: arrays are missing, unknown or of another shape, the beams are parallel, or a view is no camera.
    """
    content = load_arrays(path, "")
    missing, unknown = set(_NEEDED) - set(content), set(content) - {*_NEEDED, *_OPTIONAL, *_OTHERS}
    if missing or unknown:
        wrong = f"none named {', '.join(sorted(missing))}" if missing else ", ".join(sorted(unknown))
        raise InputError(f"Expected arrays {', '.join((*_NEEDED, *_OPTIONAL))}. Got {wrong} in '{path}'.")
    if str(content.get("mode", "cone")) != "cone":
        raise InputError(f"Expected cone beams. Got mode {content['mode']} in '{path}'.")
    angles = np.atleast_1d(content["angles"])
    angles = np.stack([angles, 0 * angles, 0 * angles], axis=-1) if angles.ndim == 1 else angles
    if angles.shape[1:] != (3,) or len(angles) == 0:
        raise InputError(f"Expected angles of shape (view,) or (view, 3). Got {content['angles'].shape} in '{path}'.")
    values = {}
    for name, columns in (_NEEDED | _OPTIONAL).items():
        if name == "angles":
            continue
        given = np.asarray(content.get(name, np.zeros(columns)), dtype=np.float64)
        value = given.reshape(-1, 1) if columns == 1 else given.reshape(-1, given.shape[-1] if given.ndim else 1)
        if value.shape not in ((1, columns), (len(angles), columns)):
            raise InputError(
                f"Expected {name} of {columns} numbers, or of as many for each of {len(angles)} views. "
                f"Got shape {given.shape} in '{path}'."
            )
        values[name] = torch.from_numpy(np.broadcast_to(value, (len(angles), columns)).copy())

    to_world = euler_angles_to_matrix(torch.from_numpy(angles.astype(np.float64)), "ZYZ")
    detector_turn = euler_angles_to_matrix(values["rotDetector"].flip(-1), "ZYX")
    dso, dsd, zero = values["DSO"][:, 0], values["DSD"][:, 0], torch.zeros(len(angles), dtype=torch.float64)
    (size_v, size_u), (offset_v, offset_u) = (values[name].unbind(-1) for name in ("dDetector", "offDetector"))
    source = torch.stack([dso, zero, zero], dim=-1)
    middle = torch.stack([dso - dsd, offset_u, offset_v], dim=-1)
    across = detector_turn[:, :, 1] * size_u[:, None]
    down = detector_turn[:, :, 2] * size_v[:, None]
    parts = torch.stack([source, middle, across, down], dim=1) @ to_world.mT
    alpha, shift = torch.from_numpy(angles[:, 0].astype(np.float64)), values["COR"][:, 0]
    moved = torch.stack([-shift * alpha.sin(), shift * alpha.cos(), zero], dim=-1) - values["offOrigin"].flip(-1)
    parts[:, :2] += moved[:, None]
    rows, columns = (int(count) for count in values["nDetector"][0])
    try:
        return views_of_cone_vectors(parts.flatten(1), rows, columns)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


TIGRE = GEOMETRIES.add(GeometryFormat("TIGRE's arrays", (".npz",), _sniff, _read, centred=True))
