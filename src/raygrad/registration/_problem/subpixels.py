"""Coarse pixels of thin things: several rays a pixel, whose mean it is, so that no wire falls between them."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import ConeViews, Views
from raygrad.march import Bodies, Derivatives, Marching
from raygrad.types import RayImages


class Subpixels:
    """Bodies that are seen through pixels of `side` x `side` rays each; the views are those of cameras.

    Args:
        bodies: what is seen.
        side: rays a pixel, along each of its sides.
    """

    def __init__(self, bodies: Bodies, side: int) -> None:
        self.bodies, self.side = bodies, side

    def __len__(self) -> int:
        return len(self.bodies)

    def march(self, views: Sequence[Views], marching: Marching) -> RayImages:
        """The means of the rays of every pixel."""
        finer, shape = finer_views(views, self.side)
        return pooled(self.bodies.march(finer, marching), shape, self.side)

    def march_with_jacobian(self, views: Sequence[Views], marching: Marching) -> tuple[RayImages, list[Derivatives]]:
        """The means, and the means of their derivatives."""
        finer, shape = finer_views(views, self.side)
        image, derivatives = self.bodies.march_with_jacobian(finer, marching)
        means: list[Derivatives] = [
            _Pooled(part, seen, shape, self.side) for part, seen in zip(derivatives, finer, strict=True)
        ]
        return pooled(image, shape, self.side), means

    def coarser(self, pixel: float) -> "Subpixels":
        """The same of coarser bodies."""
        return Subpixels(self.bodies.coarser(pixel), self.side)


class _Pooled(Derivatives):
    """Derivatives of pixels that are the means of rays; `ends` and `by_ends` are those of the rays."""

    def __init__(self, rays: Derivatives, views: Views, shape: tuple[int, int], side: int) -> None:
        super().__init__(rays.by_ends, views, rays.ends)
        self._shape, self._side = shape, side

    def by_motion(self, pivot: Float[Tensor, " 3"], channel: int = 0) -> Float[Tensor, "view 6 _"]:
        return pooled(super().by_motion(pivot, channel), self._shape, self._side)

    def by_targets(
        self, directions: Float[Tensor, "view ray direction 3"], channel: int = 0
    ) -> Float[Tensor, "view direction _"]:
        return pooled(super().by_targets(directions, channel), self._shape, self._side)


def pooled(rays: Float[Tensor, "view stack _"], shape: tuple[int, int], side: int) -> Float[Tensor, "view stack _"]:
    """The means over `side` x `side` neighbouring rays."""
    images = rays.unflatten(2, (shape[0] * side, shape[1] * side))
    return functional.avg_pool2d(images, side).flatten(2)


def finer_views(views: Sequence[Views], side: int) -> tuple[list[Views], tuple[int, int]]:
    """Views of one detector as those of one with smaller pixels, and the rows and columns that it had."""
    cameras = [seen for seen in views if isinstance(seen, ConeViews)]
    assert len(cameras) == len(views), "views of cameras"
    detector = cameras[0].detector
    rows, columns = views[0].image_shape
    finer = detector.with_intrinsics(detector.intrinsics.resampled(rows * side, columns * side))
    smaller: list[Views] = []
    for seen in cameras:
        calibration = seen.calibration
        if calibration is not None:
            calibration = calibration.clone()
            calibration[:, :, :2] /= side
        smaller.append(ConeViews(finer, seen.pose, calibration))
    return smaller, (rows, columns)
