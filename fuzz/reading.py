"""A process that reads what it is told to, so that a crash, a hang or 4 GB take nobody along."""

import hashlib
import multiprocessing
import os
import resource
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

MOST_BYTES = 3 * 2**30
"""Of memory beyond what a process has when it begins: no small file needs as much."""
SECONDS = 40.0


class Outcome(NamedTuple):
    """What became of a file.

    Attributes:
        kind: "read", "refused", or what is a finding: "crash", "hang", "error".
        what: a digest of what was read, the message of a refusal, the traceback of an error.
    """

    kind: str
    what: str


class Reader:
    """One process, begun anew when it breaks."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._begin()

    def _begin(self) -> None:
        self._mine, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._mine.recv()

    def read(self, seed: str, path: Path) -> Outcome:
        """What raygrad makes of a file, as of that seed."""
        try:
            self._mine.send((seed, path))
            if self._mine.poll(SECONDS):
                return self._mine.recv()
            outcome = Outcome("hang", f"longer than {SECONDS:g} s")
        except (EOFError, OSError):
            self._process.join(5)
            outcome = Outcome("crash", f"exit code {self._process.exitcode}")
        self.close()
        self._begin()
        return outcome

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()
        self._mine.close()


def _serve(theirs: Connection) -> None:
    import torch
    from seeds import SEEDS

    from raygrad._errors import InputError

    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries complain
    torch.set_num_threads(1)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, resource.RLIM_INFINITY))
    theirs.send("ready")
    while True:
        seed, path = theirs.recv()
        try:
            outcome = Outcome("read", digest(SEEDS[seed].read(path)))
        except (InputError, OSError) as error:
            outcome = Outcome("refused", str(error)[:300])
        except Exception:
            outcome = Outcome("error", traceback.format_exc())
        theirs.send(outcome)


def digest(found: tuple[Any, ...]) -> str:
    """The same for the same arrays and texts."""
    whole = hashlib.sha256()
    for part in found:
        if hasattr(part, "tobytes"):
            whole.update(f"{part.dtype} {part.shape}".encode() + part.tobytes())
        else:
            whole.update(str(part).encode())
    return whole.hexdigest()
