"""What a view shows of everything that is placed: the one place that says how an image is made."""

from typing import Protocol

import torch

from raygrad._cockpit._placement import Placement
from raygrad.data import Subject
from raygrad.geometry import views_from
from raygrad.march import Marching, Prepared, march
from raygrad.types import Images

MARCHING = Marching("joseph")
"""How the cockpit's images are marched: smooth in the pose."""


class Pictures(Protocol):
    """Makes images from a placement; `Session.pictures` is one, and may be replaced by one of more bodies."""

    def image(self, placement: Placement, view: int, largest: int | None) -> Images:
        """The DRR (1, 1, row, column) of a view where everything is, in at most so many rows and columns."""


class PicturesOfCT:
    """Images of the CT as one body.

    Args:
        subject: the CT.
    """

    def __init__(self, subject: Subject) -> None:
        self._orientation = subject.orientation
        self._volume = Prepared.of(subject.density.data[0], subject.volume.world_to_voxel)

    def image(self, placement: Placement, view: int, largest: int | None) -> Images:
        """The DRR (1, 1, row, column) of a view; every pixel is one ray through the middle of its area."""
        detector = placement.detector(view, self._orientation, largest)
        with torch.no_grad():
            values = march(self._volume, views_from(detector, placement.pose(view).to(torch.float32)), MARCHING)
        return values.reshape(1, 1, detector.height, detector.width)
