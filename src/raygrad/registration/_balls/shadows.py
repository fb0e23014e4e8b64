"""Shadows of balls in an image: where they are at all, and where exactly that of a known ball is."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from raygrad.registration._balls.camera import BallCamera, Balls

Image = Float[Tensor, "height width"]

ALIKE = 0.55
"""A shadow correlates so well with that of a ball; noise and edges do not."""

FAINT = 0.3
"""Shadows of balls that seem less dense than this part of the usual one are noise."""

ABOUT = 1.7
"""How many radii about a shadow its surroundings reach."""

AROUND = 2.0
"""And those with which it is measured."""

SCALES = (0.8, 1.0, 1.25)
"""Radii that are looked for, in parts of the one that is expected."""

ROUNDS, FINE = 8, 3
"""Steps of a shadow's fit, and points along the side of a pixel."""

SIGNIFICANT = 6.0
"""Standard deviations that a ball's contrast has to be above nothing."""


def find_shadows(
    image: Image, counted: Bool[Tensor, "height width"], radii: list[float], count: int
) -> Float[Tensor, "shadow 2"]:
    """Where disks like the shadows of balls are, dark or bright but all alike.

    Args:
        image: any unit.
        counted: pixels that count.
        radii: in pixels, that shadows may have.
        count: of balls; of shadows up to three times as many are given, and ten.

    Returns:
        Pixel coordinates to about half a pixel, from the first pixel's outer corner; the clearest first.
    """
    best, reach, contrast = (torch.zeros_like(image) for _ in range(3))
    for radius in sorted({max(1.2, round(radius * scale, 1)) for radius in radii for scale in SCALES}):
        alike, dense = _likeness(image, counted, radius)
        better = alike.abs() > best.abs()
        best, contrast = torch.where(better, alike, best), torch.where(better, dense, contrast)
        reach = torch.where(better, radius, reach)
    dark, bright = (((sign * best).clamp_min(0) ** 8 * contrast.square()).sum() for sign in (-1, 1))
    best, contrast = (-best, -contrast) if dark > bright else (best, contrast)
    window = 2 * max(1, math.floor(min(radii))) + 1
    peaks = (functional.max_pool2d(best[None, None], window, 1, window // 2)[0, 0] == best) & (best > ALIKE)
    found = torch.nonzero(peaks)[best[peaks].argsort(descending=True)]
    kept: list[int] = []
    for one, (row, column) in enumerate(found.tolist()):  # the best of those that overlap
        apart = (found[kept] - found[one]).double().norm(dim=1)
        if not bool((apart < 1.2 * reach[row, column]).any()):
            kept.append(one)
    found = found[kept]
    if len(found) == 0:
        return found.double()
    dense = contrast[found[:, 0], found[:, 1]]
    usual = dense.sort(descending=True).values[:count].median()
    found = found[dense > FAINT * usual][: 3 * count + 10]
    return found.flip(1).double() + 0.5


def _likeness(image: Image, counted: Bool[Tensor, "height width"], radius: float) -> tuple[Image, Image]:
    """The correlation of each pixel's surroundings with a ball's shadow, 0 near what does not count; and how dense
    that ball would be.
    """
    half = math.ceil(ABOUT * radius)
    side = torch.arange(-half, half + 1, dtype=image.dtype)
    distance = (side[:, None].square() + side.square()).sqrt()
    inside = (distance <= ABOUT * radius).to(image.dtype)
    disk = (1 - (distance / radius).square()).clamp_min(0.0).sqrt()
    disk = (disk - (disk * inside).sum() / inside.sum()) * inside
    shifted = torch.where(counted, image - image[counted].mean(), 0.0)
    planes = torch.stack([shifted, shifted.square(), (~counted).to(image.dtype)])
    product = _correlated(shifted[None], disk)[0]
    total, square, missing = _correlated(planes, inside)
    spread = (square - total.square() / inside.sum()).clamp_min(0.0)
    floor = 1e-12 * square.max() + torch.finfo(image.dtype).tiny
    likeness = product / (disk.square().sum() * spread.clamp_min(floor)).sqrt()
    likeness = torch.where((missing > 0.5) | (spread <= floor), 0.0, likeness)
    likeness[:half], likeness[:, :half], likeness[-half:], likeness[:, -half:] = 0.0, 0.0, 0.0, 0.0
    return likeness, product / (disk.square().sum() * radius)


def _correlated(planes: Float[Tensor, "plane height width"], kernel: Tensor) -> Float[Tensor, "plane height width"]:
    """Each plane's correlation with a kernel, by Fourier transforms."""
    height, width = (planes.shape[axis] + kernel.shape[axis - 1] for axis in (1, 2))
    half = kernel.shape[0] // 2
    product = torch.fft.rfft2(planes, (height, width)) * torch.fft.rfft2(kernel, (height, width)).conj()
    full = torch.fft.irfft2(product, (height, width)).roll((half, half), (1, 2))
    return full[:, : planes.shape[1], : planes.shape[2]]


class Shadow(NamedTuple):
    """Where a ball's centre is projected to, as its shadow says: pixel coordinates, and their covariance."""

    centre: Float[Tensor, " 2"]
    covariance: Float[Tensor, "2 2"]


def measure_shadow(
    image: Image,
    counted: Bool[Tensor, "height width"],
    camera: BallCamera,
    balls: Balls,
    number: int,
    radii: Float[Tensor, " ball"],
    near: Float[Tensor, " 2"],
) -> Shadow | None:
    """Fit a ball's exact image, shifted, to what surrounds a pixel, on a background that is quadratic.

    The middle of a ball's shadow, an ellipse, is not where its centre is projected to: the image that is fitted has
    that difference in it.

    Returns:
        None where there is no such shadow, or other balls' or uncounted pixels are in the way.
    """
    expected = camera.project(balls)
    radius = float(camera.pixel_radii(balls, radii)[number])
    half = math.ceil(AROUND * radius) + 1
    first = (near - half).floor().long().clamp_min(0)
    last = (near + half).ceil().long()
    rows, columns = (slice(int(first[axis]), int(last[axis])) for axis in (1, 0))
    patch = image[rows, columns]
    down, across = (torch.arange(size, dtype=image.dtype) for size in patch.shape)
    pixels = torch.stack([across.expand(patch.shape), down[:, None].expand(patch.shape)], -1) + first.to(image) + 0.5
    used = counted[rows, columns] & ((pixels - near).norm(dim=-1) <= half)
    others = torch.arange(len(balls)) != number
    gaps = (pixels[..., None, :] - expected[others] - (near - expected[number])).norm(dim=-1)
    free = gaps > 1.1 * camera.pixel_radii(balls, radii)[others] + 1.0
    used &= free.all(-1)
    core = (pixels - near).norm(dim=-1) <= radius
    if int(used.sum()) < 18 or int((used & core).sum()) < 0.8 * math.pi * radius**2:
        return None
    place = camera.placed(balls)[number]
    offsets = (torch.arange(FINE, dtype=image.dtype) + 0.5) / FINE - 0.5
    fine = torch.cartesian_prod(offsets, offsets)
    points, values = pixels[used], patch[used]
    x, y = ((points - near) / half).unbind(-1)
    smooth = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], -1)
    shift = near - expected[number]

    def seen(at: Tensor) -> Tensor:
        return camera.thickness(place, float(radii[number]), points[:, None] + fine - at).mean(1)

    nudge = 0.5 * torch.eye(2, dtype=image.dtype)
    for _ in range(ROUNDS):
        ball = seen(shift)
        fitted = torch.linalg.lstsq(torch.cat([ball[:, None], smooth], -1), values).solution
        slopes = [fitted[0] * (seen(shift + one) - seen(shift - one)) for one in nudge]
        design = torch.cat([torch.stack(slopes, -1), ball[:, None], smooth], -1)
        residual = values - torch.cat([ball[:, None], smooth], -1) @ fitted
        normal = design.mT @ design
        if not bool(torch.isfinite(normal).all()) or torch.linalg.matrix_rank(normal, hermitian=True) < len(normal):
            return None
        step = torch.linalg.solve(normal, design.mT @ residual)[:2]
        shift = shift + step * min(1.0, 0.5 * radius / max(float(step.norm()), 1e-12))
        if float(step.norm()) < 1e-4:
            break
    variance = residual.square().sum() / (len(values) - normal.shape[0])
    covariance = variance * torch.linalg.inv(normal)
    centre = expected[number] + shift
    if (centre - near).norm() > radius or not fitted[0].abs() > SIGNIFICANT * covariance[2, 2].sqrt():
        return None
    return Shadow(centre, covariance[:2, :2])
