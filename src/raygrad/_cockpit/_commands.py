"""What a page may ask for: commands by name, whose arguments are checked against the annotations of their functions."""

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raygrad._cockpit._client import LOCAL, Client
from raygrad._cockpit._told import Told
from raygrad._errors import InputError

Arguments = dict[str, Any]
Fold = Callable[[Arguments, Arguments], Arguments | None]
"""Of two requests that wait one behind the other, the one that does the same as both; None where there is none."""
Function = typing.TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Command:
    """A function that pages may call.

    Attributes:
        function: of the session and of what the page says; returns JSON.
        slow: whether others may overtake it.
        fold: how requests that wait become one.
    """

    function: Callable[..., Any]
    slow: bool = False
    fold: Fold | None = None


COMMANDS: dict[str, Command] = {}
"""Every command by its name."""


@typing.overload
def command(function: Function) -> Function: ...


@typing.overload
def command(*, slow: bool = False, fold: Fold | None = None) -> Callable[[Function], Function]: ...


def command(function: Any = None, *, slow: bool = False, fold: Fold | None = None) -> Any:
    """Let pages call this function by its name. Its arguments are int, float, str, bool, lists and pairs of them.

    The first one is the session: what it is annotated as is what the command is for. One that is called `client` is
    who asks, and is no page's to say.

    Args:
        function: the command.
        slow: for what takes more than some 10 ms, such as writing files: it is done beside what hands do, which is
            done in order, and in order with what else is slow and the same page asked for. What takes seconds is a job.
        fold: see `Fold`; called with the arguments before they are checked.
    """

    def known(function: Function) -> Function:
        COMMANDS[function.__name__] = Command(function, slow, fold)
        return function

    return known if function is None else known(function)


def newest(older: Arguments, newer: Arguments) -> Arguments:
    """Only the newest counts."""
    return newer


def call(session: Told, name: str, arguments: Any, client: Client = LOCAL) -> Any:
    """Do what a page asks for.

    Raises:
        InputError: no such command, or arguments that it does not take.
    """
    if name not in COMMANDS:
        raise InputError(f"Expected a command that there is. Got {_short(name)}.")
    function = COMMANDS[name].function
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters
    first, *others = parameters
    if not isinstance(session, hints[first]):
        raise InputError(f"Expected a command for what is open. Got {name!r}.")
    if not isinstance(arguments, dict):
        raise InputError(f"Expected the arguments of {name} by name. Got {_short(arguments)}.")
    known = {key: parameters[key] for key in others if key != "client"}
    missing = [key for key, one in known.items() if one.default is one.empty and key not in arguments]
    if missing or arguments.keys() - known.keys():
        given = _short(", ".join(arguments)) if arguments else "nothing"
        raise InputError(f"Expected {name}({', '.join(known)}). Got {given}.")
    checked = {key: _checked(value, hints[key], f"{key} of {name}") for key, value in arguments.items()}
    if "view" in checked and checked["view"] is not None and not 0 <= checked["view"] < session.n_views:
        raise InputError(f"Expected a view from 0 to {session.n_views - 1}. Got {checked['view']}.")
    if "client" in parameters:
        checked["client"] = client
    return function(session, **checked)


def _checked(value: Any, hint: Any, what: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _checked(value, next(one for one in inner if one is not type(None)), what)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) <= _LARGEST:  # NaN is not
            return float(value)
    elif hint is int and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) <= _LARGEST:
            return value
    elif hint in (str, bool, dict) and isinstance(value, hint):
        return value
    elif origin is dict and isinstance(value, dict):
        return {key: _checked(one, inner[1], what) for key, one in value.items()}
    elif origin is list and isinstance(value, list):
        return [_checked(one, inner[0], what) for one in value]
    elif origin is tuple and isinstance(value, list) and len(value) == len(inner):
        return tuple(_checked(one, kind, what) for one, kind in zip(value, inner, strict=True))
    wanted = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise InputError(f"Expected {what} as {wanted}. Got {_short(value)}.")


_LARGEST = 2**53
"""Numbers of pages are double precision, and no count or length is as large."""


def _short(value: Any, length: int = 80) -> str:
    """What was said, for messages: no more than fits in one."""
    text = value if isinstance(value, str) else repr(value)
    text = text if len(text) <= length else text[:length] + "…"
    return repr(text) if isinstance(value, str) else text
