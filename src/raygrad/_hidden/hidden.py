"""What of an X-ray does not count: beyond its aperture, under burned-in text, and where the range of numbers ended."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._hidden.aperture import find_aperture
from raygrad._hidden.defects import find_defects, mended
from raygrad._hidden.pieces import label
from raygrad._hidden.text_lines import find_text_lines

Region = Bool[np.ndarray, "height width"]
Numbers = Float[np.ndarray, "height width"]

_SPIKE = 4  # an end of the range is so many times as frequent as the values beside it
# Text and graphics
_SMALLEST_PIECE = 4  # pixels
_LARGEST_PIECE, _LARGEST_TEXT = 0.01, 0.05  # of the image
_SHARP = 0.15  # from one pixel to the next, of the range of line integrals
_CLEAR = 10  # from one pixel to the next, in units of the least difference between numbers
# Saturation
_LEAST_SATURATED = 0.001  # of what is shown
_PILED_UP = 1.25  # of 1 % of the range beside air, over 5 % of it
_WHITE = 0.6  # curvature between neighbours over that between pixels two apart: 1 for noise, 1/4 for a smooth image
_LEAST_PIXELS = 96  # of rows and columns: in fewer a smooth image looks like noise
_LEAST_PAINTED = 128  # of rows and columns, where what an array has beyond an aperture may be as bright as air
_LEAST_SHOWN = 0.1  # of the image


@dataclass(frozen=True)
class Hidden:
    """What of an X-ray does not count, and why.

    Attributes:
        weights: 1 for pixels that count and 0 for the others, as masks are given to `register`.
        aperture: its shape: "round", "rectangular", "octagonal", "polygonal" (other straight sides) or "partly round";
            None if the picture shows none.
        within: the part of the image within the aperture.
        saturated: the part of the image that is within and where the range of the numbers ended.
        text: the part of the image that is within and under burned-in text or graphics.
        dead: the part of the image that is within and of dead or hot pixels, rows and columns.
    """

    weights: Float[Tensor, "height width"]
    aperture: str | None = None
    within: float = 1.0
    saturated: float = 0.0
    text: float = 0.0
    dead: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether all pixels count."""
        return self.aperture is None and self.saturated == self.text == self.dead == 0

    def __str__(self) -> str:
        parts = []
        if self.aperture is not None:
            article = "an" if self.aperture[0] in "aeiou" else "a"
            within = f"{article} {self.aperture} aperture of {_percent(self.within)} of the image"
            parts.append(f"what lies beyond {within}")
        if self.saturated:
            parts.append(f"saturated pixels ({_percent(self.saturated)})")
        if self.text:
            parts.append(f"text or graphics ({_percent(self.text)})")
        if self.dead:
            parts.append(f"dead pixels ({_percent(self.dead)})")
        return ", ".join(parts) or "nothing"


def hidden_in_array(image: Float[Tensor, "height width"] | Numbers) -> Hidden:
    """What of an array of line integrals does not count: of any unit and offset, as long as bone is high.

    Args:
        image: real numbers; what is not finite is taken for the greatest of them.
    """
    numbers = np.array(image.detach().double().cpu().numpy() if isinstance(image, Tensor) else image, np.float64)
    finite = np.isfinite(numbers)
    if not finite.any() or numbers[finite].min() == numbers[finite].max():
        return Hidden(torch.ones(numbers.shape))
    numbers[~finite] = numbers[finite].max()
    # In few pixels a body in the air may look cut out.
    return hidden_in(numbers, numbers, linear=True, painted=min(numbers.shape) >= _LEAST_PAINTED)


def hidden_in(pixels: Numbers, integrals: Numbers, linear: bool, painted: bool) -> Hidden:
    """What of an X-ray does not count, see `raygrad.formats.find_hidden`.

    Args:
        pixels: as they are stored.
        integrals: the same as line integrals up to scale and offset.
        linear: integrals are logarithms of intensities, and no numbers for the eye.
        painted: what lies beyond an aperture may have been made as bright as air for the eye.
    """
    everywhere, name = np.ones(pixels.shape, bool), None
    dead = find_defects(integrals, everywhere)
    if dead.any():
        pixels, integrals = (mended(numbers, dead) for numbers in (pixels, integrals))
    aperture = find_aperture(pixels, integrals, painted)
    within = everywhere
    if aperture is not None:
        name = str(aperture)
        # The outline itself is blurred.
        within = aperture.depth_of_pixels(pixels.shape) > 1 + 0.003 * max(pixels.shape)
    dead &= within
    text = _find_text(pixels, integrals, within) & ~dead
    shown = within & ~text & ~dead
    saturated = _find_saturated(pixels, integrals, shown, linear)
    if (shown & ~saturated).mean() < _LEAST_SHOWN:
        saturated[:] = False
    return Hidden(
        torch.from_numpy((shown & ~saturated).astype(np.float32)),
        name,
        float(within.mean()),
        float(saturated.mean()),
        float(text.mean()),
        float(dead.mean()),
    )


def _find_text(pixels: Numbers, integrals: Numbers, shown: Region) -> Region:
    """Small pieces of the least or greatest value that end from one pixel to the next, with a rim for their blur."""
    found = np.zeros_like(shown)
    for end in (np.min, np.max):
        found |= _sharp_pieces(pixels, integrals, shown, end(pixels[shown]))
    in_lines = find_text_lines(pixels, shown)
    if in_lines.any() and found[in_lines].mean() < 0.8:  # else all of it is there, and sharper
        found |= _grown(in_lines)
    if not found.any() or found.mean() > _LARGEST_TEXT:
        return np.zeros_like(shown)
    for _ in range(max(1, round(0.003 * max(shown.shape)))):
        found = _grown(found)
    return found & shown


def _sharp_pieces(pixels: Numbers, integrals: Numbers, shown: Region, value: float) -> Region:
    """Text of one value: its pieces stand free, have edges, and make the value a frequent one."""
    none = np.zeros_like(shown)
    at_end = shown & (pixels == value)
    rest = shown & ~at_end
    if rest.mean() < _LEAST_SHOWN or at_end.sum() < _SPIKE * _most_frequent_beside(pixels[rest], value):
        return none
    low, high = np.quantile(integrals[rest], (0.01, 0.99))
    clear = _CLEAR * np.diff(np.unique(pixels[shown])).min()

    pieces = label(at_end, diagonals=True)
    sizes = np.bincount(pieces.ravel())
    rim, edges = np.zeros(len(sizes)), np.zeros(len(sizes))
    for axis in (0, 1):
        for step in (1, -1):
            here, beside = _neighbours(axis, step)
            at_rim = at_end[here] & rest[beside]
            jump = np.abs(integrals[here] - integrals[beside])[at_rim] > _SHARP * (high - low)
            # Where few photons came the logarithm jumps from pixel to pixel, but the numbers do not.
            jump &= np.abs(pixels[here] - pixels[beside])[at_rim] >= clear
            rim += np.bincount(pieces[here][at_rim], minlength=len(sizes))
            edges += np.bincount(pieces[here][at_rim], weights=jump, minlength=len(sizes))
    chosen = (edges > 0.9 * rim) & (sizes >= _SMALLEST_PIECE) & (sizes <= _LARGEST_PIECE * pixels.size)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    chosen[border] = False  # air in a corner
    chosen[0] = False
    return chosen[pieces]


def _most_frequent_beside(numbers: np.ndarray, end: float) -> int:
    """How often the most frequent of the four values occurs that are nearest to an end of the range."""
    values, counts = np.unique(numbers, return_counts=True)
    return int((counts[:4] if end < values[0] else counts[-4:]).max(initial=0))


def _find_saturated(pixels: Numbers, integrals: Numbers, shown: Region, linear: bool) -> Region:
    """Pixels at an end of the range, if there are many.

    Air beside a body is no saturation, though it has one value in images without noise. Where there is noise, air would
    have it too; and since bodies end thin, values beside air's pile up towards it, but not where the range ended within
    a body. What numbers for the eye do there is not known.
    """
    found = np.zeros_like(shown)
    for end, is_air in ((np.min, True), (np.max, False)):
        extreme = end(integrals[shown])
        at_end = shown & (integrals == extreme)
        rest = integrals[shown & ~at_end]
        if not len(rest) or at_end.sum() < max(
            _LEAST_SATURATED * shown.sum(), _SPIKE * _most_frequent_beside(rest, extreme)
        ):
            continue
        if is_air:
            away = rest - extreme
            low, high = np.quantile(away, (0.005, 0.995))
            near, wider = ((away < part * (high - low)).mean() / part for part in (0.01, 0.05))
            if (
                not linear
                or near > _PILED_UP * wider
                or not _is_solid(at_end)
                or not _is_noisy(pixels, integrals, shown & ~at_end)
            ):
                continue
        found |= at_end
    return found


def _is_solid(region: Region) -> bool:
    """Whether most of its pixels have their like on all four sides: where noise was cut off at air, few have."""
    inner = region.copy()
    for axis in (0, 1):
        for step in (1, -1):
            here, beside = _neighbours(axis, step)
            inner[here] &= region[beside]
    return bool(inner.sum() > 0.5 * region.sum())


def _is_noisy(pixels: Numbers, integrals: Numbers, region: Region) -> bool:
    """Whether the region has noise beyond rounding: curvature as between neighbours also between pixels two apart."""
    if min(pixels.shape) < _LEAST_PIXELS:
        return False
    quantum = float(np.diff(np.unique(pixels[region])).min(initial=np.inf))
    return _curvature(pixels, region, 1) > 4 * quantum and (
        _curvature(integrals, region, 1) > _WHITE * _curvature(integrals, region, 2)
    )


def _curvature(image: Numbers, region: Region, step: int) -> float:
    """The lower quartile of second differences along both axes: that of the parts that are smooth but for noise."""
    for axis in (0, 1):
        size = image.shape[axis]
        places = [np.arange(start, size - 2 * step + start) for start in (0, step, 2 * step)]
        first, middle, last = (image.take(place, axis) for place in places)
        image = first - 2 * middle + last
        region = np.logical_and.reduce([region.take(place, axis) for place in places])
    return float(np.quantile(np.abs(image[region]), 0.25)) if region.any() else 0.0


def _neighbours(axis: int, step: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of an image that have each pixel in the one and its neighbour in the other."""
    first, second = [slice(None)] * 2, [slice(None)] * 2
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    return (tuple(first), tuple(second)) if step > 0 else (tuple(second), tuple(first))


def _grown(region: Region) -> Region:
    """With the pixels beside it and at its corners."""
    for axis in (0, 1):
        wider = region.copy()
        for step in (1, -1):
            here, beside = _neighbours(axis, step)
            wider[here] |= region[beside]
        region = wider
    return region


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %" if part < 0.1 else f"{100 * part:.0f} %"
