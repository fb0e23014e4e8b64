"""Whether the standard deviations that a registration gives are true: the error over them."""

from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.pose import RigidTransform


class Ratios(NamedTuple):
    """Errors of a pose over their standard deviations.

    Of true deviations the medians are about 0.7 to 1, and 95 % of the ratios are below 2.

    Attributes:
        in_plane: of the shift along both axes of the image, at the point that deviations are about.
        depth: of the shift along the beam.
        turn: of the angle between both rotations.
    """

    in_plane: float
    depth: float
    turn: float


def measure_ratios(
    found: RigidTransform,
    true: RigidTransform,
    covariance: Float[Tensor, "6 6"],
    camera: RigidTransform,
    about: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Ratios | None:
    """The errors of one pose over the deviations of a `raygrad.registration.Uncertainty`.

    Args:
        found, true: camera_to_world.
        covariance: of the six motions in the order of `raygrad.registration.AXES`.
        camera: the camera_to_world whose axes they are along, that of `detector.camera_to_world(found)`.
        about: the point of the world that they are about: the CT's centre.

    Returns:
        None where a deviation is not finite and positive: there is nothing to compare.
    """
    motion = true.to(torch.float64).matrix[0].cpu() @ found.to(torch.float64).inverse().matrix[0].cpu()
    to_camera = camera.rotation[0].cpu().double().mT
    centre = torch.tensor(about, dtype=torch.float64)
    shift = to_camera @ (motion[:3, :3] @ centre + motion[:3, 3] - centre)
    angle = roma.rotmat_to_rotvec(motion[:3, :3]).norm()
    variances = covariance.diagonal().double().cpu()
    errors = torch.stack([shift[:2].norm(), shift[2].abs(), angle])
    deviations = torch.stack([variances[:2].sum(), variances[2], variances[3:].sum()]).clamp_min(0).sqrt()
    if not (deviations.isfinite() & (deviations > 0)).all():
        return None
    return Ratios(*(errors / deviations).tolist())
