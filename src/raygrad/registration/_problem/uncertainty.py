"""How far poses can be trusted: the covariance of the six motions of each body."""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import RigidTransform
from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._result import Uncertainty
from raygrad.registration._solver.levenberg_marquardt import Linearisation


def estimate_covariance(at: Linearisation) -> Float[Tensor, "batch unknown unknown"]:
    """The covariance of all unknowns, in float64 on the CPU; 0 for those that nothing depends on.

    The sandwich (J'J)^-1 S (J'J)^-1, S the scatter of the gradient, which needs neither equal variances nor
    independence of pixels in the same square (White, Econometrica 48, 1980; Liang and Zeger, Biometrika 73, 1986). It
    sees noise and everything else that does not fit, but no error that the pose can make up for.

    Args:
        at: what the images say where the entries are.
    """
    # On the CPU: a GPU takes longer over eigenvalues of a few small matrices, and not all have float64.
    normal, scatter = at.normal.cpu().double(), at.scatter.cpu().double()
    scale = normal.diagonal(dim1=-2, dim2=-1).clamp_min(torch.finfo(normal.dtype).tiny).rsqrt()
    scale = scale[:, :, None] * scale[:, None]
    inverse = torch.linalg.pinv(normal * scale, hermitian=True) * scale
    return inverse @ scatter @ inverse


def estimate_uncertainty(problem: PoseProblem, states: States, at: Linearisation, body: int = 0) -> Uncertainty:
    """The covariance of each motion of a body about its pivot, whatever else is unknown.

    Args:
        problem: what the entries were found in.
        states: where they are.
        at: what the images say there.
        body: its number.
    """
    covariance = estimate_covariance(at)
    links = problem.links
    if links.is_free:
        covariance = covariance[:, links.own(body), links.own(body)]
    else:
        twist = links.twist_of(body, states.motions, problem.pivots).cpu().double()
        moving = slice(0, twist.shape[2])
        covariance = twist @ covariance[:, moving, moving] @ twist.mT

    pose = RigidTransform(problem.poses(states, 0)[:, body])
    axes = problem.xrays[0].detector.camera_to_world(pose).rotation.cpu().double()
    zero = torch.zeros_like(axes)
    camera_to_world = torch.cat([torch.cat([axes, zero], dim=-1), torch.cat([zero, axes], dim=-1)], dim=-2)
    return Uncertainty(camera_to_world.mT @ covariance @ camera_to_world, problem.radius_of(body))
