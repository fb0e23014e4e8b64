"""Pictures of a sweep: small ones of all views, slices of a volume, and a view beside its DRR."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._cockpit._frame import Frame, grey_frame
from raygrad.data import VolumeGeometry
from raygrad.metrics import NormalizedCrossCorrelation2d, peak_signal_to_noise_ratio, relative_error

THUMBNAIL = 72
"""The largest side of a view in the strip."""
PICTURE = 1024
"""The largest side of a view that is shown large."""
VIEWS_AT_ONCE = 8
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Each plane, and the axis of the patient that it is across: to the right, the front, the head."""
DARK, BRIGHT = 0.002, 0.998
"""Black and white of slices and small pictures: so many of the numbers are below and above."""

Image = Float[Tensor, "height width"]


def thumbnails(images: Float[Tensor, "view height width"]) -> Frame:
    """All views, small, one above the other in one array of bytes, black and white the same for all."""
    rows, columns = shrunk(images.shape[1:], THUMBNAIL)
    small = images.new_empty(len(images), rows, columns)
    for first in range(0, len(images), VIEWS_AT_ONCE):
        some = slice(first, first + VIEWS_AT_ONCE)
        small[some] = torch.nn.functional.interpolate(images[some][:, None], size=(rows, columns), mode="area")[:, 0]
    low, high = levels(small)
    grey = ((small - low) * (255 / (high - low))).clamp_(0, 255).round_().to(torch.uint8)
    return Frame("thumbnails", grey.numpy())


def shrunk(shape: Any, largest: int) -> tuple[int, int]:
    """Rows and columns of an image with at most so many of either."""
    scale = min(1.0, largest / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def levels(values: Tensor) -> tuple[float, float]:
    """What is black and what is white, apart."""
    sample = values.flatten()
    sample = sample[:: max(1, len(sample) // 100_000)]
    low, high = torch.quantile(sample.float(), torch.tensor([DARK, BRIGHT])).tolist()
    return low, high if high > low else low + 1.0


@dataclass(frozen=True)
class Axes:
    """The axes of a grid as those of the patient: right, front, head, the closest ones where it leans.

    Attributes:
        order: of the grid's axis along each of them.
        flipped: whether that runs the other way.
        shape, spacing: along them.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, grid: VolumeGeometry) -> "Axes":
        """The axes of this grid."""
        directions = grid.voxel_to_world[:3, :3] / torch.tensor(grid.spacing, dtype=torch.float64)
        order = [-1, -1, -1]
        sizes = directions.abs().clone()
        for _ in range(3):
            world, voxel = divmod(int(sizes.argmax()), 3)
            order[world] = voxel
            sizes[world] = sizes[:, voxel] = -1
        flipped = [bool(directions[world, voxel] < 0) for world, voxel in enumerate(order)]
        of_each = [[numbers[axis] for axis in order] for numbers in (grid.shape, grid.spacing)]
        return cls(_three(order), _three(flipped), _three(of_each[0]), _three(of_each[1]))

    def slice(self, volume: Float[Tensor, "x y z"], plane: str, index: int) -> Image:
        """A slice as radiologists look at it: right or front on the left, front or head above."""
        axis = PLANES[plane]
        position = self.shape[axis] - 1 - index if self.flipped[axis] else index
        cut = volume.permute(self.order).select(axis, position)
        left = [kept for kept in range(3) if kept != axis]
        return cut.flip([side for side in (0, 1) if not self.flipped[left[side]]]).T


def _three(values: Any) -> Any:
    return values[0], values[1], values[2]


def slice_frames(volume: Float[Tensor, "x y z"], grid: VolumeGeometry, at: list[int], **header: Any) -> list[Frame]:
    """The three slices, with one black and white for all."""
    axes = Axes.of(grid)
    cuts = {plane: axes.slice(volume, plane, at[axis]).float() for plane, axis in PLANES.items()}
    low, high = levels(torch.cat([cut.flatten() for cut in cuts.values()]))
    frames = []
    for plane, cut in cuts.items():
        axis = PLANES[plane]
        across, down = (axes.spacing[other] for other in range(3) if other != axis)
        place = {"plane": plane, "index": at[axis], "count": axes.shape[axis], "pixel": [across, down]}
        frames.append(grey_frame(f"slice {plane}", cut.numpy(), **place, black=low, white=high, **header))
    return frames


class Compared(NamedTuple):
    """How a DRR compares with what was measured."""

    error: float
    psnr: float | None
    ncc: float

    @classmethod
    def of(cls, rendered: Image, measured: Image) -> "Compared":
        """|rendered - measured| / |measured|, PSNR in dB (None if they are equal), normalised cross-correlation."""
        if not measured.any():
            return cls(0.0 if not rendered.any() else 1.0, None, 0.0)
        error = float(relative_error(rendered[None], measured[None]))
        psnr = float(peak_signal_to_noise_ratio(rendered[None], measured[None])) if error > 0 else None
        ncc = float(NormalizedCrossCorrelation2d()(rendered[None, None], measured[None, None]))
        return cls(error, psnr, ncc)

    def described(self) -> dict[str, Any]:
        """For the page."""
        return {"error": self.error, "psnr": self.psnr, "ncc": self.ncc}


def shown(image: Image, largest: int = PICTURE) -> Image:
    """The image in at most so many rows and columns."""
    size = shrunk(image.shape, largest)
    if size == tuple(image.shape):
        return image
    return torch.nn.functional.interpolate(image[None, None], size=size, mode="area")[0, 0]
