"""What became of every body of a registration: where it is, how far to trust that, and whether it was seen at all."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad.pose import RigidTransform
from raygrad.registration._problem.model import Model, Reported
from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._problem.uncertainty import estimate_covariance, estimate_uncertainty
from raygrad.registration._result import BodyResult, BodyStatus, Uncertainty
from raygrad.registration._solver.levenberg_marquardt import Linearisation

UNDETERMINED_MM = 20.0
"""The image leaves a direction undetermined whose standard deviation is larger."""


def results_of_bodies(
    model: Model, problem: PoseProblem, states: States, at: Linearisation, sure: tuple[bool, ...]
) -> dict[str, BodyResult]:
    """The results of all bodies that have a name.

    Args:
        model: what moved in the end.
        problem: of the last stage.
        states: where it ended, of every start.
        at: what the images say there.
        sure: at which starts the images match, and no other poses match as well.
    """
    found, told = {}, at.normal
    if problem.belonging is not None:
        told = told - problem.belonging.linearise(states.entry, states.motions, told.shape[1]).normal
    covariance = estimate_covariance(at)
    for body, name in enumerate(model.names):
        if name:
            found[name] = _result_of(body, model, problem, states, at, told, covariance, sure)
    return found


def _result_of(
    body: int,
    model: Model,
    problem: PoseProblem,
    states: States,
    at: Linearisation,
    told: Float[Tensor, "start unknown unknown"],
    covariance: Float[Tensor, "start unknown unknown"],
    sure: tuple[bool, ...],
) -> BodyResult:
    links, reported = problem.links, model.reported[body] if model.reported else Reported()
    views = [RigidTransform(problem.found(states, view)[:, body]) for view in range(len(problem.xrays))]
    own = links.own(body)
    seen = (told.diagonal(dim1=-2, dim2=-1)[:, own] > 0).any(1).cpu()
    uncertainty = None
    if links.moves(body):
        uncertainty = estimate_uncertainty(problem, states, at, body)
        if links.counts[body]:
            uncertainty = _unknown_where(~seen, uncertainty)
    narrowed = [True] * len(states)
    if problem.belonging is not None and body != model.main and uncertainty is not None:
        narrowed = problem.belonging.is_narrowed(uncertainty.covariance)
    ends = tuple(
        _status_of(start, reported.asked, bool(seen[start]), uncertainty, sure[start], narrowed[start])
        for start in range(len(states))
    )
    joint, deviations = torch.zeros(len(states), 0), torch.zeros(len(states), 0)
    if reported.values_of is not None:
        parent_to_child = links.relative(states.motions, body)
        joint = reported.values_of(RigidTransform(parent_to_child).inverse()).cpu().double()
        change = _change_of_values(reported, problem, states, body)
        variances = (change @ covariance[:, own, own] @ change.mT).diagonal(dim1=1, dim2=2)
        deviations = variances.clamp_min(0).sqrt()
        if reported.asked:
            deviations = deviations.masked_fill(~seen[:, None], torch.inf)
    return BodyResult(
        tuple(views), _to_world(body, model, problem, states), ends, uncertainty, joint, deviations, reported.unseen
    )


def _change_of_values(
    reported: Reported, problem: PoseProblem, states: States, body: int
) -> Float[Tensor, "start value unknown"]:
    """How the values of a joint change with the unknowns of its body, by differences."""
    assert reported.values_of is not None
    links, h = problem.links, 1e-6
    columns = []
    for number in range(links.counts[body]):
        step = states.motions.new_zeros(len(states), sum(links.counts))
        step[:, links.own(body).start + number] = h
        ends = [links.moved(states.motions, sign * step, problem.pivots) for sign in (1, -1)]
        poses = [RigidTransform(links.relative(end, body)).inverse() for end in ends]
        after, before = (reported.values_of(pose).cpu().double() for pose in poses)
        columns.append((after - before) / (2 * h))
    values = reported.values_of(RigidTransform(links.relative(states.motions, body)).inverse()).cpu().double()
    return torch.stack(columns, dim=2) if columns else values[:, :, None][:, :, :0]


def _to_world(body: int, model: Model, problem: PoseProblem, states: States) -> RigidTransform:
    """Where a body is: in the world that the views were given in, or, of a structure, in that of the CT."""
    if model.at_rest is not None:
        return RigidTransform(states.motions[:, body]).inverse()
    own, rest = (RigidTransform(problem.poses(states, 0)[:, number]) for number in (body, model.main))
    return own.inverse().compose(rest)


def _unknown_where(hidden: Bool[Tensor, " start"], uncertainty: Uncertainty) -> Uncertainty:
    """The same, infinite where nothing of a body is seen."""
    nothing = torch.eye(6, dtype=torch.float64) * torch.inf
    nothing = nothing.nan_to_num(nan=0.0, posinf=torch.inf)
    return Uncertainty(torch.where(hidden[:, None, None], nothing, uncertainty.covariance), uncertainty.radius)


def _status_of(
    start: int, asked: bool, seen: bool, uncertainty: Uncertainty | None, sure: bool, narrowed: bool
) -> BodyStatus:
    if not asked:
        return BodyStatus.FIXED
    if not seen:
        return BodyStatus.NOT_SEEN
    if not narrowed or (uncertainty is not None and uncertainty.weakest(start)[1] > UNDETERMINED_MM):
        return BodyStatus.UNDETERMINED
    return BodyStatus.CONVERGED if sure else BodyStatus.NOT_CONVERGED
