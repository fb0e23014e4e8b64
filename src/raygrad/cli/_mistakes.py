"""Mistakes that the user can mend are told in one sentence; our own bugs show where they happened."""

import dis
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from raygrad._errors import InputError, MissingLibraryError

_RAISE = dis.opmap["RAISE_VARARGS"]


@contextmanager
def mistakes_in_one_sentence() -> Iterator[None]:
    """Turn a mistake of the user's into one sentence and exit code 2; let everything else through."""
    try:
        yield
    except Exception as error:
        if not is_mistake(error):
            raise
        typer.echo(f"raygrad: {error}", err=True)
        raise typer.Exit(2) from error


def is_mistake(error: BaseException) -> bool:
    """Whether the user can mend it: an input, a file, too little memory, a missing library, or a refused value.

    A refused value is a ValueError or TypeError of a check, which is a `raise` statement of raygrad's. Those that come
    out of Python, torch or numpy while raygrad calls them are bugs of raygrad.
    """
    if isinstance(error, InputError | MissingLibraryError | OSError | MemoryError):
        return True
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        return True
    return isinstance(error, ValueError | TypeError) and _comes_from_a_check(error)


def _comes_from_a_check(error: BaseException) -> bool:
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return False
    frame = innermost.tb_frame
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package == "raygrad" and frame.f_code.co_code[innermost.tb_lasti] == _RAISE
