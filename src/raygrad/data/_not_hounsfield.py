"""CTs whose numbers cannot be Hounsfield units, or not everywhere: said where HU are needed."""

import warnings
from collections.abc import Iterable

import numpy as np
import torch

from raygrad._memory import extremes
from raygrad.data._volume import Volume

_LOOKED_AT = 1 << 20  # voxels
_SOFT_TISSUE, _BELOW, _ABOVE, _AIR = (900, 1150), (500, 750), (1300, 1550), (0, 250)  # in HU + 1000 or HU + 1024
_MANY, _SOME, _PEAK = 0.1, 0.02, 3.0  # shares of the voxels; how much more there is in a peak than beside it
_LARGEST_DENSITY = 5.0  # of numbers that are density or attenuation rather than HU
_RESCALE = (
    "subtract 1000 or 1024, whichever makes air -1000: ct = read_volume(...); read(Volume(ct.data - 1000, ct.affine))."
)
_PADDED, _CORNER = 0.05, 3  # share of the voxels; voxels along an edge


class HounsfieldWarning(UserWarning):
    """A CT's numbers do not look like Hounsfield units, though they are taken for these."""


def warn_unless_hounsfield(ct: Volume) -> None:
    """Warn of raw numbers, where air is 0 and water about 1000, and of 0, which is water, around the field of view.

    Both are sought narrowly: what is no CT of a body, such as a block in nothing, is not warned of.
    """
    sample = _sample(ct)
    if _is_raw(sample) and extremes(ct.data)[0] >= 0:
        warnings.warn(
            "The CT has no values below 0 and a peak near 1000, as if it was stored without the rescaling to "
            f"Hounsfield units: air counts as water then. If so, {_RESCALE}",
            HounsfieldWarning,
            stacklevel=3,
        )
    if _is_padded_with_water(sample, ct):
        warnings.warn(
            "The CT is 0 around its field of view, which is water in Hounsfield units and not air: it will show in the "
            "X-ray. Set it to -1000 first, with read_volume and read.",
            HounsfieldWarning,
            stacklevel=3,
        )


def why_not_hounsfield(ct: Volume) -> str | None:
    """Why a CT's numbers can be no HU, and how to make them so; None if they can.

    More is taken for an objection than is warned of: numbers that are attenuation or density, and those of images.
    """
    lowest, highest = extremes(ct.data)
    got = f"Got values from {lowest:g} to {highest:g}"
    if ct.data.dtype in (torch.uint8, torch.bool):
        return f"{got} of {ct.data.dtype}, in which there are none."
    sample = _sample(ct)
    if lowest >= 0 and _is_raw(sample):
        return f"{got} with a peak near 1000, as if they were stored without the rescaling: {_RESCALE}"
    if -1 < lowest and 0 < highest <= _LARGEST_DENSITY and bool((sample != sample.round()).any()):
        return (
            f"{got}, as densities or attenuation have them. From attenuation in 1/mm at an energy: "
            "hu = 1000 * (attenuation / water - 1), with that of water."
        )
    return None


def warn_of_other_units(units: Iterable[str]) -> None:
    """Warn of a CT whose RescaleType says other units than HU. Unspecified ones (US), as ITK writes, say nothing."""
    others = sorted(set(units) - {"", "HU", "HU_MOD", "US"})
    if others:
        warnings.warn(
            f"The CT's numbers are not Hounsfield units by its RescaleType ({', '.join(others)}), and are taken for "
            "these: compare air with -1000 and water with 0.",
            HounsfieldWarning,
            stacklevel=4,
        )


def _sample(ct: Volume) -> torch.Tensor:
    """Evenly spread voxels, about as many as are looked at."""
    step = max(1, int(np.ceil((ct.data.numel() / _LOOKED_AT) ** (1 / 3))))
    return ct.voxels.detach()[::step, ::step, ::step].reshape(-1).cpu().float()


def _is_raw(sample: torch.Tensor) -> bool:
    def share(ends: tuple[int, int]) -> float:
        return float(((sample >= ends[0]) & (sample < ends[1])).float().mean())

    if float(sample.min()) < 0:
        return False
    peak = share(_SOFT_TISSUE)
    tissue = sample[(sample >= _SOFT_TISSUE[0]) & (sample < _SOFT_TISSUE[1])]
    return (
        peak > _MANY
        and share(_AIR) > _SOME
        and peak > _PEAK * max(share(_BELOW), share(_ABOVE))
        and bool(tissue.min() < tissue.max())  # a body is not of one number
    )


def _is_padded_with_water(sample: torch.Tensor, ct: Volume) -> bool:
    if float(sample.min()) > -500 or float((sample == 0).float().mean()) < _PADDED:
        return False
    ends = (slice(None, _CORNER), slice(-_CORNER, None))
    corners = [ct.voxels[x, y, z] for x in ends for y in ends for z in ends]
    return sum(not corner.any() for corner in corners) > len(corners) // 2
