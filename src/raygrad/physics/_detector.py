"""What a detector makes of the path lengths on the way to it: every effect that is on, in the order of `Physics`."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import ConeViews
from raygrad.physics._noise import Noise, Seed, generator_of
from raygrad.physics._numbers import Signal, tensor_of
from raygrad.physics._paths import PathLengths
from raygrad.physics._physics import Physics
from raygrad.physics._transmission import Attenuation, Weights, exact_in_the_open, transmitted

Field = Float[Tensor, "..."]
"""Signals of every pixel (view, channel, height, width), or of an open field, one for all (1, channel, 1, 1)."""


class Detected(NamedTuple):
    """Signals, in keV per pixel, or photons of a sensor that counts.

    Attributes:
        counts: (view, 1, height, width).
        open_field: what they would be with nothing in the beam, in every pixel or in all: as expected, without the
            deviations of single pixels' gain, and without lag.
        quantum: what one photon adds to the counts in the mean.
    """

    counts: Signal
    open_field: Field
    quantum: Float[Tensor, ""]


def detect(seen: PathLengths, physics: Physics, seed: Seed | None) -> Detected:
    """The signals that a detector measures: as expected, or with noise that is drawn from a seed or a generator.

    Raises:
        ValueError: an effect needs what the views do not have: pixels, a source.
    """
    generator = None if seed is None else generator_of(seed, seen.lengths.device)
    weights = physics.sensor_weights[None]
    in_all = weights.sum()
    quantum = in_all / physics.spectrum.photons.sum()
    if generator is not None and not physics.sensor.counting:  # what the variance of energies is made of
        weights = torch.cat([weights, weights * physics.spectrum.energies_kev])
    weights = weights / in_all if physics.dose_ugy is None else weights * physics.photons_per_pixel(seen.pixel_mm)
    open_signal = weights.sum(1)
    signal = transmitted(seen.lengths, *attenuation_and_weights(seen, physics, weights))
    signal = exact_in_the_open(signal, seen.lengths, open_signal)
    open_field = open_signal.to(signal)[None, :, None, None]

    signal, open_field = (_beam(one, seen, physics) for one in (signal, open_field))
    if physics.collimator is not None:
        signal = physics.collimator(signal.expand(*signal.shape[:2], *seen.views.image_shape), pixel_mm=seen.pixel_mm)
    mean, rest = _scattered(signal, open_field, seen, physics)
    noise = Noise(quantum=False) if physics.noise is None else physics.noise
    if generator is not None:
        mean = noise.of_quanta(mean, rest, seed=generator)
    open_field = open_field[:, :1]
    if physics.grid is not None:
        open_field = open_field * tensor_of(physics.grid.primary, open_field).to(open_field)
    mean, open_field = (_spread(one, seen, physics) for one in (mean, open_field))
    if generator is not None:
        mean = noise.of_electronics(mean, seed=generator)
    if physics.gain is not None:
        mean, usual = physics.gain(mean), torch.as_tensor(physics.gain.gain).mean().to(open_field)
        open_field, quantum = open_field * usual, quantum * usual
    if physics.lag is not None:
        mean = physics.lag(mean)
    return Detected(mean, open_field, quantum.to(mean))


def attenuation_and_weights(seen: PathLengths, physics: Physics, weights: Weights) -> tuple[Attenuation, Weights]:
    """Without the energies that add nothing, unless someone asks what they would add."""
    energies = physics.spectrum.energies_kev
    if not weights.requires_grad:
        there = (weights != 0).any(0)
        energies, weights = energies[there], weights[:, there]
    return seen.attenuation(energies), weights


def _beam(signal: Field, seen: PathLengths, physics: Physics) -> Field:
    """Up to the patient's scatter: what the tube and the way make of the intensity."""
    if physics.inverse_square or physics.heel is not None:
        if not isinstance(seen.views, ConeViews):
            raise ValueError("Expected a cone beam's views for the heel effect and the inverse square law. Got others.")
        signal = signal.expand(*signal.shape[:2], *seen.views.image_shape)
        sdd, centre = seen.views.detector.sdd, _middle_of_beam(seen.views, seen.pixel_mm)
        if physics.inverse_square:
            signal = signal * _falloff(signal, sdd, seen.pixel_mm, centre)
        if physics.heel is not None:
            signal = physics.heel(signal, sdd=sdd, pixel_mm=seen.pixel_mm, center_mm=centre)
    if physics.focal_spot is not None and not _is_flat(signal, seen):
        magnifications = _magnifications(seen)
        if len(signal) == 1 or (bool((magnifications == magnifications[0]).all()) and not magnifications.requires_grad):
            return physics.focal_spot(signal, pixel_mm=seen.pixel_mm, magnification=magnifications[0])
        parts = zip(signal.split(1), magnifications.unbind(), strict=True)
        blurred = [physics.focal_spot(one, pixel_mm=seen.pixel_mm, magnification=by) for one, by in parts]
        signal = torch.cat(blurred)
    return signal


def _scattered(signal: Field, open_field: Field, seen: PathLengths, physics: Physics) -> tuple[Signal, Signal | None]:
    """The mean of all that arrives, and the mean of its energies' squares if that is needed."""
    parts = [signal]
    if physics.scatter is not None:
        scattered = physics.scatter.scattered(signal[:, :1], open_field[:, :1], pixel_mm=seen.pixel_mm)
        # Scatter's energies are taken for those of the open beam.
        parts.append(scattered * (open_field / open_field[:, :1]))
    if physics.grid is not None:
        shares = (physics.grid.primary, physics.grid.scatter)
        parts = [part * tensor_of(share, part).to(part) for part, share in zip(parts, shares, strict=False)]
    total = torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
    return total[:, :1], total[:, 1:] if total.shape[1] > 1 else None


def _spread(signal: Field, seen: PathLengths, physics: Physics) -> Field:
    """Within the detector; an open field that is flat stays so."""
    for effect in (physics.blur, physics.glare):
        if effect is not None and not _is_flat(signal, seen):
            signal = effect(signal, pixel_mm=seen.pixel_mm)
    return signal


def _is_flat(signal: Field, seen: PathLengths) -> bool:
    """Whether this is one number for all pixels, which blurs leave as it is."""
    return signal.shape[-2:] == (1, 1) and seen.views.image_shape != (1, 1)


def _middle_of_beam(views: ConeViews, pixel_mm: tuple[Any, Any]) -> tuple[Any, Any]:
    """Where the central ray meets the detector: mm from its middle towards the last row and the last column."""
    first = views[:1]
    camera_to_world = first.camera_to_world[0]
    on_axis = camera_to_world[:, 3] + camera_to_world[:, 2] * tensor_of(views.detector.sdd, camera_to_world)
    across, down, depth = (first.world_to_pixel[0] @ on_axis).unbind()
    height, width = views.image_shape
    return (down / depth - (height - 1) / 2) * pixel_mm[0], (across / depth - (width - 1) / 2) * pixel_mm[1]


def _falloff(
    like: Field, sdd: Any, pixel_mm: tuple[Any, Any], centre_mm: tuple[Any, Any]
) -> Float[Tensor, "height width"]:
    """The inverse square law and obliquity: (sdd / r)^3, 1 where the central ray meets the detector."""
    distance = tensor_of(sdd, like)
    down, across = (
        (torch.arange(pixels, dtype=torch.float64, device=like.device) - (pixels - 1) / 2) * tensor_of(side, like)
        - tensor_of(middle, like)
        for pixels, side, middle in zip(like.shape[-2:], pixel_mm, centre_mm, strict=True)
    )
    squared = down[:, None] ** 2 + across**2 + distance**2
    return (distance / squared.sqrt()).pow(3).to(like)


def _magnifications(seen: PathLengths) -> Float[Tensor, " view"]:
    """Of what lies in the middle of the bodies; 1 by a beam without a source."""
    if not isinstance(seen.views, ConeViews):
        return torch.ones(len(seen.views), dtype=torch.float64)
    centre = torch.cat([seen.centre.double(), torch.ones(1, dtype=torch.float64)]).to(seen.views.device)
    depth = (seen.views.world_to_pixel @ centre)[:, 2]
    sdd = tensor_of(seen.views.detector.sdd, depth)
    return sdd / depth
