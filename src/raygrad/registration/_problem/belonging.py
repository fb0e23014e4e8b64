"""What is known of a structure beforehand: that it lies about where the CT has it within the patient."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import about
from raygrad.pose import se3_log_map
from raygrad.registration._problem.linkage import Motions, carry
from raygrad.registration._solver.levenberg_marquardt import Linearisation

NARROWED = 0.7
"""A body is determined if its deviation along every motion is below so many times the prior's."""
CORRELATED = 3.0
"""The image counts for so much less beside the prior than by independent residuals. Of a vertebra moved by 5 mm, in one
view: with 1 and less its depth runs away by 19 and 38 mm, and with 30 the prior holds it up to 0.2 mm back in plane.
"""
MOVES_MM, MOVES_DEG = 10.0, 5.0
"""Standard deviations of the motion of a structure, such as a vertebra, against the rest of the patient."""


@dataclass(frozen=True, eq=False)
class Belonging:
    """A Gaussian prior on the motions of all bodies against the first.

    Attributes:
        pivots: the point that each body turns about.
        noise: the variance of a residual (entry,), by which the prior weighs against the images.
        mm, degrees: its standard deviations along and about every axis.
    """

    pivots: Float[Tensor, "body 3"]
    noise: Float[Tensor, " entry"]
    mm: float = MOVES_MM
    degrees: float = MOVES_DEG

    @property
    def precision(self) -> Float[Tensor, " 6"]:
        """Of the six motions: reciprocal variances."""
        deviations = [self.mm] * 3 + [math.radians(self.degrees)] * 3
        return torch.tensor(deviations, dtype=torch.float64).square().reciprocal()

    def linearise(self, entry: Tensor, motions: Motions, unknowns: int) -> Linearisation:
        """What the bodies' departures cost, in units of the residuals.

        Args:
            entry: of the states.
            motions: of every body, which come first among the unknowns with six each.
            unknowns: how many there are.
        """
        batch, bodies = motions.shape[:2]
        weight = self.precision.to(motions) * self.noise[entry, None].to(motions)
        first = torch.linalg.inv(motions[:, 0])
        cost, gradient = motions.new_zeros(batch), motions.new_zeros(batch, unknowns)
        normal, scatter = (motions.new_zeros(batch, unknowns, unknowns) for _ in range(2))
        for body in range(1, bodies):
            moved, pivot = motions[:, body] @ first, self.pivots[body].to(motions)
            # Steps are small beside what has been moved so far, and there the derivative of the logarithm is about 1.
            departure = se3_log_map(about(-pivot, moved))
            tangent = motions.new_zeros(batch, 6, unknowns)
            tangent[:, :, 6 * body : 6 * body + 6] = torch.eye(6).to(motions)
            tangent[:, :, :6] = -carry(moved, self.pivots[0].to(motions), pivot)
            pull = weight[:, :, None] * tangent
            cost = cost + (weight * departure.square()).sum(1)
            gradient = gradient + (pull.mT @ departure[..., None])[..., 0]
            own = tangent.mT @ pull
            normal = normal + own
            # A motion that is drawn from the prior pulls by so much.
            scatter = scatter + self.noise[entry, None, None].to(motions) * own
        return Linearisation(cost, gradient, normal, scatter, torch.zeros_like(cost))

    def is_narrowed(self, covariance: Float[Tensor, "start 6 6"]) -> list[bool]:
        """Whether images tell more than the prior of every motion of a body.

        Args:
            covariance: of its six motions, of every start.
        """
        scale = self.precision.sqrt().to(covariance)
        finite = covariance.isfinite().all(2).all(1)
        scaled = torch.where(finite[:, None, None], covariance, torch.eye(6).to(covariance) * 1e12)
        largest = torch.linalg.eigvalsh(scaled * scale[:, None] * scale)[:, -1].clamp_min(0).sqrt()
        return (largest < NARROWED).tolist()
