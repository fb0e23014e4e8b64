"""Polychromatic reconstruction: the volume whose polychromatic images are the measured ones."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from raygrad.physics import Beam, Tissues, WaterCorrection
from raygrad.projector import Projector
from raygrad.reconstruction._checks import check_sight, reciprocal
from raygrad.reconstruction._inner_products import inner_product
from raygrad.reconstruction._iterative_method import IterativeMethod
from raygrad.reconstruction._method import Held, check_subsets
from raygrad.reconstruction._methods.fdk import Fdk
from raygrad.reconstruction._methods.os_sart import OsSart
from raygrad.reconstruction._methods.poisson import divergence
from raygrad.reconstruction._polychromatic.model import PolychromaticProjector
from raygrad.reconstruction._solver import Solver, Step
from raygrad.reconstruction._subsets import make_subsets

ITERATIONS_TO_START = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Polychromatic(IterativeMethod):
    """Fit a volume to images as a polychromatic beam makes them: no beam hardening is left to be corrected.

    The volume is attenuation at `reference_kev`, which says what each voxel is made of, water and bone and mixtures of
    both; see `raygrad.reconstruction.PolychromaticProjector` for the model (De Man et al., IEEE TMI 20:999, 2001;
    Elbakri & Fessler, IEEE TMI 21:89, 2002, and Phys. Med. Biol. 48:2453, 2003). Ordered subsets descend the exact
    gradient of half the squared residual of the line integrals, or, with `photons`, of Poisson's likelihood, by
    separable parabolas, whose curvature bounds that of the linearised problem (Gershgorin), taken at the start. No
    voxel is below 0.

    Without a start it begins with the line integrals corrected for water, reconstructed by FDK, or, where FDK cannot,
    by a few iterations of OS-SART. In the history, each subset's part is taken before its own step: `residual` is of
    line integrals, `objective` what is minimised.

    Args:
        physics: what the images were taken with: a `Physics`, of which spectrum and sensor are looked at, or a pair of
            these; scatter has to be gone from the images. There is no default.
        reference_kev: the energy that the volume is of, from 40 to 150; by default the signal's mean, or 40 where that
            is lower.
        tissues: what voxels are made of at that energy, by their HU; by default water, from 100 HU on mixtures with
            cortical bone. Those of one's own say the energy (`ct_energy_kev`).
        photons: how many a ray has without anything in its way; rays through thick parts count for less then.
        n_subsets: of how many subsets; default: a fourth of the number of views.
        relaxation: length of the steps in the first iteration, in (0, 2).
        decay: the relaxation of an iteration over that of the one before, in (0, 1].

    Raises:
        TypeError, ValueError: numbers of another kind, or out of range; no spectrum and sensor.
    """

    name: ClassVar[str] = "polychromatic"
    held: ClassVar[Held] = Held(volumes=12.0, stacks=10.0)  # counted, not measured
    default_iterations: ClassVar[int | None] = 10
    physics: Any = None
    reference_kev: float | int | None = None
    tissues: Tissues | None = None
    photons: float | int | None = None
    n_subsets: int | None = None
    relaxation: float | int = 1.0
    decay: float | int = 0.99

    def __post_init__(self) -> None:
        check_subsets(self.n_subsets)
        if self.physics is None:
            raise TypeError("Expected physics, what the images were taken with: method='polychromatic', physics=...")
        Beam.of(self.physics)
        if not 0 < self.relaxation < 2 or not 0 < self.decay <= 1:
            got = f"{self.relaxation} and {self.decay}"
            raise ValueError(f"Expected a relaxation between 0 and 2 and a decay above 0 and up to 1. Got {got}.")
        if self.photons is not None and not 0 < self.photons < float("inf"):
            raise ValueError(f"Expected a positive number of photons. Got {self.photons}.")

    def solver(self, projector: Projector, images: Tensor, **problem: Any) -> "PolychromaticSolver":
        """The method at work: an iteration is one projection and one back projection of all views and each material."""
        return PolychromaticSolver(self, projector, images, **problem)


class PolychromaticSolver(Solver):
    """The method at work."""

    numbers: ClassVar = ("relaxation",)

    def __init__(self, method: Polychromatic, projector: Projector, images: Tensor, **problem: Any) -> None:
        super().__init__(method, projector, images, nonnegative=True, **problem)
        self.relaxation, self.decay = float(method.relaxation), float(method.decay)
        model = PolychromaticProjector.of(
            self.projector, method.physics, reference_kev=method.reference_kev, tissues=method.tissues
        )
        check_sight(self.projector(torch.ones_like(self.volume)))
        if problem.get("start") is None:
            self.volume.copy_(self._started(method, model, problem.get("support")))
            self.constraint.apply_(self.volume)
        self.photons = None if method.photons is None else float(method.photons)
        subsets = make_subsets(self.projector, method.n_subsets)
        self.subsets = [(model.in_part(part), positions) for part, positions in subsets]
        self.by_voxel = self._steps()

    def _started(self, method: Polychromatic, model: PolychromaticProjector, support: Any) -> Tensor:
        """The line integrals corrected for water, reconstructed."""
        correction = WaterCorrection.of_beam(model.beam, reference_kev=model.reference_kev, beyond="linear")
        corrected = correction(self.images)
        if self.projector.mask is None:
            try:
                return Fdk(filter="hann", extend=True)(self.projector, corrected, support=support).volume
            except (TypeError, ValueError):
                pass  # views that no analytic method can reconstruct from
        quick = OsSart(n_subsets=method.n_subsets)
        return quick(self.projector, corrected, support=support, iterations=ITERATIONS_TO_START).volume

    def _steps(self) -> Tensor:
        """1 / the largest of the subsets' J^T W J 1: sums of the rows of a matrix without entries below 0."""
        ones, largest = torch.ones_like(self.volume), torch.zeros_like(self.volume)
        for model, positions in self.subsets:
            at = model.at(self.volume)
            lengths = at(ones)
            if self.photons is not None:
                lengths *= self.photons * torch.exp(-self.images[positions])
            torch.maximum(largest, at.adjoint(lengths), out=largest)
        return reciprocal(largest)

    def step(self) -> Step:
        """One step for each subset."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.images.device)
        for model, positions in self.subsets:
            at, images = model.at(self.volume), self.images[positions]
            residual = model.projector.masked(at.line_integrals - images)
            square = inner_product(residual, residual)
            sums[0] += square
            if self.photons is None:
                sums[1] += square / 2
            else:
                measured, expected = (self.photons * torch.exp(-p) for p in (images, images + residual))
                sums[1] += divergence(measured, expected)
                residual = measured - expected
            self.volume.addcmul_(at.adjoint(residual), self.by_voxel, value=-self.relaxation)
            self.constraint.apply_(self.volume)
        self.relaxation *= self.decay
        return self.said(*self.projector.processes.sum(sums))
