"""Libraries that only some jobs need, imported where they are used."""

import importlib
from typing import Any

from raygrad._errors import MissingLibraryError


def require(module: str, purpose: str, extra: str = "io") -> Any:
    """Import a library, or say what it is needed for and how to install it.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingLibraryError(f'{module} is needed for {purpose}: pip install "raygrad[{extra}]"') from error
