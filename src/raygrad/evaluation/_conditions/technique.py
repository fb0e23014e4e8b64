"""How realistic X-rays are taken: tube, scatter, detector, and as many quanta as exposure control asks for."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.physics import (
    DetectorBlur,
    FocalSpot,
    Noise,
    PathLengths,
    Physics,
    Scatter,
    Spectrum,
    detect,
    sensor_named,
)

Image = Float[Tensor, "height width"]

FOCAL_SPOT_MM, BLUR_MM, ELECTRONIC_KEV = 0.6, 0.25, 100.0
"""Width of the focal spot; standard deviations of the detector's blur, and of what reading one of its pixels adds."""
LEAST_QUANTA = 0.5
"""Of a pixel that has detected less: what its logarithm is taken of."""


@dataclass(frozen=True)
class Technique:
    """How an X-ray is taken.

    Attributes:
        kvp: the tube's voltage in kV.
        aluminium_mm: its filter.
        detector: a name of `raygrad.physics.sensor_named`.
        scatter: of scatter to primary behind the patient, see `raygrad.physics.Scatter`.
        least_quanta: about as many as a pixel of the final image detects behind the densest hundredth of the image:
            exposure control gives the dose that takes. Infinite: an image without noise.
        oversampling: pixels of the fine detector along a side of a final pixel.
    """

    kvp: float = 100.0
    aluminium_mm: float = 3.0
    detector: str = "csi"
    scatter: float = 0.3
    least_quanta: float = 150.0
    oversampling: int = 2

    @property
    def physics(self) -> Physics:
        """Without a dose."""
        return Physics(
            Spectrum.tube(self.kvp, {"aluminium": self.aluminium_mm}),
            sensor_named(self.detector),
            focal_spot=FocalSpot(FOCAL_SPOT_MM),
            scatter=Scatter(self.scatter),
            blur=DetectorBlur(BLUR_MM),
            noise=Noise(electronic=ELECTRONIC_KEV),
        )


@torch.no_grad()
def take(seen: PathLengths, technique: Technique, generator: torch.Generator) -> Image:
    """Take the image of one view: line integrals in nepers as a user has them, after the logarithm.

    Args:
        seen: by the fine detector.
        technique: how.
        generator: of the noise.
    """
    physics, fine = technique.physics, technique.oversampling
    noisy = math.isfinite(technique.least_quanta)
    if noisy:
        physics = physics.replaced(dose_ugy=controlled_dose(seen, technique))
    found = detect(seen, physics, generator if noisy else None)
    counts = functional.avg_pool2d(found.counts, fine)
    least = LEAST_QUANTA / fine**2 * found.quantum if noisy else 0.0
    return -torch.log(counts.clamp_min(float(least)) / found.open_field)[0, 0]


def controlled_dose(seen: PathLengths, technique: Technique) -> float:
    """The dose in the open that gives the densest hundredth of the image what the technique asks for, in microgray."""
    physics = technique.physics.replaced(dose_ugy=1.0)
    expected = detect(seen, physics, None)
    densest = torch.quantile((expected.counts / expected.open_field).flatten(), 0.01)
    detected = (physics.spectrum.photons * physics.sensor.absorbed(physics.spectrum.energies_kev)).sum()
    quanta = physics.photons_per_pixel(seen.pixel_mm) * detected * technique.oversampling**2
    return technique.least_quanta / float(quanta * densest)
