"""Which shadow is which ball's: from many poses about a first guess, each drawn to the shadows that are nearest."""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.quasirandom import SobolEngine

from raygrad.registration._balls.camera import UNKNOWNS, BallCamera, Balls, Pixels

ROUNDS = 25
"""Steps of a candidate towards the shadows; the reach within which it looks for them shrinks with each."""

WIDE, NARROW = 0.25, 0.015
"""That reach, in parts of the shadows' spread."""

SHIFTS = torch.tensor([40.0, 40.0, 60.0], dtype=torch.float64)
"""How far candidates are moved, in mm along the camera's axes, for phantoms of which part is seen."""

TRIED = 12
"""Candidates whose intrinsics are fitted too."""


class Match(NamedTuple):
    """A camera, and which shadow each ball has, -1 for none."""

    camera: BallCamera
    shadow: Int[Tensor, " ball"]
    rms: float

    @property
    def found(self) -> int:
        """Balls that have a shadow."""
        return int((self.shadow >= 0).sum())


def match_balls(
    camera: BallCamera, balls: Balls, shadows: Float[Tensor, "shadow 2"], degrees: float, gate: float, seed: int
) -> list[Match]:
    """Match balls and shadows, each at most once; several different matches, the best first.

    Args:
        camera: the first guess.
        balls: their centres.
        shadows: pixel coordinates.
        degrees: the guess's turns may be so far off.
        gate: pixels, beyond which in the end a shadow is not a ball's.
        seed: of the candidates.
    """
    spread = float((shadows - shadows.mean(0)).square().sum(1).mean().sqrt())
    cameras = _candidates(camera, balls, shadows, degrees, seed)
    for reach in torch.logspace(0, 1, ROUNDS, base=NARROW / WIDE).tolist():
        pairs = _mutual(cameras.project(balls), shadows, max(gate, WIDE * spread * reach))
        cameras = cameras.moved(_step(cameras, balls, shadows, pairs, 6), balls)
    pairs = _mutual(cameras.project(balls), shadows, max(gate, 2 * NARROW * spread))
    found: list[Match] = []
    for one in pairs.ge(0).sum(1).argsort(descending=True, stable=True)[:TRIED].tolist():
        single = replace(cameras, world_to_camera=cameras.world_to_camera[one], lengths=cameras.lengths[one])
        match = _refined(single, balls, shadows, pairs[one], gate)
        if match is not None and not any(torch.equal(match.shadow, other.shadow) for other in found):
            found.append(match)
    return sorted(found, key=lambda match: (-match.found, match.rms))


def _candidates(
    camera: BallCamera, balls: Balls, shadows: Float[Tensor, "shadow 2"], degrees: float, seed: int
) -> BallCamera:
    """The guess turned many ways: as it is, moved, and with its middle and its size brought to those of the shadows."""
    count = 64 if degrees <= 5 else (256 if degrees <= 30 else 2048)
    draws = 2 * SobolEngine(6, scramble=True, seed=seed).draw(count, dtype=torch.float64) - 1
    turns = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64)) * draws[:, :3]
    turns[0] = 0.0
    steps = torch.zeros(count, UNKNOWNS, dtype=torch.float64)
    steps[:, 3:6] = turns
    lengths = camera.lengths.expand(count, 3)
    plain = replace(camera, world_to_camera=camera.world_to_camera.expand(count, 4, 4), lengths=lengths)
    aligned = plain.moved(steps, balls)
    plain = aligned
    steps[:, :3] = SHIFTS * draws[:, 3:]
    moved = replace(plain, world_to_camera=camera.world_to_camera.expand(count, 4, 4)).moved(steps, balls)
    for _ in range(3):
        seen = aligned.project(balls)
        size = (seen - seen.mean(1, keepdim=True)).square().sum(-1).mean(1).sqrt()
        wanted = (shadows - shadows.mean(0)).square().sum(-1).mean().sqrt()
        away = torch.zeros(count, UNKNOWNS, dtype=torch.float64)
        depth = aligned.placed(balls).mean(1)[:, 2]
        away[:, 2] = depth * (size / wanted).clamp(0.5, 2.0) - depth
        aligned = aligned.moved(away, balls)
        by_shift = aligned.jacobian(balls)[..., :2].mean(1)
        away = torch.zeros(count, UNKNOWNS, dtype=torch.float64)
        away[:, :2] = torch.linalg.solve(by_shift, shadows.mean(0) - aligned.project(balls).mean(1))
        aligned = aligned.moved(away, balls)
    kinds = [plain.world_to_camera, aligned.world_to_camera, moved.world_to_camera]
    return replace(camera, world_to_camera=torch.cat(kinds), lengths=lengths.repeat(len(kinds), 1))


def _mutual(seen: Pixels, shadows: Float[Tensor, "shadow 2"], reach: float) -> Int[Tensor, "*candidate ball"]:
    """The shadow nearest to each ball whose nearest ball it is, within reach; -1 for none."""
    far = torch.cdist(seen, shadows.expand(*seen.shape[:-2], *shadows.shape))
    near, shadow = far.min(-1)
    back = far.min(-2).indices.gather(-1, shadow)
    mine = (back == torch.arange(seen.shape[-2])) & (near <= reach)
    return torch.where(mine, shadow, -1)


def _step(
    cameras: BallCamera,
    balls: Balls,
    shadows: Float[Tensor, "shadow 2"],
    pairs: Int[Tensor, "*candidate ball"],
    free: int,
) -> Float[Tensor, "*candidate unknown"]:
    """A damped step of Gauss and Newton towards the matched shadows in the first so many unknowns."""
    used = (pairs >= 0).to(balls)[..., None]
    residual = (shadows[pairs.clamp_min(0)] - cameras.project(balls)) * used
    design = (cameras.jacobian(balls)[..., :free] * used[..., None]).flatten(-3, -2)
    normal = design.mT @ design
    diagonal = torch.diag_embed(normal.diagonal(dim1=-2, dim2=-1) * 1e-3 + 1e-9)
    step = torch.linalg.solve(normal + diagonal, (design.mT @ residual.flatten(-2)[..., None])[..., 0])
    reach = step[..., 3:6].norm(dim=-1, keepdim=True) / 0.2  # radians
    whole = torch.zeros(*step.shape[:-1], UNKNOWNS, dtype=step.dtype)
    whole[..., :free] = step / reach.clamp_min(1.0)
    return whole


def _refined(
    camera: BallCamera, balls: Balls, shadows: Float[Tensor, "shadow 2"], pairs: Int[Tensor, " ball"], gate: float
) -> Match | None:
    """Fit all unknowns to a match, and match anew within the gate; None where too few are left."""
    for _ in range(15):
        if int((pairs >= 0).sum()) < 6:
            return None
        for _ in range(4):
            camera = camera.moved(_step(camera, balls, shadows, pairs, UNKNOWNS), balls)
        if not bool(torch.isfinite(camera.world_to_camera).all()) or not float(camera.lengths[0]) > 0:
            return None
        before, pairs = pairs, _mutual(camera.project(balls), shadows, gate)
        if torch.equal(before, pairs):
            break
    if int((pairs >= 0).sum()) < 6:
        return None
    used = pairs >= 0
    residual = (shadows[pairs.clamp_min(0)] - camera.project(balls))[used]
    return Match(camera, pairs, float(residual.square().mean().sqrt()))
