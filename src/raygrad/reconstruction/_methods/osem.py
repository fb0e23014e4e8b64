"""OSEM: the most likely volume under Poisson's statistics, of emitted or of transmitted photons."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterate import iterate
from raygrad.reconstruction._methods.poisson import divergence, start_evenly
from raygrad.reconstruction._methods.transmission import Transmission
from raygrad.reconstruction._result import ReconstructionResult
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets, steps_by_voxel

STATISTICS = ("emission", "transmission")


def osem(
    projector: Projector,
    images: Tensor,
    *,
    statistics: str = "emission",
    photons: float | int | Tensor | None = None,
    counts: bool = False,
    n_subsets: int | None = None,
    support: Any = None,
    start: Tensor | None = None,
    **control: Any,
) -> ReconstructionResult:
    """Maximum likelihood from Poisson counts by ordered subsets; the volume is never below 0.

    `statistics="emission"` takes the images as counts whose means are A x: expectation maximisation, which multiplies
    every voxel by the mean of b / A x over its rays (Shepp & Vardi, IEEE TMI 1982), subset by subset (Hudson & Larkin,
    IEEE TMI 1994). For X-rays, whose line integrals are no counts, it is a robust fit that needs no number of photons.

    `statistics="transmission"` takes them as X-ray detectors measure: I photons left of `photons`, of mean
    photons exp(-A x). Rays through thick parts, where few are left, count for less, which is what images of few photons
    need. Separable paraboloidal surrogates by ordered subsets (Erdogan & Fessler, Phys. Med. Biol. 1999).

    With one subset the likelihood never falls. More come that many times as far in an iteration at first, and then
    circle about the maximum unless the images are free of noise. The maximum itself fits the noise: end early.

    Args:
        projector: whose views the images are.
        images: line integrals (view, height, width); not below 0 for "emission".
        statistics: "emission" or "transmission".
        photons: for "transmission", how many a ray has without anything in its way: a number, or (height, width).
        counts: for "transmission", the images are the photons left, not line integrals: rays that lost all of them are
            taken for what they are.
        n_subsets: of how many subsets; default: a fourth of the number of views.
        support: (x, y, z) of the voxels that may differ from 0.
        start: (x, y, z) to start from. For "emission" voxels at 0 stay there. By default what is the same everywhere
            and explains the sum of all images.
        control: when to end, what to show and to keep: see `raygrad.reconstruction.iterate`.

    Returns:
        The result. In its history, each subset's part is taken before its own step: `residual` is of line integrals,
        those of half a photon where none is left; `objective` is Kullback and Leibler's divergence of the expected
        counts from the measured ones, sum(expected - measured + measured log(measured / expected)): how far the
        likelihood's logarithm is below that of a perfect fit, which is what is minimised.

    Raises:
        TypeError: images, or a number of subsets, of another type.
        ValueError: images, support, start or photons that do not fit the projector, negative counts, views that see
            nothing, or options that do not go together.
    """
    problem: dict[str, Any] = {"nonnegative": True, "support": support, "start": start}
    if statistics not in STATISTICS:
        raise ValueError(f"Expected statistics to be one of {', '.join(STATISTICS)}. Got {statistics!r}.")
    if statistics == "transmission":
        return iterate(Transmission(projector, images, photons, counts, n_subsets, **problem), **control)
    if photons is not None or counts:
        raise ValueError("Expected photons and counts with statistics='transmission' only.")
    return iterate(Osem(projector, images, n_subsets, **problem), **control)


class Osem(Solver):
    """Expectation maximisation at work; an iteration is one projection and one back projection of all views."""

    name = "osem"
    default_iterations = 20
    settings: ClassVar = ("n_subsets",)

    def __init__(self, projector: Projector, images: Tensor, n_subsets: int | None = None, **problem: Any) -> None:
        super().__init__(projector, images, **problem)
        if (lowest := float(self.images.amin())) < 0:
            raise ValueError(
                f"Expected images that are not below 0, as the means of counts. Got {lowest:.4g}: "
                "clamp them, or use statistics='transmission'."
            )
        self.subsets = make_subsets(self.projector, n_subsets)
        self.n_subsets = len(self.subsets)
        start_evenly(self, problem.get("start"))
        if not self.volume.any():
            raise ValueError("Expected a start with voxels above 0, which multiplication can change. Got none.")
        self.by_voxel = steps_by_voxel(self.subsets, torch.ones_like(self.images))

    def step(self) -> Step:
        """Multiply by what each subset asks for.

        x <- x + x C A_s^T (b_s / A_s x - 1), with one C for all subsets: it is x / (A_s^T 1) A_s^T (b_s / A_s x) where
        the subset's own C divides, and no factor is negative where a larger subset's does.
        """
        sums = torch.zeros(2, dtype=torch.float64, device=self.images.device)
        for projector, positions in self.subsets:
            measured, expected = self.images[positions], projector(self.volume)
            residual = measured - expected
            sums[0] += inner_product(residual, residual)
            sums[1] += divergence(measured, expected)
            update = projector.T(torch.where(expected > 0, residual / expected, 0.0))
            self.volume.addcmul_(update.mul_(self.volume), self.by_voxel)
            self.constraint.apply_(self.volume)
        return self.said(*self.projector.processes.sum(sums))
