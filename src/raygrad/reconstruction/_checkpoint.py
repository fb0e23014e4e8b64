"""Checkpoints: the state of a reconstruction in one file that is whole or absent."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raygrad._errors import InputError
from raygrad._files import written_whole
from raygrad._progress import Iteration
from raygrad.distributed import Group
from raygrad.projector import Projector
from raygrad.reconstruction._solver import Solver

KEPT = ("number", "seconds", "residual", "change", "objective")
"""What a reconstruction knows of an iteration."""


class Checkpoint:
    """Keeps the state of one solver in one file.

    A fingerprint of everything that decides the result lies beside the state, so that a run never goes on from the
    state of another problem. The number of processes is not among it: the first one reads and writes for all.

    Raises:
        ValueError: there is no folder to write the file in.
    """

    def __init__(self, path: str | Path, solver: Solver) -> None:
        self.path = Path(path)
        if not self.path.resolve().parent.is_dir():
            raise ValueError(f"Expected a checkpoint in a folder that exists. Got {self.path}.")
        self.solver = solver
        self.problem = describe(solver)

    def load(self) -> list[Iteration]:
        """Put the solver into the state that the file keeps; returns the iterations so far (none without a file).

        Raises:
            ValueError: the file is no checkpoint, or one of another problem.
        """
        processes = self.solver.projector.processes
        if not processes.agree(self.path.exists()):
            return []
        if not self.path.exists():  # as the first process sees it
            raise ValueError(f"Expected a checkpoint on a disk that all processes see. {self.path} is not there.")
        # Mapped to memory where processes read it together, each its own part.
        kept = _read(self.path, mmap=processes.count > 1)
        problem, state = kept["problem"], kept["state"]
        if differing := [name for name in problem | self.problem if self.problem.get(name) != problem.get(name)]:
            raise ValueError(
                f"Expected a checkpoint of this problem. {self.path} was made with other {', '.join(differing)}: "
                "remove it to start anew, or name another file."
            )
        parts: dict[str, Tensor] = {}
        for name in self.solver.volumes + self.solver.by_view:
            own: Tensor = getattr(self.solver, name)
            found = processes.own(state[name]) if name in self.solver.by_view else state[name]
            if (found.shape, found.dtype) != (own.shape, own.dtype):
                raise ValueError(
                    f"Expected {name} of shape {tuple(own.shape)} and {own.dtype} in the checkpoint {self.path}. "
                    f"Got {tuple(found.shape)} and {found.dtype}."
                )
            parts[name] = found
        for name, found in parts.items():
            getattr(self.solver, name).copy_(found)
        for name in self.solver.numbers:
            setattr(self.solver, name, state[name])
        self._tell(len(kept["history"]))
        return [Iteration(**entry) for entry in kept["history"]]

    def save(self, history: list[Iteration]) -> None:
        """Replace the file by the solver's present state."""
        processes, solver = self.solver.projector.processes, self.solver
        state: dict[str, Any] = {name: getattr(solver, name) for name in solver.numbers}
        tensors = {name: getattr(solver, name) for name in solver.volumes}
        tensors |= {name: processes.gather(getattr(solver, name)) for name in solver.by_view}
        if processes.rank == 0:
            state |= {name: tensor.cpu() for name, tensor in tensors.items()}  # to go on from on any machine
            entries = [{name: getattr(iteration, name) for name in KEPT} for iteration in history]
            with written_whole(self.path) as unfinished, open(unfinished, "wb") as file:
                kept = {"problem": self.problem, "state": state, "history": entries}
                torch.save({**kept, "digest": _digest(kept)}, file)
        processes.agree(True)  # the file is there
        self._tell(len(history))

    def _tell(self, iterations: int) -> None:
        """Where a worker is lost from now on, people are told what is left."""
        processes = self.solver.projector.processes
        if isinstance(processes, Group):
            processes.kept = (
                f"{iterations} iterations are kept in {self.path}: the same command goes on from there, "
                "also with another number of processes."
            )


@dataclass(frozen=True)
class Resumption:
    """A run that goes on from a checkpoint.

    Attributes:
        checkpoint: the file.
        iterations: how many it keeps.
    """

    checkpoint: Path
    iterations: int

    @classmethod
    def of(cls, checkpoint: str | Path) -> "Resumption":
        """What a checkpoint says of itself.

        Raises:
            ValueError: the file is no checkpoint.
        """
        return cls(Path(checkpoint), len(_read(Path(checkpoint), mmap=True)["history"]))

    def __str__(self) -> str:
        """One line for people."""
        return f"going on from iteration {self.iterations}, kept in '{self.checkpoint}'"


def describe(solver: Solver) -> dict[str, str]:
    """What decides a result: names for people, values to compare."""
    projector = solver.projector
    geometry = projector.volume_geometry
    mask = projector.mask
    volumes = [solver.constraint.support] if solver.constraint.support is not None else []
    views = projector.views.to("cpu")
    # A start that a method makes of the images has other last digits from another number of processes.
    start = solver.volume.to(torch.bfloat16).float()
    return {
        "method": solver.name,
        "settings": repr({name: _told_apart(value) for name, value in vars(solver.method).items()}),
        "constraints": repr((solver.constraint.nonnegative, fingerprint(*volumes))),
        "start": fingerprint(start),
        "volume geometry": repr((geometry.shape, geometry.voxel_to_world.tolist())),
        "projector": f"{projector.renderer}, {projector.n_points} points, {solver.images.dtype}",
        "views": fingerprint_of_all(projector, [views[[number]].parameters() for number in range(len(views))]),
        "images": fingerprint_of_all(projector, [[image] for image in solver.images]),
    } | ({} if mask is None else {"mask": fingerprint_of_all(projector, [[of_view] for of_view in mask])})


def fingerprint_of_all(projector: Projector, by_view: list[list[Tensor]]) -> str:
    """A hash of what belongs to each view, of all views that the processes share, whoever holds which."""
    processes = projector.processes
    views = int(processes.sum(torch.tensor(len(by_view))))
    hashes = torch.zeros(views, 16, dtype=torch.int64)
    numbers = processes.own(torch.arange(views))
    for number, tensors in zip(numbers.tolist(), by_view, strict=True):
        hashes[number] = torch.tensor(list(bytes.fromhex(fingerprint(*tensors))))
    return fingerprint(processes.sum(hashes).contiguous())


def fingerprint(*tensors: Tensor) -> str:
    """A hash of values and shapes."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        values = tensor.detach().cpu()
        order = sorted(range(values.ndim), key=values.stride, reverse=True)
        digest.update(repr((tuple(values.shape), values.dtype, order)).encode())
        digest.update(values.permute(order).contiguous().numpy().tobytes())
    return digest.hexdigest()


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called, or the class of a module."""
    return getattr(function, "__qualname__", type(function).__qualname__)


def _told_apart(option: Any) -> Any:
    """What tells a method's option from another: itself, a hash of a tensor, the name of a function."""
    if isinstance(option, Tensor):
        return fingerprint(option)
    if is_dataclass(option) and not isinstance(option, type):
        return type(option).__name__, {each.name: _told_apart(getattr(option, each.name)) for each in fields(option)}
    if isinstance(option, tuple):
        return tuple(_told_apart(part) for part in option)
    if isinstance(option, Mapping):
        return {name: _told_apart(part) for name, part in option.items()}
    return name_of(option) if callable(option) else option


def _digest(kept: Mapping[str, Any]) -> str:
    """A hash of all that a checkpoint keeps."""
    state = {name: _told_apart(kept["state"][name]) for name in sorted(kept["state"])}
    return hashlib.blake2b(repr((kept["problem"], state, kept["history"])).encode(), digest_size=16).hexdigest()


def _read(path: Path, mmap: bool) -> dict[str, Any]:
    """What a file keeps.

    Raises:
        ValueError: it is no checkpoint.
    """
    try:
        if not path.is_file():
            raise ValueError("it is no file")
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        if kept["digest"] != _digest(kept):
            raise ValueError("its digest is another: a part of it was changed or lost")
        return {"problem": dict(kept["problem"]), "state": kept["state"], "history": list(kept["history"])}
    except Exception as error:  # whatever unpickling a file of another kind raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"Expected a checkpoint of a reconstruction. '{path}' is none ({reason}).") from error
