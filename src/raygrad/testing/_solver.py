"""What every method of reconstruction promises."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from raygrad.geometry import VolumeGeometry, trajectories
from raygrad.phantoms import shepp_logan
from raygrad.projector import Projector
from raygrad.reconstruction import METHODS, IterativeMethod, Method, ReconstructionResult, Status, reconstruct
from raygrad.testing._expect import expect, expect_refusal

ImagesOf = Callable[[Tensor], Tensor]
FEW = 4
"""Iterations where it does not matter how near they come."""


class Problem(NamedTuple):
    """A head of few voxels in a full circle of small images.

    Attributes:
        truth: the volume.
        line_integrals: what it looks like, exactly.
        images: the same as the method takes it.
        projector: of the views.
    """

    truth: Tensor
    line_integrals: Tensor
    images: Tensor
    projector: Projector

    @property
    def views(self) -> Any:
        """What the images are taken with."""
        return self.projector.views

    @property
    def grid(self) -> VolumeGeometry:
        """Where the voxels lie."""
        return self.projector.volume_geometry


def check_solver(
    method: Method | str,
    *,
    iterations: int = 20,
    falls_to: float = 0.5,
    images: ImagesOf | None = None,
    device: torch.device | str = "cpu",
) -> None:
    """See that a method of reconstruction keeps what `raygrad.reconstruct` promises, on a head of few voxels.

    - From images that a volume explains it comes to a volume whose images differ from them by `falls_to` of their norm
      or less, in float32 and float64, on the images' device. The same call gives the same bits.
    - Images, support and start are left as they are; so is the method, which serves any number of problems.
    - Outside of the support voxels are exactly 0; with `nonnegative`, where a method has it, none is below.
    - Images, supports and starts that do not fit are refused with a ValueError or TypeError; so is an option that there
      is none of.

    And of a method that iterates:

    - There is an entry in the history for every iteration, and a callback can end it.
    - It goes on from a start, and is not thrown off by the right one.
    - A run that was ended goes on from its checkpoint to the same bits as one that was not; the checkpoint of another
      problem is refused.

    Whether processes can share the views is not looked at.

    Args:
        method: with its options, or a name. What it takes of memory has to be said (`held`).
        iterations: how many it gets.
        falls_to: |A x - b| / |b| that it reaches in them.
        images: makes of line integrals (view, height, width) what the method takes, if it takes something else.
        device: where the images are.

    Raises:
        TypeError: no method.
        AssertionError: a promise is broken; says which.
    """
    method = METHODS[method]() if isinstance(method, str) and method in METHODS else method
    if not isinstance(method, Method) or not is_dataclass(method):
        raise TypeError(f"Expected a method of reconstruction, a frozen dataclass. Got {method!r}.")
    before = repr(method)
    check = _Check(method, iterations, images or (lambda line_integrals: line_integrals), torch.device(device))
    check.falls(falls_to)
    check.leaves_alone()
    check.constrains()
    check.refuses()
    if isinstance(method, IterativeMethod):
        check.has_a_history()
        check.starts()
        check.resumes()
    expect(repr(method) == before, f"the method to stay {before}", repr(method))


class _Check:
    def __init__(self, method: Method, iterations: int, images_of: ImagesOf, device: torch.device) -> None:
        self.method, self.iterations, self.images_of, self.device = method, iterations, images_of, device
        self.problem = self.make_problem(torch.float32)
        self.iterates = isinstance(method, IterativeMethod)

    def make_problem(self, dtype: torch.dtype, size: int = 12) -> Problem:
        """The Shepp-Logan head on a grid of 200 mm, with the attenuation of water, in 16 images of 20 x 20 pixels."""
        grid = VolumeGeometry.centred((size,) * 3, 200.0 / size)
        views = trajectories.circular(16, sdd=1500.0, sid=1000.0, height=20, delx=16.0, dtype=dtype).to(self.device)
        truth = 0.1 * shepp_logan(90.0).voxelize(grid.shape, grid.voxel_to_world, dtype=dtype).to(self.device)
        projector = Projector(grid, views)
        line_integrals = projector(truth)
        return Problem(truth, line_integrals, self.images_of(line_integrals), projector)

    def run(self, problem: Problem, method: Method | None = None, **options: Any) -> ReconstructionResult:
        """Reconstruct, as a user would."""
        method = self.method if method is None else method
        control = {"iterations": FEW} if self.iterates else {}
        return reconstruct(problem.images, problem.views, problem.grid, method=method, **(control | options))

    def residual(self, problem: Problem, volume: Tensor) -> float:
        """How much of the images a volume does not explain."""
        return float((problem.projector(volume) - problem.line_integrals).norm() / problem.line_integrals.norm())

    def falls(self, falls_to: float) -> None:
        enough: dict[str, Any] = {"iterations": self.iterations} if self.iterates else {}
        for dtype in (torch.float32, torch.float64):
            problem = self.make_problem(dtype)
            volume = self.run(problem, **enough).volume
            shape = tuple(volume.shape)
            expect(shape == problem.grid.shape, f"a volume on the grid {problem.grid.shape}", shape)
            expect(volume.dtype == dtype, f"a volume in the images' dtype {dtype}", volume.dtype)
            expect(volume.device == problem.images.device, f"a volume on {problem.images.device}", volume.device)
            expect(volume.isfinite().all(), "a volume of finite values", "NaN or infinity")
            expect(not volume.requires_grad, "a volume without a graph", "one that requires a gradient")
            left = self.residual(problem, volume)
            expect(left <= falls_to, f"|A x - b| / |b| of at most {falls_to} ({dtype})", f"{left:.3g}")
        twice = [self.run(self.problem).volume for _ in range(2)]
        expect(torch.equal(*twice), "the same bits from the same call", "others")

    def leaves_alone(self) -> None:
        support = self.problem.truth > 0
        given = {"images": self.problem.images, "support": support}
        options: dict[str, Any] = {"support": support}
        if self.iterates:
            options["start"] = given["start"] = self.problem.truth.clone()
        before = {name: tensor.clone() for name, tensor in given.items()}
        self.run(self.problem, **options)
        for name, tensor in given.items():
            expect(torch.equal(tensor, before[name]), f"{name} to be left as they are", "a method that writes to them")

    def constrains(self) -> None:
        support = torch.zeros_like(self.problem.truth, dtype=torch.bool)
        support[:6, 2:, 1:-1] = True
        result = self.run(self.problem, support=support)
        outside = int(result.volume[~support].count_nonzero())
        expect(outside == 0, "voxels outside of the support that are exactly 0", f"{outside} that are not")
        expect(result.volume[support].any(), "voxels of the support that differ from 0", "zeros only")
        if "nonnegative" in {field.name for field in fields(self.method)}:  # type: ignore[arg-type]
            method: Method = replace(self.method, nonnegative=True)  # type: ignore[type-var]
            below = int((self.run(self.problem, method).volume < 0).sum())
            expect(below == 0, "no voxel below 0 with nonnegative=True", f"{below} of them")

    def refuses(self) -> None:
        problem, truth = self.problem, self.problem.truth
        of_nan = problem.images.clone()
        of_nan[1, 2, 3] = torch.nan
        wrong: dict[str, tuple[Tensor, dict[str, Any]]] = {
            "images of fewer views": (problem.images[1:], {}),
            "images of another size": (problem.images[..., 1:], {}),
            "an image with NaN": (of_nan, {}),
            "images of whole numbers": (problem.images.long(), {}),
            "a support on another grid": (problem.images, {"support": truth[1:] > 0}),
            "a support without a voxel": (problem.images, {"support": truth > torch.inf}),
            "an option that there is none of": (problem.images, {"no_such_option": 1}),
        }
        if self.iterates:
            wrong["a start on another grid"] = (problem.images, {"start": truth[1:]})
            wrong["a start with NaN"] = (problem.images, {"start": truth * torch.nan})
            wrong["images that show nothing"] = (self.images_of(0 * problem.line_integrals), {})
            wrong["no iteration"] = (problem.images, {"iterations": 0})
        for what, (images, options) in wrong.items():
            expect_refusal(partial(self.run, problem._replace(images=images), **options), what)

    def has_a_history(self) -> None:
        result = self.run(self.problem)
        numbers = [iteration.number for iteration in result.history]
        expect(numbers == [*range(1, FEW + 1)], f"iterations 1 to {FEW} in the history", numbers)
        expect(result.status is Status.OUT_OF_ITERATIONS, "a run that ends out of iterations", result.status)
        residuals = [math.nan if iteration.residual is None else iteration.residual for iteration in result.history]
        told = all(0 <= residual < math.inf for residual in residuals)
        expect(told, "a residual for every iteration, 0 or above", residuals)
        expect(residuals[-1] < residuals[0], "a residual that falls from the first to the last iteration", residuals)
        changes = [iteration.change for iteration in result.history]
        expect(changes[0], "a volume that changes in the first iteration", "none")
        stopped = self.run(self.problem, callback=lambda iteration, volume: iteration.number == 2)
        expect(len(stopped.history) == 2, "a run that a callback ends after 2 iterations", len(stopped.history))
        expect(stopped.status is Status.STOPPED, "the status of a run that a callback ended", stopped.status)

    def starts(self) -> None:
        first = self.run(self.problem, iterations=1)
        from_truth = self.run(self.problem, iterations=1, start=self.problem.truth)
        left = self.residual(self.problem, from_truth.volume)
        allowed = 0.5 * self.residual(self.problem, first.volume)
        expect(left <= allowed, f"at most {allowed:.3g} left after an iteration from the truth", f"{left:.3g}")

    def resumes(self) -> None:
        straight = self.run(self.problem)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "state"
            self.run(self.problem, checkpoint=file, callback=lambda iteration, _: iteration.number == 2)
            expect(file.is_file(), "a checkpoint in the file", "none")
            looked_at: list[int] = []
            resumed = self.run(self.problem, checkpoint=file, callback=lambda i, _: looked_at.append(i.number))
            left = [*range(3, FEW + 1)]
            expect(looked_at == left, f"a run that goes on with iterations {left} from its checkpoint", looked_at)
            same = torch.equal(resumed.volume, straight.volume)
            hint = "do the solver's volumes, by_view and numbers name all that a step changes?"
            difference = float((resumed.volume - straight.volume).abs().max())
            same_bits = "the same bits from a run that went on from a checkpoint"
            expect(same, same_bits, f"a difference of up to {difference:.3g}: {hint}")
            residuals = [[iteration.residual for iteration in run.history] for run in (resumed, straight)]
            expect(residuals[0] == residuals[1], "the same history", residuals)
            other = self.problem._replace(images=self.images_of(1.1 * self.problem.line_integrals))
            expect_refusal(lambda: self.run(other, checkpoint=file), "the checkpoint of other images")
