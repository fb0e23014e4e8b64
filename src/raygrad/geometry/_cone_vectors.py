"""Cone beams by points and vectors of the world: source, detector and the steps of its pixels.

Other programs say where a source and a detector stand by points rather than by poses and intrinsics. A *cone vector* is
ASTRA's `cone_vec`: source, middle of the detector, step from one column to the next, step from one row to the next.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry._detector import Detector
from raygrad.geometry._intrinsics import Intrinsics, as_count
from raygrad.geometry._views import ConeViews, check_cone
from raygrad.pose import RigidTransform, make_matrix

ConeVectors = Float[Tensor, "view 12"]
Numbers = Tensor | np.ndarray | Sequence[Any]

# Views have one detector if the corners of their images agree to this part of a pixel.
_ALIKE = 1e-3


def views_of_cone_vectors(vectors: Numbers, height: int, width: int, dtype: torch.dtype = torch.float32) -> ConeViews:
    """The views of sources and detectors that are said by points and vectors of the world.

    Args:
        vectors: (view, 12) or (12,): the source, the middle of the detector, the step from one column to the next and
            from one row to the next, three numbers each in world mm. Pixel (row i, column j) has its centre at the
            middle + (j - (width - 1) / 2) the first step + (i - (height - 1) / 2) the second one.
        height, width: rows and columns.
        dtype: of poses.

    Raises:
        ValueError: numbers that are not finite, steps that span no plane or one through the source (the number of the
            view is said), or only some of the images mirrored.
    """
    vectors = torch.as_tensor(_array(vectors), dtype=torch.float64)
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or vectors.shape[1] != 12 or len(vectors) == 0:
        raise ValueError(f"Expected cone vectors of shape (view, 12). Got {tuple(vectors.shape)}.")
    height, width = as_count("height", height), as_count("width", width)
    source, middle, across, down = vectors.reshape(-1, 4, 3).unbind(1)
    normal = torch.linalg.cross(across, down)
    sizes = across.norm(dim=-1) * down.norm(dim=-1)
    depth = ((middle - source) * normal).sum(-1)
    flat = normal.norm(dim=-1) <= 1e-9 * sizes
    behind = depth.abs() <= 1e-9 * sizes * (middle - source).norm(dim=-1)
    for number, wrong in enumerate(~vectors.isfinite().all(1) | flat | behind, start=1):
        if wrong:
            raise ValueError(
                f"Expected a source off the plane that two steps of pixels span. Got {vectors[number - 1].tolist()} "
                f"in view {number}."
            )
    # Our columns run along -x and our rows along -y of a camera that looks along +z, so that across, down and the way
    # to the detector are a right-handed frame; a left-handed one has columns along +x.
    mirrored = depth < 0
    if (mirrored != mirrored[0]).any():
        odd = int((mirrored != mirrored[0]).nonzero()[0]) + 1
        raise ValueError(f"View {odd} is a mirror image, if the first one is not, or the other way round.")
    sign = 1.0 if mirrored[0] else -1.0
    x_axis = sign * torch.nn.functional.normalize(across, dim=-1)
    z_axis = torch.nn.functional.normalize(normal, dim=-1) * depth.sign()[:, None]
    y_axis = torch.linalg.cross(z_axis, x_axis)
    camera_to_world = torch.stack([x_axis, y_axis, z_axis], dim=-1)

    # `Detector.forward` counts pixels along +x and +y.
    steps = torch.stack([sign * across, -down, middle - source], dim=-1)
    in_camera = camera_to_world.mT @ steps
    calibration = torch.eye(4, dtype=torch.float64).repeat(len(vectors), 1, 1)
    calibration[:, :3, :2] = in_camera[:, :, :2]
    calibration[:, 2, 2] = in_camera[:, 2, 2]
    calibration[:, :2, 3] = in_camera[:, :2, 2]
    delx, dely, sdd = (calibration[0, i, i].item() for i in range(3))
    x0, y0 = calibration[0, :2, 3].tolist()
    intrinsics = Intrinsics(sdd, height, width, delx, dely, x0, y0, reverse_x_axis=not bool(mirrored[0]))
    detector = Detector.of(intrinsics, torch.eye(4, dtype=dtype))
    alike = intrinsics.calibration(calibration)
    corners = torch.tensor([width, height, 2.0, 2.0], dtype=torch.float64) / 2
    apart = ((calibration - alike)[:, :3] * corners).abs().max()
    pose = RigidTransform(make_matrix(camera_to_world, source).to(dtype))
    return ConeViews(detector, pose, calibration.to(dtype) if apart > _ALIKE * min(delx, dely) else None)


def views_of_corners(
    source: Numbers,
    top_left: Numbers,
    top_right: Numbers,
    bottom_left: Numbers,
    height: int,
    width: int,
    dtype: torch.dtype = torch.float32,
) -> ConeViews:
    """The views of sources and the corners of their detectors: `.detector` and `.pose` are what a `DRR` takes.

    Args:
        source: (view, 3) or (3,), in world mm; one source may have several detectors, and one detector several sources.
        top_left: likewise, the outer corner of the pixel in row 0 and column 0.
        top_right: the outer corner of the last pixel of row 0.
        bottom_left: the outer corner of the last pixel of column 0.
        height, width: rows and columns.
        dtype: of poses.

    Raises:
        ValueError: as `views_of_cone_vectors`, and for numbers of views that do not fit.
    """
    points = _broadcast(source=source, top_left=top_left, top_right=top_right, bottom_left=bottom_left)
    source, first, end_of_row, end_of_column = points
    height, width = as_count("height", height), as_count("width", width)
    across, down = (end_of_row - first) / width, (end_of_column - first) / height
    middle = (end_of_row + end_of_column) / 2
    return views_of_cone_vectors(torch.cat([source, middle, across, down], dim=-1), height, width, dtype)


def views_of_frames(
    source_to_world: Numbers,
    detector_to_world: Numbers,
    height: int,
    width: int,
    delx: float | int,
    dely: float | int | None = None,
    dtype: torch.dtype = torch.float32,
) -> ConeViews:
    """The views of the 4 x 4 frames of sources and detectors: `.detector` and `.pose` are what a `DRR` takes.

    Args:
        source_to_world: (view, 4, 4) or (4, 4), of which the origin counts: the source in world mm.
        detector_to_world: likewise: the origin is the middle of the detector, its x axis runs along rows, from column 0
            to the last one, and its y axis down columns, from row 0 on. Both axes have length 1.
        height, width: rows and columns.
        delx, dely: size of a pixel along a row and along a column in mm (`dely` defaults to `delx`).
        dtype: of poses.

    Raises:
        ValueError: as `views_of_cone_vectors`, for matrices of another shape, and for axes that are not of length 1.
    """
    given = {"source_to_world": source_to_world, "detector_to_world": detector_to_world}
    matrices = {name: torch.as_tensor(_array(value), dtype=torch.float64) for name, value in given.items()}
    for name, matrix in matrices.items():
        if matrix.ndim not in (2, 3) or matrix.shape[-2:] != (4, 4):
            raise ValueError(f"Expected {name} of shape (view, 4, 4). Got {tuple(matrix.shape)}.")
    frames = matrices["detector_to_world"]
    lengths = frames[..., :3, :2].norm(dim=-2)
    if not ((lengths - 1).abs() < 1e-3).all():
        raise ValueError(f"Expected axes of the detector of length 1. Got {lengths.tolist()}.")
    across, down = frames[..., :3, 0] * delx, frames[..., :3, 1] * (delx if dely is None else dely)
    points = _broadcast(
        source=matrices["source_to_world"][..., :3, 3], middle=frames[..., :3, 3], across=across, down=down
    )
    return views_of_cone_vectors(torch.cat(points, dim=-1), height, width, dtype)


def cone_vectors_of(views: ConeViews) -> ConeVectors:
    """The cone vectors of views, float64: what `views_of_cone_vectors` takes.

    Args:
        views: of any detector, with calibrations or without.

    Raises:
        InputError: other than `ConeViews`.
    """
    check_cone(views, "cone vectors")
    rows, columns = views.image_shape
    camera_to_world = views.camera_to_world.detach().cpu()
    rotation, source = camera_to_world[:, :3, :3], camera_to_world[:, :3, 3]
    across, down, first = (rotation @ views.pixel_to_camera.detach().cpu()).unbind(-1)
    middle = source + first + (columns - 1) / 2 * across + (rows - 1) / 2 * down
    return torch.cat([source, middle, across, down], dim=-1)


def _array(numbers: Numbers) -> Tensor | np.ndarray:
    return numbers.detach().cpu() if isinstance(numbers, Tensor) else np.asarray(numbers, dtype=np.float64)


def _broadcast(**points: Numbers) -> list[Float[Tensor, "view 3"]]:
    """Points by their names as (view, 3), float64; one is taken for all views."""
    arrays = {name: torch.as_tensor(_array(value), dtype=torch.float64) for name, value in points.items()}
    for name, array in arrays.items():
        if array.ndim not in (1, 2) or array.shape[-1] != 3:
            raise ValueError(f"Expected {name} of shape (view, 3). Got {tuple(array.shape)}.")
    counts = {name: 1 if array.ndim == 1 else len(array) for name, array in arrays.items()}
    if len(set(counts.values()) - {1}) > 1:
        raise ValueError(f"Expected as many of each as there are views, or one. Got {counts}.")
    return [array.reshape(-1, 3).expand(max(counts.values()), 3) for array in arrays.values()]
