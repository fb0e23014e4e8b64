"""How well the geometry that was unknown is known in the end: what error it may still have, as standard deviations."""

from torch import Tensor

from raygrad.geometry import INTRINSICS, Detector
from raygrad.registration._problem.pose_problem import PoseProblem
from raygrad.registration._problem.uncertainty import estimate_covariance
from raygrad.registration._solver.levenberg_marquardt import Linearisation

ARGUMENTS = {"sdd": ("sdd",), "x0": ("x0",), "y0": ("y0",), "pixel_size": ("delx", "dely")}
"""The arguments of `DRR` that unknown intrinsics stand for."""


def deviations_of_geometry(
    problem: PoseProblem, at: Linearisation, detectors: list[Detector]
) -> tuple[tuple[dict[str, Tensor], ...], Tensor | None]:
    """Standard deviations of every view's intrinsics, by the names of `DRR`'s arguments, and of relative poses.

    Args:
        problem: what the entries were found in.
        at: what the images say there, what the model gets wrong included.
        detectors: of the views as they were given.

    Returns:
        Nothing of intrinsics, and None for relative poses, where they were known. Relative poses (start, view - 1, 6)
        are small motions of the patient as each further view sees him: mm along and radians about the world's axes
        through his middle.
    """
    deviations = estimate_covariance(at).diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
    views, columns = len(problem.xrays), problem.geometry.columns
    intrinsics = deviations[:, problem.unknowns - views * len(columns) :].unflatten(1, (views, len(columns)))
    known: list[dict[str, Tensor]] = []
    for view, detector in enumerate(detectors if columns else []):
        found = {}
        for number, column in enumerate(columns):
            for name in ARGUMENTS[INTRINSICS[column]]:
                size = float(getattr(detector, name)) if INTRINSICS[column] == "pixel_size" else 1.0
                found[name] = intrinsics[:, view, number] * size
        known.append(found)
    relative = None
    if problem.geometry.has_poses and views > 1:
        first = sum(problem.links.counts)
        relative = deviations[:, first : first + 6 * (views - 1)].unflatten(1, (views - 1, 6))
    return tuple(known), relative
