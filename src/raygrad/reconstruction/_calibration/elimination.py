"""Least squares in a volume and a geometry, with the geometry eliminated.

About a volume x and a geometry g, images change by A dx + J dg. For any dx the best dg is at hand, since each view's
derivatives by its own pose are few. What a change of the volume leaves of the residual when the geometry follows is

    (1 - J (J'J + P)^-1 J') (r - A dx),

with P for what is known of the geometry, and conjugate gradients over dx alone minimise its norm: the volume is no
longer held in place by poses that it was made with, nor poses by the volume (variable projection; Golub and Pereyra,
SIAM J. Numer. Anal. 10, 1973; in the variant of Kaufman, BIT 15, 1975).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.projector import Projector

Residuals = Float[Tensor, "view ray"]
Steps = Float[Tensor, " unknown"]

STIFF = 1e3
"""Motions that no image can tell are held with so many times the weight of what images tell best."""


class Elimination:
    """The best step of the geometry for any residual.

    Args:
        by_view: derivatives (view, own, ray) by each view's own unknowns.
        shared: derivatives (view, shared, ray) by those of all views.
        deviations: what is known of all unknowns beforehand, own ones first: standard deviations.
        departure: how far they are from what was expected.
        noise: the variance of a residual, by which what is known weighs against the images.
        held: an orthonormal basis, in units of `deviations`, of departures that are not to be.
        damping: relative, of each view's unknowns and of the shared ones (view + 1,).
    """

    def __init__(
        self,
        by_view: Float[Tensor, "view own ray"],
        shared: Float[Tensor, "view shared ray"],
        deviations: Steps,
        departure: Steps,
        noise: float,
        held: Float[Tensor, "unknown held"],
        damping: Float[Tensor, " dampings"],
    ) -> None:
        views, own, _ = by_view.shape
        self.by_view, self.shared, self.deviations = by_view, shared, deviations
        normal = deviations.new_zeros(len(deviations), len(deviations))
        blocks = normal[: views * own, : views * own].unflatten(0, (views, own)).unflatten(2, (views, own))
        torch.diagonal(blocks, dim1=0, dim2=2).copy_((by_view @ by_view.mT).double().permute(1, 2, 0))
        cross = (by_view @ shared.mT).double().flatten(0, 1)
        normal[: views * own, views * own :], normal[views * own :, : views * own] = cross, cross.T
        normal[views * own :, views * own :] = (shared @ shared.mT).double().sum(0)
        self.normal = normal * deviations * deviations[:, None]
        each = torch.cat([damping[:-1].repeat_interleave(own), damping[-1:].expand(shared.shape[1])])
        known = noise * torch.eye(len(deviations)).to(normal)
        stiffness = STIFF * float(self.normal.diagonal().amax()) if len(deviations) else 0.0
        known += stiffness * held @ held.T
        self.pull = known @ (departure / deviations)
        least = 1e-9 * self.normal.diagonal().amax().clamp_min(torch.finfo(torch.float32).tiny)
        self.factor = torch.linalg.cholesky(
            self.normal + known + torch.diag(each * self.normal.diagonal().clamp_min(least) + least)
        )

    def step(self, residual: Residuals, pulled: bool = False) -> Steps:
        """The geometry's step that lowers a residual most; `pulled` also towards what is known beforehand."""
        own = (self.by_view @ residual[..., None]).double().flatten()
        right = torch.cat([own, (self.shared @ residual[..., None]).double().sum(0)[:, 0]]) * self.deviations
        if pulled:
            right = right - self.pull
        return torch.cholesky_solve(right[:, None], self.factor)[:, 0] * self.deviations

    def left(self, residual: Residuals, pulled: bool = False) -> Residuals:
        """What that step leaves of a residual."""
        views, own, _ = self.by_view.shape
        step = self.step(residual, pulled).to(residual)
        change = (self.by_view.mT @ step[: views * own].view(views, own, 1))[..., 0]
        return residual - change - (self.shared.mT @ step[views * own :])


def solve_jointly(
    projector: Projector, elimination: Elimination, residual: Residuals, iterations: int
) -> tuple[Float[Tensor, "x y z"], Steps]:
    """By how much a volume and the geometry are to change, by conjugate gradients over the volume.

    Args:
        projector: A, at the present geometry.
        elimination: of the present geometry.
        residual: images less those of the present volume.
        iterations: of one projection and one back projection each; few of them keep the volume smooth.
    """
    shape = projector.range_shape
    change = projector.zeros().to(residual)
    image_of_change = torch.zeros_like(residual)
    left = elimination.left(residual, pulled=True)
    gradient = projector.T(left.view(shape))
    direction, size = gradient, gradient.double().square().sum()
    descends = size > 0
    for _ in range(iterations):
        image = projector(direction).flatten(1)
        image_left = elimination.left(image)
        curvature = (image.double() * image_left).sum()
        descends = descends & (size > 0) & (curvature > 0)  # a tensor: nobody waits for it
        length = torch.where(descends, size / curvature, 0.0)
        change, image_of_change = change + length * direction, image_of_change + length * image
        left = left - length * image_left
        gradient = projector.T(left.view(shape))
        previous, size = size, gradient.double().square().sum()
        direction = gradient + torch.where(descends, size / previous, 0.0) * direction
    return change, elimination.step(residual - image_of_change, pulled=True)
