"""Times calls on a GPU: the GPU's own time, the wall time of a caller, the memory at its peak.

A call on a GPU returns when its work is queued, so three figures are told apart.

- Wall time: a loop of calls, one synchronisation at its end, divided by the number of calls. What a user waits for.
- GPU time: what the GPU itself is busy for. Calls that can be captured in a CUDA graph are replayed from it; others are
  queued while the GPU is held back by idling, so that it then runs them without waiting for the host. Events of the
  device before and after give the time. A call that waits for the GPU itself lets it run dry: the figure then has gaps
  in it, and is marked.
- Peak memory: the allocator's highest mark during one call, less what was allocated before.
"""

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import torch
from devices import api_of

Call = Callable[[], Any]
How = Literal["captured", "queued", "gaps", "wall"]
"""How GPU time was found: replayed from a graph, queued behind an idling GPU, with gaps in between, or not at all."""

QUEUED_CALLS = 20
"""At most so many calls are queued at once: a CUDA stream takes about a thousand launches before the host must wait."""

CAPTURED_CALLS = 10
"""Calls in one graph, so that what it costs to launch a graph is shared between them."""

REPLAY_S = 2e-5
"""Ample time for the host to launch a graph, whatever is in it."""

HOLD_CYCLES_PER_S = 2e9
"""Clock cycles in a second of holding the GPU back: a little more than any GPU's clock gives."""


class HostClock:
    """A clock where a call is done when it returns. GPU time is wall time, and memory is not known."""

    def wait(self) -> None:
        """Until all that was queued is done."""

    def wall(self, call: Call, calls: int) -> float:
        """Seconds of wall time a call, after one that does not count: as in a user's loop, all is warm."""
        call()
        self.wait()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        self.wait()
        return (time.perf_counter() - start) / calls

    def enqueue(self, call: Call) -> float:
        """Seconds until a call returns, whether its work is done or not."""
        self.wait()
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        self.wait()
        return seconds

    def busy(self, call: Call, calls: int, enqueue_s: float) -> tuple[float, How]:
        """Seconds of GPU time a call, and how they were found; `enqueue_s` from `enqueue`."""
        return self.wall(call, calls), "wall"

    def capture(self, call: Call) -> Call | None:
        """What replays the work of `CAPTURED_CALLS` calls, or None where that cannot be had."""
        return None

    def peak(self, call: Call) -> int | None:
        """Bytes at the highest point of one call beyond those before it; None where nothing counts them."""
        return None

    def tidy(self) -> None:
        """Give memory that nobody holds back to the device."""
        gc.collect()


class DeviceClock(HostClock):
    """A clock for a GPU, by the functions of `torch.cuda`, or of `torch.xpu`, which has the same but graphs."""

    def __init__(self, api: Any) -> None:
        self.api = api

    def wait(self) -> None:
        """Until all that was queued is done."""
        self.api.synchronize()

    def busy(self, call: Call, calls: int, enqueue_s: float) -> tuple[float, How]:
        """Seconds of GPU time a call, of at most `QUEUED_CALLS` calls, and whether the GPU ran dry between them."""
        calls = min(calls, QUEUED_CALLS)
        start, end = (self.api.Event(enable_timing=True) for _ in range(2))
        self.wait()
        held = self._hold(1.5 * calls * enqueue_s + 1e-3)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        # Past the first event before all was queued: it may have waited for the host after that.
        gaps = not held or start.query()
        self.wait()
        return start.elapsed_time(end) / 1e3 / calls, "gaps" if gaps else "queued"

    def _hold(self, seconds: float) -> bool:
        """Let the GPU idle for about so long, if it can."""
        idle = getattr(self.api, "_sleep", None)
        if idle is not None:
            idle(int(seconds * HOLD_CYCLES_PER_S))
        return idle is not None

    def capture(self, call: Call) -> Call | None:
        """Capture `CAPTURED_CALLS` calls in a CUDA graph; None where the call does what no graph can hold."""
        if not hasattr(self.api, "CUDAGraph"):
            return None
        stream = self.api.current_stream()
        side = self.api.Stream()
        side.wait_stream(stream)
        with self.api.stream(side):
            for _ in range(2):
                call()
        stream.wait_stream(side)
        graph = self.api.CUDAGraph()
        try:
            with self.api.graph(graph):
                for _ in range(CAPTURED_CALLS):
                    call()
        except RuntimeError:
            # A capture that failed may leave its own stream as the current one.
            self.api.set_stream(stream)
            with suppress(RuntimeError):
                self.wait()
            return None
        return graph.replay

    def peak(self, call: Call) -> int:
        """Bytes at the highest point of one call beyond those before it."""
        self.wait()
        before = self.api.memory_allocated()
        self.api.reset_peak_memory_stats()
        result = call()
        self.wait()
        del result
        return self.api.max_memory_allocated() - before

    def tidy(self) -> None:
        """Give memory that nobody holds back to the device."""
        super().tidy()
        self.api.empty_cache()


def clock_of(device: torch.device) -> HostClock:
    """The clock for what runs on a device."""
    return HostClock() if device.type == "cpu" else DeviceClock(api_of(device))


class Stopwatch:
    """Times one operation in rounds: `whole` is the call as its user makes it, `ready` the same from cameras at hand.

    GPU time is that of `ready`. Made when both have run once, so that nothing is compiled any more.
    """

    def __init__(self, clock: HostClock, whole: Call, ready: Call, capturable: bool, round_s: float) -> None:
        self.clock, self.whole, self.ready = clock, whole, ready
        self.enqueue_s = min(clock.enqueue(ready) for _ in range(2))
        self.replay = clock.capture(ready) if capturable else None
        once = max(clock.wall(whole, 1), 1e-6)
        self.calls = max(1, min(200, int(round_s / once)))
        self.seconds = 3 * (self.calls + 1) * once
        """About what a round takes."""

    def round(self) -> tuple[float, float, float, How]:
        """Wall seconds of `whole` and of `ready`, GPU seconds and how they were found."""
        whole_s, ready_s = self.clock.wall(self.whole, self.calls), self.clock.wall(self.ready, self.calls)
        if self.replay is None:
            return whole_s, ready_s, *self.clock.busy(self.ready, self.calls, self.enqueue_s)
        replays = max(1, self.calls // CAPTURED_CALLS)
        gpu_s, how = self.clock.busy(self.replay, replays, REPLAY_S)
        return whole_s, ready_s, gpu_s / CAPTURED_CALLS, "captured" if how == "queued" else how
