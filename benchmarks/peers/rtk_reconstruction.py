"""ITK-RTK's reconstructions on the CPU: https://www.openrtk.org (Apache-2.0).

FDK with the ramp filter as it comes (no window), SART and conjugate gradient as its command-line programs run them. The
projector is its Joseph; the back projector its voxel-based one, the default, or the Joseph's own adjoint.

RTK's gantry turns about y: its FDK weighs views by that angle, and its voxel-based back projector is quick only there.
So RTK is given the world with its axes named anew, (x, y, z) of RTK being our (y, z, x).
"""

import time
from typing import Any

import numpy as np
import torch
from reconstruction_cases import FIELD, PIXEL

from peers.base import missing
from raygrad.geometry._views import ConeViews
from raygrad.pose import RigidTransform

VOXEL_BASED, MATCHED = "voxel-based", "Joseph"
AXES = [1, 2, 0]
"""Which of our axes is RTK's x, y and z."""
_INDEX_OF_OURS = [AXES[::-1].index(axis) for axis in range(3)]
"""Where our x, y and z are in an array of RTK's, which is indexed [z, y, x]."""


def available() -> str | None:
    """None when itk-rtk is here, else the reason why not."""
    reason = missing("itk")
    if reason is None:
        try:
            from itk import RTK  # noqa: F401  (itk makes its modules on request: they cannot be imported by name)
        except ImportError:
            reason = "itk-rtk is not installed"
    return reason


class RTKProblem:
    """Images, geometry and an empty volume as ITK holds them."""

    def __init__(self, images: torch.Tensor, views: ConeViews, size: int) -> None:
        import itk

        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(torch.get_num_threads())
        self.size = size
        self.geometry = _geometry(views)
        self.images = _stack(images.numpy())
        self.image_type = type(self.images)

    def volume(self, voxels: torch.Tensor | None = None) -> Any:
        """An ITK image on the cube that is reconstructed, of `voxels` (x, y, z) or of zeros."""
        import itk

        array = np.zeros((self.size,) * 3, np.float32) if voxels is None else voxels.permute(*AXES[::-1]).numpy()
        image = itk.image_from_array(np.ascontiguousarray(array))
        spacing = FIELD / self.size
        image.SetSpacing([spacing] * 3)
        image.SetOrigin([-spacing * (self.size - 1) / 2] * 3)
        return image


def project(voxels: torch.Tensor, views: ConeViews) -> torch.Tensor:
    """RTK's Joseph projection (view, row, column) of a cube, to compare geometries."""
    from itk import RTK

    problem = RTKProblem(torch.zeros(len(views), *views.image_shape), views, len(voxels))
    projector = RTK.JosephForwardProjectionImageFilter[problem.image_type, problem.image_type].New()
    projector.SetGeometry(problem.geometry)
    projector.SetInput(0, problem.images)
    projector.SetInput(1, problem.volume(voxels))
    projector.Update()
    return torch.from_numpy(np.array(projector.GetOutput()))


def fdk(problem: RTKProblem) -> Any:
    """`FDKConeBeamReconstructionFilter` with its defaults: Ram-Lak, no window, a full turn.

    The filter only weighs by angle; detectors off centre and short scans need filters of their own in RTK.
    """
    from itk import RTK

    reconstruct = RTK.FDKConeBeamReconstructionFilter[problem.image_type].New()
    reconstruct.SetGeometry(problem.geometry)
    reconstruct.SetInput(0, problem.volume())
    reconstruct.SetInput(1, problem.images)
    return reconstruct


def sart(problem: RTKProblem, iterations: int, *, per_subset: int = 1, relaxation: float = 0.3) -> Any:
    """`SARTConeBeamReconstructionFilter`, not negative, `relaxation` as `rtksart` has it by default."""
    from itk import RTK

    reconstruct = RTK.SARTConeBeamReconstructionFilter[problem.image_type, problem.image_type].New()
    _set_projectors(reconstruct, VOXEL_BASED)
    reconstruct.SetGeometry(problem.geometry)
    reconstruct.SetInput(0, problem.volume())
    reconstruct.SetInput(1, problem.images)
    reconstruct.SetNumberOfIterations(iterations)
    reconstruct.SetNumberOfProjectionsPerSubset(per_subset)
    reconstruct.SetLambda(relaxation)
    reconstruct.SetEnforcePositivity(True)
    return reconstruct


def conjugate_gradient(problem: RTKProblem, iterations: int, back_projector: str) -> Any:
    """`ConjugateGradientConeBeamReconstructionFilter`, unregularised and unweighted."""
    from itk import RTK

    reconstruct = RTK.ConjugateGradientConeBeamReconstructionFilter[problem.image_type].New()
    _set_projectors(reconstruct, back_projector)
    reconstruct.SetGeometry(problem.geometry)
    reconstruct.SetInput(0, problem.volume())
    reconstruct.SetInput(1, problem.images)
    reconstruct.SetNumberOfIterations(iterations)
    reconstruct.SetCudaConjugateGradient(False)
    reconstruct.SetDisableDisplacedDetectorFilter(True)
    return reconstruct


def run(reconstruct: Any) -> tuple[torch.Tensor, list[float]]:
    """Voxels (x, y, z), and the seconds from the start to the end of every iteration that the filter tells of."""
    import itk

    ends: list[float] = []
    began = time.perf_counter()
    reconstruct.AddObserver(itk.IterationEvent(), lambda: ends.append(time.perf_counter() - began))
    reconstruct.Update()
    ends = ends or [time.perf_counter() - began]
    return torch.from_numpy(np.array(reconstruct.GetOutput())).permute(*_INDEX_OF_OURS), ends


def _set_projectors(reconstruct: Any, back_projector: str) -> None:
    kind = type(reconstruct)
    backs = {VOXEL_BASED: kind.BackProjectionType_BP_VOXELBASED, MATCHED: kind.BackProjectionType_BP_JOSEPH}
    reconstruct.SetForwardProjectionFilter(kind.ForwardProjectionType_FP_JOSEPH)
    reconstruct.SetBackProjectionFilter(backs[back_projector])


def _geometry(views: ConeViews) -> Any:
    from itk import RTK

    RTK.JosephForwardProjectionImageFilter  # noqa: B018  (itk loads its libraries when they are first named)
    geometry = RTK.ThreeDCircularProjectionGeometry.New()
    for source, centre, column, row in zip(*(points[:, AXES].tolist() for points in _planes(views)), strict=True):
        if not geometry.AddProjection(source, centre, column, row):
            raise ValueError(f"RTK's geometry cannot hold the view with its source at {source}")
    return geometry


def _planes(views: ConeViews) -> tuple[torch.Tensor, ...]:
    """Sources, detector centres and unit directions of growing column and row, each (view, 3) in float64."""
    source, target = ConeViews(views.detector, RigidTransform(views.pose.matrix.double())).rays()
    grid = target.unflatten(1, views.image_shape)
    unit = torch.nn.functional.normalize
    return source[:, 0], target.mean(1), unit(grid[:, 0, 1] - grid[:, 0, 0]), unit(grid[:, 1, 0] - grid[:, 0, 0])


def _stack(images: np.ndarray) -> Any:
    import itk

    stack = itk.image_from_array(np.ascontiguousarray(images))
    stack.SetSpacing([PIXEL, PIXEL, 1.0])
    stack.SetOrigin([-(size - 1) / 2 * PIXEL for size in images.shape[:0:-1]] + [0.0])
    return stack
