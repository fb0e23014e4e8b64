"""What corrections need of a tube and a detector: how much each energy counts in the signal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._attenuation import linear_attenuation
from raygrad.physics._transmission import transmitted, transmitted_with_derivatives


@dataclass(frozen=True, eq=False)
class Beam:
    """A spectrum as a sensor sees it.

    Attributes:
        energies_kev: (energy) float64, those that add to the signal.
        weights: (energy) float64, each one's share of the signal with nothing in the way; they sum to 1.
    """

    energies_kev: Float[Tensor, " energy"]
    weights: Float[Tensor, " energy"]

    @classmethod
    def of(cls, physics: Any) -> "Beam":
        """That of a `Physics`, or of a pair of spectrum and sensor.

        Raises:
            TypeError: neither.
            ValueError: a signal that is not positive.
        """
        spectrum, sensor = physics if isinstance(physics, tuple) and len(physics) == 2 else _parts(physics)
        for part, name in ((spectrum, "energies_kev"), (sensor, "weights")):
            if not hasattr(part, name):
                raise TypeError(
                    f"Expected a Physics, or (spectrum, sensor). Got {type(part).__name__} for one of them."
                )
        energies = spectrum.energies_kev.double().cpu()
        weights = (spectrum.photons * sensor.weights(spectrum.energies_kev)).double().cpu()
        counts = weights > 0
        if not (counts.any() and weights.isfinite().all() and (weights >= 0).all()):
            raise ValueError("Expected a spectrum and a sensor whose signal is positive and finite. Got another.")
        return cls(energies[counts], weights[counts] / weights.sum())

    def mean_energy(self) -> float:
        """Mean energy of the signal in keV: of a single energy that one."""
        return float((self.energies_kev @ self.weights).detach())

    def check_constant(self) -> None:
        """See that nobody waits for a gradient.

        Raises:
            ValueError: spectrum or sensor carry one, which would get nothing.
        """
        if self.energies_kev.requires_grad or self.weights.requires_grad:
            raise ValueError(
                "Expected a spectrum and a sensor without a gradient, since none leads to them here. Got one that "
                "requires it: detach() what they are made of. PolychromaticProjector has derivatives by both."
            )

    def attenuation(self, materials: Sequence[str]) -> Float[Tensor, "material energy"]:
        """Linear attenuation of materials in 1/mm.

        Raises:
            ValueError: a material that is not known.
        """
        return torch.stack([linear_attenuation(material, self.energies_kev) for material in materials])

    def line_integrals(
        self, path_lengths: Float[Tensor, "material ray"], mu: Float[Tensor, "material energy"]
    ) -> tuple[Float[Tensor, " ray"], Float[Tensor, "material ray"]]:
        """-log(signal / open signal) behind so many mm of each material, and its derivatives by them, in 1/mm."""
        values, slopes = line_integrals_with_derivatives(path_lengths[None], mu, self.weights)
        return values[0], slopes[0]

    def mean_attenuation(
        self, path_lengths: Float[Tensor, "material ray"], mu: Float[Tensor, "material energy"]
    ) -> Float[Tensor, "material ray"]:
        """Of the materials in what is left of the beam: those derivatives, with a graph of their own."""
        least = mu.amin(1, keepdim=True)
        weights = torch.cat([self.weights[None], self.weights * mu])
        left = transmitted(path_lengths[None], mu - least, weights)[0]
        return left[1:] / left[0]


def line_integrals_with_derivatives(
    path_lengths: Float[Tensor, "view material *pixel"],
    mu: Float[Tensor, "material energy"],
    weights: Float[Tensor, " energy"],
) -> tuple[Float[Tensor, "view *pixel"], Float[Tensor, "view material *pixel"]]:
    """-log of what is left of a beam whose weights sum to 1, without a gradient, and its derivatives in 1/mm.

    A factor of exp(-least A) out of the sum keeps it from falling to 0 behind much.
    """
    if path_lengths.numel() == 0:  # of a process that holds none of some views
        return path_lengths[:, 0].detach(), path_lengths.detach()
    least = mu.amin(1, keepdim=True)
    rest, derivatives = transmitted_with_derivatives(path_lengths, mu - least, weights[None])
    removed = torch.einsum("vm...,m->v...", path_lengths.detach(), least[:, 0].to(path_lengths))
    by_length = least.to(path_lengths).view(1, -1, *[1] * (path_lengths.ndim - 2)) - derivatives[:, 0] / rest
    return removed - rest[:, 0].log(), by_length


def _parts(physics: Any) -> tuple[Any, Any]:
    if not (hasattr(physics, "spectrum") and hasattr(physics, "sensor")):
        raise TypeError(f"Expected a Physics, or (spectrum, sensor). Got {type(physics).__name__}.")
    return physics.spectrum, physics.sensor


def reference_energy(beam: Beam, reference_kev: float | int | None) -> float:
    """The energy that corrected images shall be of: by default the signal's mean."""
    return beam.mean_energy() if reference_kev is None else float(reference_kev)


def attenuation_at(material: str, energy_kev: float) -> float:
    """Linear attenuation at one energy, in 1/mm."""
    return float(linear_attenuation(material, torch.tensor([energy_kev], dtype=torch.float64))[0])


def without_channel(images: Tensor) -> Tensor:
    """(view, height, width) of images that have a channel, as renderers make them, and of those that have none."""
    return images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images


def check_line_integrals(images: Any, what: str = "line integrals") -> None:
    """See that line integrals are numbers.

    Raises:
        TypeError: no tensor of float32 or float64.
        ValueError: NaN or infinity among them.
    """
    if not isinstance(images, Tensor) or images.dtype not in (torch.float32, torch.float64):
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"Expected {what} as a float32 or float64 tensor. Got {got}.")
    if wrong := int((~images.detach().isfinite()).sum()):
        raise ValueError(f"Expected finite {what}. Got NaN or infinity in {wrong} of {images.numel()} pixels.")
