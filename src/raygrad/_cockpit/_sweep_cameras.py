"""The views of a sweep as the page's scene and strip show them."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from raygrad._errors import InputError
from raygrad.data import VolumeGeometry, make_reorient
from raygrad.formats import View, split_views
from raygrad.geometry import ConeViews, Detector, Intrinsics, find_rotation, name_view, positions
from raygrad.pose import RigidTransform

LENGTHS = ("sdd", "height", "width", "delx", "dely", "x0", "y0", "reverse_x_axis", "parallel")


@dataclass(frozen=True, eq=False)
class Camera:
    """One view, as plain numbers.

    Attributes:
        matrix: camera_to_world, row by row: source at the origin, detector at z = sdd.
        intrinsics: of the view.
        beam: the name of the direction that it looks in.
        view: the same as a view that can be made coarser, None where its pixels are no rectangles.
    """

    matrix: list[list[float]]
    intrinsics: Intrinsics
    beam: str
    view: View | None

    def described(self, name: str) -> dict[str, Any]:
        """For the page."""
        intrinsics = {length: getattr(self.intrinsics, length) for length in LENGTHS}
        return {"name": name, "intrinsics": intrinsics, "hidden": "", "masked": False, "beam": self.beam}

    def coarser(self, largest: int) -> ConeViews | None:
        """The same area in at most so many rows and columns; None if it is no larger, or cannot be said so."""
        scale = largest / max(self.intrinsics.shape)
        if self.view is None or scale >= 1:
            return None
        height, width = (max(1, round(side * scale)) for side in self.intrinsics.shape)
        detector = Detector.of(self.intrinsics.resampled(height, width), make_reorient(self.view.orientation))
        return ConeViews(detector, RigidTransform(self.view.pose.matrix.float()))


def cameras_of(views: ConeViews) -> tuple[Camera, ...]:
    """The cameras of all views. Those whose pixels are no rectangles are shown with the detector's own intrinsics."""
    split: list[View | None]
    try:
        split = [*split_views(views)]
    except InputError:
        split = [None] * len(views)
    shared = views.detector.intrinsics.detached()
    rounded = torch.round(views.camera_to_world.detach().double().cpu(), decimals=6)
    beams = torch.nn.functional.normalize(rounded[:, :3, 2], dim=-1).tolist()
    return tuple(
        Camera(matrix, shared if view is None else view.intrinsics, name_view(beam), view)
        for matrix, beam, view in zip(rounded.tolist(), beams, split, strict=True)
    )


def turned_deg(views: ConeViews, grid: VolumeGeometry) -> list[float] | None:
    """How far each view is turned from the first, in degrees, the way the scan went; None where nothing turned."""
    if len(views) < 3:
        return None
    try:
        rotation = find_rotation(views, positions(views), slice(None), grid)
    except ValueError:
        return None
    turned = rotation.angle - rotation.angle[0]
    steps = torch.remainder(turned.diff() + math.pi, 2 * math.pi) - math.pi
    sign = -1.0 if steps.median() < 0 else 1.0
    total = torch.cat([turned[:1], sign * steps.cumsum(0)])
    return [round(math.degrees(angle), 2) for angle in total.tolist()]
