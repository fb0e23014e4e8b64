"""What would help where nothing matched: the usual mistakes, each undone in turn until the images match."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from raygrad.geometry import UnknownGeometry, about
from raygrad.pose import RigidTransform
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._doubts.motions import Sight, angle_of, turn
from raygrad.registration._doubts.readings import (
    Change,
    best_of,
    flipped,
    one_pose,
    poses_of,
    reading,
    repeated,
    settled,
)
from raygrad.registration._doubts.told import Advice, Trial
from raygrad.registration._outcome import MATCH, match_of
from raygrad.registration._prepared import PreparedXRay
from raygrad.registration._problem.similarity import GlobalCorrelation, LocalCorrelation
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import SearchRanges, choose_distinct, distances, spread
from raygrad.types import Matrices

STAGES = (
    Stage(25, GlobalCorrelation(), iterations=6, tolerance=1.0, keep=4, margin=20.0),
    Stage(25, GlobalCorrelation(), iterations=15, tolerance=1.0, keep=3, margin=5.0),
    Stage(50, GlobalCorrelation(), iterations=8, tolerance=0.5, keep=2),
    Stage(50, LocalCorrelation(9), iterations=8, tolerance=0.3, keep=1),
)
NEAR, NEIGHBOURS, FEWER = SearchRanges(degrees=15.0, mm=25.0), 8, 4
WIDE, POSES, PROMISING = SearchRanges(degrees=75.0, mm=100.0), 2048, 24
SIZES = (0.5, 0.7, 1.4, 2.0)
"""Pixels are tried so many times as large, and settle at any size near these."""
SIZE = UnknownGeometry(pixel_size=0.5)
SAME_SIZE = 0.04
"""Pixels that differ by less are of the size that was given."""
ELSEWHERE = ("another start", "search, or a start that is closer")
DARKEST = 1e-5
"""No detector measures less of the beam, as in `to_line_integrals`."""
HOLE, FRAME, STRIP = 0.28, 0.2, 0.25
"""Of the image's sides: the radius of a round hole, a frame about it, strips along two of its sides."""

Weights = Float[Tensor, "height width"]


@dataclass(frozen=True)
class _Idea:
    """Something to try: what it is, and how."""

    name: str
    hint: str
    course: CoarseToFine
    candidates: Candidates
    calibrate: bool = False
    stops: bool = True


def advise(course: CoarseToFine, candidates: Refined, best: int) -> Advice:
    """Undo the usual mistakes one after the other, until the images match.

    Each goes through coarse stages from the start that the user gave, and a few poses about it: the X-ray inverted, or
    its logarithm taken; mirrored; turned by quarters, or taken from another side; with pixels of another size; with
    what is near its edges left out; from a start farther away.

    Args:
        course: of the registration, at its end.
        candidates: the entries of its result.
        best: which of them to advise.
    """
    match = match_of(course, candidates)[best].item()
    start = int(candidates.start[best])
    trials: list[Trial] = []
    for ideas in (_of_the_image(course, start), _of_the_camera(course, start)):
        for idea in ideas:
            trials.append(_tried(idea))
            if idea.stops and trials[-1].helps:
                break
        if any(trial.helps for trial in trials):
            break
    return Advice(match, MATCH, tuple(trials))


def _tried(idea: _Idea) -> Trial:
    """How well the images match after coarse stages."""
    candidates = idea.candidates
    for stage in STAGES:
        stage = replace(stage, calibrate=idea.calibrate)
        candidates = best_of(idea.course, settled(idea.course, candidates, stage), stage.keep, stage.margin)
    match = match_of(idea.course, candidates, idea.calibrate)
    top = int(match.argmax())
    name, hint = idea.name, idea.hint
    if idea.calibrate:
        size = candidates.states.intrinsics[top, 0, 3].exp().item()
        name, hint = f"pixels {size:.2f} times as large", hint.format(size * float(idea.course.xrays[0].detector.delx))
        if abs(size - 1) < SAME_SIZE:  # it was the way there that helped
            name, hint = ELSEWHERE
    if idea.name == "turned":
        name, hint = _which_turn(idea, candidates, top)
    return Trial(
        name, hint, match[top].item(), match[top].item() >= MATCH, one_pose(poses_of(idea.course, candidates)[top])
    )


# --- what is tried ---


def _of_the_image(course: CoarseToFine, start: int) -> Iterator[_Idea]:
    """What is alike, and all to be tried: mirrored and from behind, the negative and the logarithm."""
    near = _motions(course, NEAR, NEIGHBOURS)
    changes = [
        ("inverted", "bone is dark: give xray.max() - xray", _inverted),
        ("mirrored", "give xray.flip(-1), or a DRR with the other reverse_x_axis", flipped),
    ]
    if all(xray.image[0, 0][xray.weights > 0].min() >= 0 for xray in course.task.xrays):
        changes.insert(0, ("logarithm", "it holds intensities: give to_line_integrals(xray)", _logarithm))
    for name, hint, change in changes:
        other = _read(course, start, change)
        yield _Idea(name, hint, other, other.candidates(near), stops=False)
    if course.models.is_rigid:
        other = _read(course, start)
        yield _Idea("turned", "", other, _turned(other, near[:FEWER]), stops=False)


def _of_the_camera(course: CoarseToFine, start: int) -> Iterator[_Idea]:
    """Pixels of another size, edges that are to be hidden, a start that is farther away."""
    near = _motions(course, NEAR, NEIGHBOURS)
    if not any(xray.detector.parallel for xray in course.xrays):
        other = _read(course, start, unknowns=SIZE)
        candidates = _of_sizes(other, near[:FEWER])
        yield _Idea("pixel size", "delx of {:.3g} mm, or sdd by as much", other, candidates, calibrate=True)
    masks = {
        "all but a round field in the middle": _round,
        "a frame along the edges": _inner,
        "the upper and lower edge": _rows,
        "the left and right edge": _columns,
    }
    for what, shape in masks.items():
        other = _read(course, start, partial(_masked, shape=shape))
        yield _Idea(f"mask of {what}", "hide what the CT does not show: mask=", other, other.candidates(near))
    if course.models.is_rigid:
        other = _read(course, start)
        yield _Idea(*ELSEWHERE, other, _widely(other))


def _read(
    course: CoarseToFine, start: int, change: Change | None = None, unknowns: UnknownGeometry | None = None
) -> CoarseToFine:
    """With one of the starts alone, and what is known of the geometry taken to be exact but for these."""
    none = UnknownGeometry() if unknowns is None else unknowns
    return reading(course, lambda xray: _from(xray if change is None else change(xray), start), none)


def _from(xray: PreparedXRay, start: int) -> PreparedXRay:
    """With one of its starts alone."""
    return replace(xray, init=RigidTransform(xray.init.matrix[start : start + 1]))


def _motions(course: CoarseToFine, ranges: SearchRanges, count: int) -> Matrices:
    return about(course.centre, spread(ranges, count, 0).to(course.centre))


def _turned(course: CoarseToFine, few: Matrices) -> Candidates:
    """By quarters in the image, and about the image's upright, each with a few poses about it."""
    pose = course.xrays[0].init.matrix
    sight = Sight.of(course, pose)
    centre = course.centre.to(pose)[None]
    turns = [turn(axis, 90.0 * k, centre) for axis in (sight.beam, sight.up) for k in (1, 2, 3)]
    return course.candidates(torch.cat([few @ one for one in turns]))


def _which_turn(idea: _Idea, candidates: Candidates, top: int) -> tuple[str, str]:
    """Which of the turns it was."""
    course = idea.course
    pose = course.xrays[0].init.matrix
    sight, centre = Sight.of(course, pose), course.centre.to(pose)[None]
    way = poses_of(course, candidates)[top] @ pose[0].inverse()
    kinds = {}
    for k in (1, 2, 3):
        quarter = 90 * (k if k < 3 else -1)
        hint = "a start turned so, or torch.rot90(xray)"
        kinds[f"turned by {quarter} degrees in the image"] = (turn(sight.beam, 90.0 * k, centre), hint)
        side = {1: "from one side", 2: "from behind", 3: "from the other side"}[k]
        hint = f"a start turned by {quarter} degrees about the patient's long axis, or another orientation (AP, PA)"
        kinds[side] = (turn(sight.up, 90.0 * k, centre), hint)
    off = {name: angle_of(way[None] @ motion.inverse()).item() for name, (motion, _) in kinds.items()}
    name = min(off, key=lambda kind: off[kind])
    return name, kinds[name][1]


def _of_sizes(course: CoarseToFine, few: Matrices) -> Candidates:
    """With pixels of several sizes, each with a few poses about the start."""
    candidates = repeated(course.candidates(few), len(SIZES))
    intrinsics = candidates.states.intrinsics.clone()
    sizes = torch.tensor(SIZES).log().to(intrinsics)
    intrinsics[:, :, 3] = sizes.repeat(len(intrinsics) // len(sizes))[:, None]
    return replace(candidates, states=replace(candidates.states, intrinsics=intrinsics))


def _widely(course: CoarseToFine) -> Candidates:
    """The poses that look best of many, far about the start."""
    candidates = course.candidates(_motions(course, WIDE, POSES))
    score = course.problem(candidates, STAGES[0]).score(candidates.states.renumbered())
    best = score.argsort(descending=True, stable=True)[: 8 * PROMISING]
    poses = poses_of(course, candidates[best])
    apart = distances(poses, poses, course.centre, course.radius)
    kept = choose_distinct(torch.zeros_like(best), score[best], apart, PROMISING, margin=float("inf"))
    return candidates[best[kept]]


# --- the X-ray ---


def _inverted(xray: PreparedXRay) -> PreparedXRay:
    shown = xray.image[0, 0][xray.weights > 0]
    return replace(xray, image=(shown.max() - xray.image).clamp_min(0))


def _logarithm(xray: PreparedXRay) -> PreparedXRay:
    shown = xray.image[0, 0][xray.weights > 0]
    return replace(xray, image=-(xray.image / shown.max()).clamp(DARKEST, 1.0).log())


def _masked(xray: PreparedXRay, shape: Callable[[Tensor, Tensor], Tensor]) -> PreparedXRay:
    height, width = xray.weights.shape
    rows, columns = (torch.arange(n, device=xray.weights.device) + 0.5 for n in (height, width))
    shown = shape(rows[:, None] / height - 0.5, columns[None] / width - 0.5)
    weights = xray.weights * shown.to(xray.weights)
    return replace(xray, weights=weights) if weights.max() > 0 else xray


def _round(row: Tensor, column: Tensor) -> Tensor:
    return row.square() + column.square() < HOLE**2


def _inner(row: Tensor, column: Tensor) -> Tensor:
    return (row.abs() < 0.5 - FRAME) & (column.abs() < 0.5 - FRAME)


def _rows(row: Tensor, column: Tensor) -> Tensor:
    return (row.abs() < 0.5 - STRIP) & (column.abs() < 1)


def _columns(row: Tensor, column: Tensor) -> Tensor:
    return (row.abs() < 1) & (column.abs() < 0.5 - STRIP)
