"""Registration errors measured on points."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vector_norm

from raygrad.metrics._checks import Number
from raygrad.pose import RigidTransform, check_batches
from raygrad.types import Scores


def mean_target_registration_error(pose_1: RigidTransform, pose_2: RigidTransform, points: Tensor) -> Scores:
    """The mean target registration error (mTRE, B) in mm: how far apart two poses see the same points.

    A pose is camera_to_world, so the camera sees the world point p at pose^-1(p): this is the mean over points of
    |pose_1^-1(p) - pose_2^-1(p)| (van de Kraats et al., "Standardized evaluation methodology for 2-D-3-D
    registration", IEEE TMI 24(9), 2005).

    Args:
        pose_1: camera_to_world, any batch size, which may be 1 as may those of the other two.
        pose_2: camera_to_world, such as the true pose.
        points: world points (B or 1, N, 3) in mm, the targets.

    Raises:
        ValueError: wrong shape, no points, or batches that do not match.
    """
    points = _checked_points(points)
    seen_1, seen_2 = (pose.inverse()(points.to(pose.dtype)) for pose in (pose_1, pose_2))
    check_batches("points as seen by two poses", len(seen_1), len(seen_2))
    return vector_norm(seen_1 - seen_2, dim=-1).mean(dim=-1)


def mean_reprojection_distance(
    pose_1: RigidTransform,
    pose_2: RigidTransform,
    points: Tensor,
    project: Callable[[RigidTransform, Tensor], Tensor],
    pixel_spacing: tuple[Number, Number] = (1.0, 1.0),
) -> Scores:
    """The mean distance (B) on the detector between the projections of points under two poses.

    In pixels, or in mm with the detector's pixel spacing. Unlike the mTRE it hardly feels errors along the view.

    Args:
        pose_1: camera_to_world.
        pose_2: camera_to_world.
        points: world points (B or 1, N, 3) in mm.
        project: from a pose and points to their pixels (B, N, 2), such as `drr.perspective_projection`.
        pixel_spacing: mm per pixel along both coordinates that `project` returns, such as (delx, dely).

    Raises:
        ValueError: wrong shape of points or of what `project` returns, no points, or batches that do not match.
    """
    _checked_points(points)
    pixels_1, pixels_2 = project(pose_1, points), project(pose_2, points)
    if pixels_1.ndim != 3 or pixels_1.shape[-1] != 2:
        raise ValueError(f"Expected projections of shape (B, N, 2). Got {tuple(pixels_1.shape)}.")
    check_batches("projections by two poses", len(pixels_1), len(pixels_2))
    across, down = (length * axis for length, axis in zip(pixel_spacing, (pixels_1 - pixels_2).unbind(-1), strict=True))
    return vector_norm(torch.stack([across, down], dim=-1), dim=-1).mean(dim=-1)


def _checked_points(points: Tensor) -> Tensor:
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f"Expected at least one point, of shape (B, N, 3). Got {tuple(points.shape)}.")
    return points
