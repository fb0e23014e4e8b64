"""Every error of a command in one sentence: mistakes that the user can mend, what failed, and bugs of our own."""

import dis
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from raygrad._errors import InputError, MissingLibraryError, WritingError

MISTAKE, FAILED, BUG = 2, 1, 70
"""Exit codes: of what the user can mend before he tries again; of a disk that was full or memory that ran out, as of a
result that is not to be trusted; of a bug of raygrad's (EX_SOFTWARE of BSD's sysexits.h)."""
TRACEBACK = "RAYGRAD_TRACEBACK"
"""The environment variable that has bugs print their traceback; `raygrad --traceback` sets it."""

_NO_MEMORY = "can't allocate memory", "not enough memory"
_RAISE = dis.opmap["RAISE_VARARGS"]
_ENDS: tuple[Any, ...] = (
    typer.Exit,
    typer.Abort,
    typer.BadParameter.__mro__[2],
)  # how commands end, and how options are refused


@contextmanager
def mistakes_in_one_sentence() -> Iterator[None]:
    """Turn an error into one sentence and an exit code; of a bug, its traceback goes to a file for a report."""
    try:
        yield
    except _ENDS:
        raise
    except Exception as error:
        if is_mistake(error):
            typer.echo(f"raygrad: {error}", err=True)
            raise typer.Exit(FAILED if _is_of_disk_or_memory(error) else MISTAKE) from error
        typer.echo(f"raygrad: {_of_a_bug(error)}", err=True)
        raise typer.Exit(BUG) from error


def is_mistake(error: BaseException) -> bool:
    """Whether the user can mend it: an input, a file, too little memory, a missing library, or a refused value.

    A refused value is a ValueError or TypeError of a check, which is a `raise` statement of raygrad's. Those that come
    out of Python, torch or numpy while raygrad calls them are bugs of raygrad.
    """
    if isinstance(error, InputError | MissingLibraryError | OSError) or _is_of_disk_or_memory(error):
        return True
    return isinstance(error, ValueError | TypeError) and _comes_from_a_check(error)


def _is_of_disk_or_memory(error: BaseException) -> bool:
    """Whether there was too little of them. Torch says that of memory by a mere RuntimeError."""
    if isinstance(error, WritingError | MemoryError) or type(error).__name__ == "OutOfMemoryError":  # of a GPU
        return True
    return type(error) is RuntimeError and any(words in str(error) for words in _NO_MEMORY)


def _of_a_bug(error: Exception) -> str:
    """A sentence on a bug, whose traceback is written to a file, or printed where that is asked for."""
    what = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    sentence = (
        f"something went wrong that should not have, which is a bug of raygrad's and no mistake of yours ({what})."
    )
    lines = "".join(traceback.format_exception(error))
    if os.environ.get(TRACEBACK):
        return f"{sentence}\n{lines}"
    from raygrad import __version__

    about = f"raygrad {__version__}, Python {sys.version}, {sys.platform}\n{sys.argv}\n\n"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="raygrad-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(about + lines)
    except OSError:
        return f"{sentence} raygrad --traceback ... shows where."
    return f"{sentence} Where it happened is in {file.name}: please report that."


def _comes_from_a_check(error: BaseException) -> bool:
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return False
    frame = innermost.tb_frame
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package == "raygrad" and frame.f_code.co_code[innermost.tb_lasti] == _RAISE
