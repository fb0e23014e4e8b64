"""What one image tells of the intrinsics beside the pose, and what it does not.

Source-to-detector distance, pixel size and depth change an image alike, as do principal point and the two shifts: only
perspective tells them apart. What a model lacks, such as scatter, looks like perspective to a fit that takes residuals
for independent noise, and drives intrinsics by many standard deviations. So one image counts for less beside what is
known, and an unknown that it does not narrow keeps the value that it was given.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import INTRINSICS, UnknownGeometry
from raygrad.registration._problem.pose_problem import PoseProblem, States
from raygrad.registration._result import Uncertainty
from raygrad.registration._solver.levenberg_marquardt import Linearisation

DOUBT = 10.0
"""The pose's deviations by residuals alone are so many times too small on X-rays of another simulator (the median)."""
LESS = 30.0
"""How much less an image counts beside what is known than by independent residuals: `DOUBT` squared, times the share
that residuals in squares, which the deviations are made of, differ by."""
NARROWED = 0.7
"""An unknown is told by the image if its deviation beside the pose is below so many times that of before."""
FAR = 3.0
"""Deviations of before that an unknown may go; what would go farther makes up for something else."""
IN_PLANE_MM, KEPT_IN_PLANE_MM = 0.8, 0.3
"""The pose is ambiguous where it is less certain than this across the rays: all unknowns told, or some kept."""
OFF_AXIS = 0.6
"""Points are so many times the CT's radius from the beam's axis, typically, and move across the rays with depth."""


def jointly(problem: PoseProblem, states: States, geometry: UnknownGeometry) -> Linearisation:
    """What one image and what is known of the geometry say together, as honestly as residuals allow.

    Its sandwich covariance is the inverse of its normal matrix.

    Args:
        problem: of one view.
        states: where its entries are.
        geometry: all that was unknown beforehand, whether it was found or kept.
    """
    at = replace(problem, geometry=geometry, noise=torch.zeros_like(problem.noise)).linearise(states)
    variances = at.scatter.diagonal(dim1=1, dim2=2) / at.normal.diagonal(dim1=1, dim2=2).clamp_min(1e-30)
    noise = DOUBT**2 * variances.mean(1).clamp_min(1e-30)
    known = torch.zeros_like(at.gradient)
    count = len(geometry.columns)
    known[:, known.shape[1] - count :] = geometry.of_intrinsics(1).to(known).square().reciprocal()
    normal = at.normal / noise[:, None, None] + torch.diag_embed(known)
    return replace(at, normal=normal, scatter=normal)


def in_plane(uncertainty: Uncertainty, distance: float) -> Float[Tensor, " start"]:
    """The standard deviation of a typical point across the rays, in mm.

    Args:
        uncertainty: of the poses.
        distance: of the CT from the source.
    """
    deviations = uncertainty.standard_deviations
    outwards = OFF_AXIS * uncertainty.radius / distance * deviations[:, 2]
    return torch.hypot(deviations[:, :2].amax(1), outwards)


def not_told(problem: PoseProblem, states: States, best: int) -> tuple[str, ...]:
    """The names of the unknown intrinsics that the image does not tell, or drives too far, at the best entry.

    Args:
        problem: of one view, with unknown intrinsics.
        states: where its entries are.
        best: the entry that is asked.
    """
    geometry = problem.geometry
    deviations = _deviations(jointly(problem, states, geometry), len(geometry.columns))[best]
    before = geometry.of_intrinsics(1).to(deviations)
    went = states.intrinsics[best, 0, geometry.columns].to(deviations).abs()
    vague = (deviations > NARROWED * before) | (went > FAR * before)
    return tuple(name for name, is_vague in zip(geometry.names, vague.tolist(), strict=True) if is_vague)


def without(geometry: UnknownGeometry, names: tuple[str, ...]) -> UnknownGeometry:
    """The same, some intrinsics known exactly."""
    fields = {"sdd": "sdd_mm", "x0": "x0_mm", "y0": "y0_mm", "pixel_size": "pixel_size"}
    return replace(geometry, **{fields[name]: None for name in names})


def as_given(states: States, names: tuple[str, ...]) -> States:
    """The states with some intrinsics as they were given."""
    intrinsics = states.intrinsics.clone()
    intrinsics[..., [INTRINSICS.index(name) for name in names]] = 0.0
    return replace(states, intrinsics=intrinsics)


def _deviations(at: Linearisation, count: int) -> Float[Tensor, "entry intrinsic"]:
    covariance = torch.linalg.pinv(at.normal.cpu().double(), hermitian=True)
    return covariance.diagonal(dim1=1, dim2=2)[:, -count:].clamp_min(0).sqrt()
