"""From line integrals to what a detector shows of them: quanta, noise, scatter, a collimator, wires, its own gamma."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.metrics import gaussian_window, separable

Image = Float[Tensor, "height width"]

SCATTER_SPREAD = 50.0
"""Standard deviation in mm, on the detector, of the Gaussian that scatter is smeared with. `raygrad.physics.Scatter` is
another model: with it, conditions c and d would be other conditions than those of earlier figures."""

LEAF_TRANSMISSION = 1e-3
"""Share of the photons that the collimator's leaves let through."""

WIRE_WIDTH, WIRE_DEPTH = 3.0, 2.5
"""Width of a wire on the detector in mm, and the line integral through its middle."""


@dataclass(frozen=True)
class Exposure:
    """How an X-ray image is taken, and what spoils it.

    Attributes:
        photons: per pixel of the final image where nothing is in the way.
        readout: standard deviation of the Gaussian noise of a pixel of the fine detector, in photons.
        densest: line integral (nepers) of the densest ray. The CT's density has an arbitrary unit; the whole image is
            scaled so, as automatic exposure control chooses a harder beam for a thicker patient. 5.5 lets 1 photon in
            245 through.
        oversampling: pixels of the fine detector along a side of a final pixel; their intensities are averaged.
        scatter: share of the primary intensity behind the patient that arrives once more, smeared.
        gamma: exponent of the detector's response, applied to line integrals; `densest` stays what it is.
        aperture: diameter in mm, on the detector, of a round collimator about its middle; None for none.
        wires: number of curved wires that lie across the image and that the CT does not show.
    """

    photons: float = 1e4
    readout: float = 2.0
    densest: float = 5.5
    oversampling: int = 2
    scatter: float = 0.0
    gamma: float = 1.0
    aperture: float | None = None
    wires: int = 0


def expose(
    line_integrals: Float[Tensor, "fine_height fine_width"],
    pixel: float,
    exposure: Exposure,
    generator: torch.Generator,
) -> Image:
    """Take the image: line integrals in nepers as a user has them, after the logarithm.

    In this order: line integrals are scaled to `densest`, wires are added, Beer and Lambert's law gives the primary
    intensity, the collimator cuts it, scatter is added to it, photons are counted (Poisson), the detector is read out
    (Gauss), pixels are averaged, the logarithm is taken of at least one photon, and gamma bends the result.

    Scatter is an intensity: `scatter` times the Gaussian blur of P (1 - P), P the primary. Behind dense tissue that is
    a share of the mean primary there; where nothing absorbs, nothing scatters. Compare the scatter potential of
    Ohnesorge et al., "Efficient object scatter correction algorithm", Eur. Radiol. 9 (1999).

    Args:
        line_integrals: on the fine detector, in any unit (rows, columns).
        pixel: side of its pixels in mm.
        exposure: what to simulate.
        generator: of the noise and of the wires' courses.

    Raises:
        ValueError: the image has no positive line integral, or `oversampling` does not divide its size.
    """
    found, fine = float(line_integrals.max()), exposure.oversampling
    if not found > 0:
        raise ValueError("Expected an image of the CT. Got one without a positive line integral: the beam misses it.")
    if any(size % fine for size in line_integrals.shape):
        raise ValueError(f"Expected a size that {fine} divides. Got {tuple(line_integrals.shape)}.")
    nepers = line_integrals.double() * (exposure.densest / found)
    nepers = nepers + draw_wires(nepers.shape, pixel, exposure.wires, generator)
    primary = torch.exp(-nepers)
    intensity = primary + exposure.scatter * _blur(primary * (1 - primary), SCATTER_SPREAD / pixel)
    if exposure.aperture is not None:
        open_field = distance_to_centre(nepers.shape, pixel) <= exposure.aperture / 2
        intensity = torch.where(open_field, intensity, LEAF_TRANSMISSION * primary)
    expected = intensity * (exposure.photons / fine**2)
    counted = torch.poisson(expected, generator=generator)
    counted = counted + exposure.readout * torch.randn(counted.shape, generator=generator, dtype=counted.dtype)
    per_pixel = functional.avg_pool2d(counted[None, None], fine)[0, 0] * fine**2
    image = -torch.log(per_pixel.clamp_min(1.0) / exposure.photons)
    densest = exposure.densest
    return (densest * (image.clamp_min(0.0) / densest) ** exposure.gamma).to(line_integrals)


def count_photons(
    line_integrals: Float[Tensor, "view height width"], photons: float | int, generator: torch.Generator
) -> Float[Tensor, "view height width"]:
    """Line integrals of attenuation with the noise of so many photons a pixel, where nothing is in the way.

    Counts are Poisson's, and a pixel that counts none is taken to have half a photon.

    Args:
        line_integrals: in nepers, on the CPU.
        photons: expected in a pixel without a patient.
        generator: of the noise, view by view.

    Raises:
        ValueError: a number of photons that is not positive and finite.
    """
    if not 0 < photons < math.inf:
        raise ValueError(f"Expected a positive number of photons. Got {photons}.")
    noisy = torch.empty_like(line_integrals)
    for out, image in zip(noisy, line_integrals, strict=True):
        counts = torch.poisson(photons * torch.exp(-image), generator=generator)
        out.copy_(counts.clamp_(min=0.5).div_(photons).log_().neg_())
    return noisy


def aperture_mask(shape: tuple[int, int], pixel: float, aperture: float) -> Image:
    """1 on the pixels that lie wholly within the round collimator, 0 elsewhere."""
    return (distance_to_centre(torch.Size(shape), pixel) <= aperture / 2 - pixel).float()


def draw_wires(shape: torch.Size, pixel: float, count: int, generator: torch.Generator) -> Image:
    """Line integrals through round wires along quadratic Bezier curves that cross the middle part of the image."""
    image = torch.zeros(shape, dtype=torch.float64)
    points = _pixel_centres(shape, pixel).reshape(-1, 2)
    reach = 0.45 * pixel * min(shape)
    for _ in range(count):
        angle = 2 * math.pi * torch.rand((), generator=generator, dtype=torch.float64)
        ends = torch.stack([angle, angle + math.pi * (0.75 + 0.5 * torch.rand((), generator=generator))])
        first, last = reach * torch.stack([ends.cos(), ends.sin()], dim=-1)
        middle = reach * (2 * torch.rand(2, generator=generator, dtype=torch.float64) - 1)
        way = torch.linspace(0, 1, 200, dtype=torch.float64)[:, None]
        curve = (1 - way) ** 2 * first + 2 * way * (1 - way) * middle + way**2 * last
        nearest = torch.cat([torch.cdist(part, curve).amin(dim=1) for part in points.split(16384)])
        chord = (1 - (nearest / (WIRE_WIDTH / 2)) ** 2).clamp_min(0.0).sqrt()
        image = torch.maximum(image, WIRE_DEPTH * chord.reshape(shape))
    return image


def distance_to_centre(shape: torch.Size, pixel: float) -> Image:
    """How far each pixel's centre is from the detector's, in mm."""
    return _pixel_centres(shape, pixel).norm(dim=-1)


def _pixel_centres(shape: torch.Size, pixel: float) -> Float[Tensor, "height width 2"]:
    rows, columns = ((torch.arange(size, dtype=torch.float64) - (size - 1) / 2) * pixel for size in shape)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)


def _blur(image: Image, sigma: float) -> Image:
    """A Gaussian blur of an image with nothing around it."""
    half = math.ceil(3 * sigma)
    padded = functional.pad(image[None, None], [half] * 4)
    return separable(padded, gaussian_window(2 * half + 1, sigma, image))[0, 0]
