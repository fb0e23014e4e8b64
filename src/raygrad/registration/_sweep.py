"""A sweep of views: from each direction one wide DRR, on which the X-ray is found by correlation, turned and scaled.

Of a pose's six numbers an image tells three by itself. What lies where across the beam is a shift of the image, how
deep it lies a scale, and a turn about the beam a turn of the image; so the X-ray is turned and scaled, and its
correlation with a DRR that shows more than the detector does is known at all shifts from a few Fourier transforms.
Only the two angles of the beam, and coarsely the depth, which changes the perspective, need a DRR each.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from raygrad.geometry import Intrinsics, views_from
from raygrad.pose import RigidTransform
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._view_ranges import ViewRanges, about_axis, cover_directions, cover_rolls, towards_axis
from raygrad.types import Matrices, Scores

STEP = math.radians(11.0)
"""Beams and turns in plane are so far apart, of which Levenberg and Marquardt's method makes up for half."""
DEPTH_STEP, SCALE_STEP = 1.32, 1.11
"""A DRR stands for depths that differ by the first factor; scales of the X-ray differ by the second."""
PIXELS = 26
"""Of the X-ray's longer side, at least, where its field is as wide as the shifts."""
WIDEST = 84
"""Pixels across the X-ray and its shifts to both sides, at most: of a small field there are fewer than `PIXELS`."""
LEAST = 8
"""But so many there are."""
BEST = 2
"""Poses of every DRR that are in the running: of different turns or scales."""
FLATTEST = 1e-2
"""What varies less under the X-ray than this share of the DRR's greatest line integral is taken to vary so much."""
AT_ONCE = 1 << 22
"""Numbers that a group of correlations has."""


@dataclass(frozen=True)
class _Camera:
    """The X-ray's camera with coarse pixels, square ones of `pixel` mm.

    Positions on the detector are mm along the camera's own axes, from the detector's centre or the DRR's.
    """

    image: Float[Tensor, "1 1 height width"]
    weights: Float[Tensor, "1 1 height width"]
    half_widths: tuple[float, float]
    centre: tuple[float, float]
    sdd: float
    pixel: float
    column: float
    magnifies: bool

    @staticmethod
    def of(xray: PreparedXRay, reach: float, magnification: float) -> "_Camera":
        """The camera of an X-ray that is to be shifted by up to so many mm at a magnification."""
        intrinsics = xray.detector.intrinsics.detached()
        sdd, delx, dely, x0, y0 = (float(length) for length in intrinsics.lengths)
        rows, columns = intrinsics.shape
        side = max(rows * dely, columns * delx)
        pixel = max(side / PIXELS, min((side + 2 * reach * magnification) / WIDEST, side / LEAST), delx, dely)
        size = (max(1, round(rows * dely / pixel)), max(1, round(columns * delx / pixel)))
        weights = xray.weights[None, None]
        shown = functional.adaptive_avg_pool2d(weights, size)
        image = functional.adaptive_avg_pool2d(xray.image * weights, size) / shown.clamp_min(1e-6)
        column = -1.0 if intrinsics.reverse_x_axis else 1.0
        half = (columns * delx / 2, rows * dely / 2)
        return _Camera(image, shown, half, (x0, y0), sdd, pixel, column, not intrinsics.parallel)

    def places(self, count: int) -> tuple[Float[Tensor, "1 column"], Float[Tensor, "row 1"]]:
        """X and y of the pixels of a square of so many, about its middle."""
        along = (torch.arange(count, dtype=torch.float64) - (count - 1) / 2) * self.pixel
        return self.column * along[None], -along[:, None]

    def template(self, turn: float, scale: float, count: int) -> tuple[Tensor, Tensor]:
        """The X-ray less its mean, times its weights, and these, turned and scaled, on a square of so many pixels."""
        x, y = _turned(*self.places(count), -turn)
        at = torch.stack([self.column * x / self.half_widths[0], -y / self.half_widths[1]], dim=-1) / scale
        both = torch.cat([self.image * self.weights, self.weights])
        product, weights = functional.grid_sample(both, at[None].to(both).expand(2, -1, -1, -1), align_corners=False)[
            :, 0
        ]
        return product - weights * product.sum() / weights.sum().clamp_min(1e-6), weights


@dataclass(frozen=True)
class _Variant:
    """One way in which the X-ray is laid on DRRs: turned, and as seen from a depth; where it shows the CT's centre."""

    turn: float
    depth: float
    x: Float[Tensor, "row column"]
    y: Float[Tensor, "row column"]


@dataclass(frozen=True)
class Found:
    """Poses, best first.

    Attributes:
        score: correlations of the X-ray and the DRR where they overlap.
        poses: camera_to_world before `reorient`, in float64 on the CPU.
    """

    score: Scores
    poses: Matrices


def sweep(xray: PreparedXRay, ranges: ViewRanges, centre: Float[Tensor, " 3"]) -> Found:
    """The poses within the ranges about the X-ray's start from which its DRRs are most like it.

    Correlation at all shifts is that of Padfield, "Masked object registration in the Fourier domain", IEEE TIP 21(5),
    2012, with a mask of the X-ray alone: DRRs are as wide as the shifts reach. A shift by what the camera turns about
    its source changes nothing of what the source sees; so poses keep the DRR's source, and look elsewhere.

    Args:
        xray: with one start, the middle.
        ranges: about it.
        centre: of the CT, in mm of the world.

    Raises:
        ValueError: depths behind the detector.
    """
    centre = centre.detach().cpu().double()
    reorient = xray.detector.reorient.matrix[0].detach().cpu().double()
    middle = xray.init.matrix[0].cpu().double() @ reorient
    place = middle[:3, :3].T @ (centre - middle[:3, 3])
    sdd = float(xray.detector.sdd)
    nearest, farthest = ranges.depths(sdd) if not xray.detector.parallel else (place[2].item(),) * 2
    tilt, turn, roll = ranges.radians()
    angles = cover_directions(tilt, turn, STEP)
    frames = middle[:3, :3] @ about_axis(1, angles[:, 1]) @ about_axis(0, angles[:, 0])
    rolls = cover_rolls(roll, STEP)
    reach = float(ranges.mm) + place[:2].abs().max().item()
    parts = []
    for depths in _bands(nearest, farthest, DEPTH_STEP):
        nominal = math.sqrt(depths[0] * depths[1])
        middles = [math.sqrt(one * other) for one, other in _bands(*depths, SCALE_STEP)]
        parts.append(_at_depth(xray, frames, centre, nominal, middles, rolls, reach, place, float(ranges.mm)))
    score, poses = torch.cat([part.score for part in parts]), torch.cat([part.poses for part in parts])
    order = score.argsort(descending=True, stable=True)
    return Found(score[order], poses[order] @ torch.linalg.inv(reorient))


def _at_depth(
    xray: PreparedXRay,
    frames: Float[Tensor, "direction 3 3"],
    centre: Float[Tensor, " 3"],
    nominal: float,
    depths: list[float],
    rolls: list[float],
    reach: float,
    place: Float[Tensor, " 3"],
    mm: float,
) -> Found:
    """The best poses of every direction, on DRRs whose source is `nominal` mm from the CT's centre."""
    magnified = 1.0 if xray.detector.parallel else float(xray.detector.sdd) / nominal
    camera = _Camera.of(xray, reach, magnified)
    scales = [depth / nominal if camera.magnifies else 1.0 for depth in depths]
    wide = max(abs(math.cos(turn)) + abs(math.sin(turn)) for turn in rolls) * max(scales)
    size = math.ceil(wide * 2 * max(camera.half_widths) / camera.pixel) + 1
    offset = max(abs(along) for along in camera.centre)
    side = _smooth(size + 2 * math.ceil((reach * magnified + offset) * max(scales) / camera.pixel))
    shifts = side - size + 1
    variants, templates, allowed = [], [], []
    for depth, scale in zip(depths, scales, strict=True):
        for turn in rolls:
            across, along = camera.places(shifts)
            x, y = _turned(-across, -along, -turn)  # where the DRR's middle is, seen from the X-ray's
            x, y = x / scale + camera.centre[0], y / scale + camera.centre[1]
            at_centre = depth / camera.sdd if camera.magnifies else 1.0
            most = mm + at_centre * camera.pixel / scale  # and so some pixel is within, however little mm are
            allowed.append(((x * at_centre - place[0]).abs() <= most) & ((y * at_centre - place[1]).abs() <= most))
            variants.append(_Variant(turn, depth, x, y))
            templates.append(torch.stack(camera.template(turn, scale, size)))
    device = xray.image.device
    within = torch.stack(allowed).to(device)
    products, weights = torch.stack(templates, dim=1)  # the X-ray's, and its weights', of every variant
    total = weights.sum((-2, -1))
    length = (products.square() / weights.clamp_min(1e-6)).sum((-2, -1)).sqrt()
    spectra = [torch.fft.rfft2(values, s=(side, side)).conj() for values in (products, weights)]

    wide_detector = xray.detector.with_intrinsics(
        Intrinsics(
            camera.sdd,
            side,
            side,
            camera.pixel,
            camera.pixel,
            reverse_x_axis=xray.detector.intrinsics.reverse_x_axis,
            parallel=not camera.magnifies,
        )
    )
    body = xray.whole.coarser(camera.pixel / magnified)
    reorient = xray.detector.reorient.matrix[0].detach().cpu().double()
    poses = _posed(frames, centre - nominal * frames[:, :, 2]) @ torch.linalg.inv(reorient)
    poses = poses.to(xray.init.matrix)
    scores, wheres = [], []
    for group in poses.split(max(1, AT_ONCE // (len(variants) * side**2))):
        image = body.march([views_from(wide_detector, RigidTransform(group))], xray.marching)
        image = image.reshape(-1, side, side)
        image = image / image.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(image.dtype).tiny)
        spectrum, of_square = torch.fft.rfft2(image)[:, None], torch.fft.rfft2(image.square())[:, None]
        overlap, mean, square = (
            torch.fft.irfft2(values, s=(side, side))[..., :shifts, :shifts]
            for values in (spectrum * spectra[0], spectrum * spectra[1], of_square * spectra[1])
        )
        variance = (square - mean.square() / total[:, None, None]).maximum(FLATTEST**2 * total[:, None, None])
        correlation = overlap / (variance.sqrt() * length[:, None, None].clamp_min(1e-12))
        correlation = torch.where(within, correlation, -2.0)
        height, at = correlation.flatten(2).max(2)
        score, variant = height.topk(min(BEST, len(variants)), dim=1)
        scores.append(score.cpu())
        wheres.append(torch.stack([variant, at.gather(1, variant)], dim=-1).cpu())
    score, where = torch.cat(scores), torch.cat(wheres)
    direction = torch.arange(len(frames)).repeat_interleave(score.shape[1])
    variant, at = where.flatten(0, 1).unbind(-1)
    x, y = (torch.stack([getattr(v, axis).flatten() for v in variants])[variant, at] for axis in ("x", "y"))
    turns, distances = (
        torch.tensor([getattr(v, name) for v in variants], dtype=torch.float64)[variant] for name in ("turn", "depth")
    )
    found = frames[direction] @ about_axis(2, turns)
    if camera.magnifies:
        rays = torch.stack([x, y, torch.full_like(x, camera.sdd)], dim=1)
        rays = rays / rays.norm(dim=1, keepdim=True)
        sources = centre - (distances / rays[:, 2])[:, None] * found[:, :, 2]
        found = found @ towards_axis(rays)
    else:
        sources = centre - (found @ torch.stack([x, y, distances], dim=1)[:, :, None])[:, :, 0]
    return Found(score.flatten().double(), _posed(found, sources))


def _posed(rotations: Float[Tensor, "batch 3 3"], sources: Float[Tensor, "batch 3"]) -> Matrices:
    poses = torch.eye(4).to(rotations).repeat(len(rotations), 1, 1)
    poses[:, :3, :3], poses[:, :3, 3] = rotations, sources
    return poses


def _turned(x: Tensor, y: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Points of a plane, turned from x to y."""
    c, s = math.cos(angle), math.sin(angle)
    return c * x - s * y, s * x + c * y


def _bands(nearest: float, farthest: float, factor: float) -> list[tuple[float, float]]:
    """A range of depths in as few equal parts as differ by no more than a factor."""
    count = max(1, math.ceil(math.log(farthest / nearest) / math.log(factor) - 1e-9))
    ends = [nearest * (farthest / nearest) ** (number / count) for number in range(count + 1)]
    return list(pairwise(ends))


def _smooth(least: int) -> int:
    """The smallest number from this on with no prime factor but 2, 3 and 5: Fourier transforms of these are fast."""
    number = least
    while True:
        rest = number
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 1
