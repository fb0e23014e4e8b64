"""Calibration of an X-ray system from one image of a phantom with balls whose places are known."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from raygrad._progress import Status
from raygrad.geometry import ConeViews
from raygrad.registration._balls.camera import UNKNOWNS, BallCamera, Balls
from raygrad.registration._balls.matching import Match, match_balls
from raygrad.registration._balls.shadows import Shadow, find_shadows, measure_shadow

LEAST = 6
"""Balls that have to be found: each gives two numbers, and nine are unknown."""

FLAT = 0.05
"""Balls whose extent across the plane nearest to them is less than this part of their largest one lie in a plane."""

ROUNDS = 4
"""Times that shadows are measured with the geometry that the last measurement gave."""

SETTLED = 1e-3
"""Pixels by which balls' places have to move for another round."""

GOOD_PIXELS = 0.5
"""Root mean square residual in pixels above which shadows are not those of this phantom."""


OUTLYING, LEAST_OFF = 5.0, 0.1
"""A shadow so many times farther off than the median one, and so many pixels, is spoilt by something else."""


@dataclass(frozen=True, eq=False)
class BallCalibration:
    """The geometry that an image of a phantom with balls was taken with.

    Attributes:
        matrix: from (x, y, z, 1) in the phantom's mm to (u w, v w, w), with (u, v) counted from the outer corner of the
            first pixel and w the depth in mm, as in files of projection matrices.
        matrix_covariance: (12, 12), of the matrix's elements row by row; of rank 9.
        covariance: (9, 9), of the unknowns: shift in mm and turn in radians of the phantom along and about the camera's
            axes, about the middle of its balls; sdd, x0 and y0 in mm.
        views: the view as raygrad renders it and `raygrad.formats.write_geometry` writes it: detector and pose.
        found: which balls the calibration rests on.
        measured: pixel coordinates that the balls' centres are projected to, by their shadows; NaN where not found.
        residuals: `measured` less what the matrix says, in pixels; NaN where not found.
        status: `CONVERGED`; `NO_MATCH` where too few balls are found or they do not fit, and the geometry is the first
            guess; `AMBIGUOUS` where balls can be told apart in another way that fits as well: of these ways this is the
            one with the least turn.
    """

    matrix: Float[Tensor, "3 4"]
    matrix_covariance: Float[Tensor, "12 12"]
    covariance: Float[Tensor, "9 9"]
    views: ConeViews
    found: Bool[Tensor, " ball"]
    measured: Float[Tensor, "ball 2"]
    residuals: Float[Tensor, "ball 2"]
    status: Status

    @property
    def rms(self) -> float:
        """The root mean square residual of a coordinate in pixels; NaN where no ball is found."""
        return float(self.residuals[self.found].square().mean().sqrt())

    def __repr__(self) -> str:
        return (
            f"BallCalibration({self.status}, {int(self.found.sum())} of {len(self.found)} balls, {self.rms:.3f} pixels)"
        )


@torch.no_grad()
def calibrate_from_balls(
    image: Tensor | np.ndarray,
    centres: Any,
    radii: Any,
    view: ConeViews,
    *,
    degrees: float | int = 20.0,
    mask: Tensor | np.ndarray | None = None,
    seed: int = 0,
) -> BallCalibration:
    """Find detector and pose from one X-ray of a phantom with balls, and how sure they are.

    `raygrad.calibrate` refines the geometry of a sweep by its volume, `register(unknowns=...)` that of X-rays by a CT;
    this needs neither, but balls whose places in the phantom are known. Their shadows are found, told apart by poses
    tried about a first guess, and measured by fitting each ball's exact image on a smooth background: the middle of a
    shadow, an ellipse, is not where the ball's centre is projected to. Then sdd, the detector's centre and the pose are
    fitted to all of them by least squares, each weighted by its own covariance. The size of a pixel is taken as known.

    Args:
        image: line integrals (height, width), or anything in which balls are dark or bright disks.
        centres: (ball, 3) in mm in the phantom's frame, which becomes the world's. Not all in one plane: then sdd and
            depth cannot be told apart.
        radii: of the balls in mm; one, or each its own.
        view: a first guess, one view: the detector with its true pixels, and a pose.
        degrees: the guess's turns may be so far off; up to 180. Shifts, and sdd within a tenth, follow by themselves.
        mask: pixels that count, 0 for others.
        seed: of the poses that are tried.

    Raises:
        TypeError: `view` is none.
        ValueError: shapes that do not fit, fewer than six balls, balls in a plane, radii that are not positive, or an
            image that is not finite.
    """
    pixels, counted = _checked_image(image, mask, view)
    balls, sizes = _checked_balls(centres, radii)
    camera = BallCamera.of(view)
    if not bool((camera.placed(balls)[:, 2] > sizes).all()):
        raise ValueError("Expected a first guess with all balls in front of the source. Got one with balls behind it.")
    expected = camera.pixel_radii(balls, sizes)
    shadows = find_shadows(pixels, counted, _distinct(expected), len(balls))
    gate = max(2.0, 0.5 * float(expected.median()))
    if len(shadows) < LEAST:
        return _nothing(camera, view, len(balls))
    matches = match_balls(camera, balls, shadows, float(degrees), gate, seed)
    if not matches:
        return _nothing(camera, view, len(balls))
    rivals = [match for match in matches if _rivals(matches[0], match)]
    best = min(rivals, key=lambda match: _turn(camera, match.camera))
    fit = _fitted(pixels, counted, best.camera, balls, sizes, shadows[best.shadow.clamp_min(0)], best.shadow >= 0)
    if fit is None or fit.rms > GOOD_PIXELS or int(fit.used.sum()) < max(LEAST, len(balls) // 2):
        return _nothing(camera, view, len(balls))
    status = Status.AMBIGUOUS if len(rivals) > 1 else Status.CONVERGED
    return fit.calibration(view, balls, status)


@dataclass(frozen=True, eq=False)
class _Fit:
    camera: BallCamera
    used: Bool[Tensor, " ball"]
    measured: Float[Tensor, "ball 2"]
    covariance: Float[Tensor, "9 9"]
    residuals: Float[Tensor, "ball 2"]

    @property
    def rms(self) -> float:
        return float(self.residuals[self.used].square().mean().sqrt())

    def calibration(self, view: ConeViews, balls: Balls, status: Status) -> BallCalibration:
        by_unknowns = self.camera.matrix_jacobian(balls)
        of_matrix = by_unknowns @ self.covariance @ by_unknowns.mT
        missed = ~self.used[:, None]
        return BallCalibration(
            self.camera.matrix(),
            of_matrix,
            self.covariance,
            self.camera.view(view),
            self.used,
            self.measured.masked_fill(missed, math.nan),
            self.residuals.masked_fill(missed, math.nan),
            status,
        )


def _fitted(
    image: Tensor,
    counted: Tensor,
    camera: BallCamera,
    balls: Balls,
    radii: Tensor,
    near: Float[Tensor, "ball 2"],
    matched: Bool[Tensor, " ball"],
) -> _Fit | None:
    """Measure the shadows with the geometry known so far, fit it to them, and again."""
    places = torch.where(matched[:, None], near, camera.project(balls))
    fitting = torch.ones_like(matched)
    for _ in range(ROUNDS):
        shadows: list[Shadow | None] = [
            measure_shadow(image, counted, camera, balls, number, radii, place) if fits else None
            for number, (place, fits) in enumerate(zip(places, fitting.tolist(), strict=True))
        ]
        used = torch.tensor([shadow is not None for shadow in shadows])
        if int(used.sum()) < LEAST or _is_flat(balls[used]):
            return None
        measured = torch.stack([p if s is None else s.centre for p, s in zip(places, shadows, strict=True)])
        whitening = torch.stack(
            [torch.zeros(2, 2).double() if s is None else _whitening(s.covariance) for s in shadows]
        )
        for _ in range(20):
            residuals = measured - camera.project(balls)
            design = (whitening @ camera.jacobian(balls)).flatten(0, 1)
            scaled = design / design.norm(dim=0)
            step = torch.linalg.lstsq(scaled, (whitening @ residuals[..., None]).flatten()).solution
            step = step / design.norm(dim=0)
            camera = camera.moved(step, balls)
            if float((camera.jacobian(balls) @ step).abs().max()) < 1e-7:
                break
        before, places = places, camera.project(balls)
        off = (measured - places).norm(dim=1)
        fits, fitting = fitting, off <= max(OUTLYING * float(off[used].median()), LEAST_OFF)
        if torch.equal(fits & used, fitting & used) and float((places - before)[used].abs().max()) < SETTLED:
            break
    residuals = measured - places
    square = (whitening @ residuals[..., None]).square().sum()
    factor = square / max(1, 2 * int(used.sum()) - UNKNOWNS)
    inverse = torch.linalg.inv(scaled.mT @ scaled) / torch.outer(design.norm(dim=0), design.norm(dim=0))
    return _Fit(camera, used, measured, factor * inverse, residuals)


def _whitening(covariance: Float[Tensor, "2 2"]) -> Float[Tensor, "2 2"]:
    """What makes residuals of this covariance independent, with a variance of 1."""
    floor = 1e-12 * torch.eye(2, dtype=covariance.dtype)
    return torch.linalg.inv(torch.linalg.cholesky(covariance + floor))


def _turn(camera: BallCamera, other: BallCamera) -> float:
    """By how much the phantom has turned, in radians."""
    turns = (camera.world_to_camera[:3, :3], other.world_to_camera[:3, :3])
    return float(roma.rotmat_geodesic_distance(*turns))


def _rivals(best: Match, other: Match) -> bool:
    """Whether another match is as good, the best one itself too."""
    return other.found >= best.found and other.rms < max(2 * best.rms, 0.3)


def _distinct(radii: Tensor) -> list[float]:
    """The radii, without those that another one's search covers."""
    kept: list[float] = []
    for radius in radii.sort().values.tolist():
        if not kept or radius > 1.2 * kept[-1]:
            kept.append(radius)
    return kept


def _nothing(camera: BallCamera, view: ConeViews, count: int) -> BallCalibration:
    unknown = torch.full((count, 2), math.nan, dtype=torch.float64)
    infinite = [torch.full((side, side), math.nan, dtype=torch.float64) for side in (12, UNKNOWNS)]
    none = torch.zeros(count, dtype=torch.bool)
    return BallCalibration(
        camera.matrix(), infinite[0], infinite[1], camera.view(view), none, unknown, unknown, Status.NO_MATCH
    )


def _is_flat(balls: Balls) -> bool:
    extents = torch.linalg.svdvals(balls - balls.mean(0))
    return bool(extents[2] < FLAT * extents[0])


def _checked_image(image: Tensor | np.ndarray, mask: Any, view: ConeViews) -> tuple[Tensor, Tensor]:
    if not isinstance(view, ConeViews):
        raise TypeError(f"Expected a first guess as raygrad.geometry.ConeViews. Got {type(view).__name__}.")
    if len(view) != 1 or view.calibration is not None:
        raise ValueError("Expected a first guess of one view with the detector's own intrinsics. Got another.")
    pixels = torch.as_tensor(image).detach().cpu().double()
    if pixels.squeeze().shape != view.image_shape:
        raise ValueError(f"Expected an image of {view.image_shape}, as the view has. Got {tuple(pixels.shape)}.")
    pixels = pixels.reshape(view.image_shape)
    counted = torch.ones_like(pixels, dtype=torch.bool)
    if mask is not None:
        counted = torch.as_tensor(mask).detach().cpu().squeeze() != 0
        if counted.shape != pixels.shape:
            raise ValueError(f"Expected a mask of {view.image_shape}, as the image. Got {tuple(counted.shape)}.")
    if not bool(counted.any()) or not bool(torch.isfinite(pixels[counted]).all()):
        raise ValueError("Expected finite pixels that count. Got NaN or infinite ones, or none.")
    return torch.where(counted, pixels, 0.0), counted


def _checked_balls(centres: Any, radii: Any) -> tuple[Balls, Float[Tensor, " ball"]]:
    balls = torch.as_tensor(centres).detach().cpu().double()
    if balls.ndim != 2 or balls.shape[1] != 3 or not bool(torch.isfinite(balls).all()):
        raise ValueError(f"Expected finite centres (ball, 3). Got {tuple(balls.shape)}.")
    if len(balls) < LEAST:
        raise ValueError(f"Expected at least {LEAST} balls: nine numbers are unknown. Got {len(balls)}.")
    if _is_flat(balls):
        raise ValueError("Expected balls not all near one plane: there sdd and depth look alike. Got such ones.")
    sizes = torch.as_tensor(radii).detach().cpu().double()
    if sizes.ndim > 1 or sizes.numel() not in (1, len(balls)) or not bool((sizes > 0).all() & sizes.isfinite().all()):
        raise ValueError(f"Expected a positive radius, or one for each of {len(balls)} balls. Got {sizes.tolist()}.")
    return balls, sizes.expand(len(balls)).clone()
