"""From a method's name and options to the method, and what is no option refused by its name."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from raygrad.registration._method import Method
from raygrad.registration._methods.registry import METHODS


def make_method(method: Method | str, options: Mapping[str, Any]) -> Method:
    """A method: what is given, or what its name stands for with these options.

    Raises:
        TypeError: the method has no such option, or is given and has its own; a class where an object belongs.
        ValueError: there is no such method, or an option is out of range.
    """
    if isinstance(method, Method):
        if options:
            name, made = next(iter(options)), type(method).__name__
            raise TypeError(f"Expected {name} where the method is made, {made}({name}=...). Got it beside {method}.")
        return method
    if not isinstance(method, str):
        raise TypeError(f"Expected a method such as LevenbergMarquardt(), or the name of one. Got {method!r}.")
    if method not in METHODS:
        raise ValueError(f"Expected method to be one of {', '.join(METHODS)}. Got {method!r}.")
    kind = METHODS[method]
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in options if name not in known]:
        raise TypeError(f"{method} has no option {unknown[0]!r}. It has {', '.join(known)}.")
    return kind(**options)
