"""Warnings of the library, as sentences for the terminal."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def passing_on_warnings(warn: Callable[[str], None]) -> Iterator[None]:
    """Pass each different warning on once, at the end, even of a call that raises an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for message in dict.fromkeys(str(warning.message) for warning in caught):
                warn(message)
