"""The processes of a group of `torch.distributed`: joining them, and their ending together."""

import builtins
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from raygrad._processes import Processes

Result = TypeVar("Result")


class WorkerLostError(RuntimeError):
    """Another process ended, or did not answer in time, so that this one cannot go on."""


class Group(Processes):
    """The processes of a group of `torch.distributed`, gloo or nccl, which all call the same methods in the same order.

    As a context it makes them end together: where one raises an exception, all others raise it too, at their next
    exchange, instead of waiting for that one. A process that was killed, or that hangs for longer than the group's
    timeout, makes the others raise a `WorkerLostError`.

    Args:
        group: the processes; by default all that `torch.distributed.init_process_group` joined.

    Attributes:
        rank, count, on_this_machine: see `Processes`.
        kept: what of the work survives a lost process, a sentence for people.

    Raises:
        ValueError: this process is in no such group.
    """

    kept: str = "No checkpoint was kept, so the same command begins anew: name one, and it goes on from there."

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError("Expected processes that were joined by join_processes() or init_process_group().")
        if dist.get_rank(group) < 0:
            raise ValueError("Expected a group that this process is in.")
        self.group = group
        self.rank = dist.get_rank(group)
        self.count = dist.get_world_size(group)
        self.on_this_machine = min(self.count, int(os.environ.get("LOCAL_WORLD_SIZE", 1)))  # torchrun says it
        self._devices = {entry.split(":")[0] for entry in dist.get_backend_config(group).split(",")}
        self._shared_error: BaseException | None = None

    def sum(self, value: Tensor) -> Tensor:
        """The sum of all processes' values, to the bit the same for all."""
        return self.sum_(value.clone())

    def sum_(self, value: Tensor) -> Tensor:
        """The same, where `value` is not needed any more: what is contiguous is not copied."""
        self._meet()
        summed = self._movable(value.contiguous())  # one order of memory for all processes
        self._exchange(lambda: dist.all_reduce(summed, group=self.group))
        return summed.to(value.device)

    def agree(self, decision: bool) -> bool:
        """What the first process decides."""
        return self._meet(decision=decision and self.rank == 0)

    def gather(self, images: Tensor) -> Tensor:
        """The images of all views in their order, on the first process; the others get their own."""
        lengths = self._lengths(len(images))
        own = self._movable(images.contiguous())
        if self.rank > 0:
            if len(own):
                self._exchange(lambda: dist.send(own, self._global(0), self.group))
            return images
        every = images.new_empty((sum(lengths), *images.shape[1:]))
        for rank, part in enumerate(every.split(lengths)):
            if rank == 0:
                part.copy_(images)
            elif len(part):
                received = torch.empty_like(part, device=own.device)
                self._receive(received, rank)
                part.copy_(received)
        return every

    def own(self, images: Tensor) -> Tensor:
        """This process's block of the images of all views: without a copy, so that they may be memory-mapped."""
        return images[block_of(len(images), self.rank, self.count)]

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Wait for the others' end, or tell them of this one's error."""
        if error is None:
            self._meet()
        elif isinstance(error, Exception) and not isinstance(error, WorkerLostError):
            if error is not self._shared_error:
                with suppress(WorkerLostError):
                    self._meet(error=error)

    def _meet(self, decision: bool = False, error: Exception | None = None) -> bool:
        """Come together before anything else is exchanged: does any process decide so? Raise any one's error."""
        answers = self._movable(torch.tensor([int(decision), int(error is not None)]))
        self._exchange(lambda: dist.all_reduce(answers, group=self.group))
        decided, failed = answers.tolist()
        if failed:
            self._raise_together(error)
        return decided > 0

    def _raise_together(self, error: Exception | None) -> None:
        """Raise the error of the lowest process that has one, in all."""
        kind, text = type(error).__name__, f"{error} (in process {self.rank} of {self.count})"
        told: list[Any] = [None] * self.count
        mine = None if error is None else (kind, text)
        self._exchange(lambda: dist.all_gather_object(told, mine, group=self.group))
        first = next(entry for entry in told if entry is not None)
        self._shared_error = _rebuild(*first)
        raise self._shared_error from error

    def _lengths(self, length: int) -> list[int]:
        """How many views each process has."""
        lengths = torch.zeros(self.count, dtype=torch.int64)
        lengths[self.rank] = length
        return self.sum_(lengths).tolist()

    def _receive(self, into: Tensor, rank: int) -> None:
        self._exchange(lambda: dist.recv(into, self._global(rank), self.group))

    def _global(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    def _movable(self, value: Tensor) -> Tensor:
        """The value where this group can move it: nccl moves what is on a GPU only."""
        if value.device.type in self._devices:
            return value
        return value.to("cuda" if "cuda" in self._devices else "cpu")

    def _exchange(self, collective: Callable[[], Result]) -> Result:
        try:
            return collective()
        except RuntimeError as error:  # gloo: connection closed, reset or timed out; nccl: DistBackendError
            raise WorkerLostError(
                f"A worker was lost: one of {self.count} processes ended or did not answer "
                f"({_reason(error)}). {self.kept}"
            ) from error


@contextmanager
def join_processes(*, backend: str | None = None, timeout: float | int = 600.0) -> Iterator[Processes]:
    """Join the processes that torchrun (or whatever sets RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) started.

    Within this context they end together, see `Group`. Without torchrun there is this process alone. Where
    `torch.distributed` is initialised already, its processes are used.

    Args:
        backend: of `torch.distributed`. By default gloo moves what is on the CPU, and nccl what is on GPUs, of which
            each process takes that of its LOCAL_RANK, where there is one for every process of this machine.
        timeout: seconds after which a process that does not answer is lost; more than an iteration takes.

    Raises:
        ValueError: a timeout that is not positive.
        WorkerLostError: not all processes came in time, or one was lost.
    """
    if not timeout > 0:
        raise ValueError(f"Expected a timeout of more than 0 s. Got {timeout}.")
    if dist.is_available() and dist.is_initialized():
        with Group() as processes:
            yield processes
    elif not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield Processes()
    else:
        try:
            dist.init_process_group(backend or _choose_backend(), timeout=timedelta(seconds=timeout))
        except RuntimeError as error:
            raise WorkerLostError(
                f"Of {os.environ['WORLD_SIZE']} processes not all came within {timeout:g} s ({_reason(error)})."
            ) from error
        try:
            with Group() as processes, _told_to_end(processes):
                yield processes
        finally:
            dist.destroy_process_group()


def _choose_backend() -> str:
    """Gloo and nccl beside it, if there is a GPU for each process of this machine."""
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    local_count = int(os.environ.get("LOCAL_WORLD_SIZE", local_rank + 1))
    if not (dist.is_nccl_available() and 0 < local_count <= torch.cuda.device_count()):
        return "gloo"
    torch.cuda.set_device(local_rank)
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _told_to_end(processes: Group) -> Iterator[None]:
    """Turn the signal by which torchrun ends the others, where one was lost, into a message.

    From then on the signal is ignored, so that it does not cut short a process that is already ending with a message.
    (torchrun kills what does not end within half a minute.)
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def explain(*_: Any) -> None:
        raise WorkerLostError(f"This process was told to end, as torchrun does where one was lost. {processes.kept}")

    before = signal.signal(signal.SIGTERM, explain)
    after: Any = before
    try:
        yield
    except WorkerLostError:
        after = signal.SIG_IGN
        raise
    finally:
        signal.signal(signal.SIGTERM, after)


def block_of(length: int, rank: int, count: int) -> slice:
    """Neighbouring views, so that each process has its part of every ordered subset, and reads its images in a row."""
    return slice(length * rank // count, length * (rank + 1) // count)


def _reason(error: Exception) -> str:
    """The first sentence of an error of gloo's or nccl's, without the line of source before it."""
    return re.sub(r"^\[\S*\] ", "", str(error).splitlines()[0]).split(". ")[0]


def _rebuild(kind: str, text: str) -> Exception:
    """An exception of this built-in type, or a RuntimeError that names the type."""
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, Exception):
        try:
            return known(text)
        except TypeError:  # one that is made of more than a sentence
            pass
    return RuntimeError(f"{kind}: {text}")
