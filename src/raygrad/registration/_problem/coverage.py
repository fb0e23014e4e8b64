"""Rays that see the patient beyond the CT, and so tell nothing of how the CT lies: they do not count."""

import weakref
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.data import Volume, patient_beyond
from raygrad.drr import DRR
from raygrad.geometry import adjusted, views_from
from raygrad.kernels import sums_in
from raygrad.march import Marching, Prepared
from raygrad.pose import RigidTransform
from raygrad.registration._problem.pose_problem import RAYS_AT_ONCE, PoseProblem, ScaledXRay, States
from raygrad.registration._problem.similarity import Features, Similarity
from raygrad.registration._problem.volumes import Volumes
from raygrad.types import Images

FADED_MM = 20.0
"""Rays count less the more of the patient beyond the CT they see; from so much on they do not count."""
LEAST_SHARE = 0.2
"""Where the CT covers less of the image than this, the rest begins to count again: a pose is not to win for seeing
next to nothing of what it is compared with."""
ALIKE, LIKELY = 3.0, 0.8
"""What is beyond fits as well as the rest where its slopes are off by less than so many times as much, in squares, and
the rest's correlate by more than the second number.

Measured at right poses and 1 degree and 1 mm off: 0.01 to 2.2 under the conditions of `raygrad evaluate registration`,
where X-rays end with the CT; 4 to 64 where the patient goes on. Another simulator's X-rays that end with it have 0.9 to
7.5: some of them keep to what is covered, which loses them little.
"""
LEAST_SIDE, MOST_SIDE, FINER, MANY = 25, 64, 4, 1024
"""Rays are marched through what is beyond for every fourth pixel of an image, along a side of so many at least, or half
as many where there are many entries, as a search begins."""

_MADE: "weakref.WeakKeyDictionary[Volume, Volume | None]" = weakref.WeakKeyDictionary()


class Beyond:
    """The patient beyond a CT, as X-rays see him.

    Args:
        share: of each voxel that he fills, see `raygrad.data.patient_beyond`.
        drr: of the CT.
    """

    def __init__(self, share: Volume, drr: DRR) -> None:
        values = share.voxels.to(drr.device, sums_in(drr.dtype))
        self.bodies = Volumes([Prepared.of(values, share.world_to_voxel.to(drr.device))])
        self.marching = Marching("joseph", backend=drr.backend)

    @classmethod
    def of(cls, drr: DRR | None) -> "Beyond | None":
        """Made once for each CT; None without one, and where the patient ends within it."""
        if drr is None:
            return None
        volume = drr.subject.volume
        if volume not in _MADE:
            _MADE[volume] = patient_beyond(volume)
        share = _MADE[volume]
        return None if share is None else cls(share, drr)

    def seen(self, xray: ScaledXRay, poses: Tensor, intrinsics: Tensor | None = None) -> Images:
        """How many mm of him every pixel's ray crosses, from these poses, (entry, 1, height, width)."""
        detector, longest = xray.detector, max(xray.shape)
        least = LEAST_SIDE if len(poses) < MANY else LEAST_SIDE // 2
        side = min(longest, MOST_SIDE, max(least, longest // FINER))
        rows, columns = (max(1, round(count * side / longest)) for count in xray.shape)
        coarse = detector.with_intrinsics(detector.intrinsics.detached().resampled(rows, columns))
        calibration = coarse.calibration.matrix.to(poses)
        parts = []
        for some in torch.arange(len(poses), device=poses.device).split(max(1, RAYS_AT_ONCE // (rows * columns))):
            adapted = None if intrinsics is None else adjusted(calibration, intrinsics[some])
            views = views_from(coarse, RigidTransform(poses[some]), adapted)
            parts.append(self.bodies.march([views], self.marching).reshape(len(some), 1, rows, columns))
        return functional.interpolate(torch.cat(parts), size=xray.shape, mode="bilinear", align_corners=False)


def faded(mm: Float[Tensor, "*pixels"]) -> Float[Tensor, "*pixels"]:
    """How much rays count: 1 where they see nothing of the patient beyond the CT, smoothly down to 0."""
    return (1 - (mm / FADED_MM).clamp(0, 1).square()).square()


def covered(
    xray: ScaledXRay, beyond: Beyond | None, states: States, view: int, body: int = 0, calibrated: bool = False
) -> ScaledXRay:
    """A view's X-ray with the weights that the CT covers as the states see it; as it is where it covers all.

    Args:
        xray: with weights that are shared by all entries.
        beyond: the patient beyond the CT.
        states: of its entries, in their order.
        view: its number.
        body: the number of the CT among what moves.
        calibrated: whether intrinsics are among what was to be found.
    """
    if beyond is None:
        return xray
    poses = states.motions[:, body] @ states.offsets[:, view] @ xray.rig
    mm = beyond.seen(xray, poses, states.intrinsics[:, view] if calibrated else None)
    if not bool((mm > 0).any()):
        return xray
    weights = faded(mm).to(xray.weights)
    share = _share(weights, xray.weights)
    floor = (1 - share / LEAST_SHARE).clamp_min(0).square()[:, None, None, None]
    weights = xray.weights * (floor + (1 - floor) * weights)
    return replace(xray, weights=weights, unmasked=xray.weights, counted=share)


def show_its_end(problem: PoseProblem, states: States, view: int) -> Bool[Tensor, " entry"]:
    """Whether an X-ray shows the patient ending with the CT, as simulated ones do, seen from where entries are.

    Then what sees nothing but air beyond the CT fits as well as all else. Where what the CT covers does not fit,
    nothing can be told.

    Args:
        problem: of features of pixels, its X-rays `covered`.
        states: where its entries are.
        view: which view's X-ray.
    """
    xray = problem.xrays[view]
    if xray.unmasked is None:
        return torch.ones(len(states), dtype=torch.bool, device=states.entry.device)
    assert isinstance(problem.similarity, Similarity)
    likeness = 1 - _misfits(problem, states, view).sum((1, 2)) / 2
    everything = replace(xray, weights=xray.unmasked, unmasked=None)
    xrays = tuple(everything if number == view else one for number, one in enumerate(problem.xrays))
    square = problem.similarity.per_pixel(_misfits(replace(problem, xrays=xrays), states, view), xray.shape)
    within = xray.weights / xray.unmasked.clamp_min(1e-6)
    beyond, covered = (
        (square * part).sum((1, 2, 3)) / (xray.unmasked * part).sum((1, 2, 3)).clamp_min(1e-6)
        for part in (1 - within, within)
    )
    return (beyond < ALIKE * covered) & (likeness > LIKELY)


def _misfits(problem: PoseProblem, states: States, view: int) -> Features:
    moving, fixed = problem.features(states, view, derivatives=False)
    return (moving - fixed).square()


def counting(seen: ScaledXRay, whole: ScaledXRay, all_counts: Bool[Tensor, " entry"]) -> ScaledXRay:
    """The X-ray as the CT covers it, and all of it for entries where all counts."""
    if seen.unmasked is None or bool(all_counts.all()):
        return whole
    assert seen.counted is not None
    weights = torch.where(all_counts[:, None, None, None], whole.weights, seen.weights)
    return replace(seen, weights=weights, counted=seen.counted.masked_fill(all_counts, 1.0))


def _share(
    part: Float[Tensor, "entry 1 height width"], whole: Float[Tensor, "#entry 1 height width"]
) -> Float[Tensor, " entry"]:
    return (part * whole).sum((1, 2, 3)) / whole.sum((1, 2, 3))


def counted_in(xrays: Sequence[ScaledXRay], states: States) -> Float[Tensor, " entry"] | None:
    """The mean over the views of the share that the CT covers, of each of the states; None where it covers all."""
    shares = [xray.counted[states.entry] for xray in xrays if xray.counted is not None]
    if not shares:
        return None
    return 1 + (torch.stack(shares) - 1).sum(0) / len(xrays)
