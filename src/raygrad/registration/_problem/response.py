"""What an X-ray makes of line integrals: itself, what is absorbed of the beam, or a monotone curve of them.

An X-ray shows line integrals only where its counts are right to the last: logarithms of offset, saturated or scattered
counts are others. So the image of the CT is brought to what the X-ray has, rather than the X-ray to line integrals, by
a response whose numbers are fitted to the images. Gain and offset need no fit: similarities forgive them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad.registration._problem.similarity import Stack, Weights
from raygrad.registration._solver.batches import Batch
from raygrad.types import Images, Scores

RESPONSES = ("log", "transmission", "curve")
"""By name: line integrals as they are; the share of the beam that is absorbed, 1 - exp(-c L); a monotone curve."""
MOST_LOGARITHMS = 20.0
"""No detector tells intensities apart by such a factor: e to the power of this."""
LEAST_ABSORBED, OCTAVES, STEP = 0.25, 7.0, 0.5
"""The exponents that are tried times the longest path: from all but linear to a mere silhouette."""
SATURATED = 0.005
"""The share of pixels as bright as the brightest one from which these are saturated."""
KNOTS = 24
"""Of a curve, at equal distances up to the longest path."""
STIFFNESS, LEAST_SLOPE = 1e-3, 0.02
"""What a curve's bends cost beside the mean square of its errors; and how flat it may be, as a share of the slope of a
line that varies as much as the X-ray."""

XRay = Float[Tensor, "1 1 height width"]
Entries = Int[Tensor, " batch"]
Score = Callable[["Response"], Scores]


@runtime_checkable
class Response(Protocol):
    """What images are made of line integrals, with numbers of its own for each entry of a problem."""

    def __getitem__(self, index: Tensor | slice) -> "Response":
        """The numbers of these entries, in this order."""

    def __call__(self, stack: Stack, entry: Entries) -> Stack:
        """An image of line integrals and its derivatives, as the X-ray shows them.

        Args:
            stack: (batch, 1 + tangent, height, width).
            entry: which of the numbers each of the batch has.
        """


@dataclass(frozen=True)
class Absorbed(Batch):
    """The share of the beam that is absorbed, 1 - exp(-c L), by Beer and Lambert's law: 0 in air, bone bright.

    Attributes:
        exponent: c of each entry: the unit of the CT's attenuation is anyone's, and its scale the spectrum's.
        least: of each entry: what absorbs less looks like this, as the X-ray is saturated there. Pixels of both that
            are saturated agree, and pull at nothing.
    """

    exponent: Float[Tensor, " entry"]
    least: Float[Tensor, " entry"]

    def __call__(self, stack: Stack, entry: Entries) -> Stack:
        """The image and its derivatives, c exp(-c L) dL."""
        c, least = (part[entry].to(stack)[:, None, None, None] for part in (self.exponent, self.least))
        absorbed = -torch.expm1(-c * stack[:, :1])
        tangents = torch.where(absorbed > least, c * (1 - absorbed), 0) * stack[:, 1:]
        return torch.cat([absorbed.maximum(least), tangents], dim=1)


@dataclass(frozen=True)
class Curve(Batch):
    """A monotone curve by pieces of cubics, straight beyond its ends.

    Attributes:
        spacing: of its knots, from 0 on, in units of line integrals, of each entry.
        values, slopes: at the knots; slopes by the spacing.
    """

    spacing: Float[Tensor, " entry"]
    values: Float[Tensor, "entry knot"]
    slopes: Float[Tensor, "entry knot"]

    def __call__(self, stack: Stack, entry: Entries) -> Stack:
        """The image and its derivatives, by Hermite's cubics."""
        spacing = self.spacing[entry].to(stack)[:, None]
        values, slopes = self.values[entry].to(stack), self.slopes[entry].to(stack)
        place = stack[:, 0].flatten(1) / spacing
        within = place.clamp(0, values.shape[1] - 1)
        left = within.long().clamp_max(values.shape[1] - 2)
        t = within - left
        low, high = values.gather(1, left), values.gather(1, left + 1)
        rise, end = slopes.gather(1, left), slopes.gather(1, left + 1)
        change = high - low
        square, cube = 3 * change - 2 * rise - end, rise + end - 2 * change
        slope = rise + t * (2 * square + 3 * t * cube)
        image = low + t * (rise + t * (square + t * cube)) + slope * (place - within)
        image, slope = (part.unflatten(1, stack.shape[2:])[:, None] for part in (image, slope / spacing))
        return torch.cat([image, slope * stack[:, 1:]], dim=1)


def as_shown(image: Images, weights: Weights, response: str) -> Images:
    """An X-ray of line integrals as a response compares it.

    Raises:
        ValueError: values that are no logarithms of intensities, where these are to be compared.
    """
    if response != "transmission":
        return image
    low, high = (end.item() for end in image[weights > 0].aminmax())
    if high - low > MOST_LOGARITHMS:
        raise ValueError(
            "Expected line integrals -log(I / I0), as raygrad.registration.to_line_integrals makes them, for "
            f"response='transmission'. Got values from {low:.6g} to {high:.6g}, by which intensities would differ by "
            "more than any detector tells apart. response='curve' takes any values that grow with the line integrals."
        )
    return -torch.expm1((low - image).clamp_max(0))


def saturation(image: Images, weights: Weights) -> float:
    """What a saturated X-ray shows where it is: its lowest value, if many pixels have just this; or minus infinity."""
    visible = image[weights > 0]
    low = visible.amin()
    return low.item() if (visible == low).double().mean().item() >= SATURATED else -torch.inf


def fit_exponent(images: Images, xray: XRay, weights: Weights, score: Score, saturated: float = -torch.inf) -> Absorbed:
    """The exponents by which images are most like the X-ray.

    Args:
        images: line integrals of each entry.
        xray: as shown by `as_shown`.
        weights: of its pixels, for each entry or all.
        score: how alike images by a response are.
        saturated: what it shows where it is, see `saturation`.
    """
    longest = images.flatten(1).amax(1)
    unit = torch.where(longest > 0, 1 / longest, 1)
    least = _shortest_seen(images, weights, xray <= saturated)

    def tried(octave: Tensor) -> Absorbed:
        exponent = unit * LEAST_ABSORBED * 2**octave
        return Absorbed(exponent, -torch.expm1(-exponent * least))

    def scores(octaves: Tensor) -> Tensor:
        return torch.stack([score(tried(octave)) for octave in octaves]).to(unit).nan_to_num(nan=-torch.inf)

    octaves = torch.arange(0, OCTAVES + STEP / 2, STEP, device=unit.device, dtype=unit.dtype)
    found = scores(octaves[:, None].expand(-1, len(unit)))
    top = found.argmax(0).clamp(1, len(octaves) - 2)
    best = _top(octaves[top], STEP, found.gather(0, top + torch.arange(-1, 2, device=top.device)[:, None]))
    steps = STEP / 4 * torch.arange(-1, 2, device=unit.device, dtype=unit.dtype)
    return tried(_top(best, STEP / 4, scores(best + steps[:, None])))


def _shortest_seen(images: Images, weights: Weights, saturated: Tensor) -> Float[Tensor, " entry"]:
    """The line integrals that so many pixels stay below as are saturated: a response keeps the order of pixels."""
    paths, weights = images.flatten(1), weights.flatten(1)
    wanted = (weights * saturated.flatten(1)).sum(1)
    paths, order = paths.sort(dim=1)
    below = weights.expand_as(paths).gather(1, order).cumsum(1)
    last = (below <= wanted[:, None]).sum(1).clamp_max(paths.shape[1] - 1)
    least = paths.gather(1, last[:, None])[:, 0]
    return torch.where(wanted > 0, least, 0)


def _top(middle: Tensor, step: float, scores: Float[Tensor, "3 entry"]) -> Float[Tensor, " entry"]:
    """Where the parabola through three scores is highest, at most a step off."""
    before, at, after = scores
    bend = (2 * at - before - after).clamp_min(torch.finfo(scores.dtype).tiny)
    return middle + step * ((after - before) / (2 * bend)).nan_to_num(nan=0.0).clamp(-1, 1)


def fit_curve(images: Images, xray: XRay, weights: Weights) -> Curve:
    """The monotone curves by which images come closest to the X-ray, in the mean of squares.

    Pieces of lines by least squares, then the isotonic regression of their knots by the theorem of minima and maxima
    (Barlow et al., "Statistical Inference under Order Restrictions", 1972), and slopes that keep cubics monotone
    (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5, 1984).

    Args:
        images: line integrals of each entry.
        xray: which grows with them.
        weights: of its pixels, for each entry or all.
    """
    paths, shown = images.flatten(1), xray.flatten(1)[:, :, None]
    share = (weights / weights.sum((-2, -1), keepdim=True)).flatten(1)
    longest = paths.amax(1)
    spacing = torch.where(longest > 0, longest, 1) / (KNOTS - 1)
    knots = torch.arange(KNOTS, device=paths.device, dtype=paths.dtype)
    tents = (1 - ((paths / spacing[:, None])[:, :, None] - knots).abs()).clamp_min(0)
    sides = torch.cat([tents, shown.expand(len(paths), -1, 1)], dim=2)
    # On the CPU: not all GPUs have float64, and this is small.
    products = ((sides * share[:, :, None]).mT @ sides).cpu().double()
    normal, total, square = products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]
    knots, identity = knots.cpu().double(), torch.eye(KNOTS, dtype=torch.float64)
    bends = identity.diff(n=2, dim=0)
    values = torch.linalg.solve(normal + STIFFNESS * (bends.mT @ bends) + 1e-9 * identity, total)

    counts = normal.sum(2)
    spread = (normal @ knots) @ knots - (counts @ knots).square()
    contrast = square - total.sum(1).square()
    tiny = torch.finfo(torch.float64).tiny
    least = LEAST_SLOPE * (contrast.clamp_min(0) / spread.clamp_min(1e-12)).sqrt()[:, None] * knots
    values = _isotonic(values - least, counts + STIFFNESS) + least
    steps = values.diff(dim=1)
    inner = 2 / (1 / steps[:, 1:].clamp_min(tiny) + 1 / steps[:, :-1].clamp_min(tiny))
    slopes = torch.cat([steps[:, :1], inner, steps[:, -1:]], dim=1)
    return Curve(spacing, values.to(paths), slopes.to(paths))


def _isotonic(values: Float[Tensor, "entry knot"], counts: Float[Tensor, "entry knot"]) -> Float[Tensor, "entry knot"]:
    """The values that never fall and are closest to these: max over i <= k of min over j >= k of means i..j."""
    zero = counts[:, :1] * 0
    sums, numbers = (torch.cat([zero, part.cumsum(1)], dim=1) for part in (values * counts, counts))
    means = (sums[:, None, 1:] - sums[:, :-1, None]) / (numbers[:, None, 1:] - numbers[:, :-1, None])
    ordered = torch.ones_like(means[0]).triu().bool()  # i <= j
    means = means.masked_fill(~ordered, torch.inf)
    least = means.flip(2).cummin(dim=2).values.flip(2)  # [i, k], for k >= i over j >= k
    return least.masked_fill(~ordered, -torch.inf).amax(1)


def entries_of(responses: list[Response]) -> Response:
    """The response of all entries, of those of groups of them."""
    first = responses[0]
    parts = {name: torch.cat([getattr(one, name) for one in responses]) for name in vars(first)}
    return replace(first, **parts)  # type: ignore[type-var]
