"""The table of what leaves tungsten anodes before any filter, and spectra between those of the table.

Made by tools/make_spectra_table.py, which names the sources.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

LOWEST_KV, HIGHEST_KV = 40, 150  # in steps of 1 kV
LOWEST_DEG, HIGHEST_DEG = 5.0, 25.0
_TABLE = Path(__file__).parent / "tungsten.npz"


class _Unfiltered(NamedTuple):
    """What the file holds, and what is interpolated with.

    Attributes:
        angles_deg: of the anode (angle).
        by_angle: derivatives by the angle at those angles are this times the values at all of them (angle, angle).
        photons: per mm2 and mAs at 1 m, (angle, voltage, energy).
        by_kv: their derivatives by the voltage.
    """

    angles_deg: Tensor
    by_angle: Tensor
    photons: Tensor
    by_kv: Tensor


def tungsten(
    kvp: Float[Tensor, ""], anode_angle_deg: Float[Tensor, ""]
) -> tuple[Float[Tensor, " energy"], Float[Tensor, " energy"]]:
    """The middles of all bins of 1 keV from 10 to 150 keV, and their photons per mm2 and mAs at 1 m.

    Cubics in voltage and angle, which have the derivatives of parabolas through three neighbours at the table's own
    voltages and angles, so that gradients are continuous. No photon has more than the tube's voltage.

    Args:
        kvp: from LOWEST_KV to HIGHEST_KV.
        anode_angle_deg: from LOWEST_DEG to HIGHEST_DEG.
    """
    table = _Unfiltered(*(part.to(kvp.device) for part in _unfiltered()))
    weights = _weights(table, anode_angle_deg)
    below = min(int(kvp.detach()) - LOWEST_KV, HIGHEST_KV - LOWEST_KV - 1)
    values, slopes = (
        torch.einsum("a,ave->ve", weights, part[:, below : below + 2]) for part in (table.photons, table.by_kv)
    )
    first, second, first_slope, second_slope = _cubic(kvp - (LOWEST_KV + below))
    photons = first * values[0] + second * values[1] + first_slope * slopes[0] + second_slope * slopes[1]
    ends = torch.arange(HIGHEST_KV - photons.shape[0], HIGHEST_KV, dtype=torch.float64, device=kvp.device)
    return ends + 0.5, photons


def _weights(table: _Unfiltered, angle_deg: Tensor) -> Float[Tensor, " angle"]:
    """How much of the spectrum of each angle there is."""
    angles = table.angles_deg
    above = int(torch.searchsorted(angles, angle_deg.detach(), right=True).clamp(1, len(angles) - 1))
    width = angles[above] - angles[above - 1]
    first, second, first_slope, second_slope = _cubic((angle_deg - angles[above - 1]) / width)
    units = torch.eye(len(angles), dtype=angles.dtype, device=angles.device)
    slopes = width * table.by_angle
    return (
        first * units[above - 1]
        + second * units[above]
        + first_slope * slopes[above - 1]
        + second_slope * slopes[above]
    )


def _cubic(share: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The weights of both ends of an interval of length 1, and of the derivatives there (Hermite)."""
    rest = 1 - share
    return (
        rest**2 * (1 + 2 * share),
        share**2 * (1 + 2 * rest),
        rest**2 * share,
        -(share**2) * rest,
    )


@cache
def _unfiltered() -> _Unfiltered:
    with np.load(_TABLE) as table:
        angles = table["angles_deg"].astype(float)
        steps = table["differences"].astype(np.int64).cumsum(axis=1).cumsum(axis=0)
        photons = np.where(steps > 0, np.exp(steps / float(table["steps"])) / 100, 0.0)
    # From none at its own energy, the photons of a bin rise with the voltage as a parabola: the slope there is 0.
    by_kv = np.where(photons > 0, np.gradient(photons, axis=1, edge_order=2), 0.0)
    by_angle = np.gradient(np.eye(len(angles)), angles, axis=0, edge_order=2)
    return _Unfiltered(*(torch.from_numpy(part) for part in (angles, by_angle, photons, by_kv)))
