"""How an X-ray was taken: what of its physics is fitted to it, and the images that other numbers would make."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.physics import Physics, Scatter, Spectrum, TubeSettings
from raygrad.registration._problem.beam import Paths, Pixel, TissueBeam, arriving
from raygrad.registration._problem.exposure_fit import Number

LOWEST_KV, HIGHEST_KV = 40.0, 150.0
EXACT = 1e-14
"""Sums of energies by which pixels differ less are left out, in squares."""
NEAR_THE_END = 0.5
"""A kVp this close to the ends of the tables begins so far from them."""
KVP, FILTRATION, SCATTER, RESPONSE = "kvp", "filtration", "scatter", "response"
ESTIMATED = (KVP, FILTRATION, SCATTER, RESPONSE)
DEVIATIONS = {KVP: 20.0, FILTRATION: 0.4, SCATTER: 0.7}
"""What is known of each beforehand: kVp in kV, the others as a share of what the physics has."""


def with_numbers(physics: Physics, values: Mapping[str, Any]) -> Physics:
    """A physics with other numbers.

    Args:
        physics: whose tube is known, for kVp and filtration.
        values: "kvp" in kV; "filtration": all filters so many times as thick; "scatter": its ratio to the primary.
    """
    if KVP in values or FILTRATION in values:
        tube = _tube_of(physics)
        thicker = values.get(FILTRATION, 1.0)
        filtration = {material: mm * thicker for material, mm in tube.filtration.items()}
        spectrum = Spectrum.tube(values.get(KVP, tube.kvp), filtration, tube.anode_angle_deg)
        physics = physics.replaced(spectrum=spectrum)
    if SCATTER in values:
        scatter = Scatter() if physics.scatter is None else physics.scatter
        physics = physics.replaced(scatter=replace(scatter, ratio=values[SCATTER]))
    return physics


def numbers_of(physics: Physics, estimate: Mapping[str, float]) -> list[Number]:
    """The numbers that are to be fitted, and what is known of them.

    Args:
        physics: that has what is expected.
        estimate: deviations by name, as `DEVIATIONS`; what is no number is left out.

    Raises:
        ValueError: the physics does not say what tube or filters it has, or nothing scatters in it.
    """
    found = []
    if KVP in estimate:
        tube = _tube_of(physics)
        expected = min(max(float(tube.kvp), LOWEST_KV + NEAR_THE_END), HIGHEST_KV - NEAR_THE_END)
        found.append(Number(KVP, expected, estimate[KVP], LOWEST_KV, HIGHEST_KV))
    if FILTRATION in estimate:
        if not any(float(mm) > 0 for mm in _tube_of(physics).filtration.values()):
            raise ValueError("Expected physics with filters, to estimate how thick they are. Got none.")
        found.append(Number(FILTRATION, 1.0, estimate[FILTRATION]))
    if SCATTER in estimate:
        ratio = float((Scatter() if physics.scatter is None else physics.scatter).ratio)
        if not ratio > 0:
            raise ValueError("Expected physics with some scatter, to estimate how much it is. Got a ratio of 0.")
        found.append(Number(SCATTER, ratio, estimate[SCATTER] * ratio))
    return found


def _tube_of(physics: Physics) -> TubeSettings:
    if physics.spectrum.settings is None:
        raise ValueError(
            "Expected physics with the spectrum of a tube, Spectrum.tube(kvp, filtration), to estimate kVp or "
            "filtration. Got another spectrum."
        )
    return physics.spectrum.settings


def image_by_numbers(
    beam: TissueBeam, names: list[str], paths: Paths, pixel_mm: Pixel
) -> Callable[[Tensor], Float[Tensor, "height width"]]:
    """From numbers to the line integrals of paths, differentiable forwards; what is left of each energy is kept.

    Args:
        beam: of the physics that has all but these numbers.
        names: of the numbers, in their order.
        paths: of one view.
        pixel_mm: height and width of a pixel.
    """
    physics, lengths = beam.physics, paths[0].flatten(1).mT.double().cpu()
    # All energies that any of the numbers may ask for: a tube's spectra are the lower part of this one's.
    tube = physics.spectrum.settings
    widest = physics.spectrum if tube is None else Spectrum.tube(HIGHEST_KV, {}, float(tube.anode_angle_deg))
    energies = widest.energies_kev.detach().cpu()
    kept, few = _compressed(torch.exp(-lengths @ physics.tissues.attenuation(energies, beam.materials).detach().cpu()))

    def image_of(values: Tensor) -> Float[Tensor, "height width"]:
        changed = with_numbers(physics, dict(zip(names, values.unbind(), strict=True)))
        weights = changed.sensor_weights.cpu()
        share = few[:, : len(weights)] @ (weights / weights.sum())
        primary = (kept @ share).reshape(1, 1, *paths.shape[2:])
        return -arriving(primary, changed, pixel_mm)[0, 0].log()

    return image_of


def _compressed(
    left: Float[Tensor, "pixel energy"],
) -> tuple[Float[Tensor, "pixel part"], Float[Tensor, "part energy"]]:
    """Two factors: what is left of neighbouring energies differs little, so that few sums of them say all."""
    scale = 1 / left[:, -1:]  # of the hardest photons, so that each pixel is as exact as any other
    values, axes = torch.linalg.eigh((left * scale).mT @ (left * scale))
    axes = axes[:, values > EXACT * values[-1]]
    return left @ axes, axes.mT
