"""Coarse X-rays of a coarse CT: each level of the pyramid costs a fraction of the next finer one."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad import kernels
from raygrad.geometry import Detector
from raygrad.kernels import Occupancy
from raygrad.types import Affine, Images, Sources, Targets

Grid = Float[Tensor, "x y z"]
CoarseImages = Float[Tensor, "batch channel coarse_height coarse_width"]
RayValues = Float[Tensor, "batch ray"]

VOXELS_PER_PIXEL = 2
"""A volume is reduced while so many of its voxels still fit into a pixel, as it is seen at the isocentre."""


@dataclass(frozen=True)
class Body:
    """A volume that moves as one, ready to be marched through.

    Attributes:
        density: voxel values (x, y, z).
        world_to_voxel: the affine map from mm to voxel coordinates, in float64.
        occupancy: of `density`.
    """

    density: Grid
    world_to_voxel: Affine
    occupancy: Occupancy

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Size of a voxel along each axis in mm."""
        x, y, z = torch.linalg.inv(self.world_to_voxel.cpu())[:3, :3].norm(dim=0).tolist()
        return x, y, z


def make_body(density: Grid, world_to_voxel: Affine) -> Body:
    """Prepare a volume; ValueError if a voxel is NaN or infinite."""
    return Body(density, world_to_voxel, kernels.prepare(density))


def reduce_body(body: Body, factors: tuple[int, ...]) -> Body:
    """Average blocks of `factors` voxels; what a block lacks at the far faces counts as empty.

    Line integrals of the result are those of the body, blurred by a block.
    """
    # Pooling is quick where the last axis is the contiguous one, and files have x contiguous.
    flipped = body.density.stride(0) == 1
    voxels, blocks = (body.density.permute(2, 1, 0), factors[::-1]) if flipped else (body.density, factors)
    pooled = functional.avg_pool3d(voxels[None, None], blocks, ceil_mode=True, divisor_override=math.prod(blocks))[0, 0]
    fine_to_coarse = torch.eye(4, dtype=body.world_to_voxel.dtype)
    for axis, factor in enumerate(factors):
        fine_to_coarse[axis, axis] = 1 / factor
        fine_to_coarse[axis, 3] = (1 - factor) / (2 * factor)
    world_to_coarse = fine_to_coarse.to(body.world_to_voxel.device) @ body.world_to_voxel
    return make_body(pooled.permute(2, 1, 0) if flipped else pooled, world_to_coarse)


class Pyramid:
    """A body and its reductions, each made when it is first asked for, of the finest one that will do."""

    def __init__(self, finest: Body) -> None:
        self.finest = finest
        self._levels: dict[tuple[int, ...], Body] = {(1, 1, 1): finest}

    def level(self, pixel: float) -> Body:
        """The body with its voxels averaged in blocks as large as a pixel of that size (mm, at the body) allows."""
        blocks = tuple(_block(spacing, pixel / VOXELS_PER_PIXEL) for spacing in self.finest.spacing)
        if blocks not in self._levels:
            finer = [made for made in self._levels if all(a % b == 0 for a, b in zip(blocks, made, strict=True))]
            nearest = max(finer, key=math.prod)
            factors = tuple(a // b for a, b in zip(blocks, nearest, strict=True))
            self._levels[blocks] = reduce_body(self._levels[nearest], factors)
        return self._levels[blocks]


def _block(spacing: float, largest: float) -> int:
    """The greatest power of two that keeps `spacing` times itself within `largest`, at least 1."""
    return 2 ** max(0, math.floor(math.log2(max(largest, spacing) / spacing) + 1e-6))


@dataclass(frozen=True)
class Camera:
    """A detector at one level of the pyramid, and how rays are marched for it.

    Attributes:
        detector: its pixels.
        method, backend: see `raygrad.kernels.project`.
    """

    detector: Detector
    method: str
    backend: str

    def image(self, body: Body, source: Sources, target: Targets) -> RayValues:
        """The line integrals along rays."""
        return kernels.project(body.density, source, target, **self._options(body))[:, 0]

    def image_with_jacobian(
        self, body: Body, source: Sources, target: Targets
    ) -> tuple[RayValues, Float[Tensor, "batch ray 6"]]:
        """The line integrals along rays, and their derivatives by both ends."""
        image, jacobian = kernels.project_with_jacobian(body.density, source, target, **self._options(body))
        return image[:, 0], jacobian[:, 0]

    def _options(self, body: Body) -> dict:
        return {
            "world_to_voxel": body.world_to_voxel,
            "renderer": self.method,
            "image_width": self.detector.width,
            "occupancy": body.occupancy,
            "backend": self.backend,
        }


def shrink_factor(detector: Detector, pixels: int) -> int:
    """How many pixels become one so that the detector's longer side keeps at least `pixels` of them."""
    return max(1, max(detector.height, detector.width) // pixels)


def shrink_detector(detector: Detector, factor: int) -> Detector:
    """The detector with `factor` x `factor` pixels joined; rows and columns that do not fill one are left out.

    They are left out as `shrink_image` does, at the end, so the detector's centre moves.
    """
    if factor == 1:
        return detector
    height, width = detector.height // factor, detector.width // factor
    lost_rows, lost_columns = detector.height - height * factor, detector.width - width * factor
    sign = -1 if detector.reverse_x_axis else 1  # columns run along sign * x, rows along -y
    return Detector(
        detector.sdd,
        height,
        width,
        detector.delx * factor,
        detector.dely * factor,
        detector.centre_x - sign * lost_columns / 2 * detector.delx,
        detector.centre_y + lost_rows / 2 * detector.dely,
        detector.reorient,
        reverse_x_axis=detector.reverse_x_axis,
    )


def shrink_image(image: Images, weights: Images, factor: int) -> tuple[CoarseImages, CoarseImages]:
    """The means of `factor` x `factor` pixels by their weights, and the means of the weights."""
    if factor == 1:
        return image, weights
    coarse_weights = functional.avg_pool2d(weights, factor)
    weighted = functional.avg_pool2d(image * weights, factor)
    return weighted / coarse_weights.clamp_min(torch.finfo(image.dtype).tiny), coarse_weights
