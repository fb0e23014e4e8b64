"""`check_solver` passes raygrad's methods, and fails each way of breaking what they promise."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from raygrad.reconstruction import METHODS, Adam, Cgls, Fdk, Held, IterativeMethod, Osem, OsSart, Sirt, Solver
from raygrad.reconstruction import TotalVariation as Tv
from raygrad.testing import check_solver

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
def test_raygrads_methods_are_methods(name):
    check_solver(name)


OTHERS = {
    "fdk, hann": Fdk(filter="hann", nonnegative=True),
    "os_sart of 8 subsets": OsSart(n_subsets=8, relaxation=0.5),
    "cgls, not below 0": Cgls(nonnegative=True),
    "adam in subsets": Adam(n_subsets=4, regulariser=lambda volume: 1e-4 * volume.square().mean()),
    "tv, strong": Tv(strength=0.05),
}


@pytest.mark.parametrize("method", OTHERS.values(), ids=OTHERS)
@pytest.mark.filterwarnings("ignore::raygrad.reconstruction.ReconstructionWarning")
def test_methods_with_other_options_are_methods(method):
    check_solver(method)


def test_a_method_of_counts():
    def photons(line_integrals):
        return 1e5 * torch.exp(-line_integrals)

    check_solver(Osem(photons=1e5, counts=True), images=photons)


@dataclass(frozen=True, kw_only=True)
class Landweber(IterativeMethod):
    """x <- x + step A^T (b - A x), with a momentum that a step changes."""

    name: ClassVar[str] = "landweber"
    held: ClassVar[Held] = Held(volumes=3.0, stacks=2.0)
    nonnegative: bool = False

    def solver(self, projector, images, **problem):
        return self.kind(self, projector, images, nonnegative=self.nonnegative, **problem)


class LandweberSolver(Solver):
    volumes = ("volume", "speed")

    def __init__(self, method, projector, images, **problem):
        super().__init__(method, projector, images, **problem)
        self.speed = torch.zeros_like(self.volume)
        self.step_length = 1 / self.projector.norm() ** 2

    def step(self):
        residual = self.images - self.projector(self.volume)
        self.speed.mul_(0.5).add_(self.projector.T(residual), alpha=self.step_length)
        self.volume += self.speed
        self.constraint.apply_(self.volume)
        return self.said(residual.double().square().sum())


Landweber.kind = LandweberSolver


def test_a_method_of_ones_own_is_a_method():
    check_solver(Landweber())


class Forgetful(LandweberSolver):
    volumes = ("volume",)


class Unconstrained(LandweberSolver):
    def step(self):
        self.constraint = type(self.constraint)()
        return super().step()


class Writing(LandweberSolver):
    def step(self):
        self.images.mul_(0.99)
        return super().step()


class Diverging(LandweberSolver):
    def __init__(self, *args, **problem):
        super().__init__(*args, **problem)
        self.step_length *= 4


class Resting(LandweberSolver):
    def step(self):
        return self.said(self.images.double().square().sum())


class Random(LandweberSolver):
    def step(self):
        self.volume.add_(torch.rand_like(self.volume), alpha=1e-5)
        return super().step()


class Single(LandweberSolver):
    def step(self):
        said = super().step()
        self.volume = self.volume.float()
        return said


class FromZeros(LandweberSolver):
    def __init__(self, *args, **problem):
        super().__init__(*args, **problem)
        self.volume.zero_()


class Silent(LandweberSolver):
    def step(self):
        return super().step()._replace(residual=1.0)


class Unchecked(LandweberSolver):
    def __init__(self, method, projector, images, **problem):
        support = problem.pop("support", None)
        support = None if support is None or tuple(support.shape) != projector.domain_shape else support
        super().__init__(method, projector, images, support=support, **problem)


BROKEN = {
    "forgets its momentum": (Forgetful, "went on from a checkpoint"),
    "knows no constraint": (Unconstrained, "outside of the support"),
    "writes to the images": (Writing, "the same bits from the same call|images to be left"),
    "diverges": (Diverging, r"\|A x - b\| / \|b\| of at most 0.5|no longer finite"),
    "rests": (Resting, "of at most"),
    "is random": (Random, "the same bits from the same call"),
    "computes in float32": (Single, "the images' dtype torch.float64"),
    "ignores its start": (FromZeros, "from the truth"),
    "tells no residual": (Silent, "a residual that falls"),
    "does not check": (Unchecked, "a support on another grid"),
}


@pytest.mark.parametrize(("solver", "message"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_a_promise_fails(solver, message):
    broken = type("Broken", (Landweber,), {"kind": solver})
    with pytest.raises((AssertionError, FloatingPointError), match=message):
        check_solver(broken())


def test_what_is_no_method_is_refused():
    with pytest.raises(TypeError):
        check_solver("magic")
    with pytest.raises(TypeError):
        check_solver(Sirt)
