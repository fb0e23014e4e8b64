"""Which kind of file a file is: by its suffix, and by its content where suffixes are shared or lie."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from raygrad._errors import InputError
from raygrad._files import suffix_of


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: for people, such as "RTK's XML".
        suffixes: that the names of its files end in, lower case and with their dot; none if only the content tells.
        sniff: says by its content whether a file that exists is of this kind. It raises nothing for files that are not.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[Path], bool]

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.suffixes)})" if self.suffixes else self.name


def json_in(path: Path) -> Any:
    """What a JSON file holds; None if it is another file, of which the first bytes tell."""
    with path.open("rb") as file:
        if file.read(64).lstrip()[:1] not in (b"{", b"["):
            return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


F = TypeVar("F", bound=Format)


class Formats(Generic[F]):
    """The formats that hold one kind of thing.

    Args:
        what: the files' name for people, such as "geometry file".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._known: list[F] = []

    def add(self, format: F) -> F:
        """Let files of this format be read and written from now on, and return it.

        Raises:
            ValueError: there is a format of this name already.
        """
        if any(known.name == format.name for known in self._known):
            raise ValueError(f"Expected a format of a new name. Got {format.name!r} again.")
        self._known.append(format)
        return format

    def __iter__(self) -> Iterator[F]:
        return iter(self._known)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """All suffixes, each once."""
        return tuple(dict.fromkeys(suffix for format in self._known for suffix in format.suffixes))

    def of(self, path: Path) -> F:
        """The format of a file: one of its suffix, if the content agrees, or else one that the content is of.

        If the content is of none, it is the only format that has this suffix, whose reader can say what is wrong.

        Raises:
            FileNotFoundError: there is no such file.
            InputError: it is of no format that is known.
        """
        if not path.is_file():
            raise FileNotFoundError(f"There is no {self.what} '{path}'.")
        suffix = suffix_of(path, self.suffixes)
        named = [format for format in self._known if suffix in format.suffixes]
        others = [format for format in self._known if suffix not in format.suffixes]
        for format in (*named, *others):
            if format.sniff(path):
                return format
        if len(named) == 1:
            return named[0]
        known = ", ".join(map(str, self._known))
        raise InputError(f"Expected as {self.what} one of {known}. Got '{path}', which is none of these.")
