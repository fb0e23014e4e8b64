"""The geometry of a sweep, from files and to them: where every image of a stack was taken from, and with what."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raygrad._errors import UserError
from raygrad.data import make_reorient
from raygrad.formats._pose_json import Intrinsics, View, read_pose, write_pose
from raygrad.formats._projection_matrices import is_matrix_file, read_projection_matrices
from raygrad.formats._rtk import read_rtk_geometry
from raygrad.geometry import ConeViews, Detector
from raygrad.pose import RigidTransform

# How far, in mm, a calibration may be from one of the intrinsics that a pose file holds.
_TOLERANCE = 1e-4


class Frames(NamedTuple):
    """What the file of the images says of them, for geometries that leave it to that.

    Attributes:
        image_shape: rows and columns.
        spacing: width and height of a pixel on the detector in mm, None if unknown.
        origin: centre of the first pixel along columns and rows in mm, None for a detector in the middle of (0, 0).
    """

    image_shape: tuple[int, int]
    spacing: tuple[float, float] | None = None
    origin: tuple[float, float] | None = None


def read_geometry(path: Path, frames: Frames | None = None) -> ConeViews:
    """Read the views of a sweep.

    The file is one of
        raygrad's own JSON, as `write_geometry` and `raygrad register` write it (see `raygrad.formats`);
        RTK's XML (see `raygrad.formats`), which needs `frames`;
        projection matrices in JSON, NPY or NPZ (see `raygrad.formats`).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of these, is damaged, or does not fit the images; which view is wrong is said.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no geometry file '{path}'.")
    suffix = path.suffix.lower()
    if suffix == ".xml":
        if frames is None or frames.spacing is None:
            raise UserError(f"'{path}' leaves the size of pixels to the images' file, which does not say it: give it.")
        return read_rtk_geometry(path, frames.image_shape, frames.spacing, frames.origin)
    if suffix in (".npy", ".npz") or is_matrix_file(path):
        shape, spacing = (None, None) if frames is None else frames[:2]
        return read_projection_matrices(path, shape, spacing)
    if suffix != ".json":
        raise UserError(f"'{path}' is no geometry file: their names end in .json, .xml (RTK), .npz or .npy.")
    views = as_cone_views(read_pose(path), str(path))
    if frames is not None and views.image_shape != frames.image_shape:
        sizes = [f"{columns} x {rows}" for rows, columns in (views.image_shape, frames.image_shape)]
        raise UserError(f"'{path}' is of images of {sizes[0]} pixels, but those given have {sizes[1]}.")
    return views


def write_geometry(path: Path, views: ConeViews, names: Sequence[str | None] | None = None) -> None:
    """Write views as a pose file, whole or not at all; `names` are those of the images' files.

    Raises:
        ValueError: a number that is not finite, as many names as there are not views, or a view with a calibration
            that intrinsics cannot say, such as pixels that are no rectangles.
        OSError: the file cannot be written.
    """
    names = [None] * len(views) if names is None else names
    if len(names) != len(views):
        raise ValueError(f"Expected a name for each of {len(views)} views. Got {len(names)}.")
    intrinsics = intrinsics_of(views)
    pose = views.pose.matrix.detach().cpu().double()
    if intrinsics[0].orientation is None:
        pose = views.camera_to_world.detach().cpu()
    poses = (RigidTransform(matrix) for matrix in pose)
    write_pose(path, [View(*view) for view in zip(poses, intrinsics, names, strict=True)])


def as_cone_views(views: Sequence[View], name: str = "the geometry") -> ConeViews:
    """The views of a pose file together.

    Raises:
        ValueError: their images differ in size or orientation.
    """
    first = views[0].intrinsics
    for number, view in enumerate(views, start=1):
        for attribute in ("height", "width", "orientation", "reverse_x_axis"):
            found, expected = getattr(view.intrinsics, attribute), getattr(first, attribute)
            if found != expected:
                raise UserError(f"View {number} of {name} has {attribute} {found}, but the first one {expected}.")
    pose = RigidTransform(torch.cat([view.pose.matrix for view in views]))
    detectors = [_make_detector(view.intrinsics) for view in views]
    if all(view.intrinsics == first for view in views):
        return ConeViews(detectors[0], pose)
    return ConeViews(detectors[0], pose, torch.cat([detector.calibration.matrix for detector in detectors]))


def intrinsics_of(views: ConeViews) -> list[Intrinsics]:
    """The X-ray system of every view; orientation None where the detector's `reorient` is none of AP, PA and None.

    Raises:
        ValueError: a calibration that these numbers cannot say, with the number of the view.
    """
    detector = views.detector
    orientation = next((name for name in ("AP", "PA") if torch.equal(make_reorient(name), _reorient(detector))), None)
    system: dict[str, Any] = {
        "height": detector.height,
        "width": detector.width,
        "orientation": orientation,
        "reverse_x_axis": detector.reverse_x_axis,
    }
    if views.calibration is None:
        lengths = (detector.sdd, detector.delx, detector.dely, detector.centre_x, detector.centre_y)
        return [_intrinsics([float(length) for length in lengths], system)] * len(views)
    corner = torch.tensor([[detector.width], [detector.height]]) / 2
    found = []
    for number, calibration in enumerate(views.calibration.detach().cpu().double(), start=1):
        across, down, normal, origin = calibration[:3].T
        delx, dely = across[0].item(), down[1].item()
        x0, y0, sdd = (normal + origin).tolist()
        plain = torch.tensor([[delx, 0.0, 0.0], [0.0, dely, 0.0]], dtype=torch.float64)
        if (corner * (torch.stack([across, down]) - plain)).abs().max() > _TOLERANCE or not min(delx, dely, sdd) > 0:
            raise UserError(
                f"View {number} has pixels that are no rectangles facing the source, which no pose file says."
            )
        found.append(_intrinsics([sdd, delx, dely, x0, y0], system))
    return found


def _intrinsics(lengths: Sequence[float], system: dict[str, Any]) -> Intrinsics:
    named: dict[str, Any] = dict(zip(("sdd", "delx", "dely", "x0", "y0"), lengths, strict=True))
    return Intrinsics(**named, **system)


def _make_detector(intrinsics: Intrinsics) -> Detector:
    return Detector(
        intrinsics.sdd,
        intrinsics.height,
        intrinsics.width,
        intrinsics.delx,
        intrinsics.dely,
        intrinsics.x0,
        intrinsics.y0,
        make_reorient(intrinsics.orientation),
        reverse_x_axis=intrinsics.reverse_x_axis,
    )


def _reorient(detector: Detector) -> Tensor:
    return detector.reorient.matrix[0].detach().cpu().float()
