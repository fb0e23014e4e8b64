"""The options of methods as options of a command, read from the methods: a new one has its own without a word here.

Methods are known once they are imported, which takes torch. So a command learns of them when it parses, and a mere
`--help` does without; `--method NAME --help` shows those of one method.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from raygrad._method_options import options_of

Methods = Mapping[str, type]
Command = Callable[..., Any]


def with_options_of(methods: Callable[[], Methods]) -> Callable[[Command], Command]:
    """Give a command the options of all methods, which it takes as `**options`: None for those that were not given.

    Args:
        methods: name -> method, a dataclass whose fields are its options and are explained in its docstring.
    """

    def decorate(function: Command) -> Command:
        function.methods = methods  # type: ignore[attr-defined]
        function.__signature__ = _signature(function, [])  # type: ignore[attr-defined]
        return function

    return decorate


def command_class(function: Command, guard: Callable[[Command], Command]) -> type[TyperCommand]:
    """The class of a command. That of one `with_options_of` methods adds these when it parses.

    Args:
        function: the command.
        guard: what every command is wrapped in.
    """
    if not hasattr(function, "methods"):
        return TyperCommand

    class MethodCommand(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            method, for_help = _method_in(args), not {"-h", "--help"}.isdisjoint(args)
            if method is not None or not for_help:
                known: Methods = function.methods()  # type: ignore[attr-defined]
                shown = {method: known[method]} if for_help and method is not None and method in known else known
                whole = typer.Typer(add_completion=False)
                whole.command()(guard(_with_flags(function, shown)))
                command = typer.main.get_command(whole)
                self.params, self.callback = command.params, command.callback
            return super().parse_args(ctx, args)

    return MethodCommand


def flag_of(option: str) -> str:
    """How an option of a method is typed: --subsets for `n_subsets`."""
    return f"--{option.removeprefix('n_').replace('_', '-')}"


def flags_of(method: type) -> dict[str, type]:
    """The options of a method that can be typed, and what a text becomes; not tensors and functions."""
    return {name: option.kind for name, option in options_of(method).items()}


def _with_flags(function: Command, methods: Methods) -> Command:
    """The command with the options of these methods in its signature."""
    options: dict[str, inspect.Parameter] = {}
    for name, method in methods.items():
        for option, known in options_of(method).items():
            flag, kind, default = flag_of(option), known.kind, known.default
            typed = typer.Option(
                f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
                help=known.meaning or None,
                show_default=False if default is None else str(default),
                rich_help_panel=f"Options of {name}",
            )
            parameter = inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, typed]
            )
            options.setdefault(option, parameter)

    @wraps(function)
    def command(**given: Any) -> Any:
        return function(**given)

    command.__signature__ = _signature(function, list(options.values()))  # type: ignore[attr-defined]
    command.__annotations__ = function.__annotations__ | {name: own.annotation for name, own in options.items()}
    return command


def _signature(function: Command, more: list[inspect.Parameter]) -> inspect.Signature:
    """What the command takes, with more in the place of `**options`."""
    given = inspect.Signature.from_callable(inspect.unwrap(function)).parameters.values()
    own = [parameter for parameter in given if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*own, *more])


def _method_in(args: list[str]) -> str | None:
    """The method that the arguments name, before they are parsed."""
    for argument, following in zip(args, [*args[1:], None], strict=True):
        if argument == "--method":
            return following
        if argument.startswith("--method="):
            return argument.partition("=")[2]
    return None
