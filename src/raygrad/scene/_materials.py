"""The attenuation of what scenes are made of: by a material's name and photon energy, or as a number."""

import math

from torch import Tensor

from raygrad._attenuation import HIGHEST_KEV, LOWEST_KEV, linear_attenuation, material_named
from raygrad.data import water_and_bone

Material = str | float | int | Tensor

_OF_THE_CT = ("water", "cortical bone")


def attenuation_of(material: Material, energy_kev: float | int = 60.0) -> float | Tensor:
    """The linear attenuation coefficient in 1/mm.

    It is made of XrayDB's elements; water and cortical bone are those of `raygrad.data.hu_to_attenuation`, so that
    water in a CT of water leaves nothing.

    Args:
        material: a name, see `MATERIALS` (or one of its common other names); a number in 1/mm as it is; or a tensor of
            one such number, to which gradients flow.
        energy_kev: photon energy from 10 to 150 keV, for names.

    Raises:
        ValueError: the material is not known, a number is negative or not finite, or the energy is beyond the tables.
        TypeError: it is none of these.
    """
    if isinstance(material, str):
        if not LOWEST_KEV <= energy_kev <= HIGHEST_KEV:
            raise ValueError(f"Expected energy_kev from {LOWEST_KEV:g} to {HIGHEST_KEV:g}. Got {energy_kev}.")
        name = material_named(material, others=", or a number in 1/mm")
        if name in _OF_THE_CT:
            return water_and_bone(energy_kev)[_OF_THE_CT.index(name)]
        return linear_attenuation(name, float(energy_kev)).item()
    if isinstance(material, Tensor):
        if material.numel() != 1 or not material.is_floating_point():
            shape = f"{tuple(material.shape)}, {material.dtype}"
            raise ValueError(f"Expected attenuation in 1/mm as one floating-point number. Got {shape}.")
        return material.reshape(())
    if isinstance(material, bool) or not isinstance(material, (int, float)):
        raise TypeError(f"Expected a material's name or its attenuation in 1/mm. Got {type(material).__name__}.")
    if not math.isfinite(material) or material < 0:
        raise ValueError(f"Expected attenuation of at least 0 in 1/mm. Got {material}.")
    return float(material)
