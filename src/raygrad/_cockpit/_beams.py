"""The space that an X-ray sees: a pyramid from the source to the detector's corners, of a parallel beam a box."""

import numpy as np
import torch

from raygrad.geometry import Intrinsics


def corners(intrinsics: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Where the beam begins (4, 3) and ends (4, 3), in the camera frame: at the detector's corners, one by one."""
    height, width = intrinsics.shape
    pixels = torch.tensor([[[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]], dtype=torch.float64)
    ends = intrinsics.place(pixels)[0].numpy()
    return ends * (np.array([1.0, 1.0, 0.0]) if intrinsics.parallel else 0.0), ends


def outline(intrinsics: Intrinsics, camera_to_plane: np.ndarray, axis: int, level: float) -> np.ndarray:
    """The polygon (n, 3) in which a plane across an axis cuts the beam; no points where it does not.

    Args:
        intrinsics: of the view.
        camera_to_plane: (4, 4), to the frame in which the plane is where coordinate `axis` is `level`; affine.
        axis, level: which plane.
    """
    begins, ends = (points @ camera_to_plane[:3, :3].T + camera_to_plane[:3, 3] for points in corners(intrinsics))
    around = np.roll(np.arange(4), -1)
    first = np.concatenate([begins, ends, begins])
    second = np.concatenate([ends, ends[around], begins[around]])
    before, after = first[:, axis] - level, second[:, axis] - level
    crossing = (before < 0) != (after < 0)  # an end on the plane counts as beyond it, once
    share = (before[crossing] / (before[crossing] - after[crossing]))[:, None]
    points = first[crossing] + share * (second[crossing] - first[crossing])
    if len(points) < 3:
        return np.zeros((0, 3))
    # The cut of a convex body is convex: its corners are in order by their bearing from the middle.
    across = [other for other in range(3) if other != axis]
    from_middle = (points - points.mean(0))[:, across]
    return points[np.argsort(np.arctan2(from_middle[:, 1], from_middle[:, 0]), kind="stable")]
