"""What of the photons that arrive a detector absorbs, and what it makes of them."""

import math
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._attenuation import checked_energies, linear_attenuation, material_named


@dataclass(frozen=True, eq=False)
class Sensor:
    """The layer of a detector in which photons are absorbed.

    What interacts leaves all its energy where it does: K-fluorescence and scattered photons that escape are neglected,
    and so are the layers in front.

    Attributes:
        material: of `raygrad.scene.MATERIALS`, or None for a detector that absorbs everything.
        thickness_mm: of the layer, at least 0; it may be a tensor with a gradient.
        packing: the share of the layer's volume that is the material, above 0 and up to 1.
        counting: each photon that is absorbed counts as one; otherwise as its energy in keV.

    Raises:
        ValueError: the material is not known, or a number is outside its range.
        TypeError: a number is something else.
    """

    material: str | None
    thickness_mm: float | int | Float[Tensor, "..."] = math.inf
    packing: float | int | Float[Tensor, "..."] = 1.0
    counting: bool = False

    def __post_init__(self):
        thickness, packing = (_number(name, getattr(self, name)) for name in ("thickness_mm", "packing"))
        if self.material is not None:
            object.__setattr__(self, "material", material_named(self.material))
            if not (math.isfinite(thickness) and thickness >= 0):
                raise ValueError(f"Expected thickness_mm of at least 0. Got {thickness:g}.")
        if not 0 < packing <= 1:
            raise ValueError(f"Expected packing above 0 and up to 1. Got {packing:g}.")

    def absorbed(self, energies_kev: Shaped[Tensor, "..."] | float | int) -> Float[Tensor, " energy"]:
        """The share of the photons of each energy that is absorbed, 1 - exp(-mu d).

        Args:
            energies_kev: photon energies from 10 to 150 keV.

        Raises:
            ValueError: an energy is outside the tables.
            TypeError: they are neither a number nor a tensor of real numbers.
        """
        energies = checked_energies(energies_kev)
        if self.material is None:
            return torch.ones_like(energies)
        return -torch.expm1(-linear_attenuation(self.material, energies) * self.thickness_mm * self.packing)

    def weights(self, energies_kev: Shaped[Tensor, "..."] | float | int) -> Float[Tensor, " energy"]:
        """What one photon of each energy that arrives adds to the signal in the mean: keV, or counts.

        Arguments and errors are those of `absorbed`.
        """
        absorbed = self.absorbed(energies_kev)
        return absorbed if self.counting else absorbed * checked_energies(energies_kev)


def _number(name: str, value: float | int | Tensor) -> float:
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"Expected {name} as one number. Got shape {tuple(value.shape)}.")
    if isinstance(value, bool) or not isinstance(value, (Real, Tensor)):
        raise TypeError(f"Expected {name} as a number or a tensor. Got {type(value).__name__}.")
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


SENSORS = MappingProxyType(
    {
        "csi": Sensor("csi", 0.6, packing=0.75),
        "gos": Sensor("gos", 0.2, packing=0.6),
        "selenium": Sensor("selenium", 1.0),
        "cdte-counting": Sensor("cdte", 1.0, counting=True),
        "ideal": Sensor(None),
        "ideal-counting": Sensor(None, counting=True),
    }
)
"""Detectors by name: needles of caesium iodide (0.6 mm, three quarters of it CsI), a screen of gadolinium oxysulfide
(0.2 mm, 60 % of it phosphor), 1 mm of amorphous selenium, 1 mm of cadmium telluride that counts photons, and two that
absorb everything."""


def sensor_named(name: str) -> Sensor:
    """The detector of a name in `SENSORS`.

    Args:
        name: in any case.

    Raises:
        ValueError: there is none; the message lists the names.
    """
    plain = name.strip().lower() if isinstance(name, str) else name
    if plain not in SENSORS:
        raise ValueError(f"Expected a sensor of {', '.join(SENSORS)}. Got {name!r}.")
    return SENSORS[plain]
