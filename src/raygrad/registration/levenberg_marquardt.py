"""Levenberg and Marquardt's method for many independent least-squares problems at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

S = TypeVar("S", bound="State")


@runtime_checkable
class State(Protocol):
    """What describes a point of each problem of a batch."""

    def __getitem__(self: S, index: Tensor, /) -> S:
        """The states of these problems."""

    def overwritten(self: S, index: Tensor, other: S) -> S:
        """The same with these problems' states replaced."""


LEAST_DAMPING, MOST_DAMPING = 1e-6, 1e8  # of the least, J' J in single precision knows hardly more
LONG = 10.0
"""A step of so many tolerances is long."""


@dataclass
class Linearisation:
    """A least-squares cost about a state, of every problem of a batch.

    Attributes:
        cost: the sum of squares (batch,).
        gradient: half its derivative J' r (batch, unknown).
        normal: J' J (batch, unknown, unknown).
        scatter: how much the gradient owes to chance (batch, unknown, unknown): the sum of g_s g_s' over groups s of
            residuals that may be correlated, g_s = J_s' r_s.
        score: what users see instead of the cost (batch,).
    """

    cost: Float[Tensor, " batch"]
    gradient: Float[Tensor, "batch unknown"]
    normal: Float[Tensor, "batch unknown unknown"]
    scatter: Float[Tensor, "batch unknown unknown"]
    score: Float[Tensor, " batch"]

    def __getitem__(self, index: Tensor) -> "Linearisation":
        return Linearisation(*(part[index] for part in vars(self).values()))

    @staticmethod
    def concatenate(parts: "list[Linearisation]") -> "Linearisation":
        """The problems of all parts, in order."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Linearisation(*(torch.cat(column) for column in columns))

    def replace_(self, index: Tensor, other: "Linearisation") -> None:
        """Overwrite the problems of these numbers."""
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine[index] = theirs


@runtime_checkable
class Problem(Protocol[S]):
    """What is minimised."""

    def linearise(self, state: S) -> Linearisation:
        """The cost and its derivatives at a state."""

    def moved(self, state: S, step: Float[Tensor, "batch unknown"]) -> S:
        """The state after a step."""

    def step_length(self, step: Float[Tensor, "batch unknown"]) -> Float[Tensor, " batch"]:
        """How long steps are, in the unit of the tolerance."""


@dataclass
class Minimum(Generic[S]):
    """Where the minimisation ended.

    Attributes:
        state: the best states.
        at: the linearisation there.
        settled: the step was shorter than the tolerance, and without damping would not have been long (batch,).
        stuck: no step lowers the cost, not even a short one, though a long one should (batch,).
        iterations: how many were made.
    """

    state: S
    at: Linearisation
    settled: Bool[Tensor, " batch"]
    stuck: Bool[Tensor, " batch"]
    iterations: int


def minimise(
    problem: Problem[S],
    state: S,
    iterations: int,
    tolerance: float,
    damping: float = 1e-2,
    watch: Callable[[int, S, Linearisation, Tensor], bool] | None = None,
) -> Minimum[S]:
    """Minimise a batch of sums of squares; problems that have settled cost nothing more.

    Each step solves (J' J + damping diag(J' J)) step = -J' r (Marquardt, "An algorithm for least-squares estimation of
    nonlinear parameters", SIAM J. 11, 1963). It is taken if it lowers the cost, and the damping follows the ratio of
    the gain to what the linearisation promised (Nielsen, "Damping parameter in Marquardt's method", 1999).

    Args:
        problem: what is minimised.
        state: where to begin.
        iterations: at most so many.
        tolerance: a problem has settled when its step is no longer than this, and not for its damping alone.
        damping: at the start.
        watch: called with the iteration, states, linearisation and dampings; True ends the minimisation.
    """
    at = problem.linearise(state)
    batch = len(at.cost)
    dampings, growth = torch.full_like(at.cost, damping), torch.full_like(at.cost, 2.0)
    settled, stuck = (torch.zeros(batch, dtype=torch.bool, device=at.cost.device) for _ in range(2))
    number = 0
    if watch is not None and watch(0, state, at, dampings):
        return Minimum(state, at, settled, stuck, 0)
    for number in range(1, iterations + 1):
        active = torch.nonzero(~(settled | stuck)).squeeze(1)
        if len(active) == 0:
            number -= 1
            break
        here = at[active]
        step, promised = _damped_step(here, dampings[active])
        trial = problem.moved(state[active], step)
        there = problem.linearise(trial)
        length = problem.step_length(step)
        undamped, _ = _damped_step(here, torch.full_like(here.cost, LEAST_DAMPING))
        near = problem.step_length(undamped) < LONG * tolerance
        gain = (here.cost - there.cost) / promised.clamp_min(torch.finfo(promised.dtype).tiny)
        better = there.cost < here.cost
        kept, index = torch.nonzero(better).squeeze(1), active[better]
        state = state.overwritten(index, trial[kept])
        at.replace_(index, there[kept])

        # Nielsen's rule: a smooth factor between 1/3 and 2 after a gain, and ever faster growth while there is none.
        factor = (1 - (2 * gain - 1) ** 3).clamp(1 / 10, 2.0)
        dampings[active] = (dampings[active] * torch.where(better, factor, growth[active])).clamp(
            LEAST_DAMPING, MOST_DAMPING
        )
        growth[active] = torch.where(better, torch.full_like(gain, 2.0), growth[active] * 2)
        short = length <= tolerance
        settled[active] = short & near
        stuck[active] = ~better & ~settled[active] & (short | (dampings[active] >= MOST_DAMPING))
        if watch is not None and watch(number, state, at, dampings):
            break
    return Minimum(state, at, settled, stuck, number)


def _damped_step(at: Linearisation, damping: Tensor) -> tuple[Tensor, Tensor]:
    """The step, and by how much the linearised cost falls along it."""
    diagonal = at.normal.diagonal(dim1=-2, dim2=-1)
    # An unknown that the residuals do not feel would make the matrix singular; it gets the smallest of scales.
    diagonal = diagonal.clamp_min(1e-12 * diagonal.amax(-1, keepdim=True)).clamp_min(1e-30)
    matrix = at.normal + torch.diag_embed(damping[:, None] * diagonal)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    # Where rounding leaves no factor, the diagonal alone shows a way down.
    scale = torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).clamp_min(diagonal).sqrt())
    factor = torch.where((failed > 0)[:, None, None], scale, factor)
    step = -torch.cholesky_solve(at.gradient[..., None], factor)[..., 0]
    promised = ((damping[:, None] * diagonal * step - at.gradient) * step).sum(-1)
    return step, promised
