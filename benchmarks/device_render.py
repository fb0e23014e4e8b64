"""Times every projector that runs on a device, scene by scene, all taking turns in every round."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan
from statistics import median

import torch
from device_timing import HostClock, How, Stopwatch
from peers import TorchCompetitor, device_competitors
from scene import CT, Scene
from timing import time_limit
from truth import Truth, integrate, kind_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

DISAGREES = 0.05
"""An image further than this from the truth shows something else."""

FIGURES = 3
"""What a round measures of an operation: the whole call, the call from cameras at hand, its GPU time."""

Rounds = list[tuple[float, float, float, How]]


@dataclass
class DeviceRow:
    """One line of the results: an operation of a competitor on a scene, its volume stored in a dtype.

    Attributes:
        rounds: wall seconds of the whole call and of the call from cameras at hand, GPU seconds of the latter and how
            they were found, see `device_timing`.
        error: relative L2 error of the image, against the `truth` that its method is held to.
        peak_mb: peak memory of the whole call beyond what was there and the image, in MB (10^6 bytes).
        note: why there is no figure, or what is wrong with it.
    """

    competitor: str
    operation: str
    scene: Scene
    dtype: str
    rounds: Rounds = field(default_factory=list)
    error: float | None = None
    truth: str = ""
    peak_mb: float | None = None
    note: str = ""

    @property
    def call_s(self) -> float:
        """Median wall time of the whole call in seconds, NaN when it never ran."""
        return self._median(0)

    @property
    def ready_s(self) -> float:
        """Median wall time of the call from cameras at hand in seconds."""
        return self._median(1)

    @property
    def gpu_s(self) -> float:
        """Median GPU time of the call from cameras at hand in seconds."""
        return self._median(2)

    @property
    def how(self) -> str:
        """How GPU time was found, the least exact way of all rounds."""
        return next((how for how in ("wall", "gaps", "queued", "captured") if how in {r[3] for r in self.rounds}), "")

    def _median(self, column: int) -> float:
        return median(r[column] for r in self.rounds) if self.rounds else nan


@dataclass(frozen=True)
class Plan:
    """What to run, and how long it may take.

    Attributes:
        scenes: with the dtype of the volume, the most important first: what the time does not suffice for is left out.
        only: competitors whose name has one of these words, or all.
        repeats: rounds.
        round_s: about how long one figure is measured in a round, in seconds.
        limit_s: what takes longer to run once is left out.
        deadline: `time.monotonic()` after which no further scene is begun.
    """

    scenes: tuple[tuple[Scene, str], ...]
    only: tuple[str, ...]
    repeats: int
    round_s: float
    limit_s: float
    deadline: float

    @property
    def budget_s(self) -> float:
        """What all rounds of one operation may take: twice what those of a fast one take."""
        return 2 * self.repeats * FIGURES * self.round_s


def order_scenes(view: str, sizes: list[int], batches: list[int], dtypes: list[str]) -> tuple[tuple[Scene, str], ...]:
    """Every size with the smallest batch and every batch with the smallest size: small before large, float32 first."""
    sizes, batches = sorted(sizes), sorted(batches)
    scenes = [Scene(view, size, batches[0]) for size in sizes]
    scenes += [Scene(view, sizes[0], batch) for batch in batches[1:]]
    scenes.sort(key=lambda scene: scene.batch * scene.size**2)
    return tuple((scene, dtype) for scene in scenes for dtype in dtypes)


def time_scenes(ct: CT, plan: Plan, device: torch.device, clock: HostClock) -> Iterator[list[DeviceRow]]:
    """The rows of every scene, when it is done."""
    present = _load(ct, plan, device)
    truths: dict[Scene, Truth | None] = {}
    for scene, dtype in plan.scenes:
        if time.monotonic() > plan.deadline:
            print(f"left out for want of time: {_name(scene, dtype)}", flush=True)
            continue
        if scene not in truths:
            truths[scene] = _integrate(ct, scene, device)
        competitors = [c for c in present if c.dtype == DTYPES[dtype]]
        yield _time_scene(competitors, scene, dtype, truths[scene], plan, clock)
        clock.tidy()


def _integrate(ct: CT, scene: Scene, device: torch.device) -> Truth | None:
    try:
        return integrate(ct, scene, device)
    except RuntimeError as error:  # out of memory, say: times can be taken without it
        print(f"no line integrals to compare with: {_describe(error)}", flush=True)
        return None


def _load(ct: CT, plan: Plan, device: torch.device) -> list[TorchCompetitor]:
    """The competitors that can run here, one for each dtype, with the volume loaded; says why others cannot."""
    present = []
    for dtype in dict.fromkeys(dtype for _, dtype in plan.scenes):
        for competitor in device_competitors():
            if plan.only and not any(word in competitor.name for word in plan.only):
                continue
            reason = competitor.on(device, DTYPES[dtype]).available()
            if reason is None and DTYPES[dtype] not in competitor.dtypes:
                reason = f"takes no {dtype} volume"
            if reason is None:
                try:
                    competitor.load(ct.in_order(competitor.memory_order))
                except Exception as error:  # whatever a peer raises, the others go on
                    reason = _describe(error)
            if reason is None:
                present.append(competitor)
            else:
                print(f"not here: {competitor.name}, {dtype} ({reason})", flush=True)
    return present


def _time_scene(
    competitors: list[TorchCompetitor], scene: Scene, dtype: str, truth: Truth | None, plan: Plan, clock: HostClock
) -> list[DeviceRow]:
    rows: list[DeviceRow] = []
    running: list[tuple[DeviceRow, Stopwatch]] = []
    for competitor in competitors:
        mine = [DeviceRow(competitor.name, operation, scene, dtype) for operation in competitor.operations]
        rows += mine
        try:
            reason = competitor.declines(scene)
            if reason is None:
                competitor.aim(scene)
        except Exception as error:  # whatever a peer raises, the others go on
            reason = _describe(error)
        for row in mine:
            if reason is not None:
                row.note = reason
                continue
            try:
                with time_limit(plan.limit_s):
                    running.append((row, _warm_up(competitor, row, truth, plan, clock)))
            except Exception as error:
                row.note = _describe(error)
                clock.tidy()  # what did not fit is gone before the next begins
    for _ in range(plan.repeats):
        for row, watch in running:
            # A slow operation takes part in the first rounds only, and at least in one.
            if not row.rounds or (len(row.rounds) + 1) * watch.seconds < plan.budget_s:
                row.rounds.append(watch.round())
    return rows


def _warm_up(
    competitor: TorchCompetitor, row: DeviceRow, truth: Truth | None, plan: Plan, clock: HostClock
) -> Stopwatch:
    """Run once, so that everything is compiled; compare the image; measure memory."""
    whole, ready = getattr(competitor, row.operation), competitor.ready(row.operation)
    if row.operation == "forward" and truth is not None:
        row.error, row.truth = truth.error(competitor.images(), competitor.method), kind_of(competitor.method)
        if not row.error <= DISAGREES:
            row.note = "its image DISAGREES with the line integrals"
    for call in (whole, ready):
        call()
    peak = clock.peak(whole)
    if peak is not None:
        image = competitor.scene.batch * competitor.scene.size**2 * 4
        row.peak_mb = max(0.0, (peak - image) / 1e6)
    return Stopwatch(clock, whole, ready, competitor.capturable, plan.round_s)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120] if str(error).strip() else ''}"


def _name(scene: Scene, dtype: str) -> str:
    return f"{scene.view}, {scene.size} x {scene.size}, batch {scene.batch}, {dtype}"
