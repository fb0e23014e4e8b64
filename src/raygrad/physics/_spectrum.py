"""What leaves an X-ray tube, and what filters make of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._attenuation import HIGHEST_KEV, LOWEST_KEV, air_energy_absorption, checked_energies, linear_attenuation
from raygrad.physics._tungsten import HIGHEST_DEG, HIGHEST_KV, LOWEST_DEG, LOWEST_KV, tungsten

_MICROGRAY = 1.602176634e-5  # from keV/mm2 cm2/g: 100 mm2 a cm2, 1.602e-16 J a keV, 1000 g a kg, 1e6 microgray a gray

Number = float | int | Shaped[Tensor, "..."]


@dataclass(frozen=True, eq=False)
class TubeSettings:
    """What a tube's spectrum was asked for with, so that it can be had with other numbers.

    Attributes:
        kvp: peak tube voltage in kV.
        filtration: mm of each material in the beam.
        anode_angle_deg: between the anode's surface and the middle of the beam.
    """

    kvp: Number
    filtration: Mapping[str, Number]
    anode_angle_deg: Number


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The photons of a beam by their energies.

    Attributes:
        energies_kev: the middles of the bins (energy), from 10 to 150 keV, rising.
        photons: how many there are in each bin (energy), for each mm2 and mAs at 1 m from the focal spot, in vacuum.
        settings: of the tube that it is from, all filters included; None of other spectra.

    Both become float64. Gradients flow through everything that is made of them.

    Raises:
        ValueError: the energies are outside the tables or do not rise, the shapes differ, or photons are negative, not
            finite or all zero.
        TypeError: they are not tensors of floating-point numbers.
    """

    energies_kev: Float[Tensor, " energy"]
    photons: Float[Tensor, " energy"]
    settings: TubeSettings | None = None

    def __post_init__(self):
        for name in ("energies_kev", "photons"):
            value = getattr(self, name)
            if not isinstance(value, Tensor) or not value.is_floating_point():
                came = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f"Expected {name} as a tensor of floating-point numbers. Got {came}.")
        energies, photons = checked_energies(self.energies_kev), self.photons
        if self.energies_kev.ndim != 1 or photons.shape != energies.shape or len(energies) == 0:
            shapes = f"{tuple(self.energies_kev.shape)} and {tuple(photons.shape)}"
            raise ValueError(f"Expected energies_kev and photons of one shape (energy). Got {shapes}.")
        if not bool((energies.diff() > 0).all()):
            raise ValueError("Expected energies_kev that rise. Got some that do not.")
        if not bool((torch.isfinite(photons) & (photons >= 0)).all()) or not bool((photons > 0).any()):
            low, high = photons.min().item(), photons.max().item()
            raise ValueError(f"Expected photons of at least 0, not all 0. Got values from {low:g} to {high:g}.")
        object.__setattr__(self, "energies_kev", energies)
        object.__setattr__(self, "photons", photons.double())

    @classmethod
    def tube(
        cls,
        kvp: Number,
        filtration: Mapping[str, Number] | None = None,
        anode_angle_deg: Number = 12.0,
        anode: str = "tungsten",
    ) -> "Spectrum":
        """The spectrum of an X-ray tube, in bins of 1 keV from 10 keV on.

        Spectra before any filter are those of SpekPy 2.5.4 (Poludniowski et al., Med. Phys. 48:3630, 2021) for every kV
        and 13 angles; between these, neighbours are mixed by cubics. kVp, angle and filters may be tensors with a
        gradient, which is continuous.

        Args:
            kvp: peak tube voltage in kV, from 40 to 150. For a number, bins end there; for a tensor they go to 150 keV,
                and no photons are above it, so that shapes do not depend on values.
            filtration: mm of each material in the beam, those of the tube itself too. None is {"aluminium": 3.0}; the
                photons below 10 keV, which are left out, matter where there is almost none.
            anode_angle_deg: between the anode's surface and the middle of the beam, from 5 to 25.
            anode: only "tungsten"; there are no tables for mammography's molybdenum and rhodium.

        Raises:
            ValueError: a number is outside its range, the anode or a filter is not known, or nothing is left.
            TypeError: a number or the filters are something else.
        """
        if anode != "tungsten":
            raise ValueError(
                f"Expected anode 'tungsten': other anodes, as in mammography, have no tables. Got {anode!r}."
            )
        voltage = _scalar("kvp", kvp, LOWEST_KV, HIGHEST_KV)
        angle = _scalar("anode_angle_deg", anode_angle_deg, LOWEST_DEG, HIGHEST_DEG).to(voltage.device)
        energies, photons = tungsten(voltage, angle)
        if not isinstance(kvp, Tensor):
            bins = math.ceil(kvp) - round(LOWEST_KEV)
            energies, photons = energies[:bins], photons[:bins]
        spectrum = cls(energies, photons, TubeSettings(kvp, {}, anode_angle_deg))
        filtration = {"aluminium": 3.0} if filtration is None else filtration
        if not isinstance(filtration, Mapping):
            raise TypeError(
                f'Expected filtration such as {{"aluminium": 3.0}}, in mm. Got {type(filtration).__name__}.'
            )
        for material, mm in filtration.items():
            spectrum = spectrum.filtered(material, mm)
        return spectrum

    @classmethod
    def monochromatic(cls, kev: Number) -> "Spectrum":
        """One photon of one energy, from 10 to 150 keV, for each mm2 and mAs.

        Args:
            kev: the energy, which may carry a gradient.

        Raises:
            ValueError: it is outside the tables.
        """
        energy = _scalar("kev", kev, LOWEST_KEV, HIGHEST_KEV).reshape(1)
        return cls(energy, torch.ones_like(energy))

    def filtered(self, material: str, mm: Number) -> "Spectrum":
        """What is left behind a filter, without what it scatters.

        Args:
            material: of `raygrad.scene.MATERIALS`.
            mm: how thick it is, at least 0; it may carry a gradient.

        Raises:
            ValueError: the material is not known, the thickness is negative, or nothing is left.
        """
        thickness = _scalar("mm", mm, 0.0, math.inf).to(self.photons.device)
        left = self.photons * (-linear_attenuation(material, self.energies_kev) * thickness).exp()
        if not bool((left > 0).any()):
            raise ValueError(f"Expected a filter that lets photons through. Got {float(mm):g} mm of {material}.")
        settings = self.settings
        if settings is not None:
            thicker = {material: settings.filtration.get(material, 0.0) + mm}
            settings = replace(settings, filtration={**settings.filtration, **thicker})
        return Spectrum(self.energies_kev, left, settings)

    def mean_energy(self) -> Float[Tensor, ""]:
        """The photons' mean energy in keV."""
        return (self.energies_kev * self.photons).sum() / self.photons.sum()

    def air_kerma(self) -> Float[Tensor, ""]:
        """The kerma of dry air in microgray for each mAs, at 1 m from the focal spot."""
        return _MICROGRAY * self._kerma().sum()

    def half_value_layer(self, material: str = "aluminium", nth: int = 1) -> Float[Tensor, ""]:
        """The mm of a material that halve air kerma, in a narrow beam.

        Args:
            material: of `raygrad.scene.MATERIALS`.
            nth: 1 for the first; 2 for what has to be added to that to halve it again, and so on.

        Raises:
            ValueError: the material is not known, or nth is below 1.
        """
        if isinstance(nth, bool) or not isinstance(nth, int) or nth < 1:
            raise ValueError(f"Expected nth as a whole number of at least 1. Got {nth!r}.")
        attenuation, kerma = linear_attenuation(material, self.energies_kev), self._kerma()
        behind = _thickness(kerma, attenuation, nth)
        return behind if nth == 1 else behind - _thickness(kerma, attenuation, nth - 1)

    def _kerma(self) -> Float[Tensor, " energy"]:
        return self.photons * self.energies_kev * air_energy_absorption(self.energies_kev)


def _thickness(kerma: Tensor, attenuation: Tensor, halvings: int) -> Tensor:
    """The mm that leave 1 / 2^halvings of the kerma, by Newton's method; two more steps carry two derivatives."""

    def excess(mm: Tensor, weights: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
        left = weights * (-mu * mm).exp()
        share = left.sum() / weights.sum()
        return share.log() + halvings * math.log(2), (left * mu).sum() / left.sum()

    # ln(share) is convex and falls: from 0 on, Newton's steps never pass the root.
    mm, weights, mu = kerma.new_zeros(()), kerma.detach(), attenuation.detach()
    for _ in range(100):
        above, slope = excess(mm, weights, mu)
        mm = mm + above / slope
        if float(above) <= 1e-14 * halvings:
            break
    for _ in range(2):
        above, slope = excess(mm, kerma, attenuation)
        mm = mm + above / slope
    return mm


def _scalar(name: str, value: Number, lowest: float | int, highest: float | int) -> Float[Tensor, ""]:
    """A number as a tensor in double precision, within a range."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex() or value.dtype == torch.bool:
            raise ValueError(f"Expected {name} as one real number. Got {tuple(value.shape)}, {value.dtype}.")
        number = value.double().reshape(())
    elif isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"Expected {name} as a number or a tensor. Got {type(value).__name__}.")
    else:
        number = torch.tensor(float(value), dtype=torch.float64)
    came = number.item()
    if not lowest <= came <= highest or not math.isfinite(came):
        expected = f"of at least {lowest:g}" if math.isinf(highest) else f"from {lowest:g} to {highest:g}"
        raise ValueError(f"Expected {name} {expected}. Got {came:g}.")
    return number
