"""Line integrals of what the numbers in X-rays' files are."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._errors import InputError
from raygrad.registration import to_line_integrals

VALUES = ("line-integrals", "intensity", "inverted-intensity", "display", "inverted-display")
"""What the numbers of a file can be, see `line_integrals`."""

_USUAL_BITS = (8, 10, 12, 14, 16)

# Below this share of I0 detectors measure noise: a count of 0 has no logarithm.
_DARKEST = 1e-5

Images = Float[Tensor, "view height width"]
Air = float | int | Sequence[float | int]


def choose_values(*values: str | None) -> str:
    """The first that is not None, by default "line-integrals".

    Raises:
        InputError: it is none of `VALUES`.
    """
    kind = next((kind for kind in values if kind is not None), "line-integrals")
    if kind not in VALUES:
        raise InputError(f"Expected values among {', '.join(VALUES)}. Got {kind!r}.")
    return kind


def bone_has_low_levels(values: str, shown_white: bool) -> bool:
    """Whether bone has the low ones of the grey levels of a display, if the low ones are `shown_white` or black."""
    return shown_white == (values == "display")


def of_one_image(
    pixels: Float[Tensor, "height width"], values: str, bone_is_low: bool, full_scale: float | None
) -> Float[Tensor, "height width"]:
    """Line integrals up to scale and offset: the brightest that there can be is taken for air."""
    if values in ("display", "inverted-display"):
        return pixels.max() - pixels if bone_has_low_levels(values, bone_is_low) else pixels
    if values == "line-integrals":
        return pixels
    return to_line_integrals(_intensities(pixels, values, full_scale))


def _intensities(
    images: Float[Tensor, "*frames height width"], values: str, full_scale: float | None
) -> Float[Tensor, "*frames height width"]:
    """The same the right way round, and from 0 on.

    Signed integers that reach far down begin at the lowest one: that is an offset, and no dark current.
    """
    begin_lowest = full_scale is not None and bool(images.min() < -(full_scale + 1) / 4)
    if values == "inverted-intensity":
        return (full_scale if full_scale is not None and begin_lowest else _top(images, full_scale)) - images
    return images + (full_scale + 1) if full_scale is not None and begin_lowest else images


def _top(images: Float[Tensor, "*frames height width"], full_scale: float | None) -> float:
    """What inverted intensities were subtracted from: the greatest number of as many bits as they need.

    Files of 16 bits often hold 12. A patient takes more than three quarters of the X-rays somewhere, so numbers that
    are all below a quarter of the full scale are those of fewer bits.
    """
    greatest = float(images.max())
    if full_scale is None or not math.log2(full_scale + 1).is_integer() or greatest >= (full_scale + 1) / 4:
        return greatest if full_scale is None else full_scale
    return next(top for top in (2.0**bits - 1 for bits in (*_USUAL_BITS, 64)) if greatest <= top)


def of_many_images(
    images: Images,
    values: str,
    bone_is_low: bool,
    full_scale: float | None,
    air: Air | None,
    names: Sequence[str],
) -> Images:
    """Line integrals -log(I / I0) of all images alike.

    Raises:
        InputError: an intensity that is negative, or an image that is 0 throughout; `air` that is not positive, or of
            another number of views.
    """
    if values == "line-integrals":
        return images
    if values in ("display", "inverted-display"):
        return images.max() - images if bone_has_low_levels(values, bone_is_low) else images
    images = _intensities(images, values, full_scale)
    for name, image in zip(names, images, strict=True):
        if image.min() < 0:
            raise InputError(
                f"Expected intensities of at least 0. Got {image.min():g} in {name}: subtract less dark current."
            )
        if image.max() == 0:
            raise InputError(f"Expected intensities, of which some are positive. Got 0 everywhere in {name}.")
    given = [estimate_air(images)] if air is None else [float(level) for level in np.ravel(air)]
    if len(given) not in (1, len(images)) or not min(given) > 0 or not np.isfinite(given).all():
        raise InputError(
            f"Expected as air (I0) one positive intensity for all views, or one for each of {len(images)}. Got {air}."
        )
    levels = torch.tensor(given).expand(len(images))
    integrals = torch.empty_like(images)
    for out, image, level in zip(integrals, images, levels, strict=True):
        torch.log((image / level).clamp_min_(_DARKEST), out=out).neg_()
    return integrals


def estimate_air(intensity: Images) -> float:
    """I0 of a stack: the median of all pixels that are at least 0.8 times as bright as its 99.9th percentile.

    That is the level of air, rather than the top of its noise, if the images show air and 600 photons a pixel or more.
    """
    sample = intensity.flatten()[:: max(1, intensity.numel() // 2**22)]
    bright = sample.kthvalue(max(1, round(0.999 * len(sample)))).values
    return float(sample[sample >= 0.8 * bright].median())
