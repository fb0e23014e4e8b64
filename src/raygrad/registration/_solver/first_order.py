"""Minimisers by gradients for many independent problems at once: all ask for one evaluation of the whole batch.

Each problem has its own step length and its own end, so that what it does never depends on what else is in the batch.
That is why torch's optimisers are not used: `torch.optim.Adam` has one rate for all, and `torch.optim.LBFGS` one
line search, which would tie the starts to each other or evaluate them one after the other.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Unknowns = Float[Tensor, "problem unknown"]
Costs = Float[Tensor, " problem"]


@runtime_checkable
class Descent(Protocol):
    """Where to evaluate next, and what to make of it.

    Attributes:
        trial: the points to evaluate next.
        at_rest: which problems have come to rest: their trials no longer matter.
    """

    trial: Unknowns
    at_rest: Bool[Tensor, " problem"]

    def __init__(self, start: Unknowns, tolerance: float | int) -> None:
        """Begin there, unknowns scaled so that 1 is a sensible first step for each."""

    def tell(self, cost: Costs, gradient: Unknowns) -> None:
        """Take the costs and their gradients at `trial`, and choose the next ones. Those at rest are ignored."""


class AdamDescent:
    """Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, with a rate that falls by itself.

    After `patience` evaluations without a better cost, a problem goes back to its best point with half its rate.

    Args:
        start: where to begin; unknowns are scaled so that 1 is a sensible first step for each.
        tolerance: a problem is at rest when its rate falls below.
    """

    first_decay, second_decay, patience = 0.9, 0.99, 6

    def __init__(self, start: Unknowns, tolerance: float | int) -> None:
        self.trial = start.clone()
        self.at_rest = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        self.tolerance = tolerance
        self.rate = torch.ones_like(start[:, 0])
        self.best, self.lowest = start.clone(), torch.full_like(self.rate, torch.inf)
        self.first, self.second = torch.zeros_like(start), torch.zeros_like(start)
        self.steps, self.waited = torch.zeros_like(self.rate), torch.zeros_like(self.rate)

    def tell(self, cost: Costs, gradient: Unknowns) -> None:
        """Step, or go back to the best point and step shorter."""
        better = cost < self.lowest
        self.lowest = torch.where(better, cost, self.lowest)
        self.best = torch.where(better[:, None], self.trial, self.best)
        self.waited = torch.where(better, 0, self.waited + 1)
        self.steps += 1
        self.first = torch.lerp(gradient, self.first, self.first_decay)
        self.second = torch.lerp(gradient.square(), self.second, self.second_decay)
        first, second = (
            moment / (1 - decay**self.steps)[:, None]
            for moment, decay in ((self.first, self.first_decay), (self.second, self.second_decay))
        )
        self.trial = self.trial - self.rate[:, None] * first / (second.sqrt() + 1e-12)

        again = self.waited > self.patience
        self.rate = torch.where(again, self.rate / 2, self.rate)
        self.trial = torch.where(again[:, None], self.best, self.trial)
        for state in (self.steps, self.waited, self.first.mT, self.second.mT):
            state.masked_fill_(again, 0)
        self.at_rest |= self.rate < self.tolerance


class QuasiNewtonDescent:
    """Broyden, Fletcher, Goldfarb and Shanno's method (Nocedal & Wright, "Numerical optimization", 2006, chapter 6).

    It keeps the whole inverse Hessian: with the few unknowns of a pose that costs nothing, and is what limited memory
    (L-BFGS) approximates. The line search brackets a step that fulfils the weak Wolfe conditions, with which the
    method also follows the creases of a cost that is not smooth (Lewis & Overton, "Nonsmooth optimization via
    quasi-Newton methods", Mathematical Programming 141, 2013), such as images by Siddon's method give.

    Args:
        start, tolerance: as for `AdamDescent`; a problem is at rest when no component of its step is above that.
    """

    enough_decrease, enough_flattening, longest_step = 1e-4, 0.9, 4.0

    def __init__(self, start: Unknowns, tolerance: float | int) -> None:
        self.trial = start.clone()
        self.at_rest = torch.zeros(len(start), dtype=torch.bool, device=start.device)
        self.tolerance = tolerance
        self.point, self.direction = start.clone(), torch.zeros_like(start)
        self.cost, self.gradient = torch.full_like(start[:, 0], torch.inf), torch.zeros_like(start)
        self.identity = torch.eye(start.shape[1], dtype=start.dtype, device=start.device)
        self.inverse_hessian = torch.zeros_like(self.identity).expand(len(start), -1, -1)
        self.tiny = torch.finfo(start.dtype).tiny
        self.fresh = torch.ones_like(self.at_rest)  # the inverse Hessian knows of no step yet
        self.length, self.shortest = torch.ones_like(self.cost), torch.zeros_like(self.cost)
        self.longest = torch.full_like(self.cost, torch.inf)

    def tell(self, cost: Costs, gradient: Unknowns) -> None:
        """Accept the trials, or look for better lengths of their steps."""
        first = self.cost.isinf()
        slope = (self.gradient * self.direction).sum(1)
        high = ~first & ~(cost <= self.cost + self.enough_decrease * self.length * slope)
        steep = ~first & ~high & ((gradient * self.direction).sum(1) < self.enough_flattening * slope)
        longest_component = self.direction.abs().amax(1)
        steep &= 2 * self.length * longest_component <= self.longest_step
        accepted = ~high & ~steep

        # Not accepted: bracket the length, by a parabola where only its upper end is known, else by halves or doubles.
        bend = cost - self.cost - self.length * slope
        parabola = -slope * self.length / (2 * bend.clamp_min(self.tiny))
        parabola = torch.where(bend.isfinite(), parabola, 0).clamp(0.1, 0.5) * self.length
        self.longest = torch.where(high, self.length, self.longest)
        self.shortest = torch.where(steep, self.length, self.shortest)
        halves = (self.shortest + self.longest) / 2
        between = torch.where(self.longest.isinf(), 2 * self.length, torch.where(self.shortest > 0, halves, parabola))

        moved = self.length * longest_component
        learned = self._learn(self.trial - self.point, gradient - self.gradient, accepted & ~first)
        self.fresh = (self.fresh & ~learned) | first
        self.point = torch.where(accepted[:, None], self.trial, self.point)
        self.cost = torch.where(accepted, cost, self.cost)
        self.gradient = torch.where(accepted[:, None], gradient, self.gradient)

        small = ~first & (moved < self.tolerance)
        restart = small & ~self.fresh
        self.at_rest |= small & self.fresh
        self.fresh |= restart
        anew = accepted | restart
        self.length = torch.where(anew, 1, between)
        self.shortest, self.longest = torch.where(anew, 0, self.shortest), torch.where(anew, torch.inf, self.longest)
        self.direction = torch.where(anew[:, None], self._direction(), self.direction)
        self.trial = self.point + self.length[:, None] * self.direction

    def _learn(self, step: Unknowns, change: Unknowns, where: Bool[Tensor, " problem"]) -> Bool[Tensor, " problem"]:
        """Update the inverse Hessian by a step and the change of the gradient, where the cost curves upwards."""
        curvature = (step * change).sum(1)
        where = where & (curvature > 1e-8 * step.norm(dim=1) * change.norm(dim=1))
        scale = 1 / torch.where(where, curvature, 1)[:, None, None]
        size = torch.where(where, curvature, 1) / change.square().sum(1).clamp_min(self.tiny)  # equation 6.20
        before = torch.where(self.fresh[:, None, None], size[:, None, None] * self.identity, self.inverse_hessian)
        project = self.identity - scale * step[:, :, None] * change[:, None]
        after = project @ before @ project.mT + scale * step[:, :, None] * step[:, None]
        self.inverse_hessian = torch.where(where[:, None, None], after, self.inverse_hessian)
        return where

    def _direction(self) -> Unknowns:
        """Newton's step, or one of length 1 down the gradient before anything is known of the curvature."""
        newton = -(self.inverse_hessian @ self.gradient[:, :, None])[:, :, 0]
        steepest = -self.gradient / self.gradient.norm(dim=1, keepdim=True).clamp_min(self.tiny)
        step = torch.where(self.fresh[:, None], steepest, newton)
        return step * (self.longest_step / step.abs().amax(1, keepdim=True).clamp_min(self.tiny)).clamp_max(1)
