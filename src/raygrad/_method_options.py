"""The options of methods, read from the methods themselves: fields of a dataclass, explained in its docstring."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True)
class Option:
    """One option of a method that a person can give.

    Attributes:
        name: of the field.
        kind: bool, float, int or str: what a text becomes.
        default: its value where none is given; None where the method chooses, or has to be told.
        meaning: what the docstring says of it, "" if nothing.
    """

    name: str
    kind: type
    default: Any
    meaning: str


def options_of(method: type) -> dict[str, Option]:
    """The options of a method that can be typed, by name: not tensors and functions."""
    hints, said = get_type_hints(method), dict(_arguments(inspect.getdoc(method) or ""))
    found = {}
    for field in fields(method):
        if (kind := _kind(hints[field.name])) is not None:
            default = None if field.default is MISSING else field.default
            found[field.name] = Option(field.name, kind, default, said.get(field.name, ""))
    return found


def _kind(hint: Any) -> type | None:
    """What a text is to become: whole numbers where there are no others."""
    kinds = get_args(hint) or (hint,)
    return next((kind for kind in (bool, float, int, str) if kind in kinds), None)


def _arguments(doc: str) -> Iterator[tuple[str, str]]:
    section = re.search(r"^Args:\n((?: +.*\n|\n)+)", doc + "\n", re.MULTILINE)
    for entry in re.split(r"\n    (?=\w)", "\n" + section.group(1).rstrip()) if section else []:
        names, colon, text = entry.partition(":")
        if colon:
            yield from ((name.strip(), " ".join(text.split())) for name in names.split(","))
