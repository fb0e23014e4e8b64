"""What a view shows of everything that is placed: the one place that says how an image is made."""

import torch

from raygrad._cockpit._placement import CT, Placement
from raygrad.data import Subject
from raygrad.geometry import views_from
from raygrad.march import Marching, Prepared, march
from raygrad.scene import Scene
from raygrad.types import Images

MARCHING = Marching("joseph")
"""How the cockpit's images are marched: smooth in the pose."""


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


class PicturesOfScene:
    """Images of the CT and what moves by itself beside it.

    Args:
        scene: of all of them.
        orientation: of the CT.
    """

    def __init__(self, scene: Scene, orientation: str | None) -> None:
        self._scene, self._orientation = scene, orientation

    def image(self, placement: Placement, view: int, largest: int | None) -> Images:
        """The DRR (1, 1, row, column) of a view; what is not placed is where the CT is."""
        detector = placement.detector(view, self._orientation, largest)
        views = views_from(detector, placement.cameras[view].to(torch.float32))
        where = [placement.bodies.get(name, placement.bodies[CT]) for name in self._scene.names]
        with torch.no_grad():
            seen = [views.moved(pose.inverse().to(torch.float32)) for pose in where]
            values = self._scene.prepared.march(seen, MARCHING)
        return values.reshape(1, 1, detector.height, detector.width).to(torch.float32)


Pictures = PicturesOfCT | PicturesOfScene
"""What makes images from a placement; `Session.pictures` is one."""
