"""Levenberg and Marquardt's method for many independent least-squares problems at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.registration._solver.batches import Batch, iterations_together

S = TypeVar("S", bound=Batch)

LEAST_DAMPING, MOST_DAMPING = 1e-6, 1e8  # of the least, J' J in single precision knows hardly more
LONG = 10.0
"""A step of so many tolerances is long."""
LONGEST = 1e3
"""No step is longer: where an image shows next to nothing of what moves, the equations would send it anywhere."""


@dataclass(frozen=True)
class Linearisation(Batch):
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

    def __add__(self, other: "Linearisation") -> "Linearisation":
        """That of the sum of both costs; scores add up too."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Linearisation(*(mine + theirs for mine, theirs in pairs))

    @staticmethod
    def concatenate(parts: "list[Linearisation]") -> "Linearisation":
        """The problems of all parts, in order."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return Linearisation(*(torch.cat(column) for column in columns))


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

    An iteration reads no value of a tensor, so that no GPU is waited for; which problems still move is asked for after
    every `iterations_together`. Until then those that have come to rest are computed along, and stay as they are.

    Args:
        problem: what is minimised.
        state: where to begin.
        iterations: at most so many.
        tolerance: a problem has settled when its step is no longer than this, and not for its damping alone.
        damping: at the start.
        watch: called with the iteration, states, linearisation and dampings; True ends the minimisation.
    """
    at = problem.linearise(state)
    none = torch.zeros_like(at.cost, dtype=torch.bool)
    descent = _Descent(state, at, torch.full_like(at.cost, damping), torch.full_like(at.cost, 2.0), none, none)
    together = iterations_together(at.cost.device)
    moving: Tensor | None = None  # the numbers of those that do, where not all
    number = 0
    if watch is not None and watch(0, state, at, descent.damping):
        return Minimum(state, at, none, none, 0)
    for number in range(1, iterations + 1):
        if number > 1 and (number - 1) % together == 0:
            moving = torch.nonzero(~descent.at_rest).squeeze(1)
            if len(moving) == 0:
                number -= 1
                break
        if moving is None or len(moving) == len(none):
            descent = _iterate(problem, descent, tolerance)
        else:
            descent = descent.overwritten(moving, _iterate(problem, descent[moving], tolerance))
        if watch is not None and watch(number, descent.state, descent.at, descent.damping):
            break
    return Minimum(descent.state, descent.at, descent.settled, descent.stuck, number)


@dataclass(frozen=True)
class _Descent(Batch, Generic[S]):
    """How far the minimisation of each problem has come; `settled` and `stuck` as in `Minimum`."""

    state: S
    at: Linearisation
    damping: Float[Tensor, " batch"]
    growth: Float[Tensor, " batch"]
    settled: Bool[Tensor, " batch"]
    stuck: Bool[Tensor, " batch"]

    @property
    def at_rest(self) -> Bool[Tensor, " batch"]:
        """Which problems no longer move."""
        return self.settled | self.stuck


def _iterate(problem: Problem[S], before: _Descent[S], tolerance: float) -> _Descent[S]:
    """One iteration of problems, of which those at rest stay as they are."""
    here, moving = before.at, ~before.at_rest
    # Two steps: the one to try, and the one that hardly any damping shortens.
    steps, promised = _damped_step(here, torch.stack([before.damping, torch.full_like(here.cost, LEAST_DAMPING)]))
    trial = problem.moved(before.state, steps[0])
    there = problem.linearise(trial)
    length, undamped_length = problem.step_length(steps.flatten(0, 1)).chunk(2)
    gain = (here.cost - there.cost) / promised[0].clamp_min(torch.finfo(promised.dtype).tiny)
    better = moving & (there.cost < here.cost) & (length < LONGEST)

    # Nielsen's rule: a smooth factor between 1/10 and 2 after a gain, and ever faster growth while there is none.
    factor = (1 - (2 * gain - 1) ** 3).clamp(1 / 10, 2.0)
    damping = (before.damping * torch.where(better, factor, before.growth)).clamp(LEAST_DAMPING, MOST_DAMPING)
    growth = (before.growth * 2).masked_fill(better, 2.0)
    short = length <= tolerance
    settled = short & (undamped_length < LONG * tolerance)
    stuck = ~(better | settled) & (short | (damping >= MOST_DAMPING))
    return _Descent(
        before.state.where(better, trial),
        here.where(better, there),
        torch.where(moving, damping, before.damping),
        growth,
        before.settled | (moving & settled),
        before.stuck | (moving & stuck),
    )


def _damped_step(
    at: Linearisation, damping: Float[Tensor, "step batch"]
) -> tuple[Float[Tensor, "step batch unknown"], Float[Tensor, "step batch"]]:
    """The steps of each damping, and by how much the linearised cost falls along them."""
    diagonal = at.normal.diagonal(dim1=-2, dim2=-1)
    # An unknown that the residuals do not feel would make the matrix singular; it gets the smallest of scales.
    diagonal = diagonal.clamp_min(1e-12 * diagonal.amax(-1, keepdim=True)).clamp_min(1e-30)
    added = damping[..., None] * diagonal
    matrix = at.normal + torch.diag_embed(added)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    step = -torch.cholesky_solve(at.gradient[..., None].expand(*added.shape, 1), factor)[..., 0]
    # Where rounding leaves no factor, the diagonal alone shows a way down.
    scale = matrix.diagonal(dim1=-2, dim2=-1).clamp_min(diagonal)
    step = torch.where((failed > 0)[..., None], -at.gradient / scale, step)
    promised = ((added * step - at.gradient) * step).sum(-1)
    return step, promised
