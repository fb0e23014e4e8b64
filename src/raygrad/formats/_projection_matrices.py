"""The geometry of a sweep as projection matrices, as C-arms and calibrations with balls write it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import load_arrays, save_array, written_whole
from raygrad.formats._geometry import GEOMETRIES, Frames, GeometryFormat, detector_size
from raygrad.formats._numpy import shapes_in
from raygrad.formats._pinholes import matrices_of, pixel_width_of
from raygrad.formats._registry import json_in
from raygrad.geometry import ConeViews, Detector, Intrinsics
from raygrad.pose import RigidTransform, make_matrix

_NUMBERS = ("height", "width", "delx")
_NAMES = ("matrices", *_NUMBERS)


def _sniff(path: Path) -> bool:
    shapes = shapes_in(path, "matrices")
    if shapes:
        return len(shapes.get("matrices", ())) == 3
    content = json_in(path)
    return isinstance(content, list) or (isinstance(content, dict) and "matrices" in content)


def _read(path: Path, frames: Frames | None) -> ConeViews:
    """3 x 4 matrices, one a view, that map (x, y, z, 1) in world RAS+ mm to (u w, v w, w).

    u and v count columns and rows from the outer corner of the image's first pixel (so its centre is at 0.5, 0.5); the
    factor and its sign are free. The file holds an array `matrices` (view, 3, 4), and may hold `height`, `width` and
    `delx` (of the detector, in mm): as arrays of an NPZ file, or as keys of a JSON file. A NPY file or a JSON list is
    the matrices alone, and the rest is in the frames. A pixel's height follows from the matrices.

    Raises:
        InputError: it is not such a file, numbers are missing, or a matrix (whose number is said) is that of no camera.
    """
    content = _content(path)
    unknown = sorted(set(content) - set(_NAMES))
    if "matrices" not in content or unknown:
        raise InputError(f"Expected {', '.join(_NAMES)}. Got {', '.join(sorted(content))} in '{path}'.")
    try:
        matrices = torch.from_numpy(np.asarray(content["matrices"], dtype=np.float64))
        rows, columns, delx = (float(np.asarray(content[n]).item()) if n in content else None for n in _NUMBERS)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Expected numbers, and matrices of one size. Got something else than numbers or several sizes in '{path}'."
        ) from error
    if matrices.ndim != 3 or matrices.shape[1:] != (3, 4) or len(matrices) == 0:
        raise InputError(f"Expected matrices of shape (view, 3, 4). Got {tuple(matrices.shape)} in '{path}'.")
    shape_and_width = detector_size(path, frames, rows, columns, delx)
    try:
        return views_of_matrices(matrices, *shape_and_width)
    except ValueError as error:
        raise InputError(f"'{path}': {error}") from error


def _content(path: Path) -> dict[str, Any]:
    content = json_in(path)
    if content is None:
        return load_arrays(path, "matrices")
    return content if isinstance(content, dict) else {"matrices": content}


def _write(path: Path, views: ConeViews, names: Sequence[str | None] | None) -> None:
    """Write matrices with their sizes as NPZ, or alone as NPY.

    Raises:
        InputError: pixels of several widths, which matrices cannot hold.
    """
    rows, columns = views.image_shape
    width, matrices = pixel_width_of(views), matrices_of(views).numpy()
    with written_whole(path) as unfinished:
        if path.suffix.lower() == ".npy":
            save_array(unfinished, matrices)
        else:
            np.savez(unfinished, matrices=matrices, height=rows, width=columns, delx=width)


PROJECTION_MATRICES = GEOMETRIES.add(
    GeometryFormat("projection matrices", (".npz", ".npy", ".json"), _sniff, _read, _write, written=(".npz", ".npy"))
)


def views_of_matrices(matrices: Float[Tensor, "view 3 4"], height: int, width: int, delx: float) -> ConeViews:
    """The views of projection matrices from world mm to pixels, (0, 0) the outer corner of the first of height x width.

    A matrix is K [R | t] up to a factor, with K upper triangular, by RQ decomposition (Hartley & Zisserman, "Multiple
    View Geometry", 2nd ed., 6.2.4). The factor's sign, which also says whether images are mirrored, is the one by which
    the patient is in front of the source: the point that the middles of all images look at, or the world's origin
    where they look along one line. `delx`, a pixel's width in mm, turns the focal length into the distance of the
    detector.

    Raises:
        ValueError: a matrix (whose number from 1 on is said) is singular or not finite, or only some are mirrored.
    """
    for number, matrix in enumerate(matrices, start=1):
        if not matrix.isfinite().all() or not torch.linalg.cond(matrix[:, :3]) <= 1e9:
            raise ValueError(f"View {number} has a matrix of no camera: {matrix.tolist()}.")
    if not delx > 0:
        raise ValueError(f"Expected a positive width of a pixel in mm. Got {delx}.")
    try:
        source = -torch.linalg.solve(matrices[:, :, :3], matrices[:, :, 3:])[..., 0]
        middle = torch.tensor([width / 2, height / 2, 1.0], dtype=torch.float64)
        direction = torch.nn.functional.normalize(torch.linalg.solve(matrices[:, :, :3], middle), dim=-1)
        depth = (matrices @ torch.cat([_point_looked_at(source, direction), torch.ones(1).double()]))[:, 2]
    except torch.linalg.LinAlgError as error:
        raise ValueError(f"Expected matrices of cameras that look at something. Got none: {error}.") from error
    if (depth == 0).any():
        raise ValueError(f"View {int((depth == 0).nonzero()[0]) + 1} does not look at what the others do.")
    matrices = matrices * depth.sign()[:, None, None]
    mirrored = torch.linalg.det(matrices[:, :, :3]) < 0
    if (mirrored != mirrored[0]).any():
        odd = int((mirrored != mirrored[0]).nonzero()[0]) + 1
        raise ValueError(f"View {odd} is a mirror image, if the first one is not, or the other way round.")

    # Camera axes of a pinhole: x along columns, y along rows. Ours has y up, and x turned round unless mirrored.
    flip = torch.diag(torch.tensor([1.0 if mirrored[0] else -1.0, -1.0, 1.0], dtype=torch.float64))
    intrinsic, world_to_pinhole = _rq(matrices[:, :, :3])
    camera_to_world = world_to_pinhole.mT @ flip
    pose = RigidTransform(make_matrix(camera_to_world, source)).to(torch.float32)
    calibration = _calibrations(intrinsic, flip, height, width, delx)
    _, down, normal, origin = calibration[:, :3].unbind(-1)
    sdd, dely, x0, y0 = (value[0].item() for value in (normal[:, 2], down[:, 1], origin[:, 0], origin[:, 1]))
    intrinsics = Intrinsics(sdd, height, width, delx, dely, x0, y0, reverse_x_axis=not bool(mirrored[0]))
    system = Detector.of(intrinsics, torch.eye(4))
    # To a thousandth of a pixel at the image's edge all views have one detector.
    corners = torch.tensor([width, height, 2.0, 2.0], dtype=torch.float64) / 2
    apart = (calibration - system.calibration.matrix.double())[:, :3] * corners
    return ConeViews(system, pose, calibration.float() if apart.abs().max() > 1e-3 * delx else None)


def _point_looked_at(source: Float[Tensor, "view 3"], direction: Float[Tensor, "view 3"]) -> Float[Tensor, "3"]:
    """The point nearest to all lines, or the origin if they are parallel."""
    across = torch.eye(3, dtype=torch.float64) - direction[:, :, None] * direction[:, None, :]
    normal_matrix = across.mean(dim=0)
    if torch.linalg.eigvalsh(normal_matrix)[0] < 1e-4:
        return torch.zeros(3, dtype=torch.float64)
    return torch.linalg.solve(normal_matrix, (across @ source[:, :, None]).mean(dim=0)[:, 0])


def _rq(matrices: Float[Tensor, "view 3 3"]) -> tuple[Float[Tensor, "view 3 3"], Float[Tensor, "view 3 3"]]:
    """Upper triangular matrices K with K[2, 2] = 1 and two positive focal lengths, and orthogonal ones Q, of K Q ~ M.

    det Q has the sign of det M.
    """
    reversed_rows = matrices.flip(-2)
    q, r = torch.linalg.qr(reversed_rows.mT)
    upper, orthogonal = r.mT.flip(-1, -2), q.mT.flip(-2)
    signs = upper.diagonal(dim1=-2, dim2=-1).sign()
    upper, orthogonal = upper * signs[:, None, :], orthogonal * signs[:, :, None]
    return upper / upper[:, 2:, 2:], orthogonal


def _calibrations(
    intrinsic: Float[Tensor, "view 3 3"], flip: Float[Tensor, "3 3"], height: int, width: int, delx: float
) -> Float[Tensor, "view 4 4"]:
    """What `Detector.forward` takes, of pinhole matrices in pixels: centred pixel units to the camera frame in mm."""
    sdd = intrinsic[:, 0, 0] * delx
    units_to_pixel = torch.tensor(
        [[flip[0, 0], 0.0, width / 2], [0.0, -1.0, height / 2], [0.0, 0.0, 1.0]], dtype=torch.float64
    )
    units_to_camera = sdd[:, None, None] * (flip @ torch.linalg.inv(intrinsic) @ units_to_pixel)
    calibration = torch.eye(4, dtype=torch.float64).repeat(len(intrinsic), 1, 1)
    calibration[:, :3, :3] = units_to_camera
    calibration[:, :2, 3] = units_to_camera[:, :2, 2]
    calibration[:, :2, 2] = 0
    return calibration
