"""ITK-RTK: https://www.openrtk.org (Apache-2.0): its Joseph projector on the CPU, and the matched back projector."""

from typing import Any

import numpy as np
import torch
from scene import CT, Scene

from peers.base import Competitor, missing


class RTKJoseph(Competitor):
    """`JosephForwardProjectionImageFilter`; the time is that of the filter's Update alone."""

    name = "ITK-RTK joseph"
    method = "joseph"
    operations = ("forward", "volume")
    memory_order = "F"

    def available(self) -> str | None:
        """Needs itk-rtk."""
        reason = missing("itk")
        if reason is None:
            try:
                from itk import RTK  # noqa: F401  (itk makes its modules on request: they cannot be imported by name)
            except ImportError:
                reason = "itk-rtk is not installed"
        return reason

    def load(self, ct: CT) -> None:
        """View the array as an ITK image, without a copy."""
        import itk
        from itk import RTK

        RTK.JosephForwardProjectionImageFilter  # noqa: B018  (itk loads its libraries when they are first named)
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(torch.get_num_threads())
        self.ct = ct
        self.image = itk.image_view_from_array(ct.density.transpose(2, 1, 0))
        self._place(self.image)

    def _place(self, image: Any) -> None:
        import itk

        image.SetSpacing(self.ct.spacing.tolist())
        image.SetOrigin(self.ct.voxel_to_world[:3, 3].tolist())
        image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(self.ct.directions)))

    def aim(self, scene: Scene) -> None:
        """Give source, detector centre and detector axes of every pose to RTK's geometry, which finds its angles."""
        import itk
        from itk import RTK

        self.scene = scene
        geometry = RTK.ThreeDCircularProjectionGeometry.New()
        for source, centre, column, row in zip(scene.source(), *scene.detector(), strict=True):
            if not geometry.AddProjection(source.tolist(), centre.tolist(), column.tolist(), row.tolist()):
                raise ValueError(f"RTK's geometry cannot hold the pose with its source at {source}")
        image_type = type(self.image)
        self.projector = RTK.JosephForwardProjectionImageFilter[image_type, image_type].New()
        self.projector.InPlaceOff()
        self.projector.SetGeometry(geometry)
        self.projector.SetInput(0, self._stack(np.zeros((scene.batch, scene.size, scene.size), np.float32)))
        self.projector.SetInput(1, self.image)
        self.backprojector = RTK.JosephBackProjectionImageFilter[image_type, image_type].New()
        self.backprojector.InPlaceOff()
        self.backprojector.SetGeometry(geometry)
        self.empty = itk.image_from_array(np.zeros(self.ct.density.shape[::-1], np.float32))
        self._place(self.empty)
        self.backprojector.SetInput(0, self.empty)
        self.backprojector.SetInput(1, self._stack(scene.cotangent()))

    def _stack(self, images: np.ndarray) -> Any:
        import itk

        stack = itk.image_from_array(images)
        half = -(self.scene.size - 1) / 2 * self.scene.pixel
        stack.SetSpacing([self.scene.pixel, self.scene.pixel, 1.0])
        stack.SetOrigin([half, half, 0.0])
        return stack

    def forward(self) -> Any:
        """Run the projector again, though nothing changed."""
        self.projector.Modified()
        self.projector.Update()
        return self.projector.GetOutput()

    def volume(self) -> Any:
        """Project, then back-project the cotangent: the gradient for the volume."""
        self.forward()
        self.backprojector.Modified()
        self.backprojector.Update()
        return self.backprojector.GetOutput()

    def gradient(self, operation: str) -> np.ndarray | None:
        """The back projection, in the order (X, Y, Z)."""
        return np.asarray(self.volume()).transpose(2, 1, 0)
