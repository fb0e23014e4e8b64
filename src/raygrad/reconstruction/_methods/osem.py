"""OSEM: the most likely volume under Poisson's statistics, of emitted or of transmitted photons."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.projector import Projector
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held, check_subsets
from raygrad.reconstruction._methods.poisson import divergence, start_evenly
from raygrad.reconstruction._methods.transmission import TransmissionSolver, check_photons
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets, steps_by_voxel

STATISTICS = ("emission", "transmission")


@dataclass(frozen=True, kw_only=True, eq=False)
class Osem(IterativeMethod):
    """Maximum likelihood from Poisson counts by ordered subsets; the volume is never below 0.

    `statistics="emission"` takes the images as counts whose means are A x: expectation maximisation, which multiplies
    every voxel by the mean of b / A x over its rays (Shepp & Vardi, IEEE TMI 1982), subset by subset (Hudson & Larkin,
    IEEE TMI 1994). For X-rays, whose line integrals are no counts, it is a robust fit that needs no number of photons.
    Images must not be below 0, and voxels that are 0 in a start stay there.

    `statistics="transmission"` takes them as X-ray detectors measure: I photons left of `photons`, of mean
    photons exp(-A x). Rays through thick parts, where few are left, count for less, which is what images of few photons
    need. Separable paraboloidal surrogates by ordered subsets (Erdogan & Fessler, Phys. Med. Biol. 1999).

    With one subset the likelihood never falls. More come that many times as far in an iteration at first, and then
    circle about the maximum unless the images are free of noise. The maximum itself fits the noise: end early. Without
    a start it begins with what is the same everywhere and explains the sum of all images.

    In the history, each subset's part is taken before its own step: `residual` is of line integrals, those of half a
    photon where none is left; `objective` is Kullback and Leibler's divergence of the expected counts from the measured
    ones, sum(expected - measured + measured log(measured / expected)): how far the likelihood's logarithm is below that
    of a perfect fit, which is what is minimised.

    Args:
        statistics: "emission" or "transmission"; default: "transmission" if there is a number of photons.
        photons: for "transmission", how many a ray has without anything in its way: a number, or (height, width).
        counts: for "transmission", the images are the photons left, not line integrals: rays that lost all of them are
            taken for what they are.
        n_subsets: of how many subsets; default: a fourth of the number of views.

    Raises:
        TypeError: a number of subsets of another type.
        ValueError: unknown statistics, options that do not go together, or numbers out of range.
    """

    name: ClassVar[str] = "osem"
    held: ClassVar[Held] = Held(volumes=5.0, stacks=2.0)
    default_iterations: ClassVar[int | None] = 20
    statistics: str | None = None
    photons: float | int | Tensor | None = None
    counts: bool = False
    n_subsets: int | None = None

    def __post_init__(self) -> None:
        check_subsets(self.n_subsets)
        if self.statistics not in (None, *STATISTICS):
            raise ValueError(f"Expected statistics to be one of {', '.join(STATISTICS)}. Got {self.statistics!r}.")
        if self.is_transmission:
            check_photons(self.photons)
        elif self.photons is not None or self.counts:
            raise ValueError("Expected photons and counts with statistics='transmission' only.")

    @property
    def is_transmission(self) -> bool:
        """Whether the images are of what X-rays have left."""
        return self.statistics == "transmission" or (self.statistics is None and self.photons is not None)

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> Solver:
        """The method at work: an iteration is one projection and one back projection of all views.

        With statistics="transmission" and one subset it is two back projections.
        """
        if self.is_transmission:
            return TransmissionSolver(
                self,
                projector,
                images,
                photons=self.photons,
                counts=self.counts,
                n_subsets=self.n_subsets,
                **problem,
            )
        return EmissionSolver(self, projector, images, **problem)


class EmissionSolver(Solver):
    """Expectation maximisation at work."""

    def __init__(self, method: Osem, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=True, **problem)
        if (lowest := float(self.images.amin())) < 0:
            raise ValueError(
                f"Expected images that are not below 0, as the means of counts. Got {lowest:.4g}: "
                "clamp them, or use statistics='transmission'."
            )
        self.subsets = make_subsets(self.projector, method.n_subsets)
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
