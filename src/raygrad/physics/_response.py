"""Responses: what becomes of a signal on its way to the picture, each a monotone curve; several follow one another.

Signals are shares of the open field: 1 where nothing is in the way, 0 where nothing arrives. Window and sigmoid are
those of DICOM PS3.3, C.11.2.1; tables those of C.11.1; what is shown bright, Photometric Interpretation, C.7.6.3.1.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.physics._numbers import Number, check_number, tensor_of

Values = Float[Tensor, "*values"]


class Response:
    """A monotone curve, applied to every pixel."""

    @property
    def increasing(self) -> bool:
        """Whether more signal gives a higher value."""
        return True

    def __call__(self, values: Values) -> Values:
        """The values of the curve, of any shape."""
        raise NotImplementedError

    def inverse(self, values: Values) -> Values:
        """The signals that have these values.

        Raises:
            ValueError: the curve is flat somewhere, so that they are not known.
        """
        raise ValueError(f"Expected a response that can be undone. Got {type(self).__name__}, which is flat somewhere.")

    def then(self, *after: "Response") -> "Chain":
        """This response and others after it, in this order."""
        return Chain((self, *after))

    @property
    def photometric_interpretation(self) -> str:
        """DICOM's word for pictures whose dense parts are shown bright: "MONOCHROME2" where these have high values."""
        return "MONOCHROME1" if self.increasing else "MONOCHROME2"


@dataclass(frozen=True)
class Chain(Response):
    """Responses one after the other.

    Attributes:
        responses: the first is applied first.

    Raises:
        TypeError: one is no response.
        ValueError: there is none.
    """

    responses: Sequence[Response]

    def __post_init__(self) -> None:
        object.__setattr__(self, "responses", tuple(self.responses))
        if not self.responses:
            raise ValueError("Expected at least one response. Got none.")
        for response in self.responses:
            if not isinstance(response, Response):
                raise TypeError(f"Expected responses. Got {type(response).__name__}.")

    @property
    def increasing(self) -> bool:
        """Whether more signal gives a higher value."""
        return sum(not response.increasing for response in self.responses) % 2 == 0

    def __call__(self, values: Values) -> Values:
        """All curves, one after the other."""
        for response in self.responses:
            values = response(values)
        return values

    def inverse(self, values: Values) -> Values:
        """The signals that have these values.

        Raises:
            ValueError: one of the curves is flat somewhere.
        """
        for response in reversed(self.responses):
            values = response.inverse(values)
        return values


@dataclass(frozen=True)
class Log(Response):
    """Line integrals: -log(signal), as a detector with a logarithmic amplifier or its workstation has them.

    Attributes:
        least: the signal that the logarithm is taken of where there is less, so that noise has one: a share of the open
            field. It reads as -log(least), with no derivative there.

    Raises:
        ValueError: a least signal that is not above 0 and below 1.
    """

    least: Number = 1e-6

    def __post_init__(self) -> None:
        check_number("least", self.least, above=0, below=1)

    @property
    def increasing(self) -> bool:
        """Whether more signal gives a higher value: no."""
        return False

    def __call__(self, values: Values) -> Values:
        """Line integrals."""
        return -torch.log(torch.maximum(values, _number(self.least, values)))

    def inverse(self, values: Values) -> Values:
        """Signals of line integrals."""
        return torch.exp(-values)


@dataclass(frozen=True)
class Window(Response):
    """From 0 at `low` to 1 at `high`, straight between, and flat beyond.

    Attributes:
        low, high: values at the window's ends.

    Raises:
        ValueError: `high` is not above `low`, or one is not finite.
    """

    low: Number
    high: Number

    def __post_init__(self) -> None:
        check_number("low", self.low)
        check_number("high", self.high, above=_plain(self.low))

    def __call__(self, values: Values) -> Values:
        """Shares of the window."""
        low, high = _number(self.low, values), _number(self.high, values)
        return ((values - low) / (high - low)).clamp(0, 1)


@dataclass(frozen=True)
class Sigmoid(Response):
    """A smooth window: 1 / (1 + exp(-4 (value - center) / width)), with the slope 1 / width at its center.

    Attributes:
        center: where it is one half.
        width: of the straight window that it replaces, above 0.

    Raises:
        ValueError: a number beyond its bounds.
    """

    center: Number
    width: Number

    def __post_init__(self) -> None:
        check_number("center", self.center)
        check_number("width", self.width, above=0)

    def __call__(self, values: Values) -> Values:
        """Shares between 0 and 1."""
        return torch.sigmoid(4 * (values - _number(self.center, values)) / _number(self.width, values))

    def inverse(self, values: Values) -> Values:
        """The values of shares that lie between 0 and 1."""
        return _number(self.center, values) + _number(self.width, values) / 4 * torch.logit(values)


@dataclass(frozen=True)
class Gamma(Response):
    """A power: value^exponent, as display curves and film have them; values below 0 are taken as 0.

    Attributes:
        exponent: above 0.

    Raises:
        ValueError: an exponent that is not above 0.
    """

    exponent: Number

    def __post_init__(self) -> None:
        check_number("exponent", self.exponent, above=0)

    def __call__(self, values: Values) -> Values:
        """Powers of the values."""
        positive = values > 0  # elsewhere neither powers nor their derivatives are finite
        powers = torch.where(positive, values, 1.0) ** _number(self.exponent, values)
        return torch.where(positive, powers, 0.0)

    def inverse(self, values: Values) -> Values:
        """Roots of values of at least 0."""
        positive = values > 0
        roots = torch.where(positive, values, 1.0) ** (1 / _number(self.exponent, values))
        return torch.where(positive, roots, 0.0)


@dataclass(frozen=True)
class Saturation(Response):
    """A signal that the detector cannot exceed.

    Attributes:
        at: the highest value.
        knee: how smoothly it is reached, in the values' unit: 0 for a sharp bend; above 0 the curve is
            at - knee log(1 + exp((at - value) / knee)), which never becomes flat.

    Raises:
        ValueError: a value of at most 0, or a knee below 0.
    """

    at: Number = 1.0
    knee: Number = 0.0

    def __post_init__(self) -> None:
        check_number("at", self.at, above=0)
        check_number("knee", self.knee, least=0)

    def __call__(self, values: Values) -> Values:
        """Values up to the highest."""
        at = _number(self.at, values)
        if _plain(self.knee) == 0:
            return torch.minimum(values, at)
        knee = _number(self.knee, values)
        return at - knee * functional.softplus((at - values) / knee)

    def inverse(self, values: Values) -> Values:
        """The values of a smooth saturation's values, which lie below `at`.

        Raises:
            ValueError: there is no knee.
        """
        if _plain(self.knee) == 0:
            return super().inverse(values)
        at, knee = _number(self.at, values), _number(self.knee, values)
        excess = (at - values) / knee
        return at - knee * (excess + torch.log(-torch.expm1(-excess)))


@dataclass(frozen=True, eq=False)
class LookUpTable(Response):
    """A monotone curve through points, straight between them, and flat beyond the first and the last.

    Attributes:
        inputs: where the points lie, in rising order: numbers, or a tensor (point).
        outputs: their values, as many, never turning back. May be a tensor with a gradient.

    Raises:
        ValueError: fewer than two points, not as many values, numbers that are not finite, inputs that do not rise, or
            values that rise and fall: such a table is no response, as several signals would look alike.
    """

    inputs: Tensor | Sequence[Number]
    outputs: Tensor | Sequence[Number]

    def __post_init__(self) -> None:
        points, heights = (_row(name, getattr(self, name)) for name in ("inputs", "outputs"))
        if len(points) < 2 or len(points) != len(heights):
            raise ValueError(
                f"Expected as many outputs as inputs, two at least. Got {len(heights)} and {len(points)} of them."
            )
        object.__setattr__(self, "inputs", points)
        object.__setattr__(self, "outputs", heights)
        if not bool((points.diff() > 0).all()):
            raise ValueError(f"Expected inputs that rise. Got {_shown(points)}.")
        steps = heights.diff()
        if not (bool((steps >= 0).all()) or bool((steps <= 0).all())):
            raise ValueError(f"Expected outputs that only rise or only fall. Got {_shown(heights)}.")

    @property
    def increasing(self) -> bool:
        """Whether outputs rise."""
        heights = self._curve[1]
        return bool(heights[-1] >= heights[0])

    @property
    def _curve(self) -> tuple[Tensor, Tensor]:
        return cast(Tensor, self.inputs), cast(Tensor, self.outputs)

    def __call__(self, values: Values) -> Values:
        """The curve's values."""
        return _interpolate(values, *self._curve)

    def inverse(self, values: Values) -> Values:
        """The inputs of outputs.

        Raises:
            ValueError: two neighbouring outputs are the same.
        """
        points, heights = self._curve
        if not bool((heights.diff() != 0).all()):
            return super().inverse(values)
        if self.increasing:
            return _interpolate(values, heights, points)
        return _interpolate(values, heights.flip(0), points.flip(0))


@dataclass(frozen=True)
class Inverted(Response):
    """Dark for bright: `white` - value, between MONOCHROME2 and MONOCHROME1.

    Attributes:
        white: the value that becomes 0.

    Raises:
        ValueError: it is not finite.
    """

    white: Number = 1.0

    def __post_init__(self) -> None:
        check_number("white", self.white)

    @property
    def increasing(self) -> bool:
        """Whether more signal gives a higher value: no."""
        return False

    def __call__(self, values: Values) -> Values:
        """Values counted from white."""
        return _number(self.white, values) - values

    def inverse(self, values: Values) -> Values:
        """Values counted from black."""
        return self(values)


@dataclass(frozen=True)
class Quantized(Response):
    """Values from 0 to 1 in steps of 1 / (2^bits - 1), as files have them; beyond, 0 and 1.

    A staircase has no derivative that helps. So backwards it is taken for the straight line from 0 to 1, the
    "straight-through" estimate of Y. Bengio, N. Leonard and A. Courville, arXiv:1308.3432 (2013).

    Attributes:
        bits: 1 to 16; 8 for what is shown.

    Raises:
        ValueError: another number of bits.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= 16:
            raise ValueError(f"Expected bits as a whole number from 1 to 16. Got {self.bits}.")

    def __call__(self, values: Values) -> Values:
        """The nearest steps."""
        steps = 2**self.bits - 1
        inside = values.clamp(0, 1)
        return inside + ((inside.detach() * steps).round() / steps - inside.detach())


def _number(value: Number, like: Tensor) -> Tensor:
    return tensor_of(value, like).to(like.dtype)


def _plain(value: Number) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def _row(name: str, numbers: Tensor | Sequence[Number]) -> Float[Tensor, " point"]:
    """Numbers as a tensor in double precision.

    Raises:
        ValueError: they are not in a row, or not finite.
    """
    if isinstance(numbers, Tensor):
        row = numbers.double()
    else:
        row = (
            torch.stack([tensor_of(number, torch.empty(())) for number in numbers]) if len(numbers) else torch.empty(0)
        )
    if row.ndim != 1 or not bool(row.detach().isfinite().all()):
        raise ValueError(f"Expected {name} as finite numbers in a row. Got {_shown(row)}.")
    return row


def _shown(numbers: Tensor) -> str:
    """Numbers for a message, not too many."""
    flat = [f"{number:g}" for number in numbers.detach().flatten().tolist()]
    return ", ".join(flat if len(flat) <= 8 else [*flat[:4], "...", *flat[-3:]])


def _interpolate(values: Values, points: Tensor, heights: Tensor) -> Values:
    """A curve that is straight between points, which rise, and flat beyond them."""
    points, heights = points.to(values), heights.to(values)
    inside = torch.minimum(torch.maximum(values, points[0]), points[-1])
    after = torch.searchsorted(points.detach(), inside.detach().contiguous(), right=True).clamp(1, len(points) - 1)
    first, width = points[after - 1], points[after] - points[after - 1]
    return heights[after - 1] + (inside - first) / width * (heights[after] - heights[after - 1])
