"""From what a detector measured to the picture that is looked at: logarithm, enhancement, window, display curve.

What vendors do, in their order: line integrals of the signal, structures of all sizes brought into one range
(`Multiscale`), a window about what of the patient is in the exposed field, and a curve like film's to grey levels.
Differentiable by the signal and by every number, but for which pixel is a window's percentile.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.physics._multiscale import Multiscale, filled
from raygrad.physics._numbers import Number, Pixel, check_choice, check_images, check_number, tensor_of
from raygrad.types import Images

Levels = Float[Tensor, "view 1 1 1"]

LEAST_SHARE = 1e-5
"""Of the open beam: what less of it arrives than this is shown as this, since a count of 0 has no logarithm."""
_DIRECT = 0.2
"""Line integrals below this are of the beam beside the patient, which no window is made for."""
_LIT = 0.98
"""From so much on a pixel is wholly in the field: of those at its edge some of the beam is hidden."""
_PIXELS = 2**20
"""Of an image: about so many are looked at for percentiles."""


@dataclass(frozen=True)
class PercentileWindow:
    """The values that become black and white: percentiles of the pixels behind the patient.

    Attributes:
        low: percentile that becomes 0.
        high: percentile that becomes 1.
        each_view: each view has its own window; or else all have one, so that a sequence does not flicker.

    Raises:
        ValueError: percentiles that are not 0 <= low < high <= 100.
    """

    low: float | int = 0.5
    high: float | int = 99.5
    each_view: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise ValueError(f"Expected percentiles 0 <= low < high <= 100. Got {self.low} and {self.high}.")

    def ends(self, image: Images, patient: Bool[Tensor, "view channel height width"]) -> tuple[Levels, Levels]:
        """The values that become 0 and 1.

        Args:
            image: what is shown.
            patient: which pixels are those of the patient; without any, all are looked at.
        """
        stacks, chosen = (x.flatten(1) if self.each_view else x.flatten()[None] for x in (image, patient))
        found = torch.stack([self._ends(pixels, of) for pixels, of in zip(stacks, chosen, strict=True)])
        low, high = found.expand(len(image), 2).reshape(-1, 2, 1, 1, 1).unbind(1)
        return low, high

    def _ends(self, pixels: Float[Tensor, " pixel"], chosen: Bool[Tensor, " pixel"]) -> Float[Tensor, "2"]:
        pixels = pixels[chosen] if chosen.any() else pixels
        pixels = pixels[:: max(1, len(pixels) // _PIXELS)]
        ranks = [1 + round(percent / 100 * (len(pixels) - 1)) for percent in (self.low, self.high)]
        return torch.stack([pixels.kthvalue(rank).values for rank in ranks])


@dataclass(frozen=True)
class FilmCurve:
    """An S-shaped curve through (0, 0) and (1, 1), like the characteristic curve of film: flat, steep, flat.

    y = (s(k (x - m)) - s(-k m)) / (s(k (1 - m)) - s(-k m)) with the logistic function s. It rises everywhere.

    Attributes:
        contrast: k, above 0; a small one is nearly a straight line.
        middle: m, where it is steepest; below 0.5 more is shown bright.

    Raises:
        ValueError: a contrast that is not above 0, or a number that is not finite.
        TypeError: one that is no number.
    """

    contrast: Number = 3.0
    middle: Number = 0.5

    def __post_init__(self) -> None:
        check_number("contrast", self.contrast, above=0.0)
        check_number("middle", self.middle)

    def __call__(self, values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The curve at these values."""
        k, m = tensor_of(self.contrast, values), tensor_of(self.middle, values)
        low, high = torch.sigmoid(-k * m), torch.sigmoid(k * (1 - m))
        return (torch.sigmoid(k.to(values) * (values - m.to(values))) - low.to(values)) / (high - low).to(values)


@dataclass(frozen=True)
class Presentation:
    """How a picture is made of what a detector measured.

    Attributes:
        multiscale: the enhancement; None for none.
        window: what becomes black and white; grey levels end there.
        curve: the display curve; None for a straight one.
        bone: "white", as radiographs show it, or "dark", as fluoroscopy does.
        surround: the grey level, from 0 to 1, of what a collimator hides; None shows what was measured there.

    Raises:
        ValueError: another `bone`, or a `surround` outside 0 to 1.
    """

    multiscale: Multiscale | None = None
    window: PercentileWindow = PercentileWindow()
    curve: FilmCurve | None = None
    bone: str = "white"
    surround: float | int | None = 0.0

    def __post_init__(self) -> None:
        check_choice("bone", self.bone, ("white", "dark"))
        if self.surround is not None:
            check_number("surround", self.surround, least=0.0, most=1.0)

    def __call__(self, share: Images, *, pixel_mm: Pixel, field: Images | None = None) -> Images:
        """Grey levels from 0 (black) to 1 (white).

        Args:
            share: the signal as a share of what arrives with nothing in the beam (view, 1, height, width).
            pixel_mm: height and width of a pixel on the detector.
            field: 1 where the collimator is open, 0 where it is closed (view or 1, 1, height, width); None: no
                collimator.

        Raises:
            ValueError: images of another shape, or pixels without a size.
            TypeError: no images of float32 or float64.
        """
        check_images(share)
        lines = -torch.log(share.clamp_min(LEAST_SHARE))
        patient = lines.detach() > _DIRECT
        if field is not None:
            field = field.to(share)
            patient = patient & (field > _LIT)
            # The collimator's edge would be the strongest structure of all, with a halo on either side.
            lines = filled(lines, field > _LIT)
        shown = lines if self.multiscale is None else self.multiscale(lines, pixel_mm=pixel_mm)
        low, high = self.window.ends(shown, patient)
        levels = (shown - low) / torch.where(high > low, high - low, torch.ones_like(low))
        levels = (levels if self.curve is None else self.curve(levels)).clamp(0.0, 1.0)
        # Enhancement brings what is beside the patient nearer to what is behind it: it is darker than all of that.
        levels = levels * (lines / _DIRECT).clamp(0.0, 1.0)
        levels = levels if self.bone == "white" else 1 - levels
        return levels if field is None or self.surround is None else field * levels + (1 - field) * self.surround


PRESENTATIONS = {
    "radiography": Presentation(
        Multiscale(power=0.6, strong=0.6, noise=0.05, coarse_mm=60.0, latitude=0.55, fine_mm=1.6, sharp=2.2),
        PercentileWindow(0.2, 99.8),
        FilmCurve(3.0, 0.0),
    ),
    "fluoroscopy": Presentation(
        Multiscale(power=0.85, noise=0.1, latitude=0.9),
        PercentileWindow(0.5, 99.5, each_view=False),
        FilmCurve(3.0, 0.2),
        bone="dark",
    ),
    "cbct": Presentation(window=PercentileWindow(0.5, 99.5, each_view=False)),
}
"""By the name of `Physics.preset`."""
