"""The table of the elements: mass attenuation coefficients from 10 to 150 keV, between whose energies one interpolates.

Made by tools/make_attenuation_table.py, which names the sources.
"""

from functools import cache
from itertools import pairwise
from numbers import Real
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

LOWEST_KEV, HIGHEST_KEV = 10.0, 150.0
_TABLE = Path(__file__).parent / "elements.npz"

Curve = tuple[Tensor, Tensor]  # energies in keV, which are twice where the values jump; values in cm2/g


def checked_energies(energies_kev: Shaped[Tensor, "..."] | float | int) -> Float[Tensor, " energy"]:
    """The energies in double precision, one dimension.

    Raises:
        ValueError: an energy is outside the tables, or no number.
        TypeError: it is neither a number nor a tensor of real numbers.
    """
    if isinstance(energies_kev, Tensor):
        if energies_kev.is_complex() or energies_kev.dtype == torch.bool:
            raise TypeError(f"Expected energies_kev of real numbers. Got {energies_kev.dtype}.")
        energies = energies_kev.double().reshape(-1)
    elif isinstance(energies_kev, bool) or not isinstance(energies_kev, Real):
        raise TypeError(f"Expected energies_kev as a number or a tensor. Got {type(energies_kev).__name__}.")
    else:
        energies = torch.tensor([float(energies_kev)], dtype=torch.float64)
    inside = (energies >= LOWEST_KEV) & (energies <= HIGHEST_KEV)
    if not bool(inside.all()):
        wrong = energies[~inside][0].item()
        raise ValueError(f"Expected energies_kev from {LOWEST_KEV:g} to {HIGHEST_KEV:g}. Got {wrong:g}.")
    return energies


def of_element(symbol: str, energies_kev: Float[Tensor, " energy"]) -> Float[Tensor, " energy"]:
    """The mass attenuation coefficient in cm2/g, at energies that were checked; at an edge it is the value above."""
    return _interpolate(_elements()[symbol], energies_kev)


def air_energy_absorption(energies_kev: Float[Tensor, " energy"]) -> Float[Tensor, " energy"]:
    """The mass energy-absorption coefficient of dry air in cm2/g, at energies that were checked."""
    return _interpolate(_air(), energies_kev)


def _interpolate(curve: Curve, energies_kev: Tensor) -> Tensor:
    """A straight line in log energy and log attenuation; an interval holds its lower end."""
    nodes, values = (part.to(energies_kev.device) for part in curve)
    above = torch.searchsorted(nodes, energies_kev.detach().contiguous(), right=True).clamp(1, len(nodes) - 1)
    low, high = nodes[above - 1].log(), nodes[above].log()
    share = (energies_kev.log() - low) / (high - low)
    return torch.lerp(values[above - 1].log(), values[above].log(), share).exp()


@cache
def _elements() -> dict[str, Curve]:
    with np.load(_TABLE) as table:
        energies, values = table["energies_ev"].astype(float) / 1000, table["cm2_per_g"].astype(float)
        first = table["first"].tolist()
        pieces = [slice(begin, end) for begin, end in pairwise(first)]
        return {
            str(symbol): (torch.from_numpy(energies[piece]), torch.from_numpy(values[piece]))
            for symbol, piece in zip(table["symbols"], pieces, strict=True)
        }


@cache
def _air() -> Curve:
    with np.load(_TABLE) as table:
        energies, values = table["air_energies_ev"], table["air_absorption_cm2_per_g"]
    return torch.from_numpy(energies.astype(float) / 1000), torch.from_numpy(values.astype(float))


SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U"
).split()
"""The elements that the table has, in the order of their atomic numbers."""
