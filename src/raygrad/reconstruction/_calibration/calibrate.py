"""Poses and intrinsics of a sweep, refined together with the volume that its images show."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad._optional import require
from raygrad._progress import Iteration
from raygrad.data import VolumeGeometry
from raygrad.geometry import ConeViews, UnknownGeometry
from raygrad.march import Marching, Prepared
from raygrad.projector import Projector
from raygrad.reconstruction._calibration.elimination import Elimination, solve_jointly
from raygrad.reconstruction._calibration.sweep import Sweep
from raygrad.reconstruction._checks import check_images, check_sight

LEAST_CHANGE = 1e-3
"""A round that changes the residual by less than this part is a resolution's last."""

WORSE = 1.2
"""A view whose sum of squares is so many times as large takes its step back. Steps belong together, and a little worse
for a round is better than a view left behind by the others and the volume."""

LEAST_SIDE = 16
"""No image and no volume is reduced to fewer pixels or voxels than these along a side."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A sweep's refined geometry.

    Attributes:
        views: the refined views.
        volume: (x, y, z) at the finest resolution that was used; to be reconstructed anew with the refined views.
        geometry: where its voxels lie.
        moved: by how much each pose moved, a twist [v | w] in mm and radians about the middle of the volume:
            refined pose = exp(twist) @ given pose, in a world whose origin is there.
        moved_deviation: the standard deviations of those, were the volume known. It is not, so they are lower bounds.
        intrinsics: what was added to each of the unknown intrinsics, in mm; of the pixel size, relative.
        residual: |A x - b| / |b| of each view in the end.
        settled: whether each view's last step was shorter than the tolerance.
        history: one entry a round: its number within a resolution, from 1; `stage`, the number of the resolution, with
            its `pixels`; the residual |A x - b| / |b| before the round's step; and that step in mm.
    """

    views: ConeViews
    volume: Float[Tensor, "x y z"]
    geometry: VolumeGeometry
    moved: Float[Tensor, "view 6"]
    moved_deviation: Float[Tensor, "view 6"]
    intrinsics: Mapping[str, float]
    residual: Float[Tensor, " view"]
    settled: Bool[Tensor, " view"]
    history: tuple[Iteration, ...]

    def __repr__(self) -> str:
        """How far poses moved, in one line."""
        mm = float(self.moved[:, :3].norm(dim=1).mean())
        degrees = math.degrees(float(self.moved[:, 3:].norm(dim=1).mean()))
        intrinsics = "".join(f", {name} {value:+.4g}" for name, value in self.intrinsics.items())
        settled = f"{int(self.settled.sum())} of {len(self.settled)} views settled"
        residual = float(self.residual.norm() / len(self.residual) ** 0.5)
        moved = f"moved by {mm:.3g} mm and {degrees:.3g} deg on average{intrinsics}"
        return f"Calibration({settled}, {moved}, residual {residual:.3g})"


def calibrate(
    projector: Projector,
    images: Tensor,
    unknowns: UnknownGeometry | str | Iterable[str] = "poses",
    *,
    factors: Sequence[int] | None = None,
    rounds: int = 8,
    iterations: int = 8,
    tolerance: float | int = 0.01,
    nonnegative: bool = True,
    progress: bool = False,
    callback: Callable[[Iteration], bool | None] | None = None,
) -> Calibration:
    """Refine the poses of a sweep, and intrinsics that all its views share, together with the volume.

    Both are unknowns of one least-squares problem, |A(geometry) x - b|^2, whose derivatives by the geometry come from
    the march that makes the images (Joseph's, smooth in the pose). Each round linearises it, and solves for the volume
    by a few conjugate gradient iterations with the geometry eliminated (see `elimination.py`), from
    coarse images to fine ones. Images reduced by n are matched with a volume reduced by n.

    What images cannot tell is left as it is on average: a motion of all views together with the volume, and the
    distance of all sources from the volume (a volume twice as large, twice as far, of half the values looks the same).
    Poses are refined relative to each other; where the sweep as a whole is, is known as well as the given poses know it
    on average: compare poses, and volumes, after the best similarity transform. Likewise sdd and pixel size may grow
    together, and on a circle y0 is almost a shift of the volume along the axis, sdd almost its size; there, and
    wherever images say little, what was known beforehand decides, and convergence is slow.

    A view that fits the new volume much worse from its new pose than from the old one takes the step back, and makes
    shorter ones from then on.

    The derivatives of all views at the finest resolution are in memory at once: 6 numbers a pixel.

    Args:
        projector: of the volume's grid and the views as they are believed to be.
        images: line integrals (view, height, width).
        unknowns: what to refine, and how far it may be off; or names of it: "poses", "sdd", "x0", "y0", "pixel_size",
            or some of them, as well known as a C-arm's usually are.
        factors: by how much images and volume are reduced, the coarsest first; by default 4, 2, 1, as far as both keep
            16 on a side. Without a 1 the refinement ends at a coarser resolution, which is quicker.
        rounds: at most so many at each resolution.
        iterations: of conjugate gradients in each round.
        tolerance: a resolution is done when no view moves by more than this, in mm, times its factor, or when a round
            changes the residual by less than a thousandth.
        nonnegative: keep the volume at 0 or above between rounds.
        progress: show a bar with the residual.
        callback: called with an `Iteration` after every round; True ends the refinement.

    Raises:
        TypeError: views without poses (other than `ConeViews`), or images that are no tensor.
        ValueError: unknowns or factors out of range, fewer than two views, views shared among processes, images that do
            not fit, or views that see nothing of the volume.
    """
    views, wanted = _check_views(projector), UnknownGeometry.of(unknowns)
    if wanted.is_none:
        raise ValueError("Expected geometry that is unknown. Got none.")
    if projector.mask is not None:
        raise ValueError("Expected a projector without a mask to calibrate by. Got one with it.")
    images = check_images(projector, images)
    views = views.to(images.device)
    projector = projector.with_views(views)
    factors = _check_factors(projector, factors)
    if rounds < 1 or iterations < 1 or not tolerance >= 0:
        got = f"{rounds}, {iterations} and {tolerance}"
        raise ValueError(f"Expected at least one round and iteration, and a tolerance of at least 0. Got {got}.")
    with torch.no_grad():
        check_sight(projector(projector.zeros().to(images) + 1))
        refinement = _Refinement(projector, images, Sweep.of(views, projector.volume_geometry.centre, wanted))
        began = time.perf_counter()
        history: list[Iteration] = []
        total = rounds * len(factors)
        bar = require("tqdm", "progress bars", extra="cli").tqdm(total=total, ncols=90) if progress else None
        stopped = False
        for stage, factor in enumerate(factors):
            refinement.begin(factor)
            residual = refinement.residual_norm()
            for number in range(1, rounds + 1):
                step = refinement.round(iterations, tolerance * factor, nonnegative)
                seconds, (_, rows, columns) = time.perf_counter() - began, images.shape
                pixels = (rows // factor, columns // factor)
                history.append(Iteration(number, seconds, stage, pixels, residual=residual, step_mm=step))
                if bar is not None:
                    bar.set_postfix_str(f"residual {residual:.4g}, step {step:.3g} mm")
                    bar.update()
                stopped = callback is not None and bool(callback(history[-1]))
                previous, residual = residual, refinement.residual_norm()
                slow = abs(previous - residual) < LEAST_CHANGE * previous
                if stopped or (refinement.started and (slow or refinement.settled.all())):
                    break
            if stopped:
                break
        if bar is not None:
            bar.close()
    return refinement.result(tuple(history))


class _Refinement:
    """The state of a refinement: a volume, a sweep, and the residuals and derivatives there."""

    def __init__(self, projector: Projector, images: Tensor, sweep: Sweep) -> None:
        self.projector, self.images, self.sweep = projector, images, sweep
        self.marching = Marching("joseph", backend=projector.backend)  # smooth in the pose
        self.damping = sweep.pose.new_full((len(sweep) + 1,), 1e-6)
        self.settled = torch.zeros(len(sweep), dtype=torch.bool)
        self.volume: Tensor | None = None
        arms = projector.volume_geometry.corners().to(sweep.pivot) - sweep.pivot
        self.radius = float(arms.norm(dim=1).mean()) / math.sqrt(3)

    def begin(self, factor: int) -> None:
        """Go to a resolution, with the volume so far."""
        self.factor, self.geometry = factor, self.projector.volume_geometry.coarser(factor)
        volume = self.geometry.zeros(self.images.dtype, self.images.device)
        if self.volume is not None:
            size = self.geometry.shape
            volume.copy_(functional.interpolate(self.volume[None, None], size=size, mode="trilinear")[0, 0])
        self.started = self.volume is not None
        self.volume = volume
        self.target = functional.avg_pool2d(self.images[:, None], factor).flatten(1)
        self._linearise()

    def round(self, iterations: int, tolerance: float | int, nonnegative: bool) -> float:
        """A step of the volume and of the geometry; the longest step of a view in mm."""
        assert self.volume is not None
        before = self.sweep
        views = before.views(self.factor)
        projector = Projector(self.geometry, views, self.marching, rays_at_once=self.projector.rays_at_once)
        change, step = solve_jointly(projector, self._elimination(), self.residual, iterations)
        self.started = bool(self.volume.any())  # an empty volume says nothing of the geometry
        self.volume += change
        if nonnegative:
            self.volume.clamp_(min=0)
        unmoved = (self.target - projector(self.volume).flatten(1)).double().square().sum(1)
        self.sweep = before.moved(step)
        self._linearise()
        if self.started:
            self._take_back(before, unmoved)
        lengths = self._lengths(step)
        self.settled = (lengths <= tolerance).cpu()
        return float(lengths.amax())

    def residual_norm(self) -> float:
        """|A x - b| / |b| of all views."""
        return float(self.residual.double().norm() / self.target.double().norm())

    def result(self, history: tuple[Iteration, ...]) -> Calibration:
        """Where it ended."""
        assert self.volume is not None
        variance = self.residual.double().square().mean(1)
        deviations = torch.zeros(len(self.sweep), 6).to(variance)
        if self.sweep.by_view:
            normal = (self.by_twist @ self.by_twist.mT).double()
            scale = normal.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(torch.float32).tiny).sqrt()
            covariance = torch.linalg.pinv(normal / scale[:, None] / scale[..., None], hermitian=True)
            deviations = (covariance.diagonal(dim1=1, dim2=2) * variance[:, None]).sqrt() / scale
        values, unknowns = self.sweep.intrinsics.tolist(), self.sweep.unknowns
        values[3] = math.expm1(values[3])
        return Calibration(
            views=self.sweep.refined(),
            volume=self.volume,
            geometry=self.geometry,
            moved=self.sweep.twists(),
            moved_deviation=deviations,
            intrinsics={name: values[column] for name, column in zip(unknowns.names, unknowns.columns, strict=True)},
            residual=(self.residual.norm(dim=1) / self.target.norm(dim=1)).cpu(),
            settled=self.settled,
            history=history,
        )

    def _linearise(self) -> None:
        assert self.volume is not None
        rays_at_once = max(1, self.projector.rays_at_once // 4)  # the derivatives of a ray need four times its memory
        volume = Prepared(self.volume, self.geometry.world_to_voxel)
        image, self.by_twist, self.by_intrinsics = self.sweep.linearise(
            volume, self.factor, self.marching, rays_at_once
        )
        self.residual = self.target - image

    def _take_back(self, before: Sweep, unmoved: Float[Tensor, " view"]) -> None:
        """Where the volume fits a view much better from its pose before, that is kept, and the damping grows."""
        now = self.residual.double().square().sum(1)
        worse, all_worse = now > WORSE * unmoved, bool(now.sum() > WORSE * unmoved.sum())
        self.damping[:-1] *= torch.where(worse, 10.0, 0.5)
        self.damping[-1] *= 10.0 if all_worse else 0.5
        self.damping.clamp_(1e-6, 1e6)
        if worse.any():
            intrinsics = before.intrinsics if all_worse else self.sweep.intrinsics
            pose = torch.where(worse[:, None, None], before.pose, self.sweep.pose)
            self.sweep = replace(self.sweep, pose=pose, intrinsics=intrinsics)
            self._linearise()

    def _elimination(self) -> Elimination:
        deviations = self.sweep.deviations()
        free = self.sweep.free_motions() if self.sweep.by_view else deviations.new_zeros(len(deviations), 0)
        noise = float(self.residual.double().square().mean())
        return Elimination(
            self.by_twist, self.by_intrinsics, deviations, self.sweep.departure(), noise, free, self.damping
        )

    def _lengths(self, step: Tensor) -> Float[Tensor, " view"]:
        """How far each view's step moves the volume in its image, in mm; also that of the intrinsics, for all views."""
        own = len(self.sweep) * self.sweep.by_view
        lengths = step.new_zeros(len(self.sweep))
        if own:
            twists = step[:own].view(-1, 2, 3).norm(dim=2)
            lengths = torch.maximum(twists[:, 0], twists[:, 1] * self.radius)
        shared = step[own:].abs() * step.new_tensor([1.0, 1.0, 1.0, self.radius])[self.sweep.unknowns.columns]
        return torch.maximum(lengths, shared.amax()) if len(shared) else lengths


def _check_views(projector: Projector) -> ConeViews:
    views = projector.views
    if not isinstance(views, ConeViews):
        raise TypeError(f"Expected ConeViews, whose poses can be refined. Got {type(views).__name__}.")
    if projector.processes.count > 1:
        raise ValueError("Expected a projector with all views in this process. Got one that shares them with others.")
    if len(views) < 2:
        raise ValueError("Expected at least two views: one alone says nothing of its pose. Got one.")
    return views


def _check_factors(projector: Projector, factors: Sequence[int] | None) -> list[int]:
    least = min(*projector.domain_shape, *projector.views.image_shape)
    if factors is None:
        return [factor for factor in (4, 2) if least // factor >= LEAST_SIDE] + [1]
    found = list(factors)
    if not found or not all(hasattr(f, "__index__") and 1 <= f <= least for f in found) or found != sorted(found)[::-1]:
        raise ValueError(f"Expected whole factors from 1 to {least}, the largest first. Got {found}.")
    return found
