"""The most likely volume for the photons that X-rays have left behind the patient."""

import math
from typing import Any

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_images
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._method import Method
from raygrad.reconstruction._methods.poisson import divergence, start_evenly
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets, steps_by_voxel

LEAST_PHOTONS = 0.5  # behind a ray that lost all of them, for its line integral


class TransmissionSolver(Solver):
    """Separable paraboloidal surrogates at work: see `raygrad.reconstruction.Osem`.

    Attributes:
        counts: (view, height, width) photons left; `images` are their line integrals.
        ray_lengths: the rays' lengths among the voxels that may differ from 0.
    """

    def __init__(
        self,
        method: Method,
        projector: Projector,
        images: Tensor,
        *,
        photons: float | int | Tensor | None,
        counts: bool,
        n_subsets: int | None,
        **problem: Any,
    ) -> None:
        images = check_images(projector, images)
        self.photons = _photons_beside(images, photons)
        if counts:
            if (lowest := float(images.amin())) < 0:
                raise ValueError(f"Expected counts that are not below 0. Got {lowest:.4g}.")
            self.counts, images = images, torch.log(self.photons / images.clamp(min=LEAST_PHOTONS))
        else:
            self.counts = self.photons * torch.exp(-images)
        if projector.mask is not None:  # there line integrals of 0 are expected
            self.counts = torch.where(projector.mask, self.counts, self.photons)
        super().__init__(method, projector, images, nonnegative=True, **problem)
        self.name = f"{method.name} of transmission"
        self.subsets = make_subsets(self.projector, n_subsets)
        self.ray_lengths = start_evenly(self, problem.get("start"))
        self.by_voxel = self._steps(self.images)

    def step(self) -> Step:
        """Go to the minimum of a parabola for each voxel, subset by subset."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.images.device)
        for projector, positions in self.subsets:
            line_integrals = projector(self.volume)
            residual = self.images[positions] - line_integrals
            measured, expected = self.counts[positions], self.photons * torch.exp(-line_integrals)
            sums[0] += inner_product(residual, residual)
            sums[1] += divergence(measured, expected)
            by_voxel = self._steps(line_integrals) if len(self.subsets) == 1 else self.by_voxel
            self.volume.addcmul_(projector.T(expected.sub_(measured)), by_voxel)
            self.constraint.apply_(self.volume)
        return self.said(*self.projector.processes.sum(sums))

    def _steps(self, line_integrals: Tensor) -> Tensor:
        """Steps by the curvatures of parabolas that touch the likelihood at these line integrals and lie below it."""
        return steps_by_voxel(self.subsets, optimal_curvature(line_integrals, self.photons) * self.ray_lengths)


def optimal_curvature(line_integrals: Tensor, photons: Tensor) -> Tensor:
    """Least curvature of a parabola in l that touches photons exp(-l) + counts l and is nowhere below it for l >= 0.

    2 photons (1 - (1 + l) exp(-l)) / l^2 (Erdogan & Fessler, IEEE TMI 1999, without background), which falls
    from `photons` at 0; so it is for l < 0 too.
    """
    length = line_integrals.clamp(min=0)
    near_zero = 1 - length * (2 / 3 - length / 4)  # its series: the difference below loses all digits there
    far = 2 * (1 - (1 + length) * torch.exp(-length)) / length.clamp(min=1e-2).square()
    return photons * torch.where(length < 3e-2, near_zero, far)


def check_photons(photons: float | int | Tensor | None) -> None:
    """See that there are photons where nothing is in the rays' way.

    Raises:
        ValueError: there is no number of them, or some are not positive.
    """
    if photons is None:
        raise ValueError("Expected photons, of a ray without anything in its way, for statistics='transmission'.")
    lowest, highest = (float(value) for value in torch.as_tensor(photons, dtype=torch.float64).aminmax())
    if not (lowest > 0 and highest < math.inf):
        raise ValueError(f"Expected a positive number of photons. Got {lowest:.4g}.")


def _photons_beside(images: Tensor, photons: float | int | Tensor | None) -> Tensor:
    """Photons without anything in the rays' way, as a tensor beside the images.

    Raises:
        ValueError: there is not one number of them, nor one for each pixel.
    """
    values = torch.as_tensor(photons, dtype=images.dtype, device=images.device)
    if tuple(values.shape) not in ((), tuple(images.shape[1:])):
        expected = f"a number or shape {tuple(images.shape[1:])}"
        raise ValueError(f"Expected photons as {expected}. Got shape {tuple(values.shape)}.")
    return values
