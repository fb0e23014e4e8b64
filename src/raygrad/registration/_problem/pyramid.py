"""Coarse X-rays of a coarse CT: each level of the pyramid costs a fraction of the next finer one."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import Detector
from raygrad.march import Prepared
from raygrad.scene import VOXELS_PER_PIXEL as VOXELS_PER_PIXEL
from raygrad.scene import Pyramid as Pyramid
from raygrad.scene import blocks_of as blocks_of
from raygrad.scene import reduce_body as reduce_body
from raygrad.types import Images


class MadeWhenAsked:
    """A volume that is made when it is asked for, as its levels are, and kept only if it was itself."""

    def __init__(self, make: Callable[[], Prepared]) -> None:
        self._make, self._levels = make, dict[tuple[int, ...], Prepared]()
        self._spacing: tuple[float, ...] | None = None

    @property
    def finest(self) -> Prepared:
        """The volume."""
        return self._levels.setdefault((1, 1, 1), self._levels.get((1, 1, 1)) or self._make())

    def level(self, pixel: float) -> Prepared:
        """As `Pyramid.level`."""
        if self._spacing is None or (blocks := blocks_of(self._spacing, pixel)) not in self._levels:
            whole = self._make()
            self._spacing = whole.spacing
            blocks = blocks_of(whole.spacing, pixel)
            self._levels[blocks] = Pyramid(whole).level(pixel)
        return self._levels[blocks]


AnyPyramid = Pyramid | MadeWhenAsked
CoarseImages = Float[Tensor, "batch channel coarse_height coarse_width"]


def shrink_factor(detector: Detector, pixels: int) -> int:
    """How many pixels become one so that the detector's longer side keeps at least `pixels` of them."""
    return max(1, max(detector.height, detector.width) // pixels)


def shrink_image(image: Images, weights: Images, factor: int) -> tuple[CoarseImages, CoarseImages]:
    """The means of `factor` x `factor` pixels by their weights, and the means of the weights.

    Rows and columns at the end that do not fill one are left out, as `Intrinsics.shrunk` does.
    """
    if factor == 1:
        return image, weights
    coarse_weights = functional.avg_pool2d(weights, factor)
    weighted = functional.avg_pool2d(image * weights, factor)
    return weighted / coarse_weights.clamp_min(torch.finfo(image.dtype).tiny), coarse_weights
