"""Renders the images of a landscape and compares them with one X-ray."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from raygrad._optional import require
from raygrad.drr import DRR
from raygrad.kernels import sums_in
from raygrad.landscape._parameters import TRANSLATION_NAMES, PoseParameters
from raygrad.landscape._result import Landscape
from raygrad.landscape._slices import Slice
from raygrad.metrics import MultiscaleNormalizedCrossCorrelation2d
from raygrad.pose import RigidTransform
from raygrad.types import Images

Metric = Callable[[Tensor, Tensor], Tensor]
Range = float | int | tuple[float | int, float | int] | Sequence[float | int] | np.ndarray | Tensor

_REACH = {"mm": 15.0, "degrees": 45.0, "rad": math.pi / 4, "": 0.3}
# What a pixel takes while it is rendered: the ends of its ray in the detector's, the world's and the voxels' frame.
_BYTES_PER_PIXEL = 160
_BYTES_AT_ONCE = {"cpu": 2**26}
_BYTES_ELSEWHERE = 2**30


def compute_landscape(
    drr: DRR,
    *pose: RigidTransform | Tensor,
    parameterization: str = "euler_angles",
    convention: str | None = None,
    degrees: bool = False,
    slices: Sequence[str | tuple[str, ...]] | None = None,
    ranges: Mapping[str, Range] | None = None,
    steps: int = 15,
    metric: Metric | None = None,
    xray: Tensor | None = None,
    batch_size: int | None = None,
    progress: bool = False,
    callback: Callable[[int, int], bool | None] | None = None,
) -> Landscape:
    """The loss of the images at poses around a true one, while one or two of its parameters move.

    Args:
        drr: what renders the images.
        pose: the truth, a `RigidTransform` or its rotation (1, k) and translation (1, 3), see `raygrad.pose.convert`.
        parameterization: of `convert`, any but "matrix". Its parameters are named alpha, beta, gamma (Euler angles),
            rx, ry, rz (axis_angle, se3_log_map), qw, qx, qy, qz (quaternion), a0 ... a9 (quaternion_adjugate) or
            r0, r1, ... (rotation_6d, 9d and 10d), and x, y, z.
        convention: for Euler angles; see `convert`.
        degrees: angles, given and returned, are in degrees; see `convert`.
        slices: the parameters that move in each slice, one, such as "x", or two, such as ("x", "y"). By default all
            pairs of x, y, z and all pairs of a rotation's three parameters, or each by itself if it has more.
        ranges: for each parameter how far it moves to both sides of the truth, the two ends of its deviations as a
            tuple, or all of them as an array, increasing. By default 15 mm, 45 degrees (the last Euler angle half of
            that) and 0.3 of other numbers.
        steps: number of values of a parameter whose range is given by ends. Odd numbers include the truth.
        metric: similarity of the X-ray (1, 1, height, width) and a batch of images -> (batch,), higher where they are
            more alike; the loss is its negative. By default the mean of the normalised cross-correlations of the
            whole image and of patches of 9 pixels.
        xray: image (height, width) or (1, 1, height, width) of line integrals; by default that of the true pose.
        batch_size: images rendered together; by default as many as take about 64 MB (1 GB on a GPU).
        progress: show a progress bar.
        callback: called with how many images are done, and of how many, after each batch; True ends it, and the loss of
            those that are left is NaN.

    Raises:
        ValueError: unknown parameters, ranges without extent, an X-ray of another shape, a metric that does not
            give a score for every image, a pose that is not one.
        TypeError: an argument of the wrong kind.
    """
    truth = PoseParameters.of(*pose, parameterization=parameterization, convention=convention, degrees=degrees)
    metric = MultiscaleNormalizedCrossCorrelation2d([None, 9], [0.5, 0.5]) if metric is None else metric
    named = _checked_slices(truth, slices)
    deviations = _make_deviations(truth, named, ranges or {}, steps)
    if batch_size is None:
        batch_size = _choose_batch_size(drr)
    if batch_size < 1:
        raise ValueError(f"Expected a batch size of at least 1. Got {batch_size}.")

    with torch.no_grad():
        at_truth = _render(drr, _place(drr, truth, truth.values[None]))
        fixed = at_truth if xray is None else _checked_xray(xray, at_truth)
        loss_at_truth = _measure_loss(metric, fixed, at_truth).item()
        if not math.isfinite(loss_at_truth):
            raise ValueError(f"Expected a metric that is finite at the true pose. Got {-loss_at_truth}.")
        grids = [_make_grid(truth, names, deviations) for names in named]
        total = sum(len(grid) for grid in grids)
        pieces, count, ended = [], 0, False
        with _progress(progress, total) as done:
            for names, grid in zip(named, grids, strict=True):
                losses = []
                poses = _place(drr, truth, grid)
                for matrices in poses.matrix.split(batch_size):
                    if ended:
                        losses.append(torch.full_like(matrices[:, 0, 0], torch.nan))
                        continue
                    losses.append(_measure_loss(metric, fixed, _render(drr, RigidTransform(matrices))))
                    done(len(matrices))
                    count += len(matrices)
                    ended = callback is not None and bool(callback(count, total))
                axes = tuple(deviations[name].numpy() for name in names)
                # Once for a slice: to read a loss is to wait for a GPU.
                loss = torch.cat(losses).reshape([len(axis) for axis in axes]).cpu().to(torch.float64).numpy()
                pieces.append(Slice(names, tuple(truth.unit(name) for name in names), axes, loss))
    return Landscape(tuple(pieces), truth, loss_at_truth, _name(metric))


def _checked_slices(truth: PoseParameters, slices: Sequence[str | tuple[str, ...]] | None) -> list[tuple[str, ...]]:
    if slices is None:
        rotation = truth.names[:-3]
        turned = list(combinations(rotation, 2)) if len(rotation) == 3 else [(name,) for name in rotation]
        return [*combinations(TRANSLATION_NAMES, 2), *turned]
    if isinstance(slices, str):
        raise TypeError(f"Expected a sequence of slices, such as [({slices!r},)]. Got the text {slices!r}.")
    named = [(names,) if isinstance(names, str) else tuple(names) for names in slices]
    for names in named:
        for name in names:
            truth.index(name)
        if len(names) not in (1, 2) or len(set(names)) < len(names):
            raise ValueError(f"Expected slices of one parameter or of two different ones. Got {names}.")
    if not named or len(set(named)) < len(named):
        raise ValueError(f"Expected at least one slice, each once. Got {named}.")
    return named


def _make_deviations(
    truth: PoseParameters, named: list[tuple[str, ...]], ranges: Mapping[str, Range], steps: int
) -> dict[str, Tensor]:
    """The deviations of every parameter that moves."""
    for name in ranges:
        truth.index(name)
    deviations = {}
    for name in dict.fromkeys(name for names in named for name in names):
        reach = _REACH[truth.unit(name)] / (2 if name == "gamma" else 1)
        deviations[name] = _to_deviations(name, ranges.get(name, reach), steps)
    return deviations


def _to_deviations(name: str, extent: Range, steps: int) -> Tensor:
    if isinstance(extent, (float, int)):
        extent = (-extent, extent)
    values = torch.as_tensor(extent, dtype=torch.float64).detach().cpu()
    if values.ndim != 1 or len(values) < 2 or not values.isfinite().all() or not (values.diff() > 0).all():
        raise ValueError(
            f"Expected as range of {name} a positive number, two ends or increasing deviations, all finite. "
            f"Got {values.tolist()}."
        )
    if not isinstance(extent, tuple):
        return values
    if len(values) != 2:
        raise ValueError(f"Expected as range of {name} a tuple of its two ends. Got {len(values)} numbers.")
    if steps < 2:
        raise ValueError(f"Expected at least 2 steps. Got {steps}.")
    low, high = values.tolist()
    return low + (high - low) * (torch.arange(steps, dtype=torch.float64) / (steps - 1))  # exactly 0 in the middle


def _make_grid(
    truth: PoseParameters, names: tuple[str, ...], deviations: Mapping[str, Tensor]
) -> Float[Tensor, "image parameter"]:
    """The values of all parameters at every point of a slice, the last of its parameters moving fastest."""
    moved = torch.meshgrid(*(deviations[name] for name in names), indexing="ij")
    values = truth.values.repeat(moved[0].numel(), 1)
    for name, moves in zip(names, moved, strict=True):
        values[:, truth.index(name)] += moves.flatten()
    return values


def _choose_batch_size(drr: DRR) -> int:
    pixels = drr.detector.height * drr.detector.width
    return max(1, _BYTES_AT_ONCE.get(drr.device.type, _BYTES_ELSEWHERE) // (_BYTES_PER_PIXEL * pixels))


def _place(drr: DRR, truth: PoseParameters, values: Float[Tensor, "image parameter"]) -> RigidTransform:
    """The poses of the parameters' values, as the DRR takes them."""
    return truth.to_poses(values).to(device=drr.device, dtype=sums_in(drr.dtype))


def _render(drr: DRR, poses: RigidTransform) -> Images:
    images = drr(poses)
    if images.ndim != 4:
        raise ValueError(
            "Expected a DRR that renders images (batch, channel, height, width). Got one of reshape=False."
        )
    return images


def _checked_xray(xray: Tensor, like: Images) -> Images:
    if not isinstance(xray, Tensor) or not xray.is_floating_point():
        got = f"a tensor of {xray.dtype}" if isinstance(xray, Tensor) else type(xray).__name__
        raise TypeError(f"Expected the X-ray as a floating-point tensor. Got {got}.")
    if xray.shape not in (like.shape, like.shape[2:]):
        raise ValueError(
            f"Expected an X-ray of shape {tuple(like.shape[2:])} or {tuple(like.shape)}, as the DRR renders. "
            f"Got {tuple(xray.shape)}."
        )
    if not xray.isfinite().all():
        raise ValueError("Expected an X-ray of finite numbers. Got some that are not.")
    return xray.detach().reshape(like.shape).to(like)


def _measure_loss(
    metric: Metric, fixed: Float[Tensor, "1 channel height width"], moving: Images
) -> Float[Tensor, " image"]:
    scores = metric(fixed, moving)
    if not isinstance(scores, Tensor) or scores.shape != (len(moving),):
        got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"Expected of the metric a score for every image, of shape ({len(moving)},). Got {got}.")
    return -scores


def _name(metric: Any) -> str:
    return getattr(metric, "__name__", type(metric).__name__)


@contextmanager
def _progress(wanted: bool, total: int) -> Iterator[Callable[[int], object]]:
    """What is to be called with the number of images done since."""
    if not wanted:
        yield lambda images: None
        return
    tqdm = require("tqdm", "progress bars", extra="cli").tqdm
    with tqdm(total=total, desc="landscape", unit="image", ncols=80) as bar:
        yield bar.update
