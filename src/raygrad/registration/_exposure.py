"""What X-rays tell of how they were taken."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raygrad.physics import Physics
from raygrad.registration._problem.exposure import (
    DEVIATIONS,
    ESTIMATED,
    HIGHEST_KV,
    KVP,
    LOWEST_KV,
    RESPONSE,
    numbers_of,
)

LEAST_TOLD = 0.75
"""Of a number that the image tells: its deviation is at most half of what it was before."""
UNITS = {"kvp": " kV"}

Estimate = str | Iterable[str] | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class EstimatedExposure:
    """How an X-ray was taken, as far as it tells by itself, at the best start's pose.

    Attributes:
        physics: with which the pose was found; the estimates are in it.
        values: of what was estimated, by its name: "kvp" in kV; "filtration", how many times as thick as it was given;
            "scatter", the ratio to the primary behind the patient; of a response that is a straight line "gain" and
            "offset", by which the line integrals of `physics` (with response="transmission" the shares of the beam that
            are absorbed) become the X-ray's numbers.
        deviations: standard deviations of these, from errors of the image that know their neighbours. Errors of the
            CT, and of what was not estimated, are not among them.
        told: how much the image says of each number beyond what was expected of it, from 0 (nothing: value and
            deviation are those that were expected) to 1: 1 - (deviation / expected deviation)^2.
        error: the root mean square of what does not fit, as a share of the X-ray's contrast.
    """

    physics: Physics
    values: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    error: float = math.nan

    @property
    def undetermined(self) -> tuple[str, ...]:
        """What the image does not tell: deviations are more than half of those that were expected."""
        return tuple(name for name, share in self.told.items() if share < LEAST_TOLD)

    @property
    def at_the_end(self) -> bool:
        """Whether kVp came to within 10 kV of where the tables end: the beam is as soft or as hard as any in them."""
        kvp = self.values.get(KVP)
        return kvp is not None and not LOWEST_KV + 10 <= kvp <= HIGHEST_KV - 10

    def summary(self) -> str:
        """In one line."""
        remarks = dict.fromkeys(self.undetermined, " (not told by the image)")
        if self.at_the_end:
            remarks[KVP] = " (where the tables end)"
        numbers = [
            f"{name} {value:.3g} +- {self.deviations[name]:.2g}{UNITS.get(name, '')}{remarks.get(name, '')}"
            for name, value in self.values.items()
        ]
        return f"{'; '.join(numbers)}; {self.error:.1%} of the contrast unexplained"

    def outcome(self) -> dict[str, Any]:
        """In numbers and texts: value and standard deviation of each."""
        outcome: dict[str, Any] = {
            name: [float(f"{value:.6g}"), float(f"{self.deviations[name]:.6g}")] for name, value in self.values.items()
        }
        return outcome | {"not told by the image": list(self.undetermined), "unexplained": float(f"{self.error:.4g}")}


def deviations_of(estimate: Estimate) -> dict[str, float]:
    """What is known beforehand of everything that is to be estimated, by its name.

    Raises:
        TypeError, ValueError: no names, other ones, or deviations that are not positive.
    """
    if isinstance(estimate, Mapping):
        given = dict(estimate)
    else:
        if not isinstance(estimate, Iterable):
            raise TypeError(f"Expected estimate as names, or deviations by name. Got {type(estimate).__name__}.")
        names = [estimate] if isinstance(estimate, str) else list(estimate)
        given = {name: DEVIATIONS.get(name, math.inf) for name in names}
    if unknown := [name for name in given if name not in ESTIMATED]:
        raise ValueError(f"Expected estimate among {', '.join(ESTIMATED)}. Got {', '.join(map(repr, unknown))}.")
    for name, deviation in given.items():
        if isinstance(deviation, bool) or not isinstance(deviation, float | int):
            raise TypeError(f"Expected the standard deviation of {name} as a number. Got {type(deviation).__name__}.")
        if not deviation > 0 or (name != RESPONSE and not math.isfinite(deviation)):
            raise ValueError(f"Expected a positive and finite standard deviation of {name}. Got {deviation}.")
    return {name: float(deviation) for name, deviation in given.items()}


def checked_estimate(estimate: Estimate, physics: Any) -> dict[str, float]:
    """What is known beforehand of what is to be estimated of a physics, or of one for each view.

    Raises:
        TypeError, ValueError: as `deviations_of`; no physics, or one that has not what is to be estimated.
    """
    deviations = deviations_of(estimate)
    if deviations and physics is None:
        raise ValueError(
            f"Expected physics=... to estimate {', '.join(deviations)} of, such as Physics.preset('fluoroscopy'). "
            "Got none."
        )
    for one in [physics] if isinstance(physics, Physics) else physics or ():
        if isinstance(one, Physics):  # something else is told with the X-rays
            numbers_of(one, deviations)
    return deviations
