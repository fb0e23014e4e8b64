"""Total variation: the non-negative volume with least edges among those that explain noisy or few images."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight, norm_over_views, reciprocal
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held, check_subsets
from raygrad.reconstruction._methods.total_variation import (
    add_gradient_,
    divergence,
    gradient_bound,
    limit_,
    total_variation,
)
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets

DATA_STEP = 0.3
EDGE_STEP = 0.1
"""Lengths of the dual steps, chosen for PSNR after 10 to 30 passes; any positive ones lead to the same volume."""
MOST_SUBSETS = 8
"""By default. Thoraxes from 64 and 180 views came nearer to the truth in 24 passes with 8 subsets than with more."""
SHARE_OF_NOISE = 3.0
"""Strength 1, in slopes of noise: what gave about the best PSNR of thoraxes from 32 and 64 views, with 10^4 and 10^5
photons (a third of it costs 1 dB), where voxels that are larger than what is in them add to the noise."""
NORMAL_QUARTILE = 0.6745
"""Half of a normal distribution's values are within so many standard deviations of its mean."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TotalVariation(IterativeMethod):
    """Minimise 1/2 |A x - b|^2 + penalty * TV(x), where TV sums the gradient's length over all voxels.

    A primal-dual method for problems of this kind (Chambolle & Pock, J. Math. Imaging Vis. 2011; for CT: Sidky,
    Jorgensen & Pan, Phys. Med. Biol. 2012), preconditioned voxel by voxel (Pock & Chambolle, ICCV 2011), which takes
    ordered subsets of views one after the other (Chambolle, Ehrhardt, Richtarik & Schonlieb, SIAM J. Optim. 2018). The
    step lengths are those proven for subsets drawn at random; here each has its turn, which converges as well in our
    tests and needs no random numbers. About 20 passes over the views suffice.

    In the history, residual and objective join those of the subsets, each before its own step.

    Args:
        strength: how much edges cost. 1 sets the penalty by the noise in the images, as it is estimated from
            neighbouring pixels, whatever the units and the geometry; less keeps more detail and more noise; 0 is the
            plain least-squares problem.
        penalty: the penalty itself, in mm^3 if the volume is in 1/mm, in place of `strength`.
        weights: (view, height, width) of the squares, at least 0: the inverse variances of all images up to a factor,
            such as `torch.exp(-images)` for counted photons. All the same by default.
        n_subsets: of how many subsets; default: a fourth of the number of views, but at most 8.
        nonnegative: keep every voxel at 0 or above.

    Raises:
        TypeError, ValueError: numbers of another kind, or out of range.
    """

    name: ClassVar[str] = "tv"
    held: ClassVar[Held] = Held(volumes=14.0, stacks=2.0)
    default_iterations: ClassVar[int | None] = 30
    strength: float | int = 1.0
    penalty: float | int | None = None
    weights: Tensor | None = None
    n_subsets: int | None = None
    nonnegative: bool = True

    def __post_init__(self) -> None:
        check_subsets(self.n_subsets)
        if not (0 <= self.strength < math.inf and (self.penalty is None or 0 <= self.penalty < math.inf)):
            got = f"{self.strength} and {self.penalty}"
            raise ValueError(f"Expected a strength, or penalty, of at least 0. Got {got}.")

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> "TotalVariationSolver":
        """The method at work: an iteration is one projection and one back projection of all views."""
        return TotalVariationSolver(self, projector, images, **problem)


class TotalVariationSolver(Solver):
    """The method at work.

    It looks for a saddle point of <A x - b, W u> - 1/2 <u, W u> + <D x, e> over volumes x, misfits u (which end as
    A x - b) and edges e no longer than the penalty, where D is the gradient and W the weights.

    Attributes:
        penalty: what TV is multiplied with.
        misfits: u, (view, height, width).
        edges: e, (3, x, y, z).
        data_slope, edge_slope: A^T W u and D^T e, whose sum is 0 at the solution wherever no constraint holds.
        extrapolated: that sum, ahead of time by the latest change: what the next step goes down.
    """

    volumes: ClassVar = ("volume", "edges", "data_slope", "edge_slope", "extrapolated")
    by_view: ClassVar = ("misfits",)

    def __init__(self, method: TotalVariation, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=method.nonnegative, **problem)
        self.strength = float(method.strength)
        if method.penalty is None and method.strength > 0 and self.images.shape[-1] < 3:
            raise ValueError("Expected images of at least 3 columns to estimate noise from. Give the penalty itself.")
        self.weights = _check_weights(self.projector, self.images, method.weights)
        self.spacing = self.projector.volume_geometry.spacing
        self.subsets = make_subsets(self.projector, method.n_subsets, MOST_SUBSETS)
        self.n_subsets = len(self.subsets)
        curvature = self._curvature()
        seen = curvature > 0
        given = method.penalty
        self.penalty = self._penalty_of_noise(int(seen.sum())) if given is None else float(given)
        # With steps s of misfits and t of edges, steps of the volume up to 1 / (s curvature + t |D|^2) converge.
        edge_curvature = EDGE_STEP * DATA_STEP * float(curvature.sum(dtype=torch.float64)) / int(seen.sum())
        self.edge_step = edge_curvature / gradient_bound(self.spacing)
        self.by_voxel = reciprocal(curvature.mul_(DATA_STEP).add_(edge_curvature if self.penalty > 0 else 0.0))
        self.misfits = torch.zeros_like(self.images)
        self.data_slope, self.edge_slope, self.extrapolated = (torch.zeros_like(self.volume) for _ in range(3))
        self.edges = self.volume.new_zeros(3, *self.volume.shape)

    def step(self) -> Step:
        """One step of the volume, of a subset's misfits and of all edges, for each subset."""
        totals = self.images.new_zeros(2, dtype=torch.float64)
        for projector, positions in self.subsets:
            self.volume.addcmul_(self.extrapolated, self.by_voxel, value=-1)
            self.constraint.apply_(self.volume)
            weights, misfits = self.weights[positions], self.misfits[positions]
            residual = projector(self.volume).sub_(self.images[positions])
            weighted = residual * weights
            totals += torch.stack([inner_product(residual, residual), inner_product(residual, weighted)])
            # The proximal step of 1/2 <u, W u> for the part s W of the dual's metric: a mean of old misfit and new.
            change = residual.sub_(misfits).mul_(DATA_STEP / (1 + DATA_STEP))
            self.misfits[positions] = misfits.add_(change)
            slope = projector.T(change.mul_(weights))
            self.data_slope.add_(slope)
            # A subset's turn comes once in n steps, so its change stands for those of all n.
            torch.add(self.data_slope, slope, alpha=self.n_subsets, out=self.extrapolated)
            if self.penalty > 0:
                self._step_edges()
        residual_squares, weighted_squares = self.projector.processes.sum(totals)
        objective = weighted_squares / 2
        if self.penalty > 0:
            objective += self.penalty * total_variation(self.volume, self.spacing).double()
        return self.said(residual_squares, objective)

    def _step_edges(self) -> None:
        """Move all edges along the volume's gradient, and their slope ahead of time into `extrapolated`."""
        limit_(add_gradient_(self.edges, self.volume, self.spacing, self.edge_step), self.penalty)
        self.extrapolated.sub_(self.edge_slope)
        self.edge_slope = divergence(self.edges, self.spacing).neg_()
        self.extrapolated.add_(self.edge_slope, alpha=2)

    def _curvature(self) -> Tensor:
        """Largest n A_s^T W A_s 1 of the n subsets s: a diagonal matrix that is above n A_s^T W A_s for all of them.

        (Sums of the entries of a row bound a symmetric matrix that has none below 0, by Gershgorin's theorem.)
        """
        ones = torch.ones_like(self.volume)
        largest = torch.zeros_like(self.volume)
        for projector, positions in self.subsets:
            lengths = projector(ones)
            check_sight(lengths)
            torch.maximum(largest, projector.T(lengths.mul_(self.weights[positions])), out=largest)
        return largest.mul_(self.n_subsets)

    def _penalty_of_noise(self, n_seen: int) -> float:
        """What a strength means: a part of the slope that noise alone makes in a voxel, A^T W (noise), times a length.

        Noise: its standard deviation at weight 1, as the median of the second differences of neighbours in a row tells
        it (nearly blind to edges), averaged over the views. Its slope in a voxel, by root mean square, is that times
        the Frobenius norm of W^(1/2) A over the root of the number of voxels, and |W^(1/2) A v|^2 for a volume v of
        random signs has the mean of this norm's square (Hutchinson 1989). Length: of a voxel's edge.
        """
        if self.strength == 0:
            return 0.0
        bends = self.images.diff(n=2, dim=-1) * self.weights[..., 1:-1].sqrt() / 6**0.5
        if self.projector.mask is not None:
            whole = self.projector.mask.unfold(-1, 3, 1).all(dim=-1)
            bends.masked_fill_(~whole, torch.nan)
        deviations = bends.abs_().flatten(1).nanmedian(dim=1).values.double() / NORMAL_QUARTILE
        deviations = deviations[deviations.isfinite()]
        signs = torch.randint(0, 2, self.volume.shape, generator=torch.Generator().manual_seed(0))
        projected = self.projector(signs.to(self.volume).mul_(2).sub_(1))
        squares = inner_product(projected, projected * self.weights)
        totals = torch.stack([deviations.sum(), torch.full_like(squares, len(deviations)), squares])
        deviation, views, squares = self.projector.processes.sum(totals).tolist()
        views = max(views, 1)  # a mask may leave no three neighbours
        edge = (12 / gradient_bound(self.spacing)) ** 0.5
        return self.strength * SHARE_OF_NOISE * deviation / views * (squares / n_seen) ** 0.5 * edge


def _check_weights(projector: Projector, images: Tensor, weights: Tensor | None) -> Tensor:
    """The weights of this process's images, beside them; ones (which take no memory) without any.

    Raises:
        ValueError: they do not fit the images, are not finite, below 0, or 0 altogether.
    """
    if weights is None:
        return images.new_ones(()).expand(images.shape) if projector.mask is None else projector.mask.to(images)
    weights = projector.processes.own(weights.detach()).to(images)
    if weights.shape != images.shape:
        raise ValueError(f"Expected weights of the images' shape {tuple(images.shape)}. Got {tuple(weights.shape)}.")
    if not (weights >= 0).all() or not weights.isfinite().all() or norm_over_views(projector, weights) == 0:
        raise ValueError("Expected finite weights of at least 0, and some above.")
    return projector.masked(weights)
