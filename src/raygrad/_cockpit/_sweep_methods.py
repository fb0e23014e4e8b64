"""Methods of reconstruction with their options, as the page's form shows them: the verbs' own table, in JSON."""

import inspect
from collections.abc import Mapping
from typing import Any

from raygrad._errors import InputError
from raygrad._method_options import options_of
from raygrad.reconstruction import METHODS, Method


def described(name: str, method: type[Method]) -> dict[str, Any]:
    """A method, what it is, and its options."""
    about = (inspect.getdoc(method) or "").partition("\n\n")[0].replace("\n", " ")
    options = [
        {"name": option.name, "kind": option.kind.__name__, "default": option.default, "about": option.meaning}
        for option in options_of(method).values()
    ]
    return {"name": name, "about": about, "iterations": method.default_iterations, "options": options}


METHODS_DESCRIBED = [described(name, method) for name, method in METHODS.items()]


def make_method(name: str, options: Mapping[str, Any]) -> Method:
    """A method with these options; one that is None is left to it.

    Raises:
        InputError: no such method or option, or another kind of value.
        TypeError, ValueError: a value out of range.
    """
    if name not in METHODS:
        raise InputError(f"Expected a method among {', '.join(METHODS)}. Got {name!r}.")
    known = options_of(METHODS[name])
    given = {}
    for key, value in options.items():
        if key not in known:
            raise InputError(f"Expected an option of {name}, {', '.join(known)}. Got {key!r}.")
        if value is None:
            continue
        kind = known[key].kind
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"Expected {key} as {kind.__name__}. Got {value!r}.")
        given[key] = value
    return METHODS[name](**given)
