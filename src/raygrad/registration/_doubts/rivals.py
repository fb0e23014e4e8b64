"""Rivals of poses that converged: what sees nearly the same, tried before anybody believes the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from raygrad.geometry import UnknownGeometry
from raygrad.registration._coarse_to_fine import Candidates, CoarseToFine, Refined
from raygrad.registration._doubts.motions import (
    DIFFERENT_DEGREES,
    LEVELS_MM,
    Sight,
    angle_of,
    describe_motion,
    levels_of,
    reflection,
    shift,
    turn,
)
from raygrad.registration._doubts.readings import (
    flipped,
    joined,
    moved,
    one_pose,
    poses_of,
    reading,
    repeated,
    settled,
)
from raygrad.registration._doubts.told import Rival
from raygrad.registration._problem.similarity import GlobalCorrelation, LocalCorrelation
from raygrad.registration._schedule import Stage
from raygrad.registration._solver.candidates import APART_MM, SAME, distances
from raygrad.types import Matrices, Scores

COARSE = Stage(25, GlobalCorrelation(), iterations=5, tolerance=1.0)
CLOSE = Stage(50, LocalCorrelation(9), iterations=6, tolerance=0.3, calibrate=True)
CLOSER = Stage(100, LocalCorrelation(9), iterations=8, tolerance=0.1, calibrate=True)
PROMISING = 0.5
"""Before that they need so much of their answer's score."""
RUNNING, RUNNING_ON = 2.0, 1.3
"""At `CLOSE` and `CLOSER` rivals stay in the running whose score lacks at most so many times as much to 1."""
NO_ROOM = 0.96
"""Answers with such a score at `CLOSE` leave no room for a mirrored X-ray to match clearly better."""
LIKELY, CLEARLY = 1.1, 1.15
"""An X-ray read another way has to lack so many times less at `CLOSE`, and at `CLOSER`."""
SIZE_OFF = 0.05
"""Pixels of another size are of one that differs by so much, relative."""
SIZE = UnknownGeometry(pixel_size=0.3)
ONE_MM = 1.0
"""Starts that ended so close to each other have the same rivals."""


@dataclass(frozen=True)
class Found:
    """What became of the rivals of some starts.

    Attributes:
        rivals: of every start.
        better: the motion of the camera to a pose that is clearly better, of the starts that have one.
    """

    rivals: tuple[tuple[Rival, ...], ...]
    better: dict[int, Float[Tensor, "4 4"]]


def find_rivals(course: CoarseToFine, candidates: Refined, asked: Sequence[bool], equal: float) -> Found:
    """What matches as well as the answers, of those that are asked.

    Tried are: from the other side, mirrored in the patient's own middle, turned by 180 degrees in the image, a vertebra
    further up and down; the X-ray mirrored; pixels of another size, which a pose at another depth makes up for. All go
    through two coarse stages together, and what is then in the running through finer ones up to the last.

    Args:
        course: of the registration, at its end.
        candidates: the best of every start.
        asked: of which starts.
        equal: a pose is as good as another whose score lacks at most so many times less to 1.
    """
    numbers = [number for number, wanted in enumerate(asked) if wanted]
    heads = _one_of_each(course, candidates, numbers)
    rivals: list[tuple[Rival, ...]] = [()] * len(asked)
    better: dict[int, Float[Tensor, "4 4"]] = {}
    if heads:
        chosen = torch.tensor(sorted(heads), device=candidates.start.device)
        found = _Trials(course, candidates[chosen], equal).run()
        for place, head in enumerate(chosen.tolist()):
            for number in heads[head]:
                rivals[number] = found.rivals[place]
                if place in found.better:
                    better[number] = found.better[place]
    return Found(tuple(rivals), better)


def _one_of_each(course: CoarseToFine, candidates: Refined, numbers: list[int]) -> dict[int, list[int]]:
    """The first of the starts that ended at the same pose, with all of them."""
    if not numbers:
        return {}
    poses = poses_of(course, candidates)
    apart = distances(poses, poses, course.model.pivots[course.model.main], course.radius).tolist()
    heads: dict[int, list[int]] = {}
    for number in numbers:
        head = next((head for head in heads if apart[head][number] < ONE_MM), number)
        heads.setdefault(head, []).append(number)
    return heads


class _Trials:
    """The rivals of answers that are apart from each other."""

    def __init__(self, course: CoarseToFine, answers: Refined, equal: float) -> None:
        self.course, self.equal = course, equal
        # Each answer is a start of its own: two of one start are not to compete.
        self.answers = Candidates(answers.start, answers.states)
        self.count = len(answers.start)
        self.poses = poses_of(course, answers)
        self.sight = Sight.of(course, self.poses)
        self.is_ct = course.task.models is None

    def run(self) -> Found:
        """All of them."""
        here = reading(self.course)
        answers = self._score(here, self.answers)
        found = self._poses_that_rival(here, answers)
        others = [self._mirrored(here, answers), self._of_another_size(here, answers)]
        rivals = [
            found.rivals[place] + tuple(other[place] for other in others if place in other)
            for place in range(self.count)
        ]
        return Found(tuple(rivals), found.better)

    def _score(self, course: CoarseToFine, candidates: Candidates) -> Scores:
        """At `CLOSE`, where they are."""
        candidates = Candidates(candidates.start, candidates.states.renumbered())
        return course.problem(candidates, CLOSE).score(candidates.states)

    def _promising(
        self, course: CoarseToFine, tried: Candidates, answers: Scores
    ) -> tuple[Candidates, Int[Tensor, " kept"]]:
        """Those that look like the X-ray at all, of equally many of each answer; and which answer's each is."""
        owner = torch.arange(self.count, device=tried.start.device)
        owner = owner.repeat_interleave(len(tried.start) // self.count)
        kept = torch.nonzero(self._score(course, tried) > PROMISING * answers[owner])[:, 0]
        return Candidates(tried.start[kept], tried.states[kept]), owner[kept]

    # --- other poses ---

    def _poses_that_rival(self, course: CoarseToFine, answers: Scores) -> Found:
        sides = self._moved_by([self._twins(), self._other_side(), self._turned()])
        tried = [self._promising(course, _without_outcome(settled(course, sides, COARSE)), answers)]
        if self.is_ct:
            tried.append(self._promising(course, self._levels(course), answers))
        owner = torch.cat([torch.arange(self.count, device=answers.device), *(part[1] for part in tried)])
        if len(owner) == self.count:  # the answers alone
            return Found(((),) * self.count, {})
        refined = settled(course, joined([self.answers, *(part[0] for part in tried)]), CLOSE)
        for stage, margin in ((CLOSER, RUNNING), (self.course.last_stage, RUNNING_ON)):
            kept = self._in_the_running(course, refined, owner, margin)
            if len(kept) == self.count:
                return Found(((),) * self.count, {})
            owner = owner[kept]
            refined = settled(course, _without_outcome(refined[kept]), stage)
        kept = self._in_the_running(course, refined, owner, self.equal)
        return self._judged(course, refined[kept], owner[kept])

    def _in_the_running(
        self, course: CoarseToFine, refined: Refined, owner: Int[Tensor, " entry"], margin: float
    ) -> Int[Tensor, " kept"]:
        """The answers, and what is apart from its answer and lacks at most so many times as much to 1."""
        score = refined.at.score
        poses = course.last_problem.comparable(poses_of(course, refined))
        apart = distances(poses, poses, course.model.pivots[course.model.main], course.radius)
        lacks = (1 - score[: self.count]).clamp_min(1e-6)[owner]
        running = (1 - score <= lacks * margin) | (score >= score[owner] - SAME)
        running &= apart[torch.arange(len(owner)), owner] >= APART_MM
        kept: list[int] = list(range(self.count))
        for entry in score.argsort(descending=True).tolist():
            others = [one for one in kept if owner[one] == owner[entry]]
            if entry >= self.count and running[entry] and (apart[entry, others] >= APART_MM).all():
                kept.append(entry)
        return torch.tensor(kept, device=score.device)

    def _judged(self, course: CoarseToFine, refined: Refined, owner: Int[Tensor, " entry"]) -> Found:
        """Who is better than its answer, and who as good."""
        poses, score = poses_of(course, refined), refined.at.score
        rivals: list[tuple[Rival, ...]] = []
        better: dict[int, Float[Tensor, "4 4"]] = {}
        levels = levels_of(self.course.xrays[0].drr)
        for place in range(self.count):
            mine = [entry for entry in range(self.count, len(owner)) if owner[entry] == place]
            top = max([place, *mine], key=lambda entry: score[entry].item())
            base = place
            if top != place and _is_better(score[top], score[place], self.equal):
                better[place] = poses[top] @ poses[place].inverse()
                base = top
            sight = Sight.of(course, poses[base][None])
            as_good = [e for e in (place, *mine) if e != base and not _is_better(score[base], score[e], self.equal)]
            found = [
                Rival(
                    describe_motion(poses[entry] @ poses[base].inverse(), sight, 0, levels),
                    one_pose(poses[entry]),
                    course.last_problem.in_users_words(score[entry]).item(),
                )
                for entry in as_good
            ]
            rivals.append(tuple(found))
        return Found(tuple(rivals), better)

    # --- the X-ray read another way ---

    def _mirrored(self, here: CoarseToFine, answers: Scores) -> dict[int, Rival]:
        """The X-ray's columns in the other order, if it matches clearly better so."""
        if (answers > NO_ROOM).all():
            return {}
        sides = [self._other_side()]
        if self.is_ct:
            sides.append(self._across_the_middle())
        course = reading(self.course, flipped)
        coarse = settled(course, self._moved_by(sides), COARSE)
        promising, owner = self._promising(course, _without_outcome(coarse), answers)
        if len(owner) == 0:
            return {}
        refined = settled(course, promising, CLOSE)
        return self._clearly_better(here, course, refined, owner, answers, lambda states: "X-ray mirrored")

    def _of_another_size(self, here: CoarseToFine, answers: Scores) -> dict[int, Rival]:
        """Pixels of another size, if they match clearly better, where the size was taken to be known."""
        detectors = [xray.detector for xray in self.course.xrays]
        if self.course.task.unknowns.columns or any(detector.parallel for detector in detectors):
            return {}
        course = reading(self.course, unknowns=replace(self.course.task.unknowns, pixel_size=SIZE.pixel_size))
        if not (self._first_change(course).abs() > SIZE_OFF / 2).any():
            return {}
        refined = settled(course, self.answers, CLOSE)
        off = (refined.states.intrinsics[:, 0, 3].abs() > SIZE_OFF).tolist()
        if not any(off):
            return {}
        owner = torch.arange(self.count, device=answers.device)
        size = float(detectors[0].delx)

        def name(states: Tensor) -> str:
            return f"pixels of {size * states[0, 3].exp().item():.3g} mm (or sdd by as much)"

        found = self._clearly_better(here, course, refined, owner, answers, name)
        return {place: rival for place, rival in found.items() if off[place]}

    def _first_change(self, course: CoarseToFine) -> Float[Tensor, " answer"]:
        """By how much a first step changes the size of the first view's pixels, relative."""
        states = self.answers.states.renumbered()
        problem = course.problem(Candidates(self.answers.start, states), CLOSE)
        at = problem.linearise(states)
        scale = at.normal.diagonal(dim1=1, dim2=2).clamp_min(1e-30).rsqrt()
        normal = at.normal * scale[:, :, None] * scale[:, None] + 1e-6 * torch.eye(at.normal.shape[1]).to(scale)
        step = -scale * torch.linalg.solve(normal, at.gradient * scale)
        return problem.moved(states, step).intrinsics[:, 0, 3]

    def _clearly_better(
        self,
        here: CoarseToFine,
        course: CoarseToFine,
        refined: Refined,
        owner: Int[Tensor, " entry"],
        answers: Scores,
        name: Callable[[Tensor], str],
    ) -> dict[int, Rival]:
        """What lacks clearly less than its answer, at `CLOSE` and at `CLOSER`."""
        tops: dict[int, int] = {}
        for entry in refined.at.score.argsort().tolist():  # the best of each comes last, and stays
            if _is_better(refined.at.score[entry], answers[owner[entry]], LIKELY):
                tops[int(owner[entry])] = entry
        if not tops:
            return {}
        places = list(tops)
        entries, chosen = (torch.tensor(numbers, device=owner.device) for numbers in (list(tops.values()), places))
        closer, own = settled(course, _without_outcome(refined[entries]), CLOSER), self.answers[chosen]
        own = settled(here, own, CLOSER)
        clear = [
            number
            for number in range(len(places))
            if _is_better(closer.at.score[number], own.at.score[number], CLEARLY)
        ]
        if not clear:
            return {}
        numbers = torch.tensor(clear, device=owner.device)
        last = settled(course, _without_outcome(closer[numbers]), replace(self.course.last_stage, calibrate=True))
        score, poses = course.last_problem.in_users_words(last.at.score), poses_of(course, last)
        return {
            places[number]: Rival(name(last.states.intrinsics[n]), one_pose(poses[n]), score[n].item())
            for n, number in enumerate(clear)
        }

    # --- motions ---

    def _moved_by(self, motions: list[Matrices]) -> Candidates:
        """Each answer moved by its own motion of each kind."""
        each = torch.stack(motions, dim=1).flatten(0, 1)
        return moved(repeated(self.answers, len(motions)), each)

    def _other_side(self) -> Matrices:
        """About the image's upright: with the columns in the other order a parallel beam shows the same."""
        return turn(self.sight.up, 180.0, self.sight.middle)

    def _turned(self) -> Matrices:
        """In the image."""
        return turn(self.sight.beam, 180.0, self.sight.middle)

    def _twins(self) -> Matrices:
        """Where a parallel beam shows the same of what is symmetric about its own middle, x.

        That mirrored, and mirrored again along the beam, which shows nothing of it. Where this is no other view it is
        tried about y.
        """
        first, second = (self._mirror(axis) @ reflection(self.sight.beam, self.sight.middle) for axis in (0, 1))
        same = (angle_of(first) < DIFFERENT_DEGREES)[:, None, None]
        return torch.where(same, second, first)

    def _across_the_middle(self) -> Matrices:
        """Where what is symmetric about its own middle shows the image with the columns in the other order."""
        return self._mirror(0) @ reflection(self.sight.across, self.sight.middle)

    def _mirror(self, axis: int) -> Matrices:
        normal = torch.zeros_like(self.sight.beam)
        normal[:, axis] = 1
        centre = self.course.model.pivots[self.course.model.main].to(normal)
        return reflection(normal, centre.expand_as(normal))

    def _levels(self, course: CoarseToFine) -> Candidates:
        """The best of some ways up along the patient, and down, of each answer."""
        ways = torch.tensor(LEVELS_MM, dtype=self.poses.dtype, device=self.poses.device)
        heights = torch.cat([ways, -ways])
        vectors = torch.zeros(len(heights), 3).to(heights)
        vectors[:, 2] = heights
        tried = moved(repeated(self.answers, len(heights)), shift(vectors).repeat(self.count, 1, 1))
        best = _peaks(self._score(course, tried).unflatten(0, (self.count, 2, len(ways))))
        base = torch.arange(self.count, device=best.device)[:, None] * len(heights)
        entries = base + best + torch.tensor([0, len(ways)], device=best.device)
        return Candidates(tried.start[entries.flatten()], tried.states[entries.flatten()])


def _peaks(score: Float[Tensor, "batch side way"]) -> Int[Tensor, "batch side"]:
    """Where a score is highest among its peaks, the first way aside; where it has none, in the middle."""
    inner = score[..., 1:]
    after = torch.cat([inner[..., 1:], torch.full_like(inner[..., :1], -torch.inf)], dim=-1)
    peak = (inner > score[..., :-1]) & (inner >= after)
    best = inner.masked_fill(~peak, -torch.inf).argmax(-1) + 1
    return torch.where(peak.any(-1), best, score.shape[-1] // 2)


def _without_outcome(refined: Refined) -> Candidates:
    return Candidates(refined.start, refined.states)


def _is_better(one: Tensor, other: Tensor, times: float) -> bool:
    """Whether a score lacks so many times less to 1 than another, and is not the same."""
    one_lacks, other_lacks = 1 - one.item(), 1 - other.item()
    return other_lacks > times * one_lacks and other_lacks - one_lacks > SAME
