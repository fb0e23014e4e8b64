"""How far a pose can be trusted: the covariance of its six motions."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.registration.result import Uncertainty
from raygrad.registration.scene import Scene, Unknowns

BLOCK = 10
"""Side in pixels of the squares within which residuals may be correlated."""


def estimate_uncertainty(scene: Scene, unknowns: Unknowns) -> Uncertainty:
    """The covariance of each motion of the first body, from the Jacobian and the residuals there.

    The sandwich (J'J)^-1 (sum over squares s of g_s g_s') (J'J)^-1, g_s = J_s' r_s, which needs neither equal
    variances nor independence of pixels of the same square (White, Econometrica 48, 1980; Liang and Zeger, Biometrika
    73, 1986). It sees noise and everything else that does not fit, but no error that the pose can make up for.
    """
    covariances = [_covariance(scene, unknowns[entry : entry + 1]) for entry in range(len(unknowns))]
    pose = scene.poses(unknowns, 0)[:, 0]
    axes = (pose @ scene.sights[0].camera.detector.reorient.matrix.to(pose))[:, :3, :3]
    zero = torch.zeros_like(axes)
    camera_to_world = torch.cat([torch.cat([axes, zero], dim=-1), torch.cat([zero, axes], dim=-1)], dim=-2)
    return Uncertainty(camera_to_world.mT @ torch.stack(covariances) @ camera_to_world, scene.radius)


def _covariance(scene: Scene, one: Unknowns) -> Float[Tensor, "6 6"]:
    """The covariance of one entry's twist about the pivot, in the world."""
    _, _, normal = (part[0] for part in scene.prior(one))
    meat = torch.zeros_like(normal)
    for view, sight in enumerate(scene.sights):
        moving, fixed = scene.features(one, view)
        jacobian, residual = moving[:, 1:], moving[:, :1] - fixed
        normal = normal + (jacobian @ jacobian.mT)[0]
        pulls = scene.similarity.per_pixel(jacobian * residual, sight.shape).double()
        squares = functional.avg_pool2d(pulls, BLOCK, ceil_mode=True, divisor_override=1)[0].flatten(1)
        meat = meat + squares @ squares.mT
    scale = normal.diagonal().clamp_min(torch.finfo(normal.dtype).tiny).rsqrt()
    inverse = torch.linalg.pinv(normal * scale[:, None] * scale, hermitian=True) * scale[:, None] * scale
    return (inverse @ meat @ inverse)[:6, :6]
