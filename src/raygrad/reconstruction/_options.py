"""From a method's name and options to the method, and what is no option refused by its name."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from raygrad.reconstruction._iterate import Control
from raygrad.reconstruction._method import Method
from raygrad.reconstruction._methods.registry import METHODS
from raygrad.reconstruction._polychromatic.method import Polychromatic

WITH_PHYSICS = {Polychromatic.name: Polychromatic}
"""Methods that need to be told of a beam: not among those that run by their name alone."""


def find_method(name: str) -> type[Method]:
    """The method of this name.

    Raises:
        ValueError: there is none.
    """
    known = {**METHODS, **WITH_PHYSICS}
    if name not in known:
        told_more = f"With physics there is {', '.join(WITH_PHYSICS)}, too."
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)}. Got {name!r}. {told_more}")
    return known[name]


def make_method(method: Method | str, options: Mapping[str, Any]) -> tuple[Method, Control]:
    """A method and the control of its iterations.

    Args:
        method: a method, or the name of one.
        options: fields of `Control`, of methods that iterate; where a name is given, also the method's own.

    Raises:
        TypeError: the method has no such option, or has been made with it.
        ValueError: there is no such method, or an option is out of range.
    """
    kind = type(method) if isinstance(method, Method) else find_method(method)
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    refuse_unknown(kind, options)
    if isinstance(method, Method) and (made_with := sorted(own & options.keys())):
        raise TypeError(
            f"Expected {made_with[0]} where the method is made, {kind.__name__}({made_with[0]}=...). "
            f"Got it beside {method}."
        )
    made = method if isinstance(method, Method) else kind(**{name: options[name] for name in options if name in own})
    return made, Control(**{name: value for name, value in options.items() if name not in own})


def refuse_unknown(kind: type[Method], options: Mapping[str, Any]) -> None:
    """See that a method, or the run of it, has all options.

    Raises:
        TypeError: it has no such option.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    known += [] if kind.default_iterations is None else ["start", *(field.name for field in fields(Control))]
    if unknown := [name for name in options if name not in known]:
        raise TypeError(f"{kind.name} has no option {unknown[0]!r}. It has {', '.join(known)}.")
