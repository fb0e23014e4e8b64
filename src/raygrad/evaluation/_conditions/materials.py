"""The CT as water and bone, and what comes of a tube's spectrum behind them: another model than a registration's.

Water up to 100 HU, of the density that its HU say, and cortical bone beyond it, in the share that the HU say. A ray's
intensity is the sum over energies of spectrum times exp(-mu_water W - mu_bone B), W and B the lengths of both along it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.data import Subject, Volume, water_and_bone
from raygrad.scene import attenuation_of

BONE_STARTS_AT_HU, BONE_HU = 100.0, 1700.0
"""Where bone begins to be a part of a voxel, and the HU of all bone at the 70 keV that CTs see."""

TUBE_KV, ALUMINIUM_MM, STEP_KEV = 100, 3.0, 4.0

Nepers = Float[Tensor, "height width"]


class Materials(NamedTuple):
    """How much of a voxel is water, by density, and how much is bone."""

    water: Subject
    bone: Subject


def materials_of(subject: Subject, hu: Float[Tensor, "x y z"]) -> Materials:
    """Both parts of a CT, whose grid and frame are the subject's.

    Args:
        subject: whose grid and frame they have.
        hu: Hounsfield units on this grid.
    """
    bone = ((hu - BONE_STARTS_AT_HU) / (BONE_HU - BONE_STARTS_AT_HU)).clamp_min(0.0)
    # A voxel that is bone in parts is water of 100 HU in the others.
    water = torch.minimum(1 + hu / 1000, (1 + BONE_STARTS_AT_HU / 1000) * (1 - bone)).clamp_min(0.0)
    return Materials(_part(subject, water), _part(subject, bone))


def _part(subject: Subject, share: Tensor) -> Subject:
    volume = Volume(share[None], subject.volume.affine)
    return Subject(volume, volume, orientation=subject.orientation, reorient=subject.reorient)


def attenuated(water: Nepers, bone: Nepers) -> Nepers:
    """-log of the share of the energy that arrives, from the lengths of water and bone in mm.

    The spectrum is Kramers' (Phil. Mag. 46, 1923) behind aluminium, and the detector adds up energies.
    """
    energies, weights = spectrum()
    arrives = torch.zeros_like(water, dtype=torch.float64)
    for energy, weight in zip(energies, weights, strict=True):
        mu_water, mu_bone = water_and_bone(energy)
        arrives += weight * torch.exp(-mu_water * water.double() - mu_bone * bone.double())
    return -arrives.log()


def spectrum() -> tuple[list[float], list[float]]:
    """Energies in keV, and their shares of what the detector adds up, which sum to 1."""
    energies = torch.arange(22.0, TUBE_KV, STEP_KEV, dtype=torch.float64).tolist()
    # Kramers: as many photons as (kV - E) / E; each counts with its energy.
    filtered = [
        (TUBE_KV - energy) * torch.exp(torch.tensor(-ALUMINIUM_MM * attenuation_of("aluminium", energy))).item()
        for energy in energies
    ]
    return energies, [value / sum(filtered) for value in filtered]
