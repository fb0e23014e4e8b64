"""What an X-ray's physics makes of the paths through materials: line integrals as a detector would measure them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import ConeViews, Views
from raygrad.physics import Beam, Physics, line_integrals, line_integrals_with_derivatives
from raygrad.types import Images

Paths = Float[Tensor, "view material height width"]
Pixel = tuple[float, float]


@dataclass(frozen=True, eq=False)
class TissueBeam:
    """Physics as it makes images to compare with: spectrum, sensor, scatter, grid and glare.

    The heel effect is calibrated out of line integrals but for what it changes of scatter, which is smooth and left
    out; focal spot and blur are smaller than the pixels that are compared.

    Attributes:
        physics: whose they are.
        materials: names of what there are paths through.
        attenuation: of the materials at the energies that count, in 1/mm.
        weights: what one photon of each energy adds to the signal; their sum is 1.
    """

    physics: Physics
    materials: tuple[str, ...]
    attenuation: Float[Tensor, "material energy"]
    weights: Float[Tensor, " energy"]

    @classmethod
    @torch.no_grad()
    def of(cls, physics: Physics, materials: tuple[str, ...]) -> "TissueBeam":
        """That of a physics, behind some of its tissues."""
        beam = Beam.of(physics)
        return cls(physics, materials, physics.tissues.attenuation(beam.energies_kev, materials), beam.weights)

    def line_integrals(self, paths: Paths, pixel_mm: Pixel) -> Images:
        """-log(signal / open field), expected.

        Args:
            paths: mm of each material on the way to every pixel.
            pixel_mm: height and width of a pixel on the detector.
        """
        primary = line_integrals(paths, self.attenuation, self.weights[None])
        return -arriving(torch.exp(-primary), self.physics, pixel_mm).log() if _spreads(self.physics) else primary

    def with_derivatives(self, paths: Paths, pixel_mm: Pixel) -> tuple[Images, Paths]:
        """The same, and its derivatives by each path of the same pixel.

        They are exact without scatter and glare. What a path changes of these, which are smooth and arrive at other
        pixels too, is left out of them, not of the image.
        """
        values, derivatives = line_integrals_with_derivatives(paths, self.attenuation, self.weights)
        image = values[:, None]
        if not _spreads(self.physics):
            return image, derivatives
        primary = torch.exp(-image)
        everything, glare = arriving(primary, self.physics, pixel_mm), self.physics.glare
        stays = 1.0 if glare is None else 1 - float(glare.share)
        return -everything.log(), derivatives * (primary * stays / everything)


def arriving(primary: Images, physics: Physics, pixel_mm: Pixel) -> Images:
    """What is measured with scatter and glare, behind the grid, as a share of what is with nothing in the beam.

    Args:
        primary: the share that is transmitted.
        physics: what is made of it.
        pixel_mm: height and width of a pixel on the detector.
    """
    seen = primary
    if physics.scatter is not None:
        seen = physics.scatter(primary, 1.0, pixel_mm=pixel_mm, grid=physics.grid)
        if physics.grid is not None:
            seen = seen / physics.grid.primary
    return seen if physics.glare is None else physics.glare(seen, pixel_mm=pixel_mm)


def pixel_of(views: Views) -> Pixel:
    """Height and width of a pixel on the detector in mm; of a single row, or column, those of a square."""
    if isinstance(views, ConeViews):
        return float(views.detector.dely), float(views.detector.delx)
    middles = views.rays()[1][0].detach().unflatten(0, views.image_shape)  # rays of a parallel beam end there
    rows, columns = middles[:2, 0], middles[0, :2]
    down, across = (float((ends[-1] - ends[0]).norm()) for ends in (rows, columns))
    return down or across, across or down


def _spreads(physics: Physics) -> bool:
    return physics.scatter is not None or physics.glare is not None
