"""How an X-ray was taken, by the X-ray itself: a few numbers of the physics, fitted where the pose is known.

    xray = offset + gain p(numbers) + slopes of p by the pose . (what the pose is still off)

where p are line integrals of paths that stay as they are. Where the X-ray is a curve of these, splines take the
place of offset and gain. The last term forgives the pose its own error, to first order. Pixels that do not fit count
less (Tukey's biweight), and neighbours are not independent: what the image says weighs as much less beside what is
known beforehand as its squares of pixels disagree more than noise would make them (Pauli, Racugno and Ventura,
Statistica Sinica 21:149, 2011). So deviations are those of images with errors.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

ITERATIONS, ENOUGH = 25, 3e-3
"""Of each of two rounds, and the step that is small enough, in deviations that are known beforehand."""
SQUARE, TUKEY = 20, 4.685
"""Side in pixels of the squares within which errors may be alike, and from how many deviations on a pixel is out."""
PIECES, REACH, STIFFNESS = 12, 1.3, 1e-6
"""Of a curve: cubics, from 0 to so many times the longest line integral expected, and what bends of their coefficients
cost by pixel: hardly anything, so that those without pixels have values."""
LEAST_ERROR = 1e-6
"""Of an X-ray's contrast: no image is trusted to more than this."""

AS_GIVEN, STRAIGHT, CURVE = "as given", "straight", "curve"
Image = Float[Tensor, "height width"]


@dataclass(frozen=True)
class Number:
    """A number to be fitted, by a variable without bounds of which a normal distribution is known beforehand.

    Attributes:
        name: of it.
        expected, deviation: what is known of it.
        low, high: it stays between these.
    """

    name: str
    expected: float
    deviation: float
    low: float = 0.0
    high: float = math.inf

    def value(self, u: Tensor) -> Tensor:
        """The number that a variable stands for."""
        if math.isinf(self.high):
            return self.low + u.exp()
        return self.low + (self.high - self.low) * u.sigmoid()

    def variable(self, value: float) -> float:
        """The variable that stands for a number."""
        return math.log(value - self.low) - (0.0 if math.isinf(self.high) else math.log(self.high - value))

    @property
    def start(self) -> float:
        """The variable of what is expected."""
        return self.variable(self.expected)

    def slope(self, u: float) -> float:
        """How much the number changes with its variable."""
        value = float(self.value(torch.tensor(u, dtype=torch.float64)))
        return (value - self.low) * (1.0 if math.isinf(self.high) else (self.high - value) / (self.high - self.low))

    @property
    def width(self) -> float:
        """The deviation of the variable."""
        return self.deviation / self.slope(self.start)


@dataclass(frozen=True)
class Fitted:
    """What an X-ray says of the numbers.

    Attributes:
        values, deviations: of each number by its name; of a straight response also "gain" and "offset".
        told: by how much less is known of each number beforehand: 1 - (deviation / deviation beforehand)^2.
        error: the root mean square of what does not fit, as a share of the X-ray's contrast.
    """

    values: dict[str, float]
    deviations: dict[str, float]
    told: dict[str, float]
    error: float


def fit_exposure(
    image_of: Callable[[Tensor], Image],
    numbers: Sequence[Number],
    xray: Image,
    weights: Image,
    by_pose: Float[Tensor, "unknown height width"],
    pose_deviations: Float[Tensor, " unknown"],
    response: str = STRAIGHT,
    begin: Mapping[str, float] | None = None,
) -> Fitted:
    """Fit numbers to an X-ray.

    Args:
        image_of: from the numbers to line integrals, in float64 on the CPU, differentiable forwards.
        numbers: that are fitted.
        xray, weights: what is fitted to, and how much each pixel counts.
        by_pose: how the image changes with what else is uncertain, and how uncertain that is.
        pose_deviations: of these.
        response: `AS_GIVEN`: the X-ray is line integrals, in their own unit; `STRAIGHT`: with a gain and an offset that
            are unknown; `CURVE`: a curve of them.
        begin: where to start from, by name; by default what is expected.
    """
    return _Fit(image_of, numbers, xray, weights, by_pose, pose_deviations, response, begin or {}).run()


class _Fit:
    def __init__(
        self,
        image_of: Callable[[Tensor], Image],
        numbers: Sequence[Number],
        xray: Image,
        weights: Image,
        by_pose: Tensor,
        pose_deviations: Tensor,
        response: str,
        begin: Mapping[str, float],
    ) -> None:
        self.image_of, self.numbers, self.response, self.shape = image_of, numbers, response, xray.shape
        self.xray, self.weights = xray.flatten().double().cpu(), weights.flatten().double().cpu()
        self.by_pose = by_pose.flatten(1).mT.double().cpu()
        self.contrast = float(_deviation(self.xray, self.weights))
        self.start = torch.tensor([number.start for number in numbers], dtype=torch.float64)
        widths = torch.tensor([number.width for number in numbers], dtype=torch.float64)
        self.count = len(numbers)
        self.begin = self.start.clone()
        for place, number in enumerate(numbers):
            if number.name in begin:
                self.begin[place] = number.variable(begin[number.name])
        image, _ = self._image(self.begin)
        self.spacing = REACH * float(image.abs().max().clamp_min(1e-9)) / PIECES
        columns = self._columns(image)[0]
        self.linear = columns.shape[1]
        weighted = columns.mT * self.weights
        ridge = 1e-9 * torch.eye(self.linear, dtype=torch.float64) * float(self.weights.sum())
        self.coefficients = torch.linalg.solve(weighted @ columns + ridge + self._bends(), weighted @ self.xray)
        self.known = torch.zeros(self.count + self.linear + len(pose_deviations), dtype=torch.float64)
        self.known[: self.count] = widths**-2
        self.known[self.count + self.linear :] = pose_deviations.double().cpu() ** -2

    def run(self) -> Fitted:
        """Twice: by the image as if pixels were independent, then with what is known as it deserves."""
        unknown = torch.cat([self.begin, self.coefficients, self.known.new_zeros(self.by_pose.shape[1])])
        unknown, _, _ = self._settled(unknown, 1.0)
        residual, jacobian = self._residual(unknown)
        trust, error = self._trust(residual)
        unknown, normal, _ = self._settled(unknown, self._alike(residual, jacobian, trust, error), (trust, error))
        covariance = torch.linalg.inv(normal)
        spread = covariance.diagonal().clamp_min(0).sqrt()
        values, deviations, told = {}, {}, {}
        for place, number in enumerate(self.numbers):
            u = float(unknown[place])
            values[number.name] = float(number.value(unknown[place]))
            deviations[number.name] = float(spread[place]) * number.slope(u)
            told[number.name] = 1 - min(1.0, deviations[number.name] / number.deviation) ** 2
        if self.response == STRAIGHT:
            for place, name in enumerate(("offset", "gain"), self.count):
                values[name], deviations[name] = float(unknown[place]), float(spread[place])
        rest, _ = self._residual(unknown)
        square = (self.weights * rest.square()).sum() / self.weights.sum()
        return Fitted(values, deviations, told, float(square.sqrt()) / max(self.contrast, 1e-30))

    def _settled(
        self, unknown: Tensor, alike: float, trusted: tuple[Tensor, float] | None = None
    ) -> tuple[Tensor, Tensor, float]:
        """Where the cost is least, by Levenberg and Marquardt; whether pixels are trusted is seen anew each time."""
        damping = 1e-3
        residual, jacobian = self._residual(unknown)
        for _ in range(ITERATIONS):
            trust, error = self._trust(residual) if trusted is None else trusted
            normal, pull = self._equations(unknown, residual, jacobian, trust, error, alike)
            here = self._cost(unknown, residual, trust, error, alike)
            while True:
                damped = normal + damping * torch.diag(normal.diagonal())
                step = torch.linalg.solve(damped, pull)
                trial = unknown + step
                beyond = self._residual(trial)
                if self._cost(trial, beyond[0], trust, error, alike) <= here or damping > 1e8:
                    break
                damping *= 10
            length = self._length(unknown, trial)
            unknown, (residual, jacobian), damping = trial, beyond, max(damping / 10, 1e-9)
            if length < ENOUGH:
                break
        trust, error = self._trust(residual) if trusted is None else trusted
        return unknown, self._equations(unknown, residual, jacobian, trust, error, alike)[0], error

    def _length(self, before: Tensor, after: Tensor) -> float:
        """Of a step: the longest of any number's, in deviations that are known beforehand."""
        moves = zip(self.numbers, before[: self.count], after[: self.count], strict=True)
        return max((abs(float(n.value(b) - n.value(a))) / n.deviation for n, a, b in moves), default=0.0)

    def _residual(self, unknown: Tensor) -> tuple[Tensor, Tensor]:
        """What the X-ray has more than the model, and the derivatives of the model by all that is unknown."""
        u, coefficients, off = unknown.split([self.count, self.linear, self.by_pose.shape[1]])
        image, slopes = self._image(u)
        columns, bends = self._columns(image)
        if self.response == AS_GIVEN:
            model, slope = image, torch.ones_like(image)
        else:
            model, slope = columns @ coefficients, bends @ coefficients
        by_pose = slope[:, None] * self.by_pose
        jacobian = torch.cat([slope[:, None] * slopes, columns, by_pose], dim=1)
        return self.xray - model - by_pose @ off, jacobian

    def _image(self, u: Tensor) -> tuple[Float[Tensor, " pixel"], Float[Tensor, "pixel number"]]:
        """Line integrals and their derivatives by the variables."""
        image, slopes = None, []
        for axis in torch.eye(self.count, dtype=torch.float64):
            with forward_ad.dual_level():
                dual = forward_ad.make_dual(u, axis)
                values = torch.stack([n.value(one) for n, one in zip(self.numbers, dual.unbind(), strict=True)])
                image, slope = forward_ad.unpack_dual(self.image_of(values))
            slopes.append(torch.zeros_like(image).flatten() if slope is None else slope.flatten())
        if image is None:
            image = self.image_of(u)
        return image.flatten(), torch.stack(slopes, dim=1) if slopes else image.new_zeros(image.numel(), 0)

    def _columns(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What the model is linear in, and how that changes with the line integrals."""
        if self.response == AS_GIVEN:
            return image.new_zeros(len(image), 0), image.new_zeros(len(image), 0)
        if self.response == STRAIGHT:
            one, none = torch.ones_like(image), torch.zeros_like(image)
            return torch.stack([one, image], dim=1), torch.stack([none, one], dim=1)
        place = image / self.spacing
        left = place.floor().clamp(0, PIECES - 1).long()
        t = (place - left)[:, None]
        by = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        change = [-3 * (1 - t) ** 2, 9 * t**2 - 12 * t, -9 * t**2 + 6 * t + 3, 3 * t**2]
        around = left[:, None] + torch.arange(4)
        splines, slopes = (image.new_zeros(len(image), PIECES + 3) for _ in range(2))
        splines.scatter_(1, around, torch.cat(by, dim=1) / 6)
        slopes.scatter_(1, around, torch.cat(change, dim=1) / (6 * self.spacing))
        return splines, slopes

    def _bends(self) -> Tensor:
        """What a curve's bends cost, as a matrix of all linear coefficients."""
        if self.response != CURVE:
            return torch.zeros(self.linear, self.linear, dtype=torch.float64)
        bends = torch.eye(PIECES + 3, dtype=torch.float64).diff(n=2, dim=0)
        return STIFFNESS * float(self.weights.sum()) * (bends.mT @ bends)

    def _trust(self, residual: Tensor) -> tuple[Tensor, float]:
        """How much pixels count, and the standard deviation of what does not fit."""
        shown = residual[self.weights > 0.5] if bool((self.weights > 0.5).any()) else residual
        error = max(1.4826 * float(shown.abs().median()), LEAST_ERROR * self.contrast, 1e-30)
        return self.weights * (1 - (residual / (TUKEY * error)).square()).clamp_min(0).square(), error

    def _equations(
        self, unknown: Tensor, residual: Tensor, jacobian: Tensor, trust: Tensor, error: float, alike: float
    ) -> tuple[Tensor, Tensor]:
        weighted = jacobian.mT * (trust / (error**2 * alike))
        normal, pull = weighted @ jacobian, weighted @ residual
        known = torch.diag(self.known)
        inner = slice(self.count, self.count + self.linear)
        known[inner, inner] += self._bends() / (error**2 * alike)
        pull -= known @ (unknown - self._middle)
        return normal + known + 1e-12 * torch.diag(normal.diagonal().clamp_min(1e-30)), pull

    def _cost(self, unknown: Tensor, residual: Tensor, trust: Tensor, error: float, alike: float) -> float:
        off, inner = unknown - self._middle, unknown[self.count : self.count + self.linear]
        known = float((self.known * off.square()).sum())
        told = float((trust * residual.square()).sum()) + float(inner @ self._bends() @ inner)
        return told / (error**2 * alike) + known

    @property
    def _middle(self) -> Tensor:
        """What is expected of all that is unknown; 0 where nothing is."""
        return torch.cat([self.start, self.known.new_zeros(len(self.known) - self.count)])

    def _alike(self, residual: Tensor, jacobian: Tensor, trust: Tensor, error: float) -> float:
        """How many pixels are worth one: by so much more squares of the image differ than noise would make them."""
        if not self.count:
            return 1.0
        pulls = (jacobian * (trust * residual)[:, None] / error**2).mT.unflatten(1, self.shape)
        sums = functional.avg_pool2d(pulls[None], SQUARE, ceil_mode=True, divisor_override=1)[0].flatten(1)
        weighted = jacobian.mT * (trust / error**2)
        normal = weighted @ jacobian
        normal = normal + torch.diag(1e-9 * normal.diagonal().clamp_min(1e-30) + (self.known > 0) * 1e-12)
        inverse = torch.linalg.pinv(normal, hermitian=True)
        spread = inverse @ (sums @ sums.mT) @ inverse
        ratio = spread.diagonal()[: self.count] / inverse.diagonal()[: self.count].clamp_min(1e-30)
        return max(1.0, float(ratio.amax()))


def _deviation(values: Tensor, weights: Tensor) -> Tensor:
    mean = (values * weights).sum() / weights.sum()
    return ((values - mean).square() * weights).sum().div(weights.sum()).sqrt()
