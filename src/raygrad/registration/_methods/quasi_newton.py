"""Gradient ascent that learns the curvature on its way."""

from dataclasses import dataclass
from typing import ClassVar

from raygrad.registration._methods.gradient_ascent import GradientAscent
from raygrad.registration._solver.first_order import Descent, QuasiNewtonDescent


@dataclass(frozen=True, kw_only=True)
class QuasiNewton(GradientAscent):
    """Any metric in any parameterization by Broyden, Fletcher, Goldfarb and Shanno's method with a line search.

    It needs about 30 images. Attributes and errors are those of `GradientAscent`.
    """

    name: ClassVar[str] = "lbfgs"
    descent: ClassVar[type[Descent]] = QuasiNewtonDescent
