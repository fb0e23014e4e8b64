"""Halves of the image, each of which tells a pose of its own: where nothing moved within the patient, they agree."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.pose import RigidTransform
from raygrad.registration._agreement import HALVES
from raygrad.registration._problem.comparison import ByFeatures
from raygrad.registration._problem.pose_problem import PoseProblem, ScaledXRay, States, Steps
from raygrad.registration._problem.robust import trusted_pixels
from raygrad.registration._solver.levenberg_marquardt import Linearisation, minimise
from raygrad.types import Images

ITERATIONS, TOLERANCE_MM = 3, 0.1
ROUNDS, SUSPECT_MM = 3, 0.3
"""A half that moves further chooses the pixels that it trusts anew, at most so many times."""
LEAST_TOLD = 0.02
"""A half tells of every motion at least so much as the whole image does, in squares, or is not asked."""
CELLS = 12
"""Motions are looked at in about so many cells along the longer side of the image."""


def disagreements(
    problem: PoseProblem, states: States, body: int = 0, where_seen: bool = False
) -> Float[Tensor, "batch half"]:
    """How far halves of the image alone move a body in plane, in mm on average, in the order of `HALVES`.

    Each half has as much to say as the other: the image is cut where half of what tells of the body's motions is on
    either side. From the states given the body then moves as the pixels of one half say, of all views together, and
    all else stays. What counts is how far that is across the rays, where the image tells of the body, at its depth.

    Args:
        problem: of features, without robust weights.
        states: its entries, where they came to rest.
        body: its number.
        where_seen: see `trusted_pixels`.

    Returns:
        NaN for a half that sees too little to tell a pose, and for all where features are of no pixels.
    """
    count, halves, links = len(states), len(HALVES), problem.links
    unknown = states.motions.new_full((count, halves), torch.nan)
    if not isinstance(problem.comparison, ByFeatures) or not links.counts[body]:
        return unknown
    own = links.own(body)
    told, normal = [], states.motions.new_zeros(())
    for view, xray in enumerate(problem.xrays):
        features, _ = problem.features(states, view)
        jacobian = features[:, 1:][:, own]
        squares = problem.comparison.similarity.per_pixel(jacobian.square(), xray.shape)
        if squares.shape[2:] != xray.shape:
            return unknown
        told.append(squares)
        normal = normal + (jacobian @ jacobian.mT).to(states.motions)
    # Millimetres and radians compare by their share of what all views tell of them.
    of_all = torch.stack([squares.sum((2, 3), keepdim=True) for squares in told]).sum(0).clamp_min(1e-30)
    told = [(squares / of_all).mean(1, keepdim=True) for squares in told]

    entries = torch.arange(count, device=states.entry.device).repeat(halves)
    cut = [_halved(xray, states, part) for xray, part in zip(problem.xrays, told, strict=True)]
    xrays, empty = tuple(xray for xray, _ in cut), torch.stack([empty for _, empty in cut]).any(0)
    apart = replace(problem, xrays=xrays, noise=problem.noise[states.entry].repeat(halves))
    begun = states[entries].renumbered()
    free = begun.motions.new_zeros(apart.unknowns)
    free[own] = 1
    moved, far, tells = begun, begun.motions.new_zeros(len(begun)), normal[entries]
    for number in range(ROUNDS):
        trusted = [trusted_pixels(apart, moved, view, where_seen) for view in range(len(xrays))]
        chosen = tuple(replace(xray, weights=weights) for xray, weights in zip(xrays, trusted, strict=True))
        minimum = minimise(_Held(replace(apart, xrays=chosen), free), moved, ITERATIONS, TOLERANCE_MM)
        if number == 0:
            tells = minimum.at.normal[:, own, own]
        moved = minimum.state
        far = torch.stack(
            [_in_plane(apart, begun, moved, view, body, part[entries]) for view, part in enumerate(told)]
        ).sum(0)
        if not (far > SUSPECT_MM).any():
            break
    least = least_share(tells, normal[entries])
    return torch.where((least > LEAST_TOLD) & ~empty, far, torch.nan).reshape(halves, count).T


@dataclass(frozen=True)
class _Held:
    """A problem some of whose unknowns stay as they are.

    Attributes:
        problem: with all of them.
        free: 1 for those that do not, 0 for the others.
    """

    problem: PoseProblem
    free: Float[Tensor, " unknown"]

    def linearise(self, state: States) -> Linearisation:
        """What a step of the free ones alone sees."""
        at, free = self.problem.linearise(state), self.free
        normal = at.normal * free[:, None] * free + torch.diag_embed(1 - free)
        return replace(at, gradient=at.gradient * free, normal=normal)

    def moved(self, state: States, step: Steps) -> States:
        """The states after a step."""
        return self.problem.moved(state, step)

    def step_length(self, step: Steps) -> Float[Tensor, " batch"]:
        """How long steps are."""
        return self.problem.step_length(step)


def _halved(xray: ScaledXRay, states: States, told: Images) -> tuple[ScaledXRay, Bool[Tensor, " entry"]]:
    """A view's X-ray with an entry for each half of each state, cut where half of what tells is on either side.

    Where all is in one row or column a half is empty, and told so: its entry has the whole image, so that it can be
    computed.
    """
    total = told.sum((2, 3), keepdim=True).clamp_min(1e-30)
    upper = (told.sum(3, keepdim=True).cumsum(2) <= total / 2).to(told).expand_as(told)
    left = (told.sum(2, keepdim=True).cumsum(3) <= total / 2).to(told).expand_as(told)
    weights = xray.weights if len(xray.weights) == 1 else xray.weights[states.entry]
    parts = torch.stack([upper, 1 - upper, left, 1 - left]) * weights
    empty = parts.sum((-3, -2, -1), keepdim=True) == 0
    parts = torch.where(empty, weights, parts).flatten(0, 1)
    entries = states.entry.repeat(len(HALVES))
    response = None if xray.response is None else xray.response[entries]
    return replace(xray, rig=xray.rig[entries], weights=parts, response=response), empty.flatten()


def least_share(
    part: Float[Tensor, "batch unknown unknown"], whole: Float[Tensor, "batch unknown unknown"]
) -> Float[Tensor, " batch"]:
    """The least share of a matrix, along any direction, that a part of it has."""
    scale = whole.diagonal(dim1=-2, dim2=-1).clamp_min(1e-30).rsqrt()
    part, whole = (matrix * scale[:, :, None] * scale[:, None] for matrix in (part, whole))
    factor, failed = torch.linalg.cholesky_ex(whole)
    factor = torch.where((failed > 0)[:, None, None], torch.eye(factor.shape[-1]).to(factor), factor)
    inner = torch.linalg.solve_triangular(factor, part, upper=False)
    inner = torch.linalg.solve_triangular(factor, inner.mT, upper=False)
    return torch.linalg.eigvalsh((inner + inner.mT) / 2)[:, 0]


def _in_plane(
    problem: PoseProblem, before: States, after: States, view: int, body: int, told: Images
) -> Float[Tensor, " batch"]:
    """How far a body moves across a view's rays at its own depth, summed by what pixels tell."""
    xray = problem.xrays[view]
    factor = max(1, max(xray.shape) // CELLS)
    detector = xray.detector.with_intrinsics(xray.detector.intrinsics.shrunk(factor))
    weight = functional.avg_pool2d(told, factor).flatten(1).to(before.motions)
    weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-30) * told.sum((1, 2, 3)).to(weight)[:, None]
    one, other = (problem.poses(states, view)[:, body] for states in (before, after))
    source, target = (end.reshape(len(one), -1, 3).to(one) for end in detector(RigidTransform(one)))
    beam, ray = problem.beams(one[:, None], view), functional.normalize(target - source, dim=-1)
    depth = ((problem.pivots[body] - source) * beam).sum(-1, keepdim=True) / (ray * beam).sum(-1, keepdim=True)
    points = source + depth * ray
    # Where the first camera sees what was at a point once the other is taken for it.
    change = one @ RigidTransform(other).inverse().matrix
    shift = points @ change[:, :3, :3].mT + change[:, None, :3, 3] - points
    across = shift - (shift * ray).sum(-1, keepdim=True) * ray
    return (across.norm(dim=-1) * weight).sum(1)
