"""Gradient ascent with a rate for every unknown that falls by itself."""

from dataclasses import dataclass
from typing import ClassVar

from raygrad.registration._methods.gradient_ascent import GradientAscent
from raygrad.registration._solver.first_order import AdamDescent, Descent


@dataclass(frozen=True, kw_only=True)
class Adam(GradientAscent):
    """Any metric in any parameterization by Adam, whose rate halves when a start no longer improves.

    Attributes and errors are those of `GradientAscent`.
    """

    name: ClassVar[str] = "adam"
    descent: ClassVar[type[Descent]] = AdamDescent
