"""Times competitors against each other: all take turns in every round, so that a machine that drifts is fair to all."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import nan
from statistics import median
from typing import Any

import numpy as np
from peers import Competitor
from scene import Scene

PAUSE_S = 0.02
"""Rest before each measurement, in which the thread pools of the one before fall asleep."""

REHEARSED_S = 0.5
"""What is faster than this runs once untimed right before: as in a user's loop, caches and threads are warm."""


@dataclass
class Row:
    """One line of the results: an operation of a competitor on a scene."""

    competitor: str
    operation: str
    scene: Scene
    seconds: list[float | None] = field(default_factory=list)
    """Wall time in every round; None in the rounds that a slow competitor sat out."""
    image_difference: float | None = None
    """Relative L2 difference of its images from the first competitor's."""
    gradient_difference: float | None = None
    """Relative L2 difference of its gradient from that of the first competitor with the same method."""
    peak_mb: float | None = None
    note: str = ""
    """Why there is no figure, or what is wrong with it."""

    @property
    def rounds(self) -> list[float]:
        """The rounds it took part in."""
        return [s for s in self.seconds if s is not None]

    @property
    def median(self) -> float:
        """Median time in seconds, NaN when it never ran."""
        return median(self.rounds) if self.rounds else nan

    @property
    def minimum(self) -> float:
        """Shortest time in seconds, NaN when it never ran."""
        return min(self.rounds, default=nan)


class Estimate:
    """Guesses how long an operation will take from what it took on a smaller scene."""

    def __init__(self) -> None:
        self._seconds_per_ray: dict[tuple[str, str], float] = {}

    def learn(self, row: Row) -> None:
        """Remember the row's time per ray."""
        if row.rounds:
            self._seconds_per_ray[row.competitor, row.operation] = row.median / _rays(row.scene)

    def __call__(self, competitor: str, operation: str, scene: Scene) -> float:
        """Seconds to expect, 0 when nothing is known."""
        return self._seconds_per_ray.get((competitor, operation), 0.0) * _rays(scene)


def time_scene(
    competitors: list[Competitor],
    scene: Scene,
    repeats: int,
    budget_s: float,
    limit_s: float,
    estimate: Estimate,
) -> list[Row]:
    """Run every operation of every competitor on a scene, `repeats` rounds of all in turn.

    An operation expected to take longer than `limit_s` is left out. One that is slow takes part in the first rounds
    only, as many as fit `budget_s`, at least one. Errors of a competitor (out of memory, say) become its row's note.
    """
    rows, running = [], []
    reference: dict[str, np.ndarray] = {}
    for competitor, row in _rows(competitors, scene):
        rows.append(row)
        expected = estimate(row.competitor, row.operation, scene)
        if expected > limit_s:
            row.note = f"left out: about {expected:.0f} s expected, the limit is {limit_s:g} s"
            continue
        try:
            if row.operation == "forward":
                competitor.aim(scene)
            with time_limit(limit_s):
                warm = _warm_up(competitor, row, reference)
        except Exception as error:  # whatever a peer raises, the others go on
            row.note = f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
            continue
        running.append((competitor, row, warm, max(1, min(repeats, int(budget_s / max(warm, 1e-9))))))
    for turn in range(repeats):
        for competitor, row, warm, turns in running:
            if turn >= turns or sum(row.rounds) > budget_s:
                row.seconds.append(None)
                continue
            time.sleep(PAUSE_S)
            if warm < REHEARSED_S:
                competitor.timed(row.operation)
            row.seconds.append(competitor.timed(row.operation))
    for row in rows:
        estimate.learn(row)
    return rows


def _rows(competitors: list[Competitor], scene: Scene) -> Iterator[tuple[Competitor, Row]]:
    for competitor in competitors:
        for operation in competitor.operations:
            yield competitor, Row(competitor.name, operation, scene)


def _warm_up(competitor: Competitor, row: Row, reference: dict[str, np.ndarray]) -> float:
    """Run once, compare with the first competitor (another geometry would be measured for nothing), return seconds."""
    start = time.perf_counter()
    if row.operation == "forward":
        row.image_difference = _difference(competitor.images(), reference, "images")
        if row.image_difference > 0.05:
            row.note = "its images DISAGREE with the first competitor's"
    elif row.scene.size <= 200 and row.scene.batch == 1:
        gradient = competitor.gradient(row.operation)
        if gradient is not None:
            row.gradient_difference = _difference(gradient, reference, f"{competitor.method} {row.operation}")
    else:
        competitor.timed(row.operation)
    return time.perf_counter() - start


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after `seconds`, as soon as it is back in Python."""

    def give_up(*_: Any) -> None:
        raise TimeoutError(f"took longer than the limit of {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _difference(values: np.ndarray, reference: dict[str, np.ndarray], key: str) -> float:
    first = reference.setdefault(key, np.array(values))
    return float(np.linalg.norm(values - first) / np.linalg.norm(first))


def _rays(scene: Scene) -> int:
    return scene.batch * scene.size**2
