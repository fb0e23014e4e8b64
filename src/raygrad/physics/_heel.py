"""The heel effect: rays towards the anode leave it at a grazing angle, through more of it, and are weaker.

X-rays arise some micrometres below the anode's surface; a ray that leaves it along the surface stays in it longest. One
depth stands for all, as of G. G. Poludniowski and P. M. Evans, "Calculation of x-ray spectra emerging from an x-ray
tube", Medical Physics 34 (2007) 2164, who tell how deep electrons go.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics._numbers import (
    Number,
    Pixel,
    Signal,
    check_choice,
    check_images,
    check_number,
    pixel_of,
    tensor_of,
)

AXES = ("rows", "columns")
ENDS = ("first", "last")


@dataclass(frozen=True)
class Heel:
    """Less intensity on the anode's side, relative to the central ray, which keeps its own.

    Electrons hit the anode at right angles to the central ray and go `depth_mm` deep. From there a ray that meets the
    detector x mm towards the anode, y mm across, has depth r / (sdd tan(angle) - x) mm to go in the anode, r the
    way to the pixel; the central ray depth / tan(angle).

    Attributes:
        angle_deg: between the anode's surface and the central ray, above 0 and below 90.
        axis: "rows": from row to row; "columns": from column to column.
        anode: where the anode's side is: at the "first" or the "last" row or column.
        depth_mm: how deep X-rays arise, 0 and up.
        per_mm: the anode's attenuation of the beam in 1/mm, 0 and up; that of tungsten at 60 keV by default.

    Numbers may be tensors with a gradient.

    Raises:
        ValueError: a number beyond its bounds, or another word.
    """

    angle_deg: Number = 12.0
    axis: str = "columns"
    anode: str = "first"
    depth_mm: Number = 0.007
    per_mm: Number = 7.17

    def __post_init__(self) -> None:
        check_number("angle_deg", self.angle_deg, above=0, below=90, unit="degrees")
        check_choice("axis", self.axis, AXES)
        check_choice("anode", self.anode, ENDS)
        check_number("depth_mm", self.depth_mm, least=0, unit="mm")
        check_number("per_mm", self.per_mm, least=0, unit="1/mm")

    def __call__(
        self, images: Signal, *, sdd: Number, pixel_mm: Pixel, center_mm: tuple[Number, Number] = (0.0, 0.0)
    ) -> Signal:
        """Images with the heel effect.

        Args:
            images: (view, channel, height, width), an intensity.
            sdd: source-to-detector distance in mm.
            pixel_mm: height and width of a pixel on the detector: (dely, delx).
            center_mm: where the central ray meets the detector, in mm from its middle, towards the last row and the
                last column.

        Raises:
            TypeError, ValueError: images, distances or pixels that are none, or a detector beyond the anode's shadow.
        """
        check_images(images)
        height, width = images.shape[-2:]
        path = self.path_mm((height, width), sdd=sdd, pixel_mm=pixel_mm, center_mm=center_mm, like=images)
        return images * torch.exp(-tensor_of(self.per_mm, images) * path).to(images.dtype)

    def path_mm(
        self,
        size: tuple[int, int],
        *,
        sdd: Number,
        pixel_mm: Pixel,
        center_mm: tuple[Number, Number] = (0.0, 0.0),
        like: Tensor | None = None,
    ) -> Float[Tensor, "height width"]:
        """How much farther rays go in the anode than the central ray; less than 0 on the cathode's side.

        As another material of the beam's way, it hardens the beam as well.

        Args:
            size: height and width of the image.
            sdd, pixel_mm, center_mm: as for a call.
            like: a tensor of the device to use.

        Raises:
            ValueError: distances or pixels that are none, or a detector that reaches into the anode's shadow.
        """
        like = torch.empty(()) if like is None else like
        check_number("sdd", sdd, above=0, unit="mm")
        for middle in center_mm:
            check_number("each of center_mm", middle, unit="mm")
        distance, depth = tensor_of(sdd, like), tensor_of(self.depth_mm, like)
        slope = torch.tan(torch.deg2rad(tensor_of(self.angle_deg, like)))
        places = [
            (torch.arange(pixels, dtype=torch.float64, device=like.device) - (pixels - 1) / 2) * side
            - tensor_of(middle, like)
            for pixels, side, middle in zip(size, pixel_of(pixel_mm, like), center_mm, strict=True)
        ]
        rows, columns = torch.meshgrid(*places, indexing="ij")
        towards = rows if self.axis == "rows" else columns
        towards = -towards if self.anode == "first" else towards
        farthest, shadow = float(towards.detach().max()), float((distance * slope).detach())
        if not farthest < shadow:
            raise ValueError(
                f"Expected a detector that reaches less than {shadow:.1f} mm towards the anode, where its shadow "
                f"begins at {float(self.angle_deg):g} degrees. Got {farthest:.1f} mm: take a larger angle_deg, or no "
                "heel effect (heel=None)."
            )
        way = torch.sqrt(rows**2 + columns**2 + distance**2)
        return depth * (way / (distance * slope - towards) - 1 / slope)
