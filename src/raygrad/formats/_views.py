"""What single images were taken with, and the views of a sweep as many of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from raygrad._errors import InputError
from raygrad.data import Subject, make_reorient
from raygrad.drr import DRR
from raygrad.geometry import ConeViews, Detector, Intrinsics, check_cone
from raygrad.pose import RigidTransform

# How far, in mm, a calibration may be from one of the intrinsics that a view holds.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class View:
    """Where one X-ray was taken from, and with what.

    Attributes:
        pose: one pose, as `raygrad.DRR` takes it: camera-to-world in mm, after the orientation has turned the camera.
        intrinsics: rows, columns and lengths in mm of the X-ray system.
        orientation: the view that poses start from, "AP", "PA" or None: that of the `Subject`.
        xray: the name of the X-ray's file, if it has one.
    """

    pose: RigidTransform
    intrinsics: Intrinsics
    orientation: str | None = "AP"
    xray: str | None = None

    @classmethod
    def of(cls, drr: DRR, pose: RigidTransform, xray: str | None = None) -> "View":
        """The view that a `drr` has from a pose, in plain numbers; `xray` names the image's file."""
        return cls(pose, drr.detector.intrinsics.detached(), drr.subject.orientation, xray)

    def make_drr(self, subject: Subject, **options: Any) -> DRR:
        """The `DRR` of this X-ray system; `options` are further arguments of it.

        Raises:
            ValueError: the subject has another orientation.
        """
        if subject.orientation != self.orientation:
            raise ValueError(f"Expected a subject of orientation {self.orientation}. Got {subject.orientation}.")
        i = self.intrinsics
        camera: dict[str, Any] = {"sdd": i.sdd, "height": i.height, "width": i.width, "delx": i.delx, "dely": i.dely}
        camera |= {"x0": i.x0, "y0": i.y0, "reverse_x_axis": i.reverse_x_axis, "parallel": i.parallel}
        return DRR(subject, **camera, **options)


FARTHEST_MM = 1e9


def rigid_matrix(numbers: Any) -> torch.Tensor:
    """The 4 x 4 matrix of a rigid map that a file holds, float64.

    Raises:
        TypeError, ValueError: it is none.
    """
    matrix = torch.tensor(numbers, dtype=torch.float64)
    if matrix.shape != (4, 4) or not matrix.isfinite().all() or matrix.abs().max() > FARTHEST_MM:
        raise ValueError(f"Expected a pose of 4 x 4 finite numbers, none over {FARTHEST_MM:g}. Got {numbers}.")
    rotation, last_row = matrix[:3, :3], matrix[3].tolist()
    deviation = (rotation @ rotation.T - torch.eye(3)).abs().max().item()
    if last_row != [0, 0, 0, 1] or deviation > 1e-3 or torch.linalg.det(rotation) < 0:
        raise ValueError(f"Expected a rigid pose: a rotation, a translation in mm and the row 0 0 0 1. Got {matrix}.")
    return matrix


def right_handed(view: View) -> tuple[RigidTransform, Intrinsics]:
    """Camera-to-world and intrinsics of a view with a camera that is no mirror image, which other programs expect.

    That of PA is one: the same rays are those of a camera whose x axis points the other way.

    Raises:
        InputError: the beam is parallel, and no camera's.
    """
    refuse_parallel(view, "a camera")
    reorient = RigidTransform(make_reorient(view.orientation).to(view.pose.matrix))
    matrix, intrinsics = reorient.compose(view.pose).matrix, view.intrinsics
    if torch.linalg.det(matrix[0]) < 0:
        matrix = matrix @ torch.diag(matrix.new_tensor([-1.0, 1.0, 1.0, 1.0]))
        intrinsics = replace(intrinsics, x0=-intrinsics.x0, reverse_x_axis=not intrinsics.reverse_x_axis)
    return RigidTransform(matrix), intrinsics


def refuse_parallel(view: View, purpose: str) -> None:
    """Raise an InputError that names the purpose if a view's beam is parallel."""
    try:
        view.intrinsics.check_cone(purpose)
    except ValueError as error:
        raise InputError(str(error)) from error


def join_views(views: Sequence[View], name: str = "the geometry") -> ConeViews:
    """Single views as those of a sweep; each has a calibration of its own where their intrinsics differ.

    Args:
        views: at least one.
        name: of what they are from, for messages.

    Raises:
        InputError: their images differ in size, orientation or `reverse_x_axis`, or a beam is parallel; which view's is
            said.
    """
    first = views[0]
    for number, view in enumerate(views, start=1):
        refuse_parallel(view, f"view {number} of {name}")
        for attribute in ("height", "width", "orientation", "reverse_x_axis"):
            found, expected = (
                getattr(of if attribute == "orientation" else of.intrinsics, attribute) for of in (view, first)
            )
            if found != expected:
                raise InputError(
                    f"Expected views of one size and orientation. Got {attribute} {found} in view {number} of {name}, "
                    f"but {expected} in the first one."
                )
    reorient = make_reorient(first.orientation)
    pose = RigidTransform(torch.cat([view.pose.matrix for view in views]))
    detectors = [Detector.of(view.intrinsics, reorient) for view in views]
    if all(view.intrinsics == first.intrinsics for view in views):
        return ConeViews(detectors[0], pose)
    return ConeViews(detectors[0], pose, torch.cat([detector.calibration.matrix for detector in detectors]))


def split_views(views: ConeViews, names: Sequence[str | None] | None = None) -> list[View]:
    """The views of a sweep one by one, in double precision on the CPU.

    Where the detector's `reorient` is none of AP, PA and None, the pose holds it, and the orientation is None.

    Args:
        views: of a sweep.
        names: of the images' files.

    Raises:
        ValueError: as many names as there are not views.
        InputError: a calibration that intrinsics cannot say, such as pixels that are no rectangles, with the number of
            the view; or other than `ConeViews`.
    """
    check_cone(views, "single views")
    names = [None] * len(views) if names is None else names
    if len(names) != len(views):
        raise ValueError(f"Expected a name for each of {len(views)} views. Got {len(names)}.")
    reorient = views.detector.reorient.matrix[0].detach().cpu().float()
    orientation = next((name for name in ("AP", "PA") if torch.equal(make_reorient(name), reorient)), None)
    matrices = views.camera_to_world if orientation is None else views.pose.matrix
    poses = (RigidTransform(matrix) for matrix in matrices.detach().cpu().double())
    of_each = zip(poses, _intrinsics_of(views), names, strict=True)
    return [View(pose, intrinsics, orientation, name) for pose, intrinsics, name in of_each]


def _intrinsics_of(views: ConeViews) -> list[Intrinsics]:
    shared = views.detector.intrinsics.detached()
    if views.calibration is None:
        return [shared] * len(views)
    corner = torch.tensor([[shared.width], [shared.height]]) / 2
    found = []
    for number, calibration in enumerate(views.calibration.detach().cpu().double(), start=1):
        across, down, normal, origin = calibration[:3].T
        delx, dely = across[0].item(), down[1].item()
        x0, y0, sdd = (normal + origin).tolist()
        plain = torch.tensor([[delx, 0.0, 0.0], [0.0, dely, 0.0]], dtype=torch.float64)
        if (corner * (torch.stack([across, down]) - plain)).abs().max() > _TOLERANCE or not min(delx, dely, sdd) > 0:
            raise InputError(f"Expected pixels that are rectangles facing the source. Got others in view {number}.")
        found.append(shared.replaced(sdd=sdd, delx=delx, dely=dely, x0=x0, y0=y0))
    return found
