"""What makes a landscape easy or hard to descend: where its minimum lies, its curvature, how far it is convex and how
far it leads to the minimum.
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from raygrad.landscape._slices import Slice


class Reach(NamedTuple):
    """An interval of deviations; an end is `open` where it is that of the slice, so that the truth may lie beyond."""

    low: float
    high: float
    low_open: bool
    high_open: bool

    def __str__(self) -> str:
        if np.isnan(self.low):
            return "nowhere"
        low = f"{self.low:.3g} or less" if self.low_open else f"{self.low:.3g}"
        high = f"{self.high:.3g} or more" if self.high_open else f"{self.high:.3g}"
        if self.low_open and self.high_open:
            return f"all: {self.low:.3g} to {self.high:.3g}"
        return f"{low} to {high}"


@dataclass(frozen=True)
class Measures:
    """Measures of one slice, whose grid alone they know.

    Attributes:
        minimum: deviations at the least loss.
        least: that loss.
        hessian: of the quadratic that fits the loss best within two steps of the truth, per squared unit of the
            parameters; NaN with fewer than three values of a parameter.
        vertex: where the minimum lies between the values of the grid: deviations at the minimum of the quadratic that
            fits best within one step of the least loss; NaN if it has none there.
        convex: for each parameter, how far the loss is convex on the line through the truth. That means that the
            Hessian by finite differences, over all parameters of the slice, is positive definite; at the ends of the
            slice there is none.
        convex_share: the share of the grid, without its border, where it is.
        basin: for each parameter, how far the loss falls at every step towards the minimum, on the line through it:
            the capture range of a descent along that line.
        basin_share: the share of the grid from which steepest descent, from value to neighbouring value, arrives at
            the minimum.
    """

    minimum: tuple[float, ...]
    least: float
    hessian: Float[np.ndarray, "parameter parameter"]
    vertex: tuple[float, ...]
    convex: tuple[Reach, ...]
    convex_share: float
    basin: tuple[Reach, ...]
    basin_share: float

    @property
    def is_convex(self) -> bool:
        """Whether the loss is convex at the truth: all curvatures of its quadratic are positive."""
        return bool(np.isfinite(self.hessian).all() and (np.linalg.eigvalsh(self.hessian) > 0).all())

    @property
    def flattest_direction(self) -> Float[np.ndarray, " parameter"]:
        """The direction of least curvature at the truth, of length 1 in the parameters' units; NaN if unknown."""
        if not np.isfinite(self.hessian).all():
            return np.full(len(self.hessian), np.nan)
        direction = np.linalg.eigh(self.hessian)[1][:, 0]
        return direction * np.sign(direction[np.abs(direction).argmax()])


def measure_slice(landscape: Slice) -> Measures:
    """Measure a slice. Values of the loss that are NaN count as infinitely high.

    Raises:
        ValueError: no value of the loss is finite.
    """
    loss = np.where(np.isnan(landscape.loss), np.inf, landscape.loss)
    if not np.isfinite(loss).any():
        raise ValueError("Expected a slice with a finite loss somewhere. Got none.")
    deviations = landscape.deviations
    bottom = tuple(int(i) for i in np.unravel_index(loss.argmin(), loss.shape))
    truth = tuple(int(np.abs(values).argmin()) for values in deviations)
    convex = _find_convex(loss, deviations)
    inside = convex[tuple(slice(1, -1) for _ in deviations)]
    return Measures(
        minimum=tuple(float(values[i]) for values, i in zip(deviations, bottom, strict=True)),
        least=float(loss.min()),
        hessian=_fit_at_truth(loss, deviations),
        vertex=_find_vertex(loss, deviations, bottom),
        convex=tuple(
            _measure_run(convex[_line(truth, axis)], truth[axis], values, border=1)
            for axis, values in enumerate(deviations)
        ),
        convex_share=float(inside.mean()) if inside.size else np.nan,
        basin=tuple(
            _measure_run(_rises_from(loss[_line(bottom, axis)], bottom[axis]), bottom[axis], values, border=0)
            for axis, values in enumerate(deviations)
        ),
        basin_share=float(_find_basin(loss).mean()),
    )


def _line(point: tuple[int, ...], axis: int) -> tuple[int | slice, ...]:
    """The index of the line of the grid through a point along an axis."""
    return tuple(slice(None) if i == axis else index for i, index in enumerate(point))


def _measure_run(good: Bool[np.ndarray, " value"], start: int, values: np.ndarray, border: int) -> Reach:
    """From where to where `good` is true without a break, about `start`; `border` values at the ends do not count."""
    if not good[start]:
        return Reach(np.nan, np.nan, False, False)
    low = high = start
    while low > border and good[low - 1]:
        low -= 1
    while high < len(good) - 1 - border and good[high + 1]:
        high += 1
    return Reach(float(values[low]), float(values[high]), low == border, high == len(good) - 1 - border)


def _rises_from(line: Float[np.ndarray, " value"], bottom: int) -> Bool[np.ndarray, " value"]:
    """Which values are above their neighbour on the side of the bottom, or as low as the bottom itself."""
    good = np.ones(len(line), dtype=bool)
    good[bottom + 1 :] = line[bottom + 1 :] > line[bottom:-1]
    good[:bottom] = line[:bottom] > line[1 : bottom + 1]
    return good | (line == line[bottom])


def _find_basin(loss: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Whence steepest descent from neighbour to neighbour, diagonals among them, arrives at the least loss."""
    padded = np.pad(loss, 1, constant_values=np.inf)
    indices = np.arange(loss.size).reshape(loss.shape)
    padded_indices = np.pad(indices, 1)
    steepest, towards = np.zeros(loss.shape), indices.copy()
    for step in product((-1, 0, 1), repeat=loss.ndim):
        if any(step):
            window = tuple(slice(1 + s, 1 + s + n) for s, n in zip(step, loss.shape, strict=True))
            with np.errstate(invalid="ignore"):  # infinity minus infinity: no way down
                drop = (loss - padded[window]) / np.sqrt(np.abs(step).sum())
            better = drop > steepest
            steepest[better], towards[better] = drop[better], padded_indices[window][better]
    towards[loss == loss.min()] = int(loss.argmin())
    end = towards.ravel()
    while (end[end] != end).any():
        end = end[end]
    return (end == loss.argmin()).reshape(loss.shape)


def _find_convex(loss: np.ndarray, deviations: tuple[np.ndarray, ...]) -> Bool[np.ndarray, "..."]:
    """Where the Hessian by finite differences is positive definite; never at the border."""
    convex = np.zeros(loss.shape, dtype=bool)
    if min(loss.shape) < 3:
        return convex
    dimensions = range(loss.ndim)

    def moved(*steps: int) -> np.ndarray:
        return loss[tuple(slice(1 + s, n - 1 + s) for s, n in zip(steps, loss.shape, strict=True))]

    def widths(axis: int) -> tuple[np.ndarray, np.ndarray]:
        """The steps before and after each value that is not at an end."""
        steps = np.diff(deviations[axis]).reshape([-1 if i == axis else 1 for i in dimensions])
        before, after = (np.take(steps, range(first, first + loss.shape[axis] - 2), axis) for first in (0, 1))
        return before, after

    hessian = np.empty((*moved(*[0] * loss.ndim).shape, loss.ndim, loss.ndim))
    with np.errstate(invalid="ignore"):  # where the loss is infinite there is no Hessian
        for axis in dimensions:
            step = [int(i == axis) for i in dimensions]
            before, after = widths(axis)
            centre = moved(*[0] * loss.ndim)
            up = (moved(*step) - centre) / after
            down = (centre - moved(*[-s for s in step])) / before
            hessian[..., axis, axis] = 2 * (up - down) / (before + after)
        if loss.ndim == 2:
            area = np.add(*widths(0)) * np.add(*widths(1))
            mixed = (moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)) / area
            hessian[..., 0, 1] = hessian[..., 1, 0] = mixed
            determinant = hessian[..., 0, 0] * hessian[..., 1, 1] - mixed**2
        else:
            determinant = hessian[..., 0, 0]
        convex[tuple(slice(1, -1) for _ in dimensions)] = (hessian[..., 0, 0] > 0) & (determinant > 0)
    return convex


def _fit_quadratic(
    loss: np.ndarray, deviations: tuple[np.ndarray, ...], chosen: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient at the truth and Hessian of the quadratic that fits best at the chosen indices; NaN without values."""
    n = loss.ndim
    values = loss[np.ix_(*chosen)].ravel()
    if min(map(len, chosen)) < 3 or not np.isfinite(values).all():
        return np.full(n, np.nan), np.full((n, n), np.nan)
    scale = np.array([np.abs(line[index]).max() for line, index in zip(deviations, chosen, strict=True)])
    axes = [line[index] / unit for line, index, unit in zip(deviations, chosen, scale, strict=True)]
    x = [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]
    pairs = [(i, j) for i in range(n) for j in range(i, n)]
    columns = [np.ones_like(values), *x, *(x[i] * x[j] for i, j in pairs)]
    coefficients = np.linalg.lstsq(np.stack(columns, axis=1), values, rcond=None)[0]
    hessian = np.zeros((n, n))
    for (i, j), value in zip(pairs, coefficients[1 + n :], strict=True):
        hessian[i, j] += value
        hessian[j, i] += value
    return coefficients[1 : 1 + n] / scale, hessian / np.outer(scale, scale)


def _fit_at_truth(loss: np.ndarray, deviations: tuple[np.ndarray, ...]) -> np.ndarray:
    """The Hessian of the quadratic that fits best within two steps of the truth."""
    chosen = []
    for line in deviations:
        distance = np.abs(line)
        reach = 2.001 * float(np.median(np.diff(line))) if len(line) > 1 else 0.0
        chosen.append(np.flatnonzero(distance <= max(reach, np.sort(distance)[:3][-1])))
    return _fit_quadratic(loss, deviations, chosen)[1]


def _find_vertex(loss: np.ndarray, deviations: tuple[np.ndarray, ...], bottom: tuple[int, ...]) -> tuple[float, ...]:
    """Where the quadratic that fits best within one step of the least loss has its minimum."""
    unknown = (np.nan,) * loss.ndim
    if any(i in (0, n - 1) for i, n in zip(bottom, loss.shape, strict=True)):
        return unknown
    gradient, hessian = _fit_quadratic(loss, deviations, [np.arange(i - 1, i + 2) for i in bottom])
    if not np.isfinite(hessian).all() or not (np.linalg.eigvalsh(hessian) > 0).all():
        return unknown
    lowest = -np.linalg.solve(hessian, gradient)
    inside = all(line[i - 1] <= value <= line[i + 1] for value, line, i in zip(lowest, deviations, bottom, strict=True))
    return tuple(lowest.tolist()) if inside else unknown
