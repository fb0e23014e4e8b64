"""Coarse X-rays of a coarse CT: each level of the pyramid costs a fraction of the next finer one."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import Detector
from raygrad.scene import VOXELS_PER_PIXEL as VOXELS_PER_PIXEL
from raygrad.scene import Pyramid as Pyramid
from raygrad.scene import reduce_body as reduce_body
from raygrad.types import Images

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
