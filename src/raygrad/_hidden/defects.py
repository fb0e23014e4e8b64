"""Dead and hot pixels, rows and columns of a detector: values that have nothing to do with those beside them.

What is small in the patient is blurred, and a wire or the edge of a table that lies along a row by chance adds to what
is behind it. A dead pixel is alone, a dead cluster and a dead row have one value, and a row of another gain runs from
one end of the image to the other.
"""

import itertools

import numpy as np
from jaxtyping import Bool, Float, Int

Region = Bool[np.ndarray, "height width"]
Numbers = Float[np.ndarray, "height width"]

_OUTLYING = 0.25  # of the range of line integrals: how far from those beside it a dead pixel is
_OF_SPREAD = 4.0  # and how far, of the range of those beside it
_STAND_OUT = 0.5  # of the darkest pixels, if they are dead, so many are as far as that from those beside them
_SAME = 0.02  # of how far a cluster is from what is beside it: its pixels differ by less
_OTHER_GAIN = 0.05  # of the range: how far a row from end to end is from those beside it
_WIDEST = 3  # rows or columns that died together
_PART, _WHOLE = 0.25, 0.95  # of the length: of a row of one value, of a row of another gain
_CONSTANT = 0.05  # a row of one value varies by less, of those beside it
_VARIED = 0.25  # of the range: these vary by more, where one value is a sign of anything
_APART = 0.7  # of a row of one value, so much is unlike what is beside it
_MOST = 0.02  # of the pixels, and of the lines: more are a picture


def find_defects(integrals: Numbers, shown: Region) -> Region:
    """Pixels, rows and columns whose values are not those of X-rays.

    Args:
        integrals: an X-ray as line integrals.
        shown: where to look.
    """
    found = np.zeros_like(shown)
    if min(integrals.shape) < 2 * _WIDEST + 2 or not shown.any():
        return found
    low, high = np.quantile(integrals[shown][:: max(1, shown.sum() // 100_000)], (0.02, 0.98))
    if not high > low:
        return found
    for lines in (found, found.T):
        numbers, seen = (integrals, shown) if lines is found else (integrals.T, shown.T)
        lines |= _dead_lines(numbers, seen, high - low)
    single = _dead_pixels(integrals, shown & ~found, high - low)
    if single.any():
        # Where few photons came, pixels that counted none stand out among logarithms, but few of them as clearly.
        darkest = integrals == integrals[shown].max()
        if (single & darkest).sum() < _STAND_OUT * (darkest & shown & ~found & ~_in_company(darkest)).sum():
            single &= ~darkest
    return found | single if single.mean() <= _MOST else found


def mended(image: Numbers, defects: Region) -> Numbers:
    """The image with the means of the pixels beside them in place of defects, from their rims inwards."""
    image, left = image.copy(), defects.copy()
    for _ in range(_WIDEST):
        padded = np.pad(np.where(left, np.nan, image), 1, constant_values=np.nan)
        places = np.argwhere(left)
        beside = _around(padded, places + 1, 1)
        known = np.isfinite(beside)
        counts = known.sum(axis=1)
        means = np.where(known, beside, 0).sum(axis=1) / np.maximum(counts, 1)
        places, means = places[counts > 0], means[counts > 0]
        image[tuple(places.T)] = means
        left[tuple(places.T)] = False
    return image


def _dead_pixels(integrals: Numbers, shown: Region, extent: float) -> Region:
    """Single pixels unlike all about them, and clusters of one value within 3 x 3 unlike all about these."""
    found = np.zeros_like(shown)
    height, width = integrals.shape
    middle = integrals[2:-2, 2:-2]
    apart = np.ones_like(middle, bool)
    for down, right in ((0, -2), (0, 2), (-2, 0), (2, 0)):
        beside = integrals[2 + down : height - 2 + down, 2 + right : width - 2 + right]
        apart &= np.abs(middle - beside) > _OUTLYING * extent
    places = np.argwhere(apart & shown[2:-2, 2:-2]) + 2
    if not len(places) or len(places) > _MOST * integrals.size:
        return found
    values = integrals[tuple(places.T)]
    near, far = (_around(integrals, places, reach) for reach in (1, 2))
    alone = _unlike(values, np.concatenate([near, far], axis=1), extent)
    away = np.abs(values - np.median(far, axis=1))
    differ = np.abs(near - values[:, None])
    like, unlike = differ <= _SAME * away[:, None], differ > _OUTLYING * extent
    cluster = _unlike(values, far, extent) & (like | unlike).all(axis=1)
    found[tuple(places[alone].T)] = True
    steps = np.array(_ring(1))
    of_clusters = (places[cluster][:, None] + steps)[like[cluster]]
    found[tuple(of_clusters.T)] = True
    found[tuple(places[cluster].T)] = True
    return found & shown


def _around(image: Numbers, places: Int[np.ndarray, "place 2"], reach: int) -> Float[np.ndarray, "place ring"]:
    rows, columns = (places[:, None] + np.array(_ring(reach))).transpose(2, 0, 1)
    return image[rows, columns]


def _ring(reach: int) -> list[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return [step for step in itertools.product(steps, steps) if max(map(abs, step)) == reach]


def _unlike(values: np.ndarray, beside: np.ndarray, extent: float) -> np.ndarray:
    """Whether values are far from all of those beside them, and these are much alike."""
    low, high = beside.min(axis=1), beside.max(axis=1)
    away = np.maximum(values - high, low - values)
    return away > np.maximum(_OUTLYING * extent, _OF_SPREAD * (high - low))


def _in_company(region: Region) -> Region:
    """Where more than three of the eight pixels about one are of the region."""
    padded = np.pad(region, 1).astype(np.int8)
    height, width = region.shape
    company = sum(padded[1 + down : 1 + down + height, 1 + right : 1 + right + width] for down, right in _ring(1))
    return np.asarray(company > 3)


def _dead_lines(integrals: Numbers, shown: Region, extent: float) -> Region:
    """Rows, up to three side by side, whose values are those of no X-ray along a good part of them."""
    found = np.zeros_like(shown)
    length, lowest = integrals.shape[1], float(integrals.min())
    jumps = (np.abs(np.diff(integrals, axis=0)) > _OTHER_GAIN * extent) & shown[:-1] & shown[1:]
    edges = np.flatnonzero(jumps.sum(axis=1) >= _PART * np.maximum(shown[:-1].sum(axis=1), 0.2 * length))
    ends = {int(edge) for edge in edges} | {-1, len(integrals) - 1}
    for edge in sorted(ends):
        for width in range(1, _WIDEST + 1):
            if edge + width not in ends or (edge < 0 and edge + width == len(integrals) - 1):
                continue
            rows = slice(edge + 1, edge + 1 + width)
            beside = [row for row in (edge, edge + width + 1) if 0 <= row < len(integrals)]
            dead = _dead_part(integrals[rows], integrals[beside], np.logical_and.reduce(shown[rows]), lowest, extent)
            if dead.any():
                found[rows] |= dead
                break
    return found & shown if found.any(axis=1).sum() <= max(_WIDEST, _MOST * len(found)) else np.zeros_like(found)


def _dead_part(
    lines: Float[np.ndarray, "line pixel"],
    beside: Float[np.ndarray, "side pixel"],
    shown: Bool[np.ndarray, " pixel"],
    lowest: float,
    extent: float,
) -> Bool[np.ndarray, " pixel"]:
    """The part of some rows that is dead, by those beside them."""
    nothing = np.zeros_like(shown)
    if len(beside) < 1 or not shown.any():
        return nothing
    if len(beside) == 1 and not lines.max() > lowest:  # the air beside a body that the border cuts
        return nothing
    above, below = beside[0], beside[-1]
    away = np.maximum(lines.min(axis=0) - np.maximum(above, below), np.minimum(above, below) - lines.max(axis=0))
    apart = (away > np.maximum(_OTHER_GAIN * extent, np.abs(above - below))) & shown
    if len(beside) == 2 and apart[shown].mean() >= _WHOLE:
        return shown
    value = np.median(lines[:, apart], axis=1) if apart.any() else lines[:, 0]
    spread = np.abs(lines - value[:, None]).max(axis=0)
    one_value = spread <= _CONSTANT * max(_VARIED * extent, _width(beside.mean(axis=0)[shown]))
    first, last = _longest_run(one_value & shown)
    part = nothing.copy()
    part[first:last] = True
    # What lies beyond an aperture may have the value, too, on all sides.
    alike = (np.abs(beside - value.mean()) <= 1e-6 * extent).all(axis=0)
    background, part_beside = beside.mean(axis=0)[part], part & ~alike
    least = _PART if len(beside) == 2 else _WHOLE
    if (
        part.sum() < least * len(part)
        or _width(background) < _VARIED * extent
        or apart[part_beside].sum() < max(_APART * part_beside.sum(), 0.5 * _PART * len(part))
    ):
        return nothing
    return part


def _width(values: np.ndarray) -> float:
    """How far most values are apart."""
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high - low)


def _longest_run(region: Bool[np.ndarray, " pixel"]) -> tuple[int, int]:
    change = np.diff(np.concatenate([[0], region.astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
    if not len(begins):
        return 0, 0
    longest = (ends - begins).argmax()
    return int(begins[longest]), int(ends[longest])
