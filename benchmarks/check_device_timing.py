"""Checks `device_timing` against a simulated GPU, whose times are known: no GPU is needed.

python benchmarks/check_device_timing.py
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import device_timing
from device_timing import CAPTURED_CALLS, HOLD_CYCLES_PER_S, DeviceClock, Stopwatch

HOST_S, GPU_S, BYTES = 100e-6, 20e-6, 1000
"""What a call of the simulation takes on the host, on the GPU, and in memory while it runs."""


class SimulatedGPU:
    """The functions of `torch.cuda` that the clock uses. The GPU works through its queue while the host goes on."""

    def __init__(self) -> None:
        self.host_s = self.gpu_s = 0.0  # when the host, and the GPU's queue, are done
        self.captured_s: float | None = None
        self.stream = "the default stream"
        self.allocated = self.highest = 5_000

    def perf_counter(self) -> float:
        return self.host_s

    def launch(self, gpu_s: float) -> None:
        if self.captured_s is not None:
            self.captured_s += gpu_s
        else:
            self.gpu_s = max(self.gpu_s, self.host_s) + gpu_s

    def call(self) -> None:
        """A well-behaved operation."""
        self.host_s += HOST_S
        self.launch(GPU_S)
        self.highest = max(self.highest, self.allocated + BYTES)

    def waiting_call(self) -> None:
        """An operation that looks at its own result."""
        self.call()
        self.synchronize()

    def synchronize(self) -> None:
        if self.captured_s is not None:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.host_s = max(self.host_s, self.gpu_s)

    def Event(self, enable_timing: bool) -> SimpleNamespace:
        event = SimpleNamespace(at=None)
        event.record = lambda: setattr(event, "at", max(self.gpu_s, self.host_s))
        event.query = lambda: event.at <= self.host_s
        event.elapsed_time = lambda end: (end.at - event.at) * 1e3
        return event

    def _sleep(self, cycles: int) -> None:
        self.launch(cycles / HOLD_CYCLES_PER_S)

    def CUDAGraph(self) -> SimpleNamespace:
        def replay() -> None:
            self.host_s += 5e-6
            self.launch(recorded.gpu_s)

        recorded = SimpleNamespace(gpu_s=0.0, replay=replay)
        return recorded

    @contextmanager
    def graph(self, recorded: SimpleNamespace) -> Iterator[None]:
        self.captured_s, self.stream = 0.0, "the capture's stream"
        try:
            yield
        finally:
            recorded.gpu_s, self.captured_s = self.captured_s, None
        self.stream = "the default stream"  # as PyTorch has it, not after an error

    def Stream(self) -> SimpleNamespace:
        return SimpleNamespace(wait_stream=lambda other: None)

    @contextmanager
    def use_stream(self, stream: SimpleNamespace) -> Iterator[None]:
        yield

    def current_stream(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.stream, wait_stream=lambda other: None)

    def set_stream(self, stream: SimpleNamespace) -> None:
        self.stream = stream.name

    def memory_allocated(self) -> int:
        return self.allocated

    def max_memory_allocated(self) -> int:
        return self.highest

    def reset_peak_memory_stats(self) -> None:
        self.highest = self.allocated


def check() -> None:
    """Raise AssertionError where a figure is not what the simulation says it must be."""
    gpu = SimulatedGPU()
    gpu_api = _api(gpu)
    clock = DeviceClock(gpu_api)
    with patch.object(device_timing, "time", SimpleNamespace(perf_counter=gpu.perf_counter)):
        # The host is the slower: it alone counts in wall time, and not at all in GPU time.
        assert _near(clock.wall(gpu.call, 50), HOST_S + GPU_S / 50), clock.wall(gpu.call, 50)
        assert _near(clock.enqueue(gpu.call), HOST_S)
        seconds, how = clock.busy(gpu.call, 50, HOST_S)
        assert (how, _near(seconds, GPU_S)) == ("queued", True), (how, seconds)
        # Held back too shortly, or with a call that waits, the GPU runs dry; that is said.
        assert clock.busy(gpu.call, 50, 1e-6)[1] == "gaps"
        assert clock.busy(gpu.waiting_call, 5, HOST_S + GPU_S)[1] == "gaps"
        # A graph holds several calls; one that waits cannot be captured, and leaves the stream as it was.
        seconds, how = clock.busy(clock.capture(gpu.call), 3, 2e-5)
        assert (how, _near(seconds, CAPTURED_CALLS * GPU_S)) == ("queued", True), (how, seconds)
        assert clock.capture(gpu.waiting_call) is None
        assert gpu.stream == "the default stream", gpu.stream
        # Both together, as the benchmark runs them.
        for call, how in ((gpu.call, "captured"), (gpu.waiting_call, "gaps")):
            _, ready_s, gpu_s, said = Stopwatch(clock, call, call, capturable=True, round_s=0.02).round()
            assert said == how, said
            assert _near(gpu_s, GPU_S) if how == "captured" else gpu_s > GPU_S, gpu_s
            assert ready_s >= HOST_S
        gpu.highest = 10**9  # of something before
        assert clock.peak(gpu.call) == BYTES
        del gpu_api._sleep
        assert clock.busy(gpu.call, 50, HOST_S)[1] == "gaps", "nothing holds this GPU back"


def _api(gpu: SimulatedGPU) -> SimpleNamespace:
    names = ["synchronize", "Event", "_sleep", "CUDAGraph", "graph", "Stream", "current_stream", "set_stream"]
    names += ["memory_allocated", "max_memory_allocated", "reset_peak_memory_stats"]
    return SimpleNamespace(stream=gpu.use_stream, **{name: getattr(gpu, name) for name in names})


def _near(found: float, wanted: float) -> bool:
    return abs(found - wanted) < 0.02 * wanted


if __name__ == "__main__":
    check()
    print("device_timing measures what the simulated GPU takes")
